"""Labelled rows that both versions answered: what is harm, what is none, and what cannot be said."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from tidegate.domain.finding import Finding
from tidegate.domain.replay import ReplayConfig, ReplayResult
from tidegate.features.evidence.replay.replay_judge import judge_replay
from tidegate.features.evidence.replay.scored_rows import ScoredRows

CONFIG = ReplayConfig("file:///rows.csv", "fraud")
PASS, FAIL, NO_DATA = Finding.PASS, Finding.FAIL, Finding.NO_DATA


def rows(seed: int, count: int = 2_000) -> tuple[list[float], list[float | None], list[str | None]]:
    """Well calibrated scores with their labels, and two slices."""
    chance = random.Random(seed)
    scores = [chance.betavariate(1.2, 3) for _ in range(count)]
    labels: list[float | None] = [float(chance.random() < score) for score in scores]
    return scores, labels, ["DE" if chance.random() < 0.3 else "US" for _ in scores]


def judged(change: Callable[[int, float], float], seed: int = 1, **config: Any) -> ReplayResult:
    old, labels, slices = rows(seed)
    new = [change(place, score) for place, score in enumerate(old)]
    return judge_replay(
        ScoredRows(old, new, labels, [{}] * len(old), slices, True),
        replace(CONFIG, **config),
        0.01,
    )


def noisy(size: float, seed: int = 99) -> Callable[[int, float], float]:
    chance = random.Random(seed)
    return lambda place, score: min(1.0, max(0.0, score + chance.gauss(0, size)))


@pytest.mark.parametrize(("change", "finding", "reason"), [
    (lambda place, score: score, PASS, "nothing is worse"),
    (noisy(0.01), PASS, "nothing is worse"),
    (lambda place, score: 1 - score, FAIL, "AUC lost"),
    (lambda place, score: 0.3, FAIL, "AUC lost"),
    (noisy(0.3), FAIL, "AUC lost"),
    (lambda place, score: score * 0.8, FAIL, "mean score changed by 20.0%"),
    (lambda place, score: score**2, FAIL, "calibration error gained"),
    (lambda place, score: score * 100, NO_DATA, "the scores of one version are no probabilities"),
])  # fmt: skip
def test_harm_is_told_from_what_is_none(
    change: Callable[[int, float], float], finding: Finding, reason: str
) -> None:
    tolerant: dict[str, Any] = {"mean": 9.0, "slice": 9.0} if finding is not FAIL or "mean" not in reason else {}
    if "probabilities" in reason:
        tolerant = {"mean": 1e9, "slice": 1e9}
    found = judged(change, **tolerant)
    assert found.finding is finding and reason in found.reason


def test_a_change_in_one_slice_is_harm_that_the_whole_does_not_show() -> None:
    _, _, slices = rows(1)
    found = judged(
        lambda place, score: score * (0.3 if slices[place] == "DE" else 1.0),
        mean=0.5,
        auc=1,
        calibration=1,
        error=1,
    )
    assert [one.slice for one in found.statistics if one.finding is FAIL] == ["DE"]
    assert found.reason.startswith("mean score of DE changed by 70.0%")


@pytest.mark.parametrize(("labels", "says"), [
    ([None] * 500, "no row has a label"),
    ([1.0] * 99 + [0.0] * 401, "99 labels of 1 and 401 of 0 are too few: 100 of each are needed"),
    ([0.0] * 500, "0 labels of 1 and 500 of 0 are too few"),
    ([250.0] * 99, "99 labels are too few: 100 are needed"),
])  # fmt: skip
def test_too_few_labels_are_no_data_however_bad_the_version_looks(
    labels: Sequence[float | None], says: str
) -> None:
    old = [0.5 + place / 10_000 for place in range(len(labels))]
    found = judge_replay(
        ScoredRows(old, [1 - one for one in old], labels, [{}] * len(old), None, True), CONFIG, 0.01
    )
    assert found.finding is NO_DATA and says in found.reason and not found.statistics


@pytest.mark.parametrize(("worse", "finding"), [(1.0, PASS), (1.03, PASS), (1.3, FAIL)])
def test_amounts_are_judged_by_their_error(worse: float, finding: Finding) -> None:
    chance = random.Random(4)
    labels: list[float | None] = [chance.gauss(100, 20) for _ in range(1_000)]
    errors = [chance.gauss(0, 5) for _ in labels]
    old = [(label or 0) + error for label, error in zip(labels, errors, strict=True)]
    new = [(label or 0) + worse * error for label, error in zip(labels, errors, strict=True)]
    found = judge_replay(ScoredRows(old, new, labels, [{}] * len(old), None, True), CONFIG, 0.01)
    assert found.finding is finding and found.positives is None
    assert found.statistics[0].name == "error"


@pytest.mark.parametrize(("old", "new", "finding"), [
    ([-1.0, 1.0], [-0.99, 1.01], PASS),
    ([-1.0, 1.0], [0.0, 2.0], FAIL),
    ([0.0, 0.0], [1.0, 1.0], NO_DATA),
    ([0.0, 0.0], [0.0, 0.0], PASS),
])  # fmt: skip
def test_a_mean_near_zero_is_held_against_the_size_of_scores(
    old: list[float], new: list[float], finding: Finding
) -> None:
    labels: list[float | None] = [0.0, 1.0] * 200
    found = judge_replay(ScoredRows(old * 200, new * 200, labels, [{}] * 400, None, True), CONFIG, 0.01)
    assert next(one for one in found.statistics if one.name == "mean").finding is finding


def test_honest_versions_fail_in_one_of_a_hundred_at_most() -> None:
    fails = 0
    for seed in range(150):
        found = judged(noisy(0.04, seed), seed)
        fails += found.finding is FAIL
    assert fails <= 4
