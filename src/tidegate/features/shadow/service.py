"""Use cases of shadow tests: create, start, update, stop, delete; and to take each of them one step further."""

from dataclasses import replace
from datetime import datetime

from tidegate.domain.endpoint import Endpoint, EndpointConfig
from tidegate.domain.errors import (
    AlreadyExists,
    Conflict,
    Invalid,
    LimitExceeded,
    NotFound,
    TidegateError,
    UnreadableRecord,
)
from tidegate.domain.registry import Tags
from tidegate.domain.rollout import DeploymentConfig
from tidegate.domain.targets import TargetTable
from tidegate.features.autoscaling import service as scalables
from tidegate.features.shadow.configs import final_config, require_source, test_config
from tidegate.features.shadow.records import (
    EXPERIMENT,
    ExperimentEnding,
    ExperimentStatus,
    ExperimentVariant,
    ShadowExperiment,
    VariantAction,
)
from tidegate.features.shadow.steps import EndpointChange, end, step
from tidegate.ports.store import Filter, StoredRecord, Tx
from tidegate.service import configs, endpoints
from tidegate.service import tags as labels
from tidegate.service.endpoints import CarryOver, UpdateRequest
from tidegate.service.record_kinds import ENDPOINT, MODEL
from tidegate.service.records import mentions, require
from tidegate.service.targets import choose_target, find_capabilities

ENDINGS = {
    (VariantAction.RETAIN, VariantAction.REMOVE),
    (VariantAction.RETAIN, VariantAction.RETAIN),
    (VariantAction.REMOVE, VariantAction.PROMOTE),
}
"""Actions on source and shadow that leave one production variant."""
CHANGEABLE = (ExperimentStatus.CREATED, ExperimentStatus.RUNNING)


def create(tx: Tx, test: ShadowExperiment, tags: Tags, now: datetime) -> None:
    """Raises AlreadyExists, also for an endpoint that has a test, Invalid, or NotFound for a model."""
    if tx.get(EXPERIMENT, test.name) is not None:
        raise AlreadyExists(f'there is already an inference experiment "{test.name}"')
    page = tx.find(EXPERIMENT)
    for one in page.unreadable:
        if mentions(tx, one, test.endpoint):
            raise UnreadableRecord(one.why, about=(one.kind, one.name))
    for saved in page.items:
        if saved.body.endpoint == test.endpoint and not saved.body.ended:
            raise AlreadyExists(f'endpoint "{test.endpoint}" has the inference experiment "{saved.name}" already')
    check(test, now)
    for variant in (test.source, test.shadow):
        require(tx, MODEL, variant.model_name)
    endpoint = tx.get(ENDPOINT, test.endpoint)
    if endpoint is not None:
        require_source(endpoint.body, test.source)
        configs.check(test_config(tx, test, endpoint.body, now))
    tx.put(EXPERIMENT, test.name, test, expect=0, now=now)
    labels.add(tx, EXPERIMENT, test.name, tags, now)


def check(test: ShadowExperiment, now: datetime) -> None:
    """Raises Invalid."""
    if test.source.name == test.shadow.name:
        raise Invalid(f'variant "{test.source.name}" cannot be the shadow of itself')
    if not 1 <= test.percent <= 100:
        raise Invalid(f"SamplingPercentage {test.percent}: give 1 to 100")
    for variant in (test.source, test.shadow):
        if variant.instance_count < 1:
            raise Invalid(f'variant "{variant.name}" has no instances: its count must be at least 1')
    if not max(test.start, now) < test.end:
        raise Invalid(f"the schedule ends at {test.end.isoformat()}: give an end after its start and after now")


def get(tx: Tx, name: str) -> StoredRecord[ShadowExperiment]:
    """Raises NotFound."""
    found = tx.get(EXPERIMENT, name)
    if found is None:
        raise NotFound(f'there is no inference experiment "{name}"')
    return found


def find(tx: Tx, where: Filter) -> list[StoredRecord[ShadowExperiment]]:
    return tx.find(EXPERIMENT, where).items


