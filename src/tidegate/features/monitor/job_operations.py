"""SageMaker's operations on job definitions of Model Monitor. Those of each type have members of the same form, whose
names begin with the type."""

from collections.abc import Callable
from typing import Any

from tidegate.domain.access import Access
from tidegate.domain.errors import Invalid
from tidegate.features.monitor import schedules as use
from tidegate.features.monitor.members import ANALYSER, CLARIFY, check_app, publishes
from tidegate.features.monitor.model_quality import ProblemType, QualityTerms, check_place, clean_place
from tidegate.features.monitor.processing_service import find_baseline
from tidegate.features.monitor.schedule_records import BiasSource, LabelSource, MonitoringJob, MonitoringType
from tidegate.ports.store import StoredRecord
from tidegate.wire.errors import name_errors
from tidegate.wire.listing import parse_listing, take_page
from tidegate.wire.operation import Operations, Params, TxCall, TxOperation, refuse_unsupported
from tidegate.wire.sagemaker_tags import parse_tags

DATA, MODEL, BIAS = MonitoringType.DATA_QUALITY, MonitoringType.MODEL_QUALITY, MonitoringType.MODEL_BIAS
RESOURCES = {
    DATA: "data-quality-job-definition",
    MODEL: "model-quality-job-definition",
    BIAS: "model-bias-job-definition",
}
"""Types that are served -> what their ARNs have."""
REFUSED_INPUT = {
    DATA: (
        "FeaturesAttribute",
        "InferenceAttribute",
        "ProbabilityAttribute",
        "ProbabilityThresholdAttribute",
        "StartTimeOffset",
        "EndTimeOffset",
        "ExcludeFeaturesAttribute",
    ),
    MODEL: ("FeaturesAttribute", "ExcludeFeaturesAttribute"),
    BIAS: ("ExcludeFeaturesAttribute",),
}
"""Members of EndpointInput."""
_KEPT = ("JobResources", "NetworkConfig", "RoleArn", "StoppingCondition")
_PARTS = ("BaselineConfig", "AppSpecification", "JobInput", "JobOutputConfig")


def create_job(type: MonitoringType, call: TxCall, params: Params) -> Params:
    app, given = params[f"{type}AppSpecification"], params[f"{type}JobInput"]
    check_app(app, CLARIFY if type is BIAS else ANALYSER)
    output = params[f"{type}JobOutputConfig"]
    endpoint = _parse_endpoint(type, given)
    statistics, constraints = _parse_baseline(call, type, params)
    echoed = (*(f"{type}{part}" for part in _PARTS), *_KEPT)
    job = MonitoringJob(
        params["JobDefinitionName"],
        endpoint["EndpointName"],
        statistics,
        constraints,
        output["MonitoringOutputs"][0]["S3Output"]["S3Uri"],
        output.get("KmsKeyId", ""),
        call.now,
        {name: params[name] for name in echoed if name in params},
        publishes(app.get("Environment", {})),
        type,
        None if type is DATA else _parse_labels(given),
        None if type is DATA else _parse_quality(type, app, endpoint),
        _parse_bias(app, endpoint) if type is BIAS else None,
    )
    name_errors(lambda: use.define_job(call.tx, job, parse_tags(params), call.now))
    return {"JobDefinitionArn": _arn(call, type, job.name)}


def describe_job(type: MonitoringType, call: TxCall, params: Params) -> Params:
    job = name_errors(lambda: use.get_job(call.tx, type, params["JobDefinitionName"]))
    return {
        "JobDefinitionArn": _arn(call, type, job.name),
        "JobDefinitionName": job.name,
        "CreationTime": job.created_at,
        **job.wire,
    }


def list_jobs(type: MonitoringType, call: TxCall, params: Params) -> Params:
    found = use.find_jobs(call.tx, type, parse_listing(params).where)
    if "EndpointName" in params:
        found = [saved for saved in found if saved.body.endpoint == params["EndpointName"]]
    page, token = take_page(found, params)
    return {"JobDefinitionSummaries": [_summarise(call, saved) for saved in page], "NextToken": token}


def delete_job(type: MonitoringType, call: TxCall, params: Params) -> None:
    name_errors(lambda: use.delete_job(call.tx, type, params["JobDefinitionName"], call.now))


