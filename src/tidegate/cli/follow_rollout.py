"""Follows a rollout until it ends: a live panel on a terminal, a line per event elsewhere, JSON for programs."""

import json
import sys
import time
from datetime import datetime
from typing import Any

from rich.live import Live

from tidegate.cli import draw
from tidegate.cli.client import ApiClient, ServerError
from tidegate.cli.output import console
from tidegate.cli.status_panel import ACTIVITY_SECONDS, fit_status, render_status
from tidegate.domain.errors import Conflict

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
    check_outcome(name, document, wanted)


def follow_silently(server: ApiClient, name: str, wanted: str) -> dict[str, Any]:
    """Like ``follow``, without a word; the endpoint's status at the end."""
    while _has_rollout(document := _find_endpoint(server, name)):
        time.sleep(POLL_EVERY)
    return check_outcome(name, document, wanted)


def check_outcome(name: str, document: dict[str, Any] | None, wanted: str | None) -> dict[str, Any]:
    """The status, if the config ``wanted`` serves (None: any). Raises Conflict with the reason if it does not."""
    if document is None:
        raise Conflict(f'endpoint "{name}" is gone')
    if wanted is not None and (document["config"] != wanted or document["status"] != "InService"):
        last = document["last"] or {}
        raise Conflict(document["failure_reason"] or last.get("reason") or document["why"])
    return document


def latest_event(server: ApiClient, name: str) -> int:
    """The journal's current position, so that only later events are shown."""
    after = 0
    while True:
        found = server.events(name, after)
        if found["next"] == after:
            return after
        after = found["next"]


def start_of_rollout(server: ApiClient, name: str, started_at: str) -> int:
    """The journal's position before the first event of a rollout that began at this time."""
    began, after = datetime.fromisoformat(started_at), 0
    while True:
        found = server.events(name, after)
        later = [one for one in found["events"] if datetime.fromisoformat(one["at"]) >= began]
        if later:
            return int(later[0]["seq"]) - 1
        if found["next"] == after:
            return after
        after = int(found["next"])


def _find_endpoint(server: ApiClient, name: str) -> dict[str, Any] | None:
    try:
        return server.endpoint(name)
    except ServerError as error:
        if error.status == 404:
            return None
        raise


def _has_rollout(document: dict[str, Any] | None) -> bool:
    """Whether the end is to be waited for. A holdback is not: the new version has passed and serves."""
    if document is None or document["status"] == "Deleting":
        return document is not None
    return document["rollout"] is not None and not document["rollout"].get("holdback")


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
                out.print(*draw.event_lines(event, out.width), sep="\n")
        if not _has_rollout(document) and not found["events"]:
            if as_json:
                print(json.dumps({"endpoint": document}), flush=True)
            return document


def _follow_as_panel(server: ApiClient, name: str, after: int) -> dict[str, Any] | None:
    events: list[dict[str, Any]] = []
    last: dict[str, Any] | None = None
    out = console()
    with Live(console=out, refresh_per_second=4) as live:
        while True:
            document = _find_endpoint(server, name)
            found = server.events(name, after)
            after = found["next"]
            events = (events + found["events"])[-EVENTS_SHOWN:]
            if document is not None:
                last = document
                seconds = server.live(name, ACTIVITY_SECONDS)
                over = not _has_rollout(document) and not found["events"]
                # What stays on the screen may be higher than it.
                whole = render_status(document, seconds, events, boxed=True) if over else None
                live.update(whole or fit_status(document, seconds, events, out), refresh=not over)
            if not _has_rollout(document) and not found["events"]:
                return last if document is not None else None
            time.sleep(POLL_EVERY)
