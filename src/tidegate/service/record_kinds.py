"""The kinds of records in the store, each with the type of its body."""

from dataclasses import dataclass, field
from typing import Any

from tidegate.domain.alarm import Alarm
from tidegate.domain.endpoint import Endpoint, EndpointConfig
from tidegate.domain.history import History
from tidegate.domain.registry import Model, Tags
from tidegate.domain.transform import TransformJob
from tidegate.domain.usage import Usage
from tidegate.host.features import features
from tidegate.ports.store import Kind


@dataclass(frozen=True)
class TagSet:
    """Tags of one resource; the record's name is ``kind/name`` of the resource."""

    tags: Tags = field(default_factory=dict)


@dataclass(frozen=True)
class Cursor:
    """Last journal line whose state changes a receiver has got; the record's name is derived from its address."""

    seq: int


MODEL = Kind("model", Model)
CONFIG = Kind("config", EndpointConfig)
ENDPOINT = Kind("endpoint", Endpoint)
HISTORY = Kind("rollout-history", History)
USAGE = Kind("usage", Usage)
ALARM = Kind("alarm", Alarm)
TAGS = Kind("tags", TagSet)
TRANSFORM = Kind("transform", TransformJob)


CURSOR = Kind("state-events", Cursor)


CORE: tuple[Kind[Any], ...] = (MODEL, CONFIG, ENDPOINT, HISTORY, USAGE, ALARM, TAGS, TRANSFORM, CURSOR)

ENDPOINT_KINDS: tuple[Kind[Any], ...] = (HISTORY, USAGE)


def endpoint_kinds() -> tuple[Kind[Any], ...]:
    """Kinds of records that go with their endpoint, whose name they have: those of the core, and of all installed
    features. A feature that is off keeps none of an endpoint that is gone, which may come anew."""
    found = [*ENDPOINT_KINDS]
    for one in features().installed.values():
        if one.feature.endpoint_kinds:
            found += one.load(one.feature.endpoint_kinds)
    return tuple(found)


def all_kinds() -> tuple[Kind[Any], ...]:
    """The kinds of the core, and those of all installed features: the records of a feature that is off are kept."""
    found = [*CORE]
    for one in features().installed.values():
        if one.feature.kinds:
            found += one.load(one.feature.kinds)
    return tuple(found)
