"""The tests of one column: against its baseline, for missing values, for values that were never seen. Pure."""

from collections.abc import Container, Iterator
from dataclasses import dataclass

from tidegate.rows.profile import PREDICTION, ColumnProfile, TableProfile
from tidegate.statistics.significance import (
    distance_of_counts,
    distance_of_samples,
    probability_of_counts,
    probability_of_distance,
    upper_binomial,
    upper_hypergeometric,
)

FEW_TEXTS = 0.05
"""Share of texts in a column of numbers up to which its numbers are still compared."""
NEW_SLICE = 20
"""Rows from which a slice that the baseline does not have matters."""


@dataclass(frozen=True)
class DriftViolation:
    feature_name: str
    constraint_check_type: str
    description: str


@dataclass(frozen=True)
class ColumnTest:
    """``distance``: how much has changed, 0 to 1; ``probability``: of as much where nothing has; ``matters``: the
    distance is one that matters. ``check``: SageMaker's word for what is violated, where it is no drift; ``said``
    describes that."""

    test: str
    distance: float
    probability: float
    matters: bool
    check: str = ""
    said: str = ""


def compare_columns(
    before: ColumnProfile, now: ColumnProfile, fewest: int, least: float, fewest_numbers: int
) -> ColumnTest | str:
    """The test of two distributions; or why there is none. A few broken values among numbers do not keep the others
    from being compared. ``fewest_numbers``: of the values that are there now, if they are numbers, whose test is
    sound with fewer than that of texts."""
    if _mostly_numbers(before) and _mostly_numbers(now):
        if before.count < fewest or now.count < fewest_numbers:
            return "too few values"
        if before.low == before.high == now.low == now.high:
            return "constant"
        first, second = sorted(before.sample), sorted(now.sample)
        distance = distance_of_samples(first, second)
        probability = probability_of_distance(distance, len(first), len(second))
        return ColumnTest("ks", distance, probability, distance >= least)
    if min(before.present, now.present) < fewest:
        return "too few values"
    if before.many or now.many:
        return "too many different values"
    if not before.texts or not now.texts:
        return "numbers on one side and texts on the other"
    old, new = before.categories, now.categories
    if old.keys() == new.keys() and len(old) == 1:
        return "constant"
    distance = distance_of_counts(old, new)
    return ColumnTest("chi-square", distance, probability_of_counts(old, new), distance >= least)


def count_tests(before: ColumnProfile, now: ColumnProfile, most: float) -> Iterator[ColumnTest]:
    """Yield the tests of missing values, and of texts that the baseline never had: whether they exceed the share
    ``most``, and exceed what chance explains."""
    lost = before.completeness - now.completeness
    if lost > 0:
        said = f"{now.completeness:.1%} have a value, {before.completeness:.1%} in the baseline"
        rows = now.present + now.missing
        total = rows + before.present + before.missing
        chance = upper_hypergeometric(now.missing, rows, now.missing + before.missing, total)
        yield ColumnTest("missing", lost, chance, lost > most, "completeness_check", said)
    if _is_category(before) and _is_category(now):
        unseen = sorted(now.categories.keys() - before.categories.keys())
        strange = sum(now.categories[value] for value in unseen)
        share = strange / now.texts
        said = f"{share:.1%} are new values ({', '.join(unseen[:3])})"
        chance = upper_binomial(strange, now.texts, unseen_share(before))
        yield ColumnTest("new values", share, chance, share > most, "categorical_values_check", said)


def judge_new_slice(name: str, rows: int, now: int, before: int, known: int) -> ColumnTest:
    """Judge a slice that the baseline does not have. ``rows``: the rows of the slice among the ``now`` present ones;
    ``before``: rows of the baseline; ``known``: number of slices. Any of the slices might be missing from the
    baseline by chance, since all rows of a rare one may have come later."""
    chance = min(1.0, known * upper_hypergeometric(rows, now, rows, now + before))
    said = f"{name} is not in the baseline"
    return ColumnTest("new slice", rows / now, chance, rows >= NEW_SLICE, "categorical_values_check", said)


def judge_season(expected: ColumnTest) -> ColumnTest:
    """Judge rows that are as usual, at a time for which the baseline shows a seasonal change. ``expected``: their
    comparison with the baseline of that season."""
    said = f"the season of the baseline has not come: distance from it {expected.distance:.3f}"
    return ColumnTest(
        "season", expected.distance, expected.probability, expected.matters, "baseline_drift_check", said
    )


def check_columns(
    before: TableProfile, now: TableProfile, limited: Container[str] = ()
) -> Iterator[DriftViolation]:
    """Yield the violations that need no test: missing and extra columns, and columns whose type has changed, except
    for the types of columns that have limits of their own (``limited``)."""
    for name in before.columns.keys() - now.columns.keys():
        yield DriftViolation(name, "missing_column_check", "the baseline has it, and no row does")
    for name in now.columns.keys() - before.columns.keys() - {PREDICTION}:
        yield DriftViolation(name, "extra_column_check", "rows have it, and the baseline does not")
    for name in before.columns.keys() & now.columns.keys():
        old, new = before.columns[name], now.columns[name]
        if old.numeric and new.texts and name not in limited:
            share = new.texts / new.present
            yield DriftViolation(name, "data_type_check", f"{share:.2%} are texts, and the baseline has numbers")


def _is_category(column: ColumnProfile) -> bool:
    return column.texts > 0 and not column.many


def _mostly_numbers(column: ColumnProfile) -> bool:
    return column.count > 0 and column.texts <= FEW_TEXTS * column.present


def unseen_share(column: ColumnProfile) -> float:
    """Estimate the share of values that are new although nothing has changed (Good and Turing): that of values seen
    once, plus one, since a baseline without such values does not prove that nothing is rare."""
    once = sum(count == 1 for count in column.categories.values())
    return min(1.0, (once + 1) / column.texts)
