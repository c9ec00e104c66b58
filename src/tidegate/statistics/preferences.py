"""A test of what people prefer, by few labels and the decisions of a judge of any quality. Pure.

Judged pairs come in groups of ``GROUP``. Chance chooses one pair of each, each with probability 1 / GROUP, and a
person labels it. With y for the label, j for the judge's decision on the same pair (1: the old version is preferred,
-1: the new one, 0: neither) and m for the mean decision on the group, ``y - reliance * (j - m)`` has the mean label
of the whole group as its expectation, whatever the judge does: j - m is 0 on average over the choice. A good judge
takes away most of the variance, and a bad one adds some. (Prediction-powered inference: Angelopoulos and others,
Science 382, 2023; as an e-process with several reliances: R-AutoEval+, arXiv 2505.18659.)"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import log1p

from tidegate.statistics.stakes import Stakes

GROUP = 4
"""Judged pairs of which one is labelled. With more of them a good judge helps little more, and fewer labels can be
had of the same number of questions (``python -m bench.evidence_judge``)."""
ENOUGH = 75
"""Labels from which on people decide: with so many, a version whose answers people find worse in 80 of 100 pairs is
found in more than 95 of 100 rollouts if the judge is fair (``python -m bench.evidence_judge``)."""
RELIANCES = (0.0, 0.5, 1.0)
"""By how much a label is corrected by the judge. The first is the labels alone, which a bad judge cannot spoil."""
PREFERENCE_BETS = (0.3, 0.9)
"""Below 1, so that no label makes the e-process negative."""


def correct_label(preferred: float, judged: Sequence[float], chosen: int, reliance: float) -> float:
    """Return the net preference for the old version, from -1 to 1, that a label and its group speak for, which may be
    up to ``spread_of(reliance)`` in size. ``preferred`` and ``judged``: 1 for the old version, 0 for the new one, 1/2
    for neither."""
    ahead = judged[chosen] - sum(judged) / len(judged)
    return 2 * preferred - 1 - reliance * 2 * ahead


def spread_of(reliance: float) -> float:
    """Return the largest size of a corrected label."""
    return 1 + 2 * reliance * (1 - 1 / GROUP)


@dataclass(frozen=True)
class PreferenceTest:
    """Test whether people prefer the old version's answers by more than a tolerance: a bet on each corrected label d
    multiplies by ``1 + bet * (d - tolerance) / (spread + tolerance)``, whose expectation is at most 1 while that of
    the mean label of the group, given all before, is within the tolerance (Waudby-Smith and Ramdas, JRSS-B 86, 2024).
    Bets on several reliances share one stake. They are fixed beforehand: a bet that followed from the judge's
    decisions on the group would weigh groups by what is in them."""

    tolerance: float
    stakes: Stakes = field(
        default_factory=lambda: Stakes.on(
            (1 / len(RELIANCES) / len(PREFERENCE_BETS),) * (len(RELIANCES) * len(PREFERENCE_BETS))
        )
    )

    def update(self, preferred: float, judged: Sequence[float], chosen: int) -> "PreferenceTest":
        """Return the state after one label."""
        steps = []
        for reliance in RELIANCES:
            ahead = correct_label(preferred, judged, chosen, reliance) - self.tolerance
            ahead /= spread_of(reliance) + self.tolerance
            steps += [log1p(bet * ahead) for bet in PREFERENCE_BETS]
        return PreferenceTest(self.tolerance, self.stakes.multiply(steps))

    @property
    def log_evidence(self) -> float:
        return self.stakes.log_evidence
