"""One worker process: started in a session of its own, found again by a restarted controller, ended gently.

A process is known by its pid together with its start time, so that a reused pid is never taken for a worker. The
start time is the kernel's own count since the boot: one in seconds of the day would change with every step of the
clock, and a worker that serves would be taken for dead. A later controller adopts it only if its command line carries
the mark of this installation: what lies in a copied state folder names processes of the original.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TypeVar

import msgspec
import psutil

from tidegate.auth.child_environment import remove_secrets
from tidegate.domain.decoding import prepare_type
from tidegate.domain.devices import VARIABLE
from tidegate.host.atomic_write import write_private
from tidegate.host.installation import Installation
from tidegate.host.process_facts import command_line
from tidegate.host.process_stats import process_start

WORKER = "tidegate.serving"
"""The module that a worker runs."""
NOTE = "process.json"
"""File in a replica's folder that holds its process's identity."""
_EXIT_FIELD = 49
"""Of ``/proc/PID/stat``, counted from the state on: the status that a zombie leaves, as ``wait`` returns it."""
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@cache
def _boot_id() -> str:
    """Read the id of this boot. Raises OSError where there is none: not on Linux. That is not kept: a process without
    a free file descriptor must not take every worker for dead from then on."""
    return BOOT_ID.read_text().strip()


@dataclass(frozen=True)
class Identity:
    """Identifies a process for any observer at any time."""

    pid: int
    started: str
    """Of Linux: the boot's id and the clock ticks since then. Elsewhere: psutil's create_time."""

    @classmethod
    def of(cls, pid: int) -> "Identity | None":
        """The process with this pid, unless it has ended; a zombie has."""
        try:
            boot = _boot_id()
        except OSError:
            return _find_elsewhere(pid)
        started = process_start(pid)
        return None if started is None else cls(pid, f"{boot} {started}")

    @property
    def order(self) -> float:
        """Rises with the time of the start, for processes of one boot."""
        return float(self.started.rpartition(" ")[2] or 0)


def cleaned(environment: Mapping[str, str], devices: Sequence[str] = ()) -> dict[str, str]:
    """The controller's variables that a worker gets. It sees the ``devices`` that are assigned to it and no other, so
    that none takes one that another has."""
    clean = remove_secrets(environment) | {VARIABLE: ",".join(devices)}
    clean.setdefault("OMP_NUM_THREADS", "1")
    clean["PYTHONUNBUFFERED"] = "1"
    return clean


def _code_of_zombie(identity: Identity) -> int | None:
    try:
        text = Path(f"/proc/{identity.pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    words = text[text.rindex(")") + 2 :].split()
    if words[0] != "Z" or not identity.started.endswith(f" {words[19]}"):
        return None
    return os.waitstatus_to_exitcode(int(words[_EXIT_FIELD]))


def _find_elsewhere(pid: int) -> Identity | None:
    try:
        process = psutil.Process(pid)
        ended = process.status() == psutil.STATUS_ZOMBIE
        return None if ended else Identity(pid, str(process.create_time()))
    except psutil.NoSuchProcess:
        return None


class Process:
    """A running, or ended, worker. ``popen`` is there only when this controller started it."""

    def __init__(self, identity: Identity, popen: subprocess.Popen[bytes] | None = None) -> None:
        self.identity = identity
        self._popen = popen

    @classmethod
    def start(
        cls,
        spec: Path,
        log: Path,
        environment: Mapping[str, str],
        module: str = WORKER,
        mark: Sequence[str] = (),
        devices: Sequence[str] = (),
    ) -> "Process":
        """Start a worker on ``spec``; its output goes to ``log``. The identity is on disk before this returns.
        ``mark``: options of the interpreter that say whose it is (``Installation.python``)."""
        log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with log.open("ab") as output:
            popen = subprocess.Popen(
                [sys.executable, *mark, "-m", module, str(spec)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=spec.parent,
                env=cleaned(environment, devices),
                start_new_session=True,
            )
        started = cls(Identity.of(popen.pid) or Identity(popen.pid, ""), popen)
        try:
            write_private(spec.with_name(NOTE), msgspec.json.encode(started.identity))
        except OSError:
            started.kill()  # a worker without a note would be nobody's
            popen.wait()
            raise
        return started

    @classmethod
    def adopt(cls, folder: Path, installation: Installation, name: str = "replica.json") -> "Process | None":
        """The process that runs the replica in ``folder`` (or another start file); None where there is none of this
        installation.

        A controller that dies between the start and the note leaves no identity: such a worker is found by its
        command line, so that it is never left running unseen.
        """
        try:
            noted = cls(msgspec.json.decode((folder / NOTE).read_bytes(), type=prepare_type(Identity)))
        except (OSError, msgspec.DecodeError):
            pass
        else:
            return noted if noted.alive and installation.owns(command_line(noted.identity.pid)) else None
        spec = str(folder / name)
        for process in psutil.process_iter(["cmdline"]):
            line = process.info["cmdline"] or ()
            if spec in line and installation.owns(line) and (identity := Identity.of(process.pid)) is not None:
                return cls(identity)
        return None

    @property
    def alive(self) -> bool:
        if self._popen is not None:
            return self._popen.poll() is None
        return Identity.of(self.identity.pid) == self.identity

    @property
    def exit_code(self) -> int | None:
        """The code of a process that has ended, or the negative number of the signal that ended it. None while it
        runs and where it is unknown: one that this controller did not start, and that is no zombie any more."""
        return self._popen.poll() if self._popen is not None else _code_of_zombie(self.identity)

    def watch(self) -> int | None:
        """A descriptor that becomes readable when the process ends (Linux), or None where that is unknown."""
        try:
            return os.pidfd_open(self.identity.pid) if self.alive else None
        except (AttributeError, OSError):
            return None

    def terminate(self) -> None:
        """Ask it to finish its requests and exit."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the worker and everything that it started."""
        self._signal(signal.SIGKILL)
        self.sweep()

    def sweep(self) -> None:
        """Kill what a dying or dead worker left behind in its session, such as a program's children."""
        now = Identity.of(self.identity.pid)
        if now is not None and now != self.identity:
            return  # the pid, and so perhaps the session's number, belongs to somebody else
        for pid in psutil.pids():
            with contextlib.suppress(OSError):
                if os.getsid(pid) == self.identity.pid and pid != self.identity.pid:
                    os.kill(pid, signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self.alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(self.identity.pid, number)


# --- shared code of the processes of jobs: the files that they report in, and how they are terminated ---


T = TypeVar("T")

START = "job.json"
"""The file that a job's process is started with, in the job's folder."""


def read_file(path: Path, kind: type[T]) -> T | None:
    """Read the report of a process; None until the file is complete."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=prepare_type(kind))
    except (OSError, msgspec.DecodeError):
        return None


@dataclass
class Termination:
    """A process is asked to end once, and killed if it still runs ``patience`` seconds later."""

    patience: float
    _asked_at: dict[str, float] = field(default_factory=dict)

    def ask(self, name: str, process: Process | None) -> None:
        """Call this again until the process is gone. ``process``: that of the job; None if none runs."""
        if process is None:
            return
        now = asyncio.get_running_loop().time()
        if name not in self._asked_at:
            self._asked_at[name] = now
            process.terminate()
        elif now - self._asked_at[name] > self.patience:
            process.kill()

    def forget(self, name: str) -> None:
        self._asked_at.pop(name, None)
