"""``drift check``: whether what an endpoint is asked, and what it answers, has changed since a baseline."""

import json
import os
import random
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from tidegate.cli.capture_addresses import captured_at, s3_of
from tidegate.cli.output import AsJson, Name, console
from tidegate.cli.plot_shapes import CurvePlot, GroupPlot, Plot, RankPlot, RankRow
from tidegate.cli.progress import ProgressBar
from tidegate.cli.report_files import Report, ReportTable, chosen_files, takes_report_files
from tidegate.cli.tables import Table, key, number
from tidegate.domain.drift import ColumnShares, DriftChange
from tidegate.domain.errors import Invalid
from tidegate.features.drift.baseline import view_statistics
from tidegate.features.drift.compare import DriftReport, DriftTerms, compare
from tidegate.features.drift.report import make_report
from tidegate.features.drift.shapes import read_statistics
from tidegate.features.drift.shares import column_shares
from tidegate.features.drift.slices import EVERYTHING, SlicedTable
from tidegate.rows.captured_rows import CapturedReader, Unusable, read_table
from tidegate.rows.label_lines import check_place
from tidegate.rows.profile import PREDICTION, Row, TableProfile
from tidegate.rows.sources import read_lines
from tidegate.spec.units import seconds

# --- a drift report with plots ---


MOST_BARS = 12
"""Columns whose distances are drawn side by side."""
MOST_ROWS = 200
"""Lines of a table."""


def make_page(
    name: str,
    verdict: str,
    lines: Sequence[str],
    changes: Sequence[DriftChange],
    shares: Iterable[ColumnShares],
    least: float,
    findings: Iterable[Sequence[str]],
) -> Report:
    """``least``: the smallest distance that matters; ``findings``: column, check, description."""
    found = list(findings)
    tables = [ReportTable("Findings", ("column", "check", "found"), found[:MOST_ROWS])] if found else []
    rows = [
        (
            one.column,
            one.slice or "all rows",
            f"{one.distance:.3f}",
            f"{one.probability:.2g}",
            one.test,
            _describe_verdict(one),
        )
        for one in changes[:MOST_ROWS]
    ]
    if rows:
        heads = ("column", "slice", "distance", "p", "test", "")
        tables.append(ReportTable("Distances from the baseline", heads, rows))
    if len(changes) > MOST_ROWS or len(found) > MOST_ROWS:
        lines = [*lines, f"the tables have the first {MOST_ROWS} lines of {max(len(changes), len(found)):,}"]
    return Report(f"Drift of {name}", verdict, lines, tables, list(_plots(changes, shares, least)))


def _describe_verdict(one: DriftChange) -> str:
    return "drifted" if one.drifted else ""


def _plots(changes: Sequence[DriftChange], shares: Iterable[ColumnShares], least: float) -> Iterator[Plot]:
    if changes:
        drawn = changes[:MOST_BARS]
        rows = [RankRow(_place(one.column, one.slice), one.distance, one.drifted) for one in drawn]
        limit = (least, f"matters from {least:g} on")
        yield RankPlot("Distances from the baseline, largest first; red: drifted", "distance", rows, limit)
    decided: Mapping[tuple[str, str], DriftChange] = {(one.slice, one.column): one for one in changes}
    for one in shares:
        yield _distribution(one, decided.get((one.slice, one.column)))


def _place(column: str, slice: str) -> str:
    return f"{column} ({slice})" if slice else column


def _distribution(one: ColumnShares, change: DriftChange | None) -> Plot:
    title = _place(one.column, one.slice)
    if change is not None:
        title += f": distance {change.distance:.3f}{', drifted' if change.drifted else ''}"
    if one.names:
        sides = (("baseline", [100 * part for part in one.before]), ("now", [100 * part for part in one.now]))
        return GroupPlot(title, "value", "percent of the values", one.names, sides)
    curves = [(name, _steps(one.edges, parts)) for name, parts in (("baseline", one.before), ("now", one.now))]
    top = max(y for _, points in curves for _, y in points)
    return CurvePlot(title, one.column, "percent of the values", curves, 1.05 * top)


def _steps(edges: Sequence[float], parts: Sequence[float]) -> list[tuple[float, float]]:
    """The outline of a histogram."""
    points = [(edges[0], 0.0)]
    for left, right, part in zip(edges, edges[1:], parts, strict=False):
        points += [(left, 100 * part), (right, 100 * part)]
    return [*points, (edges[-1], 0.0)]


DRIFTED = 1
"""Exit status where something has drifted, or nothing can be said."""
SEED = 17
"""Of the samples of columns: the same captures give the same result."""
SHOWN = 12
"""Columns that people are shown where nothing has drifted."""
MOST_DRAWN = 24
"""Columns whose distributions a report draws."""


