"""The plots of ``plot_shapes`` as a PNG, one below the other, by matplotlib."""

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tidegate.cli.plot_shapes import COLOURS, BarPlot, CurvePlot, GroupPlot, IntervalPlot, Plot, RankPlot
from tidegate.domain.errors import Invalid
from tidegate.host.late_import import load_module

WIDE, TALL = 9.0, 3.2
"""Inches of one plot."""
DPI = 110
MOST_PLOTS = 40
"""An image of more would be taller than viewers show."""
LONGEST = 80
"""Characters of a text."""


def require_library() -> None:
    """Check that matplotlib is installed. Raises Invalid."""
    _import_figure()


def save(path: Path, title: str, plots: Sequence[Plot]) -> None:
    """Draw the plots and write them to a file. Raises OSError, and Invalid without matplotlib."""
    chosen = plots[:MOST_PLOTS]
    figure = _import_figure()(figsize=(WIDE, TALL * len(chosen) + 0.6), layout="constrained")
    figure.suptitle(_plain(title))
    axes = figure.subplots(len(chosen), 1, squeeze=False)[:, 0]
    for axis, plot in zip(axes, chosen, strict=True):
        axis.set_title(_plain(plot.title), loc="left", fontsize=10)
        axis.set_xlabel(_plain(plot.x), fontsize=8)
        axis.tick_params(labelsize=8)
        axis.grid(alpha=0.3)
        axis.set_axisbelow(True)
        _draw(axis, plot)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # a name in a script that the font lacks
        figure.savefig(path, dpi=DPI)


def _draw(axis: Any, plot: Plot) -> None:
    match plot:
        case BarPlot():
            widths = [right - left for left, right in zip(plot.edges, plot.edges[1:], strict=False)]
            axis.bar(plot.edges[:-1], plot.heights, widths, align="edge", color=COLOURS[0], edgecolor="white")
            _mark(axis, plot)
        case CurvePlot():
            _draw_curves(axis, plot)
        case GroupPlot():
            _draw_groups(axis, plot)
        case IntervalPlot():
            _draw_intervals(axis, plot)
        case RankPlot():
            _draw_ranks(axis, plot)


def _draw_curves(axis: Any, plot: CurvePlot) -> None:
    for height, name in plot.levels:
        axis.axhline(height, color="#aa2222", linewidth=1)
        axis.text(0.01, height, _plain(name), transform=axis.get_yaxis_transform(), fontsize=8, va="bottom")
    for place, spans in plot.bands:
        columns = list(zip(*spans, strict=True))
        axis.fill_between(*columns, color=COLOURS[place % len(COLOURS)], alpha=0.15, linewidth=0)
    for place, (name, points) in enumerate(plot.curves):
        style = ("-", "--", ":")[place // len(COLOURS) % 3]
        xs, ys = [x for x, _ in points], [math.nan if y is None else y for _, y in points]
        axis.plot(xs, ys, style, color=COLOURS[place % len(COLOURS)], label=_plain(name), linewidth=1.4)
    axis.set_ylim(0, (plot.top or 1) * 1.02)
    _mark(axis, plot)
    axis.legend(fontsize=8, loc="best")


def _mark(axis: Any, plot: BarPlot | CurvePlot) -> None:
    axis.set_ylabel(_plain(plot.y), fontsize=8)
    for x, name in plot.marks:
        axis.axvline(x, color="#aa2222", linestyle="--", linewidth=1)
        axis.text(x, 0.02, " " + _plain(name), transform=axis.get_xaxis_transform(), fontsize=8)


def _draw_groups(axis: Any, plot: GroupPlot) -> None:
    size = 0.8 / max(1, len(plot.series))
    for place, (name, values) in enumerate(plot.series):
        at = [number - 0.4 + size * (place + 0.5) for number in range(len(values))]
        axis.bar(at, values, size, color=COLOURS[place % len(COLOURS)], label=_plain(name))
    axis.set_ylabel(_plain(plot.y), fontsize=8)
    axis.set_xticks(range(len(plot.names)), [_plain(name) for name in plot.names])
    axis.legend(fontsize=8, loc="best")


def _draw_intervals(axis: Any, plot: IntervalPlot) -> None:
    for place, row in enumerate(plot.rows):
        colour = COLOURS[place % len(COLOURS)]
        axis.plot([row.low, row.high], [place, place], color=colour, linewidth=2)
        axis.plot([row.value], [place], "o", color=colour)
    axis.set_yticks(range(len(plot.rows)), [_plain(row.name) for row in plot.rows])
    axis.set_ylim(len(plot.rows) - 0.5, -0.5)


def _draw_ranks(axis: Any, plot: RankPlot) -> None:
    value, name = plot.limit
    colours = [COLOURS[1] if row.marked else COLOURS[0] for row in plot.rows]
    axis.barh(range(len(plot.rows)), [row.value for row in plot.rows], color=colours)
    axis.axvline(value, color="#aa2222", linestyle="--", linewidth=1, label=_plain(name))
    axis.set_yticks(range(len(plot.rows)), [_plain(row.name) for row in plot.rows])
    axis.set_ylim(len(plot.rows) - 0.5, -0.5)
    axis.legend(fontsize=8, loc="lower right")


def _plain(text: str) -> str:
    """Return a text that matplotlib draws as it is. A dollar begins a formula, and a broken one raises."""
    shown = "".join(char if char.isprintable() else " " for char in text)
    cut = shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 1]}…"
    return cut.replace("$", r"\$")


def _import_figure() -> "type[Any]":
    try:
        found: type[Any] = load_module("matplotlib.figure").Figure
    except ImportError:
        raise Invalid("a PNG needs matplotlib: pip install 'tidegate[plot]', or choose .html") from None
    return found
