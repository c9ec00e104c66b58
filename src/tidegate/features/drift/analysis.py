"""One look of a drift schedule: the captures of a window against the baseline. Blocks; runs in a process of
its own."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

from tidegate.domain.drift import DriftChange, DriftFinding, DriftOutcome, DriftSchedule, DriftTask, DriftVerdict
from tidegate.domain.errors import Invalid, TidegateError
from tidegate.features.drift.baseline import (
    BaselineView,
    RowsBaseline,
    phases_of,
    read_baseline,
    view_rows,
    view_statistics,
)
from tidegate.features.drift.compare import DriftReport, DriftTerms, compare
from tidegate.features.drift.constraints import Constraints, read_constraints
from tidegate.features.drift.report import make_report, write_report
from tidegate.features.drift.shares import column_shares
from tidegate.features.drift.slices import EVERYTHING, SlicedTable
from tidegate.rows.captured_rows import CapturedReader, Unusable
from tidegate.rows.captures import read_file, read_window
from tidegate.rows.profile import PREDICTION, Draw, Row, TableProfile

MOST_FINDINGS = 50
"""Findings, and columns and slices of which nothing is said, that an outcome has."""
MOST_DISTANCES = 500
MOST_CHANGES = 40
"""Columns of all rows and of slices whose distances are kept with an outcome."""
MOST_SHARES = 8
"""Of those, the ones whose distributions are kept."""
MOST_UNUSABLE = 0.1
"""Share of the window's captures that cannot be used from which nothing good is said."""


@dataclass
class LayoutReader:
    """Reads captures whose requests have all ``columns`` of the reader, or all but the first, which is then the
    answer. The first usable capture says which; those that are otherwise are of other columns."""

    reader: CapturedReader
    _settled: bool = False
    _first: str = ""
    """The column that is the answer; empty: none is."""

    def read(self, line: bytes) -> tuple[float, list[Row]] | Unusable:
        found = self._read_led(line) if self._first else self.reader.read(line)
        if self._settled:
            return found
        if found is Unusable.OTHER_COLUMNS and len(self.reader.columns) > 1:
            led = self._read_led(line)
            if not isinstance(led, Unusable):
                self._first, found = self.reader.columns[0], led
        self._settled = not isinstance(found, Unusable)
        return found

    def _read_led(self, line: bytes) -> tuple[float, list[Row]] | Unusable:
        first, *others = self.reader.columns
        found = replace(self.reader, columns=others).read(line)
        if isinstance(found, Unusable):
            return found
        moment, rows = found
        if any(PREDICTION not in row for row in rows):
            return Unusable.OTHER_COLUMNS
        return moment, [{first: row[PREDICTION], **_without_answer(row)} for row in rows]


def _without_answer(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != PREDICTION}


def analyse(task: DriftTask, draw: Draw) -> DriftOutcome:
    """Compare the captured requests of a task with its baseline. Anything that goes wrong gives the outcome "unknown"
    with the reason. ``draw`` draws the samples of columns."""
    unknown = DriftOutcome(task.start, task.end, DriftVerdict.UNKNOWN)
    terms = DriftTerms(task.schedule.least, task.schedule.rate)
    if not task.addresses:
        return replace(unknown, reason="the endpoint has no data capture: give its spec a 'capture'")
    zone, constraints = ZoneInfo(task.schedule.zone), None
    s3 = (task.s3_endpoint, task.region)
    address = task.schedule.baseline
    try:
        baseline = read_baseline(read_file(address, s3, task.file_roots), zone)
        if task.report is not None and task.report.constraints:
            address = task.report.constraints
            constraints = read_constraints(read_file(address, s3, task.file_roots), _names_of(baseline))
            terms = _limited(terms, constraints)
    except TidegateError as error:
        return replace(unknown, reason=f"baseline {address}: {error}")
    skipped: Counter[Unusable] = Counter()
    columns = _choose_columns(baseline, task.schedule)
    try:
        view = _view(baseline, columns, task, zone)
        present = SlicedTable(task.schedule.by, lambda: TableProfile(draw), view.known, view.tables)
        _read_present(task, view, columns, present, skipped)
    except TidegateError as error:
        return replace(unknown, reason=f"captures: {error}", skipped=_count_skipped(skipped))
    before = view.tables[EVERYTHING]
    found = compare(view.tables, present.tables, terms, view.phases, view.known, view.season)
    shares = column_shares(found.changes[:MOST_SHARES], view.tables, present.tables)
    outcome = replace(judge(task, found, skipped), shares=shares)
    if constraints is not None and not constraints.emits:
        outcome = replace(outcome, distances={})
    if task.report is not None and outcome.verdict is not DriftVerdict.UNKNOWN:
        given = None if constraints is None else constraints.document
        documents = make_report(before, present.tables[EVERYTHING], found, terms.least, given)
        try:
            write_report(task.report, documents, s3)
        except TidegateError as error:
            return replace(outcome, verdict=DriftVerdict.UNKNOWN, reason=f"report {task.report.address}: {error}")
    return outcome


