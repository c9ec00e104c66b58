"""Histograms and curves as files: a self-contained SVG, alone or in an HTML page. See ``charts.py`` for plots over
time."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from tidegate.cli import chart_files

SUFFIXES = (".svg", ".html")
WIDTH, HEIGHT, LEFT, TOP, BOTTOM, RIGHT = 720, 300, 64, 48, 56, 20
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#334}.title{font-size:15px;font-weight:600}"
    ".axis{stroke:#889;stroke-width:1}.grid{stroke:#dde;stroke-width:1}.mark{stroke:#a22;stroke-width:2;"
    "stroke-dasharray:5 4}.bar{fill:#4477aa}.line{fill:none;stroke-width:2.5}"
)
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
    """Curves: (name, [(x, y), ...]) each; ``y`` from 0 to ``top``."""

    title: str
    x: str
    y: str
    curves: Sequence[tuple[str, Sequence[tuple[float, float]]]]
    top: float
    marks: Sequence[tuple[float, str]] = ()


def histogram(title: str, x: str, y: str, values: Sequence[float], marks: Sequence[tuple[float, str]]) -> BarPlot:
    """Histogram of at least one value, with 30 bars from 0 to the maximum."""
    edges, heights = count_bins(values, 30)
    return BarPlot(title, x, y, edges, heights, marks)


def count_bins(values: Sequence[float], bars: int) -> tuple[list[float], list[float]]:
    top = max(values) or 1.0
    heights = [0.0] * bars
    for value in values:
        heights[min(bars - 1, int(value / top * bars))] += 1
    return [top * place / bars for place in range(bars + 1)], heights


def check_path(path: Path | None) -> None:
    """Raises Invalid, before any work is done, if the file could not be written."""
    if path is not None:
        chart_files.check_destination(path, SUFFIXES)


def write_plot(path: Path, title: str, figures: Sequence[BarPlot | CurvePlot]) -> None:
    """Write ``.svg`` or ``.html``. Raises Invalid if that fails."""
    text = render_svg(title, figures)
    if path.suffix == ".html":
        text = chart_files.render_html(title, text)
    chart_files.save(path, lambda at: at.write_text(text, encoding="utf-8"))


def render_svg(title: str, figures: Sequence[BarPlot | CurvePlot]) -> str:
    height = HEIGHT * len(figures)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
        f' role="img" aria-label="{escape(title, quote=True)}"><style>{STYLE}</style>'
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>'
    ]
    for place, figure in enumerate(figures):
        drawn = _render_bars(figure) if isinstance(figure, BarPlot) else _render_curves(figure)
        parts.append(f'<g transform="translate(0 {place * HEIGHT})">{drawn}</g>')
    return "\n".join((*parts, "</svg>", ""))


@dataclass(frozen=True)
class _Frame:
    low: float
    high: float
    top: float

    def x(self, value: float) -> float:
        return LEFT + (value - self.low) / ((self.high - self.low) or 1) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - value / (self.top or 1) * (HEIGHT - TOP - BOTTOM)

    def drawn(self, figure: BarPlot | CurvePlot) -> list[str]:
        """Title, axes, ticks and marks."""
        parts = [f'<text class="title" x="{LEFT}" y="24">{escape(figure.title)}</text>']
        for step in range(5):
            value = self.top * step / 4
            y = self.y(value)
            parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
            parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{_format_tick(value)}</text>')
            value = self.low + (self.high - self.low) * step / 4
            at = f'x="{self.x(value):.1f}" y="{HEIGHT - BOTTOM + 18}"'
            parts.append(f'<text {at} text-anchor="middle">{_format_tick(value)}</text>')
        bottom = HEIGHT - BOTTOM
        parts.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{bottom}" y2="{bottom}"/>')
        parts.append(f'<text x="{LEFT}" y="{HEIGHT - 14}">{escape(figure.x)}</text>')
        parts.append(f'<text x="{LEFT}" y="{TOP - 6}">{escape(figure.y)}</text>')
        for where, what in figure.marks:
            x = self.x(where)
            parts.append(f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{bottom}"/>')
            parts.append(f'<text x="{x + 5:.1f}" y="{bottom - 8}">{escape(what)}</text>')
        return parts


def _render_bars(figure: BarPlot) -> str:
    frame = _Frame(figure.edges[0], figure.edges[-1], max(figure.heights) or 1.0)
    bars = []
    for place, height in enumerate(figure.heights):
        left, right, y = frame.x(figure.edges[place]), frame.x(figure.edges[place + 1]), frame.y(height)
        size = f'width="{max(0.5, right - left - 1):.1f}" height="{HEIGHT - BOTTOM - y:.1f}"'
        bars.append(f'<rect class="bar" x="{left:.1f}" y="{y:.1f}" {size}><title>{height:g}</title></rect>')
    return "".join((*frame.drawn(figure)[:1], *bars, *frame.drawn(figure)[1:]))


def _render_curves(figure: CurvePlot) -> str:
    xs = [x for _, points in figure.curves for x, _ in points]
    frame = _Frame(min(xs), max(xs), figure.top)
    parts = frame.drawn(figure)
    for place, (name, points) in enumerate(figure.curves):
        colour = COLOURS[place % len(COLOURS)]
        path = " ".join(f"{frame.x(x):.1f},{frame.y(y):.1f}" for x, y in points)
        parts.append(f'<polyline class="line" stroke="{colour}" points="{path}"/>')
        row = HEIGHT - BOTTOM - 12 - 18 * (len(figure.curves) - 1 - place)
        at = f'x="{WIDTH - RIGHT - 6}" y="{row}"'
        parts.append(f'<text {at} text-anchor="end" style="fill:{colour};font-weight:600">{escape(name)}</text>')
    return "".join(parts)


def _format_tick(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"
