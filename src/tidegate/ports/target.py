"""A place where fleets run, and everything that the platform asks of it.

``Target`` is what rollouts drive. It shows what it has and takes desired states; it decides nothing. ``Provider``
joins it with the evidence, logs and jobs of the same place; ``targets/registry.py`` lists the providers.

Errors of every call: ``Transient`` (retry), ``TargetRefused`` (never will). Calls that change something return
nothing: the truth comes from ``observe``.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.fleet import FleetId, FleetSpec
from tidegate.domain.metric import CollectionRound
from tidegate.domain.observation import Capabilities, FleetStatus, Observation
from tidegate.domain.recommendation import ConfigurationTrial, RecommendationJob, RecommendedInstance
from tidegate.domain.registry import ContainerDefinition
from tidegate.domain.traffic import RouteTable
from tidegate.ports.artifacts import Artifacts
from tidegate.ports.endpoint_resources import EndpointResources
from tidegate.ports.logs import Logs
from tidegate.ports.runners import Runners

# --- processes that run recommendation jobs: one per job, which outlives the process that started it ---


@dataclass(frozen=True)
class RecommenderState:
    """State of a job's process. ``reason`` is that of a job that has ended, and empty if the job is complete; None
    means that it has not ended. ``said`` is the last line that the process wrote."""

    alive: bool
    steps: tuple[ConfigurationTrial, ...] = ()
    reason: str | None = None
    found: tuple[RecommendedInstance, ...] = ()
    said: str = ""


class Recommenders(Protocol):
    def kept(self) -> tuple[str, ...]:
        """Jobs of which something is left: a process, or files of its work."""
        ...

    async def start(self, job: RecommendationJob, file: bytes) -> None:
        """Start the job. No-op if it is already running. The process is started with ``file``. Raises Transient."""
        ...

    async def look(self, name: str) -> RecommenderState: ...

    def stop(self, name: str) -> None:
        """Ask it to end, then kill it."""
        ...

    async def discard(self, name: str) -> None:
        """End what a process that has gone left running, and remove its files."""
        ...

    async def end(self, drain: bool) -> None:
        """End every job's process, which begins anew at the next start; without ``drain`` leave them running for the
        next controller. This runs when the controller ends."""
        ...


# --- measurements of the fleets of a target ---


class EvidenceSource(Protocol):
    async def collect(self, now: int) -> CollectionRound:
        """Everything new that is over by ``now`` (epoch seconds), one record per fleet and second, and over which
        span the requests of each endpoint were counted without a hole. Called once a second. Counts that are late
        come with a later call; what was lost for good shortens the span. Raises TidegateError."""
        ...

    def refresh(self, look: Observation) -> Observation:
        """An earlier look with the load that is known by now: what is in flight and queued, for decisions on size."""
        ...

    async def list_models(self, endpoint: str, most: int) -> Sequence[Mapping[str, object]]:
        """Return JSON data for each replica: of a multi-model endpoint with at most ``most`` of the models that the
        replica has loaded, of any other with the signature of its model. It is empty if a target cannot report
        them."""
        ...


__all__ = [
    "Capabilities",
    "CheckFinding",
    "Checker",
    "Chore",
    "Document",
    "Fleets",
    "Level",
    "Lifecycle",
    "Look",
    "ObservesAll",
    "Options",
    "Provider",
    "Renderer",
    "Rendering",
    "Target",
]


@dataclass(frozen=True)
class Look:
    """Observation of one endpoint on one target. A part that could not be observed is None, and ``trouble`` says why,
    if that is known."""

    fleets: dict[FleetId, FleetStatus] | None
    routes: RouteTable | None
    trouble: str | None = None


class Target(Protocol):
    """Fleets and traffic of endpoints. ``can`` is data: plans are compiled against it."""

    name: str
    can: Capabilities

    async def observe(self, endpoint: str) -> Look: ...

    async def ensure_fleet(self, fleet: FleetSpec, fence: int) -> None:
        """Create or resize; doing it again is harmless; a lower fence than the fleet's last is dropped."""
        ...

    async def delete_fleet(self, fleet: FleetId, fence: int) -> None:
        """Drain, then remove; absent is success."""
        ...

    async def set_traffic(self, table: RouteTable) -> None:
        """Swap the endpoint's table; one with a lower fence than the one in force is dropped."""
        ...


