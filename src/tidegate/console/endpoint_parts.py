"""The parts of one endpoint's page: what is true of it now, as the templates show it. Pure."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tidegate.console import figures, rollout_picture
from tidegate.console.activity import RecentActivity
from tidegate.console.endpoint_rows import BAD, GOOD, OUTCOMES, PHASES, PLAIN, TONES, WARN, describe_state
from tidegate.domain.endpoint import Endpoint, Rollout
from tidegate.domain.errors import Conflict
from tidegate.domain.history import History, HistoryEntry
from tidegate.domain.rollout import Cause, Condition, Phase
from tidegate.ports.store import JournalLine
from tidegate.rollout import approval_rule
from tidegate.rollout import history as histories
from tidegate.rollout.commands import FORWARD_PHASES, PAUSED, PROMOTED

MOST_UNITS = 24
"""Instances that are drawn one by one; of more, the count says the rest."""
EVENT_TONES: Mapping[str, str] = {
    "rollout.Succeeded": GOOD,
    "rollout.RollingBack": WARN,
    "rollout.RolledBack": WARN,
    "rollout.RollbackFailed": BAD,
    "rollout.SuccessorDropped": BAD,
    "endpoint.failed": BAD,
    "endpoint.ScalingFailed": BAD,
}


@dataclass(frozen=True)
class Action:
    """A button. ``key`` names what it would do to what: once it is gone from the page, that cannot be done any more.
    ``body`` is sent to the native API with who asked and why."""

    key: str
    label: str
    command: str
    body: str
    about: str
    line: str
    """The same as a command line."""
    tone: str = PLAIN


def headline(document: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "status": document["status"],
        "tone": TONES.get(document["status"], PLAIN),
        "detail": describe_state(document) or "serving, nothing is being changed",
        "target": document["target"],
        "config": document["config"],
    }


def former_version(endpoint: Endpoint, history: History) -> HistoryEntry | None:
    """The last version that was good, where an endpoint at rest can go back to it."""
    if endpoint.rollout is not None or endpoint.deleting or endpoint.last is None:
        return None
    try:
        return histories.find_target(history, None, endpoint.rejected)
    except Conflict:
        return None


def actions(endpoint: Endpoint, back: HistoryEntry | None = None) -> list[Action]:
    """Return the actions on the rollout that a person can take now and that the platform would accept. ``back`` is
    the version that undo goes back to."""
    rollout, name = endpoint.rollout, endpoint.name
    if endpoint.deleting:
        return []
    if rollout is not None:
        return _forward_actions(name, rollout) if rollout.phase in FORWARD_PHASES else []
    found = [] if back is None or endpoint.last is None else [_undo(name, endpoint.last, back)]
    last = endpoint.last
    if last is None or last.phase not in (Phase.ROLLED_BACK, Phase.ROLLBACK_FAILED):
        return found
    rejected = last.cause in (Cause.ALARM, Cause.EVIDENCE)
    against = " It was rejected by what was measured: this overrides that." if rejected else ""
    return [
        Action(
            f"retry-{last.id}",
            "Retry all the same" if rejected else "Retry",
            "retry",
            json.dumps({"rollout": last.id, "override": rejected}),
            f"Rolls out {last.new.config_name} again, from its first stage.{against}",
            f"tidegate rollout retry {name}{' --override' if rejected else ''}",
            BAD if rejected else PLAIN,
        ),
        *found,
    ]


def _undo(name: str, last: Rollout, back: HistoryEntry) -> Action:
    version = f"version {back.number}, {back.version.config_name}"
    return Action(
        f"undo-{last.id}-{back.number}",
        f"Go back to version {back.number}",
        "undo",
        json.dumps({"rollout": last.id, "to": back.number}),
        f"Goes back to {version}, which served well, as soon as its instances are ready: all traffic at once, without"
        " alarms, and without comparing it with what serves now.",
        f"tidegate rollout undo {name} --to {back.number}",
    )


def _forward_actions(name: str, rollout: Rollout) -> list[Action]:
    here, stage, stages = {"rollout": rollout.id}, rollout.stage + 1, len(rollout.plan.stages)
    held, approves = rollout.pause is not None, approval_rule.is_held(rollout)
    skips = f"Skips the bake of stage {stage} of {stages}. Capacity and alarms still count, and later stages bake."
    found = [
        Action(
            f"resume-{rollout.id}" if held else f"pause-{rollout.id}",
            "Resume" if held else "Pause",
            "resume" if held else "pause",
            json.dumps(here),
            "The rollout goes on where it was. The time of the pause does not count as bake."
            if held
            else "Holds the rollout in its stage. Alarms still roll it back.",
            f"tidegate rollout {'resume' if held else 'pause'} {name}",
        ),
        Action(
            f"promote-{rollout.id}-{stage}",
            "Approve" if approves else "Skip this bake",
            "promote",
            json.dumps({**here, "stage": stage}),
            f"Lets {rollout.new.config_name} have all of the traffic." if approves else skips,
            f"tidegate rollout promote {name}",
        ),
    ]
    if stage < stages:
        found.append(
            Action(
                f"promote-full-{rollout.id}",
                "Skip all bakes",
                "promote",
                json.dumps({**here, "full": True}),
                f"Gives {rollout.new.config_name} all of the traffic as fast as capacity and alarms allow.",
                f"tidegate rollout promote {name} --full",
            )
        )
    back = f"All traffic goes back to {rollout.old.config_name}" if rollout.old else "The creation ends as failed"
    found.append(
        Action(
            f"abort-{rollout.id}",
            "Roll back",
            "abort",
            json.dumps(here),
            f"{back}, at once.",
            f"tidegate rollout abort {name}",
            BAD,
        )
    )
    return found


def rollout_view(
    endpoint: Endpoint, document: Mapping[str, Any], lines: Sequence[JournalLine], now: datetime
) -> dict[str, Any] | None:
    """The rollout in progress, or the last one that ended; None if there was none. ``lines``: the journal since it
    began, oldest first."""
    rollout = endpoint.rollout or endpoint.last
    if rollout is None:
        return None
    points = rollout_picture.share_points(rollout, lines)
    drawn = rollout.old and (endpoint.rollout or len(points) > 1)
    told = document["rollout"]
    messages = {one["type"]: one["message"] for one in told["conditions"]} if told else {}
    share = told["share"]["now"] if told else points[-1][1] / 100
    outcome, tone = OUTCOMES.get(str(rollout.phase), (PHASES.get(str(rollout.phase), str(rollout.phase)), PLAIN))
    outcome = "holdback" if rollout.holds_back else outcome
    return {
        "under_way": endpoint.rollout is not None,
        "old": rollout.old.config_name if rollout.old else None,
        "new": rollout.new.config_name,
        "outcome": outcome,
        "tone": tone,
        "share": share,
        "rest": 100 - share,
        "stages": rollout_picture.stage_steps(rollout),
        "bake": _bake(rollout, now),
        "paused": rollout.pause.by if rollout.pause else None,
        "reason": rollout.reason or "",
        "failures": list(rollout.failures),
        "explanation": rollout.explanation.lines,
        "by": rollout.asked_by or "",
        "started": rollout.started_at.isoformat(),
        "ended": rollout.ended_at.isoformat() if rollout.ended_at else None,
        "expires": rollout.expires_at.isoformat() if rollout.expires_at and endpoint.rollout else None,
        "conditions": [
            *(messages.get(one.type, one.message) for one in rollout.conditions if one.status and _is_news(one)),
            *(_differences(told) if told else ()),
            *(document.get("notes", ()) if told else ()),
        ],
        "chart": rollout_picture.draw_chart(rollout, points, lines, now) if drawn else None,
    }


def _differences(told: Mapping[str, Any]) -> list[str]:
    """The share that was requested, where it is not the one in force. ``told``: the rollout."""
    if "requested" not in told["share"]:
        return []
    asked = f"{told['share']['requested']:g} % of the requests to the new version"
    if told["share"]["confirmed"]:
        return [f"{asked} were requested; {told['share']['now']:g} % were observed last"]
    return [f"{asked} were requested; what is in force is not known"]


def _is_news(condition: Condition) -> bool:
    """Return whether a condition is shown as news. Who paused or promoted a rollout is in the journal."""
    return bool(condition.message) and condition.type not in (PAUSED, PROMOTED)


def _bake(rollout: Rollout, now: datetime) -> dict[str, Any] | None:
    """The bake in progress: the time that is left of it, and the part that is over in percent."""
    until = rollout.bake_until
    if rollout.phase is not Phase.BAKING or until is None:
        return None
    whole = rollout.plan.stages[rollout.stage].bake
    seen = rollout.pause.since if rollout.pause else now
    left = max(0.0, (until - seen).total_seconds())
    return {
        "left": figures.format_clock(left),
        "over": round(100 * (1 - min(1.0, left / whole)), 1) if whole else 100,
        "held": rollout.pause is not None,
        "late": left <= 0 and rollout.pause is None,
        "skipped": rollout.skips_bake,
    }


def fleet_views(
    document: Mapping[str, Any], activity: Mapping[tuple[str | None, str], RecentActivity]
) -> list[dict[str, Any]]:
    found = []
    for fleet in document["fleets"]:
        seen = activity.get((fleet["config"], fleet["variant"]), RecentActivity(0.0, None, None, None))
        drawn = max(fleet["desired"], fleet["ready"])
        found.append(
            {
                **fleet,
                "units": [number < fleet["ready"] for number in range(min(drawn, MOST_UNITS))],
                "more": max(0, drawn - MOST_UNITS),
                "rate": figures.format_rate(seen.rate),
                "p50": figures.format_milliseconds(seen.p50_ms),
                "p99": figures.format_milliseconds(seen.p99_ms),
                "errors": figures.format_percent(seen.errors),
            }
        )
    return found


def timeline(lines: Iterable[JournalLine]) -> list[dict[str, Any]]:
    """Events, newest first like the lines."""
    return [
        {
            "at": line.at.isoformat(),
            "message": event.message,
            "tone": EVENT_TONES.get(event.kind, PLAIN),
            "person": "by" in event.data,
        }
        for line in lines
        for event in reversed(line.events)
    ]
