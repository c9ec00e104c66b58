"""Measures of a classification with two classes, by SageMaker's names. Pure.

The best constant classifier is the one that always says 1, as in SageMaker's own reports.
"""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tidegate.features.monitor.pairs import Pair
from tidegate.statistics.ranking import count_steps, rank_counts

MOST_POINTS = 101
"""Points of a curve in a report."""
Points = list[tuple[float, float]]
CONSTANT = "_best_constant_classifier"


class ConfusionCounts(NamedTuple):
    """Counts of predictions by label: ``missed`` are labels of 1 predicted as 0, ``false`` labels of 0 predicted as
    1."""

    hits: int
    missed: int
    false: int
    quiet: int


def _count_pairs(pairs: Iterable[Pair]) -> ConfusionCounts:
    found = [[0, 0], [0, 0]]
    for label, predicted, _ in pairs:
        found[label][predicted] += 1
    return ConfusionCounts(found[1][1], found[1][0], found[0][1], found[0][0])


def measure_two_classes(pairs: Sequence[Pair]) -> dict[str, float]:
    """Measure predictions of two classes. A measure is NaN where it has no value, because a class is in no label or
    in no prediction."""
    found = _count_pairs(pairs)
    positives, negatives = found.hits + found.missed, found.false + found.quiet
    always = ConfusionCounts(positives, 0, negatives, 0)
    made = {
        "recall": _ratio(found.hits, positives),
        "precision": _ratio(found.hits, found.hits + found.false),
        "accuracy": _ratio(found.hits + found.quiet, positives + negatives),
        f"recall{CONSTANT}": _ratio(always.hits, positives),
        f"precision{CONSTANT}": _ratio(always.hits, positives + negatives),
        f"accuracy{CONSTANT}": _ratio(always.hits, positives + negatives),
        "true_positive_rate": _ratio(found.hits, positives),
        "true_negative_rate": _ratio(found.quiet, negatives),
        "false_positive_rate": _ratio(found.false, negatives),
        "false_negative_rate": _ratio(found.missed, positives),
    }
    if pairs and all(chance is not None for *_, chance in pairs):
        ranked = rank_counts(_steps(pairs))
        auc = ranked.auc
        made["auc"] = math.nan if auc is None else auc
        made["au_prc"] = math.nan if auc is None else ranked.average_precision or 0.0
    for name, weight in (("f0_5", 0.5), ("f1", 1.0), ("f2", 2.0)):
        made[name], made[f"{name}{CONSTANT}"] = _f_score(found, weight), _f_score(always, weight)
    return made


def sizes_of_two(pairs: Sequence[Pair]) -> dict[str, int]:
    """Return the number of pairs from which each measure is made: its denominator, or the rarer of the two sides that
    it compares."""
    found = _count_pairs(pairs)
    positives, negatives, said = found.hits + found.missed, found.false + found.quiet, found.hits + found.false
    made = dict.fromkeys(("recall", "true_positive_rate", "false_negative_rate"), positives)
    made |= dict.fromkeys(("true_negative_rate", "false_positive_rate"), negatives)
    made |= dict.fromkeys(("auc", "au_prc"), min(positives, negatives))
    made |= dict.fromkeys(("f0_5", "f1", "f2"), (positives + said) // 2)
    return {**made, "precision": said}


def confusion_of_two(pairs: Iterable[Pair]) -> dict[str, dict[str, int]]:
    """Return the counts by label and prediction: label -> prediction -> count."""
    found = _count_pairs(pairs)
    return {"0": {"0": found.quiet, "1": found.false}, "1": {"0": found.missed, "1": found.hits}}


def curves(pairs: Sequence[Pair]) -> tuple[Points, Points]:
    """The receiver operating characteristic (false and true positive rates), and precision by recall (recall and
    precision); without points where a class is in no label."""
    steps = _steps(pairs)
    positives, negatives = steps[-1] if steps else (0, 0)
    if not positives or not negatives:
        return [], []
    rates = [(0.0, 0.0), *((false / negatives, hits / positives) for hits, false in steps)]
    precisions = [(0.0, 1.0), *((hits / positives, hits / (hits + false)) for hits, false in steps)]
    return _thin(rates), _thin(precisions)


def _steps(pairs: Sequence[Pair]) -> list[tuple[int, int]]:
    return list(count_steps((chance, label) for label, _, chance in pairs if chance is not None))


def _f_score(found: ConfusionCounts, weight: float) -> float:
    """Van Rijsbergen's F, with recall ``weight`` times as important as precision."""
    square = weight * weight
    return _ratio((1 + square) * found.hits, (1 + square) * found.hits + square * found.missed + found.false)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan


def _thin(points: Points) -> Points:
    if len(points) <= MOST_POINTS:
        return points
    last = len(points) - 1
    return [points[round(number * last / (MOST_POINTS - 1))] for number in range(MOST_POINTS)]
