"""Compares rows with a baseline, column by column and slice by slice: what changed, by how much, and whether that
may be chance. Pure.

A column has drifted if its distance is at least the one that matters, and if the test says so with the false
discoveries of all columns and slices together controlled. With many rows everything differs a little, and with many
columns something differs by chance: neither is drift. A test whose distance does not matter counts with a
probability of 1, so that the bound holds for those that are reported, and not for all that differ.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tidegate.domain.drift import DriftChange
from tidegate.features.drift.column_limits import ColumnLimits, limit_tests
from tidegate.features.drift.column_tests import (
    ColumnTest,
    DriftViolation,
    check_columns,
    compare_columns,
    count_tests,
    judge_new_slice,
    judge_season,
)
from tidegate.features.drift.slices import EVERYTHING
from tidegate.rows.profile import ColumnProfile, TableProfile
from tidegate.statistics.significance import select_discoveries


@dataclass(frozen=True)
class DriftTerms:
    """``least``: the smallest distance that matters; ``rate``: of false discoveries; ``fewest``: rows, and
    values of a column, below which nothing is said."""

    least: float = 0.1
    rate: float = 0.05
    fewest: int = 50
    fewest_in_slice: int = 20
    """Rows of a slice, and numbers of a column of it, below which nothing is said. Of texts, and in the baseline,
    ``fewest`` counts for slices, too."""
    completeness: float = 0.05
    """Share of values by which a column may be less complete than in the baseline."""
    texts: float | None = None
    """The smallest distance that matters of columns of texts, where it is another."""
    compared: bool = True
    """Distributions are compared. Otherwise limits alone are tested."""
    limits: Mapping[str, ColumnLimits] = field(default_factory=dict)
    """Column -> its limits, which stand for the tests of missing and of new values."""

    def least_of(self, column: str, before: ColumnProfile | None) -> float:
        """Return the smallest distance of a column that matters. ``before`` None: ``column`` is the name of a
        slice."""
        own = self.limits.get(column)
        if own is not None and own.least is not None:
            return own.least
        of_texts = before is not None and not before.numeric
        return self.texts if self.texts is not None and of_texts else self.least

    def compares(self, column: str) -> bool:
        own = self.limits.get(column)
        return self.compared and (own is None or own.compared)


@dataclass(frozen=True)
class DriftReport:
    """``drifted`` None: there are too few rows to say."""

    rows: int
    baseline_rows: int
    drifted: bool | None
    changes: tuple[DriftChange, ...]
    violations: tuple[DriftViolation, ...]
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


Seasons = Callable[[str, Callable[[ColumnProfile], bool]], ColumnProfile | None]
"""What a column (the first) was in all those phases together in which it was another one than as a rule (which the
second tells); None where there is none, or too little of it in the baseline."""


def no_season(column: str, is_season: Callable[[ColumnProfile], bool]) -> ColumnProfile | None:
    """Return None, for a baseline in which nothing is known of the calendar."""
    return None


def no_phases(slice: str, column: str) -> tuple[ColumnProfile, ...]:
    """Return no phases, for a baseline in which nothing is known of the calendar."""
    return ()


def compare(
    baseline: Slices,
    present: Slices,
    terms: DriftTerms,
    phases: Phases = no_phases,
    known_slices: Collection[str] = (),
    season: Seasons = no_season,
) -> DriftReport:
    """A slice that the baseline does not have is compared with all of the baseline, and is a violation itself,
    unless nothing is known of the baseline's slices. ``known_slices``: those besides the ones in ``baseline``."""
    before, now = baseline[EVERYTHING], present[EVERYTHING]
    if min(before.rows, now.rows) < terms.fewest:
        few = f"{now.rows} rows and {before.rows} in the baseline: at least {terms.fewest} of each are needed"
        return DriftReport(now.rows, before.rows, None, (), (), (few,))
    sliced = len(baseline) > 1 or bool(known_slices)
    violations = list(check_columns(before, now, terms.limits))
    new = [name for name in present if sliced and name not in baseline and name not in known_slices]
    tests = _Tests(terms, phases, season)
    for name in new:
        there = len({*baseline, *known_slices, *new} - {EVERYTHING})
        tests.add_new_slice(judge_new_slice(name, present[name].rows, now.rows, before.rows, there), name)
    for name, rows in sorted(present.items()):
        known = baseline.get(name)
        tests.add_slice(name, before, before if known is None else known, rows)
    tests.add_counts(before, now)
    judged = tests.judge()
    violations += [
        _describe(slice, column, one, terms.least_of(column, before.columns.get(column)))
        for slice, column, one, drifted in judged
        if drifted
    ]
    changes = [
        DriftChange(slice, column, one.test, one.distance, one.probability, drifted)
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

    def __init__(self, terms: DriftTerms, phases: Phases, season: Seasons) -> None:
        self.unsaid: list[str] = []
        self._terms = terms
        self._phases = phases
        self._season = season
        self._tested: list[tuple[str, str, ColumnTest]] = []
        self._seasonal: set[str] = set()

    def add_slice(self, name: str, whole: TableProfile, past: TableProfile, rows: TableProfile) -> None:
        """The slice of all rows comes first."""
        few = self._terms.fewest_in_slice if name else self._terms.fewest
        for table, where, fewest in ((rows, "", few), (past, " in the baseline", self._terms.fewest)):
            if table.rows < fewest:
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
                if name == EVERYTHING:
                    self._add_season(column, whole.columns[column], rows.columns[column])

    def add_new_slice(self, found: ColumnTest, name: str) -> None:
        self._tested.append((EVERYTHING, name, found))

    def _add_season(self, column: str, whole: ColumnProfile, now: ColumnProfile) -> None:
        """Test rows that have not changed although, by the calendar, they should have."""
        if self._is_other(column, whole, now):
            return
        expected = self._season(column, lambda phase: self._is_other(column, whole, phase))
        found = None if expected is None else self._compare(column, expected, now)
        if isinstance(found, ColumnTest):
            self._tested.append((EVERYTHING, column, judge_season(found)))

    def _compare(
        self, column: str, past: ColumnProfile, now: ColumnProfile, few: int | None = None
    ) -> ColumnTest | str:
        """Compare a column. ``few``: the fewest present rows, if that differs from the usual number."""
        least, fewest = self._terms.least_of(column, past), self._terms.fewest
        return compare_columns(past, now, fewest, least, few or fewest)

    def _is_other(self, column: str, past: ColumnProfile, now: ColumnProfile) -> bool:
        found = self._compare(column, past, now)
        return not isinstance(found, str) and _is_found(found, self._terms)

    def add_counts(self, whole: TableProfile, rows: TableProfile) -> None:
        for column in sorted(whole.columns.keys() & rows.columns.keys()):
            before, now, limits = whole.columns[column], rows.columns[column], self._terms.limits.get(column)
            if limits is None:
                found = count_tests(before, now, self._terms.completeness)
            else:
                found = limit_tests(limits, before, now)
            self._tested += [(EVERYTHING, column, one) for one in found]

    def judge(self) -> list[tuple[str, str, ColumnTest, bool]]:
        """Return slice, column and test of each test, and whether it is a finding."""
        counted = [one.probability if one.matters else 1.0 for *_, one in self._tested]
        chosen = select_discoveries(counted, self._terms.rate)
        return [(*one, sure and one[2].matters) for one, sure in zip(self._tested, chosen, strict=True)]

    def _test(self, name: str, column: str, past: ColumnProfile, now: ColumnProfile) -> ColumnTest | str:
        """Test a column of a slice. A difference that the calendar may explain is no finding, so where the whole has
        a season, a slice that the baseline does not cover in that season is not judged."""
        few = self._terms.fewest_in_slice if name else None
        found = self._compare(column, past, now, few)
        if isinstance(found, str) or not _is_found(found, self._terms):
            return found
        among = list(self._phases(name, column))
        explained = _explain(found, among, lambda phase: self._compare(column, phase, now, few))
        if name == EVERYTHING and not _is_found(explained, self._terms):
            self._seasonal.add(column)
        elif name and column in self._seasonal and None in among:
            return "as a whole the calendar explains it, and the baseline does not cover this slice"
        return explained


def _is_found(found: ColumnTest, terms: DriftTerms) -> bool:
    """Whether it may be drift; that depends on all other tests, too."""
    return found.matters and found.probability <= terms.rate


def _explain(
    found: ColumnTest,
    phases: Iterable[ColumnProfile | None],
    compare_with: Callable[[ColumnProfile], ColumnTest | str],
) -> ColumnTest:
    """The comparison with the phase of the calendar that is most alike: a column has changed only if it
    differs from each of them. The largest probability of several tests is valid however they depend on one
    another."""
    more = (compare_with(one) for one in phases if one is not None)
    said = [found, *(one for one in more if not isinstance(one, str))]
    closest = min(said, key=lambda one: one.distance)
    probability = max(one.probability for one in said)
    return ColumnTest(closest.test, closest.distance, probability, all(one.matters for one in said))


def _describe(slice: str, column: str, found: ColumnTest, least: float) -> DriftViolation:
    where = f" of slice {slice}" if slice else ""
    if found.check:
        return DriftViolation(column, found.check, f"{found.said} (p {found.probability:.2g})")
    said = f"distance{where} {found.distance:.3f} is at least {least:g} (p {found.probability:.2g}, {found.test})"
    return DriftViolation(column, "baseline_drift_check", said)
