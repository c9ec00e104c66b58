"""Labels that last: whatever is posted twice, half, late or wrongly has a named outcome and changes nothing else."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tidegate.domain.errors import Invalid, Transient
from tidegate.features.labels import ledger
from tidegate.features.labels.label_terms import LabelTerms
from tidegate.features.labels.ledger import AnsweringVersion, JoinOutcome, LabelKind, SideBySide
from tidegate.features.labels.posted import MOST_LABELS, read_posted, read_terms, render_posted
from tidegate.features.labels.report import QualityQuestion
from tidegate.features.labels.store import LabelStore
from tidegate.rows.label_lines import Label, LineProblem, Prediction

NOW = 1_772_366_400.0
NEVER: dict[JoinOutcome, int] = dict.fromkeys(
    (
        JoinOutcome.REPEATED,
        JoinOutcome.CONTRADICTORY,
        JoinOutcome.FUTURE,
        JoinOutcome.CLASS,
        JoinOutcome.SCALE,
        JoinOutcome.FULL,
    ),
    0,
)


@pytest.fixture
def store(tmp_path: Path) -> LabelStore:
    return LabelStore(tmp_path / "labels", "fraud")


def label(id: str, value: float = 1.0, at: float = NOW) -> Label:
    return Label(id, value, at, None, NOW)


@pytest.mark.parametrize(("given", "outcome"), [
    ({"id": "a", "label": 1}, None),
    ({"id": "a", "label": "0.5"}, None),
    ({"id": "a", "label": 1, "at": "2026-03-01T12:00:00Z", "probability": 0.2}, None),
    ({"id": "a", "label": 1, "at": None, "probability": None}, None),
    ({"id": "", "label": 1}, LineProblem.NO_ID),
    ({"id": 7, "label": 1}, LineProblem.NO_ID),
    ({"id": "a\ud800", "label": 1}, LineProblem.NO_ID),
    ({"id": "a" * 1025, "label": 1}, LineProblem.NO_ID),
    ({"label": 1}, LineProblem.NO_ID),
    ({"id": "a"}, LineProblem.NO_NUMBER),
    ({"id": "a", "label": True}, LineProblem.NO_NUMBER),
    ({"id": "a", "label": "fraud"}, LineProblem.NO_NUMBER),
    ({"id": "a", "label": float("nan")}, LineProblem.NO_NUMBER),
    ({"id": "a", "label": 1, "at": "yesterday"}, LineProblem.NO_TIME),
    ({"id": "a", "label": 1, "at": 5}, LineProblem.NO_TIME),
    ({"id": "a", "label": 1, "probability": 0}, LineProblem.NO_PROBABILITY),
    ({"id": "a", "label": 1, "probability": 1e-300}, LineProblem.NO_PROBABILITY),
    ({"id": "a", "label": 1, "probability": 1.1}, LineProblem.NO_PROBABILITY),
    ({"id": "a", "label": 1, "probability": "0.5"}, LineProblem.NO_PROBABILITY),
    ({"id": "a", "label": 1, "surprise": 1}, LineProblem.BROKEN),
    ("a", LineProblem.BROKEN),
    (None, LineProblem.BROKEN),
])  # fmt: skip
def test_every_posted_label_is_read_or_named(given: object, outcome: LineProblem | None) -> None:
    labels, problems = read_posted([given], NOW)
    assert (len(labels), dict(problems)) == ((1, {}) if outcome is None else (0, {outcome: 1}))
    assert all(read_posted(render_posted([one]), NOW)[0] == [one] for one in labels)


@pytest.mark.parametrize("given", [None, {}, "a", [{}] * (MOST_LABELS + 1)])
def test_what_is_no_list_of_labels_is_refused(given: object) -> None:
    with pytest.raises(Invalid):
        read_posted(given, NOW)


@pytest.mark.parametrize("body", [{"score": 7}, {"score": "a..b"}, {"kind": "sort"}])
def test_terms_that_cannot_be_are_refused(body: dict[str, object]) -> None:
    with pytest.raises(Invalid):
        read_terms(body)


@pytest.mark.parametrize(("before", "given", "outcome"), [
    ([], [label("a")], {}),
    ([label("a")], [label("a")], {JoinOutcome.REPEATED: 1}),
    ([], [label("a"), label("a")], {JoinOutcome.REPEATED: 1}),
    ([label("a")], [label("a", 0.0)], {JoinOutcome.CONTRADICTORY: 1}),
    ([], [label("a"), label("a", 0.0)], {JoinOutcome.CONTRADICTORY: 1}),
    ([label(f"a{n}") for n in range(99)], [label("b", 5.0)], {JoinOutcome.CLASS: 1}),
    ([label("a")], [label("b", 5.0)], {}),
    ([], [label("a", at=NOW + 299)], {}),
    ([], [label("a", at=NOW + 301)], {JoinOutcome.FUTURE: 1}),
])  # fmt: skip
def test_what_can_be_said_of_a_label_is_said_at_once(
    store: LabelStore, before: list[Label], given: list[Label], outcome: dict[JoinOutcome, int]
) -> None:
    if before:
        store.accept(before, LabelTerms())
    assert store.accept(given, LabelTerms()) == NEVER | outcome


def test_labels_stay_and_the_same_again_changes_no_measure(store: LabelStore, tmp_path: Path) -> None:
    answers = [Prediction(f"a{n}", NOW - 86_400, n / 100, "v1", "blue") for n in range(100)]
    store.add_file("x.jsonl", answers)
    labels = [label(f"a{n}", float(n >= 50)) for n in range(0, 100, 5)]
    store.accept(labels, LabelTerms())
    first = store.describe(QualityQuestion(), NOW, ())
    assert first["versions"][0]["quality"]["auc"] == 1.0
    assert first["versions"][0]["coverage"]["share"] == 0.2
    again = LabelStore(tmp_path / "labels", "fraud")
    again.add_file("x.jsonl", answers)
    assert again.accept(labels, LabelTerms()) == NEVER | {JoinOutcome.REPEATED: 20}
    second = again.describe(QualityQuestion(), NOW, ())
    assert second["versions"] == first["versions"] == again.document()["versions"]  # type: ignore[index]
    assert second["labels"]["repeated"] == 20


def test_a_file_that_breaks_off_is_not_half_read(store: LabelStore) -> None:
    def broken() -> Iterator[Prediction]:
        yield Prediction("a", NOW, 0.5)
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        store.add_file("x.jsonl", broken())
    assert store.unread(["x.jsonl"]) == ["x.jsonl"]
    store.add_file("x.jsonl", [Prediction("a", NOW, 0.5)])
    assert store.unread(["x.jsonl", "y.jsonl"]) == ["y.jsonl"]
    store.accept([label("a")], LabelTerms())
    assert store.describe(QualityQuestion(), NOW, ())["labels"]["joined"] == 1


def test_another_place_of_the_score_reads_all_captures_again(store: LabelStore) -> None:
    store.add_file("x.jsonl", [Prediction("a", NOW, 0.5)])
    assert store.change_terms(LabelTerms("predictions[0].score")) == LabelTerms("predictions[0].score")
    assert store.terms() == LabelTerms("predictions[0].score")
    assert store.unread(["x.jsonl"]) == ["x.jsonl"]


def test_what_labels_are_is_what_nearly_all_are_and_not_what_the_first_was(store: LabelStore) -> None:
    store.add_file("x.jsonl", [Prediction(f"a{n}", NOW, n / 201, "v1", "blue") for n in range(201)])
    store.accept([label("a0", 0.5)], LabelTerms())
    store.accept([label(f"a{n}", float(n > 100)) for n in range(1, 201)], LabelTerms())
    found = store.describe(QualityQuestion(), NOW, ())
    assert (found["labels"]["class never seen"], found["labels"]["joined"]) == (1, 200)
    assert found["versions"][0]["quality"]["auc"] == 1.0
    assert store.accept([label("a0", 0.5), label("b", 7.0)], LabelTerms())[JoinOutcome.CLASS] == 2


def test_labels_of_unknown_ids_do_not_say_what_labels_are(store: LabelStore) -> None:
    store.add_file("x.jsonl", [Prediction(f"a{n}", NOW, n / 200, "v1", "blue") for n in range(200)])
    store.accept([label(f"a{n}", float(n >= 100)) for n in range(200)], LabelTerms())
    store.accept([label(f"nobody{n}", 0.5) for n in range(500)], LabelTerms())
    assert store.describe(QualityQuestion(), NOW, ())["versions"][0]["quality"]["auc"] == 1.0


def test_amounts_are_compared_as_amounts_though_nobody_said_what_they_are(store: LabelStore) -> None:
    found = [Prediction(f"{v}{n}", NOW, float(n), v, "blue") for v in ("v1", "v2") for n in range(300)]
    store.add_file("x.jsonl", found)
    store.accept([label(one.id, one.score * 1.5 + 2) for one in found], LabelTerms())
    assert _kinds(store) == ["error"]


def test_what_somebody_said_labels_are_stays(store: LabelStore) -> None:
    store.add_file("x.jsonl", [Prediction(id, NOW, 0.5) for id in "abc"])
    store.accept([label("a", 7.0)], LabelTerms())
    store.change_terms(LabelTerms(kind=LabelKind.CLASSES))
    assert store.accept([label("b"), label("c", 9.0)], LabelTerms(kind=LabelKind.CLASSES))[JoinOutcome.CLASS] == 1
    found = store.describe(QualityQuestion(), NOW, ())
    assert (found["labels"]["class never seen"], found["labels"]["joined"]) == (2, 1)
    assert store.terms().kind is LabelKind.CLASSES


def test_labels_are_forgotten_with_their_predictions(store: LabelStore) -> None:
    store.add_file("x.jsonl", [Prediction("old", NOW - 1_000, 0.5), Prediction("new", NOW, 0.5)])
    store.accept([label("old"), label("new")], LabelTerms())
    store.forget_old(NOW - 500)
    found = store.describe(QualityQuestion(), NOW, ())["labels"]
    assert (found["unknown id"], found["joined"]) == (0, 1)


def test_a_label_whose_prediction_never_comes_is_forgotten(store: LabelStore) -> None:
    store.add_file("x.jsonl", [Prediction("known", NOW, 0.5)])
    store.accept([label("known"), label("never")], LabelTerms())
    store.forget_old(NOW - 500, NOW + 1)
    found = store.describe(QualityQuestion(), NOW, ())["labels"]
    assert (found["unknown id"], found["joined"]) == (0, 1)


def test_labels_of_unknown_ids_have_a_limit_and_others_are_still_kept(
    store: LabelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidegate.features.labels.store.MOST_UNKNOWN", 3, raising=False)
    store.add_file("x.jsonl", [Prediction("known", NOW, 0.5)])
    assert store.accept([label("u1"), label("u2")], LabelTerms()) == NEVER
    more = [label("u3"), label("u4"), label("u4"), label("u1"), label("known")]
    assert store.accept(more, LabelTerms()) == NEVER | {JoinOutcome.FULL: 2, JoinOutcome.REPEATED: 1}
    assert store.describe(QualityQuestion(), NOW, ())["labels"]["unknown id"] == 3
    store.add_file("y.jsonl", [Prediction("u1", NOW, 0.5), Prediction("u4", NOW, 0.5)])
    store.describe(QualityQuestion(), NOW, ())
    assert store.accept([label("u4"), label("u5")], LabelTerms()) == NEVER, (
        "one is known now, and leaves its place"
    )
    found = store.describe(QualityQuestion(), NOW, ())["labels"]
    assert (found["joined"], found["unknown id"]) == (3, 3)
    assert store.accept([label("u6")], LabelTerms())[JoinOutcome.FULL] == 1


def test_a_change_is_seen_once(store: LabelStore) -> None:
    store.accept([label("a")], LabelTerms())
    assert store.take_changed() and not store.take_changed()
    store.add_file("x.jsonl", [])
    assert store.take_changed()
    store.remove()
    assert not store.exists


def test_a_folder_that_cannot_be_used_is_a_matter_of_time(tmp_path: Path) -> None:
    (tmp_path / "labels").write_text("a file")
    with pytest.raises(Transient, match="cannot be used now"):
        LabelStore(tmp_path / "labels", "fraud").accept([label("a")], LabelTerms())


def test_absurd_amounts_make_no_document_that_is_no_json(store: LabelStore) -> None:
    store.add_file("x.jsonl", [Prediction("a", NOW, 1e299, "v1", "blue")])
    store.accept([label("a", -1e299)], LabelTerms(kind=LabelKind.AMOUNTS))
    found = store.describe(QualityQuestion(), NOW, ())["versions"][0]["quality"]
    assert found["root_mean_square_error"] == found["mean_absolute_error"] == 2e299


def _kinds(store: LabelStore) -> list[str]:
    pair = SideBySide(AnsweringVersion("v1", "blue"), AnsweringVersion("v2", "blue"))
    return [one["name"] for one in store.describe(QualityQuestion(), NOW, [pair])["comparisons"]]


def test_a_store_that_is_in_use_or_full_is_tried_again(store: LabelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that posts is told to come again (503), and not that the server is broken."""
    store.accept([label("a")], LabelTerms())
    monkeypatch.setattr(ledger, "PATIENCE", 0.01)
    with closing(sqlite3.connect(store._folder / store._file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Transient, match="cannot be used now: database is locked"):
            store.accept([label("b")], LabelTerms())
        other.execute("ROLLBACK")
    assert store.accept([label("b")], LabelTerms()) == NEVER
