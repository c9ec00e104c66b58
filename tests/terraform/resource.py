"""Terraform's AWS provider re-enacted on boto3: which calls its resources make, in which order, what they take from
the answers, and by which codes and texts they know that something is not there.

After hashicorp/terraform-provider-aws, version 6 (files of 6.23 and later), below internal/service:
sagemaker/model.go, sagemaker/endpoint_configuration.go, sagemaker/endpoint.go, sagemaker/tags_gen.go,
appautoscaling/target.go, appautoscaling/policy.go, appautoscaling/scheduled_action.go, appautoscaling/tags_gen.go,
cloudwatch/metric_alarm.go and cloudwatch/tags_gen.go. Configurations are written in the members that the provider
makes of its arguments, those included that it sends although nobody wrote them. Tags of a resource are sent with its
creation, changed before its update (taken off, then put on) and listed after each of its reads.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from botocore.exceptions import ClientError

Members = dict[str, Any]
Look = Callable[[], bool]
"""One look of a waiter: whether it is done. Raises AssertionError for what the waiter does not expect."""

_SETS = frozenset(
    {
        "AlarmActions",
        "Alarms",
        "Dimensions",
        "IncludeInferenceResponseIn",
        "InsufficientDataActions",
        "JsonContentTypes",
        "Metrics",
        "OKActions",
        "SecurityGroupIds",
        "StepAdjustments",
        "Subnets",
    }
)
"""Lists whose order means nothing to the provider."""


@dataclass(frozen=True)
class Clients:
    sagemaker: Any
    scaling: Any
    cloudwatch: Any
    wait: Callable[[str, Look], None]
    """Looks at the endpoint of this name until the look is done."""


class Resource(ABC):
    """One resource: its configuration, and what is made of it."""

    READ: ClassVar[tuple[str, ...]]
    """Members that a read takes into the state."""
    COMPUTED: ClassVar[frozenset[str]] = frozenset()
    """Those of them that may come although nobody wrote them."""
    ARN: ClassVar[str]
    """The member with the ARN of the resource."""

    def __init__(self, clients: Clients, tags: Mapping[str, str] | None = None, **written: Any) -> None:
        self.clients = clients
        self.tags = dict(tags or {})
        self.written = written

    @classmethod
    @abstractmethod
    def imported(cls, clients: Clients, id: str) -> "Resource":
        """The resource with no more than its key, as ``terraform import`` has it before it reads."""

    @abstractmethod
    def create(self) -> None: ...

    @abstractmethod
    def find(self) -> Members | None:
        """What is there, or None where the provider takes the answer for "not found"."""

    def update(self, changed: frozenset[str]) -> None:
        raise AssertionError(f"{type(self).__name__} is replaced, not updated, for {sorted(changed)}")

    @abstractmethod
    def delete(self) -> None: ...

    @abstractmethod
    def list_tags(self, arn: str) -> dict[str, str]: ...

    @abstractmethod
    def untag(self, arn: str, keys: list[str]) -> None: ...

    @abstractmethod
    def tag(self, arn: str, tags: dict[str, str]) -> None: ...

    def apply(self) -> Members:
        """Creates and reads, which must find it."""
        self.create()
        state = self.read()
        assert state is not None, "found right after it was made"
        return state

    def read(self) -> Members | None:
        """Refreshes: None takes the resource out of the state."""
        found = self.find()
        if found is None:
            return None
        state = {name: found.get(name) for name in self.READ}
        return {**state, "arn": found[self.ARN], "tags": self.list_tags(found[self.ARN])}

    def plan(self) -> dict[str, tuple[Any, Any]]:
        """What is to be changed: argument -> (in the state, in the configuration). Empty: no changes."""
        state = self.read()
        assert state is not None, "still there"
        wanted = {**{name: self.written.get(name) for name in self.READ}, "tags": self.tags}
        pairs = {name: (_plain(name, state[name]), _plain(name, value)) for name, value in wanted.items()}
        ours = {name for name in self.COMPUTED if name not in self.written}
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1] and name not in ours}

    def change(self, tags: Mapping[str, str] | None = None, **written: Any) -> None:
        """Updates in place; a member that is None is taken out of the configuration."""
        state = self.read()
        assert state is not None
        if tags is not None:
            self._retag(state["arn"], dict(tags))
        changed = frozenset(name for name, value in written.items() if self.written.get(name) != value)
        self.written = {name: value for name, value in (self.written | written).items() if value is not None}
        if changed:
            self.update(changed)
        self.read()

    def _retag(self, arn: str, tags: dict[str, str]) -> None:
        removed = [key for key in self.tags if key not in tags]
        if removed:
            self.untag(arn, removed)
        put = {key: value for key, value in tags.items() if self.tags.get(key) != value}
        if put:
            self.tag(arn, put)
        self.tags = tags


def _plain(name: str, value: Any) -> Any:
    """As Terraform compares: nothing, zero, false and empty are one; sets have no order."""
    if isinstance(value, Mapping):
        inner = {key: _plain(key, entry) for key, entry in value.items()}
        return {key: entry for key, entry in inner.items() if entry is not None}
    if isinstance(value, list | tuple):
        entries = [_plain("", entry) for entry in value]
        if name in _SETS:
            entries.sort(key=lambda entry: json.dumps(entry, sort_keys=True, default=str))
        return entries or None
    return value or None


def missing(error: ClientError, code: str, text: str = "") -> bool:
    found = error.response["Error"]
    return found["Code"] == code and text in found["Message"]


def single(found: list[Members]) -> Members | None:
    assert len(found) < 2, "the provider refuses to choose"
    return found[0] if found else None


def pairs(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
