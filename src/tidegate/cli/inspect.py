"""``status``, ``alarms``, ``logs``, ``version`` and ``schema``: read-only commands."""

import json
import time
from typing import Annotated, Any

import typer

from tidegate import __version__, spec
from tidegate.cli import draw, follow_rollout
from tidegate.cli.client import ServerNotRunning
from tidegate.cli.output import AsJson, Name, client, console, show
from tidegate.domain.errors import NotFound
from tidegate.spec.problem import suggest
from tidegate.spec.units import LATENCIES, seconds

FOLLOW_TAIL = 1000
POLL_EVERY = 0.5


def status(
    name: Annotated[str | None, typer.Argument(metavar="[ENDPOINT]", help="Endpoint to show in detail.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show all endpoints, or one in detail.

    \b
    Examples:
      tidegate status
      tidegate status fraud
      tidegate status --json | jq '.endpoints[].status'
    """
    with client() as server:
        if name is None:
            found = server.endpoints()
            if as_json:
                print(json.dumps({"endpoints": found}))
            elif found:
                console().print(draw.endpoint_table(found))
            else:
                print("no endpoints yet: tidegate deploy SPEC makes one")
            return
        document = server.endpoint(name)
        live = server.live(name, follow_rollout.ACTIVITY_SECONDS)
        if as_json:
            print(json.dumps({**document, "live": live}))
        else:
            console().print(follow_rollout.render_panel(document, live, []))


def alarms(as_json: AsJson = False) -> None:
    """List every alarm with its state, threshold and reason.

    \b
    Examples:
      tidegate alarms
      tidegate alarms --json
    """
    with client() as server:
        found = server.alarms()
    if as_json:
        print(json.dumps({"alarms": found}))
        return
    shown = draw.make_table("ALARM", "STATE", "WHEN", "WHY")
    for one in found:
        shown.add_row(one["name"], draw.status_text(one["state"]), _format_condition(one), one["state_reason"])
    if found:
        console().print(shown)
    else:
        print("no alarms yet: a spec's 'alarms' or CloudWatch's PutMetricAlarm makes one")


def shadow(
    name: Name,
    last: Annotated[str, typer.Option(metavar="TIME", help="How far back to look.")] = "1h",
    as_json: AsJson = False,
) -> None:
    """Compare an endpoint's shadow variant with its production variant.

    \b
    Examples:
      tidegate shadow fraud
      tidegate shadow fraud --last 10m --json
    """
    with client() as server:
        document = server.shadow(name, seconds(last, ("--last",), least=1))
    if as_json:
        print(json.dumps(document))
        return
    for one in document["comparisons"]:
        console().print(draw.comparison_table(one))
        print(draw.format_verdict(one))
    print(f"pairs of answers: {document['kept']}")


def logs(
    name: Name,
    tail: Annotated[int, typer.Option(min=1, max=10_000, help="Number of last lines of each replica.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep printing new lines until Ctrl-C.")] = False,
    replica: Annotated[str | None, typer.Option(help="Only this replica.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show the output of an endpoint's replicas (stdout and stderr).

    \b
    Examples:
      tidegate logs fraud
      tidegate logs fraud --follow --replica r-1a2b3c
    """
    with client() as server:
        found = server.logs(name, tail)
        _require_log(replica, found)
        _print_logs(_select_replicas(found, replica), as_json)
        seen = {one["replica"]: one["lines"] for one in server.logs(name, FOLLOW_TAIL)} if follow else {}
        while follow:
            time.sleep(POLL_EVERY)
            now = _select_replicas(server.logs(name, FOLLOW_TAIL), replica)
            _print_logs(
                [{**one, "lines": _new_lines(seen.get(one["replica"], []), one["lines"])} for one in now], as_json
            )
            seen = {one["replica"]: one["lines"] for one in now}


def models(
    name: Name,
    limit: Annotated[
        int, typer.Option(min=0, max=10_000, help="Maximum number of models per instance, most used first.")
    ] = 20,
    as_json: AsJson = False,
) -> None:
    """Show which models each instance of a multi-model endpoint has loaded.

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
    shown = draw.make_table("INSTANCE", "MODEL", "STATE", ">MEMORY", ">REQ/S", "WHY")
    for one in found:
        if "models" not in one:
            shown.add_row(one["replica"], "(no response)", "", "", "")
            continue
        memory = f"{draw.format_size(one['held'])}/{draw.format_size(one['memory'])}"
        shown.add_row(one["replica"], f"({one['loaded']} loaded)", "", memory, "")
        for model in one["models"]:
            state = model["state"] + (", pinned" if model["pinned"] else "")
            rate = draw.format_number(model["requests_per_second"], 2)
            shown.add_row("", model["name"], state, draw.format_size(model["bytes"]), rate, model["reason"])
    if found:
        console().print(shown)
    else:
        print(f'no instance of endpoint "{name}" serves multiple models')


def version(as_json: AsJson = False) -> None:
    """Show the version of this command and of the server, if one runs.

    \b
    Example:
      tidegate version --json
    """
    with client() as server:
        try:
            running: dict[str, Any] | None = server.version()
        except ServerNotRunning:
            running = None
        there = f"server {running['version']} at {server.url}" if running else f"no server at {server.url}"
    show({"version": __version__, "server": running}, as_json, f"tidegate {__version__}, {there}")


def schema() -> None:
    """Print the JSON Schema of spec files.

    \b
    Example:
      tidegate schema > spec.schema.json
    """
    print(json.dumps(spec.schema(), indent=2))


def _format_condition(alarm: dict[str, Any]) -> str:
    signs = {"GreaterThanThreshold": ">", "GreaterThanOrEqualToThreshold": ">=", "LessThanThreshold": "<"}
    sign = signs.get(alarm["comparison"], "<=")
    window = f"{alarm['datapoints_to_alarm']} of {alarm['evaluation_periods']} x {alarm['period']} s"
    limit = f"{alarm['threshold']:g}"
    if alarm["metric"] in LATENCIES:
        limit = f"{alarm['threshold'] / 1000:g} ms"
    watched = next((line for line in alarm.get("queries", ()) if line["returned"]), None)
    what = f"{alarm['statistic']} {alarm['metric']}" if watched is None else watched["expression"] or watched["id"]
    return f"{what} {sign} {limit}, {window}"


def _require_log(replica: str | None, found: list[dict[str, Any]]) -> None:
    """Raises NotFound if the replica has no log."""
    names = [one["replica"] for one in found]
    if replica is not None and replica not in names:
        raise NotFound(f"there is no log of replica {replica!r}{suggest(replica, names)}")


def _select_replicas(found: list[dict[str, Any]], replica: str | None) -> list[dict[str, Any]]:
    return [one for one in found if replica is None or one["replica"] == replica]


def _print_logs(found: list[dict[str, Any]], as_json: bool) -> None:
    for one in found:
        for line in one["lines"]:
            if as_json:
                print(json.dumps({key: value for key, value in one.items() if key != "lines"} | {"line": line}))
            else:
                print(f"{one['replica']} | {line}", flush=True)


def _new_lines(before: list[str], now: list[str]) -> list[str]:
    """Lines of ``now`` that follow ``before``; both are ends of the same file."""
    for start in range(len(before) + 1):
        kept = before[start:]
        if now[: len(kept)] == kept:
            return now[len(kept) :]
    return now
