"""Transitions shared by rules and commands: start, enter a phase, roll back, end. Each returns the record and its
events; the caller has checked that the transition is allowed."""

from dataclasses import replace
from datetime import datetime, timedelta

from tidegate.domain.endpoint import Endpoint, Rollout, Successor, VersionRequest
from tidegate.domain.evidence import NO_EXPLANATION, Explanation
from tidegate.domain.observation import Event
from tidegate.domain.rollout import Cause, Condition, MixedVersions, Phase, RolloutPlan, RolloutStage
from tidegate.domain.traffic import WHOLE
from tidegate.rollout import desired_state
from tidegate.rollout.digest import digest

Transition = tuple[Endpoint, tuple[Event, ...]]

ROLLED_BACK = "Deployment rolled back: "
"""Prefix of the reason of every rollout that was rolled back."""
MAX_REJECTED = 50
"""Digests of rejected versions kept per endpoint, newest last."""


def start(
    endpoint: Endpoint, request: VersionRequest, plan: RolloutPlan, rollout_id: str, now: datetime
) -> Endpoint:
    """Start the rollout of the requested version, which already has its generation. The capacity that it wants gets a
    fence of its own."""
    rollout = Rollout(
        id=rollout_id,
        old=endpoint.serving,
        new=request.version,
        deployment=request.deployment,
        plan=plan,
        started_at=now,
        phase_since=now,
        phase_deadline=now + timedelta(seconds=plan.provisioning_timeout),
        expires_at=now + timedelta(seconds=plan.execution_timeout) if plan.execution_timeout else None,
        guards=request.guards if plan.alarms else (),
        asked_by=request.asked_by,
    )
    after = replace(endpoint, rollout=rollout, deployment=request.deployment, modified_at=now, clock=None)
    return desired_state.raise_fence(endpoint, after)


def enter_phase(
    endpoint: Endpoint, rollout: Rollout, phase: Phase, seconds: float | None, now: datetime
) -> Transition:
    """Enter a phase. Every phase has its own deadline, ``seconds`` from now, past which it has failed; None: none
    yet."""
    deadline = None if seconds is None else now + timedelta(seconds=seconds)
    rollout = replace(rollout, phase=phase, phase_since=now, phase_deadline=deadline)
    return replace(endpoint, rollout=rollout), (phase_event(endpoint, rollout),)


def phase_event(endpoint: Endpoint, rollout: Rollout) -> Event:
    """Event of entering the rollout's present phase."""
    share = desired_state.current_stage(rollout).share
    data: dict[str, object] = {"rollout": rollout.id, "phase": str(rollout.phase), "share": share}
    stages = len(rollout.plan.stages)
    where = f"stage {rollout.stage + 1} of {stages}"
    match rollout.phase:
        case Phase.PROVISIONING:
            text = f"launching {rollout.new.config_name}, {where}"
        case Phase.ACTIVATING_TRAFFIC:
            text = f"shifting {share / 100:g} % of the traffic to {rollout.new.config_name}, {where}"
        case Phase.BAKING:
            bake = rollout.plan.stages[rollout.stage].bake
            text = f"baking for {bake} s with {share / 100:g} % on {rollout.new.config_name}, {where}"
            if rollout.holds_back:
                text = describe_holdback(rollout)
        case Phase.TERMINATING:
            text = f"{rollout.new.config_name} has passed; removing the old version: past the point of no return"
        case _:
            text = _describe_rollback(rollout)
            if rollout.failures:
                data["failures"] = list(rollout.failures)
            if rollout.explanation.lines:
                data["explanation"] = [f"{name}: {said}" for name, said in rollout.explanation.lines]
    return Event(f"rollout.{rollout.phase}", text, data)


def describe_holdback(rollout: Rollout) -> str:
    stage, old = rollout.plan.stages[rollout.stage], rollout.old.config_name if rollout.old else ""
    new, kept = rollout.new.config_name, (WHOLE - stage.share) / 100
    return (
        f"{new} has passed and serves; {old} keeps {kept:g} % of the traffic for {stage.bake} s, and gets all of it"
        f" back if {new} turns out worse"
    )


