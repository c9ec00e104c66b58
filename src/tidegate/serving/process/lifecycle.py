"""One replica's life: listen, fetch, load, serve, drain, and say why when it does not work out."""

import asyncio
import gc
import os
import signal
import stat
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path

from tidegate.domain.errors import ArtifactError, Invalid, StartTimeout, TidegateError
from tidegate.domain.memory_sizes import format_bytes
from tidegate.domain.start_limits import remaining_limit
from tidegate.host.atomic_write import write_atomically
from tidegate.serving.contract.cold_start import ColdStart, tell
from tidegate.serving.contract.invocation import Engine
from tidegate.serving.contract.replica_spec import (
    FAILED,
    LOADING,
    OUTGROWN,
    ContainerSpec,
    Failure,
    ReplicaSpec,
    write_failure,
)
from tidegate.serving.engines.assembly import fetch, leave_quick, open_engine
from tidegate.serving.front.server import Server
from tidegate.serving.process import memory_limits, memory_watch
from tidegate.serving.runtimes.launcher import NOT_STARTED

OUTGREW = "OutOfMemory"
"""Code of the failure of a replica that held more than it may."""
UTMOST = 1.25
"""Times the memory limit, at which a replica goes at once and not when another has taken its place."""
_LEAVING = 20.0
"""Seconds that an instance stays to finish what later ones start from."""
_LOG_TAIL = 4096
"""Bytes of the log from which a dead program's last lines are quoted."""
_LAST_LINES = 5
_CONCLUSIVE = (ArtifactError, Invalid, StartTimeout)
"""Errors that another start would meet again, or would take as long to meet."""
_FAREWELL = 0.2
"""Seconds that a failed worker gives to the answers that are on their way."""


