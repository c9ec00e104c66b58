"""How the controller keeps a dispatcher running (``dispatcher_main.py`` is its process). Apart from that, since a
controller needs nothing of what carries requests.

One runs on a machine at a time: it holds a lock on a file, which ends with it however it ends. A controller that
finds the lock free starts one; one that runs outlives the controller, and its successor leaves it alone unless it was
started with other settings or by another version, or makes no progress: each turn in which it reached the queue
touches the lock.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from tidegate import __version__
from tidegate.auth.keys import serves_its_user_alone
from tidegate.compose.environments import child_environment
from tidegate.domain.decoding import prepare_type
from tidegate.features.asynchronous.dispatcher.snapshot import EndpointSnapshot, QueueSnapshot
from tidegate.host.atomic_write import write_private
from tidegate.host.installation import Installation
from tidegate.host.process_facts import command_line
from tidegate.settings import Settings
from tidegate.store.tables import SCHEMA

STOP_TURN = 0.05
PROGRAM = f"{__version__} {SCHEMA} "
"""What a dispatcher is a process of: its version, and that of the database."""
MODULE = "tidegate.features.asynchronous.dispatcher_main"
STUCK = 30
"""Looks in a row, one a second, that see no progress before a dispatcher is replaced. Looks are counted, since
seconds would count against it also while the controller itself was stopped or could not reach the database."""

log = logging.getLogger("tidegate")


@dataclass(frozen=True)
class DispatcherSettings:
    """Settings with which a dispatcher is started."""

    database_url: str
    database_timeout: int
    socket: str
    """The proxy's, for requests from the queue."""
    folder: str
    readable: tuple[str, ...] | None
    writable: tuple[str, ...]
    s3_endpoint: str
    sns_endpoint: str
    webhook_secret: str
    webhook_hosts: tuple[str, ...]
    region: str
    most: int
    grace: float


@dataclass(frozen=True)
class RunningDispatcher:
    """The content of the lock file, written by the dispatcher that holds the lock."""

    pid: int
    start: str
    """Digest of its ``DispatcherSettings``."""
    progress: int = 0
    """Another number after each turn in which it reached the queue."""


def start_settings(settings: Settings, socket: Path) -> DispatcherSettings:
    anywhere = serves_its_user_alone(settings) and not settings.file_roots
    return DispatcherSettings(
        database_url=settings.database_url or f"sqlite:///{settings.state / 'tidegate.db'}",
        database_timeout=settings.database_timeout,
        socket=str(socket),
        folder=str(settings.state / "dispatch"),
        readable=None if anywhere else tuple(str(root) for root in settings.file_roots),
        writable=tuple(str(root) for root in settings.output_roots or (settings.state / "outputs",)),
        s3_endpoint=settings.s3_endpoint,
        sns_endpoint=settings.sns_endpoint,
        webhook_secret=settings.webhook_secret,
        webhook_hosts=settings.webhook_hosts,
        region=settings.region,
        most=settings.async_max_body,
        grace=float(settings.drain_timeout),
    )


@dataclass
class DispatcherSupervisor:
    """The controller's side."""

    start: DispatcherSettings
    installation: Installation
    _child: subprocess.Popen[bytes] | None = field(default=None)
    _seen: RunningDispatcher | None = None
    _looks: int = 0
    """In a row that saw ``_seen``."""

    @property
    def folder(self) -> Path:
        return Path(self.start.folder)

    def update(self, now: float, endpoints: Mapping[str, tuple[int, str]], needed: bool) -> None:
        """Publish what the dispatcher may hand out from now on, and start one if it is needed. ``endpoints``:
        endpoint -> requests in hand, variant; ``needed``: whether a dispatcher is needed."""
        page = QueueSnapshot(now, {name: EndpointSnapshot(*served) for name, served in endpoints.items()})
        if needed:
            write_private(self.folder / "page.json", msgspec.json.encode(page))
        self.ensure(needed)

    def ensure(self, needed: bool) -> None:
        """Start a dispatcher if one is needed and none runs. Replace one that has other settings, or makes no
        progress."""
        if self._child is not None and self._child.poll() is not None:
            self._child = None
        running = find_running(self.folder)
        if running is not None:
            if self._is_stuck(running):
                log.error("the dispatcher (pid %d) makes no progress: another takes its place", running.pid)
                self._signal(running.pid, signal.SIGKILL)
            elif running.start != digest(self.start):
                self._signal(running.pid, signal.SIGTERM)
        elif needed and self._child is None:
            path = self.folder / "start.json"
            write_private(path, msgspec.json.encode(self.start))
            with (self.installation.root / "tidegate.log").open("ab") as output:
                self._child = subprocess.Popen(
                    [sys.executable, *self.installation.python, "-m", MODULE, str(path)],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=child_environment(self.installation.root),
                    start_new_session=True,
                )

    def _is_stuck(self, running: RunningDispatcher) -> bool:
        self._looks = self._looks + 1 if running == self._seen else 0
        self._seen = running
        return self._looks >= STUCK

    async def stop(self) -> None:
        """Wait until it has ended; kill it if it does not end in time."""
        deadline = asyncio.get_running_loop().time() + self.start.grace + 5
        asked = False
        while (running := find_running(self.folder)) is not None:
            late = asyncio.get_running_loop().time() > deadline
            if late or not asked:
                asked = self._signal(running.pid, signal.SIGKILL if late else signal.SIGTERM)
                if late and not asked:
                    break
            await asyncio.sleep(STOP_TURN)
        if self._child is not None:
            self._child.kill()  # one that has not said yet that it runs
            await asyncio.to_thread(self._child.wait)
            self._child = None

    def _signal(self, pid: int, number: signal.Signals) -> bool:
        """Send a signal. Return False for a process of another program, since the lock may still name its last
        holder."""
        if not self.installation.owns(command_line(pid)):
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        return True


def digest(start: DispatcherSettings) -> str:
    """Hash the settings together with the program's version. Another version gives another digest, because a running
    dispatcher reads the queue in the way of its own version."""
    return hashlib.sha256(PROGRAM.encode() + msgspec.json.encode(start)).hexdigest()


def find_running(folder: Path) -> RunningDispatcher | None:
    """The holder of the lock; None if nobody holds it, or its holder has not written its id yet."""
    try:
        with (folder / "lock").open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                known = msgspec.json.decode(file.read(), type=prepare_type(RunningDispatcher))
                return replace(known, progress=os.fstat(file.fileno()).st_mtime_ns)
    except (OSError, msgspec.DecodeError):
        return None
    return None
