"""Effects of each fault on a world."""

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from tidegate.testing.faults import RolloutSide
from tidegate.testing.loops import faults as f
from tidegate.testing.loops.faults import Fault
from tidegate.testing.loops.ground_truth import MAIN
from tidegate.testing.simulated_target import SimulatedFleet

if TYPE_CHECKING:
    from tidegate.testing.loops.world import LoopWorld


def apply_fault(world: "LoopWorld", fault: Fault) -> None:
    """Apply a fault now."""
    world.quiet(f.fault_duration(fault))
    match fault:
        case f.ControllerDies(_, awaits, absence):
            world.loop.after_steps(awaits, partial(world.die, absence))
        case f.ControllerFreezes(_, seconds):
            if world.running:
                world.loop.freeze(seconds)
                world.loop.at(world.loop.now + seconds, partial(_after_freeze, world))
        case f.MachineCrashes(_, absence):
            world.machine.crash()
            world.clock.boots += 1
            world.die(absence)
            world.loop.at(world.loop.now + absence, world.machine.boot)
        case f.ClockSteps(_, by):
            world.machine.advance()
            world.clock.step(by)
        case f.GuardEdited() | f.ClientCommand():
            world.clients.act(fault)
        case (
            f.WorkersHang()
            | f.WorkersDie()
            | f.WorkerStartsFail()
            | f.PagesDamaged()
            | f.BehaviourChanges()
            | f.TrafficStops()
        ):
            _apply_to_fleets(world, fault)
        case f.ProxyDies() | f.TargetFails() | f.TargetBlind():
            _apply_to_target(world, fault)
        case _:
            _apply_to_database(world, fault)


def _after_freeze(world: "LoopWorld") -> None:
    if not world.loop.frozen:
        world.machine.take_up()


def _apply_to_database(world: "LoopWorld", fault: Fault) -> None:
    server, now = world.server, world.loop.now
    match fault:
        case f.DatabaseLocked(_, seconds, reads):
            server.locked_until = max(server.locked_until, now + seconds)
            if reads:
                server.reads_locked_until = max(server.reads_locked_until, now + seconds)
        case f.DatabaseFull(_, seconds):
            server.full_until = max(server.full_until, now + seconds)
        case f.DatabaseAway(_, seconds, hang):
            server.away_until, server.hang = max(server.away_until, now + seconds), hang
        case f.DatabaseSlow(_, seconds, latency):
            server.slow_until, server.slow_by = max(server.slow_until, now + seconds), latency
        case f.AnswersLost(_, count):
            server.answers_to_lose += count
        case f.MetricsFail(_, seconds, reads):
            server.metrics_fail_until = max(server.metrics_fail_until, now + seconds)
            if reads:
                server.metrics_unreadable_until = max(server.metrics_unreadable_until, now + seconds)


def _apply_to_target(world: "LoopWorld", fault: Fault) -> None:
    trouble, now = world.trouble, world.loop.now
    match fault:
        case f.ProxyDies(_, seconds):
            world.machine.advance()
            world.machine.proxy_up = False
            world.loop.at(now + seconds, partial(_restart_proxy, world))
        case f.TargetFails(_, seconds, landed):
            trouble.fails_until, trouble.lands = max(trouble.fails_until, now + seconds), landed
        case f.TargetBlind(_, seconds, fleets, routes):
            if fleets:
                trouble.fleets_blind_until = max(trouble.fleets_blind_until, now + seconds)
            if routes:
                trouble.routes_blind_until = max(trouble.routes_blind_until, now + seconds)


def _restart_proxy(world: "LoopWorld") -> None:
    world.machine.advance()
    world.machine.proxy_up = True


def _apply_to_fleets(world: "LoopWorld", fault: Fault) -> None:
    match fault:
        case f.WorkersHang(_, side, count):
            for fleet in _fleets(world, side):
                world.machine.hang(fleet, count)
        case f.WorkersDie(_, side, count):
            for fleet in _fleets(world, side):
                world.machine.kill(fleet, count)
        case f.TrafficStops(_, seconds):
            world.machine.advance()
            world.machine.rates[MAIN] = 0.0
            world.loop.at(world.loop.now + seconds, partial(_restore_traffic, world))
        case f.WorkerStartsFail(_, side) | f.PagesDamaged(_, _, side):
            for generation in _generations(world, side):
                _apply_to_version(world, fault, generation)
        case f.BehaviourChanges():
            world.machine.advance()
            for generation in _generations(world, RolloutSide.NEW):
                _apply_to_version(world, fault, generation)


def _apply_to_version(world: "LoopWorld", fault: Fault, generation: int) -> None:
    machine, now, version = world.machine, world.loop.now, (MAIN, generation)
    match fault:
        case f.WorkerStartsFail(_, _, seconds):
            machine.broken[generation] = "exit code 1"
            world.loop.at(now + seconds, partial(_restore_starts, world, generation))
        case f.PagesDamaged(_, seconds, _, damage):
            machine.damages[version] = damage
            world.loop.at(now + seconds, partial(machine.damages.pop, version, None))
        case f.BehaviourChanges(_, conduct, 0):
            machine.conducts[version] = conduct
        case f.BehaviourChanges(_, conduct, requests):
            machine.turning[version] = machine.had.get(version, 0) + requests, conduct


def _restore_traffic(world: "LoopWorld") -> None:
    world.machine.advance()
    world.machine.rates[MAIN] = world.plan.rate


def _restore_starts(world: "LoopWorld", generation: int) -> None:
    world.machine.broken.pop(generation, None)
    for fleet in world.machine.of_version(MAIN, generation):
        world.machine.restart(fleet)


def _generations(world: "LoopWorld", side: RolloutSide) -> Iterator[int]:
    record = world.truth.record
    if record is None:
        return
    if side is RolloutSide.OLD and record.serving is not None:
        yield record.serving.generation
    if side is RolloutSide.NEW and record.rollout is not None:
        yield record.rollout.new.generation


def _fleets(world: "LoopWorld", side: RolloutSide) -> Iterator[SimulatedFleet]:
    for generation in _generations(world, side):
        yield from world.machine.of_version(MAIN, generation)
