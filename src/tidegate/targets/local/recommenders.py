"""Recommendation jobs as processes of this machine; see ``ports.recommenders``.

Each has a whole server of its own under its folder, whose processes have sessions of their own. They are found by
that folder in their command lines, so that nothing of a job stays when its process was killed.
"""

import asyncio
import contextlib
import os
import shutil
import signal
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import psutil

from tidegate.domain.errors import Transient
from tidegate.domain.recommendation import ConfigurationTrial, RecommendationJob, RecommendedInstance
from tidegate.host.atomic_write import write_atomically
from tidegate.host.installation import Installation
from tidegate.ports.target import RecommenderState
from tidegate.targets.local.process import START, Process, Termination, read_file

LOG = "log"
SERVER = "server"
"""Folder in a job's folder: the state of the server that it loads."""
MODULE = "tidegate.features.recommender"
KILL_AFTER = 12.0
"""Seconds that a process has to stop: it ends a server first."""
LAST = 2000
"""Bytes of the log that are looked at for its last line."""


class _Result(msgspec.Struct):
    reason: str
    found: tuple[RecommendedInstance, ...] = ()


@dataclass
class LocalRecommenders:
    """``root``: the folder of all jobs' folders."""

    root: Path
    installation: Installation
    environment: dict[str, str]
    _running: dict[str, Process] = field(default_factory=dict)
    _termination: Termination = field(default_factory=lambda: Termination(KILL_AFTER))

    def kept(self) -> tuple[str, ...]:
        with contextlib.suppress(OSError):
            return tuple(sorted(path.name for path in self.root.iterdir()))
        return ()

    async def start(self, job: RecommendationJob, file: bytes) -> None:
        if self._process(job.name) is not None:
            return
        folder = self.root / job.name
        await asyncio.to_thread(sweep, folder, self.installation)  # the server of a process that was killed
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_atomically(folder / START, file)
            mark = self.installation.python
            self._running[job.name] = Process.start(folder / START, folder / LOG, self.environment, MODULE, mark)
        except OSError as error:
            raise Transient(
                f"the process of job {job.name} cannot be started: {error.strerror or error}"
            ) from None

    async def look(self, name: str) -> RecommenderState:
        folder, alive = self.root / name, self._process(name) is not None
        result = read_file(folder / "result.json", _Result)
        steps = read_file(folder / "progress.json", tuple[ConfigurationTrial, ...]) or ()
        if result is None:
            return RecommenderState(alive, steps, said=_last_line(folder / LOG))
        return RecommenderState(alive, steps, result.reason, result.found)

    def stop(self, name: str) -> None:
        self._termination.ask(name, self._process(name))

    async def discard(self, name: str) -> None:
        self._running.pop(name, None)
        self._termination.forget(name)
        await asyncio.to_thread(sweep, self.root / name, self.installation)
        await asyncio.to_thread(shutil.rmtree, self.root / name, True)

    async def end(self, drain: bool) -> None:
        if not drain:
            return
        names = [name for name in self.kept() if self._process(name) is not None]
        for name in names:
            self.stop(name)
        deadline = asyncio.get_running_loop().time() + KILL_AFTER
        while any(self._process(n) for n in names) and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.05)
        for name in names:
            if process := self._process(name):
                process.kill()
            await asyncio.to_thread(sweep, self.root / name, self.installation)

    def _process(self, name: str) -> Process | None:
        """The job's running process, found again if an earlier controller started it."""
        folder = self.root / name
        there = name not in self._running and folder.is_dir()
        if there and (found := Process.adopt(folder, self.installation, START)) is not None:
            self._running[name] = found
        known = self._running.get(name)
        return known if known is not None and known.alive else None


def sweep(folder: Path, installation: Installation) -> None:
    """End the processes of a job whose own process has ended, and the sessions that they lead: those of this
    installation with a path under the job's ``folder``, and those of the server in it, which is an installation of
    its own."""
    inner, leaders = Installation.find(folder / SERVER), set()
    for process in psutil.process_iter(["cmdline"]):
        line = process.info["cmdline"] or ()
        mine = installation.owns(line) and any(word.startswith(f"{folder}/") for word in line)
        if mine or (inner is not None and inner.owns(line)):
            with contextlib.suppress(OSError):
                if os.getsid(process.pid) == process.pid:
                    leaders.add(process.pid)
                os.kill(process.pid, signal.SIGKILL)
    for pid in psutil.pids() if leaders else ():
        with contextlib.suppress(OSError):
            if os.getsid(pid) in leaders:
                os.kill(pid, signal.SIGKILL)


def _last_line(log: Path) -> str:
    try:
        lines = log.read_bytes()[-LAST:].decode(errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
