"""The lifecycle of a replica: listen, fetch, load, serve, drain, and report why it failed."""

import asyncio
import gc
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tidegate.domain.errors import ArtifactError, Invalid, StartTimeout, TidegateError
from tidegate.domain.memory_sizes import format_bytes
from tidegate.domain.start_limits import remaining_limit
from tidegate.host.atomic_write import write_atomically
from tidegate.host.log_files import read_own_end
from tidegate.serving.contract.catalogue import RuntimeKind
from tidegate.serving.contract.cold_start import ColdStart, report_ready
from tidegate.serving.contract.invocation import ModelEngine
from tidegate.serving.contract.replica_spec import (
    FAILED,
    LOADING,
    OUTGROWN,
    WAITING,
    ContainerSpec,
    Failure,
    ReplicaSpec,
    write_failure,
)
from tidegate.serving.engines.assembly import fetch, open_engine, prepare_later_starts
from tidegate.serving.front.server import Server
from tidegate.serving.process import memory_limits
from tidegate.serving.runtimes.launcher import NOT_STARTED

if TYPE_CHECKING:
    from tidegate.serving.runtimes.devices.placement import Placement

TRACED_SERVER = "worker_traced_server"
"""Extension point: a function like ``Server``, for replicas that trace."""
OUT_OF_MEMORY = "OutOfMemory"
"""Code of the failure of a replica that exceeded its memory limit."""
DEVICE_LOST = "DeviceLost"
"""Code of the failure of a replica whose accelerator does not answer any more."""
HARD_LIMIT = 1.25
"""Times the memory limit above which a replica ends at once, without waiting for its replacement."""
_FIRST_ANSWERS = 1.0
"""Seconds from the start of an instance until it prepares later ones."""
_PATIENCE = 20.0
"""Seconds that a drained instance may take to finish the files for later starts."""
_LAST_LINES = 5
_CONCLUSIVE = (ArtifactError, Invalid, StartTimeout)
"""Errors that another start would repeat."""
_FAILED_DRAIN = 0.2
"""Seconds that a failed worker waits for requests in progress."""


