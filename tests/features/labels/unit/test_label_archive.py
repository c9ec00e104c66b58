"""Labels in backups: all of one moment, back as they were, nothing of a file that is not right."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tidegate.domain.errors import Conflict, Invalid
from tidegate.features.labels.label_archive import ARCHIVE
from tidegate.features.labels.label_terms import LabelTerms
from tidegate.features.labels.report import QualityQuestion
from tidegate.features.labels.store import LabelStore
from tidegate.ports.label_archive import LabelPart
from tidegate.rows.label_lines import Label, Prediction

NOW = 1_767_225_600.0


def fill(folder: Path, endpoint: str, first: int = 0) -> LabelStore:
    store = LabelStore(folder, endpoint)
    numbers = range(first, first + 2_500)
    store.accept([Label(f"i{n}", float(n % 2), NOW, None, NOW) for n in numbers], LabelTerms("score"))
    store.add_file(f"f{first}", [Prediction(f"i{n}", NOW - 10, n % 7 / 7, "v1", "blue") for n in numbers])
    return store


def parts(state: Path) -> list[LabelPart]:
    """Read by another thread, as a backup does."""
    with ARCHIVE.take_snapshot(state) as found, ThreadPoolExecutor(1) as thread:
        read = thread.submit(lambda: list(found.read())).result()
        assert found.count() == len(read)
    return read


def test_labels_come_back_with_what_they_are_joined_with(tmp_path: Path) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    before = fill(there / "labels", "fraud").describe(QualityQuestion(), NOW, ())
    fill(there / "labels", "salary")
    saved = parts(there)
    here.mkdir()
    fill(here / "labels", "fraud", first=9_000)
    fill(here / "labels", "later")
    with ARCHIVE.prepare(here, iter(saved)):
        present = LabelStore(here / "labels", "fraud")
        assert present.unread(["f0", "f9000"]) == ["f0"], "not before the records are there"
        ARCHIVE.settle(here)
    back = LabelStore(here / "labels", "fraud")
    assert back.describe(QualityQuestion(), NOW, ()) == before
    assert before["labels"]["joined"] == 2_500
    assert back.unread(["f0", "f9000"]) == ["f9000"], "what was read is not read again"
    assert back.terms() == LabelTerms("score")
    assert sorted(path.name for path in (here / "labels").glob("*.db")) == ["fraud.db", "salary.db"]
    assert sorted(path.name for path in here.iterdir()) == ["labels"]
    assert parts(here) == saved


def test_labels_that_come_meanwhile_are_not_half_in_it(tmp_path: Path) -> None:
    store = fill(tmp_path / "labels", "fraud")
    with ARCHIVE.take_snapshot(tmp_path) as found:
        count = found.count()
        fill(tmp_path / "labels", "fraud", first=5_000)
        store.remove()
        assert len(list(found.read())) == count


@pytest.mark.parametrize(
    "part",
    [
        LabelPart("../fraud", "labels", ["id"], [["x"]]),
        LabelPart("fraud", "labels; DROP TABLE about", ["id"], [["x"]]),
        LabelPart("fraud", "labels", ["id", "value"], [["x", 1.0], ["x", 2.0]]),
        LabelPart("fraud", "labels", ["id"], [[{"a": 1}]]),
        LabelPart("fraud", "labels", ["id", "value"], [["x"]]),
        LabelPart("fraud", "labels", ["surprise"], [["x"]]),
    ],
    ids=["path", "table", "twice", "no value", "short row", "no column"],
)
def test_what_is_not_right_replaces_nothing(tmp_path: Path, part: LabelPart) -> None:
    fill(tmp_path / "labels", "fraud")
    before = parts(tmp_path)
    with pytest.raises(Invalid, match="labels of"), ARCHIVE.prepare(tmp_path, iter([part])):
        pass
    assert parts(tmp_path) == before


def test_without_any_there_is_nothing_to_do(tmp_path: Path) -> None:
    assert parts(tmp_path) == []
    ARCHIVE.settle(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_labels_that_are_damaged_inside_are_named(tmp_path: Path) -> None:
    """The first page is whole, so the file can be opened."""
    store = fill(tmp_path / "labels", "fraud")
    path = tmp_path / "labels" / "fraud.db"
    assert store.exists and path.stat().st_size > 100_000
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))
    with (
        pytest.raises(Conflict, match=r"fraud.db cannot be read: .*"),
        ARCHIVE.take_snapshot(tmp_path) as found,
    ):
        found.count()
        list(found.read())
