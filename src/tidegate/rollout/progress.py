"""The rules of the way forward: Provisioning -> (ActivatingTraffic -> Baking)* -> Terminating -> Succeeded.

A rule looks at one record and one observation and returns a move, or None to stay. What turns a rollout back is
asked before any rule that could carry it on.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from tidegate.domain.endpoint import Endpoint, Rollout
from tidegate.domain.observation import Event, Observation
from tidegate.domain.rollout import Cause, Phase, Stage
from tidegate.rollout import desired_state, predicates, transitions
from tidegate.rollout.transitions import Move

Rule = Callable[[Endpoint, Rollout, Observation, datetime], Move | None]

MISSING = "AlarmMissing"
REDEFINED = "AlarmRedefined"
SILENT = "NoAnswers"

ONE_SECOND = timedelta(seconds=1)
"""Requests are counted by the second."""
OUTAGE = timedelta(seconds=1)
"""How long a share must have been out of force, or unseen, for its longer bake to be told."""
ALL_FAILED = 10
"""Failed requests, and not one that was answered, after which a version is turned back without an alarm."""
WAITING = "WaitingForEvidence"
SHORT = "CapacityShort"


def forward(endpoint: Endpoint, rollout: Rollout, seen: Observation, now: datetime) -> Move | None:
    """Before the point of no return: turn back, else note, else (unless paused or blind) go on."""
    if cause := _cause(endpoint, rollout, seen, now):
        return transitions.turned_back(endpoint, *cause, now)
    if noted := _missing_alarms(endpoint, rollout, seen, now) or _redefined_alarms(endpoint, rollout, seen, now):
        return noted
    if rollout.pause:
        return None
    if routed := _count_routed_time(endpoint, rollout, seen, now):
        return routed
    if not predicates.sighted(rollout, seen, now):
        return None
    return _RULES[rollout.phase](endpoint, rollout, seen, now)


def taken_back(endpoint: Endpoint, rollout: Rollout, seen: Observation, now: datetime) -> Move | None:
    """A table in force that is newer than the record and gives the new version less than the record says: an earlier
    controller turned the rollout back and ended before it could save that. The traffic stays where it put it."""
    ours, found = desired_state.traffic(endpoint), seen.routes
    if rollout.old is None or rollout.phase not in _RULES or endpoint.deleting:
        return None
    if found is None or found.fence <= ours.fence or not found.routes:
        return None
    known = {rollout.old.generation, rollout.new.generation}
    if endpoint.mixed:
        known.add(endpoint.mixed.version.generation)
    generation = rollout.new.generation
    if not {route.fleet.generation for route in found.routes} <= known:
        return None
    if found.share_of(generation) >= ours.share_of(generation):
        return None
    why = f"traffic had been taken from {rollout.new.config_name} while that could not be recorded"
    return transitions.turned_back(endpoint, Cause.EVIDENCE, why, now)


def terminating(endpoint: Endpoint, rollout: Rollout, seen: Observation, now: datetime) -> Move | None:
    """Past the point of no return: alarms no longer turn it back, and what cannot be removed is left to the steady
    state, which goes on removing it."""
    if predicates.gone(endpoint, seen):
        return transitions.succeeded(endpoint, now)
    if past(rollout.phase_deadline, now):
        ended, events = transitions.succeeded(endpoint, now)
        return ended, (*events, transitions.left_over(rollout))
    return None


def past(deadline: datetime | None, now: datetime) -> bool:
    return deadline is not None and deadline <= now


def _cause(endpoint: Endpoint, rollout: Rollout, seen: Observation, now: datetime) -> tuple[Cause, str] | None:
    """Why it must turn back, in the order of what a person would rather read."""
    if alarms := predicates.firing(rollout.plan, seen):
        return Cause.ALARM, f"alarm(s) [{', '.join(alarms)}] in ALARM state {_WHEN[rollout.phase]}"
    share = desired_state.new_share(endpoint)
    if failed := predicates.failures(endpoint, rollout.new, seen, shadow=not share):
        cause = Cause.CAPACITY if share else Cause.PROVISIONING
        causes = "; ".join(f"variant {name}: {why}" for name, why in failed.items())
        return cause, f"{rollout.new.config_name} could not be run: {causes}"
    if lost := _lost(endpoint, rollout, seen):
        return Cause.CAPACITY, f"variant {', '.join(lost)} lost every ready instance while it took traffic"
    counted = predicates.answers(endpoint, rollout, seen)
    if rollout.old is not None and counted.answered == 0 and counted.failed >= ALL_FAILED:
        return Cause.EVIDENCE, f"{rollout.new.config_name} failed each of its {counted.failed} requests"
    if rollout.pause:
        return None
    if past(rollout.expires_at, now):
        return Cause.TIMEOUT, f"not finished within its {rollout.plan.execution_timeout} s"
    return _late(rollout, now)


_WHEN = {
    Phase.PROVISIONING: "before its traffic was shifted",
    Phase.ACTIVATING_TRAFFIC: "while traffic was shifted",
    Phase.BAKING: "during baking",
}


def _lost(endpoint: Endpoint, rollout: Rollout, seen: Observation) -> list[str]:
    """Routed variants of the new side without a ready replica, when all that is left of the old side is well. After a
    crash of the machine none was ready yet: then it is short of capacity, as the old side was a moment before."""
    if rollout.old is None or not desired_state.new_share(endpoint):
        return []
    if not predicates.ready(endpoint, rollout.old, desired_state.standing(rollout).old_part, seen):
        return []
    gone = predicates.dead(endpoint, rollout.new, seen)
    return gone if predicates.were_ready(endpoint, rollout.new, gone, seen) else []


def _late(rollout: Rollout, now: datetime) -> tuple[Cause, str] | None:
    if not past(rollout.phase_deadline, now):
        return None
    plan, name = rollout.plan, rollout.new.config_name
    if rollout.phase is Phase.PROVISIONING:
        return Cause.PROVISIONING, f"{name} was not ready within {plan.provisioning_timeout} s"
    if rollout.phase is Phase.ACTIVATING_TRAFFIC:
        return Cause.TIMEOUT, f"traffic was not seen to be shifted within {plan.shift_timeout} s"
    return Cause.CAPACITY, f"{name} was short of ready instances for {plan.provisioning_timeout} s"


def _missing_alarms(endpoint: Endpoint, rollout: Rollout, seen: Observation, now: datetime) -> Move | None:
    names = ", ".join(predicates.missing(rollout.plan, seen))
    if not rollout.plan.alarms or seen.alarms is None or names == _noted(rollout, MISSING):
        return None
    kept = {guard.name for guard in rollout.guards}.issuperset(predicates.missing(rollout.plan, seen))
    how = "this rollout goes on watching them as they were" if kept else "they count as INSUFFICIENT_DATA"
    text = f"alarm(s) {names} do not exist; {how}" if names else "all alarms exist again"
    return _note(endpoint, rollout, MISSING, names, text, now)


def _redefined_alarms(endpoint: Endpoint, rollout: Rollout, seen: Observation, now: datetime) -> Move | None:
    names = ", ".join(seen.redefined)
    if seen.alarms is None or names == _noted(rollout, REDEFINED):
        return None
    text = f"alarm(s) {names} were redefined; this rollout goes on watching them as they were when it began, too"
    return _note(endpoint, rollout, REDEFINED, names, text if names else "alarms are as they were again", now)


def _noted(rollout: Rollout, type: str) -> str:
    return next((c.message for c in rollout.conditions if c.type == type and c.status), "")


def _note(endpoint: Endpoint, rollout: Rollout, type: str, what: str, text: str, now: datetime) -> Move:
    """The condition on record, or no longer true when there is nothing to say any more."""
    after = replace(endpoint, rollout=transitions.noted(rollout, type, bool(what), what, now))
    return after, (Event(f"rollout.{type}", text, {"rollout": rollout.id, "status": bool(what)}),)


def _provisioning(endpoint: Endpoint, rollout: Rollout, seen: Observation, now: datetime) -> Move | None:
    """A shadow has to come up before the first traffic; from then on nothing waits for it or falls with it."""
    stage = rollout.plan.stages[rollout.stage]
    first = not desired_state.new_share(endpoint)
    if not predicates.ready(endpoint, rollout.new, stage.new_part, seen, shadow=first):
        return None
    return _shift(endpoint, rollout, now)


def _shift(endpoint: Endpoint, rollout: Rollout, now: datetime) -> Move:
    shifted, events = transitions.entered(
        endpoint, rollout, Phase.ACTIVATING_TRAFFIC, rollout.plan.shift_timeout, now
    )
    return desired_state.route(shifted, rollout.plan.stages[rollout.stage].share), events


def _activating(endpoint: Endpoint, rollout: Rollout, seen: Observation, now: datetime) -> Move | None:
    """The bake begins when the share is seen in force, not when it was asked for."""
    if not predicates.in_force(endpoint, seen):
        return None
    bake = rollout.plan.stages[rollout.stage].bake
    baking = replace(rollout, bake_until=now + timedelta(seconds=bake), answers_before=None, unrouted_since=None)
    return transitions.entered(endpoint, baking, Phase.BAKING, None, now)


def _baking(endpoint: Endpoint, rollout: Rollout, seen: Observation, now: datetime) -> Move | None:
    stage = rollout.plan.stages[rollout.stage]
    whole = predicates.ready(endpoint, rollout.new, stage.new_part, seen)
    if whole != (rollout.phase_deadline is None):
        return _capacity(endpoint, rollout, whole, now)
    if rollout.answers_before is None and (noted := _first_count(endpoint, rollout, seen)):
        return noted
    if not rollout.promote and predicates.holed(rollout, seen):
        return transitions.restart_bake(endpoint, rollout, "requests of this bake could not be counted", now)
    over = rollout.promote or past(rollout.bake_until, now)
    if not whole or not over or not predicates.in_force(endpoint, seen):
        return None
    if not predicates.covered(rollout, seen, _end_of_bake(rollout)):
        return None
    counted = predicates.answers(endpoint, rollout, seen)
    silent = "silent" if counted.answered == 0 and counted.in_flight else ""
    if silent != _noted(rollout, SILENT):
        text = f"{rollout.new.config_name} has requests and has answered none; holding"
        return _note(endpoint, rollout, SILENT, silent, text if silent else "requests are answered", now)
    if silent:
        return None
    if rollout.plan.require_evidence and (lacking := ", ".join(predicates.lacking(rollout.plan, seen))):
        if lacking == _noted(rollout, WAITING):
            return None
        return _note(endpoint, rollout, WAITING, lacking, f"waiting until alarm(s) {lacking} are OK", now)
    return _next(endpoint, replace(rollout, bake_until=None), stage, now)


def _first_count(endpoint: Endpoint, rollout: Rollout, seen: Observation) -> Move | None:
    """What the version had answered and failed when a bake began: as soon as that second is counted."""
    counted = predicates.answers(endpoint, rollout, seen)
    since = rollout.phase_since
    if since is None or counted.answered is None or not predicates.covered(rollout, seen, since + ONE_SECOND):
        return None
    before = (counted.answered, counted.failed)
    return replace(endpoint, rollout=replace(rollout, answers_before=before)), ()


def _count_routed_time(endpoint: Endpoint, rollout: Rollout, seen: Observation, now: datetime) -> Move | None:
    """Time in which the stage's share was not in force is no part of its bake: a proxy that is down, or without our
    routes, sends the new version nothing to be judged by."""
    if rollout.phase is not Phase.BAKING or rollout.bake_until is None:
        return None
    since = rollout.unrouted_since
    if predicates.in_force(endpoint, seen) == (since is None):
        return None
    if since is None:
        return replace(endpoint, rollout=replace(rollout, unrouted_since=now)), ()
    longer = replace(rollout, unrouted_since=None, bake_until=rollout.bake_until + max(now - since, timedelta(0)))
    if now - since <= OUTAGE:
        return replace(endpoint, rollout=longer), ()
    text = f"the share was not in force for {(now - since).total_seconds():.0f} s; the bake lasts that much longer"
    return replace(endpoint, rollout=longer), (Event("rollout.BakeExtended", text, {"rollout": rollout.id}),)


def _end_of_bake(rollout: Rollout) -> datetime:
    """Up to when verdicts must reach: the end of the bake, or for a bake that is skipped its beginning."""
    end = rollout.phase_since if rollout.promote else rollout.bake_until
    assert end is not None
    return end


def _capacity(endpoint: Endpoint, rollout: Rollout, whole: bool, now: datetime) -> Move:
    """Replicas were lost in mid-bake or are back: a deadline runs as long as capacity is short."""
    if whole:
        return _note(endpoint, replace(rollout, phase_deadline=None), SHORT, "", "capacity is whole again", now)
    deadline = now + timedelta(seconds=rollout.plan.provisioning_timeout)
    text = f"{rollout.new.config_name} is short of ready instances; holding"
    return _note(endpoint, replace(rollout, phase_deadline=deadline), SHORT, "short", text, now)


def _next(endpoint: Endpoint, rollout: Rollout, stage: Stage, now: datetime) -> Move:
    if rollout.stage + 1 < len(rollout.plan.stages):
        following = replace(rollout, stage=rollout.stage + 1)
        ahead = rollout.plan.stages[following.stage]
        if (ahead.new_part, ahead.old_part) == (stage.new_part, stage.old_part):
            return _shift(endpoint, following, now)
        return transitions.entered(endpoint, following, Phase.PROVISIONING, rollout.plan.provisioning_timeout, now)
    if rollout.old is None:
        return transitions.succeeded(endpoint, now)
    return transitions.entered(endpoint, rollout, Phase.TERMINATING, rollout.plan.drain_timeout, now)


_RULES: dict[Phase, Rule] = {
    Phase.PROVISIONING: _provisioning,
    Phase.ACTIVATING_TRAFFIC: _activating,
    Phase.BAKING: _baking,
}
