"""What is read of a worker's activity is what the worker writes, whatever happens to the path."""

import os
from pathlib import Path

import pytest

from tidegate.serving.front.activity_mark import ActivityMark
from tidegate.targets.local import replica
from tidegate.targets.local.replica import ActivityFile


def read_files(*files: ActivityFile) -> list[int | None]:
    return [one.read() for one in files]


def test_each_reading_is_what_the_worker_wrote_last(tmp_path: Path) -> None:
    file = ActivityFile(str(tmp_path / "activity"))
    assert file.read() is None
    mark = ActivityMark(tmp_path)
    assert file.read() == mark.number == 0
    for number in range(1, 4):
        mark.rise()
        assert file.read() == number
    file.close()


def test_a_file_that_somebody_removes_or_replaces_still_tells_what_its_worker_does(tmp_path: Path) -> None:
    mark, file = ActivityMark(tmp_path), ActivityFile(str(tmp_path / "activity"))
    assert file.read() == 0
    (tmp_path / "activity").rename(tmp_path / "gone")
    (tmp_path / "activity").write_bytes(bytes(8))
    mark.rise()
    assert file.read() == 1
    file.close()


def test_a_worker_that_gives_its_file_up_is_asked_instead(tmp_path: Path) -> None:
    mark, file = ActivityMark(tmp_path), ActivityFile(str(tmp_path / "activity"))
    assert file.read() == 0
    mark._give_up()
    assert read_files(file, file) == [None, None]


def test_so_many_stay_open_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica, "MOST_OPEN", ActivityFile._open + 2)
    before, files = len(os.listdir("/proc/self/fd")), []
    for name in "abcd":
        (tmp_path / name).mkdir()
        mark = ActivityMark(tmp_path / name)
        os.close(mark._file)
        files.append(ActivityFile(str(tmp_path / name / "activity")))
    for _ in range(3):
        assert read_files(*files) == [0] * 4
        assert len(os.listdir("/proc/self/fd")) == before + 2
    for file in files:
        file.close()
    assert len(os.listdir("/proc/self/fd")) == before
