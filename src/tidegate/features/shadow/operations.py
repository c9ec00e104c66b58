"""SageMaker's operations on inference experiments: shadow tests."""

from dataclasses import replace
from datetime import datetime

from tidegate.domain.access import Access
from tidegate.domain.capture import CSV_TYPES, JSON_TYPES, Capture
from tidegate.domain.errors import Invalid
from tidegate.features.shadow import service as use
from tidegate.features.shadow.records import (
    USUAL_LENGTH,
    ExperimentEnding,
    ExperimentStatus,
    ExperimentVariant,
    ShadowExperiment,
    VariantAction,
)
from tidegate.ports.store import StoredRecord
from tidegate.rollout.status import status
from tidegate.service.record_kinds import ENDPOINT
from tidegate.wire.errors import name_errors
from tidegate.wire.listing import list_by_status, parse_listing
from tidegate.wire.member_notes import OperationNotes, note
from tidegate.wire.operation import Operations, Params, TxCall, TxOperation
from tidegate.wire.sagemaker_tags import parse_tags

_TYPE = "ShadowMode"


def create_experiment(call: TxCall, params: Params) -> Params:
    variants = _parse_variants(params["ModelVariants"])
    source, shadow, percent = _parse_mode(params["ShadowModeConfig"])
    start, end = _parse_schedule(params.get("Schedule", {}), call.now, None)
    test = ShadowExperiment(
        params["Name"],
        params["EndpointName"],
        _choose(variants, source),
        _choose(variants, shadow),
        percent,
        start,
        end,
        call.now,
        capture=_parse_storage(params.get("DataStorageConfig")),
        description=params.get("Description", ""),
        role=params["RoleArn"],
        wire={name: params[name] for name in ("DataStorageConfig", "KmsKey") if name in params},
    )
    if len(variants) != 2:
        raise Invalid("ModelVariants must have the source variant and the shadow variant")
    name_errors(lambda: use.create(call.tx, test, parse_tags(params), call.now))
    return _answer(call, test.name)


def describe_experiment(call: TxCall, params: Params) -> Params:
    saved = _get(call, params)
    test = saved.body
    return {
        "Arn": _arn(call, test.name),
        **_render_summary(saved),
        "EndpointMetadata": _render_endpoint(call, test),
        "ModelVariants": [_render_variant(test, one) for one in (test.source, test.shadow)],
        "ShadowModeConfig": {
            "SourceModelVariantName": test.source.name,
            "ShadowModelVariants": [
                {"ShadowModelVariantName": test.shadow.name, "SamplingPercentage": test.percent}
            ],
        },
        **test.wire,
    }


def list_experiments(call: TxCall, params: Params) -> Params:
    """There are few records, so all are read and sorted in memory."""
    found = use.find(call.tx, parse_listing(params).where)
    page, token = list_by_status(found, params, lambda saved: saved.body.status.value)
    return {"InferenceExperiments": [_render_summary(saved) for saved in page], "NextToken": token}


def start_experiment(call: TxCall, params: Params) -> Params:
    name_errors(lambda: use.start(call.tx, params["Name"], call.now))
    return _answer(call, params["Name"])


def stop_experiment(call: TxCall, params: Params) -> Params:
    test = _get(call, params).body
    actions: Params = params["ModelVariantActions"]
    unknown = sorted(actions.keys() - {test.source.name, test.shadow.name})
    missing = sorted({test.source.name, test.shadow.name} - actions.keys())
    if unknown or missing:
        raise Invalid(f"ModelVariantActions must have an action for {test.source.name} and {test.shadow.name}")
    ending = ExperimentEnding(
        VariantAction(actions[test.source.name]),
        VariantAction(actions[test.shadow.name]),
        ExperimentStatus(params.get("DesiredState", "Completed")),
        params.get("Reason", ""),
        tuple(_parse_variants(params.get("DesiredModelVariants", [])).values()),
    )
    name_errors(lambda: use.stop(call.tx, test.name, ending, call.now))
    return _answer(call, test.name)


def update_experiment(call: TxCall, params: Params) -> Params:
    test = _get(call, params).body
    variants = {test.source.name: test.source, test.shadow.name: test.shadow}
    given = _parse_variants(params.get("ModelVariants", []))
    source, shadow, percent = test.source.name, test.shadow.name, test.percent
    if "ShadowModeConfig" in params:
        source, shadow, percent = _parse_mode(params["ShadowModeConfig"])
    start, end = _parse_schedule(params.get("Schedule", {}), test.start, test.end)
    after = replace(
        test,
        source=_choose({**variants, **given}, source),
        shadow=_choose({**variants, **given}, shadow),
        percent=percent,
        start=start,
        end=end,
        description=params.get("Description", test.description),
    )
    if after.source.name != test.source.name:
        raise Invalid(f'SourceModelVariantName must stay "{test.source.name}"')
    strange = sorted(given.keys() - {after.source.name, after.shadow.name})
    if strange:
        raise Invalid(
            f"ModelVariants has {', '.join(strange)}, which is neither the source nor the shadow variant"
        )
    if "DataStorageConfig" in params:
        storage = params["DataStorageConfig"]
        after = replace(after, capture=_parse_storage(storage), wire={**test.wire, "DataStorageConfig": storage})
    name_errors(lambda: use.update(call.tx, test.name, after, call.now))
    return _answer(call, test.name)


