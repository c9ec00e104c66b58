"""A rollout and the history of versions as text: a few short lines each, which fit a terminal of 80 columns."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from tidegate.host.late_import import load

WIDTH = 79
STATES = {
    "RollingOut": "rolling out",
    "RolledBack": "rolled back",
    "RollbackFailed": "serves beside another version: its rollback failed",
}
"""States in words, where they differ from the API's name in lower case."""


def format_share(share: float, part: Mapping[str, Any]) -> str:
    """The share in force, and the one that was requested where it differs, as ``part`` of the document says."""
    if "requested" not in part:
        return f"{share:g} %"
    asked = f"{part['requested']:g} % requested"
    return f"{share:g} %, {asked}" if part["confirmed"] else f"unknown, {asked}"


def describe_history(versions: Sequence[Mapping[str, Any]]) -> str:
    """One record of lines per version, newest first."""
    return "\n".join(line for version in versions for line in _version_lines(version)) or "no version yet"


def describe_rollout(document: Mapping[str, Any]) -> str:
    """The rollout in progress, or how the last one ended. ``document``: the endpoint's status."""
    rollout, last = document["rollout"], document["last"]
    if rollout is not None:
        lines = [f'endpoint "{document["name"]}": {rollout["from"] or "nothing"} -> {rollout["to"]}']
        lines += _rollout_fields(rollout)
    elif last is not None:
        lines = [f'endpoint "{document["name"]}": no rollout is in progress']
        lines += _fields(
            ("last", f"{last['to']}, {STATES.get(last['outcome'], last['outcome'].lower())}"),
            ("began", _time(last["started_at"])),
            ("ended", _time(last["ended_at"])),
            ("why", last["reason"]),
            *_failures(last),
        )
    else:
        lines = [f'endpoint "{document["name"]}": there has been no rollout']
    return "\n".join(lines)


def _rollout_fields(rollout: Mapping[str, Any]) -> list[str]:
    following = rollout["share"]["next"]
    share = format_share(rollout["share"]["now"], rollout["share"]) + (
        "" if following is None else f", then {following:g} %"
    )
    paused = rollout["paused"]
    return _fields(
        ("phase", f"{rollout['phase']}, stage {rollout['stage']} of {rollout['stages']}"),
        ("traffic", share),
        ("paused", paused and f"since {_time(paused['since'])} by {paused['by'] or 'somebody'}"),
        ("began", _time(rollout["started_at"])),
        ("bakes until", _time(rollout["bake_until"])),
        ("deadline", _time(rollout["deadline"])),
        ("must end by", _time(rollout["expires_at"])),
        ("why", rollout["reason"]),
        *_failures(rollout),
        *((one["type"], one["message"]) for one in rollout["conditions"] if one["status"]),
    )


def _version_lines(version: Mapping[str, Any]) -> Iterator[str]:
    state = STATES.get(version["state"], version["state"].lower())
    yield f"version {version['version']}  {version['config']}  {state}"
    artifacts = [digest for each in version["artifact_digests"].values() for digest in each if digest]
    kept = "" if version["artifacts_kept"] else " (not kept: undo is not possible)"
    yield from _fields(
        ("asked for by", version["by"] or "somebody"),
        ("began", _time(version["began_at"])),
        ("served from", _time(version["served_at"])),
        ("ended", _time(version["ended_at"])),
        ("why", version["reason"]),
        *_failures(version),
        ("spec", version["spec_digest"]),
        ("model data", ", ".join(digest[:19] for digest in artifacts) + kept),
    )


def _failures(rollout: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The last errors of a version that was rolled back, and what else shows why it was."""
    errors = [("errors", message) for message in rollout.get("failures", ())]
    shown = rollout.get("explanation", {})
    if any(shown.values()):
        errors += load("tidegate.cli.explanation_lines", "read_lines")(shown)
    return errors


def _fields(*fields: tuple[str, str | None]) -> list[str]:
    """Lines of the fields that have a value; long ones continue below."""
    lines: list[str] = []
    for name, value in fields:
        if value:
            lines += textwrap.wrap(value, WIDTH, initial_indent=f"  {name + ':':14}", subsequent_indent=" " * 16)
    return lines


def _time(text: str | None) -> str | None:
    """A time of the API in the local time zone."""
    return None if text is None else datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")
