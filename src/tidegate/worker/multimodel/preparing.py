"""The children that prepare models (``preparer``), as the worker sees them: a few, started when they are needed."""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import suppress

import msgspec

from tidegate.model.errors import ArtifactError, Transient
from tidegate.worker.multimodel.preparer import Done, Job

_LINE = 1 << 20
IDLE = 120.0
"""Seconds after which all idle children but one go."""


class Preparers:
    """At most ``limit`` children, each with one job at a time."""

    def __init__(self, limit: int) -> None:
        self._turns = asyncio.Semaphore(limit)
        self._idle: list[Process] = []
        self._all: set[Process] = set()
        self._reaping: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """One child is ready from here on: the first client need not wait for it."""
        self._idle.append(await self._child())

    async def prepare(self, job: Job, seconds: float) -> Done:
        """Raises ArtifactError for what will not do, a child's death included, and Transient."""
        async with self._turns:
            child = self._idle.pop() if self._idle else await self._child()
            try:
                async with asyncio.timeout(seconds):
                    done = await self._ask(child, job)
            except TimeoutError:
                await self._end(child)
                raise ArtifactError(f"it was not read within {seconds:g} s") from None
            except BaseException:
                await self._end(child)
                raise
            self._idle.append(child)
            self._reap_later()
        if done.error:
            raise (Transient if done.passing else ArtifactError)(done.error)
        return done

    async def close(self) -> None:
        if self._reaping is not None:
            self._reaping.cancel()
        for child in list(self._all):
            await self._end(child)

    async def _child(self) -> Process:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tidegate.worker.multimodel.preparer", stdin=PIPE, stdout=PIPE, limit=_LINE
        )
        self._all.add(child)
        assert child.stdout is not None
        if not await child.stdout.readline():
            await self._end(child)
            raise Transient("the process that reads models does not start; see the log")
        return child

    async def _ask(self, child: Process, job: Job) -> Done:
        assert child.stdin is not None and child.stdout is not None
        with suppress(ConnectionError):  # it died meanwhile: its silence tells
            child.stdin.write(msgspec.json.encode(job) + b"\n")
            await child.stdin.drain()
        line = await child.stdout.readline()
        if not line:
            code = await child.wait()
            raise ArtifactError(f"reading it ended the process that read it ({_how(code)})")
        return msgspec.json.decode(line, type=Done)

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
        for child in self._idle[1:]:
            self._all.discard(child)
            if child.stdin is not None:
                child.stdin.close()  # it ends by itself
        del self._idle[1:]


def _how(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
