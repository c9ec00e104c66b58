"""Content of a plot, apart from how it is drawn: ``plot_files`` makes SVG of it, ``plot_png`` a PNG."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

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
    """Curves: (name, [(x, y), ...]) each; ``y`` from 0 to ``top``, and what is beyond is drawn there; None: a gap.
    ``levels`` are (y, label) of horizontal lines; ``bands`` are [(x, low, high), ...] around the curve at a place."""

    title: str
    x: str
    y: str
    curves: Sequence[tuple[str, Sequence[tuple[float, float | None]]]]
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
    """One row of a ``RankPlot``. A row that is ``marked`` is drawn so that it stands out."""

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


def hold(points: Sequence[tuple[float, float | None]]) -> list[tuple[float, float | None]]:
    """Return the same points as steps: each value holds until the next one."""
    made = list(points[:1])
    for (_, before), (x, y) in pairwise(points):
        made += [(x, before), (x, y)]
    return made


def round_up(values: Iterable[float | None]) -> float:
    """A round number that is at least every value: the top of an axis."""
    most = max((value for value in values if value is not None), default=0.0)
    unit = 10.0 ** math.floor(math.log10(most)) if most > 0 else 1.0
    return next((unit * step for step in (1, 2, 3, 4, 5, 6, 8, 10) if unit * step >= most), most)


def interval_range(figure: IntervalPlot) -> tuple[float, float]:
    """Return the range of the axis: all bounds with a margin."""
    low, high = min(row.low for row in figure.rows), max(row.high for row in figure.rows)
    margin = 0.05 * (high - low) or 0.5 * abs(high) or 0.5
    return low - margin, high + margin