def end_holdback(endpoint: Endpoint, now: datetime) -> Transition:
    """End the rollout before its holdback is over: the new version gets the rest of the traffic."""
    ended, events = succeed(endpoint, now)
    return desired_state.route(ended, 0), events


def _describe_rollback(rollout: Rollout) -> str:
    if rollout.back_stage == 0:
        return f"rolling back: {rollout.reason}"
    if rollout.back_stage == len(rollout.back):
        return f"all traffic is back; removing {rollout.new.config_name}"
    part = rollout.back[rollout.back_stage].old_part
    return f"launching {rollout.old.config_name if rollout.old else ''} again, up to {part / 100:g} %"


def begin_rollback(
    endpoint: Endpoint,
    cause: Cause,
    why: str,
    now: datetime,
    *,
    rejects: bool = False,
    failures: tuple[str, ...] = (),
    explanation: Explanation = NO_EXPLANATION,
) -> Transition:
    """Begin the rollback to the old version; a first version has none and fails. ``rejects``: a comparison or a
    replay failed. As after an alarm, the version is not rolled out again then unless asked for. ``failures``: the
    last messages of its failed requests. ``explanation``: what else a person is shown."""
    rollout = endpoint.rollout
    assert rollout is not None
    if rollout.old is None:
        return _fail_creation(endpoint, rollout, cause, why, now)
    share = desired_state.new_share(endpoint)
    # Invariant 11. Without traffic an alarm says nothing about this version, so it is not rejected. What it made of
    # copies and of labelled rows says as much about it as what it made of traffic.
    if rejects or (cause is Cause.ALARM and share):
        endpoint = _reject(endpoint, rollout)
    # The stages are fixed here, so that a rollback does not change course. A pause must not hold it (invariant 5).
    rolling_back = replace(
        rollout,
        cause=cause,
        reason=f"{ROLLED_BACK}{why}{f'; its last error: {failures[0]}' if failures else ''}.",
        failures=failures,
        explanation=explanation,
        back=_rollback_stages(rollout, share),
        pause=None,
        bake_until=None,
    )
    return enter_phase(endpoint, rolling_back, Phase.ROLLING_BACK, rollout.plan.provisioning_timeout, now)


def _reject(endpoint: Endpoint, rollout: Rollout) -> Endpoint:
    """Remember the digest of a version that took requests while an alarm fired, or that a comparison or a replay
    turned down."""
    known = digest(rollout.new)
    others = tuple(d for d in endpoint.rejected if d != known)
    return replace(endpoint, rejected=(*others, known)[-MAX_REJECTED:])


def _rollback_stages(rollout: Rollout, share: int) -> tuple[RolloutStage, ...]:
    """Stages of the rollback: first what the old version carries as it is, then batch by batch. The new version
    shrinks only after its share did (invariant 3)."""
    at = rollout.plan.stages[rollout.stage]
    back = [RolloutStage(min(share, WHOLE - at.old_part), 0, at.new_part, at.old_part)]
    for part in rollout.plan.rollback_parts:
        if part > back[-1].old_part:
            carried = back[-1].share
            back.append(RolloutStage(min(carried, WHOLE - part), 0, min(at.new_part, carried), part))
    return tuple(back)


def _fail_creation(endpoint: Endpoint, rollout: Rollout, cause: Cause, why: str, now: datetime) -> Transition:
    reason = f"The creation failed: {why}."
    ended = replace(rollout, phase=Phase.FAILED, cause=cause, reason=reason, ended_at=now, pause=None)
    failed = replace(endpoint, rollout=None, last=ended, failed=True, failure_reason=reason, modified_at=now)
    event = Event("endpoint.failed", reason, {"rollout": rollout.id, "cause": str(cause)})
    return desired_state.route(failed, 0), (event,)


def succeed(endpoint: Endpoint, now: datetime) -> Transition:
    rollout = endpoint.rollout
    assert rollout is not None
    ended = replace(rollout, phase=Phase.SUCCEEDED, ended_at=now, phase_deadline=None, bake_until=None)
    after = replace(
        endpoint,
        serving=rollout.new,
        rollout=None,
        last=ended,
        rollback_failed=False,
        mixed=None,
        failure_reason=None,
        rejected=tuple(d for d in endpoint.rejected if d != digest(rollout.new)),
        modified_at=now,
    )
    return after, (Event("rollout.Succeeded", f"{rollout.new.config_name} serves", {"rollout": rollout.id}),)


