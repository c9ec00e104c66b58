"""The result of compiling a deployment: AWS calls in order, with notes and refusals."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Params = dict[str, Any]


@dataclass(frozen=True)
class SagemakerCall:
    """One request. ``${KEY.Member}`` in its parameters stands for a member of the answer to that call."""

    service: str
    """As boto3 names it."""
    operation: str
    params: Params
    why: str
    key: str = ""


@dataclass(frozen=True)
class Upload:
    """A local file or folder that becomes objects whose keys contain its digest, so they are never overwritten."""

    path: str
    bucket: str
    key: str
    """Of the object; for a folder, or a plain file beside which others may lie, a prefix that ends in ``/``."""
    sha256: str
    size: int


@dataclass(frozen=True)
class LocalData:
    """Model data on this machine, as measured before compiling."""

    path: str
    sha256: str
    size: int
    folder: bool = False


@dataclass(frozen=True)
class ServingVariant:
    """One variant of what an endpoint runs now."""

    name: str
    instance_type: str
    count: int
    serverless: bool = False
    scalable: tuple[str, ...] = ()
    """Scalable dimensions that are registered for it."""


@dataclass(frozen=True)
class RunningConfig:
    """The config and the variants that an endpoint runs now. A compiled update depends on them."""

    config_name: str
    variants: tuple[ServingVariant, ...]

    def variant(self, name: str) -> ServingVariant | None:
        return next((one for one in self.variants if one.name == name), None)


@dataclass(frozen=True)
class UpdateStep:
    """One step of a rollout as SageMaker will really do it. ``asked`` and ``share`` are parts of the traffic."""

    instances: int
    total: int
    share: float
    asked: float
    wait: int


@dataclass
class Findings:
    """Collects what the parts of the compiler have to say."""

    notes: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def refuse(self, text: str) -> None:
        if text not in self.refusals:
            self.refusals.append(text)


@dataclass(frozen=True)
class CompiledDeployment:
    """A whole deployment. With refusals it must not be carried out."""

    endpoint: str
    config_name: str
    digest: str
    """Of everything that is deployed; the value of the tag ``tidegate:digest``."""
    uploads: tuple[Upload, ...]
    models: tuple[SagemakerCall, ...]
    config: SagemakerCall
    alarms: tuple[SagemakerCall, ...]
    before: tuple[SagemakerCall, ...]
    """Scalable targets that must be deregistered first."""
    change: SagemakerCall
    """CreateEndpoint or UpdateEndpoint."""
    scaling: tuple[SagemakerCall, ...]
    """Made once the endpoint is in service."""
    steps: tuple[UpdateStep, ...] = ()
    waits: int = 0
    """Seconds of all bakes."""
    guards: tuple[str, ...] = ()
    """Names of the alarms that roll the update back, the abort alarm included."""
    abort_alarm: str = ""
    require_evidence: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()

    @property
    def creates(self) -> bool:
        return self.change.operation == "CreateEndpoint"

    @property
    def calls(self) -> tuple[SagemakerCall, ...]:
        return (*self.models, self.config, *self.alarms, *self.before, self.change, *self.scaling)
