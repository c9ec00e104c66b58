"""An incident: a version that answers nothing but errors is shipped with a guard, and who did what afterwards.

The live version was trained on more columns than clients send, which nobody notices until it is asked. Afterwards
somebody tries it again, which is refused and recorded.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tidegate import spec
from tidegate.console.figures import UNKNOWN, format_clock
from tidegate.domain.access import Access, AuditEntry, AuditOutcome, Caller, Means, Role
from tidegate.domain.alarm import AlarmState
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.observation import Capabilities
from tidegate.domain.rollout import Phase
from tidegate.domain.traffic import WHOLE
from tidegate.features.lessons.lesson import (
    LAST_ANSWERS,
    Judgement,
    Lesson,
    LessonMoment,
    LessonStep,
    PlainAct,
    RunPlaces,
    Simulation,
    await_start,
    await_update,
    keep_first,
    outcome,
    send_to_first,
)
from tidegate.features.lessons.model_files import MORE_COLUMNS, write_model
from tidegate.features.lessons.run_records import LessonVerdict
from tidegate.features.rehearse.page import DEFAULTS, build_spec
from tidegate.features.rehearse.rehearsal.simulation import TimelineRecorder, make_updating_world
from tidegate.rollout import commands
from tidegate.rollout.desired_plan import make_versions
from tidegate.service.audit_trail import RequestedOperation, Trail
from tidegate.simulation.faults import AlarmTurns, When, WorldTiming
from tidegate.simulation.memory_audit import MemoryAudit
from tidegate.simulation.world import START, World

RATE = 30.0
"""Requests per second."""
SIZE, BAKE = 25, 20
"""Percent of the requests that the first stage gives to the new version; seconds."""
BESIDE = 2.0
LIMIT = 150.0
ROLLED_BACK = "RolledBack"
GUARD = "errors"


def _describe_spec(base: Mapping[str, Any], places: RunPlaces, target: float | None) -> dict[str, Any]:
    guard = {
        **{"metric": "InvocationModelErrors", "statistic": "Average", "above": "5%"},
        **{"period": "1s", "periods": 3, "datapoints": 2},
    }
    rollout = {"strategy": "canary", "size": f"{SIZE}%", "wait": f"{BAKE}s", "final_bake": "5s", "alarms": [GUARD]}
    return {**base, "alarms": {GUARD: guard}, "rollout": rollout}


def _remember(at: LessonMoment, second: float) -> dict[str, Any]:
    facts = at.facts
    back = facts.outcome == ROLLED_BACK and facts.rolling is None
    return {
        **keep_first(at.marks, "shipped", bool(facts.share), round(second, 1)),
        **keep_first(at.marks, "back", back, round(second, 1)),
        **keep_first(at.marks, "cause", back, facts.reason),
    }


def _judge(at: LessonMoment) -> Judgement:
    facts, verdict = at.facts, LessonVerdict.NOT_SHOWN
    if facts.outcome != ROLLED_BACK:
        return Judgement(verdict, f"the bad version was kept: the update ended as {facts.outcome}")
    if not at.marks["refused"]:
        return Judgement(verdict, "the bad version was rolled back, and then taken again")
    return Judgement(
        LessonVerdict.SHOWN,
        f"{facts.failed:,} of {facts.sent:,} requests met the bad version, which was rolled back by itself; trying"
        " it again was refused",
    )


def _describe(picture: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    marks = picture["marks"]
    lasted = f"{marks['back'] - marks['shipped']:.0f} s" if {"back", "shipped"} <= marks.keys() else UNKNOWN
    return [
        ("The bad version had traffic for", lasted, "observed once a second"),
        ("On the bad version", picture["share"], "of the requests"),
    ]


# --- on a virtual clock: the real rollout machine, its real commands, roles and the real audit ---

OPERATOR = Caller("dana", Role.OPERATOR, Means.SESSION)
SECOND = Caller("alex", Role.OPERATOR, Means.TOKEN, token="pipeline")
VIEWER = Caller("sam", Role.VIEWER, Means.SESSION)
SIMULATED_RATE, STARTUP, SHIFT_DELAY = 40.0, 30.0, 0.5
"""Requests a second; seconds."""
SIMULATED_LIMIT = 86_400.0
Command = Callable[[Endpoint, datetime], Endpoint]


@dataclass(frozen=True)
class PersonAct:
    """Something that a person tries, so many seconds after the start, or after the rollback (``after_rollback``)."""

    at: float
    caller: Caller
    action: str
    reason: str
    command: Command
    after_rollback: bool = False


def _retry(endpoint: Endpoint, now: datetime) -> Endpoint:
    """Retry without an override: a version that an alarm rejected is not taken again."""
    return commands.retry(endpoint, by="dana", rollout_id="r2", override=False, can=Capabilities(), now=now)


ACTS = (
    PersonAct(0.0, OPERATOR, "deploy", "ticket 4711: retrained on May", lambda endpoint, now: endpoint),
    PersonAct(
        *(STARTUP + 90, VIEWER, "promote", "it looks fine to me"), lambda e, now: commands.promote(e, "sam", now)
    ),
    PersonAct(
        *(STARTUP + 200, OPERATOR, "pause", "support reports odd declines"),
        lambda e, now: commands.pause(e, "dana: support reports odd declines", now),
    ),
    PersonAct(
        *(STARTUP + 500, SECOND, "resume", "could not be reproduced"),
        lambda e, now: commands.resume(e, "alex (token pipeline): could not be reproduced", now),
    ),
    PersonAct(300.0, OPERATOR, "retry", "perhaps it was the network", _retry, after_rollback=True),
)


def simulate(chosen: Mapping[str, Any], now: datetime) -> dict[str, object]:
    """People act on an update that an alarm rolls back; every attempt passes the same guard as on the server."""
    desired = spec.parse(build_spec({**DEFAULTS, "wait": "10m"}), now)
    old, new = make_versions(desired)
    recorder = TimelineRecorder()
    alarm = AlarmTurns(When(Phase.BAKING, nth=2, after=45.0), desired.deployment.alarms[0], AlarmState.ALARM)
    world = make_updating_world(
        old,
        new,
        desired.deployment,
        physics=WorldTiming(latencies=(SHIFT_DELAY,), startups=(STARTUP,)),
        script=[alarm],
        watchers=(recorder,),
    )
    audit = MemoryAudit()
    trail = Trail(audit, world.instant)
    for act in (one for one in ACTS if not one.after_rollback):
        world.pass_time(act.at)
        _try_act(world, trail, act)
    world.run(SIMULATED_LIMIT, settled=lambda world: world.record is None or world.record.rollout is None)
    ended = world.now
    for act in (one for one in ACTS if one.after_rollback):
        world.pass_time(ended + act.at)
        _try_act(world, trail, act)
    return _describe_outcome(recorder, audit.entries, world)


def _try_act(world: World, trail: Trail, act: PersonAct) -> None:
    doing = RequestedOperation(act.caller, Access.CHANGE, act.action, "fraud", "10.0.0.7", act.reason)

    async def guard(endpoint: Endpoint, now: datetime) -> Endpoint:
        async with trail.allowing(doing):
            return act.command(endpoint, now)

    world.do(act.action, lambda endpoint, now: asyncio.run(guard(endpoint, now)))


def _describe_outcome(recorder: TimelineRecorder, entries: list[AuditEntry], world: World) -> dict[str, object]:
    moments = recorder.moments
    met = next(one.at for one in moments if one.share)
    decided = next(one.at for one in moments if one.phase == Phase.ROLLING_BACK)
    back = next(one.at for one in moments if one.at > decided and not one.share)
    ends = [*(one.at for one in moments[1:]), back]
    reached = sum(
        one.share / WHOLE * (min(end, back) - one.at) * SIMULATED_RATE
        for one, end in zip(moments, ends, strict=True)
        if one.at < back
    )
    people = sorted({one.who for one in entries})
    counts = {kind: sum(one.outcome is kind for one in entries) for kind in AuditOutcome}
    return outcome(
        (
            ("Users met the bad version", f"at {format_clock(met)}", f"for {format_clock(back - met)}", ""),
            ("Requests that it answered", f"{reached:,.0f}", "", ""),
            ("From the decision until all traffic was back", f"{back - decided:.1f} s", "", ""),
            (
                *("People", str(len(people))),
                f"{counts[AuditOutcome.DONE]} changes, {counts[AuditOutcome.REFUSED]} refused, "
                f"{counts[AuditOutcome.FAILED]} failed",
                "",
            ),
        ),
        "A bad version passed its first stage, which one person paused and another resumed; in the second an alarm"
        " went off. Every attempt went through the guard of the server: the viewer's was refused and is on record all"
        " the same, and a version that an alarm rejected is not taken again unless somebody insists. The machine's"
        " own decisions are in the journal of the endpoint, people's in the audit.",
        people=_list_lines(recorder, entries),
        further=("Of this server, for admins; the console has it as a page, too", "tidegate access audit"),
        facts={
            **{"met": met, "decided": decided, "back": back, "reached": round(reached), "people": people},
            **{str(kind): count for kind, count in counts.items()},
            "reason": (world.record.last.reason if world.record and world.record.last else None) or "",
        },
    )


def _list_lines(recorder: TimelineRecorder, entries: list[AuditEntry]) -> list[dict[str, Any]]:
    """The decisions of the machine and the attempts of people, in their order."""
    lines: list[dict[str, Any]] = [
        {
            "at": moment.at,
            "who": "tidegate",
            "role": "",
            "what": event.message,
            "outcome": "",
            "why": "",
            "detail": "",
        }
        for moment in recorder.moments
        for event in moment.events
    ]
    for entry in entries:
        who = {"who": entry.who, "role": entry.role, "what": entry.action, "why": entry.reason}
        at = (entry.at - START).total_seconds()
        lines.append({**who, "at": at, "outcome": str(entry.outcome), "detail": entry.detail})
    return [
        {**one, "clock": format_clock(one["at"])} for one in sorted(lines, key=lambda one: round(one["at"], 1))
    ]


INCIDENT = Lesson(
    "incident",
    "An incident",
    "Afterwards: who did what, when, and what did it reach?",
    f"{RATE:.0f} requests a second, and a version that was trained on columns that no client sends. {SIZE} % of the"
    " requests meet it, for as long as an alarm of one second lets it. Afterwards it is tried again.",
    (
        await_start(1),
        send_to_first(RATE, BESIDE),
        await_update(f"A bad version gets {SIZE} % of the requests", "bad", LIMIT),
        LessonStep(
            "retry",
            "Somebody tries it again",
            acts=lambda at: (PlainAct.RETRY,),
            is_done=lambda at: "refused" in at.marks,
            limit=20.0,
            missed="a second try was neither refused nor taken",
        ),
        LessonStep("after", "The first version alone", is_done=lambda at: at.seconds >= BESIDE, limit=15.0),
        LAST_ANSWERS,
    ),
    versions={"v1": write_model(0.25, 0.75), "bad": write_model(0.25, 0.75, MORE_COLUMNS)},
    spec=_describe_spec,
    remember=_remember,
    judge=_judge,
    stats=_describe,
    plots=("share",),
    commands=(
        ("What happened", "tidegate events {endpoint}"),
        ("Who did what, for admins", "tidegate access audit --about {endpoint}"),
    ),
    audited=True,
    simulation=Simulation(simulate),
)
