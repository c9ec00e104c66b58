"""The wall around the memory of a serverless instance, which the kernel holds it to.

A control group, where this process may make one: with cgroup v2 beside its own, in a container or a service whose
group is delegated; with the memory controller of v1 below its own. It counts what is held. And a limit on what a
process may ask the system for (``RLIMIT_DATA``), which answers whoever asks for too much at once instead of ending
the process: its private pages that can be written, touched or not, and so not the libraries and models that are
mapped from files, which a limit on addresses (``RLIMIT_AS``) would count. The look at what is held
(``memory.watch``) goes on beside both.
"""

import contextlib
import os
import resource
import sys
from pathlib import Path

GROUP = "cgroup"
"""File in a replica's folder that names its control group and, in the second line, the limit in bytes."""
ROOM = 256 * 1024 * 1024
"""Bytes that a process may ask for and never touch, such as the stacks of its threads."""
BEFORE = 16
"""A group's wall is the sixteenth part beyond the limit: one that grows slowly is seen by the look first, and
finishes what it has in hand."""
_ROOT = Path("/sys/fs/cgroup")
_SELF = Path("/proc/self")
_SIGNS = ("MemoryError", "bad_alloc", "bad allocation", "Unable to allocate", "Cannot allocate memory")
_THREAD = "can't start new thread"


def build(folder: Path, limit: int) -> str:
    """A wall at ``limit`` bytes around this process and all that it starts, as far as the machine has one; what it
    is made of; empty for none. ``folder`` is the replica's."""
    if sys.platform != "linux":
        return ""
    group, data = join_group(folder, limit), limit_data(limit)
    return " and ".join(name for name, there in (("a control group", group), ("a limit on data", data)) if there)


def join_group(folder: Path, limit: int, root: Path = _ROOT, process: Path = _SELF) -> bool:
    """Moves this process to a new group, where that is allowed."""
    group = None
    try:
        found = _place(root, (process / "cgroup").read_text().splitlines())
        if found is None:
            return False
        parent, wall = found
        group = parent / f"tidegate-{folder.name}"
        group.mkdir(exist_ok=True)
        size = str(limit + limit // BEFORE)
        (group / wall).write_text(size)
        # As far as the kernel has them: all of the group end together, and nothing of it is swapped out instead.
        for name, value in (("memory.oom.group", "1"), ("memory.memsw.limit_in_bytes", size)):
            if (group / name).exists():
                (group / name).write_text(value)
        (folder / GROUP).write_text(f"{group}\n{limit}\n")
        (group / "cgroup.procs").write_text(str(os.getpid()))
        return True
    except OSError:
        if group is not None:
            with contextlib.suppress(OSError):
                group.rmdir()
        return False


def _place(root: Path, lines: list[str]) -> tuple[Path, str] | None:
    """The group that is to hold a new one, and the file of a wall there. ``lines``: the groups of this process."""
    own = next((line[3:].strip("/") for line in lines if line.startswith("0::")), "")
    parent = (root / own).parent
    if root in parent.parents and "memory" in (parent / "cgroup.subtree_control").read_text().split():
        return parent, "memory.max"
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            # In a container the path may be the host's; what is mounted is then the container's own.
            within = root / "memory" / path.strip("/")
            return (within if within.is_dir() else root / "memory"), "memory.limit_in_bytes"
    return None


def limit_data(limit: int, process: Path = _SELF) -> bool:
    """``limit`` bytes more than this process has asked for by now, and some room."""
    try:
        lines = (process / "status").read_text().splitlines()
        now = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmData:"))
        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        wanted = now + limit + ROOM
        if most != resource.RLIM_INFINITY:
            wanted = min(wanted, most)
        resource.setrlimit(resource.RLIMIT_DATA, (wanted, wanted))
        return True
    except (OSError, ValueError, StopIteration):
        return False


def met(error: BaseException) -> bool:
    """Whether this is what running against the wall looks like from inside."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, MemoryError) or speaks(f"{seen}") or _THREAD in f"{seen}":
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def speaks(message: str) -> bool:
    """Whether a model's failure says so."""
    return any(sign in message for sign in _SIGNS)
