"""Decides what is done for a resource, and what its status says. Pure.

Each generation is deployed at most once: what a person changes afterwards, or a guard rolls back, stays so until the
spec is changed.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from tidegate.domain.endpoint import Endpoint, EndpointConfig, Rollout
from tidegate.domain.rollout import Cause, Phase, Version
from tidegate.domain.traffic import WHOLE, RouteTable
from tidegate.features.endpoint_resources.kinds import ResourceRecord
from tidegate.ports.endpoint_resources import EndpointResource
from tidegate.rollout.commands import FORWARD_PHASES
from tidegate.rollout.status import status
from tidegate.service.rollout_settings import settings

PREFIX = "tidegate.io/"
ADOPT, PAUSE, ABORT, PROMOTE = f"{PREFIX}adopt", f"{PREFIX}pause", f"{PREFIX}abort", f"{PREFIX}promote"
COMMANDS = (ABORT, PROMOTE)
"""Annotations that are carried out once and then removed."""
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=2), timedelta(minutes=5)
"""Between two attempts to deploy a generation."""
LONGEST_MESSAGE = 1_000
"""Characters. An error may quote the whole spec, of which a status with its conditions would have several copies."""


class ResourceAction(StrEnum):
    NOTHING = "nothing"
    HOLD = "hold"
    DEPLOY = "deploy"
    PAUSE = "pause"
    RESUME = "resume"
    ABORT = "abort"
    PROMOTE = "promote"
    REMOVE_ANNOTATION = "remove annotation"
    FORGET_ANNOTATION = "forget annotation"
    DELETE = "delete"
    RELEASE = "release"


@dataclass(frozen=True)
class ResourceDecision:
    """``annotation``: the one that the action is about."""

    action: ResourceAction = ResourceAction.NOTHING
    annotation: str = ""


@dataclass(frozen=True)
class ResourceState:
    """Content of the status. ``ready``: the endpoint serves what the spec says; ``settled``: it will not get nearer
    to that by itself; ``synced``: nobody else has changed the endpoint since, and it is this resource's."""

    reason: str
    message: str
    ready: bool = False
    settled: bool = False
    synced: bool = True
    version: str = ""
    share: str = ""
    phase: str = ""


def is_taken(resource: EndpointResource, record: ResourceRecord | None) -> bool:
    """Whether this generation was deployed or refused."""
    return record is not None and record.uid == resource.uid and record.generation >= resource.generation


def owns(record: ResourceRecord | None, endpoint: Endpoint) -> bool:
    """Whether this is the endpoint that was deployed for a resource of this name, and not a later one."""
    return record is not None and record.made == endpoint.created_at


def is_its_own(record: ResourceRecord, endpoint: Endpoint | None) -> bool:
    """Whether commands for the resource concern this endpoint."""
    return endpoint is not None and not endpoint.deleting and owns(record, endpoint)


def decide(
    resource: EndpointResource, record: ResourceRecord | None, endpoint: Endpoint | None, failing: bool = False
) -> ResourceDecision:
    """The first thing to do for a resource as it was read, which may be some seconds ago. ``failing``: its generation
    could not be deployed, and the next attempt is not due: annotations are heeded meanwhile."""
    own = record is not None and record.uid == resource.uid
    if resource.deleting:
        if not resource.held:
            return ResourceDecision()
        if endpoint is None or not own or not owns(record, endpoint):
            return ResourceDecision(ResourceAction.RELEASE)
        return ResourceDecision() if endpoint.deleting else ResourceDecision(ResourceAction.DELETE)
    if record is not None and not own and resource.created < record.created:
        return ResourceDecision()  # it was read before another one took its place
    if not resource.held:
        return ResourceDecision(ResourceAction.HOLD)
    if not (failing or is_taken(resource, record) or _waits(resource, record, endpoint)):
        return ResourceDecision(ResourceAction.DEPLOY)
    return _heed_annotations(resource, record, endpoint) if record is not None and own else ResourceDecision()


def _waits(resource: EndpointResource, record: ResourceRecord | None, endpoint: Endpoint | None) -> bool:
    """Whether the endpoint has to change before the resource can be deployed."""
    if endpoint is None:
        return False
    return endpoint.deleting or is_being_created(endpoint) or not _may_take(resource, record, endpoint)


def is_being_created(endpoint: Endpoint) -> bool:
    """Whether its first version is being rolled out, which cannot be superseded."""
    return endpoint.rollout is not None and endpoint.rollout.old is None


def _may_take(resource: EndpointResource, record: ResourceRecord | None, endpoint: Endpoint) -> bool:
    return owns(record, endpoint) or resource.annotations.get(ADOPT) == "true"


