"""Brings up HAProxy: starts it, or adopts the running one with its state, completed from disk.

The file may be outdated (the disk was full), damaged, or from before a crash, whereas the running process is
authoritative about what it does: which fleet is in which slot, its servers, and the routes in force. The file adds
what HAProxy does not show: socket paths, admission, and tables with a higher fence.
"""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from tidegate.domain.decoding import prepare_type
from tidegate.domain.errors import Invalid, StartupError, TidegateError, Transient
from tidegate.domain.fleet import FleetId
from tidegate.domain.traffic import Route, RouteTable
from tidegate.host.installation import Installation
from tidegate.proxy import config, routes
from tidegate.proxy.options import Options
from tidegate.proxy.process import Master, ProxyIdentity
from tidegate.proxy.runtime import ProxySnapshot, Runtime, ServerStatus
from tidegate.proxy.state import BY_MODEL, UNKNOWN_PATH, ProxyState, Seat

log = logging.getLogger(__name__)

MAX_SLOTS = 1 << 20


def load(path: Path, options: Options, known: str, installation: Installation | None) -> ProxyState:
    """Load the state from disk; an empty one if it is unreadable. Then a running HAProxy (``known``: its options) is
    authoritative; without one, fleets and routes are requested again."""
    try:
        state = decode(path.read_bytes(), options)
    except FileNotFoundError:
        state = empty_state(known)
    except (OSError, Invalid) as error:
        log.warning("cannot read %s (%s); using the state of the running proxy, if there is one", path, error)
        state = empty_state(known)
    ours = installation
    return state if ours is None else state.of_installation(ours.id, ours.accepts_unmarked)


def decode(data: bytes, options: Options) -> ProxyState:
    """Decode the recorded state. Raises Invalid for a state that HAProxy could not be given."""
    try:
        state = msgspec.json.decode(data, type=prepare_type(ProxyState))
        _check(state)
        config.render(state, options)
    except (ValueError, KeyError, IndexError, TypeError, RecursionError, OverflowError, TidegateError) as error:
        raise Invalid(f"{type(error).__name__}: {error}") from None
    return state


def _check(state: ProxyState) -> None:
    if any(not 0 <= size <= MAX_SLOTS for size in state.sizes.values()):
        raise Invalid(f"sizes {state.sizes} of pools")
    known = {f"{pool}{number}" for pool, size in state.sizes.items() for number in range(size)}
    used = [*(seat.slot for seat in state.seats), *state.emptying]
    if len(set(used)) < len(used) or not known.issuperset(used) or len(state.slots) < len(state.seats):
        raise Invalid("slots that are used twice or belong to no pool")
    for seat in state.seats:
        routes.check_name(seat.fleet.endpoint), routes.check_name(seat.fleet.variant)
        for replica, path in seat.servers.items():
            config.check_server(replica, path)
    if any(config.UNSAFE.search(header) for header in state.headers):
        raise Invalid(f"headers {state.headers}")


def decode_options(text: str) -> Options | None:
    """The options that a HAProxy's configuration was made from; None if unknown."""
    try:
        return msgspec.json.decode(text, type=prepare_type(Options))
    except (ValueError, RecursionError):
        return None


def empty_state(options: str) -> ProxyState:
    """An empty state, for a proxy of which only the options are known (default options if not)."""
    known = decode_options(options)
    return ProxyState({}) if known is None else ProxyState({}, queues=dict(known.queues), headers=known.headers)


def adopt(recorded: ProxyState, shown: ProxySnapshot, sizes: Mapping[str, int]) -> ProxyState:
    """Merge the recorded state into what HAProxy shows. ``sizes``: default number of slots of each pool."""
    seats, taken = [], set()
    for text, slot in shown.fleets.items():
        fleet = _parse_fleet(text)
        if fleet is None or slot not in shown.servers or slot in taken:
            log.warning("ignoring fleet %s in slot %s of the proxy: not a valid fleet or slot", text, slot)
            continue
        taken.add(slot)
        seats.append(_merge_seat(fleet, slot, recorded.seat(fleet), shown.servers[slot]))
    state = replace(
        recorded,
        sizes=_merge_sizes(sizes, recorded.sizes, shown),
        seats=tuple(seats),
        emptying=tuple(sorted(slot for slot, servers in shown.servers.items() if servers and slot not in taken)),
        queues={slot: seconds for slot, seconds in recorded.queues.items() if slot in shown.servers},
    )
    return replace(state, tables=_merge_tables(state, recorded, shown.routes))


def _parse_fleet(text: str) -> FleetId | None:
    try:
        fleet = FleetId.parse(text)
        routes.check_name(fleet.endpoint), routes.check_name(fleet.variant)
        return fleet
    except (ValueError, TidegateError):
        return None


