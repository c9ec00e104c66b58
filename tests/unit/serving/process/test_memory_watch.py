"""What a process and its descendants own is counted once, and files are not counted at all."""

import mmap
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tidegate.serving.process import memory_limits

SIZE = 64 * 1024 * 1024
NONE = 10**12
"""A limit that nothing reaches."""


@contextmanager
def holding(script: str) -> Iterator[int]:
    """The pid of a Python program that has said that it is ready."""
    text = f"import mmap, os, subprocess, sys\nSIZE = {SIZE}\n{script}\nprint(flush=True)\nsys.stdin.read()\n"
    with subprocess.Popen([sys.executable, "-c", text], stdin=-1, stdout=-1) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield process.pid
        finally:
            process.communicate()


def test_own_pages_count_and_those_of_files_do_not(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(SIZE))
    mapped = f"m = mmap.mmap(open({str(path)!r}).fileno(), 0, prot=mmap.PROT_READ)\nsum(m[::4096])"
    with holding("") as plain, holding("b = b'x' * SIZE") as own, holding(mapped) as files:
        base = memory_limits.measure_memory(plain, NONE)
        assert SIZE <= memory_limits.measure_memory(own, NONE) - base < SIZE * 1.1
        assert memory_limits.measure_memory(files, NONE) - base < SIZE / 10


def test_what_it_has_started_counts_too() -> None:
    child = "import sys; b = b'x' * int(sys.argv[1]); print(flush=True); sys.stdin.read()"
    script = f"p = subprocess.Popen([sys.executable, '-c', {child!r}, str(SIZE)], stdout=-1)\np.stdout.readline()"
    with holding(script) as pid:
        assert memory_limits.measure_memory(pid, NONE) > SIZE


def test_pages_that_a_fork_left_shared_count_once() -> None:
    """Where it matters: over the limit by the cheap count."""
    fork = (
        "b = b'x' * SIZE\nfor _ in range(3):\n    if not os.fork():\n        sys.stdin.read()\n        os._exit(0)"
    )
    with holding(fork) as pid:
        assert memory_limits.measure_memory(pid, NONE) > 4 * SIZE
        assert SIZE < memory_limits.measure_memory(pid, SIZE) < 2 * SIZE


def test_a_process_that_has_ended_holds_nothing() -> None:
    with holding("") as pid:
        pass
    assert memory_limits.measure_memory(pid, NONE) == 0


async def test_memory_watch_reports_an_excess_once(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = iter([10, 20, 30, 40])
    monkeypatch.setattr(memory_limits, "measure_memory", lambda pid, limit: next(sizes))
    monkeypatch.setattr(memory_limits, "MEASURED_EVERY", 0)
    told: list[int] = []
    await memory_limits.watch_memory(25, told.append)
    assert told == [30]


def test_memory_is_measured_where_there_is_no_proc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(memory_limits, "PROC", tmp_path)
    kept = mmap.mmap(-1, SIZE)
    kept.write(b"x" * SIZE)
    assert memory_limits.measure_memory(os.getpid(), NONE) > SIZE
    kept.close()