def find_of_endpoint(tx: Tx, endpoint: str) -> ShadowExperiment | None:
    """The one that has not ended, otherwise the last one."""
    found = [saved.body for saved in tx.find(EXPERIMENT).items if saved.body.endpoint == endpoint]
    return next((test for test in found if not test.ended), found[0] if found else None)


def start(tx: Tx, name: str, now: datetime) -> None:
    """Start now what was to start later. Raises NotFound or Conflict."""
    saved = get(tx, name)
    _require(saved.body, (ExperimentStatus.CREATED,), "started")
    _put(tx, saved, replace(saved.body, start=now), now)


def update(tx: Tx, name: str, after: ShadowExperiment, now: datetime) -> None:
    """Update a test. ``after``: the record with the members that change. Raises NotFound, Conflict or Invalid."""
    saved = get(tx, name)
    before = saved.body
    _require(before, CHANGEABLE, "updated")
    if before.ending is not None:
        raise Conflict(f'inference experiment "{name}" is being stopped: it cannot be updated')
    running = before.status is ExperimentStatus.RUNNING
    if running and after.start != before.start:
        raise Invalid("StartTime cannot be changed: the experiment has started")
    check(after, now)
    for variant in (after.source, after.shadow):
        require(tx, MODEL, variant.model_name)
    deployed = (before.source, before.shadow, before.percent, before.capture)
    if running and (after.source, after.shadow, after.percent, after.capture) != deployed:
        if after.source.model_name != before.source.model_name:
            raise Invalid(
                "a shadow test does not change what is in production: keep the source variant's ModelName"
            )
        after = replace(after, status=ExperimentStatus.UPDATING)
    _put(tx, saved, after, now)


def stop(tx: Tx, name: str, ending: ExperimentEnding, now: datetime) -> None:
    """Cancel a test that has not started, or begin to end one that runs. Raises NotFound, Conflict or Invalid."""
    saved = get(tx, name)
    test = saved.body
    if test.status is ExperimentStatus.CREATED:
        _put(
            tx,
            saved,
            end(test, ExperimentStatus.CANCELLED, ending.reason or "stopped before it started", now),
            now,
        )
        return
    _require(test, (ExperimentStatus.RUNNING, ExperimentStatus.STOPPING), "stopped")
    if test.wanted:
        raise Conflict(f'inference experiment "{name}" is being stopped: wait until that is done')
    if (ending.source, ending.shadow) not in ENDINGS:
        raise Invalid(
            f"{test.source.name}: {ending.source}, {test.shadow.name}: {ending.shadow} does not leave one"
            " production variant: retain the source and remove or retain the shadow, or remove the source and"
            " promote the shadow"
        )
    _check_desired(test, ending)
    _put(tx, saved, replace(test, status=ExperimentStatus.STOPPING, ending=ending, reason=""), now)


def _check_desired(test: ShadowExperiment, ending: ExperimentEnding) -> None:
    """Raises Invalid."""
    promoted = ending.shadow is VariantAction.PROMOTE
    kept: ExperimentVariant = test.shadow if promoted else test.source
    for variant in ending.desired:
        if variant.name != kept.name or variant.model_name != kept.model_name:
            raise Invalid(
                f'DesiredModelVariants has "{variant.name}" with model "{variant.model_name}":'
                f' only "{kept.name}" with model "{kept.model_name}" stays as a production variant'
            )
        if variant.instance_count < 1:
            raise Invalid(f'variant "{variant.name}" has no instances: its count must be at least 1')


def delete(tx: Tx, name: str, now: datetime) -> None:
    """The record alone. Raises NotFound, or Conflict unless it has ended."""
    saved = get(tx, name)
    if not saved.body.ended:
        raise Conflict(f'inference experiment "{name}" is {saved.body.status}: stop it before you delete it')
    tx.delete(EXPERIMENT, name, expect=saved.version, now=now)
    labels.drop(tx, EXPERIMENT, name, now)


