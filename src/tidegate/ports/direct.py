"""Deployments that a target carries out by its own means: driven by a command, without a server."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tidegate.domain.desired import DesiredDeployment
from tidegate.ports.logs import ReplicaLog
from tidegate.ports.target import Options

Say = Callable[[str], None]
"""Takes a line for people about what is being done."""


@dataclass(frozen=True)
class DirectResult:
    """Result of a deployment. ``exit_status`` is 0 if the desired version serves; otherwise there is one for each way
    in which it does not."""

    outcome: str
    message: str
    exit_status: int
    details: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class DirectChange:
    """One change that a deployment would make. ``what`` is in the target's own terms, and the values are text; an
    empty value means that there is none."""

    what: str
    before: str
    after: str


@dataclass(frozen=True)
class SmokeRequest:
    """Sent to an endpoint that was just created, where nothing else guards the first version."""

    body: bytes
    content_type: str = "text/csv"


class DirectDeployer(Protocol):
    """Calls block until they are done, and raise TidegateError."""

    def deploy(self, wish: DesiredDeployment, *, wait: bool, smoke: SmokeRequest | None) -> DirectResult: ...

    def status(self, endpoint: str) -> DirectResult: ...

    def watch(self, endpoint: str) -> DirectResult:
        """Follow the update in progress to its end."""
        ...

    def abort(self, endpoint: str) -> DirectResult:
        """Roll the update in progress back, and wait for that."""
        ...

    def delete(self, endpoint: str, *, wait: bool) -> DirectResult: ...

    def diff(self, wish: DesiredDeployment) -> Sequence[DirectChange]:
        """Return what deploying would change, without changing anything."""
        ...

    def logs(self, endpoint: str, lines: int) -> Sequence[ReplicaLog]:
        """The last lines of each instance that wrote some."""
        ...

    def history(self, endpoint: str) -> Sequence[Mapping[str, object]]:
        """Versions that were deployed, newest first."""
        ...


OpenDirect = Callable[[Options, Say], DirectDeployer]
