"""The wall around the memory of a serverless instance, which the kernel holds it to.

A control group (cgroup v2), where this process may make one beside its own: in a container or a service whose group
is delegated. Else a limit on what a process may ask the system for (``RLIMIT_DATA``): its private pages that can be
written, touched or not, and so not the libraries and models that are mapped from files, which a limit on addresses
(``RLIMIT_AS``) would count. The look at what is held (``memory.watch``) goes on beside either.
"""

import contextlib
import os
import resource
import sys
from pathlib import Path

GROUP = "cgroup"
"""File in a replica's folder that names its control group."""
ROOM = 256 * 1024 * 1024
"""Bytes that a process may ask for and never touch, such as the stacks of its threads."""
_ROOT = Path("/sys/fs/cgroup")
_SELF = Path("/proc/self")
_SIGNS = ("MemoryError", "bad_alloc", "bad allocation", "Unable to allocate", "Cannot allocate memory")
_THREAD = "can't start new thread"


def build(folder: Path, limit: int) -> str:
    """A wall at ``limit`` bytes around this process and all that it starts, as far as the machine has one; what it
    is made of; empty for none. ``folder`` is the replica's."""
    if sys.platform != "linux":
        return ""
    if join_group(folder, limit):
        return "a control group"
    return "a limit on data" if limit_data(limit) else ""


def join_group(folder: Path, limit: int, root: Path = _ROOT, process: Path = _SELF) -> bool:
    """Moves this process to a new group beside its own, where that is allowed."""
    group = None
    try:
        lines = (process / "cgroup").read_text().splitlines()
        own = next((line[3:].strip("/") for line in lines if line.startswith("0::")), "")
        parent = (root / own).parent
        if root not in parent.parents or "memory" not in (parent / "cgroup.subtree_control").read_text().split():
            return False
        group = parent / f"tidegate-{folder.name}"
        group.mkdir(exist_ok=True)
        (group / "memory.max").write_text(str(limit))
        (group / "memory.oom.group").write_text("1")
        (folder / GROUP).write_text(str(group))
        (group / "cgroup.procs").write_text(str(os.getpid()))
        return True
    except OSError:
        if group is not None:
            with contextlib.suppress(OSError):
                group.rmdir()
        return False


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
