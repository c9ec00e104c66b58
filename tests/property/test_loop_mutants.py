"""Each repair of the loops taken out in turn: random worlds find every loss, by the invariant that is meant to.

A mutant is a patch of one function or number. Worlds are looked for in which the faults occur that it is about, so
``WITHIN`` counts the worlds that were run, not the seeds that were drawn.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count, islice
from typing import Any

import pytest

from tests.loops import faults as f
from tests.loops.plans import WorldPlan, draw_plan
from tests.loops.report import find_broken
from tidegate.domain.errors import Unavailable
from tidegate.domain.observation import GuardCheck
from tidegate.monitoring import alarm_data
from tidegate.ports.router import PassedRequests
from tidegate.reconcile import engine
from tidegate.reconcile.engine import Engine
from tidegate.reconcile.guards import GuardedRollout, Guards
from tidegate.reconcile.metrics_loop import MetricsLoop
from tidegate.rollout import deadlines, predicates
from tidegate.simulation.faults import ReplicasDie
from tidegate.targets.collection.outage import Outage

WITHIN = 400
"""Worlds."""
Patch = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True)
class Mutant:
    """``where``: the faults of which a world must have at least one (empty: any world). ``words``: the beginning of
    the invariant that finds it; any of them."""

    patch: Patch
    where: tuple[type, ...]
    words: tuple[str, ...]
    beside: tuple[type, ...] = ()
    """Faults of which there must be one as well."""
    neighbour: bool = False


GAPS = (f.ControllerDies, f.ControllerFreezes, f.DatabaseLocked, f.DatabaseAway, f.DatabaseSlow)
STORE = (f.DatabaseLocked, f.DatabaseFull, f.DatabaseAway)


def old_verdicts_count(patch: pytest.MonkeyPatch) -> None:
    """S1: a verdict from before a gap carries a rollout on."""

    def carefree(self: Guards, one: GuardedRollout) -> GuardCheck:
        now = datetime.max.replace(tzinfo=UTC) - timedelta(days=2)
        return GuardCheck(now, datetime.min.replace(tzinfo=UTC), now)

    patch.setattr(Guards, "evidence", carefree)
    patch.setattr(predicates, "MAX_EVIDENCE_AGE", timedelta(days=9_000 * 365))


def the_end_of_the_bake_need_not_be_judged(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(predicates, "has_evidence_through", lambda rollout, seen, until: True)


def holes_in_a_bake_do_not_matter(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(predicates, "has_coverage_gap", lambda rollout, seen: False)


def a_rollback_waits_for_the_store(patch: pytest.MonkeyPatch) -> None:
    """S5, S35."""

    async def wait(self: Engine, name: str) -> None:
        return None

    patch.setattr(Engine, "_turn_back_unsaved", wait)


def guards_wait_for_the_disk(patch: pytest.MonkeyPatch) -> None:
    """S5: nothing is judged before samples are on disk."""

    async def write(self: MetricsLoop, samples: Any) -> None:
        while True:
            try:
                return await self.metrics.put(samples)
            except Unavailable:
                await asyncio.sleep(1.0)

    patch.setattr(MetricsLoop, "_write", write)


def guards_are_judged_as_they_are_now(patch: pytest.MonkeyPatch) -> None:
    """S9."""
    guarded_rollout = engine.guarded_rollout

    def unpinned(loaded: Any, *followed: Any) -> GuardedRollout | None:
        rollout = loaded.endpoint.rollout
        if rollout is None:
            return None
        bare = replace(loaded.endpoint, rollout=replace(rollout, guards=()))
        return guarded_rollout(replace(loaded, endpoint=bare), *followed)

    patch.setattr(engine, "guarded_rollout", unpinned)


def deadlines_stay_when_the_clock_is_set(patch: pytest.MonkeyPatch) -> None:
    """S7."""
    patch.setattr(deadlines, "follow_clock", lambda endpoint, mark, now: (endpoint, ()))


def guards_wait_for_all_other_alarms(patch: pytest.MonkeyPatch) -> None:
    """S6."""
    turn = MetricsLoop.turn

    async def starved(self: MetricsLoop) -> None:
        await self.judge_alarms()
        await turn(self)

    patch.setattr(MetricsLoop, "turn", starved)


def what_hangs_counts_for_nothing(patch: pytest.MonkeyPatch) -> None:
    """S3: neither as latency, nor as requests that were not answered."""
    patch.setattr(alarm_data, "add_hanging", lambda series, statistic, data: data[series])
    patch.setattr(
        predicates, "count_responses", lambda endpoint, version, seen: predicates.ResponseCounts(None, 0, 0)
    )


def outages_count_against_versions(patch: pytest.MonkeyPatch) -> None:
    """S8."""
    patch.setattr(
        Outage, "attribute", lambda self, passed, seen: {id: blamed(load) for id, load in passed.items()}
    )


def blamed(load: PassedRequests) -> PassedRequests:
    return replace(load, unanswered=load.unanswered + load.unavailable)


def one_bad_number_stops_the_round(patch: pytest.MonkeyPatch) -> None:
    """S2: samples that cannot be kept are raised about before guards are judged, and tried again for ever."""
    unwritten: list[Any] = []

    async def strict(self: MetricsLoop, seconds: Any) -> None:
        unwritten.extend(second for second in seconds if second.dropped)
        if unwritten:
            raise ValueError("a number that is not finite cannot be kept")
        await publish(self, seconds)

    publish = MetricsLoop._publish
    patch.setattr(MetricsLoop, "_publish", strict)


MUTANTS = {
    old_verdicts_count: Mutant(old_verdicts_count, GAPS, ("I1",)),
    the_end_of_the_bake_need_not_be_judged: Mutant(the_end_of_the_bake_need_not_be_judged, (), ("I1",)),
    a_rollback_waits_for_the_store: Mutant(a_rollback_waits_for_the_store, STORE, ("I2",)),
    guards_wait_for_the_disk: Mutant(guards_wait_for_the_disk, STORE, ("I2",)),
    guards_are_judged_as_they_are_now: Mutant(guards_are_judged_as_they_are_now, (f.GuardEdited,), ("I1", "I2")),
    deadlines_stay_when_the_clock_is_set: Mutant(deadlines_stay_when_the_clock_is_set, (f.ClockSteps,), ("I4",)),
    guards_wait_for_all_other_alarms: Mutant(guards_wait_for_all_other_alarms, (), ("I",), neighbour=True),
    what_hangs_counts_for_nothing: Mutant(what_hangs_counts_for_nothing, (f.BehaviourChanges,), ("I2",)),
    outages_count_against_versions: Mutant(outages_count_against_versions, (f.MachineCrashes,), ("I5",)),
    one_bad_number_stops_the_round: Mutant(one_bad_number_stops_the_round, (), ("I",), neighbour=True),
    holes_in_a_bake_do_not_matter: Mutant(holes_in_a_bake_do_not_matter, GAPS, ("I1",), beside=(ReplicasDie,)),
}


def worlds(mutant: Mutant) -> Iterator[WorldPlan]:
    for seed in count():
        plan = draw_plan(seed)
        kinds = {type(fault) for fault in plan.faults}
        concerned = all(not some or kinds.intersection(some) for some in (mutant.where, mutant.beside))
        if concerned and (plan.neighbour is not None) == mutant.neighbour:
            yield plan


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=[m.__name__ for m in MUTANTS])
def test_a_lost_repair_is_found(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    for needed, plan in enumerate(islice(worlds(mutant), WITHIN), 1):
        with monkeypatch.context() as patch:
            mutant.patch(patch)
            message = find_broken(plan)
        if message is not None and message.startswith(mutant.words) and find_broken(plan) is None:
            print(f"found in world {needed}: seed {plan.seed}: {message[:120]}")
            return
    pytest.fail(f"not found in {WITHIN} worlds")
