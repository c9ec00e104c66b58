"""Tolerances from versions that are known to be good: what honest training changes is no harm. Pure."""

import math
from collections.abc import Sequence
from dataclasses import replace

from tidegate.features.evidence.replay.report import ComparisonTerms, VersionComparison
from tidegate.features.evidence.replay.tolerances import RELATIVE, Tolerance

LEARNED = ("mean", "slice", "rank", "moved", "top")
"""What is learned. Harm by labels is defined, not learned."""
MARGIN = 1.25
"""Times the largest value of an honest version. Measured on a fraud model with ten honest versions: no false alarm
for five others."""
FEWEST = 3


def measuring_terms(terms: ComparisonTerms) -> ComparisonTerms:
    """Terms under which a comparison has the value of every statistic that is learned."""
    unlimited = {name: Tolerance(math.inf, name in RELATIVE) for name in LEARNED}
    return replace(terms, tolerances=unlimited)


def learn_terms(honest: Sequence[VersionComparison], terms: ComparisonTerms) -> ComparisonTerms:
    """The terms with learned tolerances, but for those that are declared. What an honest version has no value of
    keeps its tolerance."""
    learned = dict(terms.tolerances)
    for name in LEARNED:
        values = [finding.value for one in honest for finding in one.findings if finding.statistic == name]
        known = [value for value in values if value is not None]
        if name not in terms.declared and known and len(known) == len(values):
            learned[name] = Tolerance(MARGIN * max(known), name in RELATIVE)
    return replace(terms, tolerances=learned)