class WorkerProcess:
    """A replica's process. ``path`` is the replica file; reports are written beside it."""

    def __init__(self, path: Path, spec: ReplicaSpec) -> None:
        self._path = path
        self._spec = spec
        self._server: Server | None = None
        self._engine: ModelEngine | None = None
        self._stopping = asyncio.Event()
        self._failure: Failure | None = None
        self._preparing: asyncio.Task[None] | None = None
        """Writes files for later starts."""
        self._memory_limits = ""
        """The limits that the kernel enforces, for the log; empty if none."""

    async def run(self) -> int:
        """Serve until a signal or a failure. Returns the exit code: 0 after a signal, else ``FAILED``."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        starting = asyncio.create_task(self._start())
        limit = self._memory_limit
        watching = asyncio.create_task(self._watch(limit)) if limit else None
        await self._stopping.wait()
        starting.cancel()
        if watching is not None:
            watching.cancel()
        return await self._end()

    def _begin_loading(self, age: float) -> float:
        """Return the seconds that loading may take. They are also written to a file for the supervisor, which must
        end this process if it hangs."""
        seconds = remaining_limit(self._spec.startup_timeout, age)
        with suppress(OSError):
            self._path.with_name(WAITING).unlink(missing_ok=True)
            write_atomically(self._path.with_name(LOADING), f"{seconds:.3f}".encode(), durable=False)
        return seconds

    def _tell_wait(self, what: str) -> None:
        with suppress(OSError):
            write_atomically(self._path.with_name(WAITING), what.encode(), durable=False)

    @property
    def _memory_limit(self) -> int:
        """The limit of this process. Whoever runs containers holds them to theirs, and their front is small."""
        measured = any(one.runtime.kind is not RuntimeKind.CONTAINER for one in self._spec.containers)
        return self._spec.memory_limit if measured else 0

    def _limit_memory(self) -> None:
        limit = self._memory_limit
        if limit and self._spec.on_demand is not None:
            self._memory_limits = memory_limits.limit_memory(self._path.parent, limit)
            self._log(f"held to {format_bytes(limit)} by {self._memory_limits or 'looks alone'}")

    async def _start(self) -> None:
        spec, now = self._spec, asyncio.get_running_loop().time
        cold = ColdStart(spec.on_demand) if spec.on_demand is not None else None
        age = _age()
        try:
            self._server = server = _make_server(spec, self._path.parent)
            await server.listen()
            until = now() + remaining_limit(spec.download_timeout, age)
            # The kernel may take tens of milliseconds to move a process between groups.
            await asyncio.gather(fetch(spec, until, self._tell_wait), asyncio.to_thread(self._limit_memory))
            if cold is not None:
                cold.mark("fetched")
            until = now() + self._begin_loading(age)
            self._engine = await open_engine(spec, self._note_program_end, until, self._note_device)
        except Exception as error:
            self._fail(
                self._out_of_memory()
                if self._memory_limits and memory_limits.is_out_of_memory(error)
                else _failure_of(error)
            )
            return
        # What was loaded lives as long as the process: scanning it in every collection would delay requests.
        if cold is None:
            gc.collect()
        gc.freeze()
        if self._memory_limits:
            server.failed = self._note_model_error
        server.engine = self._engine
        if cold is not None:
            cold.mark("loaded")
            server.note(cold.setup())
            server.cold = cold
        kinds = ", ".join(container.runtime.kind for container in self._spec.containers)
        listen = self._spec.listen
        self._log(f"ready, {kinds} on {self._spec.socket if listen is None else f'port {listen.port}'}")
        if cold is not None:
            await report_ready(self._spec)
            if listen is None:  # a container's files go with it
                self._preparing = asyncio.create_task(self._prepare_later_starts(self._engine))

    async def _prepare_later_starts(self, engine: ModelEngine) -> None:
        """After the first answers, which would wait for the interpreter."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_FIRST_ANSWERS):
                await self._stopping.wait()
        await prepare_later_starts(self._spec, engine)

    async def _end(self) -> int:
        failure = self._failure
        if failure is not None:
            write_failure(self._path, failure)
            self._log(f"failed: {failure.message}")
        cut = 0
        if self._server is not None:
            patient = failure is None or (failure.code == OUT_OF_MEMORY and not failure.permanent)
            cut = await self._server.drain(self._spec.drain_timeout if patient else _FAILED_DRAIN)
            self._path.with_name("stats.json").write_bytes(self._server.statistics(0, sys.maxsize, over=False))
        if self._engine is not None:
            await self._engine.close()
        if failure is not None:
            return FAILED
        if self._preparing is not None:  # on a busy machine no instance would live long enough
            await asyncio.wait([self._preparing], timeout=_PATIENCE)
        self._log(f"drained, {cut} requests cut off" if cut else "drained")
        return 0

    def _note_program_end(
        self, container: ContainerSpec, code: int, why: str = "", *, permanent: bool = False
    ) -> None:
        """Fail because a container's program ended. ``why``: in words, where more is known than the exit code;
        ``permanent``: another start would fail the same way."""
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        lines = " | ".join(line.strip() for line in read_own_end(_LAST_LINES) if line.strip())
        log_end = f"; its log ends: {lines}" if lines else ""
        started = self._server is not None and self._server.engine is not None
        whose = f" of container {container.name}" if len(self._spec.containers) > 1 else ""
        said = why or f"The program {container.runtime.command[0]}{whose} {how}"
        hopeless = permanent or (code == NOT_STARTED and not why)
        self._fail(Failure("ProgramEnded", f"{said}{log_end}", permanent=hopeless and not started))

    def _note_device(self, placement: "Placement") -> None:
        """Tell the log and the metrics of a model that is on devices, and fail when they are lost."""
        loop = asyncio.get_running_loop()
        self._log(str(placement.report))
        assert self._server is not None
        for note in placement.report.notes():
            self._server.note(note)

        def lose(why: str) -> None:
            loop.call_soon_threadsafe(self._fail, Failure(DEVICE_LOST, why, permanent=False))

        placement.on_lost = lose

    def _note_model_error(self, message: str) -> None:
        """End the replica if a model's error is that of a memory limit."""
        if memory_limits.mentions_memory_limit(message):
            self._fail(self._out_of_memory())

    def _out_of_memory(self) -> Failure:
        """The failure of a replica whose allocation the kernel refused."""
        limit = format_bytes(self._spec.memory_limit)
        if self._server is None or self._server.engine is None:
            message = f"The replica outgrew the memory limit of {limit} while its model was loaded."
            return Failure(OUT_OF_MEMORY, message, permanent=True)
        message = f"The replica outgrew the memory limit of {limit} after {self._server.answered} requests."
        return Failure(OUT_OF_MEMORY, message, permanent=False)

    async def _watch(self, limit: int) -> None:
        await memory_limits.watch_memory(limit, self._report_outgrown)
        await memory_limits.watch_memory(int(limit * HARD_LIMIT), self._fail_outgrown)

    def _report_outgrown(self, size: int) -> None:
        """Ask for a replacement, and serve until it is there, if a model is loaded and there is a supervisor."""
        supervised = self._spec.on_demand is None and self._spec.listen is None
        if self._server is None or self._server.engine is None or not supervised:
            self._fail_outgrown(size)
            return
        message = self._excess_message(size)
        try:
            write_atomically(self._path.with_name(OUTGROWN), message.encode(), durable=False)
        except OSError:
            self._fail_outgrown(size)
        else:
            self._log(message)

    def _fail_outgrown(self, size: int) -> None:
        """Finish the requests in progress, then end."""
        loaded = self._server is not None and self._server.engine is not None
        self._fail(Failure(OUT_OF_MEMORY, self._excess_message(size), permanent=not loaded))

    def _excess_message(self, size: int) -> str:
        limit = self._spec.memory_limit
        when = "while its model was loaded"
        if self._server is not None and self._server.engine is not None:
            when = f"after {self._server.answered} requests"
        excess = format_bytes(size - limit)
        return f"The replica outgrew the memory limit of {format_bytes(limit)} by {excess} {when}."

    def _fail(self, failure: Failure) -> None:
        self._failure = self._failure or failure
        self._stopping.set()

    def _log(self, what: str) -> None:
        print(f"tidegate worker {self._spec.replica} ({self._spec.fleet}): {what}", flush=True)


def _make_server(spec: ReplicaSpec, folder: Path) -> Server:
    """The feature that traces has a server of its own; one that does not trace has no part of it."""
    if spec.tracing is None:
        return Server(spec, folder)
    from tidegate.host.features import features  # noqa: PLC0415  # most workers need no manifest

    make: Callable[[ReplicaSpec, Path], Server] = features().find_hook(TRACED_SERVER) or Server
    return make(spec, folder)


def _age() -> float:
    """Seconds since this process was started or forked; 0 if unknown."""
    try:
        started = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0.0
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started / os.sysconf("SC_CLK_TCK")


def _failure_of(error: Exception) -> Failure:
    if isinstance(error, TidegateError):
        return Failure(error.code, error.message, permanent=isinstance(error, _CONCLUSIVE))
    traceback.print_exception(error)
    return Failure(type(error).__name__, f"{type(error).__name__}: {error}", permanent=False)
