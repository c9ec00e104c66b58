"""An incident with its audit trail: the real rollout machine, its real commands, roles and the real audit."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from tidegate import spec
from tidegate.domain.access import Access, AuditEntry, Caller, Means, Outcome, Role
from tidegate.domain.alarm import AlarmState
from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.observation import Capabilities
from tidegate.domain.rollout import Phase
from tidegate.domain.traffic import WHOLE
from tidegate.features.rehearse.rehearsal import spec_scenario
from tidegate.features.rehearse.rehearsal.simulation import TimelineRecorder, make_updating_world
from tidegate.rollout import commands
from tidegate.service.audit_trail import Doing, Trail
from tidegate.testing.faults import AlarmTurns, When, WorldTiming
from tidegate.testing.memory_audit import MemoryAudit
from tidegate.testing.world import START, World

OPERATOR = Caller("dana", Role.OPERATOR, Means.SESSION)
SECOND = Caller("alex", Role.OPERATOR, Means.TOKEN, token="pipeline")
VIEWER = Caller("sam", Role.VIEWER, Means.SESSION)
SHIFT_DELAY = 0.5
LIMIT = 86_400.0
Command = Callable[[Endpoint, datetime], Endpoint]


class IncidentRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """``spec`` is the rollout; ``rps``: requests a second; ``startup`` in seconds."""

    spec: dict[str, Any]
    rps: float = 40.0
    startup: float = 30.0


@dataclass(frozen=True)
class Act:
    """What a person tries, so many seconds after the start, or after the rollback (``after_rollback``)."""

    at: float
    caller: Caller
    action: str
    reason: str
    command: Command
    after_rollback: bool = False


def demonstrate(asked: IncidentRequest, now: datetime) -> dict[str, object]:
    """People act on an update that an alarm turns back; every attempt passes the same guard as on the server."""
    wish = spec.parse(asked.spec, now)
    old, new = spec_scenario.make_versions(wish)
    recorder = TimelineRecorder()
    world = make_updating_world(
        old,
        new,
        wish.deployment,
        physics=WorldTiming(latencies=(SHIFT_DELAY,), startups=(asked.startup,)),
        script=[_alarm(wish)],
        watchers=(recorder,),
    )
    audit = MemoryAudit()
    trail = Trail(audit, world.instant)
    _try(world, trail, Act(0.0, OPERATOR, "deploy", "ticket 4711: retrained on May", lambda endpoint, _: endpoint))
    acts = _acts(asked.startup)
    for act in (one for one in acts if not one.after_rollback):
        world.pass_time(act.at)
        _try(world, trail, act)
    world.run(LIMIT, settled=lambda world: world.record is None or world.record.rollout is None)
    ended = world.now
    for act in (one for one in acts if one.after_rollback):
        world.pass_time(ended + act.at)
        _try(world, trail, act)
    return _told(world, recorder, audit.entries, asked.rps)


def _acts(startup: float) -> list[Act]:
    """``startup`` in seconds, after which the first stage begins."""
    return [
        Act(
            startup + 90, VIEWER, "promote", "it looks fine to me", lambda e, now: commands.promote(e, "sam", now)
        ),
        Act(
            *(startup + 200, OPERATOR, "pause", "support reports odd declines"),
            lambda e, now: commands.pause(e, "dana: support reports odd declines", now),
        ),
        Act(
            *(startup + 500, SECOND, "resume", "could not be reproduced"),
            lambda e, now: commands.resume(e, "alex (token pipeline): could not be reproduced", now),
        ),
        Act(300.0, OPERATOR, "retry", "perhaps it was the network", _retry, after_rollback=True),
    ]


def _retry(endpoint: Endpoint, now: datetime) -> Endpoint:
    """Without an override: a version that an alarm rejected is not taken again."""
    return commands.retry(endpoint, by="dana", rollout_id="r2", override=False, can=Capabilities(), now=now)


def _alarm(wish: DesiredDeployment) -> AlarmTurns:
    return AlarmTurns(When(Phase.BAKING, nth=2, after=45.0), wish.deployment.alarms[0], AlarmState.ALARM)


def _try(world: World, trail: Trail, act: Act) -> None:
    doing = Doing(act.caller, Access.CHANGE, act.action, "fraud", "10.0.0.7", act.reason)

    async def guarded(endpoint: Endpoint, now: datetime) -> Endpoint:
        async with trail.allowing(doing):
            return act.command(endpoint, now)

    world.do(act.action, lambda endpoint, now: asyncio.run(guarded(endpoint, now)))


def _told(
    world: World, recorder: TimelineRecorder, entries: Sequence[AuditEntry], rate: float
) -> dict[str, object]:
    moments = recorder.moments
    met = next((one.at for one in moments if one.share), None)
    turned = next((one.at for one in moments if one.phase == Phase.ROLLING_BACK), None)
    back = next((one.at for one in moments if turned is not None and one.at > turned and not one.share), None)
    reason = world.record.last.reason if world.record and world.record.last else None
    return {
        "lines": _timeline(recorder, entries),
        "met": met,
        "turned": turned,
        "back": back,
        "reached": _reached(recorder, rate, back),
        "reason": reason or "",
        "people": sorted({one.who for one in entries}),
        "refused": sum(one.outcome is Outcome.REFUSED for one in entries),
        "failed": sum(one.outcome is Outcome.FAILED for one in entries),
        "changes": sum(one.outcome is Outcome.DONE for one in entries),
    }


def _reached(recorder: TimelineRecorder, rate: float, back: float | None) -> int:
    """Requests that the new version answered."""
    moments = recorder.moments
    ends = [one.at for one in moments[1:]] + [moments[-1].at]
    return round(
        sum(
            one.share / WHOLE * (min(end, back or end) - one.at) * rate
            for one, end in zip(moments, ends, strict=True)
            if back is None or one.at < back
        )
    )


def _timeline(recorder: TimelineRecorder, entries: Sequence[AuditEntry]) -> list[dict[str, object]]:
    lines: list[dict[str, Any]] = [
        {"at": round(moment.at, 1), "who": "tidegate", "what": event.message, "outcome": "", "why": ""}
        for moment in recorder.moments
        for event in moment.events
    ]
    for entry in entries:
        at = (entry.at - START).total_seconds()
        lines.append(
            {
                **{"at": round(at, 1), "who": entry.who, "role": entry.role, "what": entry.action},
                **{"outcome": str(entry.outcome), "why": entry.reason, "detail": entry.detail},
            }
        )
    return sorted(lines, key=lambda one: one["at"])
