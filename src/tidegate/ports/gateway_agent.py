"""Messages between a controller and the agent of a gateway on another machine, as JSON over HTTP.

    GET  /ready                   200 once it has all endpoints and its proxy serves; without a token
    GET  /v1/state                ``AgentState``
    GET  /v1/endpoints/NAME       ``EndpointView``
    GET  /v1/endpoints/NAME/plan  the ``EndpointPlan`` that was put last
    PUT  /v1/endpoints/NAME       an ``EndpointPlan``
    POST /v1/synced               all endpoints have been put: it may take traffic
    GET  /v1/passed               ``PassedTotals``
    GET  /v1/demand?wait=SECONDS  ``DemandReport``: at once where a request waits for a server, else after so long

Each needs the token, except the first. 409: the plan is older than the one in force. 503: try again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256

import msgspec

from tidegate.domain.admission import DEFAULT_ADMISSION, Admission
from tidegate.domain.fleet import FleetId, RoutingStrategy
from tidegate.domain.traffic import RouteTable


@dataclass(frozen=True)
class FleetPlan:
    """The servers of one fleet: replica id -> ``TcpAddress`` as text."""

    fleet: FleetId
    routing: RoutingStrategy
    servers: dict[str, str]
    limits: dict[str, int] = field(default_factory=dict)
    admission: Admission = DEFAULT_ADMISSION


@dataclass(frozen=True)
class EndpointPlan:
    """All that a gateway needs of one endpoint. One without fleets and routes removes it.

    ``controller`` rises with each controller that leads: plans of an earlier one are refused."""

    controller: int
    table: RouteTable
    fleets: tuple[FleetPlan, ...] = ()

    @property
    def digest(self) -> str:
        """Equal for plans that differ in nothing but the controller."""
        return sha256(msgspec.json.encode(replace(self, controller=0), order="sorted")).hexdigest()[:16]


@dataclass(frozen=True)
class AgentState:
    """``boot`` is another after each start of the agent. ``digests``: endpoint -> digest of the plan in force."""

    boot: str
    synced: bool
    controller: int
    digests: dict[str, str]


@dataclass(frozen=True)
class EndpointView:
    """State that the proxy has in force. ``alive`` maps fleet -> replica -> whether the proxy considers it alive."""

    table: RouteTable
    alive: dict[str, dict[str, bool]]


@dataclass(frozen=True)
class RouterTotals:
    """Counts since the agent's start; the last three are as of now."""

    unanswered: int = 0
    refused: int = 0
    throttled: int = 0
    unavailable: int = 0
    in_flight: int = 0
    queued: int = 0
    queue_time: float | None = None
    down: tuple[str, ...] = ()
    unserved: bool = False


@dataclass(frozen=True)
class PassedTotals:
    boot: str
    fleets: Mapping[str, RouterTotals]


@dataclass(frozen=True)
class FleetDemand:
    """Requests for a serverless fleet: those being served or waiting now, and all so far (from 0 again after the
    proxy was started or reloaded). ``waits_since``: epoch seconds since when one waits because the fleet has no
    server; None: none does."""

    now: int
    ever: int
    waits_since: float | None = None


@dataclass(frozen=True)
class DemandReport:
    """Demand for every serverless fleet that the gateway has."""

    boot: str
    fleets: Mapping[str, FleetDemand]

    @property
    def waits(self) -> bool:
        """Whether a request waits for a fleet without a server."""
        return any(one.waits_since is not None for one in self.fleets.values())


@dataclass(frozen=True)
class AgentSettings:
    """The file that an agent is started with."""

    port: int
    """Of the agent; the proxy's is in ``proxy``."""
    token_file: str
    state: str
    proxy: dict[str, object]
    """Fields of ``Settings`` that the proxy reads."""
    signed: bool
    host: str = "0.0.0.0"
    """Address on which the agent listens."""
    copies_port: int = 0
    """Where workers send copies of requests for shadow fleets; 0: nowhere."""
    own_hosts: tuple[str, ...] = ()
    """Environment variables with addresses of this machine, by which clients may call it when nothing is signed."""
    leave_after: float = 5.0
    """Seconds from SIGTERM until it stops listening, in which others learn that it leaves."""
