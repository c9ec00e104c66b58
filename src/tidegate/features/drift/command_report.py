"""A drift report with plots. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from tidegate.cli.plot_shapes import CurvePlot, GroupPlot, Plot, RankPlot, RankRow
from tidegate.cli.report_files import Report, ReportTable
from tidegate.domain.drift import ColumnShares, DriftChange

MOST_BARS = 12
"""Columns whose distances are drawn side by side."""
MOST_ROWS = 200
"""Lines of a table."""


def make_report(
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
