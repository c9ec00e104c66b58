"""Two versions' scores against the labels of the same rows. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tidegate.features.evidence.replay.paired import Z95, ranks
from tidegate.statistics.measures import BinaryQuality, NumericQuality, measure_binary, measure_numeric

THRESHOLD, PRECISION_TOP = 0.5, 0.05
RARE = 0.01
"""Part of labels that are neither 0 nor 1 up to which the others are classes, as of late labels."""


@dataclass(frozen=True)
class LabelledStatistics:
    """Statistics of the rows with a label. Labels of 0 and 1 are classes (``binary``), others are amounts
    (``numeric``): old and new. ``auc_change``: new minus old, with a 95 % interval by DeLong's paired variance
    (1988); None without both classes."""

    rows: int
    positives: int | None
    binary: tuple[BinaryQuality, BinaryQuality] | None
    numeric: tuple[NumericQuality, NumericQuality] | None
    auc_change: float | None
    auc_change_low: float | None
    auc_change_high: float | None
    unseen: int = 0
    """Labels that are neither 0 nor 1 where nearly all are: none of them counts."""


def leave_out_unseen(labels: Sequence[float | None]) -> tuple[list[float | None], int]:
    """Return the labels without those of a class that was never seen, and how many those were. One of them must not
    make amounts of all the others: their AUC would no longer be judged."""
    known = [label for label in labels if label is not None]
    unseen = sum(label not in (0.0, 1.0) for label in known)
    if not 0 < unseen <= RARE * len(known):
        return list(labels), 0
    return [label if label in (0.0, 1.0) else None for label in labels], unseen


def compare_labelled(
    old: Sequence[float], new: Sequence[float], labels: Sequence[float | None]
) -> LabelledStatistics | None:
    """Compare both versions' scores with the labels. ``labels`` are None where the row has none. None without any
    label."""
    labels, unseen = leave_out_unseen(labels)
    known = [place for place, label in enumerate(labels) if label is not None]
    if not known:
        return None
    truth = [float(labels[place] or 0.0) for place in known]
    before, after = [old[place] for place in known], [new[place] for place in known]
    if set(truth) <= {0.0, 1.0}:
        return replace(_compare_classes(before, after, truth), unseen=unseen)
    one, two = (measure_numeric(zip(scores, truth, strict=True)) for scores in (before, after))
    assert one is not None and two is not None  # there are labels
    return LabelledStatistics(len(known), None, None, (one, two), None, None, None)


def _compare_classes(old: Sequence[float], new: Sequence[float], labels: Sequence[float]) -> LabelledStatistics:
    one, two = _measure(old, labels), _measure(new, labels)
    if one.auc is None or two.auc is None:
        return LabelledStatistics(len(labels), one.positives, (one, two), None, None, None, None)
    change = two.auc - one.auc
    half = Z95 * error_of_auc_change(old, new, labels)
    return LabelledStatistics(
        len(labels), one.positives, (one, two), None, change, max(-1.0, change - half), min(1.0, change + half)
    )


def _measure(scores: Sequence[float], labels: Sequence[float]) -> BinaryQuality:
    pairs = sorted(zip(scores, labels, strict=True), key=lambda pair: -pair[0])
    found = measure_binary(pairs, len(pairs), THRESHOLD, PRECISION_TOP)
    assert found is not None  # there are labels
    return found


def error_of_auc_change(old: Sequence[float], new: Sequence[float], labels: Sequence[float]) -> float:
    """Return the standard error of AUC(new) - AUC(old) on the same rows, by DeLong's method in the form of Sun and Xu
    (2014). Both classes must be there."""
    one, two = _placements(old, labels), _placements(new, labels)
    variance = 0.0
    for side in (0, 1):
        differences = [b - a for a, b in zip(one[side], two[side], strict=True)]
        if len(differences) > 1:
            middle = math.fsum(differences) / len(differences)
            squares = math.fsum((each - middle) ** 2 for each in differences)
            variance += squares / (len(differences) - 1) / len(differences)
    return math.sqrt(variance)


def _placements(scores: Sequence[float], labels: Sequence[float]) -> tuple[list[float], list[float]]:
    """Return for each positive the share of negatives below it, and for each negative the share of positives above
    it."""
    every = ranks(scores)
    positive = [place for place, label in enumerate(labels) if label == 1]
    negative = [place for place, label in enumerate(labels) if label != 1]
    among = ranks([scores[place] for place in positive])
    below = [(every[place] - own) / len(negative) for place, own in zip(positive, among, strict=True)]
    among = ranks([scores[place] for place in negative])
    above = [1 - (every[place] - own) / len(positive) for place, own in zip(negative, among, strict=True)]
    return below, above