def delete_experiment(call: TxCall, params: Params) -> Params:
    name_errors(lambda: use.delete(call.tx, params["Name"], call.now))
    return _answer(call, params["Name"])


def _parse_variants(given: list[Params]) -> dict[str, ExperimentVariant]:
    """By name. Raises Invalid for a name that is given twice."""
    found: dict[str, ExperimentVariant] = {}
    for one in given:
        size = one["InfrastructureConfig"]["RealTimeInferenceConfig"]
        name = one["VariantName"]
        if name in found:
            raise Invalid(f'variant "{name}" is given twice: variant names must be unique')
        found[name] = ExperimentVariant(name, one["ModelName"], size["InstanceType"], size["InstanceCount"])
    return found


def _parse_mode(given: Params) -> tuple[str, str, int]:
    """Source, shadow, percent."""
    [shadow] = given["ShadowModelVariants"]
    return given["SourceModelVariantName"], shadow["ShadowModelVariantName"], shadow["SamplingPercentage"]


def _parse_schedule(given: Params, start: datetime, end: datetime | None) -> tuple[datetime, datetime]:
    """``start`` and ``end`` where it does not say. Without an end a test has SageMaker's usual length."""
    begin: datetime = given.get("StartTime", start)
    until: datetime | None = given.get("EndTime", end)
    return begin, until if until is not None else begin + USUAL_LENGTH


def _parse_storage(given: Params | None) -> Capture | None:
    if given is None:
        return None
    types = given.get("ContentType", {})
    return Capture(
        given["Destination"],
        csv=tuple(types.get("CsvContentTypes", CSV_TYPES)),
        json=tuple(types.get("JsonContentTypes", JSON_TYPES)),
        kms_key=given.get("KmsKey", ""),
    )


def _choose(variants: dict[str, ExperimentVariant], name: str) -> ExperimentVariant:
    """Raises Invalid."""
    if name not in variants:
        raise Invalid(f'ModelVariants has no variant "{name}": it has {", ".join(variants)}')
    return variants[name]


def _render_summary(saved: StoredRecord[ShadowExperiment]) -> Params:
    test = saved.body
    return {
        "Name": test.name,
        "Type": _TYPE,
        "Schedule": {"StartTime": test.start, "EndTime": test.end},
        "Status": test.status.value,
        "StatusReason": test.reason[:1024] or None,
        "Description": test.description or None,
        "CreationTime": test.created_at,
        "CompletionTime": test.ended_at,
        "LastModifiedTime": saved.modified_at,
        "RoleArn": test.role,
    }


def _render_endpoint(call: TxCall, test: ShadowExperiment) -> Params:
    found = call.tx.get(ENDPOINT, test.endpoint)
    if found is None:
        return {"EndpointName": test.endpoint}
    return {
        "EndpointName": test.endpoint,
        "EndpointConfigName": found.body.serving.config_name if found.body.serving else None,
        "EndpointStatus": str(status(found.body)[0]),
        "FailureReason": (found.body.failure_reason or "")[:1024] or None,
    }


def _render_variant(test: ShadowExperiment, variant: ExperimentVariant) -> Params:
    """SageMaker's statuses of a variant: it is there while the test runs."""
    there = bool(test.running) and not test.ended
    return {
        "ModelName": variant.model_name,
        "VariantName": variant.name,
        "InfrastructureConfig": {
            "InfrastructureType": "RealTimeInference",
            "RealTimeInferenceConfig": {
                "InstanceType": variant.instance_type,
                "InstanceCount": variant.instance_count,
            },
        },
        "Status": "InService" if there else "Creating" if not test.ended else "Deleted",
    }


def _get(call: TxCall, params: Params) -> StoredRecord[ShadowExperiment]:
    return name_errors(lambda: use.get(call.tx, params["Name"]))


def _answer(call: TxCall, name: str) -> Params:
    return {"InferenceExperimentArn": _arn(call, name)}


def _arn(call: TxCall, name: str) -> str:
    return call.arn(f"inference-experiment/{name}")


OPERATIONS: Operations = {
    "CreateInferenceExperiment": TxOperation(create_experiment, Access.CHANGE),
    "DescribeInferenceExperiment": TxOperation(describe_experiment, Access.READ),
    "ListInferenceExperiments": TxOperation(list_experiments, Access.READ),
    "StartInferenceExperiment": TxOperation(start_experiment, Access.CHANGE),
    "StopInferenceExperiment": TxOperation(stop_experiment, Access.CHANGE),
    "UpdateInferenceExperiment": TxOperation(update_experiment, Access.CHANGE),
    "DeleteInferenceExperiment": TxOperation(delete_experiment, Access.CHANGE),
}


# --- how members of these operations are treated that are not served ---


NOTES: OperationNotes = {
    ("sagemaker", "CreateInferenceExperiment"): note(ignored=("RoleArn", "KmsKey")),
}
