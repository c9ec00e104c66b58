"""Draw the diagrams of the documentation: ``python -m website.diagrams`` writes ``docs/diagram-NAME.svg``.

A diagram is boxes on a grid and arrows between them. Colours follow the reader's light or dark scheme.
"""

from dataclasses import dataclass, field
from html import escape
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
COLUMN, ROW = 240, 100
WIDTH, HEIGHT = 160, 56
MARGIN = 20
STYLE = (
    "text{font:13px sans-serif;text-anchor:middle;fill:#1f2328}.small{font-size:11px;fill:#57606a}"
    "rect{fill:none;stroke:#6e7781;rx:6}.share{fill:#2f81f7;fill-opacity:.3;stroke:none}"
    "line{stroke:#6e7781;marker-end:url(#head)}path{fill:#6e7781}"
    ".page{fill:#fff;stroke:none}@media(prefers-color-scheme:dark){.page{fill:#0d1117}text{fill:#e6edf3}.small{fill:#9da7b3}}"
)


@dataclass(frozen=True)
class Diagram:
    """``boxes``: key -> (column, row, lines parted by ``|``). ``arrows``: (from, to, label). ``shares``: key -> the
    part of the box that is filled, from 0 to 1."""

    title: str
    boxes: dict[str, tuple[int, int, str]]
    arrows: list[tuple[str, str, str]]
    shares: dict[str, float] = field(default_factory=dict)


DIAGRAMS = {
    "rollout": Diagram(
        "The stages of a canary: the old version keeps its instances until the final bake ends, and any failure "
        "returns all traffic to it",
        {
            "start": (0, 0, "New instances start|0 % of the traffic"),
            "first": (1, 0, "First stage|10 % of the traffic"),
            "final": (2, 0, "Final bake|100 % of the traffic"),
            "end": (3, 0, "Old instances|are removed"),
            "back": (1, 1, "Rolled back|alarm, evidence, ..."),
        },
        [
            ("start", "first", "shift"),
            ("first", "final", "shift"),
            ("final", "end", "passed"),
            ("start", "back", ""),
            ("first", "back", ""),
            ("final", "back", ""),
        ],
        {"first": 0.1, "final": 1.0, "end": 1.0},
    ),
    "architecture": Diagram(
        "Clients reach workers through HAProxy; the controller starts workers and sets HAProxy's weights",
        {
            "client": (0, 0, "Clients|boto3, CLI, curl"),
            "proxy": (1, 0, "HAProxy"),
            "old": (2, 0, "Workers|old version"),
            "new": (2, 1, "Workers|new version"),
            "controller": (1, 1, "Controller|rollouts, alarms"),
            "store": (0, 1, "Database|SQLite, PostgreSQL"),
        },
        [
            ("client", "proxy", "requests"),
            ("proxy", "old", "90 %"),
            ("proxy", "new", "10 %"),
            ("controller", "proxy", "weights"),
            ("controller", "store", "records"),
            ("controller", "new", "start, stop"),
        ],
    ),
    "evidence": Diagram(
        "How evidence decides: both versions are compared every second until the new one is worse or not worse, "
        "or the deadline passes",
        {
            "old": (0, 0, "Old version|errors, latencies, ..."),
            "new": (0, 1, "New version|errors, latencies, ..."),
            "test": (1, 0, "Test, every second|against the tolerance"),
            "worse": (2, 0, "Worse|evidence.action"),
            "good": (2, 1, "Not worse|next stage"),
            "unknown": (1, 1, "Not known yet|the stage holds"),
            "deadline": (1, 2, "Deadline|evidence.on_no_data"),
        },
        [
            ("old", "test", ""),
            ("new", "test", ""),
            ("test", "worse", ""),
            ("test", "good", ""),
            ("test", "unknown", ""),
            ("unknown", "deadline", "no data"),
        ],
    ),
    "kubernetes": Diagram(
        "On Kubernetes, clients reach the pods of both versions through gateways, which the leading controller sets",
        {
            "client": (0, 0, "Clients|signed requests"),
            "gateways": (1, 0, "Gateways|HAProxy, 2 replicas"),
            "old": (2, 0, "Deployment|old version"),
            "new": (2, 1, "Deployment|new version"),
            "leader": (1, 1, "Leading controller"),
            "standby": (0, 2, "Standby controller"),
            "store": (0, 1, "PostgreSQL|state and lease"),
            "server": (1, 2, "API server"),
        },
        [
            ("client", "gateways", "predictions"),
            ("gateways", "old", ""),
            ("gateways", "new", ""),
            ("leader", "gateways", "weights"),
            ("leader", "store", ""),
            ("standby", "store", ""),
            ("leader", "server", "Deployments"),
        ],
    ),
    "queue": Diagram(
        "An asynchronous request is queued, leased by the dispatcher and answered by an instance",
        {
            "client": (0, 0, "Client|InvokeEndpointAsync"),
            "controller": (1, 0, "Controller|accepts, answers 202"),
            "queue": (2, 0, "Queue|database"),
            "dispatcher": (2, 1, "Dispatcher|leases, retries"),
            "instance": (1, 1, "Instance|at most max_concurrent"),
            "output": (2, 2, "Output or failure|S3 or files"),
            "notice": (1, 2, "Notification|SNS, webhook, file"),
        },
        [
            ("client", "controller", "request"),
            ("controller", "queue", "commit"),
            ("queue", "dispatcher", ""),
            ("dispatcher", "instance", ""),
            ("dispatcher", "output", "answer"),
            ("dispatcher", "notice", ""),
        ],
    ),
}