def finish_rollback(endpoint: Endpoint, now: datetime) -> Transition:
    """The old version serves alone again; a successor starts from there, so that no version is skipped halfway."""
    rollout = endpoint.rollout
    assert rollout is not None
    ended = replace(rollout, phase=Phase.ROLLED_BACK, ended_at=now, phase_deadline=None, successor=None)
    after = replace(endpoint, rollout=None, last=ended, modified_at=now)
    event = Event("rollout.RolledBack", rollout.reason or "", {"rollout": rollout.id, "cause": str(rollout.cause)})
    if rollout.successor is None:
        return replace(after, failure_reason=rollout.reason), (event,)
    following = rollout.successor
    after = start(after, following.wanted, following.plan, following.rollout_id, now)
    assert after.rollout is not None
    return after, (event, phase_event(after, after.rollout))


def fail_rollback(endpoint: Endpoint, why: str, now: datetime) -> Transition:
    """A mix of both versions serves until the next update. The record keeps the parts and the share, so that nothing
    that still takes requests is removed."""
    rollout = endpoint.rollout
    assert rollout is not None
    at = desired_state.current_stage(rollout)
    reason = f"{rollout.reason} The rollback failed: {why}."
    events: tuple[Event, ...] = (
        Event("rollout.RollbackFailed", reason, {"rollout": rollout.id, "cause": str(rollout.cause)}),
    )
    if rollout.successor is not None:
        reason, dropped = drop_successor(
            rollout, rollout.successor, reason, "that rollback failed; deploy it again"
        )
        events = (*events, dropped)
    share, mixed = desired_state.new_share(endpoint), endpoint.mixed
    if mixed is None or share:
        serving_part = min(at.old_part, mixed.serving_part) if mixed else at.old_part
        mixed = MixedVersions(rollout.new, share, at.new_part, serving_part)
    ended = replace(
        rollout, phase=Phase.ROLLBACK_FAILED, reason=reason, ended_at=now, phase_deadline=None, successor=None
    )
    after = replace(
        endpoint,
        rollout=None,
        last=ended,
        rollback_failed=True,
        mixed=mixed,
        failure_reason=reason,
        modified_at=now,
    )
    return after, events


def drop_successor(rollout: Rollout, successor: Successor, reason: str | None, why: str) -> tuple[str, Event]:
    """The reason of a rollout whose successor never begins, and the event that says so: it was accepted."""
    config = successor.wanted.version.config_name
    text = f"The update to {config}, which was to follow, was given up: {why}."
    facts: dict[str, object] = {"rollout": successor.rollout_id, "config": config, "superseded": rollout.id}
    return f"{reason or ''} {text}".strip(), Event("rollout.SuccessorDropped", text, facts)


def set_condition(rollout: Rollout, type: str, status: bool, message: str, now: datetime) -> Rollout:
    """Replace the condition of this type; ``message`` says who or what."""
    others = tuple(c for c in rollout.conditions if c.type != type)
    return replace(rollout, conditions=(*others, Condition(type, status, type, message, now)))


def restart_bake(endpoint: Endpoint, rollout: Rollout, why: str, now: datetime) -> Transition:
    """Start this stage's bake over. What was answered before says nothing about it, and a controller that started
    meanwhile may count from 0."""
    bake = rollout.plan.stages[rollout.stage].bake
    until = now + timedelta(seconds=bake)
    restarted = replace(rollout, phase_since=now, bake_until=until, answers_before=None)
    event = Event("rollout.BakeRestarted", f"baking anew for {bake} s: {why}", {"rollout": rollout.id})
    return replace(endpoint, rollout=restarted), (event,)


def leftover_event(rollout: Rollout) -> Event:
    """Event for a retired fleet whose requests did not finish in time. It is removed later."""
    text = f"a retired fleet was not gone within {rollout.plan.drain_timeout} s; its removal continues"
    return Event("rollout.LeftOver", text, {"rollout": rollout.id})
