"""HAProxy's command sockets: one command per connection, within a time limit."""

import asyncio
import contextlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from tidegate.domain.errors import Transient
from tidegate.domain.fleet import FleetId
from tidegate.domain.traffic import RouteTable
from tidegate.ports.router import Demand, View
from tidegate.proxy import config, pools, routes
from tidegate.proxy.cold_start_hold import AGAIN
from tidegate.proxy.slot_counts import (
    BACKEND,
    DOWN,
    Cells,
    OwnAnswers,
    SlotCounts,
    count_slot,
    parse_cells,
    parse_rows,
    rests,
    with_own,
)
from tidegate.proxy.state import ON_DEMAND, ProxyState, Seat

TIMEOUT = 5.0
"""Timeout of one command in seconds; the usual answer takes a fraction of a millisecond."""
STUCK = 2.0
"""Seconds after which a process from before a reload is no longer waited for."""
RELOAD_TIMEOUT = 30.0
REFUSALS, REFUSAL_PAUSE = 50, 0.02
"""Attempts, and pauses in seconds, while the master refuses connections."""
MAX_POLLS = 500
"""Polls, with the same pauses, until a new process is ready or an old one has stopped listening: an overloaded
machine takes seconds for either."""
READ = 1 << 16
BATCH = 100
"""Commands per connection, for bulk queries."""

WHOLE_FROM = 100
"""Slots from which on the statistics of all are read, used or not: each command by itself repeats the names of a
hundred columns."""

GONE = b"Can't find the target PID"
"""Prefix of the master's answer about a process that has ended. It does not hang up after it."""

_WORKER = re.compile(r"^(\d+)\s+worker\s", re.MULTILINE)
_MASTER = re.compile(r"^(\d+)\s+master\s", re.MULTILINE)
_SLOT = re.compile(rf"[{''.join(pools.BALANCE)}]\d+")
_ENTRY = re.compile(r"^type=.*? found=(yes|no)(?:.* value=\"([^\"]*)\")?.*$", re.MULTILINE)
_TYPED_VALUE = re.compile(r"^proc\.(\S+): type=sint value=<(\d+)>", re.MULTILINE)


@dataclass(frozen=True)
class ServerStatus:
    """A server of a backend. ``state`` is HAProxy's: UP, DOWN, DRAIN or MAINT, followed by details."""

    name: str
    state: str
    in_flight: int
    number: int = 0
    """HAProxy's number of the server; see ``hash_ring``."""
    limit: int | None = None
    """Limit of concurrent requests; None without a limit."""

    @property
    def takes_requests(self) -> bool:
        """False if the server was taken out of service. A server that is down comes back by itself."""
        return not self.state.startswith(("DRAIN", "MAINT"))

    @property
    def alive(self) -> bool:
        """Whether its checks succeed, or have not failed yet."""
        return not self.state.startswith(DOWN)


@dataclass(frozen=True)
class ProxySnapshot:
    """State of the serving process: the servers of every slot, fleet -> slot, and the route map."""

    servers: dict[str, dict[str, ServerStatus]]
    fleets: dict[str, str]
    routes: dict[str, str]


