"""A wall around a serverless instance's memory: a group where one may be made, else a limit on data."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tidegate.serving.process import memory_limits
from tidegate.targets.local.replica import find_kernel_kill, remove_group

LIMIT = 64 * 2**20


def tree(folder: Path, own: str, controllers: str = "cpu memory") -> tuple[Path, Path, Path]:
    """A replica's folder, a stand-in for the control groups' file system, and one for /proc/self."""
    root, process, replica = folder / "cgroups", folder / "self", folder / "r-1"
    for each in (root / own, process, replica):
        each.mkdir(parents=True)
    (process / "cgroup").write_text(f"4:memory:/other\n0::/{own}\n")
    (root / own).parent.joinpath("cgroup.subtree_control").write_text(controllers)
    return replica, root, process


def test_a_group_is_made_beside_the_own_one(tmp_path: Path) -> None:
    replica, root, process = tree(tmp_path, "tidegate.service/controller")
    assert memory_limits.join_group(replica, LIMIT, root, process)
    group = root / "tidegate.service" / "tidegate-r-1"
    assert (group / "memory.max").read_text() == str(LIMIT + LIMIT // memory_limits.GROUP_MARGIN)
    assert (group / "cgroup.procs").read_text() == str(os.getpid())
    (group / "memory.events").write_text("low 0\nmax 7\noom 1\noom_kill 0\n")
    assert find_kernel_kill(replica) is None
    (group / "memory.events").write_text("low 0\nmax 7\noom 1\noom_kill 1\n")
    assert find_kernel_kill(replica) == LIMIT


@pytest.mark.parametrize("below", [True, False])
def test_a_group_of_the_first_kind_is_made_below_the_own_one(tmp_path: Path, below: bool) -> None:
    replica, root, process = tree(tmp_path, "")
    (process / "cgroup").write_text("4:cpu,memory:/of/us\n3:cpuset:/\n0::/\n")
    own = root / "memory" / "of" / "us" if below else root / "memory"
    own.mkdir(parents=True)
    assert memory_limits.join_group(replica, LIMIT, root, process)
    group = own / "tidegate-r-1"
    assert (group / "memory.limit_in_bytes").read_text() == str(LIMIT + LIMIT // memory_limits.GROUP_MARGIN)
    (group / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n")
    assert find_kernel_kill(replica) == LIMIT


@pytest.mark.parametrize(("own", "controllers"), [("a/b", "cpu"), ("alone", "memory"), ("", "memory")])
def test_where_memory_is_not_delegated_there_is_no_group(tmp_path: Path, own: str, controllers: str) -> None:
    replica, root, process = tree(tmp_path, own, controllers)
    assert not memory_limits.join_group(replica, LIMIT, root, process)
    assert not (replica / memory_limits.GROUP).exists()
    assert find_kernel_kill(replica) is None


def test_the_kernel_ends_who_outgrows_a_group(tmp_path: Path) -> None:
    """On this machine's own control groups, with memory that is asked for in small pieces and used."""
    program = f"""
import sys
from pathlib import Path
from tidegate.serving.process import memory_limits
if not memory_limits.join_group(Path({str(tmp_path)!r}), {LIMIT}):
    sys.exit("none")
held = [bytes(2**20 * [1]) for _ in range({4 * LIMIT // 2**20})]
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=False
    )
    if "none" in done.stderr:
        pytest.skip(
            "no control group of memory may be made here: neither cgroup v2 nor v1 is delegated to this user"
        )
    assert done.returncode == -signal.SIGKILL
    assert find_kernel_kill(tmp_path) == LIMIT
    group = Path((tmp_path / memory_limits.GROUP).read_text().splitlines()[0])
    remove_group(tmp_path)
    assert not group.exists()


def limited(work: str) -> str:
    """What a process of its own says that has a limit on data."""
    program = f"""
import mmap, sys
from tidegate.serving.process import memory_limits
assert memory_limits.limit_data({LIMIT})
try:
    {work}
    print("went well")
except BaseException as error:
    print("met" if memory_limits.is_out_of_memory(error) else repr(error))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=True)
    return done.stdout.strip()


def test_an_allocation_above_the_limit_fails(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"")
    os.truncate(tmp_path / "large", 2 * 2**30)
    assert limited(f"bytearray({LIMIT})") == "went well"
    assert limited(f"bytearray({LIMIT + memory_limits.SLACK})") == "met"
    mapped = (
        f"file = open({str(tmp_path / 'large')!r}, 'rb'); mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)"
    )
    assert limited(mapped) == "went well"


def test_out_of_memory_errors_are_recognised() -> None:
    try:
        try:
            raise MemoryError
        except MemoryError as cause:
            raise ValueError("the model cannot be read") from cause
    except ValueError as error:
        assert memory_limits.is_out_of_memory(error)
    assert memory_limits.is_out_of_memory(RuntimeError("std::bad_alloc"))
    assert not memory_limits.is_out_of_memory(ValueError("no such column"))
    assert memory_limits.mentions_memory_limit("MemoryError: Unable to allocate 2.00 GiB")
