"""Runners of transform jobs as processes of this machine; see ``ports.runners``."""

import asyncio
import contextlib
import logging
import os
import shutil
import sys
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from tidegate.domain.errors import Transient
from tidegate.domain.fleet import FleetSpec
from tidegate.domain.transform import TransformJob, TransformProgress, job_fleet
from tidegate.host.atomic_write import write_private
from tidegate.ports.runners import Describe, RunnerState
from tidegate.targets.local.paths import Folders
from tidegate.targets.local.process import START, Process, Termination, cleaned, read_file

log = logging.getLogger(__name__)

MODULE = "tidegate.features.batch.runner"
KILL_AFTER = 5.0
"""Seconds that a runner has to stop."""
ABORT_WITHIN = 10.0
"""Seconds for the storage to forget an upload of a job that has ended."""


KEPT = "kept"
"""A file in the folder of a job that has ended and may be resumed; its time is when that was."""
KEEP_FOR = 7 * 86_400.0
KEEP_SHARE, KEEP_LEAST = 0.1, 1 << 30
"""Of all that is kept: this part of the disk, or so many bytes if that is more."""


class _Result(msgspec.Struct):
    reason: str
    attempt: int = 0


@dataclass(frozen=True)
class KeptWork:
    """``ended``: epoch seconds."""

    name: str
    ended: float
    size: int


def find_outdated(kept: Iterable[KeptWork], now: float, most: int) -> list[str]:
    """Jobs whose work is no longer kept: the old ones, and the oldest of those that together take more than ``most``
    bytes."""
    gone, total = [], 0
    for one in sorted(kept, key=lambda one: one.ended, reverse=True):
        total += one.size
        if now - one.ended > KEEP_FOR or total > most:
            gone.append(one.name)
    return gone


@dataclass
class LocalRunners:
    """``ended`` is called with the name of a job whose runner has ended."""

    folders: Folders
    environment: dict[str, str]
    ended: Callable[[str], None]
    _running: dict[str, Process] = field(default_factory=dict)
    _watched: dict[str, int] = field(default_factory=dict)
    _termination: Termination = field(default_factory=lambda: Termination(KILL_AFTER))

    def folder(self, name: str) -> Path:
        return self.folders.state / "transforms" / name

    async def start(self, job: TransformJob, fleet: FleetSpec, describe: Describe) -> None:
        if self._process(job.name) is not None:
            return
        folder = self.folder(job.name)
        try:
            (folder / KEPT).unlink(missing_ok=True)
            write_private(folder / START, describe(self.folders.replicas(fleet.id)))
            log = self.folders.logs / fleet.id.endpoint / "runner.log"
            mark = self.folders.installation.python
            self._follow(job.name, Process.start(folder / START, log, self.environment, MODULE, mark))
        except OSError as error:
            raise Transient(f"the runner of job {job.name} cannot be started: {error.strerror or error}") from None

    async def look(self, job: TransformJob) -> RunnerState:
        alive = self._process(job.name) is not None
        result = read_file(self.folder(job.name) / "result.json", _Result)
        progress = read_file(self.folder(job.name) / "progress.json", TransformProgress) or TransformProgress()
        ended = result is not None and result.attempt >= job.resumed
        return RunnerState(alive, progress, result.reason if result is not None and ended else None)

    def progress(self, name: str) -> TransformProgress | None:
        return read_file(self.folder(name) / "progress.json", TransformProgress)

    def stop(self, name: str) -> None:
        self._termination.ask(name, self._process(name))

    async def discard(self, name: str) -> None:
        self._forget(name)
        await self._abort_uploads(name)
        await asyncio.to_thread(shutil.rmtree, self.folder(name), True)

    async def keep(self, name: str) -> None:
        self._forget(name)
        await self._abort_uploads(name)
        await asyncio.to_thread(_set_aside, self.folder(name))

    async def prune(self, active: Collection[str]) -> None:
        for name in await asyncio.to_thread(self._find_outdated, frozenset(active)):
            log.info("the work of transform job %s is not kept any longer", name)
            await asyncio.to_thread(shutil.rmtree, self.folder(name), True)

    def _find_outdated(self, active: Collection[str]) -> list[str]:
        folder = self.folders.state / "transforms"
        if not folder.is_dir():
            return []
        kept = [
            KeptWork(one.name, (one / KEPT).stat().st_mtime, _size(one))
            for one in folder.iterdir()
            if one.name not in active and (one / KEPT).exists()
        ]
        most = max(KEEP_LEAST, int(KEEP_SHARE * shutil.disk_usage(folder).total))
        return find_outdated(kept, time.time(), most)

    async def _abort_uploads(self, name: str) -> None:
        """Abort the uploads that a killed runner left open. Those that cannot be reached now stay."""
        if not any((self.folder(name) / "parts").glob("*.upload")):
            return
        output_file = self.folders.logs / job_fleet(name).endpoint / "runner.log"
        command = (sys.executable, "-m", MODULE, "--abort", str(self.folder(name) / START))
        try:
            with output_file.open("ab") as output:
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

    async def end(self, drain: bool) -> None:
        if drain:
            await self._end_all()
        for name in list(self._running):
            self._forget(name)

    async def _end_all(self) -> None:
        running = {name: process for name, process in self._running.items() if process.alive}
        for process in running.values():
            process.terminate()
        deadline = asyncio.get_running_loop().time() + KILL_AFTER
        while any(p.alive for p in running.values()) and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.02)
        for process in running.values():
            process.kill()

    def _process(self, name: str) -> Process | None:
        """The job's running process, found again if an earlier controller started it."""
        known = self._running.get(name)
        adopted = Process.adopt(self.folder(name), self.folders.installation, START) if known is None else None
        if adopted is not None:
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
        self._termination.forget(name)


def _set_aside(folder: Path) -> None:
    """Remove what can be fetched or assembled again, and mark the rest as kept. A full disk may not take the mark;
    then the work is kept for as long as the disk is full."""
    for ending in ("source", "coming", "assembled"):
        for path in folder.glob(f"parts/*.{ending}"):
            with contextlib.suppress(OSError):
                path.unlink()
    with contextlib.suppress(OSError):
        if folder.is_dir():
            (folder / KEPT).touch()


def _size(folder: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())
