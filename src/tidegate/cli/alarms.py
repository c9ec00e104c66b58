"""``show alarms``: every alarm with its state, its condition and its reason."""

import json
from collections.abc import Iterable
from typing import Annotated, Any

import typer

from tidegate.cli import draw
from tidegate.cli.client import ApiClient
from tidegate.cli.output import AsJson, client, console, print_note
from tidegate.cli.tables import Table, key, sentence
from tidegate.domain.endpoint import UNREADABLE
from tidegate.domain.metric_units import LATENCIES, RATES

CONFIG = "EndpointConfigName"
"""Dimension of an alarm that watches one version."""


def alarms(
    all: Annotated[bool, typer.Option("--all", help="Also alarms of versions that are gone.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the alarms: state, condition and reason.

    Alarms of versions that no endpoint has any more are left out unless --all is given.

    \b
    Examples:
      tidegate show alarms
      tidegate show alarms --all --json
    """
    with client() as server:
        known = server.alarms()
        found = known if all else _of_present_versions(server, known)
    if as_json:
        print(json.dumps({"alarms": found}))
        return
    if found:
        console().print(alarm_table(found))
    elif not known:
        print("no alarms yet: a spec's 'alarms' or CloudWatch's PutMetricAlarm makes one")
    if hidden := len(known) - len(found):
        print_note(f"{hidden} of versions that are gone: --all shows them")


def alarm_table(found: Iterable[dict[str, Any]]) -> Table:
    """A row for each alarm of a listing."""
    shown = Table(key("ALARM"), key("STATE"), sentence("WHEN"), sentence("WHY"))
    for one in found:
        shown.add_row(one["name"], draw.status_text(one["state"]), format_condition(one), one["state_reason"])
    return shown


def _of_present_versions(server: ApiClient, known: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Alarms but those that watch a version alone which no endpoint has."""
    versions = {one["name"]: (one.get("dimensions") or {}).get(CONFIG) for one in known}
    if not any(versions.values()):
        return known
    endpoints = server.endpoints()
    if any(endpoint["status"] == UNREADABLE for endpoint in endpoints):
        return known
    present = {config for endpoint in endpoints for config in _configs(endpoint)}
    return [one for one in known if versions[one["name"]] is None or versions[one["name"]] in present]


def _configs(endpoint: dict[str, Any]) -> set[str | None]:
    rollout = endpoint["rollout"] or {}
    fleets = {fleet["config"] for fleet in endpoint["fleets"]}
    return {endpoint["config"], rollout.get("from"), rollout.get("to"), *fleets}


def format_condition(alarm: dict[str, Any]) -> str:
    if alarm.get("rule"):
        return str(alarm["rule"])
    signs = {"GreaterThanThreshold": ">", "GreaterThanOrEqualToThreshold": ">=", "LessThanThreshold": "<"}
    sign = signs.get(alarm["comparison"], "<=")
    period = draw.format_span(alarm["period"])
    window = f"{alarm['datapoints_to_alarm']} of {alarm['evaluation_periods']} x {period}"
    limit = f"{alarm['threshold']:g}"
    if alarm["metric"] in LATENCIES:
        seconds = alarm["threshold"] / 1_000_000
        limit = draw.format_span(seconds) if seconds >= 60 else f"{seconds * 1000:g} ms"
    elif alarm["metric"] in RATES and alarm["statistic"] == "Average":
        limit = f"{alarm['threshold'] * 100:g} %"
    watched = next((line for line in alarm.get("queries", ()) if line["returned"]), None)
    what = f"{alarm['statistic']} {alarm['metric']}" if watched is None else watched["expression"] or watched["id"]
    return f"{what} {sign} {limit}, {window}"
