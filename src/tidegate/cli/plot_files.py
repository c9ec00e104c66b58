"""Plots as files: a self-contained SVG, alone or in an HTML page, or a PNG."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from pathlib import Path

from tidegate.cli import plot_png
from tidegate.cli.plot_shapes import (
    COLOURS,
    BarPlot,
    CurvePlot,
    GroupPlot,
    IntervalPlot,
    Plot,
    RankPlot,
    interval_range,
)
from tidegate.domain.errors import Invalid

SUFFIXES = (".svg", ".html", ".png")
WIDTH, HEIGHT, LEFT, TOP, BOTTOM, RIGHT = 720, 300, 64, 48, 56, 20
NAMES = 150
"""Pixels for the names of rows."""
LEGEND_ROW = 60
"""Characters of names that fit in a row."""
DASHES = ("", ' stroke-dasharray="8 4"', ' stroke-dasharray="2 4"')
"""Of curves beyond as many as there are colours."""
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#334}.title{font-size:15px;font-weight:600}"
    ".axis{stroke:#889;stroke-width:1}.grid{stroke:#dde;stroke-width:1}.mark{stroke:#a22;stroke-width:2;"
    "stroke-dasharray:5 4}.bar{fill:#4477aa}.line{fill:none;stroke-width:2.5}"
    ".level{stroke:#a22;stroke-width:1.5}.band{fill-opacity:.15}"
)


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
    """Check, before any work is done, that the file can be written. Raises Invalid."""
    if path is not None:
        if path.suffix not in SUFFIXES:
            raise Invalid(f"--plot {path}: expected a name that ends in .svg, .html or .png")
        if not path.absolute().parent.is_dir():
            raise Invalid(f"--plot {path}: there is no folder {path.absolute().parent}")
        if path.suffix == ".png":
            plot_png.require_library()


def write_plot(path: Path, title: str, figures: Sequence[Plot], facts: Sequence[tuple[str, str]] = ()) -> None:
    """Write it in the format that its suffix names. ``facts``: names and values above the plots of a page. Raises
    Invalid if that fails."""
    try:
        if path.suffix == ".png":
            plot_png.save(path, title, figures)
            return
        text = render_svg(title, figures)
        if path.suffix == ".html":
            rows = "".join(f"<tr><td>{_text(name)}</td><td>{_text(value)}</td></tr>" for name, value in facts)
            text = render_html(title, (f"<h1>{_text(title)}</h1><table>{rows}</table>" if facts else "") + text)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Invalid(f"--plot {path}: {error.strerror}") from None


def render_html(title: str, body: str, *, style: str = "") -> str:
    """A self-contained page. ``body`` and ``style`` are markup, ``title`` is text."""
    rules = f"<style>{style}</style>" if style else ""
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>{rules}'
        f"<body>{body}</body></html>\n"
    )


def render_svg(title: str, figures: Sequence[Plot]) -> str:
    height = HEIGHT * len(figures)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
        f' role="img" aria-label="{escape(title, quote=True)}"><style>{STYLE}</style>'
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>'
    ]
    for place, figure in enumerate(figures):
        drawn = _render(figure)
        parts.append(f'<g transform="translate(0 {place * HEIGHT})">{drawn}</g>')
    return "\n".join((*parts, "</svg>", ""))


def _render(figure: Plot) -> str:
    match figure:
        case BarPlot():
            return _render_bars(figure)
        case CurvePlot():
            return _render_curves(figure)
        case GroupPlot():
            return _render_groups(figure)
        case IntervalPlot():
            return _render_intervals(figure)
        case RankPlot():
            return _render_ranks(figure)


@dataclass(frozen=True)
class _Frame:
    low: float
    high: float
    top: float

    def x(self, value: float) -> float:
        return LEFT + (value - self.low) / ((self.high - self.low) or 1) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - value / (self.top or 1) * (HEIGHT - TOP - BOTTOM)

    def upright(self, title: str, name: str) -> list[str]:
        """Title, and the axis upwards with its grid."""
        parts = [f'<text class="title" x="{LEFT}" y="24">{_text(title)}</text>']
        for step in range(5):
            value = self.top * step / 4
            y = self.y(value)
            parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
            parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{_format_tick(value)}</text>')
        bottom = HEIGHT - BOTTOM
        parts.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{bottom}" y2="{bottom}"/>')
        parts.append(f'<text x="{LEFT}" y="{TOP - 6}">{_text(name)}</text>')
        return parts

    def drawn(self, figure: BarPlot | CurvePlot) -> list[str]:
        """Title, axes, ticks and marks."""
        parts = self.upright(figure.title, figure.y)
        for step in range(5):
            value = self.low + (self.high - self.low) * step / 4
            at = f'x="{self.x(value):.1f}" y="{HEIGHT - BOTTOM + 18}"'
            parts.append(f'<text {at} text-anchor="middle">{_format_tick(value)}</text>')
        bottom = HEIGHT - BOTTOM
        parts.append(f'<text x="{LEFT}" y="{HEIGHT - 14}">{_text(figure.x)}</text>')
        for where, what in figure.marks:
            x = self.x(where)
            parts.append(f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{bottom}"/>')
            parts.append(f'<text x="{x + 5:.1f}" y="{bottom - 8}">{_text(what)}</text>')
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
    xs = [x for _, points in figure.curves for x, _ in points] + [x for x, _ in figure.marks]
    frame = _Frame(min(xs, default=0.0), max(xs, default=1.0), figure.top)
    parts = frame.drawn(figure)
    for height, name in figure.levels:
        y = frame.y(height)
        parts.append(f'<line class="level" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT + 6}" y="{y - 5:.1f}">{_text(name)}</text>')
    for place, spans in figure.bands:
        colour = COLOURS[place % len(COLOURS)]
        edge = [(x, high) for x, _, high in spans] + [(x, low) for x, low, _ in reversed(spans)]
        path = " ".join(f"{frame.x(x):.1f},{frame.y(min(y, figure.top)):.1f}" for x, y in edge)
        parts.append(f'<polygon class="band" fill="{colour}" points="{path}"/>')
    for place, (_, points) in enumerate(figure.curves):
        colour = COLOURS[place % len(COLOURS)]
        dash = DASHES[place // len(COLOURS) % len(DASHES)]
        for known, run in groupby(points, key=lambda point: point[1] is not None):
            if known:
                drawn = ((x, min(y or 0.0, figure.top)) for x, y in run)
                path = " ".join(f"{frame.x(x):.1f},{frame.y(y):.1f}" for x, y in drawn)
                parts.append(f'<polyline class="line" stroke="{colour}"{dash} points="{path}"/>')
    return "".join((*parts, *_render_legend([name for name, _ in figure.curves], HEIGHT - BOTTOM - 12)))


def _render_legend(names: Sequence[str], bottom: float) -> list[str]:
    """The names of curves or bars: above the drawing if there is room, else in it, the last one lowest."""
    if len("".join(names)) <= LEGEND_ROW:
        spans = (
            f'<tspan dx="14" style="fill:{COLOURS[place % len(COLOURS)]}">{_text(name)}</tspan>'
            for place, name in enumerate(names)
        )
        at = f'x="{WIDTH - RIGHT - 12}" y="{TOP - 6}" text-anchor="end"'
        return [f'<text {at} style="font-weight:600">{"".join(spans)}</text>']
    parts = []
    for place, name in enumerate(names):
        at = f'x="{WIDTH - RIGHT - 6}" y="{bottom - 18 * (len(names) - 1 - place):g}"'
        colour = COLOURS[place % len(COLOURS)]
        parts.append(f'<text {at} text-anchor="end" style="fill:{colour};font-weight:600">{_text(name)}</text>')
    return parts


def _render_groups(figure: GroupPlot) -> str:
    frame = _Frame(0.0, 1.0, max((value for _, values in figure.series for value in values), default=0.0) or 1.0)
    parts, bottom = frame.upright(figure.title, figure.y), HEIGHT - BOTTOM
    wide = (WIDTH - LEFT - RIGHT) / max(1, len(figure.names))
    bar = wide * 0.8 / max(1, len(figure.series))
    for place, (_, values) in enumerate(figure.series):
        for at, value in enumerate(values):
            x, y = LEFT + wide * (at + 0.1) + bar * place, frame.y(value)
            size = f'width="{bar:.1f}" height="{bottom - y:.1f}" fill="{COLOURS[place % len(COLOURS)]}"'
            parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" {size}><title>{value:.4g}</title></rect>')
    fits = max(3, int(wide / 7))
    for at, name in enumerate(figure.names):
        shown = name if len(name) <= fits else f"{name[: fits - 1]}…"
        place_at = f'x="{LEFT + wide * (at + 0.5):.1f}" y="{bottom + 18}" text-anchor="middle"'
        parts.append(f"<text {place_at}>{_text(shown)}<title>{_text(name)}</title></text>")
    parts.append(f'<text x="{LEFT}" y="{HEIGHT - 14}">{_text(figure.x)}</text>')
    return "".join(
        (*parts, *_render_legend([name for name, _ in figure.series], TOP + 18 * len(figure.series) - 12))
    )


def _render_intervals(figure: IntervalPlot) -> str:
    across, parts = _place_across(figure.title, figure.x, *interval_range(figure))
    for y, _, name, place in _rows([row.name for row in figure.rows]):
        row, colour = figure.rows[place], COLOURS[place % len(COLOURS)]
        ends = f'x1="{across(row.low):.1f}" x2="{across(row.high):.1f}" y1="{y:.1f}" y2="{y:.1f}"'
        parts.append(f'{name}<line {ends} stroke="{colour}" stroke-width="3"/>')
        parts.append(f'<circle cx="{across(row.value):.1f}" cy="{y:.1f}" r="5" fill="{colour}"/>')
    return "".join(parts)


def _render_ranks(figure: RankPlot) -> str:
    value, label = figure.limit
    across, parts = _place_across(
        figure.title, figure.x, 0.0, 1.05 * max(value, *(row.value for row in figure.rows))
    )
    for y, tall, name, place in _rows([row.name for row in figure.rows]):
        row = figure.rows[place]
        size = f'width="{across(row.value) - across(0.0):.1f}" height="{0.7 * tall:.1f}"'
        at = f'x="{across(0.0):.1f}" y="{y - 0.35 * tall:.1f}" fill="{COLOURS[1] if row.marked else COLOURS[0]}"'
        parts.append(f"{name}<rect {at} {size}><title>{row.value:.4g}</title></rect>")
    x = across(value)
    parts.append(f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
    parts.append(f'<text x="{x:.1f}" y="{TOP - 6}" text-anchor="middle">{_text(label)}</text>')
    return "".join(parts)


def _place_across(title: str, x: str, low: float, high: float) -> tuple[Callable[[float], float], list[str]]:
    """An axis across beside the names of rows: where a value is, and what is drawn of it."""
    left, bottom = LEFT + NAMES, HEIGHT - BOTTOM

    def place(value: float) -> float:
        return left + (value - low) / (high - low) * (WIDTH - left - RIGHT)

    parts = [f'<text class="title" x="{LEFT}" y="24">{_text(title)}</text>']
    for step in range(5):
        value = low + (high - low) * step / 4
        at = place(value)
        parts.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{bottom}"/>')
        parts.append(f'<text x="{at:.1f}" y="{bottom + 18}" text-anchor="middle">{_format_tick(value)}</text>')
    parts.append(f'<text x="{left}" y="{HEIGHT - 14}">{_text(x)}</text>')
    return place, parts


def _rows(names: Sequence[str]) -> Iterator[tuple[float, float, str, int]]:
    """Yield the middle of each row, its height, its name as drawn, and its place."""
    tall = (HEIGHT - BOTTOM - TOP) / max(1, len(names))
    for place, name in enumerate(names):
        y = TOP + tall * (place + 0.5)
        at = f'x="{LEFT + NAMES - 10}" y="{y + 4:.1f}" text-anchor="end"'
        yield y, tall, f"<text {at}>{_text(_shorten(name))}<title>{_text(name)}</title></text>", place


def _shorten(name: str, most: int = 30) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _text(text: str) -> str:
    """Escape a text for SVG and replace its control characters, which no document may have."""
    return escape("".join(char if char.isprintable() else " " for char in text))


def _format_tick(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"
