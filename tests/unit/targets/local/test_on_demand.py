"""A serverless fleet under its supervisor: real workers, a stand-in for the router; and what it is billed."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path

from tests.unit.targets.local.local_harness import FLEET, spec
from tidegate.domain.fleet import FleetSpec, Serverless
from tidegate.ports.router import Demand
from tidegate.targets.collection.fleet_seconds import billed
from tidegate.targets.local.on_demand import FORGOTTEN, LOOKS, PROVEN, ServerlessState
from tidegate.targets.local.rest_watch import measured_turn
from tidegate.targets.on_demand import ScalingMemory

BOUNDS = Serverless(memory=2 * 2**30, max_concurrency=30, idle_after=60.0, per_instance=10)


def serverless(bounds: Serverless = BOUNDS) -> FleetSpec:
    plain = spec(1)
    return replace(plain, variant=replace(plain.variant, serverless=bounds))


class Router:
    """Tells a demand."""

    def __init__(self, *demands: Demand) -> None:
        self.demands = list(demands)

    async def demand(self, fleet: object) -> Demand:
        return self.demands.pop(0)


def measured(memory: ServerlessState, now: float, *demands: Demand) -> int:
    running = bool(demands)
    router = Router(*demands)
    asyncio.run(memory.measure(serverless(), BOUNDS, router, running, now))  # type: ignore[arg-type]
    return memory.wanted(serverless())


def test_a_new_fleet_starts_a_replica_to_show_that_it_can(tmp_path: Path) -> None:
    memory = ServerlessState()
    assert measured(memory, 0.0) == 1
    assert memory.seen(serverless(), BOUNDS, True, 1, None).ready == 0
    memory.mark_proven(tmp_path, 1.0)
    assert (tmp_path / PROVEN).exists()
    assert memory.seen(serverless(), BOUNDS, True, 1, None).ready == 1
    assert measured(memory, 1.0 + BOUNDS.idle_after) == 0
    assert memory.seen(serverless(), BOUNDS, True, 0, None).ready == 1, "asleep is ready"


def test_a_later_controller_knows_what_was_shown(tmp_path: Path) -> None:
    (tmp_path / PROVEN).touch()
    memory = ServerlessState()
    memory.adopt(tmp_path, 2, 5.0)
    assert (memory.proven, measured(memory, 6.0)) == (True, 2)


def test_a_fleet_with_provisioned_replicas_is_ready_with_them() -> None:
    bounds = replace(BOUNDS, provisioned=15)
    seen = ServerlessState(proven=True).seen(serverless(bounds), bounds, True, 1, None)
    assert (seen.ready, seen.starting) == (0, 1)
    assert ServerlessState(proven=True).seen(serverless(bounds), bounds, True, 2, None).ready == 1


def test_whoever_waits_is_remembered_until_served_or_gone() -> None:
    memory = ServerlessState(proven=True)
    memory.wake(100.0, 100.5, 1.0)
    memory.wake(101.0, 101.5, 1.1)
    assert memory.waking is not None
    assert memory.waking.asked == 100.0, "the first that waits"
    assert measured(memory, 1.2) == 1
    measured(memory, 1.2 + 10 * FORGOTTEN)
    assert memory.waking is not None, "one look after a long pause of the controller proves nothing"
    for _ in range(LOOKS):
        measured(memory, 1.2 + 10 * FORGOTTEN)
    assert memory.waking is None


def test_a_fleet_that_goes_lets_those_in_who_waited_for_it() -> None:
    memory = ServerlessState(proven=True)
    assert memory.drain_replicas(0.0, 60.0) == 0
    measured(memory, 1.0, Demand(3, 3))
    assert memory.drain_replicas(1.0, 60.0) == 1
    measured(memory, 59.0, Demand(1, 3))
    assert memory.drain_replicas(59.0, 60.0) == 1
    assert memory.drain_replicas(60.0, 60.0) == 0, "not for ever"
    memory = ServerlessState(proven=True)
    measured(memory, 1.0, Demand(1, 1))
    measured(memory, 2.0, Demand(0, 1))
    assert memory.drain_replicas(2.0, 60.0) == 0


def test_short_requests_between_two_looks_are_a_need() -> None:
    memory = ServerlessState(proven=True, _memory=ScalingMemory((0.0,)))
    assert measured(memory, 50.0, Demand(0, 7)) == 1
    assert measured(memory, 109.0, Demand(0, 7)) == 1
    assert measured(memory, 110.0, Demand(0, 7)) == 0


def test_memory_is_billed_by_the_second() -> None:
    [series] = billed(serverless(), 1.5)
    assert (series.name, series.values.total) == ("BilledGBSeconds", 3.0)
    assert billed(serverless(), 0.0) == billed(spec(1), 1.5) == ()
    assert FLEET.endpoint == serverless().id.endpoint


def test_now_is_not_asked_of_the_wall() -> None:
    """A wake-up has epoch seconds, decisions the loop's: a clock that is set back must not keep a replica."""
    memory = ServerlessState(proven=True)
    memory.wake(time.time(), time.time(), 0.0)
    assert measured(memory, 0.5) == 1
    memory.clear_wake()
    assert measured(memory, 0.5 + BOUNDS.idle_after) == 0


def test_hundreds_of_fleets_with_replicas_do_not_look_more_often_in_all() -> None:
    assert [measured_turn(fleets) for fleets in (0, 1, 30, 60, 300)] == [0.1, 0.1, 0.1, 0.2, 1.0]