@dataclass(frozen=True)
class Runtime:
    """Sends commands to the serving process (``admin``) and to its master, which also reaches older processes."""

    admin: Path
    master: Path

    async def send_command(self, command: str) -> str:
        return (await _exchange(self.admin, f"{command}\n", TIMEOUT)).strip()

    async def run_command(self, command: str, good: Sequence[str] = ("",)) -> None:
        """Run a command that must answer with one of ``good``; raises Transient for any other answer."""
        if (answer := await self.send_command(command)) not in good:
            raise Transient(f"haproxy rejected {command!r}: {answer.splitlines()[0] if answer else 'no answer'}")

    async def pid(self) -> int:
        """Pid of the serving process; its counters restart when it changes."""
        found = re.search(r"^Pid: (\d+)$", await self.send_command("show info"), re.MULTILINE)
        if found is None:
            raise Transient(f"{self.admin} does not answer like haproxy")
        return int(found[1])

    async def answers(self) -> bool:
        """Whether the serving process answers commands."""
        try:
            return await self.pid() > 0
        except Transient:
            return False

    async def busy(self) -> bool:
        """Whether any process has requests in flight; False if that is unknown."""
        try:
            return any([await self.in_flight(process) for process in await self.processes()])
        except Transient:
            return False

    async def has_backend(self, slot: str) -> bool:
        """Whether the loaded configuration has this backend."""
        return bool(await self._statistics(f"show stat {slot} 2 -1", None))

    async def servers(self, slot: str) -> dict[str, ServerStatus]:
        """Servers of a backend by name."""
        return _parse_servers(await self._statistics(f"show stat {slot} 4 -1", None))

    async def slot_requests(self, slot: str, process: int) -> tuple[dict[str, ServerStatus], int]:
        """Servers of a backend in an older process, and how many of its requests have no server yet."""
        answer = await self._ask_master(f"@!{process} show stat {slot} 6 -1\nquit\n")
        rows = parse_rows(answer, again=True)
        servers = _parse_servers([row for row in rows if row["svname"] != BACKEND])
        whole = sum(int(row["scur"] or 0) for row in rows if row["svname"] == BACKEND)
        unassigned = whole - sum(server.in_flight for server in servers.values())
        return {name: server for name, server in servers.items() if name != AGAIN}, unassigned

    async def look(
        self, map: str, keys: Sequence[str], slots: Sequence[str]
    ) -> tuple[dict[str, str], dict[str, dict[str, ServerStatus]]]:
        """Map entries with these keys, as far as they exist, and the servers of these backends, all from one
        moment."""
        commands = [*(f"get map {map} {key}" for key in keys), *(f"show stat {slot} 4 -1" for slot in slots)]
        answer = await self.send_command("; ".join(commands))
        values = _ENTRY.findall(answer)
        if len(values) != len(keys):
            raise Transient(f"haproxy did not answer for {map}: {answer.strip()[:200] or 'no answer'}")
        entries = {key: value for key, (_, value) in zip(keys, values, strict=True) if value}
        rows = parse_rows(answer)
        return entries, {slot: _parse_servers([r for r in rows if r["pxname"] == slot]) for slot in slots}

    async def all_servers(self) -> dict[str, dict[str, ServerStatus]]:
        """Servers of every slot that has some, from one moment."""
        found: dict[str, dict[str, ServerStatus]] = {}
        for row in await self._statistics("show stat -1 4 -1", None):
            if _SLOT.fullmatch(row["pxname"]):
                found.setdefault(row["pxname"], {})[row["svname"]] = _parse_server(row)
        return found

    async def shown(self) -> ProxySnapshot:
        servers: dict[str, dict[str, ServerStatus]] = {}
        for row in await self._statistics("show stat -1 6 -1", None):
            if _SLOT.fullmatch(row["pxname"]):
                named = servers.setdefault(row["pxname"], {})
                if row["svname"] != BACKEND:
                    named[row["svname"]] = _parse_server(row)
        return ProxySnapshot(servers, await self.whole_map(config.FLEETS), await self.whole_map(config.MAP))

    async def demand(self, slot: str) -> Demand:
        return (await self.demands([slot])).get(slot, Demand(0, 0))

    async def demands(self, slots: Sequence[str]) -> dict[str, Demand]:
        """Requests of serverless slots: in flight, including queued and held ones, and in total. One that has come
        again is counted once."""
        found: dict[str, Demand] = {}
        for start in range(0, len(slots), BATCH):
            commands = "; ".join(f"show stat {slot} 6 -1" for slot in slots[start : start + BATCH])
            for row in parse_rows(await self.send_command(commands), again=True):
                slot, now = row["pxname"], int(row["scur"] or 0)
                before = found.get(slot, Demand(0, 0))
                if row["svname"] == BACKEND:
                    found[slot] = Demand(before.now + now, int(row["stot"] or 0))
                elif row["svname"] == AGAIN:
                    found[slot] = Demand(before.now - now, before.ever)
        return found

    async def in_flight(self, process: int) -> int:
        """Requests in flight in a process."""
        return sum(int(row["scur"] or 0) for row in await self._statistics("show stat -1 2 -1", process))

    async def get_map(self, map: str, key: str) -> str | None:
        found = re.search(r' value="([^"]*)"', await self.send_command(f"get map {map} {key}"))
        return found[1] if found else None

    async def set_map(self, map: str, entries: Mapping[str, str]) -> None:
        """Replace the value of each key in one command, in order, or add missing keys."""
        if not await self.send_command(
            "; ".join(f"set map {map} {key} {value}" for key, value in entries.items())
        ):
            return
        for key, value in entries.items():
            if await self.send_command(f"set map {map} {key} {value}"):
                await self.run_command(f"add map {map} {key} {value}")

    async def mark_leaving(self, map: str, key: str) -> None:
        """Tell every process that none follows it. What cannot be told now hands requests to nobody."""
        with contextlib.suppress(Transient):
            for process in await self.processes():
                await self._ask_master(f"@!{process} add map {map} {key} 1\nquit\n")

    async def del_map(self, map: str, key: str) -> None:
        if await self.get_map(map, key) is not None:
            await self.run_command(f"del map {map} {key}")

    async def counts(
        self, slots: Sequence[str], known: Mapping[str, SlotCounts] = MappingProxyType({})
    ) -> dict[str, SlotCounts]:
        """Counts per slot since the process started. Unanswered requests are those that the proxy answered itself and
        those that it hung up on: whatever its configuration, HAProxy hangs up if a reused connection breaks under the
        last attempt, so such a request never gets a status.

        ``known``: an earlier reading of the same process. Where no request was in the slot at that time and none has
        come since, HAProxy cannot have answered one, so that is not asked again."""
        cells: dict[str, list[Cells]] = {slot: [] for slot in slots}
        parts = [slots[start : start + BATCH] for start in range(0, len(slots), BATCH)]
        commands = ["; ".join(f"show stat {slot} 6 -1" for slot in part) for part in parts]
        for command in commands if len(slots) < WHOLE_FROM else ["show stat -1 6 -1"]:
            for row in parse_cells(await self.send_command(command), cells):
                cells[row[0]].append(row)
        found = {slot: count_slot(tuple(rows), known.get(slot)) for slot, rows in cells.items()}
        moved = [slot for slot, count in found.items() if count is not known.get(slot)]
        still = {slot: known[slot].own for slot in moved if slot in known and rests(known[slot], found[slot])}
        own = still | await self._read_own_answers([slot for slot in moved if slot not in still])
        return found | {slot: with_own(found[slot], own[slot]) for slot in moved}

    async def _read_own_answers(self, slots: Sequence[str]) -> dict[str, OwnAnswers]:
        values: dict[str, int] = {}
        for start in range(0, len(slots), BATCH):
            names = (name for slot in slots[start : start + BATCH] for name in pools.counter_names(slot))
            answer = await self.send_command("; ".join(f"get var {name}" for name in names))
            values |= {name: int(value) for name, value in _TYPED_VALUE.findall(answer)}
        keys = {slot: [name.removeprefix("proc.") for name in pools.counter_names(slot)] for slot in slots}
        return {slot: OwnAnswers(*(values.get(name, 0) for name in names)) for slot, names in keys.items()}

    async def whole_map(self, map: str) -> dict[str, str]:
        """Parse lines of an address and an entry; any other line says that there is no such map."""
        lines = (line.split(" ", 2) for line in (await self.send_command(f"show map {map}")).splitlines())
        return {words[1]: words[2] for words in lines if len(words) == 3 and words[0].startswith("0x")}

    async def reload(self) -> None:
        """Reload the configuration. Raises Transient with HAProxy's message if the new one failed to start."""
        answer = await self._ask_master("reload\n", RELOAD_TIMEOUT)
        if not answer.startswith("Success=1"):
            alerts = re.findall(r"\[ALERT\].*? : (.*)", answer)
            raise Transient(f"haproxy did not reload: {'; '.join(alerts) or answer.strip()[:500] or 'no answer'}")

    async def await_old_stopped(self) -> None:
        """Wait after a reload until only the new process takes commands."""
        for _ in range(MAX_POLLS):
            processes = await self.processes()
            if processes and all([await self._await_stopped(older) for older in processes[1:]]):
                return
            await asyncio.sleep(REFUSAL_PAUSE)
        raise Transient("haproxy was reloaded, but the old process does not stop listening")

    async def _await_stopped(self, process: int) -> bool:
        """Wait until an old process has stopped listening: it is told to once the new one is ready, and until then
        receives some of the commands. A process that cannot answer receives none."""
        try:
            answer = await self._ask_master(f"@!{process} show info\nquit\n", STUCK)
        except Transient:
            return True
        return "Pid:" not in answer or "Stopping: 1" in answer

    async def processes(self) -> list[int]:
        """The serving process and those from before a reload that still have clients, newest first."""
        return [int(pid) for pid in _WORKER.findall(await self._ask_master("show proc\nquit\n"))]

    async def master_pid(self) -> int | None:
        """Pid of the process that answers on the master's socket; None if none does."""
        try:
            found = _MASTER.search(await self._ask_master("show proc\nquit\n"))
        except Transient:
            return None
        return int(found[1]) if found else None

    async def await_ready(self) -> None:
        """Wait until master and serving process take commands; the master re-executes itself right after its start. A
        socket that a killed HAProxy left behind refuses connections until the new one has replaced it."""
        for _ in range(MAX_POLLS):
            if await self.processes() and await self._is_ready():
                return
            await asyncio.sleep(REFUSAL_PAUSE)
        raise Transient(f"haproxy does not take commands on {self.master} and {self.admin}")

    async def _is_ready(self) -> bool:
        try:
            return await self.pid() > 0
        except Transient as error:
            if not isinstance(error.__cause__, ConnectionError | FileNotFoundError):
                raise
            return False

    async def _ask_master(self, text: str, seconds: float = TIMEOUT) -> str:
        """Ask the master, which refuses connections or hangs up for a moment after a start or reload."""
        for _ in range(REFUSALS):
            try:
                return await _exchange(self.master, text, seconds)
            except Transient as error:
                if not isinstance(error.__cause__, ConnectionError):
                    raise
            await asyncio.sleep(REFUSAL_PAUSE)
        return await _exchange(self.master, text, seconds)

    async def _statistics(self, command: str, process: int | None) -> list[dict[str, str]]:
        if process is None:
            answer = await self.send_command(command)
        else:
            answer = await self._ask_master(f"@!{process} {command}\nquit\n")
        return parse_rows(answer)


