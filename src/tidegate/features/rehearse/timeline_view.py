"""Shows on the terminal the timeline of a rehearsed rollout: its moments, and the new version's share over time."""

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from tidegate.cli import draw
from tidegate.cli.output import plot_width
from tidegate.cli.plot_shapes import CurvePlot
from tidegate.cli.tables import Table, key, number, sentence
from tidegate.features.rehearse.rehearsal.simulation import RolloutTimeline, TimelineMoment

WIDTH, HEIGHT, BESIDE = 64, 8, 8
"""Most columns of the plot, its rows, and the columns of its labels."""


def show(timeline: RolloutTimeline, screen: Console) -> None:
    shown = Table(number("AFTER"), key("PHASE"), *map(number, ("NEW SHARE", "OLD", "NEW")), sentence("WHAT"))
    for moment in timeline.moments:
        for event in moment.events:
            shown.add_row(
                draw.format_elapsed(moment.at),
                draw.status_text(moment.phase),
                f"{moment.share / 100:g} %",
                str(moment.old_ready),
                str(moment.new_ready),
                event.message,
            )
    screen.print(shown)
    # In a pipe the table says it all.
    if (width := plot_width(screen, WIDTH, BESIDE)) is not None:
        screen.print()
        screen.print(*plot_share(timeline.moments, timeline.seconds, width), sep="\n")
    ending = f" after {draw.format_elapsed(timeline.seconds)}" + (
        f": {timeline.reason}" if timeline.reason else ""
    )
    screen.print(Text.assemble("\n", draw.status_text(str(timeline.phase)), ending))


def plot_share(moments: Sequence[TimelineMoment], seconds: float, width: int = WIDTH) -> list[Text]:
    """The new version's share over time, as rows of blocks."""
    shares = [_share_at(moments, seconds * (column + 0.5) / width) for column in range(width)]
    rows = []
    for row in range(HEIGHT, 0, -1):
        label = {HEIGHT: "100 %", HEIGHT // 2: "50 %"}.get(row, "")
        cells = "".join(draw.format_block(share * HEIGHT / 10_000 - (row - 1)) for share in shares)
        rows.append(Text.assemble(f"{label:>6} │", (cells, draw.NEW)))
    rows.append(Text(f"{'0 %':>6} └{'─' * width}"))
    end = draw.format_elapsed(seconds)
    rows.append(Text(f"{'':7} 0:00:00{end:>{width - 7}}"))
    return rows


def _share_at(moments: Sequence[TimelineMoment], at: float) -> int:
    return next((moment.share for moment in reversed(moments) if moment.at <= at), 0)


def plot(timeline: RolloutTimeline) -> CurvePlot:
    """The share of the new version, as steps."""
    points, share = [(0.0, 0.0)], 0.0
    for moment in timeline.moments:
        points += [(moment.at, share), (moment.at, moment.share / 100)]
        share = moment.share / 100
    steps = [*points, (timeline.seconds, share)]
    return CurvePlot(
        "One rollout", "seconds since its request", "new version, % of requests", [("share", steps)], 100.0
    )
