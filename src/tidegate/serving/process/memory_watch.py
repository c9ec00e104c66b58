"""Measures the memory of a replica, and reports when it is above a limit.

The worker and its descendants count with their anonymous and shared pages, swapped or not. File pages (libraries, a
mapped model) do not count: other replicas share them and the kernel can drop them, so the sum would depend on them.
"""

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from tidegate.host.process_stats import process_tree

EVERY = 0.25
"""Seconds between two measurements."""
_OWN = (b"RssAnon:", b"RssShmem:", b"VmSwap:")
_FAIR = (b"Pss_Anon:", b"Pss_Shmem:", b"SwapPss:")
PROC = Path("/proc")


async def watch(limit: int, outgrown: Callable[[int], None]) -> None:
    """Measure periodically; call ``outgrown`` once, with the bytes in use, when they exceed ``limit``."""
    while True:
        size = await asyncio.to_thread(measure_memory, os.getpid(), limit)
        if size > limit:
            outgrown(size)
            return
        await asyncio.sleep(EVERY)


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
