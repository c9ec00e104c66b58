"""Measures of bias between two groups, by SageMaker Clarify's names. Pure.

``a`` is the group outside the facet, ``d`` the facet. Definitions: Hardt et al. 2021, "Amazon SageMaker Clarify:
Machine Learning Bias Detection and Explainability in the Cloud", and the pages of the measures in SageMaker's guide.
What divides by nothing is NaN here, where Clarify says 0 or a large number.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tidegate.features.monitor.binary import ConfusionCounts

PRE, POST = "pre_training_bias_metrics", "post_training_bias_metrics"
DESCRIPTIONS = {
    PRE: {
        "CI": "Class Imbalance (CI)",
        "DPL": "Difference in Positive Proportions in Labels (DPL)",
        "KL": "Kullback-Leibler Divergence (KL)",
        "JS": "Jensen-Shannon Divergence (JS)",
        "LP": "L-p Norm (LP)",
        "TVD": "Total Variation Distance (TVD)",
        "KS": "Kolmogorov-Smirnov Distance (KS)",
        "CDDL": "Conditional Demographic Disparity in Labels (CDDL)",
    },
    POST: {
        "DPPL": "Difference in Positive Proportions in Predicted Labels (DPPL)",
        "DI": "Disparate Impact (DI)",
        "DCA": "Difference in Conditional Acceptance (DCA)",
        "DCR": "Difference in Conditional Rejection (DCR)",
        "RD": "Recall Difference (RD)",
        "SD": "Specificity Difference (SD)",
        "DAR": "Difference in Acceptance Rates (DAR)",
        "DRR": "Difference in Rejection Rates (DRR)",
        "AD": "Accuracy Difference (AD)",
        "TE": "Treatment Equality (TE)",
        "CDDPL": "Conditional Demographic Disparity in Predicted Labels (CDDPL)",
    },
}
"""Stage -> measure -> its name."""


class LabelledPrediction(NamedTuple):
    """One prediction with its label. ``facet``: it is of the group ``d``; ``group``: of a further column."""

    facet: bool
    positive: bool
    predicted: bool
    group: str = ""


class Measure(NamedTuple):
    """``size``: the least number of cases of a group that it divides by."""

    value: float
    size: int


@dataclass(frozen=True)
class _Sides:
    """Counts of both groups."""

    a: ConfusionCounts
    d: ConfusionCounts

    def compare(self, share: Callable[[ConfusionCounts], tuple[int, int]]) -> Measure:
        """The share of the one group less that of the other."""
        (part_a, whole_a), (part_d, whole_d) = share(self.a), share(self.d)
        return Measure(_ratio(part_a, whole_a) - _ratio(part_d, whole_d), min(whole_a, whole_d))

    def contrast(self, share: Callable[[ConfusionCounts], tuple[int, int]]) -> Measure:
        """The other way round."""
        found = self.compare(share)
        return Measure(-found.value, found.size)


def measure_bias(cases: Sequence[LabelledPrediction]) -> dict[str, dict[str, Measure]]:
    """Stage -> measure. NaN where it cannot be said."""
    sides = _Sides(_count(cases, False), _count(cases, True))
    groups = len({case.group for case in cases}) > 1
    before = {**_measure_labels(sides), **({"CDDL": _conditional(cases, 1)} if groups else {})}
    after = {**_measure_predictions(sides), **({"CDDPL": _conditional(cases, 2)} if groups else {})}
    return {PRE: before, POST: after}


def _count(cases: Sequence[LabelledPrediction], facet: bool) -> ConfusionCounts:
    found = Counter((case.positive, case.predicted) for case in cases if case.facet is facet)
    return ConfusionCounts(found[True, True], found[True, False], found[False, True], found[False, False])


def _total(counts: ConfusionCounts) -> int:
    return sum(counts)


def _label_share(counts: ConfusionCounts) -> tuple[int, int]:
    return counts.hits + counts.missed, _total(counts)


def _predicted(counts: ConfusionCounts) -> tuple[int, int]:
    return counts.hits + counts.false, _total(counts)


def _measure_labels(sides: _Sides) -> dict[str, Measure]:
    a, d = _total(sides.a), _total(sides.d)
    size = min(a, d)
    q_a, q_d = _ratio(*_label_share(sides.a)), _ratio(*_label_share(sides.d))
    far = abs(q_a - q_d)  # of both outcomes
    middle = (q_a + q_d) / 2
    return {
        "CI": Measure(_ratio(a - d, a + d), size),
        "DPL": Measure(q_a - q_d, size),
        "KL": Measure(_divergence(q_a, q_d), size),
        "JS": Measure((_divergence(q_a, middle) + _divergence(q_d, middle)) / 2, size),
        "LP": Measure(math.sqrt(2) * far, size),
        "TVD": Measure(far, size),
        "KS": Measure(far, size),
    }


def _measure_predictions(sides: _Sides) -> dict[str, Measure]:
    accepted_a, accepted_d = _ratio(*_predicted(sides.a)), _ratio(*_predicted(sides.d))
    size = min(_total(sides.a), _total(sides.d))
    return {
        "DPPL": sides.compare(_predicted),
        "DI": Measure(_ratio(accepted_d, accepted_a), size),
        "DCA": sides.compare(lambda of: (of.hits + of.missed, of.hits + of.false)),
        "DCR": sides.contrast(lambda of: (of.quiet + of.false, of.quiet + of.missed)),
        "RD": sides.compare(lambda of: (of.hits, of.hits + of.missed)),
        "SD": sides.contrast(lambda of: (of.quiet, of.quiet + of.false)),
        "DAR": sides.compare(lambda of: (of.hits, of.hits + of.false)),
        "DRR": sides.contrast(lambda of: (of.quiet, of.quiet + of.missed)),
        "AD": sides.compare(lambda of: (of.hits + of.quiet, _total(of))),
        "TE": sides.contrast(lambda of: (of.missed, of.false)),
    }


def _conditional(cases: Sequence[LabelledPrediction], which: int) -> Measure:
    """How much more of the rejected than of the accepted ones are of the facet, averaged over the groups by their
    size. ``which``: the place of the outcome in a case."""
    found: dict[str, Counter[tuple[bool, bool]]] = {}
    for case in cases:
        found.setdefault(case.group, Counter())[case.facet, bool(case[which])] += 1
    total, size = 0.0, len(cases)
    for counts in found.values():
        rejected = counts[True, False] + counts[False, False]
        accepted = counts[True, True] + counts[False, True]
        size = min(size, rejected, accepted)
        disparity = _ratio(counts[True, False], rejected) - _ratio(counts[True, True], accepted)
        total += counts.total() * disparity
    return Measure(_ratio(total, len(cases)), size)


def _divergence(first: float, second: float) -> float:
    """Kullback and Leibler's, of two outcomes."""
    pairs = ((first, second), (1 - first, 1 - second))
    if any(math.isnan(one) for one in (first, second)) or any(one > 0 and two <= 0 for one, two in pairs):
        return math.nan
    return math.fsum(one * math.log(one / two) for one, two in pairs if one > 0)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan
