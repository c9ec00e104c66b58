"""A small state space explored whole: two instances, two stages, and at every tick every combination of what can
be seen of the fleets, the routes and the alarm. Every reachable record is stepped under every one of them."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import product

import pytest

from tests.samples import canary, instances, linear, percent, rolling, version
from tidegate.domain.alarm import AlarmState
from tidegate.domain.assurance import ASSUMED, Assurance, Harm
from tidegate.domain.endpoint import Endpoint, Rollout
from tidegate.domain.evidence import EvidenceAction, EvidenceConfig, Finding, NoDataAction, Verdict
from tidegate.domain.observation import FleetStatus, GuardCheck, Observation
from tidegate.domain.rollout import DeploymentConfig, Holdback, Phase
from tidegate.features.rehearse.rehearsal.simulation import make_updating_world
from tidegate.rollout import commands, desired_state
from tidegate.rollout.step import RolloutDecision, step
from tidegate.simulation.invariants import InvariantBroken, Invariants
from tidegate.simulation.world import START

ALARMS: tuple[dict[str, AlarmState] | None, ...] = (
    None,
    {},
    {"alarm": AlarmState.OK},
    {"alarm": AlarmState.ALARM},
)
NOTHING = GuardCheck(START, START, START)
ASSURED = EvidenceConfig(assure=Assurance(Harm(errors=0.005), 2500, exposure=5000))
RAMPED = EvidenceConfig(assure=Assurance(Harm(errors=0.005), 4500, exposure=5000, failed=50, ramp=True))
RAISED = EvidenceConfig(assure=Assurance(Harm(errors=0.005), 6000))
HELD_BACK = replace(canary(percent(10), 60), evidence=ASSURED, holdback=Holdback(100, 120))
STEPS = (timedelta(seconds=60), timedelta(days=1))


def evidences(now: datetime) -> tuple[GuardCheck | None, ...]:
    """Whole; none; judged before a gap; without the end of the bake; with a hole in it."""
    return (
        GuardCheck(now, START, now),
        None,
        GuardCheck(now - timedelta(seconds=30), START, now),
        GuardCheck(now, START, START),
        GuardCheck(now, now, now),
    )


def sights(endpoint: Endpoint, now: datetime) -> Iterator[Observation]:
    """Fleets: unseen, none, all as wanted, all wanted but the last replica; routes: unseen, ours, none."""
    specs = desired_state.fleets(endpoint)
    whole = {id: FleetStatus(id, desired=spec.count, ready=spec.count) for id, spec in specs.items()}
    short = {id: FleetStatus(id, desired=spec.count, ready=max(0, spec.count - 1)) for id, spec in specs.items()}
    table = desired_state.traffic(endpoint)
    empty = type(table)(endpoint.name, 0)
    judged, *others = evidences(now)
    for fleets, routes, alarms in product((None, {}, whole, short), (None, table, empty), ALARMS):
        yield Observation(fleets, routes, alarms, judged)
    for alarms, evidence in product(ALARMS, others):
        yield Observation(whole, table, alarms, evidence)
    rollout = endpoint.rollout
    if rollout is not None and rollout.plan.evidence is not None:
        for finding, stage, alarms in product(Finding, (rollout.stage, rollout.stage + 1), ALARMS[2:]):
            verdict = Verdict(finding, stage, "", rising=finding is not Finding.PASS)
            yield Observation(whole, table, alarms, replace(judged or NOTHING, verdict=verdict))
            yield Observation(None, None, alarms, replace(judged or NOTHING, verdict=verdict))
            calm = replace(verdict, rising=False)
            yield Observation(whole, table, alarms, replace(judged or NOTHING, verdict=calm))
            if rollout.plan.evidence.assure is not None:
                for known in assurances(calm, ramp=rollout.plan.evidence.assure.ramp):
                    yield Observation(whole, table, alarms, replace(judged or NOTHING, verdict=known))


def assurances(verdict: Verdict, ramp: bool) -> Iterator[Verdict]:
    """Harm that is ruled out, in traffic that is split as requested or is not; one harm of two, with and without
    requests left. Where budgets choose the stages they have any room, some, none, or nobody knows what."""
    lacking = replace(ASSUMED, excluded=False)
    yield replace(verdict, harms=(ASSUMED,))
    yield replace(verdict, harms=(ASSUMED,), mismatch="too many")
    for exposed in (0, 5000):
        yield replace(verdict, harms=(ASSUMED, lacking), exposed=exposed)
    for room in (10.0**6, 400.0, 0.0) if ramp else ():
        yield replace(verdict, harms=(ASSUMED, lacking), room=room, rate=10.0)


def followers(endpoint: Endpoint, now: datetime) -> Iterator[Endpoint]:
    invariants = Invariants()
    if endpoint.rollout and endpoint.rollout.phase is Phase.BAKING and endpoint.rollout.phase_since:
        invariants.baking_since[endpoint.rollout.id, endpoint.rollout.stage] = endpoint.rollout.phase_since
    for seen in sights(endpoint, now):
        decision = step(endpoint, seen, now)
        invariants.decided(endpoint, seen, now, decision, step)
        if decision.endpoint is not None:
            yield decision.endpoint
    rollout = endpoint.rollout
    if rollout is not None and rollout.phase in commands.FORWARD_PHASES:
        yield commands.abort(endpoint, "ann", now)
        yield commands.promote(endpoint, "ann", now)
        yield commands.promote_fully(endpoint, "ann", now)
        if rollout.pause is None:
            yield commands.pause(endpoint, "ann", now)


def position(endpoint: Endpoint) -> tuple[object, ...]:
    """What tells records apart but for their times, fences and notes."""
    rollout, last = endpoint.rollout, endpoint.last
    live = rollout and (
        rollout.phase,
        rollout.stage,
        rollout.back_stage,
        rollout.back,
        rollout.pause is None,
        rollout.promote,
        rollout.skips_bake,
        rollout.cause,
        rollout.phase_deadline is None,
        rollout.bake_until is None,
    )
    ended = last and (last.phase, last.cause)
    mix = endpoint.mixed and (endpoint.mixed.share, endpoint.mixed.part, endpoint.mixed.serving_part)
    return live, ended, desired_state.new_share(endpoint), mix, endpoint.rejected


@pytest.mark.parametrize(
    ("config", "shadow"),
    [
        (canary(instances(1), 60, 60), 0),
        (rolling(instances(1), 60, instances(1)), 0),
        (canary(instances(1), 60, 60), 1),
        (replace(canary(instances(1), 60, 60), evidence=EvidenceConfig()), 0),
        (replace(rolling(instances(1), 60), evidence=EvidenceConfig(action=EvidenceAction.GATE)), 0),
        (replace(canary(instances(1), 60, 60), evidence=EvidenceConfig(on_no_data=NoDataAction.ADVANCE)), 0),
        (replace(canary(percent(10), 60, 60), evidence=ASSURED), 0),
        (replace(canary(percent(10), 60, 60), evidence=replace(ASSURED, on_no_data=NoDataAction.GATE)), 0),
        (replace(linear(percent(20), 60, 60), evidence=RAMPED), 0),
        (replace(canary(percent(10), 60, 0), evidence=RAISED, holdback=Holdback(5000, 60)), 0),
        (HELD_BACK, 0),
        (replace(HELD_BACK, evidence=EvidenceConfig(action=EvidenceAction.GATE)), 0),
    ],
    ids=[
        "canary",
        "rolling",
        "canary with a shadow",
        "compared",
        "compared with a gate",
        "compared if it can be",
        "assured",
        "assured with a gate",
        "with stages that budgets choose",
        "assured before a holdback",
        "held back",
        "held back with a gate",
    ],
)
def test_every_reachable_record_keeps_the_invariants_whatever_is_seen(
    config: DeploymentConfig, shadow: int
) -> None:
    first = make_updating_world(version("v1", 2, shadow=shadow), version("v2", 2, shadow=shadow), config).record
    assert first is not None
    known = {position(first)}
    todo = [(first, START)]
    endings = set()
    while todo:
        record, at = todo.pop()
        if record.rollout is None:
            assert record.last is not None
            endings.add(str(record.last.phase))
            continue
        for wait in STEPS:
            for follower in followers(record, at + wait):
                if position(follower) not in known:
                    known.add(position(follower))
                    todo.append((follower, at + wait))
    assert endings == {"Succeeded", "RolledBack", "RollbackFailed"}
    assert len(known) > 20


def takes_no_data_for_a_pass(verdict: Verdict | None, stage: int) -> Verdict | None:
    lacks = verdict is None or verdict.finding is Finding.NO_DATA
    return Verdict(Finding.PASS, stage, "") if lacks else verdict


def takes_any_stage_for_its_own(verdict: Verdict | None, stage: int) -> Verdict | None:
    return verdict and replace(verdict, stage=stage)


def overlooks_a_difference(verdict: Verdict | None, stage: int) -> Verdict | None:
    return replace(verdict, finding=Finding.PASS) if verdict and verdict.finding is Finding.FAIL else verdict


def lets_what_is_rising_go_on(verdict: Verdict | None, stage: int) -> Verdict | None:
    return verdict and replace(verdict, rising=False)


def takes_any_harm_for_ruled_out(verdict: Verdict | None, stage: int) -> Verdict | None:
    return verdict and replace(verdict, harms=(ASSUMED,))


def overlooks_the_split_of_the_traffic(verdict: Verdict | None, stage: int) -> Verdict | None:
    return verdict and replace(verdict, mismatch="")


@pytest.mark.parametrize(
    "fault",
    [
        takes_no_data_for_a_pass,
        takes_any_stage_for_its_own,
        overlooks_a_difference,
        lets_what_is_rising_go_on,
        takes_any_harm_for_ruled_out,
        overlooks_the_split_of_the_traffic,
    ],
)
def test_a_fault_in_the_use_of_evidence_breaks_an_invariant(
    fault: Callable[[Verdict | None, int], Verdict | None],
) -> None:
    assured = fault in (takes_any_harm_for_ruled_out, overlooks_the_split_of_the_traffic)
    config = replace(canary(percent(10), 60, 60), evidence=ASSURED if assured else EvidenceConfig())
    world = make_updating_world(version("v1", 2), version("v2", 2), config)
    world.run(1000, lambda w: bool(w.record and w.record.rollout and w.record.rollout.phase is Phase.BAKING))
    record, now = world.record, world.instant() + timedelta(seconds=90)
    assert record is not None and record.rollout is not None
    rollout = record.rollout

    def faulty(endpoint: Endpoint, seen: Observation, at: datetime) -> RolloutDecision:
        stage = endpoint.rollout.stage if endpoint.rollout else 0
        evidence = seen.guard_check and replace(seen.guard_check, verdict=fault(seen.guard_check.verdict, stage))
        return step(endpoint, replace(seen, guard_check=evidence), at)

    def broken() -> Iterator[str]:
        for seen in sights(record, now):
            invariants = Invariants()
            invariants.baking_since[rollout.id, 0] = rollout.phase_since or now
            try:
                invariants.decided(record, seen, now, faulty(record, seen, now), faulty)
            except InvariantBroken as error:
                yield str(error)

    assert any("7 " in text or "a difference turns" in text for text in broken())


def waits_for_evidence(rollout: Rollout) -> Rollout:
    return restaged(rollout, holdback=False)


def overlooks_that_it_failed(rollout: Rollout) -> Rollout:
    return replace(rollout, plan=replace(rollout.plan, evidence=None))


def lets_the_old_version_go(rollout: Rollout) -> Rollout:
    return restaged(rollout, old_part=100)


def restaged(rollout: Rollout, **changed: int) -> Rollout:
    stages = tuple(replace(one, **changed) if one.holdback else one for one in rollout.plan.stages)  # type: ignore[arg-type]
    return replace(rollout, plan=replace(rollout.plan, stages=stages))


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (waits_for_evidence, "16 a holdback ends in time"),
        (overlooks_that_it_failed, "a difference turns the rollout back"),
        (lets_the_old_version_go, "16 what is held back is whole"),
    ],
)
def test_a_fault_in_a_holdback_breaks_an_invariant(fault: Callable[[Rollout], Rollout], words: str) -> None:
    world = make_updating_world(version("v1", 2), version("v2", 2), HELD_BACK)
    world.run(10_000, lambda w: bool(w.record and w.record.rollout and w.record.rollout.holds_back))
    record, now = world.record, world.instant() + timedelta(seconds=150)
    assert record is not None and record.rollout is not None
    whole = record.rollout.plan

    def faulty(endpoint: Endpoint, seen: Observation, at: datetime) -> RolloutDecision:
        assert endpoint.rollout is not None
        decision = step(replace(endpoint, rollout=fault(endpoint.rollout)), seen, at)
        after = decision.endpoint
        if after is None or after.rollout is None or fault is lets_the_old_version_go:
            return decision
        return replace(decision, endpoint=replace(after, rollout=replace(after.rollout, plan=whole)))

    def broken() -> Iterator[str]:
        for seen in sights(record, now):
            try:
                Invariants().decided(record, seen, now, faulty(record, seen, now), faulty)
            except InvariantBroken as error:
                yield str(error)

    assert any(words in text for text in broken())
