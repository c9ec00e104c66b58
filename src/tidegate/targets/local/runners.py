"""Runners of transform jobs as processes of this machine; see ``ports.runners``."""

import asyncio
import contextlib
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from tidegate.model.errors import Transient
from tidegate.model.fleet import FleetSpec
from tidegate.model.transform import Progress, TransformJob
from tidegate.ports.runners import RunnerSeen
from tidegate.service.transforms import fleet_id
from tidegate.targets.local.folders import Folders, write_whole
from tidegate.targets.local.job_process import START, Ending, word
from tidegate.targets.local.process import Process, cleaned

MODULE = "tidegate.worker.transforming"
KILL_AFTER = 5.0
"""Seconds that a runner which was told to stop has."""
ABORT_WITHIN = 10.0
"""Seconds for the storage to forget an upload of a job that has ended."""


class _Result(msgspec.Struct):
    reason: str


@dataclass
class LocalRunners:
    """``describe`` makes a runner's start file; ``ended`` is told of a job whose runner has ended."""

    folders: Folders
    environment: dict[str, str]
    describe: Callable[[TransformJob, FleetSpec], bytes]
    ended: Callable[[str], None]
    _running: dict[str, Process] = field(default_factory=dict)
    _watched: dict[str, int] = field(default_factory=dict)
    _ending: Ending = field(default_factory=lambda: Ending(KILL_AFTER))

    def folder(self, name: str) -> Path:
        return self.folders.state / "transforms" / name

    async def start(self, job: TransformJob, fleet: FleetSpec) -> None:
        if self._process(job.name) is not None:
            return
        folder = self.folder(job.name)
        try:
            write_whole(folder / START, self.describe(job, fleet))
            log = self.folders.logs / fleet.id.endpoint / "runner.log"
            self._follow(job.name, Process.start(folder / START, log, self.environment, MODULE))
        except OSError as error:
            raise Transient(f"the runner of job {job.name} cannot be started: {error.strerror or error}") from None

    async def look(self, name: str) -> RunnerSeen:
        alive = self._process(name) is not None
        result = word(self.folder(name) / "result.json", _Result)
        progress = word(self.folder(name) / "progress.json", Progress) or Progress()
        return RunnerSeen(alive, progress, result.reason if result else None)

    def progress(self, name: str) -> Progress | None:
        return word(self.folder(name) / "progress.json", Progress)

    def stop(self, name: str) -> None:
        self._ending.ask(name, self._process(name))

    async def discard(self, name: str) -> None:
        self._forget(name)
        if any((self.folder(name) / "parts").glob("*.upload")):
            await self._abort_uploads(name)
        await asyncio.to_thread(shutil.rmtree, self.folder(name), True)

    async def _abort_uploads(self, name: str) -> None:
        """Those that a runner was in the midst of when it was killed. What cannot be reached now stays."""
        log = self.folders.logs / fleet_id(name).endpoint / "runner.log"
        command = (sys.executable, "-m", MODULE, "--abort", str(self.folder(name) / START))
        try:
            with log.open("ab") as output:
                process = await asyncio.create_subprocess_exec(
                    *command, stdout=output, stderr=output, env=cleaned(self.environment)
                )
        except OSError:
            return
        try:
            async with asyncio.timeout(ABORT_WITHIN):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    async def end_all(self) -> None:
        """For the end of everything; jobs go on at the next start."""
        running = {name: process for name, process in self._running.items() if process.alive}
        for process in running.values():
            process.terminate()
        deadline = asyncio.get_running_loop().time() + KILL_AFTER
        while any(p.alive for p in running.values()) and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.02)
        for process in running.values():
            process.kill()
        self.let_go()

    def let_go(self) -> None:
        for name in list(self._running):
            self._forget(name)

    def _process(self, name: str) -> Process | None:
        """What runs, found again where an earlier controller started it."""
        known = self._running.get(name)
        if known is None and (adopted := Process.adopt(self.folder(name), START)) is not None:
            if not adopted.alive:
                return None
            self._follow(name, adopted)
            return adopted
        return known if known is not None and known.alive else None

    def _follow(self, name: str, process: Process) -> None:
        self._forget(name)
        self._running[name] = process
        watch = process.watch()
        if watch is not None:
            self._watched[name] = watch
            asyncio.get_running_loop().add_reader(watch, self._has_ended, name)

    def _has_ended(self, name: str) -> None:
        self._unwatch(name)
        self.ended(name)

    def _unwatch(self, name: str) -> None:
        watch = self._watched.pop(name, None)
        if watch is not None:
            asyncio.get_running_loop().remove_reader(watch)
            with contextlib.suppress(OSError):
                os.close(watch)

    def _forget(self, name: str) -> None:
        self._unwatch(name)
        self._running.pop(name, None)
        self._ending.forget(name)
