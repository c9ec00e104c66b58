"""HAProxy in front of the fleets: the router of one machine.

It runs apart from the controller and outlives it; a restarted controller adopts it. Every change is in
``proxy.json`` before HAProxy hears of it, so neither a crash of HAProxy nor a reload loses one. What is in force
is asked of HAProxy itself.
"""

import asyncio
import logging
import re
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import msgspec

from tidegate.model.admission import USUAL, Admission
from tidegate.model.errors import Refused, StartupError, Transient
from tidegate.model.fleet import FleetId, RoutingStrategy
from tidegate.model.traffic import RouteTable
from tidegate.ports.router import Demand, Passed
from tidegate.proxy import binary, config, pools, quotas, routes
from tidegate.proxy.options import Options, Sockets, options
from tidegate.proxy.process import Master, check_address, keep
from tidegate.proxy.runtime import Counts, Runtime
from tidegate.proxy.state import SLOTS, Seat, State
from tidegate.settings import Settings

log = logging.getLogger(__name__)

LONGEST_SOCKET = 97
"""Characters that HAProxy takes for a unix socket's path."""
REPLICA = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", re.ASCII)
STOP_TURN = 0.05


class HAProxy:
    """The ``Router`` port. ``folder`` is the state folder; HAProxy's own sockets lie beside the controller's.

    Calls may be repeated at will and are done one after the other. After a ``Transient`` the change is on disk but
    perhaps not in force: the same call again completes it."""

    def __init__(
        self, settings: Settings, folder: Path, controller: Path, slots: Mapping[str, int] = SLOTS
    ) -> None:
        self._settings = settings
        self._folder = folder / "proxy"
        self._controller = controller
        self._runtime = Runtime(controller.with_name("haproxy.sock"), controller.with_name("master.sock"))
        self.wakes = controller.with_name("wake.sock")
        """What is told of requests that wait for an instance; see ``holding``."""
        self.copies = controller.with_name("copies.sock")
        """Where workers send copies of requests for a shadow fleet."""
        self.queued = controller.with_name("queued.sock")
        """Where requests from the queue are sent to asynchronous endpoints."""
        self._slots = dict(slots)
        self._state = State(self._slots)
        self._lock = asyncio.Lock()
        self._master: Master | None = None
        self._lua = True
        self._untidy: set[str] = set()
        """Slots that may hold servers which are no longer wanted."""
        self._counted: dict[str, Counts] = {}
        """Slot -> its counters when ``passed`` read them last, which was at ``_looked``."""
        self._looked = 0.0
        self._reloaded = True
        """Processes from before a reload may be there."""

    # --- life ---

    async def start_or_adopt(self) -> None:
        """Returns when HAProxy serves. Raises StartupError: no program, port taken, folder not usable."""
        async with self._lock:
            program = await asyncio.to_thread(binary.find, self._settings.haproxy)
            self._lua = await asyncio.to_thread(binary.has_lua, program)
            self._prepare()
            master = self._master = Master(self._folder, self._command(program))
            known = master.identity()
            if not self._load() or known is None or not await self._answers():
                await self._start(master)
                return
            if known.options != self._options_text():
                await self._change_options(master, known.pid, known.options)
            self._untidy = {seat.slot for seat in self._state.seats} | set(self._state.emptying)
            self._counted = await self._runtime.counts(sorted(self._untidy))

    async def ensure(self) -> None:
        """Starts HAProxy again if it died; otherwise clears away servers that have nothing left to do."""
        async with self._lock:
            master = self._master
            assert master is not None, "start_or_adopt comes first"
            if master.identity() is None:
                log.warning("haproxy died; starting it again")
                await self._start(master)
            for slot in sorted(self._untidy):
                await self._tidy(slot)

    async def up(self) -> bool:
        return self._master is not None and self._master.identity() is not None and await self._answers()

    async def stop(self) -> None:
        """Takes no new connection, waits (at most the drain timeout) for requests in flight, and ends it."""
        async with self._lock:
            if (master := self._master) is None:
                return
            master.finish()
            clock = asyncio.get_running_loop()
            deadline = clock.time() + self._settings.drain_timeout
            while master.identity() is not None and clock.time() < deadline and await self._busy():
                await asyncio.sleep(STOP_TURN)
            await asyncio.to_thread(master.kill)
            for socket in (self._runtime.admin, self._runtime.master, self.copies, self.queued):
                socket.unlink(missing_ok=True)
            self._master = None

    # --- the Router port ---

    async def set_fleet(
        self,
        fleet: FleetId,
        routing: RoutingStrategy,
        servers: Mapping[str, Path],
        limits: Mapping[str, int] = MappingProxyType({}),
        admission: Admission = USUAL,
    ) -> None:
        routes.checked(fleet.endpoint), routes.checked(fleet.variant)
        for replica, path in servers.items():
            if not REPLICA.fullmatch(replica) or config.UNSAFE.search(str(path)):
                raise Refused(f"server {replica!r} at {str(path)!r} has characters that the proxy cannot take")
        if routing is RoutingStrategy.ON_DEMAND and not self._lua:
            raise Refused("serverless endpoints need a HAProxy that is built with Lua")
        async with self._lock:
            paths = {name: str(path) for name, path in servers.items()}
            present = await self._numbers(fleet) if routing is RoutingStrategy.BY_MODEL else {}
            new = self._state.seat(fleet) is None
            self._save(self._state.with_servers(fleet, routing, paths, present, limits, admission))
            seat = self._state.seat(fleet)
            assert seat is not None
            await self._renew(seat.slot)
            await self._level(seat.slot, seat)
            if new or admission.quotas is not None:
                await self._meter(seat)
            await self._runtime.set_map(config.FLEETS, {str(fleet): seat.slot})

    async def demand(self, fleet: FleetId) -> Demand:
        seat = self._state.seat(fleet)
        return Demand(0, 0) if seat is None else await self._runtime.demand(seat.slot)

    def fleet_in(self, slot: str) -> FleetId | None:
        return self._state.fleets.get(slot)

    async def in_flight(self, fleet: FleetId) -> dict[str, int]:
        """A server that an older process may still pick has at least one request to wait for."""
        seat = self._state.seat(fleet)
        if seat is None:
            return {}
        found = {name: server.in_flight for name, server in (await self._runtime.servers(seat.slot)).items()}
        for process in await self._older():
            for name, server in (await self._runtime.servers(seat.slot, process)).items():
                pickable = server.takes_requests and name not in seat.servers
                found[name] = found.get(name, 0) + max(server.in_flight, int(pickable))
        return found

    async def drop_fleet(self, fleet: FleetId) -> None:
        """Raises Transient while the endpoint's routes still name the fleet."""
        async with self._lock:
            seat, table = self._state.seat(fleet), self._state.table(fleet.endpoint)
            if seat is None:
                return
            targets = table.targets.values() if table else ()
            named = [*(table.routes if table else ()), *(route for routes in targets for route in routes)]
            if any(route.fleet == fleet for route in named):
                raise Transient(f"fleet {fleet} still has routes; set the endpoint's routes first")
            self._save(self._state.without(fleet))
            await self._runtime.del_map(config.FLEETS, str(fleet))
            await self._meter(Seat(fleet, seat.slot))
            await self._level(seat.slot, Seat(fleet, seat.slot))
            await self._tidy(seat.slot)

    async def set_routes(self, table: RouteTable) -> None:
        """Raises Refused for a table that names a fleet without servers or that cannot be written as routes."""
        async with self._lock:
            old = self._state.table(table.endpoint)
            if old is not None and table.fence < old.fence:
                log.warning("routes of %s: fence %d is late, %d in force", table.endpoint, table.fence, old.fence)
                return
            new = routes.entries(table, self._state.slots)
            before = routes.keys(old, self._state.slots) if old else set()
            self._save(self._state.with_table(table))
            for key in sorted(before - set(new)):
                await self._runtime.del_map(config.MAP, key)
            if new:
                await self._runtime.set_map(config.MAP, new)

    async def routes(self, endpoint: str) -> RouteTable:
        state = self._state
        text = await self._runtime.get_map(config.MAP, routes.key(endpoint))
        if text is None:
            text = await self._runtime.get_map(config.MAP, routes.queued(endpoint))
        if text is None:
            return RouteTable(endpoint, 0)
        targets = {}
        try:
            fence, whole = routes.parse(text, state.fleets)
            for variant in wanted.targets if (wanted := state.table(endpoint)) else ():
                named = await self._runtime.get_map(config.MAP, routes.key(endpoint, variant))
                if named is not None:
                    _, targets[variant] = routes.parse(named, state.fleets)
        except KeyError as slot:
            raise Transient(
                f"routes of {endpoint} name the slot {slot}, which changes hands; look again"
            ) from None
        return RouteTable(endpoint, fence, whole, targets)

    async def passed(self) -> dict[FleetId, Passed]:
        """What every fleet was asked and could not take since the last call, and what it has in hand now. What an
        older process had in its hands when HAProxy was reloaded is not in it."""
        fleets, at = self._state.fleets, time.monotonic()
        now = await self._runtime.counts(sorted(fleets))
        seconds, self._looked = at - self._looked, at
        before = {slot: self._counted.get(slot, Counts()) for slot in now}
        self._counted |= {slot: count.not_less(before[slot]) for slot, count in now.items()}
        return {fleets[slot]: count.since(before[slot], seconds) for slot, count in now.items()}

    # --- what HAProxy has and should have; the lock is held ---

    async def _renew(self, slot: str) -> None:
        """A reload, where the slot or something about it cannot be had without one."""
        master, text = self._master, self._options_text()
        known = master.identity() if master is not None else None
        if known is not None and text == known.options and await self._runtime.has(slot):
            return
        log.info("reloading the proxy, which has %s: for more slots, a queue time or a header", self._state.sizes)
        await self._reload()
        if master is not None and known is not None:
            master.note(text, known.pid)

    async def _meter(self, seat: Seat) -> None:
        """The quotas of the slot are the fleet's, and nothing is left of the fleet that had it before."""
        wanted = quotas.entries(seat.slot, seat.admission.quotas, self._state.headers)
        there = await self._runtime.whole_map(quotas.MAP)
        for key in quotas.stale(there, wanted, seat.slot):
            await self._runtime.del_map(quotas.MAP, key)
        for key in sorted(key for key, value in wanted.items() if there.get(key) != value):
            await self._runtime.set_map(quotas.MAP, {key: wanted[key]})

    async def _numbers(self, fleet: FleetId) -> dict[str, int]:
        """Of the fleet's servers in HAProxy, those included that are no longer wanted and still at work."""
        seat = self._state.seat(fleet)
        if seat is None:
            return {}
        try:
            if seat.slot in self._untidy:
                await self._tidy(seat.slot)
            return {name: server.number for name, server in (await self._runtime.servers(seat.slot)).items()}
        except Transient:
            return {}  # it does not run, and will begin with those that are wanted

    async def _level(self, slot: str, seat: Seat) -> None:
        """Adds and revives what is wanted; gives no new request to what is not."""
        present, wanted = await self._runtime.servers(slot), seat.servers
        for name, limit in seat.limits.items():
            if name in present and name in wanted:
                await self._runtime.tell(f"set maxconn server {slot}/{name} {limit}")
        for name in wanted:
            if name in present and present[name].takes_requests:
                continue
            if name not in present:
                command = f"add server {slot}/{pools.server(seat, name)}"
                await self._runtime.do(command, good=("New server registered.",))
            await self._runtime.do(f"enable health {slot}/{name}")
            await self._runtime.do(f"set server {slot}/{name} state ready")
        for name, server in present.items():
            if name not in wanted:
                self._untidy.add(slot)
                if server.takes_requests:
                    await self._runtime.do(f"set server {slot}/{name} state drain")

    async def _tidy(self, slot: str) -> None:
        """Deletes servers neither wanted nor busy; a dropped fleet's slot is free when the last is gone."""
        seat = next((seat for seat in self._state.seats if seat.slot == slot), None)
        left = False
        for name, server in (await self._runtime.servers(slot)).items():
            if seat is None or name not in seat.servers:
                left |= bool(server.in_flight) or not await self._delete(f"{slot}/{name}")
        if left:
            self._untidy.add(slot)
            return
        if slot in self._state.emptying:
            self._counted |= await self._runtime.counts([slot])
            self._save(self._state.emptied([slot]))
        self._untidy.discard(slot)

    async def _delete(self, server: str) -> bool:
        """False while it has idle connections, which end soon after it no longer takes requests."""
        await self._runtime.do(f"set server {server} state maint")
        return await self._runtime.tell(f"del server {server}") == "Server deleted."

    async def _older(self) -> list[int]:
        """Processes from before a reload that still have clients."""
        if not self._reloaded:
            return []
        older = (await self._runtime.processes())[1:]
        self._reloaded = bool(older)
        return older

    async def _busy(self) -> bool:
        try:
            return any([await self._runtime.in_flight(process) for process in await self._runtime.processes()])
        except Transient:
            return False

    async def _answers(self) -> bool:
        try:
            return await self._runtime.pid() > 0
        except Transient:
            return False

    # --- files and process; the lock is held ---

    async def _start(self, master: Master) -> None:
        """With the state in memory, which goes to disk first."""
        self._write(config.STATE, msgspec.json.encode(self._state))
        self._write_files()
        address = (self._settings.host, self._settings.port)
        await asyncio.to_thread(master.start, address, self._options_text())
        await self._runtime.settled()
        self._untidy, self._counted, self._reloaded = set(self._state.emptying), {}, False

    async def _reload(self) -> None:
        self._write_files()
        await self._runtime.reload()
        self._reloaded, self._counted = True, {}
        await self._runtime.alone()

    async def _change_options(self, master: Master, pid: int, old: str) -> None:
        """An adopted HAProxy gets the settings of now."""
        before = msgspec.json.decode(old, type=Options)
        if (before.host, before.port) != (self._settings.host, self._settings.port):
            check_address(self._settings.host, self._settings.port)
        try:
            await self._reload()
        except Transient as error:
            raise StartupError(str(error)) from None
        master.note(self._options_text(), pid)

    def _save(self, state: State) -> None:
        if state != self._state:
            self._write(config.STATE, msgspec.json.encode(state))
            self._state = state

    def _write_files(self) -> None:
        for name, text in config.render(self._state, self._options()).items():
            self._write(name, text.encode())

    def _write(self, name: str, data: bytes) -> None:
        try:
            keep(self._folder / name, data)
        except OSError as error:
            raise Transient(
                f"{self._folder / name} cannot be written: {error.strerror}; make room for it"
            ) from None

    def _prepare(self) -> None:
        longest = max((self._runtime.admin, self._runtime.master), key=lambda path: len(str(path)))
        if len(str(longest)) > LONGEST_SOCKET:
            raise StartupError(
                f"{longest} is too long for a unix socket; set TMPDIR to a folder with a shorter path"
            )
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise StartupError(f"the proxy's folder {self._folder} cannot be used: {error.strerror}") from None

    def _load(self) -> bool:
        """False when there is no state that can be read; fleets and routes are then asked for again."""
        path = self._folder / config.STATE
        try:
            state = msgspec.json.decode(path.read_bytes(), type=State)
        except FileNotFoundError:
            return False
        except (OSError, msgspec.DecodeError) as error:
            log.warning("%s cannot be read (%s); the proxy starts empty", path, error)
            return False
        self._state = replace(state, sizes={**self._slots, **state.sizes})
        return True

    def _command(self, program: Path) -> tuple[str, ...]:
        master = f"{self._runtime.master},mode,600,level,admin"
        files = ("-C", str(self._folder), "-f", config.CONFIG, "-p", "haproxy.pid")
        return (str(program), "-W", "-D", *files, "-S", master)

    def _options(self) -> Options:
        paths = (self._controller, self._runtime.admin, self.copies, self.queued, self.wakes)
        return options(self._settings, Sockets(*paths), self._state)

    def _options_text(self) -> str:
        return msgspec.json.encode(self._options()).decode()
