"""Whose process it is: told by the command line, never the same for a copy of the state folder."""

import shutil
from pathlib import Path

import pytest

from tidegate.host.installation import FILE, Installation


def line(root: Path, *mark: str) -> list[str]:
    return ["python", *mark, "-m", "tidegate.serving", f"{root}/fleets/e/1/main/replicas/r-1/replica.json"]


def test_a_later_start_finds_the_same_installation(tmp_path: Path) -> None:
    first = Installation.take(tmp_path)
    assert Installation.take(tmp_path) == first
    assert first.owns(line(tmp_path, *first.python))


@pytest.mark.parametrize("how", ["copied", "moved", "moved, with a copy in its place"])
def test_a_copy_is_another_installation(tmp_path: Path, how: str) -> None:
    original, other = tmp_path / "state", tmp_path / "other"
    original.mkdir()
    (original / "dispatch").mkdir()
    (original / "dispatch" / "holder").write_text("the original's name")
    first = Installation.take(original)
    if how == "copied":
        shutil.copytree(original, other)
    elif how == "moved":
        original.rename(other)
    else:
        original.rename(other)
        shutil.copytree(other, original)
        other = original
    second = Installation.take(other)
    assert second.id != first.id
    assert not (other / "dispatch" / "holder").exists(), "it must not lease under the original's name"
    assert not second.owns(line(original, *first.python))
    assert not second.owns(line(other, *first.python))
    assert not second.owns(line(other)), "a process without an id may be the original's"
    assert second.owns(line(other, *second.python))


def test_an_upgrade_takes_processes_over_that_have_no_id_yet(tmp_path: Path) -> None:
    for _ in range(2):
        installation = Installation.take(tmp_path)
        assert installation.owns(line(tmp_path))
        assert not installation.owns(line(Path(f"{tmp_path}-of-another")))
        assert not installation.owns(["tail", "-f", f"{tmp_path}/logs/e/1/main/r-1.log"])


def test_a_damaged_file_gives_nothing_away(tmp_path: Path) -> None:
    first = Installation.take(tmp_path)
    (tmp_path / FILE).write_bytes(b"{")
    second = Installation.take(tmp_path)
    assert second.id != first.id
    assert not second.owns(line(tmp_path))
    assert not second.owns(line(tmp_path, *first.python))
