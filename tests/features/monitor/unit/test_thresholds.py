"""Thresholds of a model's quality: how they are suggested, read and checked, and what chance does to them."""

import json
import random
from typing import Any

import pytest

from tests.features.monitor.unit.test_measures import noisy
from tidegate.domain.errors import Invalid
from tidegate.features.monitor.measures import MEASURE, sizes, standard_errors
from tidegate.features.monitor.model_quality import ProblemType
from tidegate.features.monitor.pairs import Pair
from tidegate.features.monitor.thresholds import (
    GREATER,
    LESS,
    Threshold,
    check_thresholds,
    read_thresholds,
    suggest_constraints,
)

BINARY = ProblemType.BINARY
WINDOWS = 300


def suggested(pairs: list[Pair], problem: ProblemType = BINARY) -> dict[str, Threshold]:
    errors = standard_errors(problem, pairs, random.Random(1))
    document = suggest_constraints(problem, MEASURE[problem](pairs), errors, sizes(problem, pairs))
    return read_thresholds(json.dumps(document).encode(), problem)[1]


def violated(thresholds: dict[str, Threshold], pairs: list[Pair], problem: ProblemType = BINARY) -> set[str]:
    errors = standard_errors(problem, pairs, random.Random(2))
    found = check_thresholds(thresholds, MEASURE[problem](pairs), errors, sizes(problem, pairs))
    return {one["metric_name"] for one in found.violations}


def test_windows_of_a_model_that_has_not_changed_violate_next_to_nothing() -> None:
    thresholds = suggested(noisy(2_000, 0.2))
    reported = sum(bool(violated(thresholds, noisy(300, 0.2, seed))) for seed in range(10, 10 + WINDOWS))
    assert reported <= 0.01 * WINDOWS


def test_a_window_of_a_worse_model_violates() -> None:
    assert {"accuracy", "f1", "recall"} <= violated(suggested(noisy(2_000, 0.2)), noisy(400, 0.4, 3))
    draw = random.Random(1)

    def amounts(error: float) -> list[Pair]:
        labels = [draw.gauss(100, 10) for _ in range(400)]
        return [(label, label + draw.gauss(0, error), None) for label in labels]

    thresholds = suggested(amounts(3), ProblemType.REGRESSION)
    assert violated(thresholds, amounts(3), ProblemType.REGRESSION) == set()
    assert violated(thresholds, amounts(6), ProblemType.REGRESSION) == {"mae", "mse", "rmse", "r2"}


def test_suggested_thresholds_leave_room_on_the_bad_side() -> None:
    pairs = noisy(1_000, 0.2)
    measured, found = MEASURE[BINARY](pairs), suggested(pairs)
    assert found["accuracy"].operator == LESS and 0.7 < found["accuracy"].value < measured["accuracy"]
    rate = found["false_positive_rate"]
    assert rate.operator == GREATER and measured["false_positive_rate"] < rate.value < 0.3
    assert not any(name.endswith("best_constant_classifier") for name in found)


def test_a_violation_is_said_in_sagemakers_words() -> None:
    found = check_thresholds(
        {"f1": Threshold(0.8, LESS), "auc": Threshold(0.9, LESS), "recall": Threshold(0.52, LESS)},
        {"f1": 0.6, "recall": 0.5},
        {"f1": 0.06, "recall": 0.02},
        {"f1": 100, "recall": 100, "auc": 100},
    )
    assert found.violations == (
        {
            "constraint_check_type": "LessThanThreshold",
            "description": "Metric f1 with 0.6 +/- 0.06 was LessThanThreshold '0.8'",
            "metric_name": "f1",
        },
    )
    assert (found.unsaid, found.close) == (("auc",), ("recall",))


def section(**values: Any) -> dict[str, Any]:
    one = {"threshold": 0.5, "comparison_operator": LESS, **values}
    return {"binary_classification_constraints": {"f1": one}}


BAD: list[tuple[object, str]] = [
    ([], "no constraints.json of BinaryClassification"),
    ({"regression_constraints": {}}, "which has binary_classification_constraints"),
    ({"binary_classification_constraints": {}}, "nothing would be checked"),
    (
        {"binary_classification_constraints": {"rmse": section()["binary_classification_constraints"]["f1"]}},
        "'rmse'",
    ),
    (section(threshold="high"), "the threshold of f1 is no number"),
    (section(threshold=float("nan")), "the threshold of f1 is no number"),
    (section(comparison_operator="Below"), "comparison_operator of f1 is 'Below'"),
]


@pytest.mark.parametrize(("document", "said"), BAD, ids=[said for _, said in BAD])
def test_constraints_of_another_kind_are_refused(document: object, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        read_thresholds(json.dumps(document).encode(), BINARY)


def test_a_file_that_is_cut_off_is_refused() -> None:
    with pytest.raises(Invalid, match=r"no constraints\.json of Regression"):
        read_thresholds(b'{"regression_constraints": {', ProblemType.REGRESSION)


def test_a_share_of_a_few_is_tested_exactly_and_of_fewer_not_at_all() -> None:
    precision = {"precision": Threshold(0.8, LESS)}

    def found(hits: int, said: int) -> Any:
        quiet: list[Pair] = [(0, 0, None)] * 100
        pairs: list[Pair] = [*((int(number < hits), 1, None) for number in range(said)), *quiet]
        errors = standard_errors(BINARY, pairs, random.Random(2))
        return check_thresholds(precision, MEASURE[BINARY](pairs), errors, sizes(BINARY, pairs))

    assert found(0, 2).unsaid == ("precision",)  # the error of none of two is none, and proves nothing
    assert found(7, 12).close == ("precision",)
    assert [one["metric_name"] for one in found(4, 12).violations] == ["precision"]


def test_a_perfect_baseline_is_not_taken_for_a_perfect_model() -> None:
    thresholds = suggested(noisy(300, 0))
    assert thresholds["accuracy"].value < 0.99 and thresholds["f1"].value < 0.99
    assert violated(thresholds, noisy(300, 0.01, 5)) == set()
    assert violated(thresholds, noisy(300, 0.1, 5)) >= {"accuracy", "f1"}