class Worker:
    """``path`` is the replica file; reports are left beside it."""

    def __init__(self, path: Path, spec: ReplicaSpec) -> None:
        self._path = path
        self._spec = spec
        self._server: Server | None = None
        self._engine: Engine | None = None
        self._stopping = asyncio.Event()
        self._failure: Failure | None = None
        self._leaving: asyncio.Task[None] | None = None
        """What later instances start from is being made."""
        self._wall = ""
        """What the kernel holds its memory with."""

    async def run(self) -> int:
        """The exit code: 0 when it was asked to go, ``FAILED`` with a ``failure.json`` otherwise."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        starting = asyncio.create_task(self._start())
        limit = self._spec.memory_limit
        watching = asyncio.create_task(self._watch(limit)) if limit else None
        await self._stopping.wait()
        starting.cancel()
        if watching is not None:
            watching.cancel()
        return await self._end()

    def _begin_loading(self, age: float) -> float:
        """The seconds that loading may take, which are left for the supervisor to see: should this process hang in
        the midst of it, nobody else would know."""
        seconds = remaining_limit(self._spec.startup_timeout, age)
        with suppress(OSError):
            write_atomically(self._path.with_name(LOADING), f"{seconds:.3f}".encode(), durable=False)
        return seconds

    def _wall_in(self) -> None:
        limit = self._spec.memory_limit
        if limit and self._spec.on_demand is not None:
            self._wall = memory_limits.build(self._path.parent, limit)
            self._say(f"held to {format_bytes(limit)} by {self._wall or 'looks alone'}")

    async def _start(self) -> None:
        spec, now = self._spec, asyncio.get_running_loop().time
        cold = ColdStart(spec.on_demand) if spec.on_demand is not None else None
        age = _age()
        try:
            self._server = server = Server(spec, self._path.parent)
            await server.listen()
            until = now() + remaining_limit(spec.download_timeout, age)
            # The kernel may take tens of milliseconds to move a process between groups.
            await asyncio.gather(fetch(spec, until), asyncio.to_thread(self._wall_in))
            if cold is not None:
                cold.mark("fetched")
            self._engine = await open_engine(spec, self._died, now() + self._begin_loading(age))
        except Exception as error:
            self._fail(self._at_the_wall() if self._wall and memory_limits.met(error) else _told(error))
            return
        # What has been loaded stays: looking through it again and again would hold requests up for milliseconds.
        if cold is None:
            gc.collect()
        gc.freeze()
        if self._wall:
            server.failed = self._heard
        server.engine = self._engine
        if cold is not None:
            cold.mark("loaded")
            server.note(cold.setup())
            server.cold = cold
        kinds = ", ".join(container.runtime.kind for container in self._spec.containers)
        self._say(f"ready, {kinds} on {self._spec.socket}")
        if cold is not None:
            await tell(self._spec)
            self._leaving = asyncio.create_task(leave_quick(self._spec))

    async def _end(self) -> int:
        failure = self._failure
        if failure is not None:
            write_failure(self._path, failure)
            self._say(f"failed: {failure.message}")
        cut = 0
        if self._server is not None:
            patient = failure is None or (failure.code == OUTGREW and not failure.permanent)
            cut = await self._server.drain(self._spec.drain_timeout if patient else _FAREWELL)
            self._path.with_name("stats.json").write_bytes(self._server.statistics(0, sys.maxsize, over=False))
        if self._engine is not None:
            await self._engine.close()
        if failure is not None:
            return FAILED
        if self._leaving is not None:  # or where a machine is busy every instance would go before it left anything
            await asyncio.wait([self._leaving], timeout=_LEAVING)
        self._say(f"drained, {cut} requests cut off" if cut else "drained")
        return 0

    def _died(self, container: ContainerSpec, code: int) -> None:
        """Its program ended by itself."""
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        lines = _last_lines()
        said = f"; its log ends: {lines}" if lines else ""
        started = self._server is not None and self._server.engine is not None
        command = container.runtime.command[0]
        whose = f" of container {container.name}" if len(self._spec.containers) > 1 else ""
        message = f"The program {command}{whose} {how}{said}"
        self._fail(Failure("ProgramEnded", message, permanent=code == NOT_STARTED and not started))

    def _heard(self, message: str) -> None:
        """A model failed, and said so."""
        if memory_limits.speaks(message):
            self._fail(self._at_the_wall())

    def _at_the_wall(self) -> Failure:
        """It asked for more than it may have."""
        limit = format_bytes(self._spec.memory_limit)
        if self._server is None or self._server.engine is None:
            message = f"The replica outgrew the memory limit of {limit} while its model was loaded."
            return Failure(OUTGREW, message, permanent=True)
        message = f"The replica outgrew the memory limit of {limit} after {self._server.answered} requests."
        return Failure(OUTGREW, message, permanent=False)

    async def _watch(self, limit: int) -> None:
        await memory_watch.watch(limit, self._outgrew)
        await memory_watch.watch(int(limit * UTMOST), self._outgrew_by_far)

    def _outgrew(self, size: int) -> None:
        """It holds more than it may: another takes its place, and meanwhile it serves on where it can."""
        if self._server is None or self._server.engine is None or self._spec.on_demand is not None:
            self._outgrew_by_far(size)
            return
        message = self._by_how_much(size)
        try:
            write_atomically(self._path.with_name(OUTGROWN), message.encode(), durable=False)
        except OSError:
            self._outgrew_by_far(size)
        else:
            self._say(message)

    def _outgrew_by_far(self, size: int) -> None:
        """What is in hand is finished, then another takes its place."""
        loaded = self._server is not None and self._server.engine is not None
        self._fail(Failure(OUTGREW, self._by_how_much(size), permanent=not loaded))

    def _by_how_much(self, size: int) -> str:
        limit = self._spec.memory_limit
        when = "while its model was loaded"
        if self._server is not None and self._server.engine is not None:
            when = f"after {self._server.answered} requests"
        return f"The replica outgrew the memory limit of {format_bytes(limit)} by {format_bytes(size - limit)} {when}."

    def _fail(self, failure: Failure) -> None:
        self._failure = self._failure or failure
        self._stopping.set()

    def _say(self, what: str) -> None:
        print(f"tidegate worker {self._spec.replica} ({self._spec.fleet}): {what}", flush=True)


def _age() -> float:
    """Seconds since this process was started or forked; 0 where the system does not tell."""
    try:
        started = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0.0
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started / os.sysconf("SC_CLK_TCK")


def _told(error: Exception) -> Failure:
    if isinstance(error, TidegateError):
        return Failure(error.code, error.message, permanent=isinstance(error, _CONCLUSIVE))
    traceback.print_exception(error)
    return Failure(type(error).__name__, f"{type(error).__name__}: {error}", permanent=False)


def _last_lines() -> str:
    """The end of this process's own log, when its output goes to a file."""
    try:
        if not stat.S_ISREG(os.fstat(2).st_mode):
            return ""
        with open("/proc/self/fd/2", "rb") as log:
            log.seek(max(0, os.fstat(2).st_size - _LOG_TAIL))
            lines = log.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return " | ".join(line.strip() for line in lines[-_LAST_LINES:] if line.strip())
