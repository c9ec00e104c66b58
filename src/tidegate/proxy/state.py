"""What the proxy is to do, as one value that is kept on disk. Pure.

A fleet sits in a slot: a backend that HAProxy has had, empty, since its configuration was loaded, since backends
cannot be made at run time. There is a pool of slots for each way of picking a server.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from tidegate.domain.admission import QUEUE_TIME, USUAL, Admission
from tidegate.domain.fleet import FleetId, RoutingStrategy
from tidegate.domain.traffic import RouteTable
from tidegate.proxy import hash_ring, rate_limits

BY_MODEL = "m"
QUEUED = "q"
ON_DEMAND = "s"
POOLS = {
    RoutingStrategy.RANDOM: "r",
    RoutingStrategy.LEAST_OUTSTANDING_REQUESTS: "l",
    RoutingStrategy.BY_MODEL: BY_MODEL,
    RoutingStrategy.QUEUED: QUEUED,
    RoutingStrategy.ON_DEMAND: ON_DEMAND,
}
"""First letter of a slot's name: ``r12``, ``l3``, ``m0``, ``q0``, ``s4``."""
SLOTS = {"r": 256, "l": 64, BY_MODEL: 32, QUEUED: 32}
"""Slots of each pool to begin with; some 12 kB of memory each. More need a reload, which is rare then. ON_DEMAND has
none before there is a serverless endpoint: its slots need a HAProxy with Lua."""
UNKNOWN_PATH = ""
"""The path of a server that a running proxy has and that no record names; see ``adoption``."""
INITIAL_POOL_SIZE = 8
"""Slots that a pool begins with which has none yet."""


@dataclass(frozen=True)
class Seat:
    """A fleet in its slot, with its servers: replica id -> path of its unix socket. ``numbers`` are theirs in
    HAProxy where that matters, which is in the pool BY_MODEL; ``limits`` are the requests that each may have at one
    time."""

    fleet: FleetId
    slot: str
    servers: dict[str, str] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    limits: dict[str, int] = field(default_factory=dict)
    admission: Admission = USUAL


@dataclass(frozen=True)
class ProxyState:
    """``emptying`` are slots whose fleet is dropped and whose servers may still be at work.

    ``queues`` and ``headers`` are what HAProxy learns by a reload only: how long (seconds) a request waits in a slot,
    where that is not the usual time, and where names of clients stand."""

    sizes: dict[str, int]
    seats: tuple[Seat, ...] = ()
    emptying: tuple[str, ...] = ()
    tables: tuple[RouteTable, ...] = ()
    queues: dict[str, float] = field(default_factory=dict)
    headers: tuple[str, ...] = (rate_limits.DEFAULT_HEADER,)
    installation: str = ""
    """Whose replicas the servers are; empty in the state of an earlier program."""

    def of_installation(self, id: str, accepts_unmarked: bool) -> "ProxyState":
        """The state under this installation. Servers of another one, whose state folder was copied, are left out."""
        ours = self.installation == id or (not self.installation and accepts_unmarked)
        seats = self.seats if ours else tuple(replace(seat, servers={}, limits={}) for seat in self.seats)
        return replace(self, seats=seats, installation=id)

    @property
    def slots(self) -> dict[FleetId, str]:
        return {seat.fleet: seat.slot for seat in self.seats}

    @property
    def fleets(self) -> dict[str, FleetId]:
        return {seat.slot: seat.fleet for seat in self.seats}

    @property
    def unknown(self) -> tuple[FleetId, ...]:
        """Fleets with servers whose sockets are not known, which would be lost with a reload."""
        return tuple(seat.fleet for seat in self.seats if UNKNOWN_PATH in seat.servers.values())

    def seat(self, fleet: FleetId) -> Seat | None:
        return next((seat for seat in self.seats if seat.fleet == fleet), None)

    def table(self, endpoint: str) -> RouteTable | None:
        return next((table for table in self.tables if table.endpoint == endpoint), None)

    def with_servers(
        self,
        fleet: FleetId,
        routing: RoutingStrategy,
        servers: Mapping[str, str],
        present: Mapping[str, int] = MappingProxyType({}),
        limits: Mapping[str, int] = MappingProxyType({}),
        admission: Admission = USUAL,
    ) -> "ProxyState":
        """The fleet with exactly these servers, in a free slot if it is new. The pool grows if it has none.
        ``present`` are the numbers of the servers that HAProxy has in the slot now."""
        old, grown = self.seat(fleet), self
        if old is None:
            slot = self._free(POOLS[routing], admission.queue_time)
            if slot is None:
                grown = self._grown(POOLS[routing])
                slot = grown._free(POOLS[routing], admission.queue_time)
                assert slot is not None
            old = Seat(fleet, slot)
        seat = replace(old, servers=dict(servers), limits=dict(limits), admission=admission)
        if seat.slot.startswith(BY_MODEL):
            seat = replace(seat, numbers=hash_ring.assign_numbers(servers, old.numbers, present))
        queues = {slot: seconds for slot, seconds in self.queues.items() if slot != seat.slot}
        if admission.queue_time != QUEUE_TIME:
            queues[seat.slot] = admission.queue_time
        return replace(
            grown,
            seats=(*(s for s in self.seats if s.fleet != fleet), seat),
            queues=queues,
            headers=rate_limits.merge_headers(self.headers, admission.quotas),
        )

    def without(self, fleet: FleetId) -> "ProxyState":
        left = tuple(seat for seat in self.seats if seat.fleet != fleet)
        gone = tuple(seat.slot for seat in self.seats if seat.fleet == fleet)
        return replace(self, seats=left, emptying=(*self.emptying, *gone))

    def emptied(self, slots: Iterable[str]) -> "ProxyState":
        return replace(self, emptying=tuple(slot for slot in self.emptying if slot not in set(slots)))

    def with_table(self, table: RouteTable) -> "ProxyState":
        """An empty table takes the endpoint out, its fence with it: the name may come back as another endpoint."""
        others = tuple(other for other in self.tables if other.endpoint != table.endpoint)
        return replace(self, tables=(*others, table) if table.routes else others)

    def _free(self, pool: str, queue_time: float) -> str | None:
        """One with this queue time rather than another, and one with the usual one rather than with a third."""
        used = {seat.slot for seat in self.seats} | set(self.emptying)
        free = [slot for n in range(self.sizes.get(pool, 0)) if (slot := f"{pool}{n}") not in used]
        fitting = [slot for slot in free if self.queues.get(slot, QUEUE_TIME) == queue_time]
        return next(iter(fitting or [slot for slot in free if slot not in self.queues] or free), None)

    def _grown(self, pool: str) -> "ProxyState":
        return replace(self, sizes={**self.sizes, pool: 2 * self.sizes.get(pool, 0) or INITIAL_POOL_SIZE})
