"""What each fault does to a world."""

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from tidegate.testing.faults import Side
from tidegate.testing.loops import faults as f
from tidegate.testing.loops.faults import Fault
from tidegate.testing.loops.ground_truth import MAIN
from tidegate.testing.simulated_target import SimulatedFleet

if TYPE_CHECKING:
    from tidegate.testing.loops.world import World


def happen(world: "World", fault: Fault) -> None:
    """Carries a fault out, now."""
    world.quiet(f.duration(fault))
    match fault:
        case f.ControllerDies(_, awaits, absence):
            world.loop.after_steps(awaits, partial(world.die, absence))
        case f.ControllerFreezes(_, seconds):
            if world.running:
                world.loop.freeze(seconds)
                world.loop.at(world.loop.now + seconds, partial(_thawed, world))
        case f.MachineCrashes(_, absence):
            world.machine.crash()
            world.clock.boots += 1
            world.die(absence)
            world.loop.at(world.loop.now + absence, world.machine.boot)
        case f.ClockSteps(_, by):
            world.machine.advance()
            world.clock.step(by)
        case f.GuardEdited() | f.PersonDoes():
            world.clients.act(fault)
        case (
            f.WorkersHang()
            | f.WorkersDie()
            | f.StartsFail()
            | f.PagesDamaged()
            | f.VersionTurns()
            | f.TrafficStops()
        ):
            _to_fleets(world, fault)
        case f.ProxyDies() | f.TargetFails() | f.TargetBlind():
            _to_target(world, fault)
        case _:
            _to_database(world, fault)


def _thawed(world: "World") -> None:
    if not world.loop.frozen:
        world.machine.take_up()


def _to_database(world: "World", fault: Fault) -> None:
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


def _to_target(world: "World", fault: Fault) -> None:
    trouble, now = world.trouble, world.loop.now
    match fault:
        case f.ProxyDies(_, seconds):
            world.machine.advance()
            world.machine.proxy_up = False
            world.loop.at(now + seconds, partial(_proxy_back, world))
        case f.TargetFails(_, seconds, landed):
            trouble.fails_until, trouble.lands = max(trouble.fails_until, now + seconds), landed
        case f.TargetBlind(_, seconds, fleets, routes):
            if fleets:
                trouble.fleets_blind_until = max(trouble.fleets_blind_until, now + seconds)
            if routes:
                trouble.routes_blind_until = max(trouble.routes_blind_until, now + seconds)


def _proxy_back(world: "World") -> None:
    world.machine.advance()
    world.machine.proxy_up = True


def _to_fleets(world: "World", fault: Fault) -> None:
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
            world.loop.at(world.loop.now + seconds, partial(_traffic_back, world))
        case f.StartsFail(_, side) | f.PagesDamaged(_, _, side):
            for generation in _generations(world, side):
                _to_version(world, fault, generation)
        case f.VersionTurns():
            world.machine.advance()
            for generation in _generations(world, Side.NEW):
                _to_version(world, fault, generation)


def _to_version(world: "World", fault: Fault, generation: int) -> None:
    machine, now, version = world.machine, world.loop.now, (MAIN, generation)
    match fault:
        case f.StartsFail(_, _, seconds):
            machine.broken[generation] = "exit code 1"
            world.loop.at(now + seconds, partial(_starts_work, world, generation))
        case f.PagesDamaged(_, seconds, _, damage):
            machine.damages[version] = damage
            world.loop.at(now + seconds, partial(machine.damages.pop, version, None))
        case f.VersionTurns(_, conduct, 0):
            machine.conducts[version] = conduct
        case f.VersionTurns(_, conduct, requests):
            machine.turning[version] = machine.had.get(version, 0) + requests, conduct


def _traffic_back(world: "World") -> None:
    world.machine.advance()
    world.machine.rates[MAIN] = world.plan.rate


def _starts_work(world: "World", generation: int) -> None:
    world.machine.broken.pop(generation, None)
    for fleet in world.machine.of_version(MAIN, generation):
        world.machine.restart(fleet)


def _generations(world: "World", side: Side) -> Iterator[int]:
    record = world.truth.record
    if record is None:
        return
    if side is Side.OLD and record.serving is not None:
        yield record.serving.generation
    if side is Side.NEW and record.rollout is not None:
        yield record.rollout.new.generation


def _fleets(world: "World", side: Side) -> Iterator[SimulatedFleet]:
    for generation in _generations(world, side):
        yield from world.machine.of_version(MAIN, generation)