@takes_report_files
def drift(
    name: Name,
    *,
    baseline: Annotated[
        Path,
        typer.Option(metavar="FILE", help="Table (.csv) with a header, or statistics.json.", show_default=False),
    ],
    captures: Annotated[
        list[str] | None,
        typer.Option(metavar="ADDRESS", help="Captures. Default: where the endpoint captures to. Repeatable."),
    ] = None,
    columns: Annotated[
        str, typer.Option(metavar="A,B", help="Columns of rows without names. Default: those of the baseline.")
    ] = "",
    by: Annotated[str, typer.Option(metavar="COLUMN", help="Compare each of its values by itself, too.")] = "",
    last: Annotated[str, typer.Option(metavar="TIME", help="How far back to look. Default: all.")] = "",
    score: Annotated[str, typer.Option(metavar="PLACE", help="Place of the score in an answer.")] = "",
    least: Annotated[float, typer.Option(help="Smallest distance that matters.")] = 0.1,
    write: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write SageMaker's files of the baseline and the result.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare captured requests with a baseline.

    \b
    Examples:
      tidegate drift check fraud --baseline train.csv
      tidegate drift check fraud --baseline train.csv --by country --last 7d --json
      tidegate drift check fraud --baseline train.csv --html drift.html
    """
    check_place(score)
    since = time.time() - seconds(last, ("--last",), least=1) if last else 0.0
    before = _read_baseline(baseline, by)
    named = _choose_columns(before, columns)
    skipped: Counter[Unusable] = Counter()
    lines = (
        line for address in captures or captured_at(name) for _, line in read_lines(address, s3_of(os.environ))
    )
    reader = CapturedReader(named, score, since, attributes=[by] if by else [])
    with ProgressBar(f"reading captures of {name}", quiet=as_json):
        now = _slice_rows((row for line in lines for row in _rows(line, reader, skipped)), by, before)
        found = compare(before.tables, now.tables, DriftTerms(least), known_slices=before.names)
    if write is not None:
        _write(write, make_report(before.tables[EVERYTHING], before.tables[EVERYTHING], found, least))
    _draw(name, found, skipped, (before, now), least)
    _tell(name, found, skipped, as_json)
    if found.drifted is not False:
        raise typer.Exit(DRIFTED)


def _choose_columns(before: SlicedTable, columns: str) -> list[str]:
    """The columns of rows without names. The baseline keeps those, and the prediction."""
    whole = before.tables[EVERYTHING].columns
    named = columns.split(",") if columns else [one for one in whole if one != PREDICTION]
    for table in before.tables.values():
        table.columns = {one: table.columns[one] for one in table.columns if one in (*named, PREDICTION)}
    return named


def _rows(line: bytes, reader: CapturedReader, skipped: Counter[Unusable]) -> Iterable[Row]:
    found = reader.read(line)
    if isinstance(found, Unusable):
        skipped[found] += 1
        return ()
    return found[1]


def _read_baseline(path: Path, by: str) -> SlicedTable:
    """Raises Invalid."""
    try:
        if path.suffix == ".json":
            table = read_statistics(json.loads(path.read_bytes()), random.Random(SEED).randrange)
            made = SlicedTable([], _empty, view_statistics(table, [by]).known)
            made.tables[EVERYTHING] = table
            return made
        with path.open(newline="", encoding="utf-8-sig") as file:
            found = _slice_rows(read_table(file), by)
    except OSError as error:
        raise Invalid(f"the baseline {path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise Invalid(f"the baseline {path} cannot be read: {error}") from None
    if by and by not in found.tables[EVERYTHING].columns:
        raise Invalid(f"--by {by}: the baseline has no such column")
    return found


def _empty() -> TableProfile:
    return TableProfile(random.Random(SEED).randrange)


def _slice_rows(rows: Iterable[Row], by: str, like: SlicedTable | None = None) -> SlicedTable:
    """``like``: a table whose slices are those that are kept apart."""
    known, apart = (like.names, like.tables) if like is not None else ((), ())
    made = SlicedTable([by] if by else [], _empty, known, apart)
    for row in rows:
        made.add(row)
    return made


def _write(folder: Path, documents: Mapping[str, object]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, document in documents.items():
        (folder / name).write_text(json.dumps(document, indent=2))


def _draw(
    name: str, found: DriftReport, skipped: Counter[Unusable], both: tuple[SlicedTable, SlicedTable], least: float
) -> None:
    """Write the report that somebody asked for. ``both``: the baseline and the present rows."""
    files = chosen_files()
    if files.wanted:
        shares = column_shares(found.changes[:MOST_DRAWN], *(one.tables for one in both))
        rows = [(one.feature_name, one.constraint_check_type, one.description) for one in found.violations]
        files.write(make_page(name, _verdict(found), _remarks(found, skipped), found.changes, shares, least, rows))


def _tell(name: str, found: DriftReport, skipped: Counter[Unusable], as_json: bool) -> None:
    if not as_json:
        _show(found, skipped)
        return
    unused = {str(reason): count for reason, count in sorted(skipped.items())}
    print(json.dumps({"endpoint": name, **found.document(), "captures_skipped": unused}))


def _show(found: DriftReport, skipped: Counter[Unusable]) -> None:
    screen = console()
    drifted = [change for change in found.changes if change.drifted]
    shown = Table(key("COLUMN"), key("SLICE"), number("DISTANCE"), number("P"), key("TEST"))
    for change in drifted or found.changes[:SHOWN]:
        slice = change.slice or "all"
        shown.add_row(change.column, slice, f"{change.distance:.3f}", f"{change.probability:.2g}", change.test)
    if found.changes:
        screen.print(shown)
    said = [
        f"{one.feature_name}: {one.constraint_check_type}: {one.description}"
        for one in found.violations
        if one.constraint_check_type != "baseline_drift_check"
    ]
    for line in [*said, *_remarks(found, skipped), _verdict(found)]:
        screen.print(Text(line))


def _remarks(found: DriftReport, skipped: Counter[Unusable]) -> list[str]:
    """List what could not be judged, and captures that were not used."""
    said = [f"nothing is said of {one}" for one in found.unsaid[:SHOWN]]
    if skipped:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(skipped.items()))
        said.append(f"captures that were not used: {reasons}")
    return said


def _verdict(found: DriftReport) -> str:
    drifted = sum(change.drifted for change in found.changes)
    verdict = {None: "nothing can be said", True: f"drift: {drifted} columns", False: "no drift"}[found.drifted]
    return f"{verdict}, of {found.rows:,} rows against {found.baseline_rows:,}"
