"""State changes of endpoints, models, jobs and packages as EventBridge events, read from the journal.

An event is derived from two journal lines, so reading a change again gives the same event.
"""

import logging
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from tidegate.domain.arns import resource_arn
from tidegate.domain.decoding import prepare_type
from tidegate.domain.endpoint import Endpoint, EndpointConfig
from tidegate.domain.errors import UnreadableRecord
from tidegate.domain.registry import Model, Tags
from tidegate.domain.transform import TransformJob
from tidegate.host.features import features
from tidegate.ports.store import JournalLine, Kind, Tx
from tidegate.rollout.status import status
from tidegate.service import tags as labels
from tidegate.service.record_kinds import CONFIG, ENDPOINT, MODEL, TRANSFORM

log = logging.getLogger(__name__)

Detail = dict[str, Any]
MAX_LINES = 200
"""Journal lines per read."""


@dataclass(frozen=True)
class EventShape:
    """How changes of one kind of record become events. ``resource``: resource part of the ARN. ``state``: the value
    whose change causes an event; None for a deleted record."""

    kind: Kind[Any]
    detail_type: str
    member: str
    resource: Callable[[Any], str]
    state: Callable[[Any], object]
    detail: Callable[[Any], Detail]


@dataclass(frozen=True)
class AccountRegion:
    region: str
    account: str

    def arn(self, resource: str) -> str:
        return resource_arn("sagemaker", self.region, self.account, resource)


@dataclass(frozen=True)
class EventBatch:
    """``through``: last journal line that was read."""

    events: list[Detail] = field(default_factory=list)
    through: int = 0


def read_events(tx: Tx, after: int, place: AccountRegion) -> EventBatch:
    """Events of the next lines."""
    lines = tx.journal(after=after, limit=MAX_LINES)
    events = [event for line in lines if (event := _try_event(tx, line, place)) is not None]
    return EventBatch(events, lines[-1].seq if lines else after)


def _try_event(tx: Tx, line: JournalLine, place: AccountRegion) -> Detail | None:
    """Derive the event of a line. A record that makes no sense is left out: it would hold up all later events."""
    try:
        return _event(tx, line, place)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, AssertionError) as error:
        log.warning("line %d of the journal gives no event: %s: %s", line.seq, type(error).__name__, error)
        return None


def newest_line(tx: Tx) -> int:
    """Number of the last journal line; 0: none."""
    return max((line.seq for line in tx.journal(limit=1, newest_first=True, bodies=False)), default=0)


def _event(tx: Tx, line: JournalLine, place: AccountRegion) -> Detail | None:
    shape = _find_shape(line.kind)
    if shape is None:
        return None
    earlier = tx.journal(kind=line.kind, name=line.name, after=line.seq, limit=1, newest_first=True)
    before, after = _body(shape, earlier), _body(shape, [line])
    old, new = (None if body is None else shape.state(body) for body in (before, after))
    shown = after if after is not None else before
    if old == new or shown is None:
        return None
    if after is None and shape.kind is ENDPOINT:
        return None  # the event for DELETING was the last one
    arn = place.arn(shape.resource(shown))
    detail = {f"{shape.member}Arn": arn, **shape.detail(shown), "Tags": _tags(tx, shape, line.name)}
    return {
        "version": "0",
        "id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{place.arn('journal')}/{line.seq}")),
        "detail-type": f"SageMaker {shape.detail_type} State Change",
        "source": "aws.sagemaker",
        "account": place.account,
        "time": line.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": place.region,
        "resources": [arn],
        "detail": {name: value for name, value in detail.items() if value is not None},
    }


def _tags(tx: Tx, shape: EventShape, name: str) -> Tags | None:
    """None: they cannot be read, which holds up no event."""
    try:
        return labels.read(tx, shape.kind, name)
    except UnreadableRecord:
        return None


def _body(shape: EventShape, lines: Iterable[JournalLine]) -> Any:
    """None: the record is deleted, or this version of tidegate cannot read it."""
    for line in lines:
        if line.body is not None:
            try:
                return msgspec.convert(line.body, prepare_type(shape.kind.type), str_keys=True)
            except msgspec.ValidationError:
                return None
    return None


def _endpoint(endpoint: Endpoint) -> Detail:
    version = endpoint.rollout.new if endpoint.rollout is not None else endpoint.serving
    return {
        "EndpointName": endpoint.name,
        "EndpointConfigName": version.config_name if version is not None else None,
        "EndpointStatus": status(endpoint)[0].name,  # IN_SERVICE, where Describe has InService
        "FailureReason": endpoint.failure_reason,
        "CreationTime": to_milliseconds(endpoint.created_at),
        "LastModifiedTime": to_milliseconds(endpoint.modified_at),
    }


def _transform(job: TransformJob) -> Detail:
    return {
        "TransformJobName": job.name,
        "TransformJobStatus": job.status.value,
        "FailureReason": job.reason or None,
        "ModelName": job.model.name,
        "CreationTime": to_milliseconds(job.created_at),
    }


def _model(model: Model) -> Detail:
    return {"ModelName": model.name, "CreationTime": to_milliseconds(model.created_at)}


def _config(config: EndpointConfig) -> Detail:
    return {"EndpointConfigName": config.name, "CreationTime": to_milliseconds(config.created_at)}


def to_milliseconds(instant: datetime) -> int:
    return int(instant.timestamp() * 1000)


_SHAPES = {
    shape.kind.name: shape
    for shape in (
        EventShape(
            ENDPOINT, "Endpoint", "Endpoint", lambda e: f"endpoint/{e.name}", lambda e: status(e)[0], _endpoint
        ),
        EventShape(
            TRANSFORM,
            "Transform Job",
            "TransformJob",
            lambda j: f"transform-job/{j.name}",
            lambda j: j.status,
            _transform,
        ),
        EventShape(MODEL, "Model", "Model", lambda m: f"model/{m.name}", lambda m: "", _model),
        EventShape(
            CONFIG,
            "Endpoint Config",
            "EndpointConfig",
            lambda c: f"endpoint-config/{c.name}",
            lambda c: "",
            _config,
        ),
    )
}


def _find_shape(kind: str) -> EventShape | None:
    """Features add the shapes of their records with the hook ``event_shapes``."""
    if kind in _SHAPES:
        return _SHAPES[kind]
    shapes = (shape for _, found in features().hooks("event_shapes") for shape in found)
    return next((shape for shape in shapes if shape.kind.name == kind), None)