def _parse_endpoint(type: MonitoringType, given: Params) -> Params:
    """EndpointInput. Raises Invalid."""
    refuse_unsupported(given, ("BatchTransformInput",))
    if "EndpointInput" not in given:
        raise Invalid(f"{type}JobInput has no EndpointInput: name the endpoint whose captures are analysed")
    found: Params = given["EndpointInput"]
    refuse_unsupported(found, REFUSED_INPUT[type])
    return found


def _parse_baseline(call: TxCall, type: MonitoringType, params: Params) -> tuple[str, str]:
    """Addresses of statistics and constraints; those that are given go before those of a baselining job. Raises
    Invalid or NamedError."""
    given = params.get(f"{type}BaselineConfig", {})
    statistics = given.get("StatisticsResource", {}).get("S3Uri", "")
    constraints = given.get("ConstraintsResource", {}).get("S3Uri", "")
    if "BaseliningJobName" in given and type is BIAS:
        raise Invalid(
            "BaseliningJobName: baselines of bias are not made here; give ConstraintsResource the analysis.json of"
            " Clarify, or of an execution"
        )
    if "BaseliningJobName" in given:
        name = given["BaseliningJobName"]
        folder = name_errors(lambda: find_baseline(call.tx, name, type is not DATA))
        constraints = constraints or f"{folder}/constraints.json"
        statistics = statistics or f"{folder}/statistics.json"
    if type is DATA and not statistics:
        raise Invalid(
            f"{type}BaselineConfig has no StatisticsResource and no BaseliningJobName: make a baseline with"
            " suggest_baseline of SageMaker's SDK, 'tidegate drift check --write' or 'tidegate drift schedule"
            " baseline'"
        )
    return (statistics if type is DATA else ""), constraints


def _parse_labels(given: Params) -> LabelSource:
    """Raises Invalid."""
    address = given["GroundTruthS3Input"].get("S3Uri", "")
    if not address:
        raise Invalid("GroundTruthS3Input has no S3Uri: give the folder above those of the hours (yyyy/mm/dd/hh)")
    endpoint = given["EndpointInput"]
    return LabelSource(address, endpoint.get("StartTimeOffset", ""), endpoint.get("EndTimeOffset", ""))


def _parse_quality(type: MonitoringType, app: Params, endpoint: Params) -> QualityTerms:
    """Raises Invalid. Of bias, predictions are classes, of which some are good."""
    if type is MODEL and "ProblemType" not in app:
        raise Invalid(f"ModelQualityAppSpecification has no ProblemType: give {', '.join(ProblemType)}")
    return QualityTerms(
        ProblemType(app["ProblemType"]) if type is MODEL else ProblemType.MULTICLASS,
        clean_place(endpoint.get("InferenceAttribute", "")),
        clean_place(endpoint.get("ProbabilityAttribute", "")),
        endpoint.get("ProbabilityThresholdAttribute"),
    ).check()


def _parse_bias(app: Params, endpoint: Params) -> BiasSource:
    """Raises Invalid."""
    features = clean_place(endpoint.get("FeaturesAttribute", ""))
    check_place(features)
    return BiasSource(app["ConfigUri"], features)


def _summarise(call: TxCall, saved: StoredRecord[MonitoringJob]) -> Params:
    return {
        "MonitoringJobDefinitionName": saved.name,
        "MonitoringJobDefinitionArn": _arn(call, saved.body.type, saved.name),
        "CreationTime": saved.created_at,
        "EndpointName": saved.body.endpoint,
    }


def _arn(call: TxCall, type: MonitoringType, name: str) -> str:
    return call.arn(f"{RESOURCES[type]}/{name}")


def _operations(type: MonitoringType) -> Operations:
    def bind(work: Callable[[MonitoringType, TxCall, Params], Any]) -> Callable[[TxCall, Params], Any]:
        def translate(call: TxCall, params: Params) -> Any:
            return work(type, call, params)

        return translate

    return {
        f"Create{type}JobDefinition": TxOperation(bind(create_job), Access.CHANGE),
        f"Describe{type}JobDefinition": TxOperation(bind(describe_job), Access.READ),
        f"List{type}JobDefinitions": TxOperation(bind(list_jobs), Access.READ),
        f"Delete{type}JobDefinition": TxOperation(bind(delete_job), Access.CHANGE),
    }


OPERATIONS: Operations = {name: one for type in RESOURCES for name, one in _operations(type).items()}
