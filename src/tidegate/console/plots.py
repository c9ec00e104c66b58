"""Plots as the pages show them: points in a box that is stretched to its place, with all text beside it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 1000.0, 100.0
"""Of the box."""
STYLES = 6
"""Ways of drawing a line, by colour and dashes: further ones begin anew."""

Points = Sequence[tuple[float, float]]
Band = Sequence[tuple[float, float, float]]
"""Place across, lower and upper bound."""


@dataclass(frozen=True)
class PlotLine:
    """``points`` and ``band`` are those of a polyline and of a polygon; an empty band is none. A line without a name
    continues the one before it after a gap."""

    name: str
    style: int
    points: str
    band: str = ""


@dataclass(frozen=True)
class PlotMark:
    """Labelled mark of a plot. ``place`` is across the box or down, depending on the list that has the mark."""

    place: float
    name: str
    kind: str = ""
    """Which colour it has; empty is the usual one."""


@dataclass(frozen=True)
class LinePlot:
    """Plot of lines. ``high`` is the label of the upper edge; the lower one is 0. ``left`` and ``right`` are the
    labels of the ends. ``told`` describes the plot to those who do not see it."""

    title: str
    high: str
    left: str
    right: str
    told: str
    lines: tuple[PlotLine, ...]
    levels: tuple[PlotMark, ...] = ()
    marks: tuple[PlotMark, ...] = ()


@dataclass(frozen=True)
class Box:
    """Range of values between the edges of a plot; the lower edge is 0."""

    first: float
    last: float
    top: float

    def x(self, value: float) -> float:
        part = (value - self.first) / ((self.last - self.first) or 1.0)
        return round(WIDTH * min(1.0, max(0.0, part)), 1)

    def y(self, value: float) -> float:
        return round(HEIGHT * (1 - min(1.0, max(0.0, value / (self.top or 1.0)))), 2)

    def line(self, name: str, style: int, points: Points, band: Band = ()) -> PlotLine:
        edge = [(x, high) for x, _, high in band] + [(x, low) for x, low, _ in reversed(band)]
        return PlotLine(name, style % STYLES, self._text(points), self._text(edge))

    def _text(self, points: Points) -> str:
        return " ".join(f"{self.x(x):g},{self.y(y):g}" for x, y in points)


def steps(edges: Sequence[float], heights: Sequence[float]) -> list[tuple[float, float]]:
    """The outline of a histogram; ``edges`` has one more item."""
    points = [(edges[0], 0.0)]
    for left, right, height in zip(edges, edges[1:], heights, strict=False):
        points += [(left, height), (right, height)]
    return [*points, (edges[-1], 0.0)]


@dataclass(frozen=True)
class BarRow:
    """Row of a list of bars. Each bar is (style, percent of the width, text)."""

    name: str
    bars: tuple[tuple[int, float, str], ...]


@dataclass(frozen=True)
class BarList:
    """Bars for each name. ``series``: the names of the styles."""

    title: str
    series: tuple[str, ...]
    rows: tuple[BarRow, ...]


def bar_list(title: str, series: Sequence[str], names: Sequence[str], parts: Sequence[Sequence[float]]) -> BarList:
    """Make a list of bars. ``parts`` has, for each series, a percentage for each name; the longest bar is as wide as
    the box."""
    most = max((part for one in parts for part in one), default=0.0) or 1.0
    rows = tuple(
        BarRow(
            name,
            tuple((style, round(100 * one[at] / most, 1), f"{one[at]:.1f} %") for style, one in enumerate(parts)),
        )
        for at, name in enumerate(names)
    )
    return BarList(title, tuple(series), rows)
