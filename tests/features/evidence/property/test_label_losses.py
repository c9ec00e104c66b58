"""Mean errors by labels: planted faults of a model of rents are found by a replay and by late labels, honest retrains
pass, also where errors have a heavy tail. By chance with fixed seeds."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from tidegate.domain.finding import Finding
from tidegate.domain.replay import ReplayConfig, ReplayResult
from tidegate.features.evidence.replay.replay_judge import judge_replay
from tidegate.features.evidence.replay.scored_rows import ScoredRows
from tidegate.statistics.label_quality import (
    CALIBRATION_TOLERANCE,
    ERROR_TOLERANCE,
    FALSE_ALARMS,
    LabelComparison,
    TimedLabel,
    compare_amounts,
    compare_classes,
)
from tidegate.statistics.losses import find_reach

Floats = NDArray[np.float64]
COUNTRIES = ("DE", "US", "IN", "JP", "CH")
RATE = 0.005
"""Of false rollbacks, that a replay has by default."""
ROWS = 2_000


@dataclass(frozen=True)
class Rents:
    """``known``: what can be known of each rent; ``noise``: the rest."""

    truth: Floats
    old: Floats
    country: NDArray[np.int64]
    size: Floats
    missing: NDArray[np.bool_]


def draw_rents(chance: np.random.Generator, count: int, tail: float = 0.0) -> Rents:
    """``tail``: sigma of a log-normal factor of each error."""
    country, size = chance.choice(5, count, p=(0.4, 0.3, 0.13, 0.1, 0.07)), chance.gamma(4, 20, count)
    level = np.array([900, 1_400, 500, 800, 1_700])[country]
    known = level + 8 * (size - 80)
    error = chance.normal(0, 150, count) * np.exp(tail * chance.normal(0, 1, count))
    missing = chance.random(count) < 0.3
    return Rents(known + error, known + chance.normal(0, 20, count), country, size, missing)


Version = Callable[[np.random.Generator, Rents], Floats]


def honest(chance: np.random.Generator, rents: Rents) -> Floats:
    """Other trees: a bit of noise of its own, and another level in each country."""
    own = chance.normal(0, 20, len(rents.truth)) + chance.normal(0, 5, 5)[rents.country]
    return rents.old + own


def last_years(chance: np.random.Generator, rents: Rents) -> Floats:
    return honest(chance, rents) * 0.86


def few_trees(chance: np.random.Generator, rents: Rents) -> Floats:
    found = honest(chance, rents)
    shrunk: Floats = found + 0.45 * (found.mean() - found)
    return shrunk


def without_sizes(chance: np.random.Generator, rents: Rents) -> Floats:
    """The fallback of rows in which a value is missing."""
    return honest(chance, rents) - np.where(rents.missing, 8 * (rents.size - 80) * 0.9, 0)


def wrong_column(chance: np.random.Generator, rents: Rents) -> Floats:
    other: Floats = chance.permutation(rents.size)
    return honest(chance, rents) + 4 * (other - 80)


def rare_fallback(chance: np.random.Generator, rents: Rents) -> Floats:
    """Far off in one row of thirteen, and as before in all others: hardly more errors are above the old median."""
    return honest(chance, rents) - np.where(chance.random(len(rents.truth)) < 0.075, 900, 0)


HARMFUL: dict[str, Version] = {
    "fallback for one row of thirteen": rare_fallback,
    "last year's target": last_years,
    "a part of the trees": few_trees,
    "fallback for missing values": without_sizes,
    "wrong column": wrong_column,
}


def without_a_country(chance: np.random.Generator, rents: Rents, apart: float = 170) -> Floats:
    """Of the smallest country, whose mean error is half as large again, which is nearly nothing of the whole."""
    return honest(chance, rents) - np.where(rents.country == 4, apart, 0)


def replayed(rents: Rents, new: Floats, sliced: bool = True) -> ReplayResult:
    labels: list[float | None] = rents.truth.tolist()
    slices: list[str | None] | None = [COUNTRIES[one] for one in rents.country] if sliced else None
    answers = ScoredRows(rents.old.tolist(), new.tolist(), labels, [{}] * len(labels), slices, True)
    return judge_replay(answers, ReplayConfig("file:///rows.csv", "rent", by="country"), RATE)


def late(chance: np.random.Generator, rents: Rents, new: Floats) -> list[TimedLabel]:
    """Each version answers its own half."""
    side = chance.random(len(new)) < 0.5
    return [
        TimedLabel(bool(side[at]), str(at), float((new if side[at] else rents.old)[at]), float(rents.truth[at]),
                   (f"country={COUNTRIES[rents.country[at]]}",))
        for at in range(len(new))
    ]  # fmt: skip


def gain(rents: Rents, new: Floats) -> float:
    """By which part the mean error is larger."""
    return float(np.abs(new - rents.truth).mean() / np.abs(rents.old - rents.truth).mean() - 1)


@pytest.mark.parametrize("fault", HARMFUL)
def test_a_larger_mean_error_is_found_by_replay_and_by_late_labels(fault: str) -> None:
    for seed in range(8):
        chance = np.random.default_rng([seed, 1])
        rents = draw_rents(chance, ROWS)
        new = HARMFUL[fault](chance, rents)
        assert gain(rents, new) > 0.2
        found = replayed(rents, new)
        [whole] = [one for one in found.statistics if one.name == "error" and not one.slice]
        assert found.finding is Finding.FAIL and whole.finding is Finding.FAIL
        assert whole.worse == pytest.approx(gain(rents, new))
        more = draw_rents(chance, 8_000)
        compared = compare_amounts(late(chance, more, HARMFUL[fault](chance, more)))
        assert compared.evidence >= 1, "by 4,000 labels of each version"


def test_a_fault_of_one_country_is_found_in_its_slice() -> None:
    for seed in range(8):
        chance = np.random.default_rng([seed, 2])
        rents = draw_rents(chance, ROWS)
        new = without_a_country(chance, rents)
        assert gain(rents, new) < 0.1, "twice the tolerance; CH has gained a half"
        found = replayed(rents, new)
        failed = [(one.name, one.slice) for one in found.statistics if one.finding is Finding.FAIL]
        assert ("error", "CH") in failed and "mean absolute error of CH gained" in found.reason
        more = draw_rents(chance, 12_000)
        compared = compare_amounts(late(chance, more, without_a_country(chance, more, 350)))
        assert compared.evidence >= 1 and compared.leading.slice == "country=CH"


@pytest.mark.parametrize("tail", [0.0, 1.0, 1.5])
def test_honest_retrains_pass_whatever_the_tail_of_errors(tail: float) -> None:
    fails = alarms = 0
    for seed in range(100):
        chance = np.random.default_rng([seed, 3])
        rents = draw_rents(chance, ROWS, tail)
        fails += replayed(rents, honest(chance, rents)).finding is not Finding.PASS
        alarms += compare_amounts(late(chance, rents, honest(chance, rents))).evidence >= 1
    assert fails <= 1 and alarms <= 1


def test_a_few_enormous_errors_do_not_hide_a_loss_of_all_others() -> None:
    """A payslip of 10 million in 2,000: the mean error of both versions is that one row."""
    for seed in range(5):
        chance = np.random.default_rng([seed, 4])
        rents = draw_rents(chance, ROWS)
        truth = rents.truth.copy()
        truth[chance.choice(ROWS, 5)] = 1e7
        rents = Rents(truth, rents.old, rents.country, rents.size, rents.missing)
        new = few_trees(chance, rents)
        assert gain(rents, new) < 0.02
        found = replayed(rents, new, sliced=False)
        assert found.finding is Finding.FAIL and "count as that" in found.reason
        assert replayed(rents, honest(chance, rents)).finding is Finding.PASS
        assert compare_amounts(late(chance, rents, new)).evidence > 0


def test_enormous_errors_of_one_in_fifty_are_harm_though_all_others_are_equal() -> None:
    chance = np.random.default_rng(5)
    rents = draw_rents(chance, ROWS)
    new = rents.old + np.where(chance.random(ROWS) < 0.02, 1e6, 0)
    found = replayed(rents, new, sliced=False)
    assert found.finding is Finding.FAIL and found.reason.startswith("mean absolute error gained")


def test_what_may_be_chance_is_named_in_the_reason_of_a_pass() -> None:
    chance = np.random.default_rng(6)
    rents = draw_rents(chance, ROWS)
    new = rents.old.copy()
    new[0] += 1e6
    found = replayed(rents, new, sliced=False)
    [error] = [one for one in found.statistics if one.name == "error"]
    assert error.worse is not None and error.worse > 1 and error.finding is Finding.PASS
    assert "may be chance" in found.reason


def draw_scores(chance: np.random.Generator, count: int) -> tuple[Floats, Floats]:
    """Calibrated probabilities, and labels."""
    scores = chance.beta(1.2, 4, count)
    return scores, (chance.random(count) < scores).astype(float)


@pytest.mark.parametrize(("change", "test"), [
    (lambda scores: np.clip(scores * 1.5, 0, 1), "calibration"),
    (lambda scores: np.clip(scores * 0.4, 0, 1), "calibration"),
    (lambda scores: np.where(scores > 0.25, 0.9999, 0.0001), "loss"),
])  # fmt: skip
def test_probabilities_that_keep_their_order_are_found_by_calibration_and_loss(
    change: Callable[[Floats], Floats], test: str
) -> None:
    chance = np.random.default_rng(7)
    scores, truth = draw_scores(chance, 6_000)
    new, side = change(scores), chance.random(len(scores)) < 0.5
    labels = [
        TimedLabel(bool(side[at]), str(at), float((new if side[at] else scores)[at]), float(truth[at]))
        for at in range(len(scores))
    ]
    found = {one.name: one.evidence for one in compare_classes(labels).tests}
    assert found[test] >= 1 and (test == "loss" or found["auc"] < 1)
    answers = ScoredRows(scores.tolist(), new.tolist(), truth.tolist(), [{}] * len(truth), None, True)
    judged = judge_replay(answers, ReplayConfig("file:///rows.csv", "y", mean=9), RATE)
    failed = {one.name for one in judged.statistics if one.finding is Finding.FAIL}
    assert {"loss", "calibration"} <= failed


def test_a_version_that_is_better_calibrated_is_not_worse() -> None:
    """Its scores moved as far as a fault would move them, in the right direction."""
    chance = np.random.default_rng(8)
    scores, truth = draw_scores(chance, 20_000)
    labels = [
        TimedLabel(bool(at % 2), str(at), float(scores[at] if at % 2 else min(1.0, scores[at] + 0.2)), truth[at])
        for at in range(len(scores))
    ]
    assert compare_classes(labels).evidence < 0.5


def test_equal_probabilities_raise_a_false_alarm_in_one_of_a_hundred_at_most() -> None:
    alarms = 0
    for seed in range(60):
        chance = np.random.default_rng([seed, 9])
        scores, truth = draw_scores(chance, 2_000)
        noisy = np.clip(scores + chance.normal(0, 0.02, len(scores)), 0, 1)
        group = chance.choice(30, len(scores))
        alarms += (
            compare_classes(
                TimedLabel(bool(at % 2), str(at), float((noisy if at % 2 else scores)[at]), truth[at],
                           (f"group={group[at]}",))
                for at in range(len(scores))
            ).evidence >= 1
        )  # fmt: skip
    assert alarms <= 2


@pytest.mark.parametrize("compare", [compare_amounts, compare_classes])
def test_the_bound_holds_at_the_edge_of_what_is_tolerated(
    compare: Callable[[list[TimedLabel], float], LabelComparison],
) -> None:
    """With a rate of 10 %, so that a hundred runs show it."""
    alarms = 0
    for seed in range(100):
        chance = np.random.default_rng([seed, 10])
        side, error = chance.random(1_500) < 0.3, np.abs(chance.normal(0, 1, 1_500))
        if compare is compare_amounts:
            scores, truth = error * np.where(side, 1 + ERROR_TOLERANCE, 1), np.zeros(1_500)
        else:
            scores, truth = draw_scores(chance, 1_500)
            scores = np.clip(scores + np.where(side, CALIBRATION_TOLERANCE, 0), 0, 1)
        labels = [TimedLabel(bool(side[n]), str(n), float(scores[n]), float(truth[n])) for n in range(1_500)]
        alarms += compare(labels, 10 * FALSE_ALARMS).evidence >= 1
    assert alarms <= 18, "3 standard deviations above 10 %"


@pytest.mark.parametrize("errors", [
    [0.0] * 10, [0.0] * 9 + [2.0], [5e-324] * 10, [2e300] * 10, [1e-320, 2e300], [1.0],
])  # fmt: skip
def test_a_reach_is_a_number_above_0_whatever_the_errors(errors: list[float]) -> None:
    reach = find_reach(errors, [0.0, 1e300])
    assert 0 < reach < math.inf and 0 <= min(1.0, 2e300 / reach) <= 1
