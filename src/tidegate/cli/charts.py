"""Charts over a time axis, as a self-contained page (HTML with SVG) or as a PNG (matplotlib).

Several panels share one axis of seconds, and lines have gaps and steps. ``plot_files.py`` draws histograms and curves
over any quantity, each with axes of its own, as SVG that is pasted elsewhere: always on white, with marks. A common
drawing module would be both of them with a switch in every function.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from tidegate.cli import chart_files
from tidegate.domain.errors import Invalid
from tidegate.host.late_import import load_module

SUFFIXES = (".html", ".png")
WIDTH, HEIGHT, LEFT, TOP, GAP = 960, 150, 64, 26, 34
"""Size of one panel in pixels."""
COLOURS = ("#3b82f6", "#dc2626", "#d97706", "#8b5cf6")
"""Readable on white and on black."""
HEADROOM = 1.04
"""Headroom factor, so that a line at the top is fully visible."""
STYLE = """\
body{font:14px system-ui,sans-serif;margin:2em auto;max-width:1040px;color:#111;background:#fff}
svg{width:100%;height:auto} text{font:11px system-ui,sans-serif;fill:#444} .name{font-weight:600;fill:#111}
.grid{stroke:#ddd;stroke-width:1} .line{fill:none;stroke-width:1.5} td{padding:.1em 1em .1em 0}
table{margin-bottom:1.5em}
@media(prefers-color-scheme:dark){body{color:#eee;background:#111}text{fill:#bbb}.name{fill:#eee}.grid{stroke:#333}}
"""


@dataclass(frozen=True)
class ChartLine:
    name: str
    values: Sequence[float | None]


@dataclass(frozen=True)
class ChartPanel:
    """Lines over the same times (seconds). ``stepped``: a value holds until the next one."""

    name: str
    at: Sequence[float]
    lines: Sequence[ChartLine]
    stepped: bool = False

    @property
    def top(self) -> float:
        """A round number that is at least every value."""
        most = max((value for line in self.lines for value in line.values if value is not None), default=0.0)
        unit = 1.0
        while unit * 10 <= most:
            unit *= 10
        while unit > most > 0:
            unit /= 10
        return next((unit * step for step in (1, 2, 3, 4, 5, 6, 8, 10) if unit * step >= most), unit)


def save_chart(path: Path, title: str, panels: Sequence[ChartPanel], facts: Sequence[tuple[str, str]]) -> None:
    """Save as .html or .png, by the name. Raises Invalid."""
    chart_files.check_destination(path, SUFFIXES)
    if path.suffix == ".html":
        page = render_page(title, panels, facts)
        chart_files.save(path, lambda at: at.write_text(page, encoding="utf-8"))
    else:
        chart_files.save(path, lambda at: _save_png(at, title, panels))


def check_path(path: Path) -> None:
    """Raises Invalid, before any work is done, if the chart could not be saved."""
    chart_files.check_destination(path, SUFFIXES)
    if path.suffix == ".png":
        _import_figure()


def render_page(title: str, panels: Sequence[ChartPanel], facts: Sequence[tuple[str, str]]) -> str:
    rows = "".join(f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in facts)
    tall = len(panels) * (HEIGHT + TOP + GAP)
    drawn = "".join(_render_panel(panel, number * (HEIGHT + TOP + GAP)) for number, panel in enumerate(panels))
    box = f"0 0 {WIDTH + LEFT + 16} {tall}"
    svg = f'<svg viewBox="{box}" role="img" aria-label="{escape(title)}">{drawn}</svg>'
    return chart_files.render_html(title, f"<h1>{escape(title)}</h1><table>{rows}</table>{svg}", style=STYLE)


def _render_panel(panel: ChartPanel, y: float) -> str:
    end, top, base = max((*panel.at, 1.0)), panel.top, y + TOP + HEIGHT
    parts = [f'<text class="name" x="{LEFT}" y="{y + 14}">{escape(panel.name)}</text>']
    for share in (0.0, 0.5, 1.0):
        level = base - HEIGHT * share
        parts.append(f'<path class="grid" d="M{LEFT} {level}H{LEFT + WIDTH}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{level + 4}" text-anchor="end">{top * share:g}</text>')
        parts.append(
            f'<text x="{LEFT + WIDTH * share}" y="{base + 16}" text-anchor="middle">{end * share:g} s</text>'
        )
    for number, line in enumerate(panel.lines):
        colour = COLOURS[number % len(COLOURS)]
        path = _render_path(panel, line, end, top, base)
        parts.append(f'<path class="line" stroke="{colour}" d="{path}"><title>{escape(line.name)}</title></path>')
        x = LEFT + WIDTH - 110 * (len(panel.lines) - number - 1)
        parts.append(
            f'<text x="{x}" y="{y + 14}" text-anchor="end" style="fill:{colour}">{escape(line.name)}</text>'
        )
    return "".join(parts)


def _render_path(panel: ChartPanel, line: ChartLine, end: float, top: float, base: float) -> str:
    """SVG path of a line, with gaps for missing values."""
    words: list[str] = []
    last: float | None = None
    for at, value in zip(panel.at, line.values, strict=True):
        if value is None:
            last = None
            continue
        x, y = LEFT + WIDTH * at / end, base - HEIGHT * value / top
        if last is None:
            words.append(f"M{x:.1f} {y:.1f}")
        else:
            words.append(f"H{x:.1f}V{y:.1f}" if panel.stepped else f"L{x:.1f} {y:.1f}")
        last = y
    return "".join(words)


def _save_png(path: Path, title: str, panels: Sequence[ChartPanel]) -> None:
    figure = _import_figure()(figsize=(10, 2.2 * len(panels) + 0.6), layout="constrained")
    figure.suptitle(title)
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axis, panel in zip(axes, panels, strict=True):
        axis.set_title(panel.name, loc="left", fontsize=9)
        axis.set_ylim(0, HEADROOM * panel.top)
        axis.grid(alpha=0.3)
        for line, colour in zip(panel.lines, COLOURS, strict=False):
            values = [float("nan") if value is None else value for value in line.values]
            style = "steps-post" if panel.stepped else "default"
            axis.plot(panel.at, values, color=colour, label=line.name, linewidth=1.2, drawstyle=style)
        if len(panel.lines) > 1:
            axis.legend(fontsize=8, loc="upper right")
    axes[-1].set_xlabel("seconds")
    figure.savefig(path, dpi=110)


def _import_figure() -> "type":
    try:
        found: type = load_module("matplotlib.figure").Figure
    except ImportError:
        raise Invalid("a PNG needs matplotlib: pip install 'tidegate[plot]', or choose .html") from None
    return found
