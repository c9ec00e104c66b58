"""An endpoint in full: its rollout, fleets, scaling, alarms, and what happened last."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, ConsoleOptions, Group
from rich.panel import Panel
from rich.text import Text

from tidegate.cli import draw
from tidegate.cli.tables import Table

ACTIVITY_SECONDS = 5
"""Time span in seconds for rates and latencies."""


@dataclass(frozen=True)
class EventLines:
    """Events as wide as the panel."""

    events: Sequence[Mapping[str, Any]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        for event in self.events:
            yield from draw.event_lines(event, options.max_width)


def render_status(
    document: dict[str, Any], live: list[dict[str, Any]], events: list[dict[str, Any]], *, boxed: bool
) -> Panel | Group:
    """Render an endpoint during a rollout (or at rest): in a box on a terminal, plain in a pipe."""
    parts: list[Table | Text | EventLines] = []
    rollout = document["rollout"]
    if rollout is not None:
        parts += _render_rollout(rollout, bar=boxed)
    parts.append(draw.fleet_table(document, live))
    if several := draw.architecture_table(document):
        parts += [Text(), several]
    if document.get("scaling"):
        parts += [Text(), draw.scaling_table(document["scaling"])]
    if document["alarms"]:
        parts += [Text(), draw.alarm_table(document["alarms"])]
    if events:
        parts += [Text(), EventLines(events)]
    if document["why"]:
        parts += [Text(), Text(document["why"])]
    title = Text.assemble((document["name"], "bold"), "  ", draw.status_text(document["status"]))
    if not boxed:
        return Group(title, Text(), *parts)
    return Panel(Group(*parts), title=title, title_align="left", padding=(1, 2))


def _render_rollout(rollout: dict[str, Any], *, bar: bool) -> list[Table | Text]:
    share = rollout["share"]
    where = f"{rollout['phase']}, stage {rollout['stage']} of {rollout['stages']}"
    baking = f", {draw.format_time_left(rollout['bake_until'])} of the bake left" if rollout["bake_until"] else ""
    paused = f"  paused by {rollout['paused']['by']}" if rollout["paused"] else ""
    following = f"  next {share['next']:g} %" if share["next"] is not None else ""
    parts: list[Table | Text] = [
        Text.assemble((rollout["from"] or "(nothing)", draw.OLD), " -> ", (rollout["to"], draw.NEW)),
        Text.assemble(
            draw.traffic_bar(share["now"]) if bar else "",
            "  " if bar else "",
            f"{share['now']:g} % new{following}",
        ),
        Text.assemble(where, baking, (paused, "bold yellow")),
    ]
    if rollout["reason"]:
        parts.append(Text(rollout["reason"], style="bold red"))
    parts += [
        Text(f"{one['type']}: {one['message']}", style="yellow")
        for one in rollout["conditions"]
        if one["status"] and one["message"]
    ]
    return [*parts, Text()]
