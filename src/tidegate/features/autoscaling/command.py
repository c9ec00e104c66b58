"""``show scaling``: shows an endpoint's scalable targets, policies and activities."""

import json
from typing import Annotated, Any

import typer

from tidegate.cli import draw
from tidegate.cli.output import AsJson, Name, client, console
from tidegate.cli.tables import Table, key, number, sentence


def scaling(
    name: Name,
    limit: Annotated[int, typer.Option(min=0, max=1_000, help="Maximum number of activities, newest first.")] = 20,
    all: Annotated[bool, typer.Option("--all", help="Include activities that changed nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what is scaled, by which rules, and why.

    The endpoint's scalable targets, their policies and scheduled actions, and what scaling did, with its causes.

    \b
    Examples:
      tidegate show scaling fraud
      tidegate show scaling fraud --all --json | jq '.activities[].cause'
    """
    with client() as server:
        document = server.scaling(name, limit, all)
    if as_json:
        print(json.dumps(document))
        return
    if not document["targets"]:
        print(f'endpoint "{name}" has no scalable targets: use autoscaling in its spec, or RegisterScalableTarget')
    screen = console()
    for target in document["targets"]:
        screen.print(draw.scaling_table([target]))
        if target["policies"] or target["scheduled_actions"]:
            screen.print(_rule_table(target))
    if document["activities"]:
        screen.print(_activity_table(document["activities"]))


def _rule_table(target: dict[str, Any]) -> Table:
    shown = Table(key("POLICY"), key("KIND"), key("ALARMS"), sentence("WHY"))
    for policy in target["policies"]:
        alarms = ", ".join(alarm["state"] for alarm in policy["alarms"])
        shown.add_row(policy["name"], policy["kind"], alarms or "-", _format_content(policy["content"]))
    for action in target["scheduled_actions"]:
        bounds = f"min {action['minimum']}, max {action['maximum']}"
        shown.add_row(action["name"], "scheduled", "-", f"{action['schedule']} {action['timezone']}: {bounds}")
    return shown


def _format_content(content: dict[str, Any]) -> str:
    plain = {key: value for key, value in content.items() if isinstance(value, int | float | str)}
    return ", ".join(f"{key} {value}" for key, value in plain.items())


def _activity_table(found: list[dict[str, Any]]) -> Table:
    shown = Table(key("AT"), key("VARIANT"), number("FROM"), number("TO"), key("STATUS"), sentence("WHY"))
    for one in found:
        reasons = f" ({', '.join(one['not_scaled'])})" if one["not_scaled"] else ""
        why = f"{one['cause']}{reasons}" + (f": {one['message']}" if one["status"] == "Failed" else "")
        shown.add_row(
            draw.format_time(one["started_at"]),
            one["variant"],
            str(one["before"]),
            str(one["desired"]),
            draw.status_text(one["status"]),
            why,
        )
    return shown