def advance(
    tx: Tx, name: str, *, rollout_id: str, targets: TargetTable, now: datetime
) -> tuple[ShadowExperiment, bool]:
    """One step, with what it asks of the endpoint in the same transaction. Returns the record, and whether anything
    was written. Raises NotFound, or what the endpoint refuses: then nothing was written."""
    saved = get(tx, name)
    found = tx.get(ENDPOINT, saved.body.endpoint)
    endpoint = found.body if found else None
    test, move = step(saved.body, endpoint, now)
    if move is not None:
        test = _ask(tx, test, endpoint, move, rollout_id, targets, now)
    if test != saved.body:
        _put(tx, saved, test, now)
    return test, test != saved.body


def note_refusal(tx: Tx, name: str, error: TidegateError, now: datetime) -> bool:
    """The endpoint refused a step. One that has not started ends; one that runs stays as it is and says why.
    Returns whether anything was written."""
    saved = tx.get(EXPERIMENT, name)
    if saved is None or saved.body.ended:
        return False
    test = saved.body
    permanent = isinstance(error, (Invalid, NotFound, LimitExceeded))
    if test.status in (ExperimentStatus.CREATED, ExperimentStatus.STARTING) and permanent:
        after = end(test, ExperimentStatus.CANCELLED, error.message, now)
    elif test.status is ExperimentStatus.UPDATING and permanent:
        after = replace(test, status=ExperimentStatus.RUNNING, reason=f"the update was refused: {error.message}")
    else:
        after = replace(test, reason=error.message)
    if after == test:
        return False
    _put(tx, saved, after, now)
    return True


def _ask(
    tx: Tx,
    test: ShadowExperiment,
    endpoint: Endpoint | None,
    move: EndpointChange,
    rollout_id: str,
    targets: TargetTable,
    now: datetime,
) -> ShadowExperiment:
    made: EndpointConfig | str
    if move is EndpointChange.TEST:
        made = test_config(tx, test, endpoint, now)
        if endpoint is not None and not test.running:
            require_source(endpoint, test.source)
            test = replace(test, before=endpoint.serving.config_name if endpoint.serving else "")
    else:
        assert endpoint is not None, "only an endpoint that serves the test has an end of it"
        made = final_config(tx, test, endpoint, now)
    if isinstance(made, EndpointConfig):
        configs.create_config(tx, made, {}, now)
        test = replace(test, configs=test.configs + 1)
    name = made if isinstance(made, str) else made.name
    asked = UpdateRequest(name, by=f"inference experiment {test.name}")
    if endpoint is None:
        target = choose_target(tx, test.endpoint, None, {}, targets)
        can = targets.of(target)
        endpoints.create_endpoint(
            tx, test.endpoint, asked, {}, rollout_id=rollout_id, can=can, now=now, target=target
        )
    else:
        scaled = bool(scalables.list_for_endpoint(tx, endpoint.name))
        promoted = (
            move is EndpointChange.END and test.ending is not None and test.ending.shadow is VariantAction.PROMOTE
        )
        asked = replace(
            asked,
            deployment=_guard(endpoint) if promoted else None,
            remember=False,
            keep=CarryOver(weights=isinstance(made, str), counts=scaled and isinstance(made, str)),
            override=not promoted,
        )
        can = find_capabilities(tx, endpoint.name, targets)
        endpoints.update_endpoint(tx, endpoint.name, asked, rollout_id=rollout_id, can=can, now=now)
    return replace(test, wanted=name)


def _guard(endpoint: Endpoint) -> DeploymentConfig:
    """Return a deployment config that shifts all traffic at once, because the production variant changes its name,
    which no canary can do. It keeps the alarms of the last DeploymentConfig: if one is in ALARM, the shift does not
    happen."""
    return DeploymentConfig(alarms=endpoint.deployment.alarms if endpoint.deployment else ())


def _require(test: ShadowExperiment, states: tuple[ExperimentStatus, ...], what: str) -> None:
    """Raises Conflict."""
    if test.status not in states:
        allowed = " or ".join(states)
        raise Conflict(
            f'inference experiment "{test.name}" is {test.status}: it can be {what} while it is {allowed}'
        )


def _put(tx: Tx, saved: StoredRecord[ShadowExperiment], test: ShadowExperiment, now: datetime) -> None:
    tx.put(EXPERIMENT, saved.name, test, expect=saved.version, now=now)