def _parse_servers(rows: Sequence[Mapping[str, str]]) -> dict[str, ServerStatus]:
    found = [_parse_server(row) for row in rows]
    return {server.name: server for server in found}


def _parse_server(row: Mapping[str, str]) -> ServerStatus:
    limit = int(row["slim"]) if row["slim"] else None
    return ServerStatus(row["svname"], row["status"], int(row["scur"] or 0), int(row["sid"]), limit)


async def _exchange(socket: Path, text: str, seconds: float) -> str:
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_unix_connection(str(socket))
            try:
                writer.write(text.encode())
                answer = b""
                while not answer.startswith(GONE) and (part := await reader.read(READ)):
                    answer += part
                return answer.decode()
            finally:
                writer.close()
    except (OSError, TimeoutError) as error:
        reason = getattr(error, "strerror", None) or f"no answer within {seconds:g} seconds"
        raise Transient(f"haproxy does not take commands on {socket}: {reason}") from error


# --- the running HAProxy's view of fleets and endpoints, read through its command socket ---


async def view(runtime: Runtime, state: ProxyState, endpoint: str) -> View:
    """Read the endpoint's routes in force and the state of its servers, in one exchange. Raises Transient while a
    slot of these routes is being reassigned."""
    keys, slots = _keys(state, endpoint), [seat.slot for seat in state.seats_of(endpoint)]
    return _view(state, endpoint, *await runtime.look(config.MAP, keys, slots))


