"""One replica as its supervisor follows it: its process, its files, and whether it still answers."""

import asyncio
import contextlib
import math
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import msgspec

from tidegate.domain.decoding import prepare_type
from tidegate.domain.fleet import FleetId, ReplicaState, VariantSpec
from tidegate.domain.memory_sizes import format_bytes
from tidegate.domain.start_limits import supervisor_grace
from tidegate.domain.worker_stats import ACTIVITY, decode_activity
from tidegate.host import process_stats
from tidegate.host.log_files import read_end
from tidegate.host.process_stats import ProcessStats
from tidegate.targets.local.device_pool import devices_of
from tidegate.targets.local.health import Health, HealthLook
from tidegate.targets.local.paths import Folders
from tidegate.targets.local.process import Process
from tidegate.targets.local.worker_client import Ping, WorkerPings

# Control groups of replicas, as their supervisor sees them: each worker leaves the path of its own in ``cgroup``.


GROUP = "cgroup"


def find_kernel_kill(folder: Path) -> int | None:
    """The memory limit in bytes if the kernel ended the replica of this folder for exceeding it; otherwise None."""
    for events in ("memory.events", "memory.oom_control"):  # cgroup v2, v1
        try:
            group, limit = (folder / GROUP).read_text().splitlines()
            words = (Path(group) / events).read_text().split()
        except (OSError, ValueError):
            continue
        counts = dict(zip(words[::2], words[1::2], strict=False))
        return int(limit) if int(counts.get("oom_kill", "0")) > 0 else None
    return None


def remove_group(folder: Path) -> None:
    """Remove the control group of a replica that has ended."""
    with contextlib.suppress(OSError, IndexError):
        Path((folder / GROUP).read_text().splitlines()[0]).rmdir()


MOST_OPEN = 100
"""Files that are kept open: a process may often have no more than 1,024. Others are opened for each look."""
LONGEST = 64
"""Bytes that are read: more than a whole one has."""


class ActivityFile:
    """Read each second. It is kept open, as its worker keeps it, so that what is read is what the worker writes, even
    if somebody removes it or puts another one in its place."""

    _open: ClassVar[int] = 0
    """How many are kept."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file = -1

    def read(self) -> int | None:
        """The number that is raised before anything is counted; None if there is none to read."""
        if self._file >= 0:
            found = self._look(self._file)
            if found is None:
                self.close()  # its worker gave it up, or has yet to write it
            return found
        try:
            file = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # whatever lies there
        except OSError:
            return None
        found = self._look(file)
        if found is None or ActivityFile._open >= MOST_OPEN:
            os.close(file)
        else:
            self._file = file
            ActivityFile._open += 1
        return found

    def close(self) -> None:
        """It may be read again."""
        file, self._file = self._file, -1
        if file >= 0:
            ActivityFile._open -= 1
            with contextlib.suppress(OSError):
                os.close(file)

    @staticmethod
    def _look(file: int) -> int | None:
        try:
            return decode_activity(os.pread(file, LONGEST, 0))
        except OSError:
            return None


SERVED = "ready"
"""Marker file in a replica's folder: it has taken requests."""
RETIRED = "draining"
"""Marker file: it is to go, and must not be given requests again."""
START = "replica.json"
LOADING = "loading"
"""File of a worker's own: it has its model data, and gives itself so many seconds to load it
(``serving/contract/replica_spec.py``)."""
WAITING = "waiting"
"""File of a worker's own: what its start waits for (``serving/contract/replica_spec.py``)."""
OUTGROWN = "outgrown"
"""File of a worker's own: it holds more memory than it may (``serving/contract/replica_spec.py``)."""
SETTLED = 10.0
"""Seconds that a replica has to live once it is ready; one that dies sooner counts as a failed start."""
CALM, CALM_EVERY = 0.2, 0.5
"""Share of a processor below which a start is no heavy one, and seconds between looks."""
PING_EVERY = 1.0
"""Seconds between the questions whether a replica that was ready still is."""
EARLY = 0.05
"""Seconds by which a look may come early: one question less each time that a timer is a moment fast would leave two
seconds between questions."""


class _Start(msgspec.Struct):
    socket: str


