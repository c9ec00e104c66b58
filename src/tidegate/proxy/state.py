"""The proxy's desired state, as one value that is kept on disk. Pure.

A fleet is put into a slot: a backend that was declared empty when the configuration was loaded, since HAProxy cannot
create backends at run time. There is a pool of slots for each balancing algorithm.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from itertools import count
from types import MappingProxyType

import msgspec

from tidegate.domain.admission import DEFAULT_ADMISSION, DEFAULT_QUEUE_TIME, Admission
from tidegate.domain.fleet import FleetId, RoutingStrategy
from tidegate.domain.traffic import RouteTable
from tidegate.proxy import rate_limits

# Positions of a multi-model fleet's servers on the consistent-hash ring. Pure. HAProxy places a server by its
# number, which defaults to its position in the file. tidegate records each server's number instead, so a reload
# moves no model, an additional server takes an equal part from all others, and a replacement takes the dead
# server's number and with it exactly its models.


def assign_numbers(names: Iterable[str], known: Mapping[str, int], present: Mapping[str, int]) -> dict[str, int]:
    """Assign a number to each server: its present one (``known`` from the state, ``present`` in HAProxy), else the
    lowest free one. A draining server keeps its number until it is removed."""
    wanted = list(names)
    numbers = {name: number for name in wanted if (number := known.get(name, present.get(name))) is not None}
    free = (number for number in count(1) if number not in {*present.values(), *numbers.values()})
    return {name: numbers[name] if name in numbers else next(free) for name in wanted}


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
class _Index:
    """Seats and tables by their names, with what is encoded of each. A change copies it, which takes a fraction of
    the time of making it anew: of a thousand endpoints one changes at a time."""

    seats: dict[FleetId, Seat]
    tables: dict[str, RouteTable]
    """By endpoint, as ``by_endpoint``."""
    slots: dict[FleetId, str]
    fleets: dict[str, FleetId]
    by_endpoint: dict[str, dict[FleetId, Seat]]
    encoded_seats: dict[FleetId, msgspec.Raw]
    encoded_tables: dict[str, msgspec.Raw]

    @classmethod
    def of(cls, seats: Iterable[Seat], tables: Iterable[RouteTable]) -> "_Index":
        index = cls({}, {}, {}, {}, {}, {}, {})
        for seat in seats:
            index._add(seat)
        for table in tables:
            index._set(table)
        return index

    def with_seat(self, seat: Seat) -> "_Index":
        index = self.without_seat(seat)
        index._add(seat)
        return index

    def without_seat(self, seat: Seat) -> "_Index":
        """Return a copy of the index without the fleet of the seat, which need not be in the index."""
        index, fleet = self._copy(), seat.fleet
        if (old := index.seats.pop(fleet, None)) is not None:
            del index.slots[fleet], index.fleets[old.slot], index.encoded_seats[fleet]
            left = {id: one for id, one in index.by_endpoint.pop(fleet.endpoint).items() if id != fleet}
            index.by_endpoint.update({fleet.endpoint: left} if left else {})
        return index

    def with_table(self, table: RouteTable) -> "_Index":
        index = self._copy()
        index._set(table)
        return index

    def _copy(self) -> "_Index":
        return _Index(*(dict(getattr(self, each.name)) for each in fields(self)))

    def _add(self, seat: Seat) -> None:
        endpoint = seat.fleet.endpoint
        self.seats[seat.fleet], self.slots[seat.fleet], self.fleets[seat.slot] = seat, seat.slot, seat.fleet
        self.by_endpoint[endpoint] = {**self.by_endpoint.get(endpoint, {}), seat.fleet: seat}
        self.encoded_seats[seat.fleet] = msgspec.Raw(msgspec.json.encode(seat))

    def _set(self, table: RouteTable) -> None:
        self.tables.pop(table.endpoint, None)
        self.encoded_tables.pop(table.endpoint, None)
        if table.routes:
            self.tables[table.endpoint] = table
            self.encoded_tables[table.endpoint] = msgspec.Raw(msgspec.json.encode(table))


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

    @property
    def slots(self) -> Mapping[FleetId, str]:
        return self._index.slots

    @property
    def fleets(self) -> Mapping[str, FleetId]:
        return self._index.fleets

    @cached_property
    def encoded(self) -> bytes:
        """The state as JSON. It is written at each change, so parts that did not change are not encoded again."""
        parts: dict[str, object] = {each.name: getattr(self, each.name) for each in fields(self)}
        parts |= {"seats": list(self._index.encoded_seats.values())}
        return msgspec.json.encode(parts | {"tables": list(self._index.encoded_tables.values())})

    @cached_property
    def _index(self) -> _Index:
        return _Index.of(self.seats, self.tables)

    @property
    def unknown(self) -> tuple[FleetId, ...]:
        """Fleets with servers whose sockets are unknown, which a reload would lose."""
        return tuple(seat.fleet for seat in self.seats if UNKNOWN_PATH in seat.servers.values())

    def seat(self, fleet: FleetId) -> Seat | None:
        return self._index.seats.get(fleet)

    def seats_of(self, endpoint: str) -> tuple[Seat, ...]:
        return tuple(self._index.by_endpoint.get(endpoint, {}).values())

    def table(self, endpoint: str) -> RouteTable | None:
        return self._index.tables.get(endpoint)

    def is_routed(self, fleet: FleetId) -> bool:
        """Whether the fleet takes traffic."""
        table = self.table(fleet.endpoint)
        return table is not None and any(route.share and route.fleet == fleet for route in table.routes)

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
                grown = self._grow(POOLS[routing])
                slot = grown._free(POOLS[routing], admission.queue_time)
                assert slot is not None
            old = Seat(fleet, slot)
        seat = replace(old, servers=dict(servers), limits=dict(limits), admission=admission)
        if seat.slot.startswith(BY_MODEL):
            seat = replace(seat, numbers=assign_numbers(servers, old.numbers, present))
        queues = {slot: seconds for slot, seconds in self.queues.items() if slot != seat.slot}
        if admission.queue_time != DEFAULT_QUEUE_TIME:
            queues[seat.slot] = admission.queue_time
        headers = rate_limits.merge_headers(self.headers, admission.quotas.header if admission.quotas else "")
        if seat == self.seat(fleet) and (queues, headers) == (self.queues, self.headers):
            return self
        return replace(grown, queues=queues, headers=headers)._with_index(self._index.with_seat(seat))

    def without(self, fleet: FleetId) -> "ProxyState":
        seat = self.seat(fleet)
        if seat is None:
            return self
        emptying = (*self.emptying, seat.slot)
        return replace(self, emptying=emptying)._with_index(self._index.without_seat(seat))

    def emptied(self, slots: Iterable[str]) -> "ProxyState":
        gone = set(slots)
        left = tuple(slot for slot in self.emptying if slot not in gone)
        return replace(self, emptying=left)._with_index(self._index)

    def with_table(self, table: RouteTable) -> "ProxyState":
        """The state with this table. An empty table removes the endpoint with its fence, since the name may be reused
        for a new endpoint."""
        headers = rate_limits.merge_headers(self.headers, table.stick.header if table.stick else "")
        return replace(self, headers=headers)._with_index(self._index.with_table(table))

    def _with_index(self, index: _Index) -> "ProxyState":
        """Return the state with the seats and tables of the index."""
        state = replace(self, seats=tuple(index.seats.values()), tables=tuple(index.tables.values()))
        state.__dict__["_index"] = index
        return state

    def _free(self, pool: str, queue_time: float) -> str | None:
        """A free slot, preferably one with this queue time, then one with the default."""
        taken, emptying = self.fleets, set(self.emptying)
        slots = (f"{pool}{number}" for number in range(self.sizes.get(pool, 0)))
        free = [slot for slot in slots if slot not in taken and slot not in emptying]
        fitting = [slot for slot in free if self.queues.get(slot, DEFAULT_QUEUE_TIME) == queue_time]
        return next(iter(fitting or [slot for slot in free if slot not in self.queues] or free), None)

    def _grow(self, pool: str) -> "ProxyState":
        return replace(self, sizes={**self.sizes, pool: 2 * self.sizes.get(pool, 0) or INITIAL_POOL_SIZE})
