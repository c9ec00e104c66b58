"""What people think of answers, posted by inference id: every outcome, and two versions compared by it."""

import random
from pathlib import Path
from typing import Any

import pytest

from tidegate.features.labels.follow import label_samples
from tidegate.features.labels.label_terms import LabelTerms
from tidegate.features.labels.ledger import AnsweringVersion, JoinOutcome, LabelKind, SideBySide
from tidegate.features.labels.posted import read_posted
from tidegate.features.labels.report import QualityQuestion
from tidegate.features.labels.store import LabelStore
from tidegate.features.labels.tables import render_versions
from tidegate.rows.label_lines import Label, LineProblem, Prediction, read_prediction
from tidegate.statistics.label_quality import TimedLabel, compare_feedback

NOW = 1_772_366_400.0
FEEDBACK = LabelTerms(kind=LabelKind.FEEDBACK)
OLD, NEW = AnsweringVersion("v1", "blue"), AnsweringVersion("v2", "blue")


@pytest.fixture
def store(tmp_path: Path) -> LabelStore:
    return LabelStore(tmp_path / "labels", "chat")


@pytest.fixture
def told(store: LabelStore) -> LabelStore:
    """A store that knows that its labels are feedback."""
    store.accept([], FEEDBACK)
    return store


def thumb(id: str, value: float = 1.0) -> Label:
    return Label(id, value, NOW, None, NOW)


def answered(version: AnsweringVersion, *ids: str) -> list[Prediction]:
    return [Prediction(id, NOW - 60, 0.0, version.config, version.variant) for id in ids]


def described(store: LabelStore, *compared: SideBySide) -> dict[str, Any]:
    return store.describe(QualityQuestion(), NOW, compared)


@pytest.mark.parametrize(
    ("given", "value"),
    [("up", 1.0), ("down", 0.0), (True, 1.0), (False, 0.0), (0.75, 0.75), ("1", 1.0), (4, 4.0)],
)
def test_a_thumb_or_a_score_is_feedback(given: object, value: float) -> None:
    labels, problems = read_posted([{"id": "a", "label": given}], NOW, True)
    assert ([one.value for one in labels], problems) == ([value], {})


@pytest.mark.parametrize("given", ["sideways", None, ["up"], {"up": 1}, float("nan")])
def test_what_is_neither_is_named(given: object) -> None:
    assert read_posted([{"id": "a", "label": given}], NOW, True) == ([], {LineProblem.NO_NUMBER: 1})


def test_thumbs_are_no_labels_of_other_kinds() -> None:
    given = [{"id": "a", "label": "up"}, {"id": "b", "label": True}]
    assert read_posted(given, NOW) == ([], {LineProblem.NO_NUMBER: 2})


def test_an_answer_without_a_score_can_be_liked() -> None:
    line = (
        b'{"captureData": {"endpointOutput": {"data": "", "encoding": "BASE64"}}, "eventMetadata":'
        b' {"configName": "v1", "eventId": "e", "inferenceId": "a", "inferenceTime": "2026-03-01T12:00:00Z"}}'
    )
    assert read_prediction(line, "") is LineProblem.NO_SCORE
    found = read_prediction(line, "", "chat/blue/2026/03/01/12/x.jsonl", scored=False)
    assert isinstance(found, Prediction)
    assert (found.id, found.config, found.variant) == ("a", "v1", "blue")


def test_every_outcome_has_a_name(told: LabelStore) -> None:
    told.add_file("x.jsonl", answered(OLD, "a", "b", "c", "d"))
    told.add_file("y.jsonl", answered(OLD, "d"))
    posted = [
        thumb("a"),
        thumb("a"),
        thumb("b"),
        thumb("b", 0.0),
        thumb("c", 5.0),
        thumb("d"),
        thumb("nobody"),
        Label("late", 1.0, NOW + 1_000, None, NOW),
    ]
    said = told.accept(posted, FEEDBACK)
    assert {str(outcome): count for outcome, count in said.items() if count} == {
        "repeated": 1,
        "contradictory": 1,
        "not from 0 to 1": 1,
        "of the future": 1,
    }
    assert {outcome: count for outcome, count in described(told)["labels"].items() if count} == {
        "joined": 1,
        "repeated": 1,
        "contradictory": 2,
        "not from 0 to 1": 1,
        "id of several predictions": 1,
        "unknown id": 1,
        "of the future": 1,
    }


