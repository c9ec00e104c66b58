"""The measure by which versions are set beside one another, and the steps of their delays."""

import math
from dataclasses import asdict

import pytest

from tidegate.statistics.intervals import delay_parts, format_delay, main_interval, version_name
from tidegate.statistics.measures import measure_binary, measure_numeric


def test_classes_are_compared_by_auc() -> None:
    quality = measure_binary([(0.9, 1), (0.6, 0), (0.5, 1), (0.1, 0)], 4, 0.5, 0.5)
    assert quality is not None
    found = main_interval(asdict(quality))
    assert found is not None and (found.measure, found.value) == ("AUC", quality.auc)
    assert found.low <= found.value <= found.high


def test_amounts_are_compared_by_their_error_with_the_bounds_of_a_mean() -> None:
    errors = [1.0, 2.0, 3.0, 4.0]
    quality = measure_numeric([(error, 0.0) for error in errors])
    assert quality is not None
    found = main_interval(asdict(quality))
    assert found is not None and (found.measure, found.value) == ("mean absolute error", 2.5)
    deviation = math.sqrt(sum((error - 2.5) ** 2 for error in errors) / 3)
    assert found.high - 2.5 == pytest.approx(1.959964 * deviation / 2)


@pytest.mark.parametrize("quality", [None, {}, {"auc": None}, {"mean_absolute_error": 1.0, "pairs": 1}])
def test_what_cannot_be_said_has_no_interval(quality: dict[str, float] | None) -> None:
    assert main_interval(quality) is None


@pytest.mark.parametrize(("share", "low", "high"), [(0.5, 0.2366, 0.7634), (0.0, 0.0, 0.2775), (1.0, 0.7225, 1.0)])
def test_shares_have_wilsons_bounds(share: float, low: float, high: float) -> None:
    found = main_interval({"approval": share, "pairs": 10, "mean": share})
    assert found is not None and found.measure == "approval"
    assert [found.low, found.high] == pytest.approx([low, high], abs=1e-4)


def test_an_earlier_life_of_a_config_is_named_by_its_end() -> None:
    version = {"config": "v1", "variant": "main", "until": 1_772_366_400.0}
    assert version_name(version) == "v1, main"
    assert version_name({**version, "current": False}) == "v1, main (until 2026-03-01 12:00)"


def test_equal_errors_have_bounds_too() -> None:
    quality = {"pairs": 9, "mean_absolute_error": 0.0, "root_mean_square_error": 0.0}
    found = main_interval(quality)
    assert found is not None and (found.low, found.high) == (0.0, 0.0)


def test_steps_that_no_label_has_are_left_out() -> None:
    def counts(*labels: int) -> dict[str, object]:
        steps = zip((60.0, 3_600.0, 86_400.0, None), labels, strict=True)
        return {"delay_counts": [{"seconds": seconds, "labels": count} for seconds, count in steps]}

    names, parts = delay_parts([counts(0, 3, 0, 1), counts(0, 0, 2, 0)])
    assert names == ["≤ 1 h", "≤ 1 d", "> 1 d"]
    assert parts == [[75.0, 0.0, 25.0], [0.0, 100.0, 0.0]]
    assert delay_parts([]) == ([], [])
    assert [format_delay(seconds) for seconds in (30, 600, 21_600)] == ["30 s", "10 min", "6 h"]
