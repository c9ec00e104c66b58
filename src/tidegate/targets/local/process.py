"""One worker process: started in a session of its own, found again by a restarted controller, ended gently.

A process is known by its pid together with its start time, so that a reused pid is never taken for a worker.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import psutil

from tidegate.targets.local.folders import write_whole

_PRIVATE = ("TIDEGATE_ACCESS_KEYS", "TIDEGATE_DATABASE_URL")
"""Variables of the controller that a worker has no business to see."""


@dataclass(frozen=True)
class Identity:
    """Which process, whoever asks and whenever."""

    pid: int
    started: float
    """psutil's create_time, epoch seconds."""


class Process:
    """A running, or ended, worker. ``popen`` is there only when this controller started it."""

    def __init__(self, identity: Identity, popen: subprocess.Popen[bytes] | None = None) -> None:
        self.identity = identity
        self.exit_code: int | None = None
        self._popen = popen

    @classmethod
    def start(cls, spec: Path, log: Path, environment: Mapping[str, str]) -> "Process":
        """Starts a worker on ``spec``; its output goes to ``log``. The identity is on disk before this returns."""
        log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        clean = {name: value for name, value in environment.items() if name not in _PRIVATE}
        clean.setdefault("OMP_NUM_THREADS", "1")
        clean["PYTHONUNBUFFERED"] = "1"
        with log.open("ab") as output:
            popen = subprocess.Popen(
                [sys.executable, "-m", "tidegate.worker", str(spec)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=spec.parent,
                env=clean,
                start_new_session=True,
            )
        identity = Identity(popen.pid, psutil.Process(popen.pid).create_time())
        write_whole(spec.with_name("process.json"), msgspec.json.encode(identity))
        return cls(identity, popen)

    @classmethod
    def adopt(cls, folder: Path) -> "Process | None":
        """The process that runs the replica in ``folder``; None where there is none.

        A controller that dies between the start and the note leaves no identity: such a worker is found by its
        command line, so that it is never left running unseen.
        """
        try:
            return cls(msgspec.json.decode((folder / "process.json").read_bytes(), type=Identity))
        except (OSError, msgspec.DecodeError):
            pass
        spec = str(folder / "replica.json")
        for process in psutil.process_iter(["cmdline", "create_time"]):
            if spec in (process.info["cmdline"] or ()):
                return cls(Identity(process.pid, process.info["create_time"]))
        return None

    @property
    def alive(self) -> bool:
        if self._popen is not None:
            self.exit_code = self._popen.poll()
            return self.exit_code is None
        try:
            process = psutil.Process(self.identity.pid)
            same = abs(process.create_time() - self.identity.started) < 1
            return same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def watch(self) -> int | None:
        """A descriptor that becomes readable when the process ends (Linux), or None where that is unknown."""
        try:
            return os.pidfd_open(self.identity.pid) if self.alive else None
        except (AttributeError, OSError):
            return None

    def terminate(self) -> None:
        """Asks it to finish what it has in hand and go."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Ends the whole session at once: the worker and whatever it started."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.identity.pid, signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self.alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(self.identity.pid, number)
