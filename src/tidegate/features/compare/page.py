"""A comparison of two versions as a self-contained HTML page, with plots as inline SVG."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path

from tidegate.cli.plot_files import render_html, render_svg
from tidegate.cli.plot_shapes import BarPlot, CurvePlot
from tidegate.cli.report_files import STYLE, ReportTable, render_table
from tidegate.domain.errors import Invalid
from tidegate.features.compare.tables import label_rows
from tidegate.features.evidence.replay.paired import PairedStatistics
from tidegate.features.evidence.replay.report import VersionComparison
from tidegate.features.evidence.replay.scored_rows import ScoredRows
from tidegate.features.evidence.replay.tolerances import STATISTICS, Tolerance

BINS = 30
MOST_COLUMNS = 30
"""Columns of the rows that changed most."""


def write(
    path: Path, names: tuple[str, str], result: VersionComparison, answers: Mapping[str, ScoredRows]
) -> None:
    """Raises Invalid if the file cannot be written."""
    try:
        path.write_text(render(names, result, answers), encoding="utf-8")
    except OSError as error:
        raise Invalid(f"--html {path}: {error.strerror}") from None


def render(names: tuple[str, str], result: VersionComparison, answers: Mapping[str, ScoredRows]) -> str:
    """``answers``: of each output; empty where nothing could be compared. Whatever comes from files is escaped."""
    title = f"{names[0]} and {names[1]}"
    parts = [f"<h1>{escape(title)}</h1><p><b>Verdict: {result.verdict}</b></p>"]
    if result.reasons:
        parts.append(f"<ul>{''.join(f'<li>{escape(reason)}</li>' for reason in result.reasons)}</ul>")
    for name, one in (result.outputs or {"": result}).items():
        if name:
            parts.append(f"<h2>{escape(name)}: {one.verdict}</h2>")
        parts += _sections(one)
        if name in answers and one.overall is not None:
            parts.append(render_svg(f"Scores of {title} {name}".strip(), list(_plots(answers[name], one.overall))))
    return render_html(title, "\n".join(parts), style=STYLE)


def _sections(result: VersionComparison) -> Iterator[str]:
    if result.findings:
        rows = [
            (
                STATISTICS[one.statistic] + (f" ({one.slice})" if one.slice is not None else ""),
                "-" if one.value is None else str(Tolerance(one.value, one.tolerance.relative)),
                str(one.tolerance),
                str(one.verdict),
            )
            for one in result.findings
        ]
        yield _table("Judged", ("statistic", "value", "tolerance", "verdict"), rows)
    if result.overall is not None:
        groups = {"all rows": result.overall, **result.slices}
        heads = ("slice", "rows", "mean old", "mean new", "change", "rank correlation", "moved", "top 5 % changed")
        yield _table("What changed", heads, [_statistics(name, one) for name, one in groups.items()])
    if result.labelled is not None:
        rows = [(name, _number(old), _number(new), note) for name, old, new, note in label_rows(result.labelled)]
        yield _table("By labels", ("measure", "old", "new", ""), rows)
    if any(one.slice for one in result.replayed):
        finer = [
            (one.slice, one.name, *map(_number, (one.old, one.new, one.worse, one.surely)))
            for one in result.replayed
            if one.slice
        ]
        yield _table("Slices by labels", ("slice", "measure", "old", "new", "worse by", "surely"), finer)
    if result.changed:
        columns = list(dict.fromkeys(name for one in result.changed for name in one.row))[:MOST_COLUMNS]
        changed = [
            (
                f"{one.number:,}",
                _number(one.old),
                _number(one.new),
                *(_cell(one.row.get(name)) for name in columns),
            )
            for one in result.changed
        ]
        yield _table("Rows that changed most", ("row", "old", "new", *columns), changed)


def _statistics(name: str, found: PairedStatistics) -> tuple[str, ...]:
    return (
        name,
        f"{found.rows:,}",
        _number(found.mean_old),
        _number(found.mean_new),
        f"{found.bias:+.4g} ({found.bias_low:+.3g} to {found.bias_high:+.3g})",
        _number(found.rank_correlation),
        f"{found.moved:.1%}",
        f"{found.top_change:.1%}",
    )


def _table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return render_table(ReportTable(title, heads, rows))


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _cell(value: float | str | None) -> str:
    return "" if value is None else _number(value) if isinstance(value, float) else value[:80]


# --- plots ---


def _plots(answers: ScoredRows, overall: PairedStatistics) -> Iterator[BarPlot | CurvePlot]:
    low, high = min(*answers.old, *answers.new), max(*answers.old, *answers.new)
    curves = [(name, _shares(scores, low, high)) for name, scores in (("old", answers.old), ("new", answers.new))]
    top = max(share for _, points in curves for _, share in points)
    yield CurvePlot("Scores of both versions", "score", "share of the rows", curves, top)
    changes = [after - before for before, after in zip(answers.old, answers.new, strict=True)]
    edges, heights = _bins(changes, min(changes), max(changes))
    marks = [(overall.bias, "mean")] if min(changes) < max(changes) else []
    yield BarPlot("Change of the score, new minus old", "change", "rows", edges, heights, marks)
    if low >= 0:
        yield _plot_by_rank(answers)


def _bins(values: Sequence[float], low: float, high: float) -> tuple[list[float], list[float]]:
    width = (high - low) / BINS or 1.0
    heights = [0.0] * BINS
    for value in values:
        heights[min(BINS - 1, int((value - low) / width))] += 1
    return [low + width * place for place in range(BINS + 1)], heights


def _shares(scores: Sequence[float], low: float, high: float) -> list[tuple[float, float]]:
    edges, heights = _bins(scores, low, high)
    return [(edge, height / len(scores)) for edge, height in zip(edges[:-1], heights, strict=True)]


def _plot_by_rank(answers: ScoredRows) -> CurvePlot:
    """Mean scores of twenty groups of rows, from the lowest old scores to the highest."""
    order = sorted(range(len(answers.old)), key=answers.old.__getitem__)
    groups = [order[len(order) * part // 20 : len(order) * (part + 1) // 20] for part in range(20)]
    curves = [
        (
            name,
            [
                (5.0 * (place + 1), sum(scores[one] for one in group) / len(group))
                for place, group in enumerate(groups)
                if group
            ],
        )
        for name, scores in (("old", answers.old), ("new", answers.new))
    ]
    top = max(mean for _, points in curves for _, mean in points)
    return CurvePlot("Mean score by rank of the old score", "percent of the rows", "mean score", curves, top)
