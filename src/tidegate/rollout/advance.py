"""Rules of a rollout that advances: Provisioning -> (ActivatingTraffic -> Baking)* -> Terminating -> Succeeded.

A rule takes one record and one observation and returns a transition, or None to stay. Causes of a rollback are
checked before any rule that could advance, so no rollout advances while an alarm is firing."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from tidegate.domain.endpoint import Endpoint, Rollout
from tidegate.domain.evidence import NO_EXPLANATION
from tidegate.domain.observation import Event, Observation
from tidegate.domain.rollout import Cause, Phase, RolloutStage
from tidegate.rollout import approval_rule, desired_state, evidence_rule, predicates, transitions
from tidegate.rollout.commands import PROMOTED
from tidegate.rollout.evidence_rule import HELD_BY_EVIDENCE, Ruling
from tidegate.rollout.transitions import Transition

PhaseRule = Callable[[Endpoint, Rollout, Observation, datetime], Transition | None]

ALARM_MISSING = "AlarmMissing"
ALARM_REDEFINED = "AlarmRedefined"
NO_ANSWERS = "NoAnswers"
ALARM_FROM_BEFORE = "AlarmFromBefore"
INSTANCES_LOST = "InstancesLost"
MOST_LOSSES = 2
"""How often a version may lose every ready instance and come back. The next time it is rolled back: it crashes."""

ONE_SECOND = timedelta(seconds=1)
"""Requests are counted by the second."""
SHORTEST_OUTAGE = timedelta(seconds=1)
"""A share must be out of force, or unseen, for longer than this for the extended bake to be journaled."""
FAILURES_TO_ROLL_BACK = 10
"""A version that failed this many requests and answered none is rolled back without an alarm."""
WAITING_FOR_EVIDENCE = "WaitingForEvidence"
CAPACITY_SHORT = "CapacityShort"
ASSURANCE_OVERRIDDEN = "AssuranceOverridden"


def advance(endpoint: Endpoint, rollout: Rollout, seen: Observation, now: datetime) -> Transition | None:
    """Before the point of no return: roll back, else record conditions, else (unless paused or without evidence)
    advance."""
    if cause := _find_cause(endpoint, rollout, seen, now):
        failed = evidence_rule.has_failed(rollout, seen) or evidence_rule.has_failed_replay(rollout, seen)
        rejects = cause[0] is Cause.EVIDENCE and failed
        failures = seen.failures if cause[0] in (Cause.ALARM, Cause.EVIDENCE, Cause.CAPACITY) else ()
        explained = cause[0] is Cause.EVIDENCE
        explanation = evidence_rule.explain_rollback(endpoint.name, rollout, seen) if explained else NO_EXPLANATION
        return transitions.begin_rollback(
            endpoint, *cause, now, rejects=rejects, failures=failures, explanation=explanation
        )
    # Like a rollback, this rests on less than a step forward, and no pause holds it.
    if _find_lost_variants(endpoint, rollout, seen):
        return _withdraw_traffic(endpoint, rollout, now)
    for note in (_note_missing_alarms, _note_redefined_alarms, _note_alarms_from_before):
        if noted := note(endpoint, rollout, seen, now):
            return noted
    # A pause stops every clock, but not the alarms: they were checked above (invariant 6).
    if rollout.pause:
        return None
    if routed := _exclude_unrouted_time(endpoint, rollout, seen, now):
        return routed
    # Unknown never advances. Rolling back needs less evidence than advancing, and was decided above.
    if not predicates.has_fresh_evidence(rollout, seen, now):
        return None
    return _RULES[rollout.phase](endpoint, rollout, seen, now)


def adopt_unsaved_rollback(
    endpoint: Endpoint, rollout: Rollout, seen: Observation, now: datetime
) -> Transition | None:
    """Adopt a rollback that an earlier controller began and could not save before it ended. It left a table in force
    that is newer than the record and gives the new version less traffic. The traffic stays where it is."""
    ours, found = desired_state.traffic(endpoint), seen.routes
    if rollout.old is None or rollout.phase not in _RULES or endpoint.deleting:
        return None
    if found is None or found.fence <= ours.fence or not found.routes:
        return None
    # A table that names any other version was left by an earlier endpoint of this name.
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
    """Past the point of no return: alarms no longer roll back. A fleet that is not gone at the deadline is reported
    (invariant 12); the steady-state rules go on removing it."""
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
    """Why the rollout must be rolled back; the most informative cause first."""
    if alarms := predicates.firing_alarms(rollout.plan, seen):
        when = (
            "after its instances were lost"
            if _condition_message(rollout, INSTANCES_LOST)
            else _WHEN[rollout.phase]
        )
        decided = "; ".join(seen.breaches[name] for name in alarms if name in seen.breaches)
        why = f"alarm(s) [{', '.join(alarms)}] in ALARM state {when}"
        return Cause.ALARM, f"{why}: {decided}" if decided else why
    share = desired_state.new_share(endpoint)
    if failed := predicates.failures(endpoint, rollout.new, seen, shadow=_is_untried(endpoint, rollout)):
        cause = Cause.CAPACITY if share or rollout.losses else Cause.PROVISIONING
        causes = "; ".join(f"variant {name}: {why}" for name, why in failed.items())
        return cause, f"{rollout.new.config_name} could not be run: {causes}"
    if (lost := _find_lost_variants(endpoint, rollout, seen)) and rollout.losses >= MOST_LOSSES:
        times = f"{rollout.losses + 1} times, each while it took traffic"
        return Cause.CAPACITY, f"variant {', '.join(lost)} lost every ready instance {times}"
    counted = predicates.count_responses(endpoint, rollout, seen)
    # Requests that found no instance count as failed. They say nothing about a version that is back.
    judged = rollout.old is not None and not lost and (not rollout.losses or rollout.answers_before is not None)
    if judged and counted.answered == 0 and counted.failed >= FAILURES_TO_ROLL_BACK:
        return Cause.EVIDENCE, f"{rollout.new.config_name} failed each of its {counted.failed} requests"
    ruling = evidence_rule.rule_on_stage(rollout, seen, now)
    if ruling is Ruling.ROLL_BACK and evidence_rule.has_failed(rollout, seen):
        return Cause.EVIDENCE, f"{rollout.new.config_name} differs: {evidence_rule.explain(rollout, seen)}"
    replayed = evidence_rule.rule_on_replay(rollout, seen)
    if replayed is Ruling.ROLL_BACK and evidence_rule.has_failed_replay(rollout, seen):
        return (
            Cause.EVIDENCE,
            f"{rollout.new.config_name} is worse on labelled rows: {evidence_rule.explain_replay(seen)}",
        )
    if ruling is Ruling.ROLL_BACK and evidence_rule.is_budget_spent(rollout, seen):
        within = "harm not ruled out within the requests and failures that the settings allow"
        return Cause.EVIDENCE, f"{within}: {evidence_rule.explain(rollout, seen)}"
    if rollout.pause:  # a pause stops the clocks below
        return None
    if is_past(rollout.expires_at, now):
        return Cause.TIMEOUT, f"not finished within its {rollout.plan.execution_timeout} s"
    if replayed is Ruling.ROLL_BACK:
        return Cause.EVIDENCE, f"labelled rows say nothing: {evidence_rule.explain_replay(seen)}"
    if ruling is Ruling.ROLL_BACK:
        lacking = "not decided" if evidence_rule.is_rising(rollout, seen) else "no evidence"
        when = "can come" if evidence_rule.is_hopeless(rollout, seen) else "at the deadline"
        return Cause.EVIDENCE, f"{lacking} {when}: {evidence_rule.explain(rollout, seen)}"
    return _missed_deadline(rollout, now)


_WHEN = {
    Phase.PROVISIONING: "before its traffic was shifted",
    Phase.ACTIVATING_TRAFFIC: "while traffic was shifted",
    Phase.BAKING: "during baking",
}


def _find_lost_variants(endpoint: Endpoint, rollout: Rollout, seen: Observation) -> list[str]:
    """Routed variants of the new version that lost their last ready replica while the old version has one of each of
    its variants. If no new replica was ever ready for this controller (after a crash of the machine), the new version
    is only short of capacity."""
    if rollout.old is None or seen.fleets is None or not desired_state.new_share(endpoint):
        return []
    if predicates.find_dead_variants(endpoint, rollout.old, seen):
        return []
    gone = predicates.find_dead_variants(endpoint, rollout.new, seen)
    return gone if predicates.had_ready_replica(endpoint, rollout.new, gone, seen) else []


def _withdraw_traffic(endpoint: Endpoint, rollout: Rollout, now: datetime) -> Transition:
    """Send all requests to the old version until the stage's instances are ready again: then the stage starts over.
    An old version with fewer instances is better than a new one with none."""
    rollout = replace(
        transitions.set_condition(rollout, INSTANCES_LOST, True, "lost", now),
        losses=rollout.losses + 1,
        bake_until=None,
        unrouted_since=None,
        answers_before=None,
    )
    # A pause stops this clock, too: what is left of it when the rollout is resumed counts from when it was paused.
    since = rollout.pause.since if rollout.pause else now
    waits = rollout.plan.provisioning_timeout
    withdrawn, events = transitions.enter_phase(
        endpoint, rollout, Phase.PROVISIONING, waits + (since - now).total_seconds(), now
    )
    text = (
        f"{rollout.new.config_name} lost every ready instance ({rollout.losses} of at most {MOST_LOSSES} times);"
        f" all traffic goes to the old version, and the instances have {waits} s to come back"
    )
    event = Event(f"rollout.{INSTANCES_LOST}", text, {"rollout": rollout.id, "status": True})
    return desired_state.route(withdrawn, 0), (event, *events)


def _is_untried(endpoint: Endpoint, rollout: Rollout) -> bool:
    """Whether the new version has never taken traffic."""
    return not desired_state.new_share(endpoint) and not rollout.losses


def _missed_deadline(rollout: Rollout, now: datetime) -> tuple[Cause, str] | None:
    if not is_past(rollout.phase_deadline, now):
        return None
    plan, name = rollout.plan, rollout.new.config_name
    if _condition_message(rollout, INSTANCES_LOST):
        return Cause.CAPACITY, f"{name} lost every ready instance, and was not whole again in time"
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
    how = "this rollout keeps the definitions that it started with" if kept else "they count as INSUFFICIENT_DATA"
    text = f"alarm(s) {names} do not exist; {how}" if names else "all alarms exist again"
    return _set_condition(endpoint, rollout, ALARM_MISSING, names, text, now)


def _note_redefined_alarms(
    endpoint: Endpoint, rollout: Rollout, seen: Observation, now: datetime
) -> Transition | None:
    names = ", ".join(seen.redefined)
    if seen.alarms is None or names == _condition_message(rollout, ALARM_REDEFINED):
        return None
    text = f"alarm(s) {names} were redefined; this rollout also keeps the definitions that it started with"
    return _set_condition(
        endpoint, rollout, ALARM_REDEFINED, names, text if names else "alarms are as they were again", now
    )


def _note_alarms_from_before(
    endpoint: Endpoint, rollout: Rollout, seen: Observation, now: datetime
) -> Transition | None:
    names = ", ".join(predicates.alarms_from_before(rollout.plan, seen))
    if seen.alarms is None or names == _condition_message(rollout, ALARM_FROM_BEFORE):
        return None
    text = f"alarm(s) {names} are in ALARM by data of before this rollout began; holding until they are not"
    return _set_condition(endpoint, rollout, ALARM_FROM_BEFORE, names, text if names else "no alarm holds it", now)


def _condition_message(rollout: Rollout, type: str) -> str:
    return next((c.message for c in rollout.conditions if c.type == type and c.status), "")


def _set_condition(
    endpoint: Endpoint, rollout: Rollout, type: str, what: str, text: str, now: datetime
) -> Transition:
    """Set the condition, or clear it if ``what`` is empty."""
    after = replace(endpoint, rollout=transitions.set_condition(rollout, type, bool(what), what, now))
    return after, (Event(f"rollout.{type}", text, {"rollout": rollout.id, "status": bool(what)}),)


def _provision(endpoint: Endpoint, rollout: Rollout, seen: Observation, now: datetime) -> Transition | None:
    """Shift once the stage's capacity is ready (invariant 2). The shadow must be ready before the first traffic only;
    afterwards it decides nothing (invariant 13)."""
    stage = rollout.plan.stages[rollout.stage]
    first = _is_untried(endpoint, rollout)
    ready = predicates.is_ready(endpoint, rollout.new, stage.new_part, seen, shadow=first)
    if ready and _condition_message(rollout, INSTANCES_LOST):
        return _set_condition(endpoint, rollout, INSTANCES_LOST, "", "the instances that were lost are back", now)
    # The deadline for capacity does not run while something else holds what is ready.
    if (not ready and rollout.phase_deadline is None) or (ready and _condition_message(rollout, CAPACITY_SHORT)):
        return _track_capacity(endpoint, rollout, ready, now)
    if evidence_rule.awaits_replay(rollout) and (noted := _await_replay(endpoint, rollout, seen, ready, now)):
        return noted
    if not ready or evidence_rule.rule_on_replay(rollout, seen) is not Ruling.ADVANCE:
        return None
    if predicates.alarms_from_before(rollout.plan, seen):
        # This ends without a deadline: no data are of before once the alarm's window has moved past the rollout's
        # begin. An alarm that is in ALARM even then rolls back.
        return _stop_deadline(endpoint, rollout)
    if rollout.losses and (ruling := evidence_rule.rule_on_repeat(rollout, seen)) is not Ruling.ADVANCE:
        return _await_room(endpoint, rollout, ruling, now)
    if approval_rule.is_missing(rollout, rollout.stage):
        return _await_approval(endpoint, replace(rollout, phase_deadline=None), now)
    return _shift_traffic(endpoint, rollout, now)


def _await_room(endpoint: Endpoint, rollout: Rollout, ruling: Ruling, now: datetime) -> Transition | None:
    """Roll back a stage that the budgets have no room to run again, or note that their room is not known."""
    if ruling is Ruling.ROLL_BACK:
        return _refuse_repeat(endpoint, rollout, "its instances were lost", now)
    waits = "waiting until it is known what room the budgets have"
    if waits == _condition_message(rollout, HELD_BY_EVIDENCE):
        return None
    return _set_condition(endpoint, rollout, HELD_BY_EVIDENCE, waits, waits, now)


def _refuse_repeat(endpoint: Endpoint, rollout: Rollout, why: str, now: datetime) -> Transition:
    """Roll back a stage that would have to run once more, for which the budgets have no room."""
    text = f"the budgets have no room to run stage {rollout.stage + 1} once more: {why}"
    return transitions.begin_rollback(endpoint, Cause.EVIDENCE, text, now)


def _stop_deadline(endpoint: Endpoint, rollout: Rollout) -> Transition | None:
    if rollout.phase_deadline is None:
        return None
    return replace(endpoint, rollout=replace(rollout, phase_deadline=None)), ()


def _await_approval(endpoint: Endpoint, rollout: Rollout, now: datetime) -> Transition | None:
    """Note once that a person is waited for: no deadline but that of the whole rollout ends it."""
    if approval_rule.is_held(rollout):
        return None
    rule = rollout.plan.approval
    assert rule is not None
    asked = f", other than {rollout.asked_by}," if rollout.asked_by and not rule.author_may else ""
    waits = f"waiting for somebody{asked} with the role {rule.role} to promote or abort"
    type = approval_rule.HELD_FOR_APPROVAL
    return _set_condition(endpoint, rollout, type, waits, f"{rollout.new.config_name} is {waits}", now)


def _await_replay(
    endpoint: Endpoint, rollout: Rollout, seen: Observation, ready: bool, now: datetime
) -> Transition | None:
    """Note what the replay waits for."""
    ruling = evidence_rule.rule_on_replay(rollout, seen)
    waits = _REPLAY_WAITS.get(ruling, "") if ready else ""
    if waits:
        rollout = replace(rollout, phase_deadline=None)
    if waits == _condition_message(rollout, HELD_BY_EVIDENCE):
        return None
    text = f"{waits}: {evidence_rule.explain_replay(seen)}" if waits else "labelled rows let the rollout begin"
    return _set_condition(endpoint, rollout, HELD_BY_EVIDENCE, waits, text, now)


def _shift_traffic(endpoint: Endpoint, rollout: Rollout, now: datetime) -> Transition:
    shifted, events = transitions.enter_phase(
        endpoint, rollout, Phase.ACTIVATING_TRAFFIC, rollout.plan.shift_timeout, now
    )
    return desired_state.route(shifted, rollout.plan.stages[rollout.stage].share), events


def _activate_traffic(endpoint: Endpoint, rollout: Rollout, seen: Observation, now: datetime) -> Transition | None:
    """The bake begins when the share is observed in force by our own write, not when it was requested: time without
    traffic tests nothing."""
    if not predicates.is_in_force(endpoint, seen):
        return None
    bake = rollout.plan.stages[rollout.stage].bake
    baking = replace(rollout, bake_until=now + timedelta(seconds=bake), answers_before=None, unrouted_since=None)
    return transitions.enter_phase(endpoint, baking, Phase.BAKING, None, now)


def _bake(endpoint: Endpoint, rollout: Rollout, seen: Observation, now: datetime) -> Transition | None:
    """Leave the bake once every condition holds. Invariant 14: only on fresh verdicts that reach to its end and rest
    on requests counted without a gap."""
    stage = rollout.plan.stages[rollout.stage]
    whole = predicates.is_ready(endpoint, rollout.new, stage.new_part, seen, shadow=_is_untried(endpoint, rollout))
    if whole != (rollout.phase_deadline is None):
        return _track_capacity(endpoint, rollout, whole, now)
    if rollout.answers_before is None and (noted := _record_baseline(endpoint, rollout, seen)):
        return noted
    if not rollout.skips_bake and predicates.has_coverage_gap(rollout, seen):
        return _repeat_bake(endpoint, rollout, seen, now)
    # Promoting skips the bake, but not capacity, routes or verdicts.
    over = rollout.skips_bake or is_past(rollout.bake_until, now)
    if not whole or not over or not predicates.is_in_force(endpoint, seen):
        return None
    end = _end_of_bake(rollout)
    if not predicates.has_evidence_through(rollout, seen, end):
        # That none is known now does not end a wait: counts that are late hide how far signals were read.
        unread = predicates.signals_awaited(seen, end)
        return _note_awaited(endpoint, rollout, unread, now) if unread else None
    # A version that hangs has no errors yet: without an answer there is nothing to judge. Copies count as no answers.
    counted = predicates.count_responses(endpoint, rollout, seen)
    silent = "silent" if stage.share and counted.answered == 0 and counted.in_flight else ""
    if silent != _condition_message(rollout, NO_ANSWERS):
        text = f"{rollout.new.config_name} has requests and has answered none; holding"
        return _set_condition(
            endpoint, rollout, NO_ANSWERS, silent, text if silent else "requests are answered", now
        )
    if silent or predicates.alarms_from_before(rollout.plan, seen):
        return None
    # Invariant 7: missing evidence is neither a pass nor a failure, so hold. With copies only no alarm can have any.
    awaited = predicates.alarms_awaited(rollout, seen) if stage.share else []
    if (noted := _note_awaited(endpoint, rollout, awaited, now)) or awaited:
        return noted
    ruling = evidence_rule.rule_on_stage(rollout, seen, now)
    if noted := _note_ruling(endpoint, rollout, seen, ruling, now):
        return noted
    if ruling is not Ruling.ADVANCE:
        return None
    noted = _note_override(endpoint, rollout, seen, now)
    return noted or _finish_stage(endpoint, rollout, seen, now)


def _note_awaited(endpoint: Endpoint, rollout: Rollout, awaited: list[str], now: datetime) -> Transition | None:
    """Note the alarms that the end of the bake waits for, when they change."""
    names = ", ".join(awaited)
    if names == _condition_message(rollout, WAITING_FOR_EVIDENCE):
        return None
    text = f"waiting until alarm(s) {names} are OK by data that reach to the end of the bake"
    return _set_condition(
        endpoint, rollout, WAITING_FOR_EVIDENCE, names, text if names else "no alarm is waited for", now
    )


def _repeat_bake(endpoint: Endpoint, rollout: Rollout, seen: Observation, now: datetime) -> Transition:
    why = "requests of this bake could not be counted"
    if evidence_rule.rule_on_repeat(rollout, seen) is Ruling.ROLL_BACK:
        return _refuse_repeat(endpoint, rollout, why, now)
    return transitions.restart_bake(endpoint, rollout, why, now)


def _note_override(endpoint: Endpoint, rollout: Rollout, seen: Observation, now: datetime) -> Transition | None:
    """Note that a person lets a version have more traffic than it may have before every harm is ruled out: nothing
    else does that."""
    if not evidence_rule.lacks_assurance(rollout, seen):
        return None
    said = f"after stage {rollout.stage + 1}, by {_condition_message(rollout, PROMOTED) or 'a person'}"
    if said == _condition_message(rollout, ASSURANCE_OVERRIDDEN):
        return None
    text = f"the assurance is overridden {said}: {evidence_rule.explain(rollout, seen)}"
    return _set_condition(endpoint, rollout, ASSURANCE_OVERRIDDEN, said, text, now)


def _note_ruling(
    endpoint: Endpoint, rollout: Rollout, seen: Observation, ruling: Ruling, now: datetime
) -> Transition | None:
    """Note what the stage waits for, if it waits, and when that ends."""
    waits = _WAITS.get(ruling, "")
    if ruling is Ruling.HOLD and evidence_rule.is_rising(rollout, seen):
        waits = "held by a difference that may be above its tolerance"
    elif ruling is Ruling.HOLD and evidence_rule.lacks_assurance(rollout, seen):
        waits = "waiting until harm is ruled out"
    elif ruling is Ruling.HOLD and evidence_rule.lacks_room(rollout, seen):
        waits = "waiting until the budget has room for a larger share"
    if waits == _condition_message(rollout, HELD_BY_EVIDENCE):
        return None
    text = f"{waits}: {evidence_rule.explain_hold(rollout, seen)}" if waits else "the evidence lets the stage pass"
    return _set_condition(endpoint, rollout, HELD_BY_EVIDENCE, waits, text, now)


_REPLAY_WAITS = {
    Ruling.HOLD: "waiting for the replay",
    Ruling.GATE: "waiting for a person to promote or abort the replayed version",
}
_WAITS = {Ruling.HOLD: "waiting for evidence", Ruling.GATE: "waiting for a person to promote or abort"}


def _record_baseline(endpoint: Endpoint, rollout: Rollout, seen: Observation) -> Transition | None:
    """Record the version's response counts at the start of the bake, once that second has been counted. Later counts
    are compared with them."""
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
    """Extend the bake by the time in which its share was not in force: a proxy that is down, or has other routes,
    sends the new version no requests to judge."""
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
    """Time that verdicts must reach: the end of the bake, or its start if the bake is skipped."""
    end = rollout.phase_since if rollout.skips_bake else rollout.bake_until
    assert end is not None
    return end


def _track_capacity(endpoint: Endpoint, rollout: Rollout, whole: bool, now: datetime) -> Transition:
    """Start a deadline when replicas are lost during a bake, and clear it when capacity is complete again."""
    if whole:
        return _set_condition(
            endpoint, replace(rollout, phase_deadline=None), CAPACITY_SHORT, "", "capacity is complete again", now
        )
    deadline = now + timedelta(seconds=rollout.plan.provisioning_timeout)
    text = f"{rollout.new.config_name} is short of ready instances; holding"
    return _set_condition(endpoint, replace(rollout, phase_deadline=deadline), CAPACITY_SHORT, "short", text, now)


def _finish_stage(endpoint: Endpoint, rollout: Rollout, seen: Observation, now: datetime) -> Transition | None:
    """Go to the stage that follows, unless that needs an approval, or past the last one."""
    stage, number = rollout.plan.stages[rollout.stage], evidence_rule.choose_stage(rollout, seen)
    if number is None:
        return None
    last = number == len(rollout.plan.stages)
    if not last and approval_rule.is_missing(rollout, number):
        return _await_approval(endpoint, rollout, now)
    rollout = replace(rollout, bake_until=None)
    if not last:
        following = replace(rollout, stage=number)
        ahead = rollout.plan.stages[following.stage]
        if (ahead.new_part, ahead.old_part) == (stage.new_part, stage.old_part):
            shifted, events = _shift_traffic(endpoint, following, now)
            return shifted, (*_explain_choice(rollout, ahead, seen), *events)
        # Invariant 3: rolling removes old instances only after their traffic has moved, so capacity first again.
        return transitions.enter_phase(
            endpoint, following, Phase.PROVISIONING, rollout.plan.provisioning_timeout, now
        )
    if rollout.old is None:
        return transitions.succeed(endpoint, now)
    # The point of no return: from here on the old fleets are removed.
    return transitions.enter_phase(endpoint, rollout, Phase.TERMINATING, rollout.plan.drain_timeout, now)


def _explain_choice(rollout: Rollout, ahead: RolloutStage, seen: Observation) -> tuple[Event, ...]:
    """Return the event that says why budgets chose a stage; nothing where they choose none."""
    verdict = evidence_rule.verdict_on_stage(rollout, seen)
    if verdict is None or verdict.room is None or verdict.assured or rollout.skips_bake:
        return ()
    text = (
        f"{ahead.share / 100:g} % is the largest share for which the budgets have room: {verdict.room:,.0f} requests,"
        f" at {verdict.rate:,.3g} per second"
    )
    data: dict[str, object] = {"rollout": rollout.id, "room": verdict.room, "rate": verdict.rate}
    return (Event("rollout.StageChosen", text, data),)


_RULES: dict[Phase, PhaseRule] = {
    Phase.PROVISIONING: _provision,
    Phase.ACTIVATING_TRAFFIC: _activate_traffic,
    Phase.BAKING: _bake,
}
