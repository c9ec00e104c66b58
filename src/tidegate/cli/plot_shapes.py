"""What a plot shows, apart from how it is drawn: ``plot_files`` makes SVG of it, ``plot_png`` a PNG."""

from collections.abc import Sequence
from dataclasses import dataclass

COLOURS = ("#4477aa", "#ee6677", "#228833", "#aa3377", "#ccbb44", "#66ccee")
"""Paul Tol's bright scheme, which colour-blind people can distinguish."""


@dataclass(frozen=True)
class BarPlot:
    """A histogram. ``edges`` has one more item than ``heights``; ``marks`` are (x, label) of vertical lines."""

    title: str
    x: str
    y: str
    edges: Sequence[float]
    heights: Sequence[float]
    marks: Sequence[tuple[float, str]] = ()


@dataclass(frozen=True)
class CurvePlot:
    """Curves: (name, [(x, y), ...]) each; ``y`` from 0 to ``top``, and what is beyond is drawn there. ``levels`` are
    (y, label) of horizontal lines; ``bands`` are [(x, low, high), ...] around the curve at a place."""

    title: str
    x: str
    y: str
    curves: Sequence[tuple[str, Sequence[tuple[float, float]]]]
    top: float
    marks: Sequence[tuple[float, str]] = ()
    levels: Sequence[tuple[float, str]] = ()
    bands: Sequence[tuple[int, Sequence[tuple[float, float, float]]]] = ()


@dataclass(frozen=True)
class GroupPlot:
    """Bars side by side for each name; a series is its name and a value for each of ``names``."""

    title: str
    x: str
    y: str
    names: Sequence[str]
    series: Sequence[tuple[str, Sequence[float]]]


@dataclass(frozen=True)
class IntervalRow:
    name: str
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class IntervalPlot:
    """A value with its bounds for each row."""

    title: str
    x: str
    rows: Sequence[IntervalRow]


@dataclass(frozen=True)
class RankRow:
    """``marked``: drawn so that it stands out."""

    name: str
    value: float
    marked: bool


@dataclass(frozen=True)
class RankPlot:
    """A bar across for each row, from 0; ``limit`` is the value, and the label, of a line over all of them."""

    title: str
    x: str
    rows: Sequence[RankRow]
    limit: tuple[float, str]


Plot = BarPlot | CurvePlot | GroupPlot | IntervalPlot | RankPlot


def interval_range(figure: IntervalPlot) -> tuple[float, float]:
    """What the axis shows: all bounds with a margin."""
    low, high = min(row.low for row in figure.rows), max(row.high for row in figure.rows)
    margin = 0.05 * (high - low) or 0.5 * abs(high) or 0.5
    return low - margin, high + margin
