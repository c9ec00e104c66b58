"""How much memory a replica holds, and what is done when that is too much.

What counts is the memory that the worker and all that it has started own: anonymous and shared pages, and what of
them is swapped out. Pages of files (libraries, a mapped model) do not count: they are shared with other replicas and
can be dropped at any time, so a count with them would change with the neighbours.
"""

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil

EVERY = 0.25
"""Seconds between two looks."""
_OWN = (b"RssAnon:", b"RssShmem:", b"VmSwap:")
_FAIR = (b"Pss_Anon:", b"Pss_Shmem:", b"SwapPss:")
PROC = Path("/proc")


async def watch(limit: int, outgrown: Callable[[int], None]) -> None:
    """Looks again and again; calls ``outgrown`` once, with the bytes held, when they are more than ``limit``."""
    while True:
        size = await asyncio.to_thread(held, os.getpid(), limit)
        if size > limit:
            outgrown(size)
            return
        await asyncio.sleep(EVERY)


def held(pid: int, limit: int) -> int:
    """Bytes that the process and its descendants own.

    The kernel's counters are nearly free, but count pages that a fork left shared once for each process. Only where
    they are over the limit is each page counted by its share, which walks the page tables."""
    if not PROC.joinpath("self", "status").exists():
        return _elsewhere(pid)
    family = list(_family(pid))
    cheap = sum(_sum(PROC / str(one) / "status", _OWN) for one in family)
    if cheap <= limit or len(family) == 1:
        return cheap
    fair = sum(_sum(PROC / str(one) / "smaps_rollup", _FAIR) for one in family)
    return fair or cheap


def _family(pid: int) -> Iterator[int]:
    yield pid
    with suppress(OSError):
        for task in (PROC / str(pid) / "task").iterdir():
            for child in (task / "children").read_text().split():
                yield from _family(int(child))


def _sum(path: Path, names: tuple[bytes, ...]) -> int:
    """Of the lines that begin with one of the names; the kernel's unit is KiB. 0 for a process that has ended."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(names))


def _elsewhere(pid: int) -> int:
    total = 0
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            with suppress(psutil.Error):
                total += int(one.memory_full_info().uss)
    return total
