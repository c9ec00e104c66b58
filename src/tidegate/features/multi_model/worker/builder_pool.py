"""The worker's pool of child processes that prepare models (``artifact_builder``), started on demand."""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import suppress

import msgspec

from tidegate.domain.decoding import prepare_type
from tidegate.domain.errors import ArtifactError, Transient
from tidegate.features.multi_model.worker.artifact_builder import BuildJob, BuildResult

_LINE = 1 << 20
IDLE = 120.0
"""Seconds after which all idle children but one are ended."""
WAIT, LONGEST_WAIT = 0.1, 2.0
"""Seconds that a job waits for a busy child before another is started, which takes half a second of a processor, in
which everything else here is slower, while most jobs take 20 ms: as long as the last start took, within these."""


class BuilderCrashed(ArtifactError):
    """A job crashed its child process."""


class BuilderPool:
    """At most ``limit`` children, each with one job at a time. A job gets the first free child, not necessarily the
    one that was started for it."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._idle: asyncio.Queue[Process | None] = asyncio.Queue()
        """None: a child that did not start."""
        self._all: set[Process] = set()
        self._starting: set[asyncio.Task[None]] = set()
        self._waiting = 0
        self._took = 0.0
        """Seconds that the last start of a child took."""
        self._reaping: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Start one child, so that the first request need not wait for it. Raises Transient."""
        self._start()
        self._idle.put_nowait(await self._free())

    async def prepare(self, job: BuildJob, seconds: float) -> BuildResult:
        """Run a job. Raises ArtifactError for an unusable model, also if the child crashed, and Transient."""
        if not self._all and not self._starting:
            self._start()
        wait = max(WAIT, min(self._took, LONGEST_WAIT))
        more = asyncio.get_running_loop().call_later(wait, self._start)
        try:
            child = await self._free()
        finally:
            more.cancel()
        try:
            async with asyncio.timeout(seconds):
                done = await self._ask(child, job)
        except BaseException as error:
            await self._end(child)
            if self._waiting or not self._all:
                self._start()
            if isinstance(error, TimeoutError):
                raise ArtifactError(f"it was not read within {seconds:g} s") from None
            raise
        self._idle.put_nowait(child)
        self._reap_later()
        if done.error:
            raise (Transient if done.passing else ArtifactError)(done.error)
        return done

    async def close(self) -> None:
        if self._reaping is not None:
            self._reaping.cancel()
        for task in list(self._starting):
            task.cancel()
        for child in list(self._all):
            await self._end(child)

    async def _free(self) -> Process:
        self._waiting += 1
        try:
            child = await self._idle.get()
        finally:
            self._waiting -= 1
        if child is None:
            raise Transient("the process that reads models does not start; see the log")
        return child

    def _start(self) -> None:
        if len(self._all) + len(self._starting) < self._limit:
            task = asyncio.get_running_loop().create_task(self._child())
            self._starting.add(task)
            task.add_done_callback(self._starting.discard)

    async def _child(self) -> None:
        began = asyncio.get_running_loop().time()
        try:
            child = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "tidegate.features.multi_model.worker.artifact_builder",
                stdin=PIPE,
                stdout=PIPE,
                limit=_LINE,
            )
        except OSError as error:
            print(f"the process that reads models cannot be started: {error}", flush=True)
            self._idle.put_nowait(None)
            return
        self._all.add(child)
        assert child.stdout is not None
        if await child.stdout.readline():
            self._took = asyncio.get_running_loop().time() - began
            self._idle.put_nowait(child)
        else:
            await self._end(child)
            self._idle.put_nowait(None)

    async def _ask(self, child: Process, job: BuildJob) -> BuildResult:
        assert child.stdin is not None and child.stdout is not None
        with suppress(ConnectionError):  # it has ended: reading its result will show that
            child.stdin.write(msgspec.json.encode(job) + b"\n")
            await child.stdin.drain()
        line = await child.stdout.readline()
        if not line:
            code = await child.wait()
            raise BuilderCrashed(f"reading it ended the process that read it ({_describe_exit(code)})")
        return msgspec.json.decode(line, type=prepare_type(BuildResult))

    async def _end(self, child: Process) -> None:
        self._all.discard(child)
        with suppress(ProcessLookupError):
            child.kill()
        await child.wait()

    def _reap_later(self) -> None:
        if self._reaping is not None:
            self._reaping.cancel()
        self._reaping = asyncio.get_running_loop().call_later(IDLE, self._reap)

    def _reap(self) -> None:
        while self._idle.qsize() > 1:
            child = self._idle.get_nowait()
            if child is not None and child.stdin is not None:
                self._all.discard(child)
                child.stdin.close()  # it exits at end of file


def _describe_exit(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