@runtime_checkable
class ObservesAll(Protocol):
    """A ``Target`` that can show many endpoints for little more than one."""

    async def observe_all(self, endpoints: Collection[str]) -> Mapping[str, Look]:
        """``observe`` of each; one that cannot be seen now is absent."""
        ...


class Fleets(Protocol):
    """The part of a target that jobs need: fleets without traffic."""

    async def ensure_fleet(self, fleet: FleetSpec, fence: int) -> None: ...

    async def delete_fleet(self, fleet: FleetId, fence: int) -> None: ...

    def seen(self, fleet: FleetId) -> FleetStatus | None:
        """Return the known status of a fleet; None if the fleet does not exist and nothing is left of it."""
        ...


@dataclass(frozen=True)
class Chore:
    """Work that a target needs done every ``seconds``, such as removing old logs."""

    seconds: float
    work: Callable[[], Awaitable[None]]


class Lifecycle(Protocol):
    """How a target starts and stops with its controller, and what the data plane reports to it."""

    @property
    def chores(self) -> Sequence[Chore]: ...

    def prepare(self) -> None:
        """Check and write what the start needs, before anything starts. Raises OSError or StartupError."""
        ...

    def start(self) -> None:
        """Adopt what an earlier controller left running. Needs a running event loop."""
        ...

    async def retire_unknown(self, owners: Collection[str]) -> None:
        """Stop the fleets, and remove the routes, of endpoints and jobs that have no record: the store was restored
        or changed. ``owners`` is complete."""
        ...

    def serves(self) -> bool:
        """Return whether a replica of an endpoint takes requests, or finishes some."""
        ...

    def desired(self) -> list[FleetSpec]:
        """The fleets that should exist."""
        ...

    def wake(self, fleet: FleetId, since: float) -> None:
        """A request has waited since then (epoch seconds) for a fleet without a ready replica."""
        ...

    def kick(self, fleet: FleetId) -> None:
        """A replica of the fleet has news."""
        ...

    async def stop(self, drain: bool) -> None:
        """End every replica gently and wait for it; without ``drain`` leave them to the next controller."""
        ...


@dataclass(frozen=True)
class Provider:
    """All that one target supplies. What supervises its fleets calls ``TargetContext.changed`` when there is news."""

    target: Target
    fleets: Fleets
    lifecycle: Lifecycle
    evidence: EvidenceSource
    logs: Logs
    runners: Runners
    recommenders: Recommenders
    artifacts: Artifacts | None = None
    """None: the target keeps no model data of earlier versions, so nothing that has some can be undone."""
    runs_transforms: bool = False
    """Whether transform jobs run there where it is the default of several targets."""
    resources: EndpointResources | None = None
    """None: endpoints are not declared as resources there."""
    check_container: Callable[[ContainerDefinition], None] | None = None
    """Raises Invalid for a container that cannot run there. None: the rules of this machine's own workers."""
    cut_off: Callable[[], str | None] = lambda: None
    """Why another controller, elsewhere, may be able to observe and control the target where this one cannot; None:
    this one can, or has not tried for long enough."""
    trouble: Callable[[], str | None] = lambda: None
    """Why the target cannot be observed or controlled now, for the health check; None: it can."""


@dataclass(frozen=True)
class Document:
    """One thing that a target would create: a manifest, a call of an API, a template. ``body`` is JSON data."""

    name: str
    body: Mapping[str, object]


@dataclass(frozen=True)
class Rendering:
    """Documents that a target would create. ``notes`` has what a reader should know and the documents do not say, one
    line each; ``refusals`` what the target would refuse, so that the documents could not be created."""

    documents: tuple[Document, ...]
    notes: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"
    ERROR = "error"
    UNKNOWN = "unknown"
    """It could not be checked."""


@dataclass(frozen=True)
class CheckFinding:
    """Result of one check of a target: ``what`` was checked, what was found, and what to do about it."""

    what: str
    level: Level
    message: str
    remedy: str = ""


Options = Mapping[str, object]
"""Settings of a target, from the file of TIDEGATE_TARGETS; each target documents and checks its own."""
Renderer = Callable[[DesiredDeployment, Options], Rendering]
Checker = Callable[[Options, DesiredDeployment | None], Sequence[CheckFinding]]
"""Checks access, permissions, quotas and versions, also for one deployment; changes nothing and raises nothing."""
