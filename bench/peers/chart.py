"""The chart of the peers: two panels of horizontal bars, as plain SVG."""

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, LABELS, PANEL, GAP = 860, 170, 270, 75
ROW, BAR, TOP = 26, 16, 62
OURS, THEIRS, INK = "#0b7285", "#adb5bd", "#212529"


@dataclass(frozen=True)
class Bar:
    title: str
    rate: float
    """Requests a second at saturation."""
    cpu: float
    """CPU µs a request at saturation."""
    ours: bool = False


def draw(bars: Sequence[Bar], caption: str) -> str:
    """The most requests a second at the top."""
    ordered = sorted(bars, key=lambda bar: -bar.rate)
    height = TOP + ROW * len(ordered) + 14
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
        f' font-family="sans-serif" font-size="13" role="img" aria-label="{escape(caption)}">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        text(16, 24, caption, size=14, weight="bold"),
    ]
    for left, heading, values in (
        (LABELS, "requests/s at saturation (more is better)", [bar.rate for bar in ordered]),
        (LABELS + PANEL + GAP, "CPU µs a request (less is better)", [bar.cpu for bar in ordered]),
    ):
        parts.append(text(left, TOP - 12, heading, size=12))
        longest = max([*values, 1e-9])
        for index, (bar, value) in enumerate(zip(ordered, values, strict=True)):
            y, width = TOP + ROW * index, max(1.0, PANEL * value / longest)
            colour = OURS if bar.ours else THEIRS
            parts.append(f'<rect x="{left}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{colour}"/>')
            parts.append(text(left + width + 6, y + 13, f"{value:,.0f}", size=12))
    for index, bar in enumerate(ordered):
        weight = "bold" if bar.ours else "normal"
        parts.append(text(LABELS - 8, TOP + ROW * index + 13, bar.title, anchor="end", weight=weight))
    return "\n".join([*parts, "</svg>", ""])


def text(x: float, y: float, what: str, *, size: int = 13, anchor: str = "start", weight: str = "normal") -> str:
    style = f'font-size="{size}" font-weight="{weight}" text-anchor="{anchor}" fill="{INK}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(what)}</text>'