def main() -> None:
    for name, diagram in DIAGRAMS.items():
        (DOCS / f"diagram-{name}.svg").write_text(draw(diagram))


def draw(diagram: Diagram) -> str:
    """The diagram as SVG; the same text for the same diagram."""
    columns = 1 + max(column for column, _, _ in diagram.boxes.values())
    rows = 1 + max(row for _, row, _ in diagram.boxes.values())
    wide, high = (columns - 1) * COLUMN + WIDTH + 2 * MARGIN, (rows - 1) * ROW + HEIGHT + 2 * MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" role="img">',
        f"<title>{escape(diagram.title)}</title><style>{STYLE}</style>",
        f'<rect class="page" width="{wide}" height="{high}"/>',
        '<marker id="head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0L8 4L0 8z"/></marker>',
    ]
    for key, (column, row, label) in diagram.boxes.items():
        x, y = MARGIN + column * COLUMN, MARGIN + row * ROW
        if key in diagram.shares:
            filled = round(WIDTH * diagram.shares[key])
            parts.append(f'<rect class="share" x="{x}" y="{y}" width="{filled}" height="{HEIGHT}"/>')
        parts.append(f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}"/>')
        lines = label.split("|")
        for place, line in enumerate(lines):
            down = y + HEIGHT // 2 + 5 + (18 * place - 9 * (len(lines) - 1))
            kind = ' class="small"' if place else ""
            parts.append(f'<text{kind} x="{x + WIDTH // 2}" y="{down}">{escape(line)}</text>')
    parts += [
        _arrow(diagram.boxes[start][:2], diagram.boxes[end][:2], label) for start, end, label in diagram.arrows
    ]
    return "\n".join([*parts, "</svg>", ""])


def _arrow(start: tuple[int, int], end: tuple[int, int], label: str) -> str:
    """A line between the nearest edges of two boxes, by their columns and rows."""
    across, down = end[0] - start[0], end[1] - start[1]
    side_x, side_y = (0, (down > 0) - (down < 0)) if down else ((across > 0) - (across < 0), 0)
    points = []
    for (column, row), sign in ((start, 1), (end, -1)):
        x = MARGIN + column * COLUMN + WIDTH // 2 + sign * side_x * WIDTH // 2
        y = MARGIN + row * ROW + HEIGHT // 2 + sign * side_y * HEIGHT // 2
        points.append((x, y))
    (x1, y1), (x2, y2) = points
    line = f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>'
    if not label:
        return line
    aside = ' style="text-anchor:start"' if down else ""
    x, y = (x1 + x2) // 2 + (6 if down else 0), (y1 + y2) // 2 + (4 if down and not across else -5)
    return f'{line}<text class="small"{aside} x="{x}" y="{y}">{escape(label)}</text>'


if __name__ == "__main__":
    main()
