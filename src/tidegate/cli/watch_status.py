"""``status --watch``: the present state, again and again; on a terminal in its place, elsewhere as it changes.

A server that does not answer ends nothing: what was seen last stays, with a line that says how old it is.
"""

import json
import sys
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from tidegate.cli import draw
from tidegate.cli.client import ApiClient, ServerError
from tidegate.cli.output import console, print_note
from tidegate.cli.status_panel import ACTIVITY_SECONDS, fit_status, render_status
from tidegate.domain.errors import Conflict, Unavailable

POLL_EVERY = 1.0
AGE_LINE = 1
"""Lines that the note about a silent server takes, from the table's share of the screen."""


@dataclass(frozen=True)
class StatusSnapshot:
    """State of the server at one time: all endpoints, or the one that is watched with its activity."""

    endpoints: list[dict[str, Any]]
    live: list[dict[str, Any]] | None = None

    def document(self) -> dict[str, Any]:
        """Return the document that ``status --json`` prints."""
        if self.live is None:
            return {"endpoints": self.endpoints}
        return {**self.endpoints[0], "live": self.live}

    def state(self) -> str:
        """Return all but activity and counts of instances' seconds, which change each time."""
        return json.dumps(self.endpoints, sort_keys=True)


def watch_status(server: ApiClient, name: str | None, as_json: bool) -> NoReturn:
    """Watch until Ctrl-C. Raises Conflict once the endpoint ``name`` is gone, and at the first look what is wrong."""
    look = _look(server, name)
    if sys.stdout.isatty() and not as_json:
        _watch_in_place(server, name, look)
    else:
        _watch_in_lines(server, name, look, as_json)


def _look(server: ApiClient, name: str | None) -> StatusSnapshot:
    if name is None:
        return StatusSnapshot(server.endpoints())
    return StatusSnapshot([server.endpoint(name)], server.live(name, ACTIVITY_SECONDS))


def _look_again(server: ApiClient, name: str | None) -> StatusSnapshot | str:
    """The next look, or why there is none."""
    try:
        return _look(server, name)
    except ServerError as error:
        if error.status == 404 and name is not None:
            raise Conflict(f'endpoint "{name}" is gone') from None
        return error.message
    except Unavailable as error:
        return error.message


def _watch_in_place(server: ApiClient, name: str | None, look: StatusSnapshot) -> NoReturn:
    out, seen = console(), datetime.now()
    with Live(render_look(look, out, ""), console=out, refresh_per_second=4) as live:
        while True:
            time.sleep(POLL_EVERY)
            found = _look_again(server, name)
            if isinstance(found, StatusSnapshot):
                look, seen, note = found, datetime.now(), ""
            else:
                note = f"as of {seen:%H:%M:%S}: {found}"
            live.update(render_look(look, out, note))


def render_look(look: StatusSnapshot, out: Console, note: str) -> RenderableType:
    told = [Text(note, "bold yellow", no_wrap=True, overflow="ellipsis")] if note else []
    if look.live is not None:
        return Group(fit_status(look.endpoints[0], look.live, [], out), *told)
    if not look.endpoints:
        return Group(Text("no endpoints yet: tidegate deploy SPEC makes one"), *told)
    lines = draw.endpoint_table(look.endpoints).lines(out.width, wrap=False)
    most = out.height - 2 - AGE_LINE
    if len(lines) > most:
        hidden = len(lines) - most
        lines = [*lines[:most], Text(f"{hidden} more lines: 'tidegate status' shows all", "dim")]
    return Group(*lines, *told)


def _watch_in_lines(server: ApiClient, name: str | None, look: StatusSnapshot, as_json: bool) -> NoReturn:
    """The state at first, and whenever it has changed."""
    _print(look, as_json)
    silent = False
    while True:
        time.sleep(POLL_EVERY)
        found = _look_again(server, name)
        if isinstance(found, str):
            if not silent:
                print_note(f"tidegate: {datetime.now():%H:%M:%S} {found}")
            silent = True
            continue
        if silent:
            print_note(f"tidegate: {datetime.now():%H:%M:%S} it answers again")
        if found.state() != look.state():
            _print(found, as_json)
        look, silent = found, False


def _print(look: StatusSnapshot, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"at": datetime.now().astimezone().isoformat(timespec="seconds"), **look.document()}))
    else:
        out = console()
        out.print(f"{datetime.now():%Y-%m-%d %H:%M:%S}")
        if look.live is None:
            out.print(draw.endpoint_table(look.endpoints) if look.endpoints else "no endpoints yet")
        else:
            out.print(render_status(look.endpoints[0], look.live, [], boxed=False))
        out.print()
    sys.stdout.flush()