def _heed_annotations(
    resource: EndpointResource, record: ResourceRecord, endpoint: Endpoint | None
) -> ResourceDecision:
    for name in COMMANDS:
        if name in resource.annotations and name in record.done:
            return ResourceDecision(ResourceAction.REMOVE_ANNOTATION, name)
        if name not in resource.annotations and name in record.done:
            return ResourceDecision(ResourceAction.FORGET_ANNOTATION, name)
        if name in resource.annotations:
            action = ResourceAction.ABORT if name == ABORT else ResourceAction.PROMOTE
            return ResourceDecision(action, name)
    if PAUSE not in resource.annotations:
        return ResourceDecision(ResourceAction.RESUME, PAUSE) if record.paused else ResourceDecision()
    rollout = endpoint.rollout if endpoint is not None and is_its_own(record, endpoint) else None
    if rollout is None or rollout.id == record.paused or rollout.phase not in FORWARD_PHASES:
        return ResourceDecision()
    return ResourceDecision(ResourceAction.PAUSE, PAUSE)


def note_done(record: ResourceRecord, decision: ResourceDecision, rollout: str, note: str = "") -> ResourceRecord:
    """The record after an annotation was carried out, or, by its ``note``, could not be. ``rollout``: id of the one
    under way."""
    if decision.action is ResourceAction.PAUSE:
        return replace(record, paused=rollout, note=note)
    if decision.action is ResourceAction.RESUME:
        return replace(record, paused="", note=note)
    if decision.action is ResourceAction.FORGET_ANNOTATION:
        return replace(record, done=tuple(one for one in record.done if one != decision.annotation))
    return replace(record, done=(*record.done, decision.annotation), note=note)


def pause_after(failures: int) -> timedelta:
    """Time until a generation is tried again, after so many attempts that failed."""
    return min(FIRST_PAUSE * (1 << min(failures, 16)), LONGEST_PAUSE)


def describe(
    resource: EndpointResource,
    record: ResourceRecord | None,
    endpoint: Endpoint | None,
    routes: RouteTable | None,
    config: EndpointConfig | None = None,
    trouble: str = "",
) -> ResourceState:
    """``routes``: the table in force, if it is known. ``config``: the one that was deployed. ``trouble``: why the
    last attempt failed, if it did."""
    found = _describe(resource, record, endpoint, trouble)
    if found.ready and record and endpoint:
        changed = [f"the weight or count of {one}" for one in _find_scaled(resource, endpoint, config)]
        if changed := [*changed, *_find_changed_settings(resource, record, endpoint)]:
            said = f"somebody else changed {', '.join(changed)}: {found.message}"
            found = replace(found, synced=False, message=said)
    if record is not None and record.note and not trouble:
        found = replace(found, message=f"{found.message}; {record.note}")
    if endpoint is None:
        return found
    found = replace(found, phase=str(status(endpoint)[0]))
    version = endpoint.rollout.new if endpoint.rollout is not None else endpoint.serving
    if version is None:
        return found
    share = "" if routes is None else f"{100 * routes.share_of(version.generation) / WHOLE:g}%"
    return replace(found, version=version.config_name, share=share)


def _describe(
    resource: EndpointResource, record: ResourceRecord | None, endpoint: Endpoint | None, trouble: str
) -> ResourceState:
    if resource.deleting:
        return ResourceState("Deleting", "the endpoint is being deleted")
    if not is_taken(resource, record):
        if endpoint is not None and not endpoint.deleting and not _may_take(resource, record, endpoint):
            there = f'there is an endpoint "{endpoint.name}" already'
            message = f"{there}: annotate this with {ADOPT}=true to take it over"
            return ResourceState("NotAdopted", message, settled=True, synced=False)
        if endpoint is not None and is_being_created(endpoint):
            return ResourceState("Pending", "it is deployed once the creation under way has ended")
        return ResourceState("Retrying" if trouble else "Pending", trouble or "it has not been deployed yet")
    assert record is not None
    if record.refusal:
        if not record.refused or endpoint is None or _find_newest(endpoint) != record.refused:
            return ResourceState("Refused", record.refusal, settled=True)
        record = replace(record, config=record.refused)  # a person overrode what stood in its way
    if endpoint is None or not is_its_own(record, endpoint):
        message = "the endpoint that was deployed was deleted: change the spec to deploy it again"
        return ResourceState("ChangedByHand", message, settled=True, synced=False)
    return _describe_rollout(resource, record, endpoint)


