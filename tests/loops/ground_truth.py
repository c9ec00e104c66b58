"""What really happened in a simulated world, and the invariants about it.

Every invariant is arithmetic over facts that the simulation knows (when traffic moved, what became of requests, which
process read which pages), never over the controller's own predicates. The numbers are those of
docs/dev/failure-model.md.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from tests.loops.clock import SimulatedClock
from tests.loops.guards import Guard
from tests.loops.machine import Machine, VersionTally
from tests.loops.workers import SimulatedWorker
from tidegate.domain.endpoint import Endpoint, Rollout
from tidegate.domain.observation import Event
from tidegate.domain.rollout import Cause, Phase
from tidegate.domain.traffic import RouteTable
from tidegate.simulation.invariants import expect

MAIN = "main"
"""The endpoint whose decisions are checked."""
EPSILON = 0.002
"""Seconds by which two consecutive clock readings may differ."""
SETTLED = 3.0
"""Seconds after a disturbance in which the controller need not react yet."""
EXPOSED = 10
"""Seconds that a version may keep its traffic after its guard was due, besides one period of the guard."""
DATABASE = 15
"""Additional seconds while the database is in trouble: one transaction may have to time out first."""
LOST = 4
"""Seconds of a worker's counts that may be lost with it."""
OUTAGE = 3.0
"""Seconds of proxy restart that need not extend the bake."""
I1 = "I1 no step without a verdict through the end of its bake"
I2 = "I2 a version that fails its guard does not stay"
I4 = "I4 a bake is never shorter than asked"
I5 = "I5 a good version is not rejected"
I7 = "I7 what was accepted is kept"


@dataclass
class RecordedDecision:
    """A recorded change of a rollout's phase, for people and for comparing two worlds."""

    at: float
    rollout: str
    phase: str
    stage: int
    reason: str | None = None