async def views(runtime: Runtime, state: ProxyState, endpoints: Iterable[str]) -> dict[str, View]:
    """Read the views of many endpoints, in two exchanges for all of them. An endpoint whose routes cannot be read is
    left out."""
    entries, servers, found = await runtime.whole_map(config.MAP), await runtime.all_servers(), {}
    for endpoint in endpoints:
        with contextlib.suppress(Transient):
            found[endpoint] = _view(state, endpoint, entries, servers)
    return found


def _keys(state: ProxyState, endpoint: str) -> list[str]:
    """Return the keys of an endpoint in the map of routes: of the whole endpoint, of its queue, and of each
    variant."""
    wanted = state.table(endpoint)
    variants = (routes.route_key(endpoint, variant) for variant in (wanted.targets if wanted else ()))
    return [routes.route_key(endpoint), routes.queue_key(endpoint), *variants]


def _view(
    state: ProxyState,
    endpoint: str,
    entries: Mapping[str, str],
    servers: Mapping[str, Mapping[str, ServerStatus]],
) -> View:
    wanted, keys = state.table(endpoint), _keys(state, endpoint)
    alive = {
        seat.fleet: {name: one.alive for name, one in servers.get(seat.slot, {}).items()}
        for seat in state.seats_of(endpoint)
    }
    text = entries.get(keys[0]) or entries.get(keys[1])
    if text is None:
        return View(RouteTable(endpoint, 0), alive)
    variants = zip(wanted.targets if wanted else (), keys[2:], strict=True)
    try:
        fence, whole = routes.parse_routes(text, state.fleets)
        named = {name: entries[key] for name, key in variants if key in entries}
        targets = {name: routes.parse_routes(value, state.fleets)[1] for name, value in named.items()}
    except KeyError as slot:
        raise Transient(f"routes of {endpoint} name slot {slot}, which is being reassigned; try again") from None
    return View(RouteTable(endpoint, fence, whole, targets, routes.parse_stickiness(text)), alive)


async def in_flight(runtime: Runtime, seat: Seat, older: Iterable[int]) -> dict[str, int]:
    """Requests in flight of each server. A server counts at least one while an older process has a request that it
    may still be given, such as one whose body is arriving. Idle connections to older processes count nothing:
    whatever they ask is handed to the newest process (``succession``)."""
    found = {name: server.in_flight for name, server in (await runtime.servers(seat.slot)).items()}
    for process in older:
        servers, unassigned = await runtime.slot_requests(seat.slot, process)
        for name, server in servers.items():
            pickable = unassigned > 0 and server.takes_requests and name not in seat.servers
            found[name] = found.get(name, 0) + max(server.in_flight, int(pickable))
    return found


async def demands(runtime: Runtime, state: ProxyState) -> dict[FleetId, Demand]:
    """Read the demand of every serverless fleet. Raises Transient."""
    fleets = {seat.slot: seat.fleet for seat in state.seats if seat.slot.startswith(ON_DEMAND)}
    return {fleets[slot]: demand for slot, demand in (await runtime.demands(sorted(fleets))).items()}
