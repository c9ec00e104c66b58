"""An endpoint as a row of the list. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from tidegate.console import figures
from tidegate.console.activity import RecentActivity
from tidegate.domain.endpoint import UNREADABLE

Row = dict[str, Any]
GOOD, WARN, BAD, PLAIN = "good", "warn", "bad", ""
TONES: Mapping[str, str] = {
    "InService": GOOD,
    "Creating": PLAIN,
    "Updating": PLAIN,
    "RollingBack": WARN,
    "Deleting": WARN,
    "UpdateRollbackFailed": BAD,
    "Failed": BAD,
    UNREADABLE: BAD,
}
OUTCOMES: Mapping[str, tuple[str, str]] = {
    "Succeeded": ("passed", GOOD),
    "RolledBack": ("rolled back", WARN),
    "RollbackFailed": ("rollback failed", BAD),
    "Failed": ("failed", BAD),
}
PHASES: Mapping[str, str] = {
    "Provisioning": "starting instances",
    "ActivatingTraffic": "shifting traffic",
    "Baking": "baking",
    "Terminating": "removing the old version",
    "RollingBack": "rolling back",
}
ERRORS_BAD = 0.05
"""Fraction of failing requests from which on the figure stands out."""


def make_row(
    brief: Row, document: Mapping[str, Any], activity: RecentActivity, rates: Sequence[float], now: datetime
) -> Row:
    """Make the row of an endpoint. ``document`` describes the endpoint as the native API does
    (``service.views.endpoint_view``); ``brief`` is made of it."""
    errors = activity.errors
    return {
        **brief,
        "versions": _versions(document["fleets"]),
        "points": figures.spark_points(rates),
        "peak": figures.format_rate(max(rates, default=0.0)),
        "rate": figures.format_rate(activity.rate),
        "p50": figures.format_milliseconds(activity.p50_ms),
        "p99": figures.format_milliseconds(activity.p99_ms),
        "errors": figures.format_percent(errors),
        "errors_tone": BAD if errors is not None and errors >= ERRORS_BAD else PLAIN,
        **_instances(document["fleets"]),
        "last": _last(document["last"], now),
    }


def make_brief(document: Mapping[str, Any]) -> Row:
    """Make the part of a row that needs no metrics."""
    return {
        "name": document["name"],
        "target": document["target"] or "",
        "status": document["status"],
        "tone": TONES.get(document["status"], PLAIN),
        "detail": describe_state(document),
        "ringing": [alarm["name"] for alarm in document["alarms"] if alarm["state"] == "ALARM"],
    }


def describe_state(document: Mapping[str, Any]) -> str:
    """Describe what an endpoint is doing now, or why it failed. The text is empty for one that serves undisturbed."""
    rollout, notes = document["rollout"], "; ".join(document.get("notes", ()))
    if rollout is None:
        return document["failure_reason"] or (notes if document["status"] == "InService" else document["why"])
    text = f"{PHASES.get(rollout['phase'], rollout['phase'])}, stage {rollout['stage']} of {rollout['stages']}"
    return f"paused by {rollout['paused']['by']}; {text}" if rollout["paused"] else text


def needs_attention(row: Row) -> bool:
    return row["tone"] == BAD or bool(row["ringing"])


def is_changing(row: Row) -> bool:
    return row["status"] in ("Creating", "Updating", "RollingBack", "Deleting")


def summarise(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """Counts of the endpoints by what they need, as text and tone."""
    attention = sum(map(needs_attention, rows))
    moving = sum(map(is_changing, rows))
    serving = sum(1 for row in rows if row["status"] == "InService")
    found = [(f"{serving} in service", GOOD if serving else PLAIN)]
    if moving:
        found.append((f"{moving} changing", PLAIN))
    if attention:
        found.append((f"{attention} with an alarm or a failure", BAD))
    return found


def _describe_requested(fleets: Sequence[Mapping[str, Any]]) -> str:
    """The share of these fleets that was requested, where another one is in force."""
    if not any("requested" in one for one in fleets):
        return ""
    return f" ({sum(one.get('requested', one['share']) for one in fleets):g} % requested)"


def _versions(fleets: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Return each config that runs, with its share, and with its variants if it has several."""
    configs: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for fleet in fleets:
        if fleet["side"] != "leaving":
            configs.setdefault((fleet["config"] or UNNAMED, fleet["side"]), []).append(fleet)
    return [
        {
            "config": config,
            "side": side,
            "share": f"{sum(one['share'] for one in found):g} %" + _describe_requested(found),
            "variants": [
                (one["variant"], f"{one['share']:g} %" if one["copies"] is None else f"copies {one['copies']:g} %")
                for one in found
            ]
            if len(found) > 1
            else [],
        }
        for (config, side), found in configs.items()
    ]


UNNAMED = "(unnamed)"


def _instances(fleets: Sequence[Mapping[str, Any]]) -> Row:
    ready, desired = sum(one["ready"] for one in fleets), sum(one["desired"] for one in fleets)
    starting = sum(one["starting"] for one in fleets)
    return {
        "ready": ready,
        "desired": desired,
        "starting": starting,
        "instances_tone": WARN if ready < desired and not starting else PLAIN,
    }


def _last(last: Mapping[str, Any] | None, now: datetime) -> Row | None:
    if last is None:
        return None
    words, tone = OUTCOMES.get(last["outcome"], (last["outcome"], PLAIN))
    return {
        "to": last["to"],
        "outcome": words,
        "tone": tone,
        "age": figures.format_age(last["ended_at"], now),
        "reason": last["reason"] or "",
    }
