"""What Linux tells of a process and of all that it started: whether it is stopped, and whether it gets anywhere.

A process that does not answer may compute, wait for a processor on a busy machine, wait for the disk, be frozen with
its control group, or hang. Only the last gets nowhere: none of its threads is runnable, and it has neither used a
processor nor waited for one nor read a page. Elsewhere than on Linux nothing is known, and nothing is concluded.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

STOPPED = frozenset("Tt")
"""States of a process that a signal, or a debugger, has stopped."""
IDLE = 0.02
"""Share of a processor below which a process gets nowhere. Threads that wake up to look use it: those that wait for
Python's lock do so 200 times a second."""
STARVED = 0.25
"""Share of the time that a process has to wait for a processor to count as starved. On a busy machine, threads that
only wake up to look wait for some percent of it."""
_PROC = Path("/proc")
_GROUPS = Path("/sys/fs/cgroup")


def process_state(pid: int) -> str:
    """The letter that Linux has for the state of a process; empty where there is none."""
    words = _stat(_PROC / str(pid))
    return words[0] if words else ""


def process_tree(pid: int) -> Iterator[int]:
    """A process and all that it and its children have started and that still run."""
    yield pid
    for thread in _threads(pid):
        try:
            children = (thread / "children").read_text().split()
        except OSError:
            continue
        for child in children:
            yield from process_tree(int(child))


@dataclass(frozen=True)
class ProcessStats:
    """Of a family of processes at one moment. All but the first only rise, unless one of them ends."""

    runnable: bool = False
    """A thread runs or could."""
    used: float = 0.0
    """Seconds of a processor."""
    waited: int = 0
    """Nanoseconds that its threads have waited for a processor."""
    faults: int = 0
    """Pages that it had to wait for."""

    @classmethod
    def of(cls, pid: int) -> "Vitals | None":
        """None: there is no such process, or nothing is known of it."""
        runnable, ticks, waited, faults = False, 0, 0, 0
        members = list(process_tree(pid))
        for member in members:
            words = _stat(_PROC / str(member))
            if words:
                faults, ticks = faults + int(words[9]), ticks + int(words[11]) + int(words[12])
            for thread in _threads(member):
                runnable = runnable or _stat(thread)[:1] == ["R"]
                waited += _delay(thread)
        if not _stat(_PROC / str(pid)):
            return None
        return cls(runnable, ticks / os.sysconf("SC_CLK_TCK"), waited, faults)

    def demand(self, before: "Vitals", seconds: float) -> float:
        """The share of the time since an earlier look that it ran or wanted to, with several threads more than 1."""
        wanted = (self.used - before.used) + (self.waited - before.waited) / 1e9
        return max(1.0 if self.runnable and before.runnable else 0.0, wanted / seconds if seconds > 0 else 1.0)

    def progressed(self, before: "Vitals", seconds: float) -> bool:
        """Whether the family got anywhere since an earlier look, so many seconds ago. One of which a part has ended
        has."""
        used, waited = self.used - before.used, (self.waited - before.waited) / 1e9
        if self.faults != before.faults or min(used, waited) < 0:
            return True
        # What waits all the time is told of its wait only once it is over.
        starved = (self.runnable and before.runnable) or waited > STARVED * seconds
        return starved or used > IDLE * seconds


def is_frozen(pid: int, groups: Path = _GROUPS) -> bool:
    """Whether its control group is frozen, so that it cannot run whatever it is."""
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


def _stat(folder: Path) -> list[str]:
    """What follows the name of the command: state, parent, ...; empty for a process that has ended."""
    try:
        text = (folder / "stat").read_text(errors="replace")
    except OSError:
        return []
    words = text[text.rindex(")") + 2 :].split()
    return [] if words[0] in "ZX" else words


def _delay(thread: Path) -> int:
    try:
        return int((thread / "schedstat").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
