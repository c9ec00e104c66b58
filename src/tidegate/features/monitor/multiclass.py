"""Measures of a classification with several classes, weighted by how frequent each class is among the labels. Pure.

The best constant classifier is the one that always says the most frequent class.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from tidegate.features.monitor.binary import CONSTANT
from tidegate.features.monitor.pairs import Pair

MOST_CLASSES = 1_000


def confusion_of(pairs: Iterable[Pair]) -> dict[str, dict[str, int]]:
    """Label -> prediction -> count, for all classes that are either."""
    found = Counter((label, predicted) for label, predicted, _ in pairs)
    names = sorted({name for pair in found for name in pair})
    return {label: {predicted: found[label, predicted] for predicted in names} for label in names}


def count_classes(pairs: Iterable[Pair]) -> int:
    return len({name for label, predicted, _ in pairs for name in (label, predicted)})


def measure_multiclass(pairs: Sequence[Pair]) -> dict[str, float]:
    """A class that was never predicted has the precision 0, as in scikit-learn's weighted averages."""
    found = _measure(Counter((label, predicted) for label, predicted, _ in pairs))
    labels = Counter(label for label, *_ in pairs)
    frequent = min((-count, name) for name, count in labels.items())[1] if labels else ""
    constant = _measure(Counter({(label, frequent): count for label, count in labels.items()}))
    return {**found, **{f"{name}{CONSTANT}": value for name, value in constant.items()}}


def _measure(counts: Counter[tuple[str, str]]) -> dict[str, float]:
    labels, predictions, hits = Counter[str](), Counter[str](), Counter[str]()
    for (label, predicted), count in counts.items():
        labels[label] += count
        predictions[predicted] += count
        if label == predicted:
            hits[label] += count
    total = sum(labels.values())
    made = {"accuracy": sum(hits.values()) / total if total else math.nan}
    made["weighted_recall"] = made["accuracy"]
    precision = (count * hits[name] / predictions[name] for name, count in labels.items() if predictions[name])
    made["weighted_precision"] = math.fsum(precision) / total if total else math.nan
    for name, weight in (("weighted_f0_5", 0.5), ("weighted_f1", 1.0), ("weighted_f2", 2.0)):
        square = weight * weight
        scores = (
            count * (1 + square) * hits[one] / (square * count + predictions[one]) for one, count in labels.items()
        )
        made[name] = math.fsum(scores) / total if total else math.nan
    return made
