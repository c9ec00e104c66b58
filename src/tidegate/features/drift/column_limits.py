"""Limits of single columns, as a constraints.json has them, and their tests. Pure.

A limit that is what the baseline itself had is that of a sample: it is violated if chance does not explain the
difference of the two. One that was edited counts as it stands: chance is that of the present rows alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from tidegate.features.drift.column_tests import ColumnTest, unseen_share
from tidegate.rows.profile import ColumnProfile
from tidegate.statistics.significance import upper_binomial, upper_hypergeometric

SAME = 1e-9
"""Difference of two shares up to which they are the same."""
NEGATIVE = "non_negative_check"
"""A word of ours: SageMaker names none."""


@dataclass(frozen=True)
class ColumnLimits:
    """``completeness``: least share of rows with a value; ``kind``: SageMaker's word for the type, and ``match`` the
    least share of values of that type; ``domain``: texts that may be, and ``known`` the least share of those;
    ``least``: the smallest distance that matters; None: as for all columns."""

    completeness: float | None = None
    non_negative: bool = False
    kind: str = ""
    match: float = 1.0
    domain: frozenset[str] | None = None
    known: float = 1.0
    least: float | None = None
    compared: bool = True


def limit_tests(limits: ColumnLimits, before: ColumnProfile, now: ColumnProfile) -> Iterator[ColumnTest]:
    """One test of each limit that the column does not keep."""
    for found in (
        _test_completeness(limits, before, now),
        _test_sign(limits, before, now),
        _test_kind(limits, before, now),
        _test_domain(limits, before, now),
    ):
        if found is not None:
            yield found


def _test_completeness(limits: ColumnLimits, before: ColumnProfile, now: ColumnProfile) -> ColumnTest | None:
    if limits.completeness is None or now.completeness >= limits.completeness:
        return None
    rows = now.present + now.missing
    if abs(limits.completeness - before.completeness) < SAME:
        chance = _chance_of_samples(now.missing, rows, before.missing, before.present + before.missing)
    else:
        chance = upper_binomial(now.missing, rows, 1 - limits.completeness)
    said = f"{now.completeness:.2%} have a value, at least {limits.completeness:.2%} must"
    return _limit("completeness", limits.completeness - now.completeness, chance, "completeness_check", said)


def _test_sign(limits: ColumnLimits, before: ColumnProfile, now: ColumnProfile) -> ColumnTest | None:
    if not limits.non_negative or not now.negatives:
        return None
    chance = 0.0
    if before.count and before.low >= 0:
        chance = _chance_of_samples(now.negatives, now.count, 0, before.count)
    share = now.negatives / now.count
    return _limit("non-negative", share, chance, NEGATIVE, f"{share:.2%} are negative, down to {now.low:g}")


def _test_kind(limits: ColumnLimits, before: ColumnProfile, now: ColumnProfile) -> ColumnTest | None:
    strange = _count_other_kind(limits.kind, before, now)
    if not strange or strange <= now.present * (1 - limits.match):
        return None
    chance = upper_binomial(strange, now.present, 1 - limits.match)
    if not now.texts and limits.match == 1 and limits.kind == before.kind:
        chance = _chance_of_samples(strange, now.count, 0, before.count)
    share = 1 - strange / now.present
    said = f"{share:.2%} are {limits.kind}, at least {limits.match:.2%} must be"
    return _limit("type", limits.match - share, chance, "data_type_check", said)


def _count_other_kind(kind: str, before: ColumnProfile, now: ColumnProfile) -> int:
    """Count values of another type. A whole number is Fractional, too; texts of digits are read as numbers, so these
    count only where the baseline had none."""
    if kind == "Integral":
        return now.texts + now.fractions
    if kind == "Fractional":
        return now.texts
    return now.count if kind == "String" and not before.count else 0


def _test_domain(limits: ColumnLimits, before: ColumnProfile, now: ColumnProfile) -> ColumnTest | None:
    if limits.domain is None or not now.texts:
        return None
    strange = now.texts - sum(now.categories[value] for value in limits.domain if value in now.categories)
    if not strange or strange <= now.texts * (1 - limits.known):
        return None
    rare = unseen_share(before) if before.texts and limits.domain == before.categories.keys() else 0.0
    chance = upper_binomial(strange, now.texts, max(1 - limits.known, rare))
    unseen = sorted(now.categories.keys() - limits.domain)
    said = f"{strange / now.texts:.2%} are outside the domain ({', '.join(unseen[:3])})"
    return _limit("domain", strange / now.texts, chance, "categorical_values_check", said)


def _limit(test: str, share: float, chance: float, check: str, said: str) -> ColumnTest:
    return ColumnTest(test, share, chance, True, check, said)


def _chance_of_samples(marked: int, drawn: int, before: int, total: int) -> float:
    """Return the probability that so many of the ``drawn`` values, or more, are marked, if the share of marked values
    is the same as in the baseline, where it was ``before`` of ``total``."""
    return upper_hypergeometric(marked, drawn, marked + before, drawn + total)
