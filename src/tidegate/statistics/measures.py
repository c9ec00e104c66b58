"""Measures of predictions against labels, from pairs in the order of the score, in one pass. Pure."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from tidegate.statistics.losses import log_loss
from tidegate.statistics.ranking import RankedCounts

BINS = 10
"""Of equal width, for the calibration error."""
Z95 = 1.959964


@dataclass(frozen=True)
class BinaryQuality:
    """Labels 0 and 1. None: it cannot be said, since a class was never seen or scores are no probabilities.

    ``auc_low``, ``auc_high``: 95 % interval (Hanley and McNeil 1982). ``precision_top``: share of positives among the
    highest scores. ``calibration_error``: mean difference of score and rate of positives, over 10 bins.
    ``log_loss``: mean of ``losses.log_loss``. ``positives`` and ``pairs`` are counts; where pairs have weights, all
    else is weighted, and the interval is that of as many equal pairs as the weights are worth (Kish 1965)."""

    pairs: int
    positives: int
    accuracy: float
    auc: float | None
    auc_low: float | None
    auc_high: float | None
    average_precision: float | None
    precision_top: float | None
    calibration_error: float | None
    brier: float | None
    log_loss: float | None = None


@dataclass(frozen=True)
class NumericQuality:
    """Labels that are amounts, in their own unit. ``bias``: mean of prediction minus label."""

    pairs: int
    mean_absolute_error: float
    root_mean_square_error: float
    bias: float


LIKED = 0.5
"""Feedback from which on somebody liked an answer."""


@dataclass(frozen=True)
class FeedbackQuality:
    """The quality of answers by feedback from 0 to 1. ``approval``: the share of people who liked theirs."""

    pairs: int
    approval: float
    mean: float


def measure_binary(
    pairs: Iterable[tuple[float, float]], total: int, threshold: float, top: float
) -> BinaryQuality | None:
    """Measure scores by labels of 0 and 1. ``pairs``: score and label, highest score first; ``total``: their number;
    ``threshold``: scores from it on are positive; ``top``: share of the highest scores. None without pairs."""
    return measure_weighted(((score, label, 1.0) for score, label in pairs), float(total), threshold, top)


def measure_weighted(
    pairs: Iterable[tuple[float, float, float]], total: float, threshold: float, top: float
) -> BinaryQuality | None:
    """The same of score, label and weight, whose sum is ``total``. A weight of one over the probability with which a
    request was chosen to be labelled makes the measures those of all requests (Horvitz and Thompson 1952)."""
    if not total:
        return None
    found = _Curve(threshold, max(1.0, math.ceil(total * top)))
    for score, positives, negatives in _groups(pairs, found):
        found.add(score, positives, negatives)
    positives = found.positives
    auc = found.ranked.auc
    worth = [found.worth(side) for side in (0, 1)]
    spread = _standard_error(auc, worth[1], worth[0]) if auc is not None else 0.0
    probable = found.within
    return BinaryQuality(
        pairs=sum(found.counts),
        positives=found.counts[1],
        accuracy=found.right / total,
        auc=auc,
        auc_low=None if auc is None else max(0.0, auc - Z95 * spread),
        auc_high=None if auc is None else min(1.0, auc + Z95 * spread),
        average_precision=found.ranked.average_precision,
        precision_top=found.top_positives / found.top if positives else None,
        calibration_error=found.calibration_error() if probable else None,
        brier=found.squares / total if probable else None,
        log_loss=found.loss / total if probable else None,
    )


def measure_numeric(pairs: Iterable[tuple[float, float]]) -> NumericQuality | None:
    """Measure predictions of amounts; None without pairs. No finite errors are too large: sums are kept as means, and
    squares in parts of the largest error."""
    count, absolute, signed, largest, squares = 0, 0.0, 0.0, 0.0, 0.0
    for score, label in pairs:
        error = score - label
        size, count = abs(error), count + 1
        absolute += size / count - absolute / count
        signed += error / count - signed / count
        if size > largest:
            squares, largest = squares * (largest / size) ** 2 + 1, size
        elif largest:
            squares += (size / largest) ** 2
    if not count:
        return None
    return NumericQuality(count, absolute, largest * math.sqrt(squares / count), signed)


def measure_feedback(labels: Iterable[float]) -> FeedbackQuality | None:
    """Measure feedback on answers; None if there is none."""
    count, liked, total = 0, 0, 0.0
    for value in labels:
        count, liked, total = count + 1, liked + (value >= LIKED), total + value
    return FeedbackQuality(count, liked / count, total / count) if count else None


def _groups(pairs: Iterable[tuple[float, float, float]], curve: "_Curve") -> Iterator[tuple[float, float, float]]:
    """Score, positives and negatives of each score: requests with equal scores have no order."""
    for score, group in groupby(pairs, key=lambda pair: pair[0]):
        sums = [0.0, 0.0]
        for _, label, weight in group:
            side = int(label == 1)
            sums[side] += weight
            curve.counts[side] += 1
            curve.squared[side] += weight * weight
        yield score, sums[1], sums[0]


class _Curve:
    """Sums over groups of requests with equal scores, highest scores first."""

    def __init__(self, threshold: float, top: float) -> None:
        self.top = top
        self._threshold = threshold
        self._seen = 0.0
        self._bins = [[0.0, 0.0, 0.0] for _ in range(BINS)]
        """Requests, sum of scores and positives of each bin."""
        self.counts, self.squared = [0, 0], [0.0, 0.0]
        """Pairs, and sums of squared weights, of negatives and positives."""
        self.ranked = RankedCounts()
        self.right = self.top_positives = self.squares = self.loss = 0.0
        self.within = True
        """All scores are from 0 to 1."""

    @property
    def positives(self) -> float:
        return self.ranked.positives

    def worth(self, side: int) -> float:
        """Return the number of equally weighted pairs that the weighted negatives (0) or positives (1) are worth."""
        total = self.ranked.positives if side else self.ranked.negatives
        return total * total / self.squared[side] if self.squared[side] else 0.0

    def add(self, score: float, positives: float, negatives: float) -> None:
        size = positives + negatives
        self.ranked.add(positives, negatives)
        self._seen += size
        room = max(0, min(size, self.top - (self._seen - size)))
        self.top_positives += room * positives / size
        self.right += positives if score >= self._threshold else negatives
        if 0 <= score <= 1:
            self.squares += positives * (score - 1) ** 2 + negatives * score**2
            self.loss += positives * log_loss(score, True) + negatives * log_loss(score, False)
            one = self._bins[min(BINS - 1, int(score * BINS))]
            one[0], one[1], one[2] = one[0] + size, one[1] + score * size, one[2] + positives
        else:
            self.within = False

    def calibration_error(self) -> float:
        return sum(abs(scores - positives) for _, scores, positives in self._bins) / self._seen


def _standard_error(auc: float, positives: float, negatives: float) -> float:
    one, two = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc) + (positives - 1) * (one - auc**2) + (negatives - 1) * (two - auc**2)
    if positives <= 0 or negatives <= 0:
        return 1.0
    return math.sqrt(max(0.0, variance) / (positives * negatives))
