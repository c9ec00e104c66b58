"""How well scores rank positives above negatives: areas under two curves. Pure.

The area under the receiver operating characteristic is the probability that a positive scores above a negative, where
ties count half (Hanley and McNeil, Radiology 1982). Average precision is the mean of the precisions at each positive
(Manning, Raghavan and Schuetze, "Introduction to Information Retrieval", 2008, 8.4)."""

from collections.abc import Iterable, Iterator
from itertools import groupby


class RankedCounts:
    """Weights of positives and negatives, added for each score, highest score first."""

    def __init__(self) -> None:
        self.positives = self.negatives = 0.0
        self._area = self._precision = 0.0

    def add(self, positives: float, negatives: float) -> None:
        """Those of one score, which have no order."""
        self._area += negatives * (self.positives + positives / 2)
        self.positives += positives
        self.negatives += negatives
        self._precision += positives * self.positives / (self.positives + self.negatives)

    @property
    def auc(self) -> float | None:
        """None where a class is missing."""
        both = self.positives > 0 and self.negatives > 0
        return self._area / (self.positives * self.negatives) if both else None

    @property
    def average_precision(self) -> float | None:
        """None without positives."""
        return self._precision / self.positives if self.positives else None


def rank_counts(steps: Iterable[tuple[int, int]]) -> RankedCounts:
    """``steps``: as of ``count_steps``."""
    found, before = RankedCounts(), (0, 0)
    for positives, negatives in steps:
        found.add(positives - before[0], negatives - before[1])
        before = (positives, negatives)
    return found


def count_steps(pairs: Iterable[tuple[float, int]]) -> Iterator[tuple[int, int]]:
    """Positives and negatives with at least each score, highest first. ``pairs``: score and label (0 or 1)."""
    positives = negatives = 0
    for _, group in groupby(sorted(pairs, reverse=True), key=lambda pair: pair[0]):
        for _, label in group:
            positives, negatives = positives + label, negatives + 1 - label
        yield positives, negatives
