"""Memory of a replica: measured, and limited by the kernel for a serverless instance.

Two limits, each where the machine allows it. A control group counts memory in use: with cgroup v2 it is created
beside the group of this process, in a container or service with a delegated group; with v1's memory controller, below
it. ``RLIMIT_DATA`` makes a too large allocation fail instead of ending the process: it counts private writable pages,
touched or not, and so not libraries and models that are mapped from files, which ``RLIMIT_AS`` would count.
``memory_watch`` measures beside both.
"""

import asyncio
import contextlib
import os
import resource
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from tidegate.host.process_stats import process_tree

GROUP = "cgroup"
"""File in a replica's folder that names its control group and, in the second line, the limit in bytes."""
SLACK = 256 * 1024 * 1024
"""Bytes that a process may allocate and never touch, such as thread stacks."""
GROUP_MARGIN = 16
"""The group's limit is a sixteenth above ours: ``memory_watch`` sees slow growth first, and the replica finishes its
requests."""
_ROOT = Path("/sys/fs/cgroup")
_SELF = Path("/proc/self")
_SIGNS = ("MemoryError", "bad_alloc", "bad allocation", "Unable to allocate", "Cannot allocate memory")
_THREAD = "can't start new thread"


def limit_memory(folder: Path, limit: int) -> str:
    """Limit this process and its children to ``limit`` bytes, as far as the machine can. Returns the names of the
    limits, for the log; empty for none. ``folder`` is the replica's."""
    if sys.platform != "linux":
        return ""
    group, data = join_group(folder, limit), limit_data(limit)
    return " and ".join(name for name, there in (("a control group", group), ("a limit on data", data)) if there)


def join_group(folder: Path, limit: int, root: Path = _ROOT, process: Path = _SELF) -> bool:
    """Move this process to a new control group with a limit. False if that is not allowed."""
    group = None
    try:
        found = _find_parent_group(root, (process / "cgroup").read_text().splitlines())
        if found is None:
            return False
        parent, limit_file = found
        group = parent / f"tidegate-{folder.name}"
        group.mkdir(exist_ok=True)
        size = str(limit + limit // GROUP_MARGIN)
        (group / limit_file).write_text(size)
        # Where the kernel has them: end the whole group at once, and do not swap instead.
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


def _find_parent_group(root: Path, lines: list[str]) -> tuple[Path, str] | None:
    """The parent for a new group, and the name of its limit file. ``lines``: the groups of this process."""
    own = next((line[3:].strip("/") for line in lines if line.startswith("0::")), "")
    parent = (root / own).parent
    if root in parent.parents and "memory" in (parent / "cgroup.subtree_control").read_text().split():
        return parent, "memory.max"
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            # In a container the path may be the host's; the mount is then the container's own group.
            within = root / "memory" / path.strip("/")
            return (within if within.is_dir() else root / "memory"), "memory.limit_in_bytes"
    return None


def limit_data(limit: int, process: Path = _SELF) -> bool:
    """Allow ``limit`` bytes more than this process has allocated by now, and some slack."""
    try:
        lines = (process / "status").read_text().splitlines()
        now = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmData:"))
        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        wanted = now + limit + SLACK
        if most != resource.RLIM_INFINITY:
            wanted = min(wanted, most)
        resource.setrlimit(resource.RLIMIT_DATA, (wanted, wanted))
        return True
    except (OSError, ValueError, StopIteration):
        return False


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error, or its cause, is that of an allocation that the limit refused."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, MemoryError) or mentions_memory_limit(f"{seen}") or _THREAD in f"{seen}":
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def mentions_memory_limit(message: str) -> bool:
    """Whether the message of a model's failure is that of a refused allocation."""
    return any(sign in message for sign in _SIGNS)


# Measures the memory of a replica, and reports when it is above a limit. The worker and its descendants count with
# their anonymous and shared pages, swapped or not. File pages (libraries, a mapped model) do not count: other
# replicas share them and the kernel can drop them, so the sum would depend on them.


MEASURED_EVERY = 0.25
"""Seconds between two measurements."""
_OWN = (b"RssAnon:", b"RssShmem:", b"VmSwap:")
_FAIR = (b"Pss_Anon:", b"Pss_Shmem:", b"SwapPss:")
PROC = Path("/proc")


async def watch_memory(limit: int, outgrown: Callable[[int], None]) -> None:
    """Measure periodically; call ``outgrown`` once, with the bytes in use, when they exceed ``limit``."""
    while True:
        size = await asyncio.to_thread(measure_memory, os.getpid(), limit)
        if size > limit:
            outgrown(size)
            return
        await asyncio.sleep(MEASURED_EVERY)


def measure_memory(pid: int, limit: int) -> int:
    """Bytes that the process and its descendants own.

    The kernel's counters are cheap, but count a page that a fork left shared once per process. Above the limit each
    page counts by its share instead, which makes the kernel walk the page tables."""
    if not PROC.joinpath("self", "status").exists():
        return _read_smaps(pid)
    processes = list(process_tree(pid))
    cheap = sum(_sum(PROC / str(one) / "status", _OWN) for one in processes)
    if cheap <= limit or len(processes) == 1:
        return cheap
    fair = sum(_sum(PROC / str(one) / "smaps_rollup", _FAIR) for one in processes)
    return fair or cheap


def _sum(path: Path, names: tuple[bytes, ...]) -> int:
    """Sum in bytes of the lines that begin with one of the names, which are in KiB. 0 for a process that ended."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(names))


def _read_smaps(pid: int) -> int:
    total = 0
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            with suppress(psutil.Error):
                total += int(one.memory_full_info().uss)
    return total