def _describe_rollout(resource: EndpointResource, record: ResourceRecord, endpoint: Endpoint) -> ResourceState:
    rollout, last, why = endpoint.rollout, endpoint.last, status(endpoint)[1]

    def is_wanted(version: Version, asked_by: str) -> bool:
        """Whether it is what was deployed for the resource, or a version of the registry that its spec follows."""
        return version.config_name == record.config or (
            bool(asked_by) and asked_by == _find_followed(resource.spec)
        )

    if rollout is not None and rollout.successor is not None:
        if is_wanted(rollout.successor.wanted.version, rollout.successor.wanted.asked_by):
            return ResourceState("Superseding", why)
    elif rollout is not None and (is_wanted(rollout.new, rollout.asked_by) or _was_given_up(rollout, record)):
        if rollout.cause is not None or rollout.phase is Phase.ROLLING_BACK:
            return ResourceState("RollingBack", why)
        passed = rollout.holds_back or rollout.phase is Phase.TERMINATING
        reason = "Serving" if passed else "Paused" if rollout.pause else "RollingOut"
        return ResourceState(reason, why, ready=passed)
    elif rollout is None and endpoint.serving is not None and endpoint.mixed is None and not endpoint.failed:
        newest = last is not None and last.new.config_name == endpoint.serving.config_name
        if is_wanted(endpoint.serving, last.asked_by if newest and last else ""):
            return ResourceState("Serving", why, ready=True, settled=True)
    if rollout is None and endpoint.failed:
        return ResourceState("CreationFailed", why, settled=True)
    ours = last is not None and (is_wanted(last.new, last.asked_by) or _was_given_up(last, record))
    if rollout is None and last is not None and ours and last.cause is not None:
        return ResourceState("RolledBack", last.reason or why, settled=True)
    message = f"somebody else changed the endpoint, which is left so until the spec is changed: {why}"
    return ResourceState("ChangedByHand", message, settled=rollout is None, synced=False)


def _find_newest(endpoint: Endpoint) -> str:
    """The config that is rolled out, or else serves."""
    version = endpoint.serving if endpoint.rollout is None else endpoint.rollout.new
    return "" if version is None else version.config_name


def _was_given_up(rollout: Rollout, record: ResourceRecord) -> bool:
    """Whether what was deployed for the resource superseded this rollout, and was aborted before it began."""
    superseded = rollout.cause == Cause.SUPERSEDED and rollout.successor is None
    return superseded and record.config in (rollout.reason or "")


def _find_changed_settings(resource: EndpointResource, record: ResourceRecord, endpoint: Endpoint) -> list[str]:
    """Settings of the next rollout, at rest, that are not those deployed. Names of alarms contain that of the
    version, which is another one if the spec follows a registry."""
    if endpoint.rollout is not None or endpoint.deployment is None:
        return []
    now, skipped = settings(endpoint.deployment), {"alarms"} if _find_followed(resource.spec) else ()
    before = {key: value for key, value in record.settings.items() if key in now and key not in skipped}
    return [f"rollout.{key} {value} -> {now[key]}" for key, value in before.items() if now[key] != value]


def _find_scaled(resource: EndpointResource, endpoint: Endpoint, config: EndpointConfig | None) -> list[str]:
    """Variants at rest whose weight, or count if the spec scales it by no policy, is not the config's."""
    serving = endpoint.serving
    if config is None or endpoint.rollout is not None or serving is None or serving.config_name != config.name:
        return []
    given = {one.name: (one.weight, one.instance_count) for one in config.variants}
    autoscaled = "autoscaling" in resource.spec
    return [
        one.name
        for one in serving.production
        if one.serverless is None
        and (one.weight, given[one.name][1] if autoscaled else one.instance_count) != given[one.name]
    ]


def _find_followed(spec: Mapping[str, Any]) -> object:
    """The address that its model follows, by which the registry's versions are asked for; None: it follows none."""
    model = spec.get("model")
    return model.get("data") if isinstance(model, dict) and model.get("follow") else None


def make_status(resource: EndpointResource, state: ResourceState, now: datetime) -> dict[str, Any]:
    """The status of a resource; one whose conditions are as they were keeps their times. The names and meanings of
    Reconciling and Stalled are those of kstatus, which are there only while they are true."""
    if len(state.message) > LONGEST_MESSAGE:
        state = replace(state, message=f"{state.message[:LONGEST_MESSAGE]}...")
    wanted = {"Ready": state.ready, "Synced": state.synced}
    wanted |= {"Reconciling": True} if not state.settled and not state.ready else {}
    wanted |= {"Stalled": True} if state.settled and not state.ready else {}
    before = {one.get("type"): one for one in _conditions(resource.status)}
    known = {"phase": state.phase, "version": state.version, "share": state.share}
    return {
        "observedGeneration": resource.generation,
        "reason": state.reason,
        "message": state.message,
        **{name: text for name, text in known.items() if text},
        "conditions": [
            _condition(kind, is_so, before.get(kind), resource, state, now) for kind, is_so in wanted.items()
        ],
    }


def _conditions(found: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    return found.get("conditions") or ()


def _condition(
    kind: str,
    is_so: bool,
    before: Mapping[str, Any] | None,
    resource: EndpointResource,
    state: ResourceState,
    now: datetime,
) -> dict[str, Any]:
    text = "True" if is_so else "False"
    since = before.get("lastTransitionTime") if before and before.get("status") == text else None
    return {
        "type": kind,
        "status": text,
        "reason": state.reason,
        "message": state.message,
        "observedGeneration": resource.generation,
        "lastTransitionTime": since or now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
