"""Correct a judge of texts by labels of people. Pure.

Before there are ``ENOUGH`` labels the judge decides as it does without any: what it finds holds the stage. From then
on people decide: what they prefer rolls a version back, and what the judge alone prefers holds no stage any more.
Their own test may fail a version with fewer labels, as it holds for any number of them. Each of both tests has half
of the comparison's part of the false rollback rate."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from tidegate.domain.evidence import NO_SUMS, ComparisonResult, Finding, Measurement, Preference, Sums
from tidegate.features.evidence.bounds import mean_bounds
from tidegate.features.evidence.pairs import BY_PEOPLE
from tidegate.statistics.means import add_sums
from tidegate.statistics.preferences import ENOUGH, GROUP, PreferenceTest, correct_label, spread_of

SHOWN_RELIANCE = 0.5
"""By how much the estimate that is shown is corrected by the judge."""
VALUES = (0.0, 0.5, 1.0)


@dataclass(frozen=True)
class PeopleState:
    """``labels``: sums of the labels; ``corrected``: the same of the labels as the judge corrects them, as values
    from 0 to 1; ``most``: logarithm of the largest e-value so far."""

    test: PreferenceTest
    labels: Sums = NO_SUMS
    corrected: Sums = NO_SUMS
    most: float = 0.0

    @classmethod
    def begin(cls, tolerance: float) -> "PeopleState":
        return cls(PreferenceTest(tolerance))


def fold_people(state: PeopleState, labels: Iterable[Preference]) -> PeopleState:
    """Return the state after these labels of one variant. Those that make no sense are no evidence."""
    for one in labels:
        if not _is_usable(one):
            continue
        test = state.test.update(one.preferred, one.judged, one.chosen)
        value = _to_unit(correct_label(one.preferred, one.judged, one.chosen, SHOWN_RELIANCE))
        state = PeopleState(
            test,
            add_sums(state.labels, (1, one.preferred, one.preferred**2)),
            add_sums(state.corrected, (1, value, value * value)),
            max(state.most, test.log_evidence),
        )
    return state


def _is_usable(one: Preference) -> bool:
    known = one.preferred in VALUES and len(one.judged) == GROUP and all(value in VALUES for value in one.judged)
    return known and 0 <= one.chosen < GROUP


def _to_unit(corrected: float) -> float:
    spread = spread_of(SHOWN_RELIANCE)
    return (corrected + spread) / (2 * spread)


def part_of_rate(rate: float) -> float:
    """Return the part of a comparison's false rollback rate that each of both tests has: the judge's and people's."""
    return rate / 2


def add_people(judged: ComparisonResult, state: PeopleState, rate: float) -> ComparisonResult:
    """Return what the judge and people together found. ``rate``: how often the test of people may fail an equal
    version."""
    labels, evidence = state.labels[0], state.most / -math.log(rate)
    failed, enough = evidence >= 1, labels >= ENOUGH
    found = replace(judged, labels=(labels, ENOUGH))
    if not labels:
        return found
    measured = _measure(state, evidence)
    found = replace(found, measurements=(*judged.measurements, measured))
    if not failed and not enough:
        return found
    return replace(
        found,
        finding=measured.finding,
        evidence=evidence,
        test=BY_PEOPLE,
        pairs=state.labels,
        rising=False,
        never="",
        by_people=True,
    )


def _measure(state: PeopleState, evidence: float) -> Measurement:
    spread, tolerance = spread_of(SHOWN_RELIANCE), state.test.tolerance
    count, total, _ = state.corrected
    estimate, low, high = (
        min(1.0, max(-1.0, spread * (2 * mean - 1)))
        for mean in (total / count, *mean_bounds(state.corrected, centre=0.5))
    )
    if evidence >= 1:
        finding = Finding.FAIL
    elif count < ENOUGH:
        finding = Finding.NO_DATA
    else:
        finding = Finding.PASS if high <= tolerance else Finding.UNDECIDED
    return Measurement(BY_PEOPLE, finding, estimate, low, high, tolerance, count, evidence)