def _limited(terms: DriftTerms, constraints: Constraints) -> DriftTerms:
    return replace(
        terms,
        least=constraints.least,
        texts=constraints.texts,
        compared=constraints.compared,
        limits=constraints.limits,
    )


def _choose_columns(baseline: RowsBaseline | TableProfile, schedule: DriftSchedule) -> list[str]:
    """The columns of rows without names."""
    return list(schedule.columns or (one for one in _names_of(baseline) if one != PREDICTION))


def _names_of(baseline: RowsBaseline | TableProfile) -> tuple[str, ...]:
    return tuple(baseline.columns) if isinstance(baseline, TableProfile) else baseline.names


def _view(
    baseline: RowsBaseline | TableProfile, columns: Sequence[str], task: DriftTask, zone: ZoneInfo
) -> BaselineView:
    """Make a view of the baseline with the compared columns and the prediction. Raises Invalid."""
    kept = [*columns, PREDICTION]
    if isinstance(baseline, TableProfile):
        baseline.columns = {one: baseline.columns[one] for one in kept if one in baseline.columns}
        view = view_statistics(baseline, task.schedule.by)
    else:
        there = [one for one in kept if one in baseline.columns]
        phases = phases_of(task.start, task.end, zone)
        view = view_rows(baseline, there, task.schedule.by, phases)
    if not view.tables[EVERYTHING].columns:
        raise Invalid(f"the baseline has none of the columns {', '.join(columns)}")
    return view


def _read_present(
    task: DriftTask,
    view: BaselineView,
    columns: Sequence[str],
    present: SlicedTable,
    skipped: Counter[Unusable],
) -> None:
    schedule = task.schedule
    by = schedule.by
    hidden = frozenset(by) - set(view.tables[EVERYTHING].columns)
    since, before = task.start.timestamp(), task.end.timestamp()
    reader: CapturedReader | LayoutReader
    reader = CapturedReader(columns, schedule.score, since, before, attributes=by)
    if task.report is not None and PREDICTION not in view.tables[EVERYTHING].columns:
        reader = LayoutReader(reader)
    for address in task.addresses:
        lines = read_window(address, since, before, task.span, (task.s3_endpoint, task.region))
        for _, line in lines:
            found = reader.read(line)
            if isinstance(found, Unusable):
                skipped[found] += 1
                continue
            for row in found[1]:
                present.add(row, hidden)


def judge(task: DriftTask, found: DriftReport, skipped: Counter[Unusable]) -> DriftOutcome:
    """Judge a comparison. The verdict is "no drift" only for a window that could be read, and in which something was
    tested."""
    findings = tuple(
        DriftFinding(one.feature_name, one.constraint_check_type, one.description) for one in found.violations
    )
    unusable = sum(skipped[why] for why in (Unusable.BROKEN, Unusable.UNREADABLE, Unusable.OTHER_COLUMNS))
    verdict, reason = DriftVerdict.NO_DRIFT, ""
    if findings:
        verdict = DriftVerdict.DRIFT
    elif found.drifted is None:
        verdict, reason = DriftVerdict.UNKNOWN, found.unsaid[0]
    elif found.compared and not found.changes:
        verdict, reason = DriftVerdict.UNKNOWN, "no column could be compared"
    elif unusable > MOST_UNUSABLE * (unusable + found.rows):
        verdict, reason = DriftVerdict.UNKNOWN, f"{unusable} captures of this window could not be used"
    if not found.rows:
        verdict, reason = DriftVerdict.UNKNOWN, _describe_nothing(skipped)
    whole = [one for one in found.changes if one.slice == EVERYTHING]
    return DriftOutcome(
        task.start,
        task.end,
        verdict,
        reason,
        found.rows,
        found.baseline_rows,
        len(found.changes),
        sum(one.drifted for one in found.changes),
        findings[:MOST_FINDINGS],
        len(findings),
        {one.column: round(one.distance, 4) for one in whole[:MOST_DISTANCES]},
        found.unsaid[:MOST_FINDINGS],
        _count_skipped(skipped),
        tuple(_round_change(one) for one in found.changes[:MOST_CHANGES]),
    )


def _round_change(one: DriftChange) -> DriftChange:
    """Round distances, because every outcome is kept and further digits would only need space."""
    return replace(one, distance=round(one.distance, 4), probability=float(f"{one.probability:.2g}"))


def _describe_nothing(skipped: Counter[Unusable]) -> str:
    """Why a window has no row."""
    unused = ", ".join(f"{count} with {why}" for why, count in _count_skipped(skipped).items())
    return f"no captured row in this window{f' can be used: {unused}' if unused else ''}"


def _count_skipped(skipped: Counter[Unusable]) -> dict[str, int]:
    """Count skipped captures by reason, except those that lie outside the window in the files around it."""
    outside = (Unusable.TOO_OLD, Unusable.TOO_NEW)
    return {str(why): count for why, count in sorted(skipped.items()) if why not in outside}
