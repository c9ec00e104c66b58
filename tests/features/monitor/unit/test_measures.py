"""Measures of predictions against scikit-learn's, and SageMaker's own examples."""

import math
import random
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from tidegate.features.monitor.binary import MOST_POINTS, confusion_of_two, curves, measure_two_classes
from tidegate.features.monitor.measures import deviations, measure_regression, standard_errors
from tidegate.features.monitor.model_quality import ProblemType
from tidegate.features.monitor.multiclass import confusion_of, measure_multiclass
from tidegate.features.monitor.pairs import Pair

BINARY = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 1), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0])),
    min_size=2,
    max_size=60,
).filter(lambda pairs: {label for label, *_ in pairs} == {0, 1} and any(said for _, said, _ in pairs))
CLASSES = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from("abcd"), st.none()), min_size=2, max_size=60
).filter(lambda pairs: len({name for label, said, _ in pairs for name in (label, said)}) > 1)
AMOUNTS = st.lists(
    st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.none()), min_size=2, max_size=40
).filter(lambda pairs: max(label for label, *_ in pairs) - min(label for label, *_ in pairs) > 1)


@given(BINARY)
def test_two_classes_are_measured_as_by_scikit_learn(pairs: list[Pair]) -> None:
    labels, said, chances = zip(*pairs, strict=True)
    found = measure_two_classes(pairs)
    expected = {
        "recall": metrics.recall_score(labels, said),
        "precision": metrics.precision_score(labels, said),
        "accuracy": metrics.accuracy_score(labels, said),
        "true_positive_rate": metrics.recall_score(labels, said),
        "true_negative_rate": metrics.recall_score(labels, said, pos_label=0),
        "auc": metrics.roc_auc_score(labels, chances),
        "au_prc": metrics.average_precision_score(labels, chances),
        "f0_5": metrics.fbeta_score(labels, said, beta=0.5),
        "f1": metrics.f1_score(labels, said),
        "f2": metrics.fbeta_score(labels, said, beta=2),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    assert found["false_positive_rate"] == pytest.approx(1 - found["true_negative_rate"])
    assert found["false_negative_rate"] == pytest.approx(1 - found["true_positive_rate"])
    matrix = metrics.confusion_matrix(labels, said, labels=[0, 1])
    assert confusion_of_two(pairs) == {
        str(row): {str(column): matrix[row][column] for column in (0, 1)} for row in (0, 1)
    }


def test_sagemakers_example_of_two_classes() -> None:
    pairs: list[Pair] = [(0, 0, 0.1), (0, 1, 0.6), (0, 1, 0.7), (1, 1, 0.9)]
    found = measure_two_classes(pairs)
    assert {name: round(value, 6) for name, value in found.items() if "au_" not in name} == {
        "recall": 1.0,
        "precision": 0.333333,
        "accuracy": 0.5,
        "recall_best_constant_classifier": 1.0,
        "precision_best_constant_classifier": 0.25,
        "accuracy_best_constant_classifier": 0.25,
        "true_positive_rate": 1.0,
        "true_negative_rate": 0.333333,
        "false_positive_rate": 0.666667,
        "false_negative_rate": 0.0,
        "auc": 1.0,
        "f0_5": 0.384615,
        "f1": 0.5,
        "f2": 0.714286,
        "f0_5_best_constant_classifier": 0.294118,
        "f1_best_constant_classifier": 0.4,
        "f2_best_constant_classifier": 0.625,
    }


@given(CLASSES)
def test_several_classes_are_measured_as_by_scikit_learn(pairs: list[Pair]) -> None:
    labels, said, _ = zip(*pairs, strict=True)
    found, how = measure_multiclass(pairs), {"average": "weighted", "zero_division": 0}
    expected = {
        "accuracy": metrics.accuracy_score(labels, said),
        "weighted_recall": metrics.recall_score(labels, said, **how),
        "weighted_precision": metrics.precision_score(labels, said, **how),
        "weighted_f0_5": metrics.fbeta_score(labels, said, beta=0.5, **how),
        "weighted_f1": metrics.f1_score(labels, said, **how),
        "weighted_f2": metrics.fbeta_score(labels, said, beta=2, **how),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    assert found["accuracy_best_constant_classifier"] == max(map(labels.count, labels)) / len(labels)
    names = sorted({*labels, *said})
    matrix = metrics.confusion_matrix(labels, said, labels=names)
    assert confusion_of(pairs) == {
        one: {two: matrix[row][column] for column, two in enumerate(names)} for row, one in enumerate(names)
    }


def test_sagemakers_example_of_several_classes() -> None:
    counts = {("0", "0"): 1180, ("0", "1"): 510, ("1", "0"): 268, ("1", "1"): 138}
    pairs: list[Pair] = [(label, said, None) for (label, said), count in counts.items() for _ in range(count)]
    found = measure_multiclass(pairs)
    assert found["accuracy"] == pytest.approx(0.6288167938931297)
    assert found["weighted_precision"] == pytest.approx(0.6983172269629505)
    assert found["weighted_f0_5"] == pytest.approx(0.6803947317178771)
    assert found["weighted_f1"] == pytest.approx(0.6571162346664904)
    assert found["weighted_f2"] == pytest.approx(0.6384024354394601)


@given(AMOUNTS)
def test_amounts_are_measured_as_by_scikit_learn(pairs: list[Pair]) -> None:
    labels, said, _ = zip(*pairs, strict=True)
    assert measure_regression(pairs) == pytest.approx(
        {
            "mae": metrics.mean_absolute_error(labels, said),
            "mse": metrics.mean_squared_error(labels, said),
            "rmse": metrics.root_mean_squared_error(labels, said),
            "r2": metrics.r2_score(labels, said),
        },
        rel=1e-6,
    )


def test_what_cannot_be_said_is_no_number() -> None:
    ones: list[Pair] = [(1, 0, 0.2), (1, 0, 0.4)]
    unsaid = {name for name, value in measure_two_classes(ones).items() if math.isnan(value)}
    assert unsaid == {"precision", "true_negative_rate", "false_positive_rate", "auc", "au_prc"}
    assert math.isnan(measure_regression([(5.0, 4.0, None), (5.0, 6.0, None)])["r2"])
    assert measure_regression([(1e299, -1e299, None), (0.0, 0.0, None)])["mse"] == sys.float_info.max
    for measure in (measure_two_classes, measure_multiclass, measure_regression):
        assert all(math.isnan(value) for value in measure([]).values())
    assert "auc" not in measure_two_classes([(1, 1, None), (0, 0, 0.1)])
    assert curves(ones) == ([], [])


def test_curves_are_bounded_and_reach_their_ends() -> None:
    draw = random.Random(1)
    pairs: list[Pair] = [(draw.randrange(2), 0, draw.random()) for _ in range(1_000)]
    for points, last in zip(curves(pairs), ((1.0, 1.0), (1.0, pytest.approx(0.5, abs=0.05))), strict=True):
        assert (
            len(points) == MOST_POINTS and points[-1] == last and points == sorted(points, key=lambda one: one[0])
        )


def noisy(count: int, wrong: float, seed: int = 1) -> list[Pair]:
    draw = random.Random(seed)
    labels = [draw.randrange(2) for _ in range(count)]
    return [(label, label if draw.random() >= wrong else 1 - label, None) for label in labels]


def test_a_standard_error_is_that_of_a_share() -> None:
    for count in (400, 8_000):
        found = standard_errors(ProblemType.BINARY, noisy(count, 0.2), random.Random(2))
        assert found["accuracy"] == pytest.approx(math.sqrt(0.2 * 0.8 / count), rel=0.3)
    nothing: dict[str, Any] = dict(standard_errors(ProblemType.BINARY, [(1, 1, None)] * 60, random.Random(2)))
    assert math.isnan(nothing["true_negative_rate"]) and nothing["accuracy"] == 0


def test_a_standard_deviation_is_given_from_200_pairs_on() -> None:
    few = deviations(ProblemType.BINARY, noisy(199, 0.2), random.Random(2))
    enough = deviations(ProblemType.BINARY, noisy(200, 0.2), random.Random(2))
    assert math.isnan(few["accuracy"]) and 0 < enough["accuracy"] < 0.05
