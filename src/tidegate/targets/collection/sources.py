"""Interfaces that a target whose replicas are tidegate's workers offers to the collector."""

from collections.abc import Awaitable, Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from tidegate.domain.devices import DeviceReading
from tidegate.domain.fleet import FleetId, FleetSpec
from tidegate.domain.observation import FleetStatus
from tidegate.ports.router import PassedRequests, ServerAddress

MOST_BODY = 32 * 2**20
"""Bytes of an answer."""
TOO_LARGE = 413
"""Status that stands for an answer with a larger body, which is not read."""

Get = Callable[[ServerAddress, str, float], Awaitable[tuple[int, bytes] | None]]
"""GET of a path from a worker, within so many seconds: status and body, or None where there is no answer."""


class ServingReplica(NamedTuple):
    """A replica that takes requests or finishes some."""

    fleet: FleetSpec
    id: str
    pid: int
    """0: of another machine."""
    socket: ServerAddress
    devices: tuple[str, ...] = ()
    """Accelerators of its own."""


ReadActivity = Callable[[ServingReplica], int | None]
"""A number that has risen if the page of a replica may have changed since it was read; None where it is not known."""


@dataclass(frozen=True)
class ReplicaUsage:
    """``cpu``: percent of one core since the last measurement; ``memory``: percent of the machine's."""

    cpu: float
    memory: float


MeasureUsage = Callable[[Sequence[int]], Mapping[int, ReplicaUsage]]
"""Usage by process id; a process that is gone, or cannot be read, is absent."""


ReadDevices = Callable[[Sequence[str]], Mapping[str, DeviceReading]]
"""What each device did lately, by its name; one that cannot be read is absent."""


Followed = Callable[[], Container[tuple[str, str]] | None]
"""Endpoints and variants whose replicas at rest are counted as idle in every second, since autoscaling follows them;
None: all."""


def follow_all() -> None:
    """Return None: nobody says what autoscaling follows."""


class WorkerFleets(Protocol):
    """The fleets that the collector asks, and where it leaves what decisions need at once."""

    def serving(self) -> Iterable[ServingReplica]: ...

    def provisioned(self) -> list[FleetSpec]:
        """Return the serverless fleets that keep replicas for requests to come."""
        ...

    def spec(self, fleet: FleetId) -> FleetSpec | None:
        """Return the specification of a fleet that exists, with or without replicas; None if it does not exist."""
        ...

    def seen(self, fleet: FleetId) -> FleetStatus | None:
        """Return the status of a fleet. None: the fleet does not exist, and nothing is left of it."""
        ...

    def ready_count(self, fleet: FleetId) -> int: ...

    def set_load(self, passed: Mapping[FleetId, PassedRequests]) -> None:
        """Take the router's load for each fleet, once a second."""
        ...

    def set_answers(self, counts: Mapping[FleetId, tuple[int, int]]) -> None:
        """Take how many requests of each fleet were answered, and how many failed, since this controller follows
        it."""
        ...
