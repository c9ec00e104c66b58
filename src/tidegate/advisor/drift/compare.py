"""Compares rows with a baseline, column by column and slice by slice: what changed, by how much, and whether that
may be chance. Pure.

A column has drifted if its distance is at least the one that matters, and if the test says so with the false
discoveries of all columns and slices together controlled. With many rows everything differs a little, and with many
columns something differs by chance: neither is drift.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tidegate.advisor.drift.profile import PREDICTION, ColumnProfile, TableProfile
from tidegate.advisor.drift.significance import (
    distance_of_counts,
    distance_of_samples,
    probability_of_counts,
    probability_of_distance,
    select_discoveries,
)

EVERYTHING = ""
"""The slice of all rows."""


@dataclass(frozen=True)
class DriftTerms:
    """``least``: the smallest distance that matters; ``rate``: of false discoveries; ``fewest``: rows of a slice, and
    values of a column, below which nothing is said."""

    least: float = 0.1
    rate: float = 0.05
    fewest: int = 50
    completeness: float = 0.05
    """Share of values by which a column may be less complete than in the baseline."""


@dataclass(frozen=True)
class ColumnChange:
    """``distance``: the largest difference of the distribution functions (numbers) or of a share (texts);
    ``probability``: of one as large where nothing has changed."""

    slice: str
    column: str
    test: str
    distance: float
    probability: float
    drifted: bool


@dataclass(frozen=True)
class Violation:
    """In SageMaker's words."""

    feature_name: str
    constraint_check_type: str
    description: str


@dataclass(frozen=True)
class DriftReport:
    """``drifted`` None: there are too few rows to say."""

    rows: int
    baseline_rows: int
    drifted: bool | None
    changes: tuple[ColumnChange, ...]
    violations: tuple[Violation, ...]
    unsaid: tuple[str, ...] = field(default=())
    """What nothing can be said of, and why."""

    def document(self) -> dict[str, Any]:
        return asdict(self)


Slices = Mapping[str, TableProfile]
"""Slice -> its rows; ``EVERYTHING`` is always among them."""


def compare(baseline: Slices, present: Slices, terms: DriftTerms) -> DriftReport:
    """A slice that the baseline does not have is compared with all of the baseline, and is a violation itself."""
    before, now = baseline[EVERYTHING], present[EVERYTHING]
    if min(before.rows, now.rows) < terms.fewest:
        few = f"{now.rows} rows and {before.rows} in the baseline: at least {terms.fewest} of each are needed"
        return DriftReport(now.rows, before.rows, None, (), (), (few,))
    violations = list(_check_columns(before, now, terms))
    unsaid: list[str] = []
    tested: list[tuple[str, str, str, float, float]] = []
    for name, rows in sorted(present.items()):
        if rows.rows < terms.fewest:
            unsaid.append(f"slice {name}: {rows.rows} rows")
            continue
        known = baseline.get(name)
        if known is None and len(baseline) > 1:
            violations.append(Violation(name, "categorical_values_check", f"{name} is not in the baseline"))
        apart = known if known is not None and known.rows >= terms.fewest else before
        for column in before.columns.keys() & rows.columns.keys():
            found = _test(apart.columns.get(column) or before.columns[column], rows.columns[column], terms.fewest)
            if isinstance(found, str):
                unsaid.append(f"{column}{f' of slice {name}' if name else ''}: {found}")
            else:
                tested.append((name, column, *found))
    chosen = select_discoveries([one[-1] for one in tested], terms.rate)
    judged = [
        ColumnChange(*one, drifted=sure and one[3] >= terms.least)
        for one, sure in zip(tested, chosen, strict=True)
    ]
    judged.sort(key=lambda change: (not change.drifted, -change.distance, change.slice, change.column))
    changes = tuple(judged)
    violations += [_describe(change, terms.least) for change in changes if change.drifted]
    return DriftReport(now.rows, before.rows, bool(violations), changes, tuple(violations), tuple(sorted(unsaid)))


def _describe(change: ColumnChange, least: float) -> Violation:
    where = f" of slice {change.slice}" if change.slice else ""
    return Violation(
        change.column,
        "baseline_drift_check",
        f"distance{where} {change.distance:.3f} is at least {least:g} (p {change.probability:.2g}, {change.test})",
    )


def _check_columns(before: TableProfile, now: TableProfile, terms: DriftTerms) -> Iterator[Violation]:
    for name in before.columns.keys() - now.columns.keys():
        yield Violation(name, "missing_column_check", "the baseline has it, and no row does")
    for name in now.columns.keys() - before.columns.keys() - {PREDICTION}:
        yield Violation(name, "extra_column_check", "rows have it, and the baseline does not")
    for name in sorted(before.columns.keys() & now.columns.keys()):
        old, new = before.columns[name], now.columns[name]
        if old.numeric and new.texts:
            share = new.texts / new.present
            yield Violation(name, "data_type_check", f"{share:.1%} are texts, and the baseline has numbers")
        lost = old.completeness - new.completeness
        if lost > terms.completeness:
            said = f"{new.completeness:.1%} have a value, {old.completeness:.1%} in the baseline"
            yield Violation(name, "completeness_check", said)
        unseen = new.categories.keys() - old.categories.keys() if _is_category(old) and _is_category(new) else ()
        strange = sum(new.categories[value] for value in unseen)
        if strange > new.texts * terms.completeness:
            some = ", ".join(sorted(unseen)[:3])
            yield Violation(name, "categorical_values_check", f"{strange / new.texts:.1%} are new values ({some})")


def _is_category(column: ColumnProfile) -> bool:
    return column.texts > 0 and not column.many


def _test(before: ColumnProfile, now: ColumnProfile, fewest: int) -> tuple[str, float, float] | str:
    """Test, distance and probability; or why there is none."""
    if min(before.present, now.present) < fewest:
        return "too few values"
    if before.numeric and now.numeric:
        first, second = sorted(before.sample), sorted(now.sample)
        if before.low == before.high == now.low == now.high:
            return "constant"
        distance = distance_of_samples(first, second)
        return "ks", distance, probability_of_distance(distance, len(first), len(second))
    if before.many or now.many:
        return "too many different values"
    if not before.texts or not now.texts:
        return "numbers on one side and texts on the other"
    first_counts, second_counts = before.categories, now.categories
    if first_counts.keys() == second_counts.keys() and len(first_counts) == 1:
        return "constant"
    return (
        "chi-square",
        distance_of_counts(first_counts, second_counts),
        probability_of_counts(first_counts, second_counts),
    )
