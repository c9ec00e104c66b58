"""Who posts labels cannot change how an endpoint's labels and answers are read."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.domain.errors import Conflict
from tidegate.features.labels.label_terms import LabelTerms, check_posted
from tidegate.features.labels.ledger import JoinOutcome, LabelKind
from tidegate.features.labels.report import QualityQuestion
from tidegate.features.labels.store import LabelStore
from tidegate.rows.label_lines import Label, Prediction

NOW = 1_700_000_000.0
KINDS = st.none() | st.sampled_from(LabelKind)
TERMS = st.builds(LabelTerms, st.sampled_from(["", "score", "predictions[0].score"]), KINDS)


@pytest.fixture
def store(tmp_path: Path) -> LabelStore:
    return LabelStore(tmp_path, "fraud")


def label(id: str, value: float = 1.0) -> Label:
    return Label(id, value, NOW, NOW)


@pytest.fixture
def measured(store: LabelStore) -> LabelStore:
    """An endpoint whose labels are classes, with a measure that an alarm may watch."""
    store.add_file("x.jsonl", [Prediction(f"a{n}", NOW, n / 200, "v1", "blue") for n in range(200)])
    store.accept([label(f"a{n}", float(n >= 100)) for n in range(200)], LabelTerms())
    return store


def auc(store: LabelStore) -> float:
    found = store.describe(QualityQuestion(), NOW, ())["versions"][0]["quality"]["auc"]
    assert isinstance(found, float)
    return found


@pytest.mark.parametrize(
    ("posted", "said"),
    [
        (LabelTerms(kind=LabelKind.FEEDBACK), "are classes, and these say that they are feedback"),
        (LabelTerms(kind=LabelKind.AMOUNTS), "are classes, and these say that they are amounts"),
        (LabelTerms("nowhere"), "from answers that are one number, and these labels say nowhere"),
    ],
)
def test_posted_terms_that_contradict_are_refused_and_nothing_of_them_is_kept(
    measured: LabelStore, posted: LabelTerms, said: str
) -> None:
    assert auc(measured) == pytest.approx(1.0)
    with pytest.raises(Conflict, match=said):
        measured.accept([label("new")], posted)
    assert measured.terms() == LabelTerms()
    assert measured.unread(["x.jsonl"]) == []
    assert measured.describe(QualityQuestion(), NOW, ())["labels"]["unknown id"] == 0
    assert auc(measured) == pytest.approx(1.0)


def test_terms_that_agree_with_the_labels_are_kept(measured: LabelStore) -> None:
    measured.accept([], LabelTerms(kind=LabelKind.CLASSES))
    assert measured.terms() == LabelTerms(kind=LabelKind.CLASSES)
    assert measured.unread(["x.jsonl"]) == []


def test_the_first_labels_may_say_what_they_are(store: LabelStore) -> None:
    posted = LabelTerms("score", LabelKind.AMOUNTS)
    assert store.accept([label("a")], posted)[JoinOutcome.FULL] == 0
    assert store.terms() == posted


def test_an_operator_may_change_them(measured: LabelStore) -> None:
    assert measured.change_terms(LabelTerms(kind=LabelKind.FEEDBACK)) == LabelTerms(kind=LabelKind.FEEDBACK)
    assert measured.unread(["x.jsonl"]) == ["x.jsonl"], "answers need no score any more"
    assert measured.take_changed(), "measures are made anew"
    measured.accept([label("a0", 0.5)], LabelTerms(kind=LabelKind.FEEDBACK))


def test_an_operator_may_take_back_what_was_said_and_no_label_says_it_again(measured: LabelStore) -> None:
    measured.change_terms(LabelTerms("predictions[0].score", LabelKind.CLASSES))
    assert measured.unread(["x.jsonl"]) == ["x.jsonl"], "answers are read from the new place"
    taken_back = measured.change_terms(LabelTerms(), ("score", "kind"))
    assert (taken_back.where, taken_back.kind) == ("", None)
    assert measured.take_changed(), "measures are made anew"
    # No prediction is read again yet: just then somebody may not say where they are to be read.
    for posted in (LabelTerms("nowhere"), LabelTerms(kind=LabelKind.AMOUNTS)):
        with pytest.raises(Conflict):
            measured.accept([label("new")], posted)
    measured.accept([label("new")], LabelTerms(kind=LabelKind.CLASSES))
    assert measured.terms() == taken_back, "labels that agree settle nothing either"
    again = measured.change_terms(LabelTerms("score"))
    assert again == LabelTerms("score", None, ("kind",))
    measured.accept([label("later")], LabelTerms("score"))


def test_what_a_store_of_an_earlier_version_says_is_not_left_open(store: LabelStore) -> None:
    empty = LabelTerms().changed_by_operator(LabelTerms(), ("kind",))
    with pytest.raises(Conflict, match="left it to the labels"):
        check_posted(empty, LabelTerms(kind=LabelKind.AMOUNTS), predicted=False, seen=None)
    check_posted(LabelTerms(), LabelTerms(kind=LabelKind.AMOUNTS), predicted=False, seen=None)


@given(now=TERMS, posted=TERMS, predicted=st.booleans(), seen=KINDS)
def test_posted_terms_change_nothing_that_was_said_or_read(
    now: LabelTerms, posted: LabelTerms, predicted: bool, seen: LabelKind | None
) -> None:
    try:
        check_posted(now, posted, predicted=predicted, seen=seen)
    except Conflict:
        assert posted != now
        return
    after = now.with_said(posted)
    assert now.where in ("", after.where)
    assert now.kind in (None, after.kind)
    if predicted:
        assert after.where == now.where
    if now.kind is None and seen is not None:
        assert after.kind in (None, seen)