def _merge_seat(fleet: FleetId, slot: str, recorded: Seat | None, present: Mapping[str, ServerStatus]) -> Seat:
    """Keep servers that HAProxy sends requests to even if they are not recorded; the fleet's owner will soon report
    their sockets. Recorded servers that HAProxy lacks are still wanted."""
    old = recorded if recorded is not None and recorded.slot == slot else Seat(fleet, slot)
    serving = {name: server for name, server in present.items() if server.takes_requests}
    servers = {name: path for name, path in old.servers.items() if name in serving or name not in present}
    servers |= {name: UNKNOWN_PATH for name in serving if name not in servers}
    limits = {name: server.limit for name, server in serving.items() if server.limit is not None}
    numbers = {name: server.number for name, server in serving.items()} if slot.startswith(BY_MODEL) else {}
    return replace(
        old,
        servers=servers,
        limits={name: limit for name, limit in (old.limits | limits).items() if name in servers},
        numbers={name: number for name, number in (old.numbers | numbers).items() if name in servers},
    )


def _merge_sizes(usual: Mapping[str, int], recorded: Mapping[str, int], shown: ProxySnapshot) -> dict[str, int]:
    found = {**usual, **recorded}
    for slot in shown.servers:
        found[slot[0]] = max(int(slot[1:]) + 1, found.get(slot[0], 0))
    return found


def _merge_tables(state: ProxyState, recorded: ProxyState, entries: Mapping[str, str]) -> tuple[RouteTable, ...]:
    """Return for each endpoint the table with the highest fence whose fleets are all present."""
    found = {table.endpoint: table for table in _active_tables(state, entries)}
    for table in recorded.tables:
        present = found.get(table.endpoint)
        if (present is None or present.fence <= table.fence) and _table_fleets(table) <= set(state.slots):
            found[table.endpoint] = table
    return tuple(found.values())


def _table_fleets(table: RouteTable) -> set[FleetId]:
    return {route.fleet for some in (table.routes, *table.targets.values()) for route in some}


def _active_tables(state: ProxyState, entries: Mapping[str, str]) -> list[RouteTable]:
    parsed: dict[str, tuple[int, tuple[Route, ...]]] = {}
    for key, value in entries.items():
        try:
            parsed[key] = routes.parse_routes(value, state.fleets)
        except (KeyError, ValueError):
            log.warning("ignoring routes %s %s of the proxy: they cannot be parsed", key, value)
    tables = []
    for key, (fence, whole) in parsed.items():
        if (endpoint := routes.endpoint_of_key(key)) is None:
            continue
        end = routes.route_key(endpoint)
        named = {other.removesuffix(end): some for other, (_, some) in parsed.items() if other.endswith(end)}
        targets = {name: some for name, some in named.items() if routes.NAME.fullmatch(name)}
        stick = routes.parse_stickiness(entries[key])
        tables.append(RouteTable(endpoint, fence, whole, targets, stick))
    return tables


# Brings up HAProxy: adopts it, starts it, or takes over from one that runs but cannot be reached. HAProxy is
# reached through sockets. If their paths are gone, or an earlier version put them elsewhere, the process serves on
# but receives no commands. A new process then takes over the port and leaves the old one to finish its requests.


ADOPTION_TRIES = 2
"""Attempts to reach a running process before another one replaces it."""


@dataclass(frozen=True)
class FormerProcess:
    """A process with its sockets elsewhere: their folder, and its state."""

    folder: Path | None = None
    shown: ProxySnapshot | None = None

    def redirect(self, *sockets: Path) -> None:
        """Link the former socket paths, which the former process, and replicas started by an earlier version, use."""
        if self.folder is None:
            return
        for socket in sockets:
            link = self.folder / socket.name
            with contextlib.suppress(OSError):
                link.unlink(missing_ok=True)
                link.symlink_to(socket)


async def find_running(master: Master, runtime: Runtime) -> ProxyIdentity | None:
    """Find the serving HAProxy of this folder, even if the file that identifies it is missing or damaged."""
    known = await asyncio.to_thread(master.load)
    if known is None and (ours := await asyncio.to_thread(master.candidates)):
        pid = await runtime.master_pid()
        known = master.note(pid, "") if pid is not None and pid in ours else None
    for _ in range(ADOPTION_TRIES if known is not None else 0):
        if await runtime.answers():
            return known
    return None


async def find_former(master: Master, runtime: Runtime) -> FormerProcess:
    """Find the socket folder and the state of a running process whose sockets are elsewhere. The result is empty if
    they are not."""
    known = master.identity()
    options = decode_options(known.options) if known is not None else None
    if options is None or options.admin == str(runtime.admin):
        return FormerProcess()
    admin = Path(options.admin)
    try:
        return FormerProcess(admin.parent, await Runtime(admin, runtime.master).shown())
    except Transient as error:
        log.warning("the proxy's state is unknown (%s); using the recorded one", error)
        return FormerProcess(admin.parent)


def launch(master: Master, address: tuple[str, int], takeover: bool) -> bool:
    """Start HAProxy, and return when it listens. Returns whether an old process is finishing its requests. Raises
    StartupError."""
    if takeover:
        try:
            master.take_over()
            return True
        except StartupError as error:
            log.warning("%s; restarting it, which aborts its requests in flight", error)
    master.start(address)
    return False
