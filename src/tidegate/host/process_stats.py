"""State and progress of a process and its descendants, from Linux's /proc.

A process that does not answer may be computing, waiting for a processor on a busy machine, waiting for the disk,
frozen with its control group, or hanging. Only a hanging one makes no progress: none of its threads is runnable, and
it has neither used a processor, nor waited for one, nor read a page. On other systems nothing is known or concluded.
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

STOPPED = frozenset("Tt")
"""States of a process that was stopped by a signal or a debugger."""
IDLE = 0.02
"""Share of a processor below which a process makes no progress. Polling threads use this much: those that wait for
Python's GIL wake up 200 times a second."""
STARVED = 0.25
"""Share of the time that a process must wait for a processor to count as starved. On a busy machine, threads that
only poll wait for some percent of it."""
_PROC = Path("/proc")
_TICKS, _PAGE = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
_GROUPS = Path("/sys/fs/cgroup")


def process_state(pid: int) -> str:
    """Linux's state letter of a process; empty if there is no such process."""
    letter = _read(f"/proc/{pid}/stat", 256).rpartition(b") ")[2][:1].decode()
    return "" if letter in "ZX" else letter


def process_start(pid: int) -> str | None:
    """Return the time when a process started, in clock ticks since the boot; None for one that has ended, as a zombie
    has, or that is ending: it has no memory any more. With the pid this names a process, whatever it executes."""
    words = _stat(f"/proc/{pid}")
    return words[19] if words and words[20] != "0" else None


@dataclass(frozen=True)
class ProcessUse:
    """Resources that one process has used, from one file. ``started`` is in clock ticks since the boot, ``used`` in
    seconds of a processor, and ``memory`` in resident bytes."""

    started: int
    used: float
    memory: int


def use_of(pid: int) -> ProcessUse | None:
    """Return the resources that a process has used; None if there is no such process, or it cannot be read."""
    words = _stat(f"/proc/{pid}")
    try:
        ticks, started, pages = int(words[11]) + int(words[12]), int(words[19]), int(words[21])
    except (IndexError, ValueError):
        return None
    return ProcessUse(started, ticks / _TICKS, pages * _PAGE)


def process_tree(pid: int, most: int | None = None, *, all_threads: bool = True) -> Iterator[int]:
    """A process and all that it and its children have started and that still run, at most ``most``. Without
    ``all_threads`` only what main threads have started, which takes one file for each process."""
    waiting, found = [pid], 0
    while waiting and (most is None or found < most):
        one = waiting.pop()
        found += 1
        yield one
        for thread in _threads(one) if all_threads else [f"/proc/{one}/task/{one}"]:
            with contextlib.suppress(ValueError):
                waiting += map(int, _read_whole(f"{thread}/children").split())


@dataclass(frozen=True)
class ProcessStats:
    """Statistics of a process tree at one time. All but the first only rise, unless a process ends."""

    runnable: bool = False
    """A thread is running or runnable."""
    used: float = 0.0
    """Seconds of a processor."""
    waited: int = 0
    """Nanoseconds that its threads waited for a processor."""
    faults: int = 0
    """Major page faults."""

    @classmethod
    def of(cls, pid: int) -> "ProcessStats | None":
        """Read the statistics of a process and its descendants; None if there is no such process, or nothing is known
        about it."""
        runnable, ticks, waited, faults = False, 0, 0, 0
        members = list(process_tree(pid))
        for member in members:
            words = _stat(f"/proc/{member}")
            if words:
                faults, ticks = faults + int(words[9]), ticks + int(words[11]) + int(words[12])
            for thread in _threads(member):
                runnable = runnable or _stat(thread)[:1] == ["R"]
                waited += _delay(thread)
        if not _stat(f"/proc/{pid}"):
            return None
        return cls(runnable, ticks / _TICKS, waited, faults)

    def demand(self, before: "ProcessStats", seconds: float) -> float:
        """Share of the time since ``before`` in which it ran or was runnable; above 1 with several threads."""
        wanted = (self.used - before.used) + (self.waited - before.waited) / 1e9
        return max(1.0 if self.runnable and before.runnable else 0.0, wanted / seconds if seconds > 0 else 1.0)

    def has_progressed(self, before: "ProcessStats", seconds: float) -> bool:
        """Return whether the tree made progress since ``before``, ``seconds`` ago. The end of a process counts as
        progress."""
        used, waited = self.used - before.used, (self.waited - before.waited) / 1e9
        if self.faults != before.faults or min(used, waited) < 0:
            return True
        # A thread's wait is added only when it ends, so one that waits all the time shows none.
        starved = (self.runnable and before.runnable) or waited > STARVED * seconds
        return starved or used > IDLE * seconds


def is_frozen(pid: int, groups: Path = _GROUPS) -> bool:
    """Return whether the control group of a process is frozen, so that the process cannot run."""
    try:
        lines = (_PROC / str(pid) / "cgroup").read_text().splitlines()
    except OSError:
        return False
    for line in lines:
        _, controllers, path = line.split(":", 2)
        within = path.strip("/")
        if "freezer" in controllers.split(","):
            files = [groups / "freezer" / within / "freezer.state"]
        elif not controllers:
            files = [groups / within / "cgroup.events", groups / "unified" / within / "cgroup.events"]
        else:
            continue
        if any(_is_frozen_file(file) for file in files):
            return True
    return False


def _is_frozen_file(file: Path) -> bool:
    try:
        text = file.read_text()
    except OSError:
        return False
    return "frozen 1" in text or text.strip() in ("FROZEN", "FREEZING")


def _threads(pid: int) -> list[Path]:
    try:
        return list((_PROC / str(pid) / "task").iterdir())
    except OSError:
        return []


def _stat(folder: Path | str) -> list[str]:
    """Fields after the command's name: state, parent, ...; empty for a process that has ended."""
    words = _read(f"{folder}/stat", 4096).rpartition(b") ")[2].decode().split()
    return [] if not words or words[0] in "ZX" else words


def _read_whole(path: str) -> bytes:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.readall()
    except OSError:
        return b""


def _read(path: str, most: int) -> bytes:
    """The beginning of a file of /proc; empty if it cannot be read. A thousand times a second: without a file object,
    which takes four times as long."""
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError:
        return b""
    try:
        return os.read(file, most)
    except OSError:
        return b""
    finally:
        os.close(file)


def _delay(thread: Path) -> int:
    try:
        return int((thread / "schedstat").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0


# When a process that does not answer hangs. Pure. One that computes, waits for a processor or waits for the disk
# gets somewhere; only one that is stopped or deadlocked does not.


SILENT_FOR = 5.0
"""Seconds without an answer, and without getting anywhere, until a process counts as hanging."""
SILENT = f"it has not answered for {SILENT_FOR:g} s, nor done anything else"
STOPPED_REASON = "it is stopped, by a signal or a debugger"


def got_nowhere(before: ProcessStats | None, after: ProcessStats | None, seconds: float) -> bool:
    """Whether a family of processes did nothing between two looks. False where that is unknown: no proof."""
    return before is not None and after is not None and not after.has_progressed(before, seconds)
