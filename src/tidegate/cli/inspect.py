"""``list``, ``status`` and ``models``: what there is, and how it is."""

import json
from typing import Annotated, Any

import typer

from tidegate.cli import draw
from tidegate.cli.output import AsJson, Name, client, console
from tidegate.cli.status_panel import ACTIVITY_SECONDS, render_status
from tidegate.cli.tables import Table, key, number, sentence
from tidegate.cli.watch_status import watch_status


def list_endpoints(as_json: AsJson = False) -> None:
    """List the endpoints.

    \b
    Examples:
      tidegate list
      tidegate ls --json | jq -r '.endpoints[].name'
    """
    with client() as server:
        _show_endpoints(server.endpoints(), as_json)


def status(
    name: Annotated[str | None, typer.Argument(metavar="[ENDPOINT]", help="Endpoint to show in detail.")] = None,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Keep showing it until Ctrl-C; in a pipe, as it changes.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show all endpoints, or one in detail.

    \b
    Examples:
      tidegate status
      tidegate status fraud --watch
      tidegate status --json | jq '.endpoints[].status'
    """
    with client() as server:
        if watch:
            watch_status(server, name, as_json)
        if name is None:
            _show_endpoints(server.endpoints(), as_json)
            return
        document = server.endpoint(name)
        live = server.live(name, ACTIVITY_SECONDS)
    if as_json:
        print(json.dumps({**document, "live": live}))
        return
    screen = console()
    screen.print(render_status(document, live, [], boxed=screen.is_terminal))


def _show_endpoints(found: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print(json.dumps({"endpoints": found}))
    elif found:
        console().print(draw.endpoint_table(found))
    else:
        print("no endpoints yet: tidegate deploy SPEC makes one")


def models(
    name: Name,
    limit: Annotated[
        int, typer.Option(min=0, max=10_000, help="Maximum number of models per instance, most used first.")
    ] = 20,
    as_json: AsJson = False,
) -> None:
    """Show the loaded models of a multi-model endpoint.

    For each instance, with the memory they take and how often they are asked.

    \b
    Examples:
      tidegate models clients
      tidegate models clients --limit 1000 --json
    """
    with client() as server:
        found = server.models(name, limit)
    if as_json:
        print(json.dumps({"replicas": found}))
        return
    shown = Table(key("INSTANCE"), key("MODEL"), key("STATE"), number("MEMORY"), number("REQ/S"), sentence("WHY"))
    for one in found:
        if "models" not in one:
            shown.add_row(one["replica"], "(no response)", "", "", "", "")
            continue
        memory = f"{draw.format_size(one['held'])}/{draw.format_size(one['memory'])}"
        shown.add_row(one["replica"], f"({one['loaded']} loaded)", "", memory, "", "")
        for model in one["models"]:
            state = model["state"] + (", pinned" if model["pinned"] else "")
            rate = draw.format_number(model["requests_per_second"], 2)
            shown.add_row("", model["name"], state, draw.format_size(model["bytes"]), rate, model["reason"])
    if found:
        console().print(shown)
    else:
        print(f'no instance of endpoint "{name}" serves multiple models')