def test_captures_are_read_again_when_answers_need_no_score_any_more(store: LabelStore) -> None:
    store.accept([thumb("a")], LabelTerms())
    store.add_file("x.jsonl", answered(OLD, "a"))
    assert store.unread(["x.jsonl"]) == []
    store.change_terms(FEEDBACK)
    assert store.accept([thumb("b")], FEEDBACK)[JoinOutcome.REPEATED] == 0
    assert store.unread(["x.jsonl"]) == ["x.jsonl"]
    assert not store.terms().scored
    store.add_file("x.jsonl", answered(OLD, "a"))
    store.accept([thumb("c")], LabelTerms())
    assert store.unread(["x.jsonl"]) == [], "who says nothing changes nothing"


def test_each_version_has_an_approval_and_the_worse_one_is_found(told: LabelStore) -> None:
    chance = random.Random(3)
    for place, version in enumerate((OLD, NEW)):
        told.add_file(version.config, answered(version, *(f"id-{number}" for number in range(place, 1_200, 2))))
    posted = [thumb(f"id-{one}", float(chance.random() < (0.5 if one % 2 else 0.9))) for one in range(1_200)]
    told.accept(posted, FEEDBACK)
    found = described(told, SideBySide(OLD, NEW))
    old, new = found["versions"]
    assert 0.85 < old["quality"]["approval"] < 0.95 and 0.45 < new["quality"]["approval"] < 0.55
    assert (old["kind"], old["coverage"]["labelled"], old["coverage"]["selective"]) == ("feedback", 600, False)
    (compared,) = found["comparisons"]
    assert compared["evidence"] > 1 and compared["name"] == "feedback"
    metrics = [one.metric for one in label_samples("chat", found, 1)]
    samples = {(one.name, dict(one.dimensions)["EndpointConfigName"]) for one in metrics}
    assert {("Approval", "v1"), ("Approval", "v2"), ("LabelEvidence", "v2")} <= samples
    shown = " ".join(part.plain if hasattr(part, "plain") else "" for part in render_versions(found))
    assert "v2 compared with v1: " in shown and "answers disliked" in shown


def test_few_thumbs_are_no_metric_of_approval(told: LabelStore) -> None:
    told.add_file("x.jsonl", answered(OLD, "a", "b"))
    told.accept([thumb("a"), thumb("b", 0.0)], FEEDBACK)
    found = described(told)
    assert found["versions"][0]["quality"] == {"pairs": 2, "approval": 0.5, "mean": 0.5}
    assert "Approval" not in {one.metric.name for one in label_samples("chat", found, 1)}


def test_equal_versions_differ_no_more_often_than_was_chosen() -> None:
    chance = random.Random(8)

    def differs() -> bool:
        votes = (TimedLabel(chance.random() < 0.3, "", 0.0, float(chance.random() < 0.8)) for _ in range(600))
        return compare_feedback(votes, 0.2).evidence >= 1

    # The chance of more than this at the bound itself is 1 in 1,000.
    assert sum(differs() for _ in range(100)) <= 33


def test_feedback_has_its_delay_and_coverage_over_time(told: LabelStore) -> None:
    """As other labels have: reports and the console draw them."""
    told.add_file("f", answered(NEW, "a", "b"))
    told.accept([thumb("a")], FEEDBACK)
    [version] = described(told)["versions"]
    assert {count["seconds"]: count["labels"] for count in version["delay_counts"] if count["labels"]} == {60.0: 1}
    [span] = version["coverage"]["over_time"]
    assert (span["predictions"], span["labelled"]) == (2, 1)
