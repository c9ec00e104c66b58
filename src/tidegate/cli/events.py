"""``events``: the journal of an endpoint."""

import json
from collections import deque
from typing import Annotated, Any

import typer

from tidegate.cli import draw
from tidegate.cli.client import ApiClient
from tidegate.cli.output import AsJson, Name, client, console

WAIT = 20
"""Seconds that the server waits for news before it answers that there are none."""


def events(
    name: Name,
    tail: Annotated[int, typer.Option(min=0, max=10_000, help="Number of last events.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep printing new events until Ctrl-C.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what happened to an endpoint, and follow it.

    Deployments, stages of rollouts, alarms, commands and who gave them; also of an endpoint that was deleted. With
    --json one object per line.

    \b
    Examples:
      tidegate events fraud
      tidegate events fraud --follow
      tidegate events fraud --tail 1000 --json | jq -r .message
    """
    with client() as server:
        found, after = read_events(server, name, tail)
        _print_events(found, as_json)
        while follow:
            page = server.events(name, after, wait=WAIT)
            after = page["next"]
            _print_events(page["events"], as_json)


def read_events(server: ApiClient, name: str, tail: int) -> tuple[list[dict[str, Any]], int]:
    """The last ``tail`` events, and the journal's position after them."""
    kept: deque[dict[str, Any]] = deque(maxlen=tail)
    after = 0
    while True:
        page = server.events(name, after)
        kept.extend(page["events"])
        if page["next"] == after:
            return list(kept), after
        after = page["next"]


def _print_events(found: list[dict[str, Any]], as_json: bool) -> None:
    screen = console()
    for event in found:
        if as_json:
            print(json.dumps(event), flush=True)
        else:
            screen.print(*draw.event_lines(event, screen.width), sep="\n")
