"""``list``, ``status`` and ``show models``: what there is, and how it is."""

import json
from typing import Annotated, Any

import typer

from tidegate.cli import draw
from tidegate.cli.output import AsJson, Name, client, console
from tidegate.cli.status_panel import ACTIVITY_SECONDS, render_status
from tidegate.cli.tables import Table, key, number, sentence
from tidegate.cli.watch_status import watch_status
from tidegate.domain.memory_sizes import format_size


def status(
    name: Annotated[str | None, typer.Argument(metavar="[ENDPOINT]", help="Endpoint to show in detail.")] = None,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Keep showing it until Ctrl-C; in a pipe, as it changes.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List all endpoints, or show one in detail.

    \b
    Examples:
      tidegate status
      tidegate status fraud --watch
      tidegate ls --json | jq -r '.endpoints[].name'
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

    For each instance, with the memory they take, how often they are asked and what they answered in the last ten to
    twenty minutes.

    \b
    Examples:
      tidegate show models clients
      tidegate show models clients --limit 1000 --json
    """
    with client() as server:
        found = [one for one in server.models(name, limit) if "signature" not in one]
    if as_json:
        print(json.dumps({"replicas": found}))
        return
    answers = (number("P50/P99", 1), number("ERRORS", 1), number("LAST", 2))
    shown = Table(
        key("INSTANCE"), key("MODEL"), key("STATE"), number("MEMORY"), number("REQ/S"), *answers, sentence("WHY")
    )
    for one in found:
        if "models" not in one:
            shown.add_row(one["replica"], "(no response)", *("" for _ in range(7)))
            continue
        memory = f"{format_size(one['held'])}/{format_size(one['memory'])}"
        shown.add_row(one["replica"], f"({one['loaded']} loaded)", "", memory, *("" for _ in range(5)))
        for model in one["models"]:
            state = model["state"] + (", pinned" if model["pinned"] else "")
            rate = draw.format_number(model["requests_per_second"], 2)
            told = _answer_cells(model.get("answers"))
            shown.add_row("", model["name"], state, format_size(model["bytes"]), rate, *told, model["reason"])
    if found:
        console().print(shown)
    else:
        print(f'no instance of endpoint "{name}" serves multiple models')


def _answer_cells(told: dict[str, Any] | None) -> tuple[str, str, str]:
    """Latencies, errors and last use; empty for a model that has not answered, or whose instance does not tell."""
    if told is None:
        return "", "", ""
    latencies = "/".join("-" if told[part] is None else f"{told[part]:.3g}" for part in ("p50_ms", "p99_ms"))
    errors = f"{told['errors'] / told['requests']:.1%}" if told["requests"] else "-"
    return f"{latencies} ms", errors, f"{draw.format_duration(told['seconds_since_last'])} ago"
