"""Faults planted in the machine, each a mistake that some engine has made: random worlds find every one, and by
the invariant that is meant to."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, find
from hypothesis import Phase as Stage
from hypothesis import settings as profile
from hypothesis import strategies as st

from tests.property import rollout_worlds as worlds
from tests.property.rollout_worlds import Setting, check
from tests.samples import canary, instances, linear, percent, rolling, version
from tidegate.domain.alarm import AlarmState
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.fleet import FleetId
from tidegate.domain.observation import DeleteFleet, EnsureFleet, FleetStatus, Observation, SetTraffic
from tidegate.domain.rollout import Cause, Phase
from tidegate.rollout import desired_state, transitions
from tidegate.rollout.step import RolloutDecision, step
from tidegate.simulation.faults import (
    AlarmTurns,
    ObservationGap,
    ReplicasDie,
    RolloutSide,
    StartsFail,
    When,
    WorldTiming,
)
from tidegate.simulation.invariants import InvariantBroken
from tidegate.simulation.world import StepFunction


def ignores_alarms(endpoint: Endpoint, seen: Observation, now: datetime) -> RolloutDecision:
    alarms = None if seen.alarms is None else dict.fromkeys(seen.alarms, AlarmState.OK)
    return step(endpoint, replace(seen, alarms=alarms), now)


def takes_no_data_for_good_news(endpoint: Endpoint, seen: Observation, now: datetime) -> RolloutDecision:
    names = endpoint.rollout.plan.alarms if endpoint.rollout else ()
    fired = {n: s for n, s in (seen.alarms or {}).items() if s is AlarmState.ALARM}
    return step(endpoint, replace(seen, alarms=dict.fromkeys(names, AlarmState.OK) | fired), now)


def takes_asked_for_done(endpoint: Endpoint, seen: Observation, now: datetime) -> RolloutDecision:
    return step(endpoint, replace(seen, routes=desired_state.traffic(endpoint)), now)


def takes_started_for_ready(endpoint: Endpoint, seen: Observation, now: datetime) -> RolloutDecision:
    fleets = seen.fleets and {
        id: replace(f, ready=f.ready + f.starting, starting=0) for id, f in seen.fleets.items()
    }
    return step(endpoint, replace(seen, fleets=fleets), now)


def runs_a_fast_clock(endpoint: Endpoint, seen: Observation, now: datetime) -> RolloutDecision:
    return step(endpoint, seen, now + timedelta(seconds=10))


def never_wakes(endpoint: Endpoint, seen: Observation, now: datetime) -> RolloutDecision:
    return replace(step(endpoint, seen, now), wake_at=None)


def deletes_as_soon_as_it_turns_back(endpoint: Endpoint, seen: Observation, now: datetime) -> RolloutDecision:
    decision = step(endpoint, seen, now)
    rollout = decision.endpoint.rollout if decision.endpoint else None
    if rollout is None or rollout.phase is not Phase.ROLLING_BACK:
        return decision
    gone = DeleteFleet(FleetId(endpoint.name, rollout.new.generation, "AllTraffic"))
    return replace(decision, actions=(*decision.actions, gone))


def shrinks_the_old_side_while_it_serves(endpoint: Endpoint, seen: Observation, now: datetime) -> RolloutDecision:
    decision = step(endpoint, seen, now)
    rollout = decision.endpoint.rollout if decision.endpoint else None
    if decision.endpoint is None or rollout is None or rollout.old is None or rollout.phase is not Phase.BAKING:
        return decision
    spec = next(
        s for i, s in desired_state.fleets(decision.endpoint).items() if i.generation == rollout.old.generation
    )
    return replace(decision, actions=(*decision.actions, EnsureFleet(replace(spec, count=0))))


def does_not_raise_the_fence(endpoint: Endpoint, seen: Observation, now: datetime) -> RolloutDecision:
    decision = step(endpoint, seen, now)
    if decision.endpoint is None or decision.endpoint.traffic is None or endpoint.traffic is None:
        return decision
    fence = endpoint.traffic.fence
    table = replace(decision.endpoint.traffic, fence=fence)
    actions = tuple(SetTraffic(table) if isinstance(a, SetTraffic) else a for a in decision.actions)
    return replace(decision, endpoint=replace(decision.endpoint, traffic=table, fence=fence), actions=actions)


def takes_unseen_for_well(endpoint: Endpoint, seen: Observation, now: datetime) -> RolloutDecision:
    fleets = seen.fleets
    if fleets is None:
        specs = desired_state.fleets(endpoint)
        fleets = {id: FleetStatus(id, desired=spec.count, ready=spec.count) for id, spec in specs.items()}
    routes = desired_state.traffic(endpoint) if seen.routes is None else seen.routes
    return step(endpoint, Observation(fleets, routes, seen.alarms or {}, seen.guard_check), now)


def takes_old_verdicts_for_new(endpoint: Endpoint, seen: Observation, now: datetime) -> RolloutDecision:
    evidence = seen.guard_check and replace(seen.guard_check, judged_at=now)
    return step(endpoint, replace(seen, guard_check=evidence), now)


def leaves_a_bake_before_its_end_is_judged(
    endpoint: Endpoint, seen: Observation, now: datetime
) -> RolloutDecision:
    evidence = seen.guard_check and replace(seen.guard_check, through=now)
    return step(endpoint, replace(seen, guard_check=evidence), now)


def overlooks_lost_counts(endpoint: Endpoint, seen: Observation, now: datetime) -> RolloutDecision:
    evidence = seen.guard_check and replace(seen.guard_check, since=endpoint.created_at)
    return step(endpoint, replace(seen, guard_check=evidence), now)


def forgets_that_it_is_paused(endpoint: Endpoint, seen: Observation, now: datetime) -> RolloutDecision:
    if endpoint.rollout is None or endpoint.rollout.pause is None:
        return step(endpoint, seen, now)
    return step(replace(endpoint, rollout=replace(endpoint.rollout, pause=None)), seen, now)


def bakes_half_as_long(endpoint: Endpoint, seen: Observation, now: datetime) -> RolloutDecision:
    decision = step(endpoint, seen, now)
    rollout = decision.endpoint.rollout if decision.endpoint else None
    if decision.endpoint is None or rollout is None or rollout.bake_until is None or rollout == endpoint.rollout:
        return decision
    half = replace(rollout, bake_until=now + (rollout.bake_until - now) / 2)
    wake = min(half.bake_until or now, decision.wake_at or now)
    return replace(decision, endpoint=replace(decision.endpoint, rollout=half), wake_at=wake)


def has_no_deadlines(endpoint: Endpoint, seen: Observation, now: datetime) -> RolloutDecision:
    if (was := endpoint.rollout) is not None and was.phase is not Phase.BAKING:
        endpoint = replace(endpoint, rollout=replace(was, phase_deadline=now + timedelta(days=1)))
    decision = step(endpoint, seen, now)
    rollout = decision.endpoint.rollout if decision.endpoint else None
    if decision.endpoint is None or rollout is None or rollout.phase is Phase.BAKING:
        return decision
    forgetful = replace(decision.endpoint, rollout=replace(rollout, phase_deadline=None, expires_at=None))
    return replace(decision, endpoint=forgetful, wake_at=None)


def falls_with_its_shadow(endpoint: Endpoint, seen: Observation, now: datetime) -> RolloutDecision:
    dead = {id.generation for id, f in (seen.fleets or {}).items() if id.variant == "Shadow" and not f.ready}
    dead &= {route.fleet.generation for route in desired_state.traffic(endpoint).routes}
    fleets = seen.fleets and {
        id: replace(f, failure="its shadow died") if id.generation in dead else f for id, f in seen.fleets.items()
    }
    return step(endpoint, replace(seen, fleets=fleets), now)


def had_its_only_instances_killed(endpoint: Endpoint, seen: Observation) -> bool:
    rollout, fleets = endpoint.rollout, seen.fleets
    if rollout is None or rollout.old is None or fleets is None or not desired_state.new_share(endpoint):
        return False
    ready = {id.generation: 0 for id in fleets}
    for id, fleet in fleets.items():
        ready[id.generation] += fleet.ready
    return not ready.get(rollout.new.generation) and bool(ready.get(rollout.old.generation))


def rolls_back_at_the_first_loss(endpoint: Endpoint, seen: Observation, now: datetime) -> RolloutDecision:
    if had_its_only_instances_killed(endpoint, seen) and endpoint.rollout and not endpoint.rollout.cause:
        endpoint, _ = transitions.begin_rollback(endpoint, Cause.CAPACITY, "it lost an instance", now)
    return step(endpoint, seen, now)


def leaves_traffic_on_what_is_lost(endpoint: Endpoint, seen: Observation, now: datetime) -> RolloutDecision:
    fleets = seen.fleets and {id: replace(f, was_ready=f.ready > 0) for id, f in seen.fleets.items()}
    return step(endpoint, replace(seen, fleets=fleets), now)


def waits_for_a_version_that_crashes_forever(
    endpoint: Endpoint, seen: Observation, now: datetime
) -> RolloutDecision:
    if had_its_only_instances_killed(endpoint, seen) and endpoint.rollout:
        endpoint = replace(endpoint, rollout=replace(endpoint.rollout, losses=0))
    return step(endpoint, seen, now)


FOUR, TO = version("v1", 4), version("v2", 4)

anything = worlds.settings(worlds.anything)
pauses = worlds.settings(worlds.people(["pause"]))
blind = worlds.settings(worlds.blindness)
silent = worlds.settings(worlds.alarm_turns, evidence=True)


def gap(phase: Phase, after: float, seconds: float, *, lost: bool) -> st.SearchStrategy[Setting]:
    """One rollout in whose course nothing is collected for some time."""
    blind = ObservationGap(When(phase, 1, after), seconds, evidence=True, lost=lost)
    return st.just(Setting(FOUR, TO, linear(percent(25), 300, 60), WorldTiming(), (blind,)))


gaps = gap(Phase.PROVISIONING, 1.0, 200.0, lost=False)
short_gaps = gap(Phase.BAKING, 297.0, 4.0, lost=False)
losses = gap(Phase.BAKING, 100.0, 50.0, lost=True)
calm = st.just(Setting(FOUR, TO, linear(percent(25), 300, 60), WorldTiming(), ()))


def killed(*after: float) -> st.SearchStrategy[Setting]:
    """All new instances are killed in the first bake, as often as it has begun."""
    kills = tuple(
        ReplicasDie(When(Phase.BAKING, nth, each), RolloutSide.NEW, 4) for nth, each in enumerate(after, 1)
    )
    return st.just(Setting(FOUR, TO, canary(percent(25), 300, 60), WorldTiming(), kills))


stuck = st.just(
    Setting(
        FOUR,
        TO,
        rolling(instances(1), 60, instances(1)),
        WorldTiming(resync=3600.0),
        (
            StartsFail(When(), RolloutSide.OLD),
            AlarmTurns(When(Phase.BAKING, 3, 5.0), "alarm", AlarmState.ALARM),
        ),
    )
)

MUTANTS: dict[StepFunction, tuple[st.SearchStrategy[Setting], str]] = {
    ignores_alarms: (anything, "6 alarms count in every state"),
    takes_no_data_for_good_news: (silent, "7 missing evidence never passes"),
    takes_asked_for_done: (anything, ""),
    does_not_raise_the_fence: (anything, ""),
    takes_old_verdicts_for_new: (gaps, "judged before a gap never advances"),
    leaves_a_bake_before_its_end_is_judged: (short_gaps, "14 a verdict reaches to the end of the bake"),
    overlooks_lost_counts: (losses, "14 a verdict rests on all of the bake"),
    takes_unseen_for_well: (blind, "unknown never advances"),
    takes_started_for_ready: (anything, "2 weight over ready capacity"),
    forgets_that_it_is_paused: (pauses, "what a person pauses stays"),
    runs_a_fast_clock: (anything, "wake_at is honest"),
    bakes_half_as_long: (calm, "a stage is left after its bake"),
    never_wakes: (anything, "wake_at is honest"),
    has_no_deadlines: (stuck, "every rollout ends"),
    deletes_as_soon_as_it_turns_back: (anything, "no fleet that serves is deleted"),
    shrinks_the_old_side_while_it_serves: (anything, "3 nothing shrinks under its share"),
    falls_with_its_shadow: (anything, "13 a shadow changes no decision"),
    rolls_back_at_the_first_loss: (killed(20.0), "15 a loss gets time to be regained"),
    leaves_traffic_on_what_is_lost: (killed(20.0), "15 traffic leaves what is lost"),
    waits_for_a_version_that_crashes_forever: (killed(20.0, 20.0, 20.0), "15 losses are bounded"),
}
"""The fault, the worlds that it is looked for in, and the words of the invariant that finds it (empty: any)."""


def caught(mutant: StepFunction, words: str) -> Callable[[Setting], bool]:
    def breaks(setting: Setting) -> bool:
        try:
            check(setting, mutant)
        except InvariantBroken as broken:
            return words in str(broken)
        return False

    return breaks


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_planted_fault_is_found(mutant: StepFunction) -> None:
    where, words = MUTANTS[mutant]
    once = profile(
        max_examples=500,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Stage.generate],
        suppress_health_check=list(HealthCheck),
    )
    find(where, caught(mutant, words), settings=once)
