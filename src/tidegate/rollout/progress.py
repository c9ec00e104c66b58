"""The rules of the way forward: Provisioning -> (ActivatingTraffic -> Baking)* -> Terminating -> Succeeded.

A rule looks at one record and one observation and returns a move, or None to stay. What turns a rollout back is
asked before any rule that could carry it on.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from tidegate.domain.endpoint import Endpoint, Rollout
from tidegate.domain.observation import Event, Observation
from tidegate.domain.rollout import Cause, Phase, RolloutStage
from tidegate.rollout import desired_state, predicates, transitions
from tidegate.rollout.transitions import Transition

PhaseRule = Callable[[Endpoint, Rollout, Observation, datetime], Transition | None]

ALARM_MISSING = "AlarmMissing"
ALARM_REDEFINED = "AlarmRedefined"
NO_ANSWERS = "NoAnswers"

ONE_SECOND = timedelta(seconds=1)
"""Requests are counted by the second."""
SHORTEST_OUTAGE = timedelta(seconds=1)
"""How long a share must have been out of force, or unseen, for its longer bake to be told."""
FAILURES_TO_ROLL_BACK = 10
"""Failed requests, and not one that was answered, after which a version is turned back without an alarm."""
WAITING_FOR_EVIDENCE = "WaitingForEvidence"
CAPACITY_SHORT = "CapacityShort"


def advance(endpoint: Endpoint, rollout: Rollout, seen: Observation, now: datetime) -> Transition | None:
    """Before the point of no return: turn back, else note, else (unless paused or blind) go on."""
    if cause := _find_cause(endpoint, rollout, seen, now):
        return transitions.begin_rollback(endpoint, *cause, now)
    if noted := _note_missing_alarms(endpoint, rollout, seen, now) or _note_redefined_alarms(
        endpoint, rollout, seen, now
    ):
        return noted
    if rollout.pause:
        return None
    if routed := _exclude_unrouted_time(endpoint, rollout, seen, now):
        return routed
    if not predicates.has_fresh_evidence(rollout, seen, now):
        return None
    return _RULES[rollout.phase](endpoint, rollout, seen, now)


def adopt_unsaved_rollback(
    endpoint: Endpoint, rollout: Rollout, seen: Observation, now: datetime
) -> Transition | None:
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
    return transitions.begin_rollback(endpoint, Cause.EVIDENCE, why, now)


def terminate(endpoint: Endpoint, rollout: Rollout, seen: Observation, now: datetime) -> Transition | None:
    """Past the point of no return: alarms no longer turn it back, and what cannot be removed is left to the steady
    state, which goes on removing it."""
    if predicates.has_only_desired_fleets(endpoint, seen):
        return transitions.succeed(endpoint, now)
    if is_past(rollout.phase_deadline, now):
        ended, events = transitions.succeed(endpoint, now)
        return ended, (*events, transitions.leftover_event(rollout))
    return None


def is_past(deadline: datetime | None, now: datetime) -> bool:
    return deadline is not None and deadline <= now


def _find_cause(
    endpoint: Endpoint, rollout: Rollout, seen: Observation, now: datetime
) -> tuple[Cause, str] | None:
    """Why it must turn back, in the order of what a person would rather read."""
    if alarms := predicates.firing_alarms(rollout.plan, seen):
        return Cause.ALARM, f"alarm(s) [{', '.join(alarms)}] in ALARM state {_WHEN[rollout.phase]}"
    share = desired_state.new_share(endpoint)
    if failed := predicates.failures(endpoint, rollout.new, seen, shadow=not share):
        cause = Cause.CAPACITY if share else Cause.PROVISIONING
        causes = "; ".join(f"variant {name}: {why}" for name, why in failed.items())
        return cause, f"{rollout.new.config_name} could not be run: {causes}"
    if lost := _lost_variants(endpoint, rollout, seen):
        return Cause.CAPACITY, f"variant {', '.join(lost)} lost every ready instance while it took traffic"
    counted = predicates.count_responses(endpoint, rollout, seen)
    if rollout.old is not None and counted.answered == 0 and counted.failed >= FAILURES_TO_ROLL_BACK:
        return Cause.EVIDENCE, f"{rollout.new.config_name} failed each of its {counted.failed} requests"
    if rollout.pause:
        return None
    if is_past(rollout.expires_at, now):
        return Cause.TIMEOUT, f"not finished within its {rollout.plan.execution_timeout} s"
    return _missed_deadline(rollout, now)


_WHEN = {
    Phase.PROVISIONING: "before its traffic was shifted",
    Phase.ACTIVATING_TRAFFIC: "while traffic was shifted",
    Phase.BAKING: "during baking",
}


def _lost_variants(endpoint: Endpoint, rollout: Rollout, seen: Observation) -> list[str]:
    """Routed variants of the new side without a ready replica, when all that is left of the old side is well. After a
    crash of the machine none was ready yet: then it is short of capacity, as the old side was a moment before."""
    if rollout.old is None or not desired_state.new_share(endpoint):
        return []
    if not predicates.is_ready(endpoint, rollout.old, desired_state.current_stage(rollout).old_part, seen):
        return []
    gone = predicates.find_dead_variants(endpoint, rollout.new, seen)
    return gone if predicates.had_ready_replica(endpoint, rollout.new, gone, seen) else []


def _missed_deadline(rollout: Rollout, now: datetime) -> tuple[Cause, str] | None:
    if not is_past(rollout.phase_deadline, now):
        return None
    plan, name = rollout.plan, rollout.new.config_name
    if rollout.phase is Phase.PROVISIONING:
        return Cause.PROVISIONING, f"{name} was not ready within {plan.provisioning_timeout} s"
    if rollout.phase is Phase.ACTIVATING_TRAFFIC:
        return Cause.TIMEOUT, f"traffic was not seen to be shifted within {plan.shift_timeout} s"
    return Cause.CAPACITY, f"{name} was short of ready instances for {plan.provisioning_timeout} s"


def _note_missing_alarms(
    endpoint: Endpoint, rollout: Rollout, seen: Observation, now: datetime
) -> Transition | None:
    names = ", ".join(predicates.missing_alarms(rollout.plan, seen))
    if not rollout.plan.alarms or seen.alarms is None or names == _condition_message(rollout, ALARM_MISSING):
        return None
    kept = {guard.name for guard in rollout.guards}.issuperset(predicates.missing_alarms(rollout.plan, seen))
    how = "this rollout goes on watching them as they were" if kept else "they count as INSUFFICIENT_DATA"
    text = f"alarm(s) {names} do not exist; {how}" if names else "all alarms exist again"
    return _set_condition(endpoint, rollout, ALARM_MISSING, names, text, now)


def _note_redefined_alarms(
    endpoint: Endpoint, rollout: Rollout, seen: Observation, now: datetime
) -> Transition | None:
    names = ", ".join(seen.redefined)
    if seen.alarms is None or names == _condition_message(rollout, ALARM_REDEFINED):
        return None
    text = f"alarm(s) {names} were redefined; this rollout goes on watching them as they were when it began, too"
    return _set_condition(
        endpoint, rollout, ALARM_REDEFINED, names, text if names else "alarms are as they were again", now
    )


def _condition_message(rollout: Rollout, type: str) -> str:
    return next((c.message for c in rollout.conditions if c.type == type and c.status), "")


def _set_condition(
    endpoint: Endpoint, rollout: Rollout, type: str, what: str, text: str, now: datetime
) -> Transition:
    """The condition on record, or no longer true when there is nothing to say any more."""
    after = replace(endpoint, rollout=transitions.set_condition(rollout, type, bool(what), what, now))
    return after, (Event(f"rollout.{type}", text, {"rollout": rollout.id, "status": bool(what)}),)


def _provision(endpoint: Endpoint, rollout: Rollout, seen: Observation, now: datetime) -> Transition | None:
    """A shadow has to come up before the first traffic; from then on nothing waits for it or falls with it."""
    stage = rollout.plan.stages[rollout.stage]
    first = not desired_state.new_share(endpoint)
    if not predicates.is_ready(endpoint, rollout.new, stage.new_part, seen, shadow=first):
        return None
    return _shift_traffic(endpoint, rollout, now)


def _shift_traffic(endpoint: Endpoint, rollout: Rollout, now: datetime) -> Transition:
    shifted, events = transitions.enter_phase(
        endpoint, rollout, Phase.ACTIVATING_TRAFFIC, rollout.plan.shift_timeout, now
    )
    return desired_state.route(shifted, rollout.plan.stages[rollout.stage].share), events


def _activate_traffic(endpoint: Endpoint, rollout: Rollout, seen: Observation, now: datetime) -> Transition | None:
    """The bake begins when the share is seen in force, not when it was asked for."""
    if not predicates.is_in_force(endpoint, seen):
        return None
    bake = rollout.plan.stages[rollout.stage].bake
    baking = replace(rollout, bake_until=now + timedelta(seconds=bake), answers_before=None, unrouted_since=None)
    return transitions.enter_phase(endpoint, baking, Phase.BAKING, None, now)


def _bake(endpoint: Endpoint, rollout: Rollout, seen: Observation, now: datetime) -> Transition | None:
    stage = rollout.plan.stages[rollout.stage]
    whole = predicates.is_ready(endpoint, rollout.new, stage.new_part, seen)
    if whole != (rollout.phase_deadline is None):
        return _track_capacity(endpoint, rollout, whole, now)
    if rollout.answers_before is None and (noted := _record_baseline(endpoint, rollout, seen)):
        return noted
    if not rollout.promote and predicates.has_coverage_gap(rollout, seen):
        return transitions.restart_bake(endpoint, rollout, "requests of this bake could not be counted", now)
    over = rollout.promote or is_past(rollout.bake_until, now)
    if not whole or not over or not predicates.is_in_force(endpoint, seen):
        return None
    if not predicates.has_evidence_through(rollout, seen, _end_of_bake(rollout)):
        return None
    counted = predicates.count_responses(endpoint, rollout, seen)
    silent = "silent" if counted.answered == 0 and counted.in_flight else ""
    if silent != _condition_message(rollout, NO_ANSWERS):
        text = f"{rollout.new.config_name} has requests and has answered none; holding"
        return _set_condition(
            endpoint, rollout, NO_ANSWERS, silent, text if silent else "requests are answered", now
        )
    if silent:
        return None
    if rollout.plan.require_evidence and (lacking := ", ".join(predicates.alarms_not_ok(rollout.plan, seen))):
        if lacking == _condition_message(rollout, WAITING_FOR_EVIDENCE):
            return None
        return _set_condition(
            endpoint, rollout, WAITING_FOR_EVIDENCE, lacking, f"waiting until alarm(s) {lacking} are OK", now
        )
    return _finish_stage(endpoint, replace(rollout, bake_until=None), stage, now)


def _record_baseline(endpoint: Endpoint, rollout: Rollout, seen: Observation) -> Transition | None:
    """What the version had answered and failed when a bake began: as soon as that second is counted."""
    counted = predicates.count_responses(endpoint, rollout, seen)
    since = rollout.phase_since
    if (
        since is None
        or counted.answered is None
        or not predicates.has_evidence_through(rollout, seen, since + ONE_SECOND)
    ):
        return None
    before = (counted.answered, counted.failed)
    return replace(endpoint, rollout=replace(rollout, answers_before=before)), ()


def _exclude_unrouted_time(
    endpoint: Endpoint, rollout: Rollout, seen: Observation, now: datetime
) -> Transition | None:
    """Time in which the stage's share was not in force is no part of its bake: a proxy that is down, or without our
    routes, sends the new version nothing to be judged by."""
    if rollout.phase is not Phase.BAKING or rollout.bake_until is None:
        return None
    since = rollout.unrouted_since
    if predicates.is_in_force(endpoint, seen) == (since is None):
        return None
    if since is None:
        return replace(endpoint, rollout=replace(rollout, unrouted_since=now)), ()
    longer = replace(rollout, unrouted_since=None, bake_until=rollout.bake_until + max(now - since, timedelta(0)))
    if now - since <= SHORTEST_OUTAGE:
        return replace(endpoint, rollout=longer), ()
    text = f"the share was not in force for {(now - since).total_seconds():.0f} s; the bake lasts that much longer"
    return replace(endpoint, rollout=longer), (Event("rollout.BakeExtended", text, {"rollout": rollout.id}),)


def _end_of_bake(rollout: Rollout) -> datetime:
    """Up to when verdicts must reach: the end of the bake, or for a bake that is skipped its beginning."""
    end = rollout.phase_since if rollout.promote else rollout.bake_until
    assert end is not None
    return end


def _track_capacity(endpoint: Endpoint, rollout: Rollout, whole: bool, now: datetime) -> Transition:
    """Replicas were lost in mid-bake or are back: a deadline runs as long as capacity is short."""
    if whole:
        return _set_condition(
            endpoint, replace(rollout, phase_deadline=None), CAPACITY_SHORT, "", "capacity is whole again", now
        )
    deadline = now + timedelta(seconds=rollout.plan.provisioning_timeout)
    text = f"{rollout.new.config_name} is short of ready instances; holding"
    return _set_condition(endpoint, replace(rollout, phase_deadline=deadline), CAPACITY_SHORT, "short", text, now)


def _finish_stage(endpoint: Endpoint, rollout: Rollout, stage: RolloutStage, now: datetime) -> Transition:
    if rollout.stage + 1 < len(rollout.plan.stages):
        following = replace(rollout, stage=rollout.stage + 1)
        ahead = rollout.plan.stages[following.stage]
        if (ahead.new_part, ahead.old_part) == (stage.new_part, stage.old_part):
            return _shift_traffic(endpoint, following, now)
        return transitions.enter_phase(
            endpoint, following, Phase.PROVISIONING, rollout.plan.provisioning_timeout, now
        )
    if rollout.old is None:
        return transitions.succeed(endpoint, now)
    return transitions.enter_phase(endpoint, rollout, Phase.TERMINATING, rollout.plan.drain_timeout, now)


_RULES: dict[Phase, PhaseRule] = {
    Phase.PROVISIONING: _provision,
    Phase.ACTIVATING_TRAFFIC: _activate_traffic,
    Phase.BAKING: _bake,
}
