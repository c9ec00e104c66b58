"""Follows a rollout until it ends: a live panel on a terminal, a line per event elsewhere, JSON for programs."""

import json
import sys
import time
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from tidegate.cli import draw
from tidegate.cli.client import ApiClient, ServerError
from tidegate.cli.output import console
from tidegate.domain.errors import Conflict

ACTIVITY_SECONDS = 5
"""Time span in seconds for rates and latencies."""
EVENTS_SHOWN = 8
POLL_EVERY = 0.5


def follow(
    server: ApiClient, name: str, *, after: int = 0, wanted: str | None = None, as_json: bool = False
) -> None:
    """Follow until no rollout is in progress.

    ``wanted`` is the config that must serve then; raises Conflict with the reason if another one does. None: the
    config that the rollout, if there is one, leads to.
    """
    rollout = server.endpoint(name)["rollout"]
    wanted = wanted or (rollout["to"] if rollout else None)
    on_terminal = sys.stdout.isatty() and not as_json
    document = (
        _follow_as_panel(server, name, after) if on_terminal else _follow_as_lines(server, name, after, as_json)
    )
    if document is None:
        raise Conflict(f'endpoint "{name}" is gone')
    if wanted is not None and (document["config"] != wanted or document["status"] != "InService"):
        last = document["last"] or {}
        raise Conflict(document["failure_reason"] or last.get("reason") or document["why"])


def latest_event(server: ApiClient, name: str) -> int:
    """The journal's current position, so that only later events are shown."""
    after = 0
    while True:
        found = server.events(name, after)
        if found["next"] == after:
            return after
        after = found["next"]


def _find_endpoint(server: ApiClient, name: str) -> dict[str, Any] | None:
    try:
        return server.endpoint(name)
    except ServerError as error:
        if error.status == 404:
            return None
        raise


def _has_rollout(document: dict[str, Any] | None) -> bool:
    return document is not None and (document["rollout"] is not None or document["status"] == "Deleting")


def _follow_as_lines(server: ApiClient, name: str, after: int, as_json: bool) -> dict[str, Any] | None:
    out = console()
    while True:
        document = _find_endpoint(server, name)
        found = server.events(name, after, wait=2 if _has_rollout(document) else 0)
        after = found["next"]
        for event in found["events"]:
            if as_json:
                print(json.dumps({"event": event}), flush=True)
            else:
                out.print(draw.format_event(event), soft_wrap=True)
        if not _has_rollout(document) and not found["events"]:
            if as_json:
                print(json.dumps({"endpoint": document}), flush=True)
            return document


def _follow_as_panel(server: ApiClient, name: str, after: int) -> dict[str, Any] | None:
    events: list[dict[str, Any]] = []
    last: dict[str, Any] | None = None
    with Live(console=console(), refresh_per_second=4) as live:
        while True:
            document = _find_endpoint(server, name)
            found = server.events(name, after)
            after = found["next"]
            events = (events + found["events"])[-EVENTS_SHOWN:]
            if document is not None:
                last = document
                seconds = server.live(name, ACTIVITY_SECONDS)
                live.update(render_panel(document, seconds, events), refresh=True)
            if not _has_rollout(document) and not found["events"]:
                return last if document is not None else None
            time.sleep(POLL_EVERY)


def render_panel(document: dict[str, Any], live: list[dict[str, Any]], events: list[dict[str, Any]]) -> Panel:
    """Render an endpoint during a rollout (or at rest)."""
    parts: list[Table | Text] = []
    rollout = document["rollout"]
    if rollout is not None:
        parts += _render_rollout(rollout)
    parts.append(draw.fleet_table(document, live))
    if several := draw.architecture_table(document):
        parts += [Text(), several]
    if document.get("scaling"):
        parts += [Text(), draw.scaling_table(document["scaling"])]
    if document["alarms"]:
        parts += [Text(), draw.alarm_table(document["alarms"])]
    if events:
        parts += [Text(), *(draw.format_event(event) for event in events)]
    if document["why"]:
        parts += [Text(), Text(document["why"])]
    title = Text.assemble((document["name"], "bold"), "  ", draw.status_text(document["status"]))
    return Panel(
        Group(*parts),
        title=title,
        title_align="left",
        padding=(1, 2),
        expand=sys.stdout.isatty(),
    )


def _render_rollout(rollout: dict[str, Any]) -> list[Table | Text]:
    share = rollout["share"]
    where = f"{rollout['phase']}, stage {rollout['stage']} of {rollout['stages']}"
    baking = f", {draw.format_time_left(rollout['bake_until'])} of the bake left" if rollout["bake_until"] else ""
    paused = f"  paused by {rollout['paused']['by']}" if rollout["paused"] else ""
    following = f"  next {share['next']:g} %" if share["next"] is not None else ""
    parts: list[Table | Text] = [
        Text.assemble((rollout["from"] or "(nothing)", draw.OLD), " -> ", (rollout["to"], draw.NEW)),
        Text.assemble(draw.traffic_bar(share["now"]), f"  {share['now']:g} % new{following}"),
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
