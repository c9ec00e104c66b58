"""A simulated world: one machine, one database, a controller that comes and goes, and faults."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from random import Random

from tests.loops import faults as f
from tests.loops import initial_records
from tests.loops.clients import Clients
from tests.loops.clock import EPOCH, SequentialIds, SimulatedClock
from tests.loops.controller import (
    CoverageFile,
    Edges,
    Loops,
    SimulatedEvidence,
    join_evidence,
    join_loops,
    run_loops,
)
from tests.loops.database import DatabaseServer, DatabaseThread, SimulatedMetrics, SimulatedStore
from tests.loops.edges import TargetEdge, TargetTrouble
from tests.loops.faults import PageDamage
from tests.loops.ground_truth import I7, MAIN, GroundTruth
from tests.loops.guards import Guard, make_guard
from tests.loops.machine import Machine
from tests.loops.plans import MAX_DURATION, WorldPlan
from tests.loops.virtual_loop import VirtualLoop
from tests.loops.workers import SimulatedWorker
from tests.memory_store import MemoryTx
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.errors import TidegateError
from tidegate.ports.store import JournalLine
from tidegate.rollout import desired_state
from tidegate.service.record_kinds import ALARM, ENDPOINT
from tidegate.simulation.faults import (
    Fault,
    ObservationGap,
    ReplicasDie,
    RolloutSide,
    StartsFail,
    UserCommand,
    When,
)
from tidegate.simulation.invariants import InvariantBroken, expect
from tidegate.simulation.world import SimulatedWorld

RETRY_START = 1.0
"""Seconds until a controller that failed to start is restarted."""
CALM = 3.0
"""Seconds that a world continues after everything has ended."""
PATIENCE = 20.0
"""Seconds after the last fault until somebody resumes paused rollouts."""
LIVELY = 240.0
"""Seconds after the last fault within which every rollout must end."""
I6 = "I6 every rollout ends once the faults are over"


class LoopWorld(SimulatedWorld):
    """A world whose controller is the real loops. ``run`` raises InvariantBroken with the broken invariant."""

    def __init__(self, plan: WorldPlan, timeline: list[tuple[float, str]] | None = None) -> None:
        self.plan = plan
        self.loop = VirtualLoop(Random(f"loop {plan.seed}"))
        self.chance = Random(f"edges {plan.seed}")
        self.clock = SimulatedClock(self.loop)
        self.clock.offset = plan.second
        self.server = DatabaseServer(self.loop, self.chance, self._committed)
        self.machine = Machine(self.loop, self.clock, plan.physics, self.chance)
        super().__init__(MAIN, self.loop, self.machine, plan.faults)
        self.truth = GroundTruth(self.machine, self.clock, plan.innocent)
        self.truth.timeline = timeline
        self.trouble = TargetTrouble(self.blind_until)
        self.coverage_file = CoverageFile(self.server)
        self.ids = SequentialIds()
        self.edge: TargetEdge | None = None
        self.evidence: SimulatedEvidence | None = None
        self.loops: Loops | None = None
        self.clients = Clients(plan, self.loop, self.clock, self.truth, self.ids)
        self.metrics_ready = False
        self.quiet_at = 0.0
        """When the last fault so far ends."""
        self._done_since: float | None = None
        self._broken: InvariantBroken | None = None
        self.machine.supervised = lambda: self.running and not self.loop.frozen
        self.machine.changed = self._fleet_changed
        self.machine.ended = self._worker_ended
        self.machine.routed = self.truth.routed
        self._prepare()

    @property
    def running(self) -> bool:
        return self.loops is not None

    def _prepare(self) -> None:
        now, plan = self.clock.now(), self.plan
        tx = MemoryTx(self.server.records, self.server.journal, as_json=False)
        initial_records.write_records(tx, plan, now)
        for name in (MAIN, initial_records.NEIGHBOUR):
            saved = tx.get(ENDPOINT, name)
            if saved is not None:
                self.machine.serve(saved.body)
        self.machine.rates[MAIN] = plan.rate
        if plan.neighbour is not None:
            self.machine.rates[initial_records.NEIGHBOUR] = plan.neighbour.rate
            self.server.read_cost = plan.neighbour.read_cost
            if plan.neighbour.damage is not None:
                self.machine.damages[initial_records.NEIGHBOUR, 1] = plan.neighbour.damage
        before = len(self.server.journal)
        initial_records.request_update(tx, plan, now)
        for line in self.server.journal[before:]:
            self._committed(line)
        self.begin()
        self.loop.at(1.0, self._second)
        self.loop.at(0.0, self.start)

    def run(self) -> "LoopWorld":
        with _log_to_timeline(self.truth), _close_at_end(self):
            try:
                self.loop.run(MAX_DURATION)
            except AssertionError as error:
                self._break(error if isinstance(error, InvariantBroken) else InvariantBroken(str(error)))
            if self._broken is not None:
                raise self._broken
            expect(not self.loop.errors, "I0 no unhandled exceptions", self.loop.errors[:1])
            self._at_the_end()
        return self

    # The controller

    def start(self) -> None:
        """Start a controller process."""
        truth = self.truth
        truth.incarnation += 1
        truth.note(f"controller {truth.incarnation} starts")
        thread = DatabaseThread(self.server)
        adopted = self.loop.now + (self.chance.choice((0.1, 0.5, 1.2)) if truth.incarnation > 1 else 0.0)
        self.edge = TargetEdge(self.machine, self.trouble, truth, self.chance, truth.incarnation, adopted)
        store, metrics = SimulatedStore(thread), SimulatedMetrics(thread)
        self.evidence = join_evidence(self.edge, metrics, self.coverage_file)
        self.loops = join_loops(Edges(store, metrics, self.clock, self.ids, self.edge, self.evidence))
        self.clients.store, self.clients.kick = store, self.loops.engine.kick
        self.machine.take_up()
        task = self.loop.create_task(run_loops(self.loops, self.clock))
        task.add_done_callback(self._exited)

    def _exited(self, task: "asyncio.Task[None]") -> None:
        """The controller failed to start, or one of its loops failed: its supervisor restarts it."""
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, TidegateError):
            self._break(InvariantBroken(f"I0 the loops do not fail: {error!r}"))
            return
        self.truth.note(f"controller exits: {error}")
        self.loop.at(self.loop.now, partial(self.die, RETRY_START))

    def die(self, absence: float) -> None:
        """Kill the controller, to be restarted later."""
        if not self.running:
            return
        self.truth.note(f"controller {self.truth.incarnation} dies for {absence:.1f} s")
        assert self.edge is not None
        self.edge.dead = True
        self.loops = None
        self.loop.kill()
        self.quiet(absence)
        self.loop.at(self.loop.now + absence, self.start)

    def _fleet_changed(self, endpoint: str) -> None:
        if self.loops is not None and not self.loop.frozen:
            self.loops.engine.kick(endpoint)

    def _worker_ended(self, worker: SimulatedWorker) -> None:
        """The supervisor reads what a worker counted before it lets it go."""
        if self.loops is None or self.edge is None or self.evidence is None or worker.hung:
            return
        spec = self.edge.spec(worker.fleet)
        if spec is not None:
            self.evidence.collector.harvest(spec, worker.id, worker.last_page(EPOCH + self.clock.wall()))

    # What happens

    def _break(self, broken: InvariantBroken) -> None:
        self.truth.note(f"BROKEN {broken}")
        self._broken = self._broken or broken
        self.loop.finished = True

    def _committed(self, line: JournalLine) -> None:
        if (line.kind, line.name) != (ENDPOINT.name, MAIN):
            return
        record = line.body
        assert record is None or isinstance(record, Endpoint)
        try:
            self.truth.committed(record, line.events, self._guards(record), line.at)
        except InvariantBroken as broken:  # the controller's error handling must not swallow it
            self._break(broken)
        self.take(record)

    def _guards(self, record: Endpoint | None) -> list[Guard]:
        names = record.rollout.plan.alarms if record and record.rollout else ()
        found = (self.server.records.get((ALARM.name, name)) for name in names)
        return [make_guard(saved.body) for saved in found if saved is not None]

    def expect(self, fault: Fault) -> None:
        super().expect(fault)
        self.quiet(fault.when.after)

    def inject(self, fault: Fault) -> None:
        self.truth.note(f"FAULT {f.describe_fault(fault)}")
        self.quiet(f.fault_duration(fault))
        match fault:
            case f.ControllerDies(_, awaits, absence):
                self.loop.after_steps(awaits, partial(self.die, absence))
            case f.ControllerFreezes(_, seconds) if self.running:
                self.loop.freeze(seconds)
                self.later(seconds, self._thaw)
            case f.MachineCrashes(_, absence):
                self.machine.crash()
                self.clock.boots += 1
                self.die(absence)
                self.later(absence, self.machine.boot)
            case f.ClockSteps(_, by):
                self.machine.advance()
                self.clock.step(by)
            case f.GuardEdited() | UserCommand():
                self._act(fault)
            case f.TargetFails(_, seconds, landed):
                self.trouble.fails_until = max(self.trouble.fails_until, self.now + seconds)
                self.trouble.lands = landed
            case _:
                self._trouble_machine(fault)

    def _trouble_machine(self, fault: Fault) -> None:
        match fault:
            case f.ProxyDies(_, seconds):
                self.machine.stop_proxy(seconds)
            case f.TrafficStops(_, seconds):
                self.machine.stop_traffic(MAIN, seconds)
            case f.ReplicasHang(_, side, count):
                for fleet in self.fleets_of(side):
                    self.machine.hang(fleet, count)
            case f.PagesDamaged(_, seconds, side, damage):
                for generation in self.generations_of(side):
                    self.machine.damage_pages((MAIN, generation), damage, seconds)
            case f.BehaviourChanges(_, conduct, requests):
                for generation in self.generations_of(RolloutSide.NEW):
                    self.machine.change_behaviour((MAIN, generation), conduct, requests)
            case ReplicasDie() | StartsFail() | ObservationGap():
                super().inject(fault)
            case _:
                self.server.suffer(fault)

    def _thaw(self) -> None:
        if not self.loop.frozen:
            self.machine.take_up()

    def _act(self, fault: f.GuardEdited | UserCommand) -> None:
        if self.running and not self.loop.frozen:  # otherwise: connection refused or no answer
            self.clients.act(fault)

    def _resume_paused(self) -> None:
        """Resume what users paused."""
        rollout = self.record.rollout if self.record else None
        if rollout is not None and rollout.pause is not None and self.now > self.quiet_at + PATIENCE:
            self._act(UserCommand(When(), "resume"))

    def quiet(self, seconds: float) -> None:
        """A fault lasts that long from now."""
        self.quiet_at = max(self.quiet_at, self.loop.now + seconds)

    def _second(self) -> None:
        """Once per second of real time: check hindrances, invariants and the end."""
        now, truth = self.loop.now, self.truth
        if not self.running or self.loop.frozen or self._hindered():
            truth.hindered_at = now
        if self.server.troubled:
            truth.database_at = now
        truth.second()
        if self._ended():
            if self._done_since is None:
                self._done_since = now
            self.loop.finished = now - self._done_since >= CALM
        else:
            self._done_since = None
            self._resume_paused()
            expect(now < max(self.quiet_at, 60.0) + LIVELY, I6, truth.record and truth.record.rollout)
        self.loop.at(now + 1.0, self._second)

    def _hindered(self) -> bool:
        now, trouble = self.loop.now, self.trouble
        unseen = max(trouble.fails_until, *self.blind_until.values())
        unread = {PageDamage.MISSING, PageDamage.GARBAGE} & {
            damage for version, damage in self.machine.damages.items() if version[0] == MAIN
        }
        return now < max(unseen, self.server.metrics_unreadable_until) or not self.machine.proxy_up or bool(unread)

    def _ended(self) -> bool:
        record = self.truth.record
        under_way = record is not None and (record.rollout is not None or record.scaling is not None)
        return self.running and not under_way and self.loop.now >= self.quiet_at

    def _at_the_end(self) -> None:
        """The router's routes and the record agree, and nothing else is left."""
        record, machine = self.truth.record, self.machine
        if record is None or record.mixed is not None:
            return
        routes = machine.routes(MAIN)
        expect(
            set(routes.routes) == set(desired_state.traffic(record).routes), I7, ("routes", routes, record.traffic)
        )
        fleets = {id for id in machine.fleets if id.endpoint == MAIN}
        expect(fleets == set(desired_state.fleets(record)), I7, ("fleets", fleets))
        missing = self.truth.expected - self.truth.begun
        expect(not missing, I7, f"accepted and never begun: {missing}")


class _TimelineHandler(logging.Handler):
    def __init__(self, truth: GroundTruth) -> None:
        super().__init__()
        self._truth = truth

    def emit(self, record: logging.LogRecord) -> None:
        self._truth.note(f"log: {record.getMessage()}")


@contextmanager
def _log_to_timeline(truth: GroundTruth) -> Iterator[None]:
    """Log to the timeline only, if there is one: logging elsewhere takes longer than the whole simulation."""
    logger, handler = logging.getLogger("tidegate"), _TimelineHandler(truth)
    before = logger.level, logger.propagate
    logger.propagate = False
    if truth.timeline is None:
        logger.setLevel(logging.CRITICAL + 1)
    else:
        logger.setLevel(logging.WARNING)
        logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]


@contextmanager
def _close_at_end(world: LoopWorld) -> Iterator[None]:
    try:
        yield
    finally:
        if world.edge is not None:
            world.edge.dead = True
        world.loop.kill()
        world.loop.close()