@dataclass
class Replica:
    """Times are seconds of the event loop's clock."""

    id: str
    process: Process
    state: ReplicaState
    since: float
    folder: Path
    socket: Path
    log: Path
    devices: tuple[str, ...] = ()
    """Accelerators that are assigned to it."""
    terminated: float | None = None
    settled: bool = False
    """It has been ready for long enough to count as a good start."""
    asked: float = -math.inf
    health: Health = field(default_factory=Health)
    leaving: bool = False
    """It serves until another has taken its place."""
    hopeless: bool = False
    """It hangs, and is killed once another has taken its place."""
    _loaded_by: float | None = None
    """When a replica that loads its model has failed; None until it says that it has begun."""
    _looked: tuple[float, ProcessStats] | None = None
    """The last look that ``calm`` took."""
    _runs: bool = True
    """There was a process at the last look."""
    _watch: int | None = None
    _question: Ping | None = None
    _just_asked: bool = False
    """At the last look, of a replica that was well: that there is no answer yet says nothing."""
    _pings: WorkerPings = field(init=False)

    _start: str = field(init=False)
    _outgrown: str = field(init=False)
    _activity: ActivityFile = field(init=False)

    def __post_init__(self) -> None:
        self._pings = WorkerPings(self.socket)
        self._start = str(self.folder / START)
        self._outgrown, self._activity = str(self.folder / OUTGROWN), ActivityFile(str(self.folder / ACTIVITY))

    @classmethod
    def adopt(cls, fleet: FleetId, folder: Path, folders: Folders, now: float) -> "Replica | None":
        """The replica that an earlier controller left in ``folder``; None when its process has ended. One that
        served goes on serving without having to prove itself again: it may be busy with a request. The socket is
        where it was put then, whatever the folder for sockets is now."""
        process = Process.adopt(folder, folders.installation)
        if process is None:
            return None
        state = ReplicaState.READY if (folder / SERVED).exists() else ReplicaState.STARTING
        if (folder / RETIRED).exists():
            state = ReplicaState.DRAINING
        socket = written_socket(folder) or folders.socket(folder.name)
        log, settled = folders.log(fleet, folder.name), state is ReplicaState.READY
        devices = devices_of(folder, process.identity.pid)
        return cls(folder.name, process, state, now, folder, socket, log, devices, settled=settled)

    def watch(self, ended: Callable[[], None]) -> None:
        """Call ``ended`` once, when the process ends (where the system reports that)."""

        def on_exit() -> None:
            self._unwatch()
            ended()

        self._watch = self.process.watch()
        if self._watch is not None:
            asyncio.get_running_loop().add_reader(self._watch, on_exit)

    def detach(self) -> None:
        """Release what this controller holds open for it; the process goes on."""
        self._unwatch()
        self.stop_asking()
        self._activity.close()

    def stop_asking(self) -> None:
        """Stop pinging the replica. An open connection, however idle, would delay the end of its drain."""
        question, self._question = self._question, None
        if question is not None:
            question.cancel()
        self._pings.close()

    def mark(self, name: str) -> None:
        """On a full disk a later controller knows a little less, but this one keeps its replica."""
        with contextlib.suppress(OSError):
            (self.folder / name).touch()

    def look(self, now: float, patience: float) -> None:
        """Check its health without waiting: a ready replica is pinged now and then. Each ping waits for ``patience``,
        since a replica that computes for as long as a prediction may take answers late, but answers."""
        answer, open_before, self._just_asked = None, self._question is not None, False
        if self._question is not None and (answer := self._question.look()) is not None:
            self._question = None
        pause = PING_EVERY - EARLY if self.health.bad is None else 0.0
        if self._question is None and self.state is ReplicaState.READY and now - self.asked >= pause:
            self.asked = now
            self._question = self._pings.begin(patience)
            self._just_asked = answer is None and self.health.is_clean
        pid, waits = self.process.identity.pid, open_before and answer is None
        letter = process_stats.process_state(pid)
        self._runs = bool(letter)
        seen = HealthLook(
            stopped=letter in process_stats.STOPPED,
            waiting=self._question is not None,
            answer=answer,
            vitals=ProcessStats.of(pid) if waits else None,
            frozen=waits and process_stats.is_frozen(pid),
        )
        self.health = self.health.after(seen, now)

    @property
    def has_start(self) -> bool:
        """Whether a later controller could find it."""
        return os.path.exists(self._start)

    @property
    def rests(self) -> bool:
        """Whether the replica is ready, nothing is under way with it, and nothing is known against it."""
        going = self.leaving or self.hopeless or self.terminated is not None
        well = self.health.is_clean or (self._just_asked and self.health.takes_requests)
        return self.state is ReplicaState.READY and self.settled and not going and well

    def glance(self, now: float, patience: float) -> bool:
        """``look`` at a replica that rests. Returns whether it still does, as far as that can be seen."""
        self.look(now, patience)
        return self.rests and self._runs and not os.path.exists(self._outgrown)

    def read_activity(self) -> int | None:
        """The number that the worker raises before it counts anything; None if there is none to read."""
        return self._activity.read()

    async def get(self, path: str, seconds: float) -> tuple[int, bytes] | None:
        """GET of a path from the worker: status and body, or None where there is no answer."""
        return await self._pings.get(path, seconds)

    def has_settled(self, now: float) -> bool:
        return self.settled or now - self.since >= SETTLED

    def is_calm(self, now: float) -> bool:
        """Whether a starting replica leaves the processors alone, because it waits for a download or for ever.
        Measured now and then."""
        before = self._looked
        if before is not None and now - before[0] < CALM_EVERY:
            return False
        found = ProcessStats.of(self.process.identity.pid)
        self._looked = None if found is None else (now, found)
        if found is None or before is None:
            return False
        return found.demand(before[1], now - before[0]) < CALM

    def find_lateness(self, now: float, variant: VariantSpec) -> str:
        """Return what a starting replica has failed to do in time; empty while it has time. Usually the worker
        reports that itself and ends, unless it hangs."""
        if self._loaded_by is None:
            with contextlib.suppress(OSError, ValueError):
                seconds = float((self.folder / LOADING).read_text())
                self._loaded_by = (
                    now + min(seconds, variant.startup_timeout) + supervisor_grace(variant.startup_timeout)
                )
        if self._loaded_by is not None:
            why = f"the model did not load within {variant.startup_timeout:g} s"
            return why if now > self._loaded_by else ""
        limit = variant.download_timeout + variant.startup_timeout
        return (
            f"no answer to /ping within {limit:g} s" if now - self.since > limit + supervisor_grace(limit) else ""
        )

    @property
    def waits_for(self) -> str | None:
        """Return what its start waits for, by the worker's own file; None for nothing."""
        try:
            return (self.folder / WAITING).read_text() if self.state is ReplicaState.STARTING else None
        except OSError:
            return None

    def check_outgrown(self) -> str:
        """Once, when it holds more memory than it may: what the worker reported. It is leaving from then on."""
        if not self.leaving:
            with contextlib.suppress(OSError):
                why = (self.folder / OUTGROWN).read_text()
                self.leaving = True
                return why
        return ""

    def cause_of_death(self, when: str) -> tuple[str, bool]:
        """Return the reason why the worker ended, and whether another try would fail the same way. The reason is the
        worker's report, else its exit code and the end of its log."""
        with contextlib.suppress(OSError, msgspec.DecodeError):
            left = msgspec.json.decode(
                (self.folder / "failure.json").read_bytes(), type=prepare_type(dict[str, object])
            )
            return str(left.get("message", "")), bool(left.get("permanent"))
        if limit := find_kernel_kill(self.folder):
            why = f"The replica outgrew the memory limit of {format_bytes(limit)} {when}: the kernel ended it."
            return why, when.startswith("before")
        return f"the process ended with {self.exit} {when}{_last_words(self.log)}", False

    @property
    def exit(self) -> str:
        code = self.process.exit_code
        if code is None:
            return "an unknown exit code"
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    def _unwatch(self) -> None:
        if self._watch is not None:
            asyncio.get_running_loop().remove_reader(self._watch)
            with contextlib.suppress(OSError):
                os.close(self._watch)
            self._watch = None


def written_socket(folder: Path) -> Path | None:
    """The socket that the replica of this folder was started on."""
    try:
        return Path(msgspec.json.decode((folder / START).read_bytes(), type=prepare_type(_Start)).socket)
    except (OSError, msgspec.DecodeError):
        return None


def clear(folder: Path, socket: Path | None) -> None:
    """Remove what a replica that has ended leaves: its folder, and its socket and its programs' if they are ours."""
    if socket is not None:
        with contextlib.suppress(OSError):
            for path in (socket, *socket.parent.glob(f"{socket.stem}.app*")):
                path.unlink(missing_ok=True)
    remove_group(folder)
    shutil.rmtree(folder, ignore_errors=True)


def _last_words(log: Path) -> str:
    try:
        lines = [line for line in read_end(log, 20) if line.strip()]
    except OSError:
        return ""
    return f"; its last words: {lines[-1].strip()[:300]}" if lines else ""
