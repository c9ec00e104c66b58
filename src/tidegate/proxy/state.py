"""The proxy's desired state, as one value that is kept on disk. Pure.

A fleet is put into a slot: a backend that was declared empty when the configuration was loaded, since HAProxy cannot
create backends at run time. There is a pool of slots for each balancing algorithm.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType

import msgspec

from tidegate.domain.admission import DEFAULT_ADMISSION, DEFAULT_QUEUE_TIME, Admission
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
"""Pool, the first letter of a slot's name: ``r12``, ``l3``, ``m0``, ``q0``, ``s4``."""
SLOTS = {"r": 256, "l": 64, BY_MODEL: 32, QUEUED: 32}
"""Initial slots of each pool; about 12 kB of memory each. Growing a pool needs a reload. ON_DEMAND has none before
there is a serverless endpoint: its slots need a HAProxy with Lua."""
UNKNOWN_PATH = ""
"""Path of a server that the running proxy has but no record names; see ``adoption``."""
INITIAL_POOL_SIZE = 8
"""Slots that an empty pool grows to."""


@dataclass(frozen=True)
class Seat:
    """A fleet in its slot, with its servers: replica id -> path of its unix socket, or its ``TcpAddress`` as
    text. ``numbers`` are HAProxy's numbers
    of the servers where they matter, in pool BY_MODEL; ``limits`` are their limits of concurrent requests."""

    fleet: FleetId
    slot: str
    servers: dict[str, str] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    limits: dict[str, int] = field(default_factory=dict)
    admission: Admission = DEFAULT_ADMISSION


@dataclass(frozen=True)
class ProxyState:
    """``emptying`` are slots of dropped fleets whose servers may still work.

    ``queues`` and ``headers`` reach HAProxy only through a reload: how long (seconds) a request waits in a slot, if
    not the default, and the headers that name clients.
    """

    sizes: dict[str, int]
    seats: tuple[Seat, ...] = ()
    emptying: tuple[str, ...] = ()
    tables: tuple[RouteTable, ...] = ()
    queues: dict[str, float] = field(default_factory=dict)
    headers: tuple[str, ...] = (rate_limits.DEFAULT_HEADER,)
    installation: str = ""
    """Installation whose replicas the servers are; empty in the state of an older version."""

    def of_installation(self, id: str, accepts_unmarked: bool) -> "ProxyState":
        """The state for this installation, without servers of another one whose state folder was copied."""
        ours = self.installation == id or (not self.installation and accepts_unmarked)
        seats = self.seats if ours else tuple(replace(seat, servers={}, limits={}) for seat in self.seats)
        return replace(self, seats=seats, installation=id)

    @cached_property
    def slots(self) -> Mapping[FleetId, str]:
        return {seat.fleet: seat.slot for seat in self.seats}

    @cached_property
    def fleets(self) -> Mapping[str, FleetId]:
        return {seat.slot: seat.fleet for seat in self.seats}

    @cached_property
    def encoded(self) -> bytes:
        """As JSON. A restarted controller gives each of hundreds of fleets the servers that it has."""
        return msgspec.json.encode(self)

    @cached_property
    def _seats(self) -> Mapping[str, tuple[Seat, ...]]:
        """By endpoint."""
        found: dict[str, tuple[Seat, ...]] = {}
        for seat in self.seats:
            found[seat.fleet.endpoint] = (*found.get(seat.fleet.endpoint, ()), seat)
        return found

    @cached_property
    def _tables(self) -> Mapping[str, RouteTable]:
        return {table.endpoint: table for table in self.tables}

    @property
    def unknown(self) -> tuple[FleetId, ...]:
        """Fleets with servers whose sockets are unknown, which a reload would lose."""
        return tuple(seat.fleet for seat in self.seats if UNKNOWN_PATH in seat.servers.values())

    def seat(self, fleet: FleetId) -> Seat | None:
        return next((seat for seat in self.seats_of(fleet.endpoint) if seat.fleet == fleet), None)

    def seats_of(self, endpoint: str) -> tuple[Seat, ...]:
        return self._seats.get(endpoint, ())

    def table(self, endpoint: str) -> RouteTable | None:
        return self._tables.get(endpoint)

    def with_servers(
        self,
        fleet: FleetId,
        routing: RoutingStrategy,
        servers: Mapping[str, str],
        present: Mapping[str, int] = MappingProxyType({}),
        limits: Mapping[str, int] = MappingProxyType({}),
        admission: Admission = DEFAULT_ADMISSION,
    ) -> "ProxyState":
        """The state in which the fleet has exactly these servers, in a free slot if it is new; a full pool grows.
        ``present`` are the numbers of the servers that HAProxy now has in the slot."""
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
        if admission.queue_time != DEFAULT_QUEUE_TIME:
            queues[seat.slot] = admission.queue_time
        headers = rate_limits.merge_headers(self.headers, admission.quotas)
        if seat == self.seat(fleet) and (queues, headers) == (self.queues, self.headers):
            return self
        seats = (*(s for s in self.seats if s.fleet != fleet), seat)
        return replace(grown, seats=seats, queues=queues, headers=headers)

    def without(self, fleet: FleetId) -> "ProxyState":
        left = tuple(seat for seat in self.seats if seat.fleet != fleet)
        gone = tuple(seat.slot for seat in self.seats if seat.fleet == fleet)
        return replace(self, seats=left, emptying=(*self.emptying, *gone))

    def emptied(self, slots: Iterable[str]) -> "ProxyState":
        return replace(self, emptying=tuple(slot for slot in self.emptying if slot not in set(slots)))

    def with_table(self, table: RouteTable) -> "ProxyState":
        """The state with this table. An empty table removes the endpoint with its fence, since the name may be reused
        for a new endpoint."""
        others = tuple(other for other in self.tables if other.endpoint != table.endpoint)
        return replace(self, tables=(*others, table) if table.routes else others)

    def _free(self, pool: str, queue_time: float) -> str | None:
        """A free slot, preferably one with this queue time, then one with the default."""
        used = {seat.slot for seat in self.seats} | set(self.emptying)
        free = [slot for n in range(self.sizes.get(pool, 0)) if (slot := f"{pool}{n}") not in used]
        fitting = [slot for slot in free if self.queues.get(slot, DEFAULT_QUEUE_TIME) == queue_time]
        return next(iter(fitting or [slot for slot in free if slot not in self.queues] or free), None)

    def _grown(self, pool: str) -> "ProxyState":
        return replace(self, sizes={**self.sizes, pool: 2 * self.sizes.get(pool, 0) or INITIAL_POOL_SIZE})
