"""Finite numbers of any size: no sum, difference or square of them makes a gross difference count as nothing."""

import json
import math
import sys

from hypothesis import example, given
from hypothesis import strategies as st

from tidegate.domain.evidence import FeatureTolerance
from tidegate.domain.finding import Finding
from tidegate.domain.replay import ReplayConfig
from tidegate.features.evidence.features import SAME, learn_map
from tidegate.features.evidence.replay.replay_judge import judge_replay
from tidegate.features.evidence.replay.scored_rows import ScoredRows
from tidegate.features.evidence.units import learn_unit
from tidegate.features.monitor.measures import measure_regression
from tidegate.rows.label_lines import read_number
from tidegate.statistics.label_quality import TimedLabel, compare_amounts
from tidegate.statistics.measures import measure_numeric

MAX = sys.float_info.max
any_number = st.floats(allow_nan=False, allow_infinity=False)
numbers = st.lists(any_number, min_size=2, max_size=30)
labelled = st.floats(-9e299, 9e299)
"""What is read as a label, or as the score of a capture."""


@given(numbers)
@example([MAX, -MAX, 0.0])
@example([-MAX] * 5 + [MAX] * 5)
def test_every_set_of_different_predictions_has_a_unit(values: list[float]) -> None:
    unit = learn_unit(values)
    if min(values) == max(values):
        assert unit is None
        return
    if unit is not None:  # of subnormal numbers there may be none
        places = [unit.place(value) for value in values]
        assert unit.size > 0 and all(map(math.isfinite, places)) and max(places) - min(places) < math.inf
    assert unit is not None or max(map(abs, values)) < 1e-300


@given(any_number, any_number)
@example(MAX, -MAX)
def test_a_column_that_changed_does_not_fit(old: float, new: float) -> None:
    if abs(new / 4 - old / 4) > 1e-9 + 1e-4 * abs(old / 4):
        assert not SAME.fits(old, new)
    assert SAME.fits(old, old)


@given(numbers, st.lists(any_number, min_size=30, max_size=30))
@example([MAX, -MAX, 0.0, 1.0], [-MAX, MAX] * 15)
def test_a_learned_map_is_of_numbers_and_finds_another_sign(old: list[float], new: list[float]) -> None:
    found = learn_map(list(zip(old, new[: len(old)], strict=True)), FeatureTolerance())
    if found is not None:
        assert all(map(math.isfinite, (found.scale, found.shift, found.center, found.slack)))
    same = learn_map([(value, value) for value in old], FeatureTolerance())
    assert same is SAME and not same.fits(MAX, -MAX)


@given(st.lists(st.tuples(labelled, labelled), min_size=1, max_size=20))
@example([(9e299, -9e299)] * 20)
def test_measures_of_errors_are_numbers(pairs: list[tuple[float, float]]) -> None:
    found = measure_numeric(pairs)
    assert found is not None
    largest = max(abs(score - label) for score, label in pairs)
    size = 1 + 1e-9
    assert abs(found.bias) <= found.mean_absolute_error * size <= found.root_mean_square_error * size**2
    assert largest / len(pairs) <= found.mean_absolute_error * size and found.mean_absolute_error <= largest * size
    assert found.root_mean_square_error <= largest * size


@given(st.lists(st.tuples(labelled, labelled), min_size=1, max_size=20))
@example([(9e299, -9e299)] * 20)
def test_monitored_errors_are_numbers_that_a_threshold_can_be_held_against(
    pairs: list[tuple[float, float]],
) -> None:
    found = measure_regression([(label, predicted, None) for label, predicted in pairs])
    assert all(math.isfinite(found[name]) for name in ("mae", "mse", "rmse"))
    assert found["r2"] != math.inf and found["r2"] != -math.inf
    assert (found["mae"] > 0) is any(label != predicted for label, predicted in pairs)


@given(st.sampled_from([1e3, 1e100, 9e299]), st.integers(0, 5))
def test_a_version_that_is_absurd_is_worse_by_late_labels_whatever_the_size(size: float, seed: int) -> None:
    labels = [
        TimedLabel(bool(at % 2), str(at), size * (-1) ** (at // 2) if at % 2 else (at * 7 + seed) % 11, 5.0)
        for at in range(800)
    ]
    found = compare_amounts(labels)
    assert found.evidence > 1 and all(map(math.isfinite, (*found.leading.old, *found.leading.new)))


@given(st.sampled_from([1e3, 1e100]), st.sampled_from([1.0, 9e299]))
def test_a_version_that_is_absurd_is_worse_by_replay_whatever_the_size(size: float, scale: float) -> None:
    truth: list[float | None] = [float(at % 13) * scale / 100 for at in range(400)]
    old = [(label or 0) * 1.01 + scale / 1e3 for label in truth]
    new = [label + size * scale / 1e3 * (-1) ** at if scale == 1 else -label for at, label in enumerate(old)]
    found = judge_replay(ScoredRows(old, new, truth, [{}] * 400, None, True), ReplayConfig("", mean=1e9), 0.005)
    assert found.finding is Finding.FAIL


@given(any_number)
def test_a_number_that_is_read_can_be_subtracted(value: float) -> None:
    found = read_number(json.loads(json.dumps(value)))
    assert found is None or math.isfinite(2 * found)
