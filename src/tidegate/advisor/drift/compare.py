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

from tidegate.advisor.drift.column_limits import ColumnLimits, limit_tests
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
    texts: float | None = None
    """The smallest distance that matters of columns of texts, where it is another."""
    compared: bool = True
    """Distributions are compared. Otherwise limits alone are tested."""
    limits: Mapping[str, ColumnLimits] = field(default_factory=dict)
    """Column -> its limits, which stand for the tests of missing and of new values."""

    def least_of(self, column: str, before: ColumnProfile) -> float:
        own = self.limits.get(column)
        if own is not None and own.least is not None:
            return own.least
        return self.texts if self.texts is not None and not before.numeric else self.least

    def compares(self, column: str) -> bool:
        own = self.limits.get(column)
        return self.compared and (own is None or own.compared)


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
    compared: bool = True
    """Distributions were to be compared."""

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
    sliced = len(baseline) > 1 or bool(known_slices)
    violations = list(check_columns(before, now, terms.limits))
    tests = _Tests(terms, phases)
    for name, rows in sorted(present.items()):
        known = baseline.get(name)
        if known is None and sliced and name not in known_slices and rows.rows >= terms.fewest:
            violations.append(Violation(name, "categorical_values_check", f"{name} is not in the baseline"))
        tests.add_slice(name, before, before if known is None else known, rows)
    tests.add_counts(before, now)
    judged = tests.judge()
    violations += [
        _describe(slice, column, one, terms.least_of(column, before.columns[column]))
        for slice, column, one, drifted in judged
        if drifted
    ]
    changes = [
        ColumnChange(slice, column, one.test, one.distance, one.probability, drifted)
        for slice, column, one, drifted in judged
        if not one.check
    ]
    changes.sort(key=lambda change: (not change.drifted, -change.distance, change.slice, change.column))
    violations.sort(key=lambda one: (one.constraint_check_type, one.feature_name, one.description))
    unsaid = tuple(sorted(tests.unsaid))
    return DriftReport(
        now.rows, before.rows, bool(violations), tuple(changes), tuple(violations), unsaid, terms.compared
    )


class _Tests:
    """Every test of one comparison, so that they can be judged together."""

    def __init__(self, terms: DriftTerms, phases: Phases) -> None:
        self.unsaid: list[str] = []
        self._terms = terms
        self._phases = phases
        self._tested: list[tuple[str, str, ColumnTest]] = []
        self._seasonal: set[str] = set()

    def add_slice(self, name: str, whole: TableProfile, past: TableProfile, rows: TableProfile) -> None:
        """The slice of all rows comes first."""
        for table, where in ((rows, ""), (past, " in the baseline")):
            if table.rows < self._terms.fewest:
                self.unsaid.append(f"slice {name}: {table.rows} rows{where}")
                return
        for column in sorted(whole.columns.keys() & rows.columns.keys()):
            if not self._terms.compares(column):
                continue
            found = self._test(
                name, column, past.columns.get(column) or whole.columns[column], rows.columns[column]
            )
            if isinstance(found, str):
                self.unsaid.append(f"{column}{f' of slice {name}' if name else ''}: {found}")
            else:
                self._tested.append((name, column, found))

    def add_counts(self, whole: TableProfile, rows: TableProfile) -> None:
        for column in sorted(whole.columns.keys() & rows.columns.keys()):
            before, now, limits = whole.columns[column], rows.columns[column], self._terms.limits.get(column)
            if limits is None:
                found = count_tests(before, now, self._terms.completeness)
            else:
                found = limit_tests(limits, before, now)
            self._tested += [(EVERYTHING, column, one) for one in found]

    def judge(self) -> list[tuple[str, str, ColumnTest, bool]]:
        """Slice, column, test, and whether it is a finding."""
        counted = [one.probability if one.matters else 1.0 for *_, one in self._tested]
        chosen = select_discoveries(counted, self._terms.rate)
        return [(*one, sure and one[2].matters) for one, sure in zip(self._tested, chosen, strict=True)]

    def _test(self, name: str, column: str, past: ColumnProfile, now: ColumnProfile) -> ColumnTest | str:
        """Where the whole has a season, a slice without one of its own in the baseline says nothing."""
        least = self._terms.least_of(column, past)
        found = compare_columns(past, now, self._terms.fewest, least)
        if isinstance(found, str) or not _is_found(found, self._terms):
            return found
        among = list(self._phases(name, column))
        explained = _explain(found, among, now, self._terms.fewest, least)
        if name == EVERYTHING and not _is_found(explained, self._terms):
            self._seasonal.add(column)
        elif name and column in self._seasonal and None in among:
            return "as a whole the calendar explains it, and the baseline does not cover this slice"
        return explained


def _is_found(found: ColumnTest, terms: DriftTerms) -> bool:
    """Whether it may be drift; that depends on all other tests, too."""
    return found.matters and found.probability <= terms.rate


def _explain(
    found: ColumnTest, phases: Iterable[ColumnProfile | None], now: ColumnProfile, fewest: int, least: float
) -> ColumnTest:
    """The comparison with the phase of the calendar that is most alike: a column has changed only if it
    differs from each of them. The largest probability of several tests is valid however they depend on one
    another."""
    more = (compare_columns(one, now, fewest, least) for one in phases if one is not None)
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