@dataclass
class GroundTruth:
    """Watches one world. ``innocent``: no fault affects the new version."""

    machine: Machine
    clock: SimulatedClock
    innocent: bool
    record: Endpoint | None = None
    decisions: list[RecordedDecision] = field(default_factory=list)
    guards: list[Guard] = field(default_factory=list)
    timeline: list[tuple[float, str]] | None = None
    hindered_at: float = 0.0
    """When anything but the database last kept the controller from acting."""
    database_at: float = -1e9
    """When the database was last in trouble."""
    incarnation: int = 0
    aborted: set[str] = field(default_factory=set)
    expected: set[str] = field(default_factory=set)
    """Accepted rollouts that must begin."""
    begun: set[str] = field(default_factory=set)
    _share: int = 0
    _share_since: float = 0.0
    _paused: float = 0.0
    _paused_at: float | None = None
    _exposed: int = 0
    _answered_before: int = 0
    """Requests that the new version had answered at the start of the stage's traffic."""
    _outage: float = 0.0
    """Seconds of the stage without a running proxy."""
    _reads: dict[tuple[int, str], deque[float]] = field(default_factory=dict)

    @property
    def now(self) -> float:
        return self.machine.loop.now

    def note(self, text: str) -> None:
        if self.timeline is not None:
            self.timeline.append((self.now, text))

    # What the edges report

    def read(self, incarnation: int, worker: SimulatedWorker, at: float) -> None:
        """A statistics page was answered to that process."""
        self._reads.setdefault((incarnation, worker.id), deque(maxlen=12)).append(at)

    def routed(self, table: RouteTable) -> None:
        """A table took effect."""
        if table.endpoint != MAIN:
            return
        rollout = self.record.rollout if self.record else None
        share = table.share_of(rollout.new.generation) if rollout else 0
        if share != self._share:
            self._share, self._share_since, self._paused, self._outage = share, self.now, 0.0, 0.0
            self._answered_before = self._answered(rollout)
            self.note(f"router: {share / 100:g} % of the traffic go to the new version")

    def committed(
        self, record: Endpoint | None, events: tuple[Event, ...], guards: list[Guard], at: datetime
    ) -> None:
        """The main endpoint's record was committed; it was decided at ``at`` by the wall clock."""
        before, self.record = self.record, record
        for event in events:
            self.note(f"record: {event.kind}: {event.message}")
        was, after = (before.rollout if before else None), (record.rollout if record else None)
        decided = max(self.now - 10.0, min(self.now, self.now - (self.clock.now() - at).total_seconds()))
        if after is not None and (was is None or was.id != after.id):
            self.guards = guards
            self.begun.add(after.id)
            self._share = 0
        self._note_pause(was, after, decided)
        last = record.last if record else None
        self.begun |= {last.id} if last is not None else set()
        if was is not None and was.old is not None and record is not None and _has_left_bake(was, record):
            self._left(was, decided)
        self._keep(was, after, last)
        if self.innocent and record is not None:
            turned = after if after is not None else last
            blamed = turned is not None and turned.cause == Cause.ALARM
            expect(not blamed and not record.rejected, I5, turned.reason if turned else "")

    def _keep(self, was: Rollout | None, after: Rollout | None, last: Rollout | None) -> None:
        if after is not None:
            if was is None or (was.id, was.phase, was.stage) != (after.id, after.phase, after.stage):
                self.decisions.append(
                    RecordedDecision(self.now, after.id, str(after.phase), after.stage, after.reason)
                )
        elif was is not None and last is not None:
            self.decisions.append(RecordedDecision(self.now, last.id, str(last.phase), last.stage, last.reason))
            passed = last.phase is Phase.SUCCEEDED
            expect(not passed or last.id not in self.aborted, I7, "an aborted rollout has succeeded")

    def _note_pause(self, was: Rollout | None, after: Rollout | None, at: float) -> None:
        paused = after is not None and after.pause is not None
        if paused and self._paused_at is None:
            self._paused_at = at
        elif not paused and self._paused_at is not None:
            self._paused += at - max(self._paused_at, self._share_since)
            self._paused_at = None

    # What must hold when a stage is left

    def _left(self, was: Rollout, at: float) -> None:
        stage = was.plan.stages[was.stage]
        expect(was.id not in self.aborted, I7, "an aborted rollout went on")
        expect(self._paused_at is None, I7, "a paused rollout went on")
        expect(self._share == stage.share, I1, f"left with {self._share} of {stage.share} in force")
        due = [g.alarm.name for g in self.guards if g.due_since is not None and g.due_since < at - EPSILON]
        expect(not due, I1, f"guards {due} were due")
        if was.skips_bake:
            return
        end = self._share_since + self._paused + stage.bake
        expect(at >= end - EPSILON, I4, f"left {at - end:.3f} s before its end")
        served = at - end - self._outage
        expect(served >= -OUTAGE, I4, f"the proxy served {-served:.1f} s less than the bake")
        if self.guards and stage.bake and self.machine.hanging(MAIN, was.new.generation):
            expect(self._answered(was) > self._answered_before, I2, "it has answered no request of a whole bake")
        if stage.bake and self.guards:
            self._all_read(was, end, at)
            self._nothing_lost(was, at - stage.bake, at - 1.0)

    def _all_read(self, was: Rollout, end: float, at: float) -> None:
        """This process has read the counts of every worker of the new version after the end of the bake."""
        for fleet, workers in self.machine.workers.items():
            if (fleet.endpoint, fleet.generation) != (MAIN, was.new.generation):
                continue
            for worker in workers.values():
                reads = self._reads.get((self.incarnation, worker.id), ())
                if worker.ready_since < end - 1.0:
                    read = any(end - EPSILON <= when <= at + EPSILON for when in reads)
                    last = max(reads, default=-1.0)
                    expect(read, I1, f"{worker.id} was last read {end - last:.2f} s before the end of the bake")

    def _nothing_lost(self, was: Rollout, since: float, until: float) -> None:
        """Some process has read all counts of the new version during a bake, except for moments."""
        id = (MAIN, was.new.generation)
        present = (worker for workers in self.machine.workers.values() for worker in workers.values())
        for worker in (*present, *self.machine.gone):
            if (worker.fleet.endpoint, worker.fleet.generation) == id:
                lost = worker.lost(max(since, self._share_since), until)
                expect(lost <= LOST, I1, f"{lost} seconds of {worker.id} were never read")

    # What must hold at every second

    def second(self) -> None:
        """Once a second of real time."""
        self.machine.advance()
        self.machine.time_out()
        tallies, self.machine.tallies = self.machine.tallies, {}
        rollout = self.record.rollout if self.record else None
        if rollout is None or rollout.old is None or rollout.phase is Phase.TERMINATING:
            self._exposed = 0
            return
        mine = {version[1]: tally for version, tally in tallies.items() if version[0] == MAIN}
        for guard in self.guards:
            guard.second(_watched_tallies(guard, rollout, mine), self.now)
        self._outage += not self.machine.proxy_up
        self._count_exposure(rollout)

    def _answered(self, rollout: Rollout | None) -> int:
        return self.machine.answered.get((MAIN, rollout.new.generation), 0) if rollout else 0

    def _count_exposure(self, rollout: Rollout) -> None:
        due = [guard for guard in self.guards if guard.due_since is not None]
        if not due or not self._share or not self._old_serves(rollout):
            self._exposed = 0
            return
        if self.now - self.hindered_at < SETTLED:
            return
        self._exposed += 1
        bound = EXPOSED + max(guard.alarm.period for guard in due)
        if self.now - self.database_at < 2 * DATABASE:
            bound += DATABASE
        names = ", ".join(guard.alarm.name for guard in due)
        expect(self._exposed <= bound, I2, f"{names}: {self._share / 100:g} % for over {bound} s")

    def _old_serves(self, rollout: Rollout) -> bool:
        assert rollout.old is not None
        return all(self._serves(MAIN, rollout.old.generation, variant.name) for variant in rollout.old.production)

    def _serves(self, endpoint: str, generation: int, variant: str) -> bool:
        for id, workers in self.machine.workers.items():
            if (id.endpoint, id.generation, id.variant) == (endpoint, generation, variant):
                return any(worker.up and not worker.hung for worker in workers.values())
        return False


def _has_left_bake(was: Rollout, after: Endpoint) -> bool:
    if was.phase is not Phase.BAKING:
        return False
    rollout = after.rollout
    if rollout is None:
        return after.last is not None and after.last.id == was.id and after.last.phase is Phase.SUCCEEDED
    return rollout.id == was.id and (rollout.stage > was.stage or rollout.phase is Phase.TERMINATING)


def _watched_tallies(guard: Guard, rollout: Rollout, tallies: dict[int, VersionTally]) -> Iterator[VersionTally]:
    names = {rollout.new.generation: rollout.new.config_name}
    if rollout.old is not None:
        names[rollout.old.generation] = rollout.old.config_name
    for generation, tally in tallies.items():
        if guard.config is None or names.get(generation) == guard.config:
            yield tally
