"""Logs are found, kept below a size, and forgotten by their age."""

import os
from pathlib import Path

import pytest

from tidegate.host import log_files
from tidegate.ports.logs import ReplicaLog
from tidegate.targets.local import logs


def written(folder: Path, generation: int, replica: str, at: float, text: str = "line\n") -> Path:
    path = folder / "fraud" / str(generation) / "main" / f"{replica}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    for one in (path, path.parent, path.parent.parent):
        os.utime(one, (at, at))
    return path


def test_a_name_that_was_given_again_keeps_the_logs_of_now(tmp_path: Path) -> None:
    former = [written(tmp_path, generation, "r-1", 1000 + generation) for generation in range(31, 51)]
    now = written(tmp_path, 1, "r-2", 5000)
    logs.prune(tmp_path)
    assert now.exists()
    assert [path.exists() for path in former] == [False] + [True] * 19


def test_the_logs_of_the_latest_transform_jobs_are_kept(tmp_path: Path) -> None:
    for number in range(logs.KEPT_JOBS + 3):
        folder = tmp_path / f"transform.j{number:03}"
        folder.mkdir()
        (folder / "runner.log").touch()
        for path in (folder / "runner.log", folder):
            os.utime(path, (number, number))
    logs.prune(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir())[0] == "transform.j003"
    assert len(list(tmp_path.iterdir())) == logs.KEPT_JOBS


def test_a_replica_that_never_starts_does_not_fill_the_folder(tmp_path: Path) -> None:
    paths = [written(tmp_path, 1, f"r-{n}", 1000 + n) for n in range(logs.KEPT_REPLICAS + 3)]
    logs.prune(tmp_path)
    assert [path.exists() for path in paths] == [False] * 3 + [True] * logs.KEPT_REPLICAS


def test_a_log_is_cut_while_it_is_written_to(tmp_path: Path) -> None:
    path = written(tmp_path, 1, "r-1", 1000, "")
    with path.open("ab", buffering=0) as writer:
        line = b"x" * 99 + b"\n"
        writer.write(line * (log_files.LARGEST // 100 + 1))
        writer.write(b"the last before\n")
        logs.cut_all(tmp_path)
        assert path.stat().st_size == 0
        writer.write(b"the first after\n")
    assert path.read_bytes() == b"the first after\n", "no hole at the beginning"
    assert log_files.read_end(path, 2) == ["the last before", "the first after"]
    assert sum(p.stat().st_size for p in path.parent.iterdir()) <= log_files.CUT_TO + 100


def test_a_small_log_stays_as_it_is(tmp_path: Path) -> None:
    path = written(tmp_path, 1, "r-1", 1000, "one\ntwo\n")
    logs.cut_all(tmp_path)
    log_files.cut(tmp_path / "no such file")
    assert logs.tail(tmp_path, "fraud", 1) == [ReplicaLog(1, "main", "r-1", ("two",), 1000.0)]
    assert path.read_text() == "one\ntwo\n"


def test_logs_that_are_too_long_together_leave_out_the_oldest_and_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "LARGEST_ANSWER", 10)
    for generation in (1, 2, 3):
        written(tmp_path, generation, f"r-{generation}", 1000 + generation, "eight ch\n")
    found = logs.tail(tmp_path, "fraud", 9)
    assert [(one.replica, one.lines) for one in found] == [
        ("r-1", (logs.NOT_READ,)),
        ("r-2", ("eight ch",)),
        ("r-3", ("eight ch",)),
    ]
    assert found[-1].written == 1003
