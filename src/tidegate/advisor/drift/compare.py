"""Compares rows with a baseline, column by column and slice by slice: what changed, by how much, and whether that
may be chance. Pure.

A column has drifted if its distance is at least the one that matters, and if the test says so with the false
discoveries of all columns and slices together controlled. With many rows everything differs a little, and with many
columns something differs by chance: neither is drift. A test whose distance does not matter counts with a
probability of 1, so that the bound holds for those that are reported, and not for all that differ.
"""

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tidegate.advisor.drift.column_tests import ColumnTest, check_columns, compare_columns, count_tests
from tidegate.advisor.drift.profile import ColumnProfile, TableProfile
from tidegate.advisor.drift.significance import select_discoveries
from tidegate.advisor.drift.slices import EVERYTHING
from tidegate.advisor.drift.violations import Violation


@dataclass(frozen=True)
class DriftTerms:
    """``least``: the smallest distance that matters; ``rate``: of false discoveries; ``fewest``: rows of a
    slice, and values of a column, below which nothing is said."""

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
Phases = Callable[[str, str], Iterable[ColumnProfile | None]]
"""What a column (the second) of a slice (the first) was in each phase of the calendar in which the rows are;
None where the baseline does not cover it."""


def no_phases(slice: str, column: str) -> tuple[ColumnProfile, ...]:
    """Nothing is known of the calendar."""
    return ()


def compare(
    baseline: Slices,
    present: Slices,
    terms: DriftTerms,
    phases: Phases = no_phases,
    known_slices: Container[str] = (),
) -> DriftReport:
    """A slice that the baseline does not have is compared with all of the baseline, and is a violation itself,
    unless nothing is known of the baseline's slices. ``known_slices``: those besides the ones in ``baseline``."""
    before, now = baseline[EVERYTHING], present[EVERYTHING]
    if min(before.rows, now.rows) < terms.fewest:
        few = f"{now.rows} rows and {before.rows} in the baseline: at least {terms.fewest} of each are needed"
        return DriftReport(now.rows, before.rows, None, (), (), (few,))
    violations = list(check_columns(before, now))
    sliced = len(baseline) > 1 or bool(known_slices)
    unsaid: list[str] = []
    tested: list[tuple[str, str, ColumnTest]] = []
    seasonal: set[str] = set()
    for name, rows in sorted(present.items()):
        if rows.rows < terms.fewest:
            unsaid.append(f"slice {name}: {rows.rows} rows")
            continue
        known = baseline.get(name)
        if known is None and sliced and name not in known_slices:
            violations.append(Violation(name, "categorical_values_check", f"{name} is not in the baseline"))
        if known is not None and known.rows < terms.fewest:
            unsaid.append(f"slice {name}: {known.rows} rows in the baseline")
            continue
        apart = before if known is None else known
        for column in sorted(before.columns.keys() & rows.columns.keys()):
            past = apart.columns.get(column) or before.columns[column]
            found = _compare(past, rows.columns[column], terms)
            if not isinstance(found, str) and _is_found(found, terms):
                alone, among = found, list(phases(name, column))
                found = _explain(alone, among, rows.columns[column], terms)
                if name == EVERYTHING and not _is_found(found, terms):
                    seasonal.add(column)
                elif name and column in seasonal and None in among:
                    found = "as a whole the calendar explains it, and the baseline does not cover this slice"
            if isinstance(found, str):
                unsaid.append(f"{column}{f' of slice {name}' if name else ''}: {found}")
            else:
                tested.append((name, column, found))
    for column in sorted(before.columns.keys() & now.columns.keys()):
        found_counts = count_tests(before.columns[column], now.columns[column], terms.completeness)
        tested += [(EVERYTHING, column, one) for one in found_counts]
    chosen = select_discoveries([one.probability if one.matters else 1.0 for *_, one in tested], terms.rate)
    judged = [(*one, sure and one[2].matters) for one, sure in zip(tested, chosen, strict=True)]
    violations += [_describe(*one, terms.least) for *one, drifted in judged if drifted]
    changes = [
        ColumnChange(slice, column, one.test, one.distance, one.probability, drifted)
        for slice, column, one, drifted in judged
        if not one.check
    ]
    changes.sort(key=lambda change: (not change.drifted, -change.distance, change.slice, change.column))
    violations.sort(key=lambda one: (one.constraint_check_type, one.feature_name, one.description))
    return DriftReport(
        now.rows, before.rows, bool(violations), tuple(changes), tuple(violations), tuple(sorted(unsaid))
    )


def _compare(before: ColumnProfile, now: ColumnProfile, terms: DriftTerms) -> ColumnTest | str:
    return compare_columns(before, now, terms.fewest, terms.least)


def _is_found(found: ColumnTest, terms: DriftTerms) -> bool:
    """Whether it may be drift; that depends on all other tests, too."""
    return found.matters and found.probability <= terms.rate


def _explain(
    found: ColumnTest, phases: Iterable[ColumnProfile | None], now: ColumnProfile, terms: DriftTerms
) -> ColumnTest:
    """The comparison with the phase of the calendar that is most alike: a column has changed only if it
    differs from each of them. The largest probability of several tests is valid however they depend on one
    another."""
    more = (_compare(one, now, terms) for one in phases if one is not None)
    said = [found, *(one for one in more if not isinstance(one, str))]
    closest = min(said, key=lambda one: one.distance)
    probability = max(one.probability for one in said)
    return ColumnTest(closest.test, closest.distance, probability, all(one.matters for one in said))


def _describe(slice: str, column: str, found: ColumnTest, least: float) -> Violation:
    where = f" of slice {slice}" if slice else ""
    if found.check:
        return Violation(column, found.check, f"{found.said} (p {found.probability:.2g})")
    said = f"distance{where} {found.distance:.3f} is at least {least:g} (p {found.probability:.2g}, {found.test})"
    return Violation(column, "baseline_drift_check", said)
