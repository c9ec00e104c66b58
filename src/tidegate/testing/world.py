"""A discrete-event simulation of everything around the rollout state machine: target, router, alarms, users, and a
controller that observes, steps, saves and acts. Effects are late, reordered or lost, observations are missing,
replicas and the controller die. It jumps from event to event; no real time passes."""

import heapq
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Protocol

from tidegate.domain.alarm import AlarmState
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.errors import TidegateError
from tidegate.domain.evidence import Finding, Verdict
from tidegate.domain.observation import Action, DeleteFleet, EnsureFleet, Event, Evidence, Observation, SetTraffic
from tidegate.domain.replay import ReplayResult
from tidegate.domain.rollout import Phase
from tidegate.domain.traffic import RouteTable
from tidegate.rollout.step import RolloutDecision, step
from tidegate.testing.faults import (
    AlarmTurns,
    ControllerCrash,
    CrashPoint,
    ObservationGap,
    ReplicasDie,
    RolloutSide,
    RouterRestarts,
    ScriptedEvent,
    StartsFail,
    StartsRecover,
    UserCommand,
    When,
    WorldTiming,
)
from tidegate.testing.simulated_target import SimulatedTarget

START = datetime(2030, 1, 1, tzinfo=UTC)

_ASSUMED_REPLAY = {"AllTraffic": ReplayResult(Finding.PASS, "as assumed")}

StepFunction = Callable[[Endpoint, Observation, datetime], RolloutDecision]


@dataclass(frozen=True)
class JournalEntry:
    """One journal line: the record after a write (None: removed) and why."""

    at: float
    record: Endpoint | None
    events: tuple[Event, ...]
    command: str = ""


class Watcher(Protocol):
    """Sees every decision before it is saved, and every state of the world."""

    def decided(
        self, before: Endpoint, seen: Observation, now: datetime, decision: RolloutDecision, step: StepFunction
    ) -> None: ...

    def changed(self, world: "World") -> None: ...


class ComparedWorld(Protocol):
    """Finds what differs between the two versions."""

    @property
    def verdict(self) -> Verdict | None: ...

    @property
    def replay(self) -> dict[str, ReplayResult] | None: ...


class ControllerDied(Exception):
    """The controller died in mid-tick."""


@dataclass
class World:
    """``record`` is the durable endpoint; everything else is the state of target, alarms and users."""

    record: Endpoint | None
    physics: WorldTiming = field(default_factory=WorldTiming)
    alarms: dict[str, AlarmState] = field(default_factory=dict)
    script: Sequence[ScriptedEvent] = ()
    crashes: Sequence[ControllerCrash] = ()
    watchers: Sequence[Watcher] = ()
    step: StepFunction = step
    start: datetime = START
    now: float = 0.0
    journal: list[JournalEntry] = field(default_factory=list)
    refused: list[tuple[str, TidegateError]] = field(default_factory=list)
    ticks: int = 0
    compared: ComparedWorld | None = None
    """What the comparison of the two versions finds; None: proof that it is not worse, as soon as it is asked."""

    def __post_init__(self) -> None:
        assert self.record is not None
        self.name = self.record.name
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._latency = itertools.cycle(self.physics.latencies)
        self._loss = itertools.cycle(self.physics.losses)
        startups, drains = itertools.cycle(self.physics.startups), itertools.cycle(self.physics.drains)
        self.target = SimulatedTarget(self._later, lambda: next(startups), lambda: next(drains))
        self._waiting: list[ScriptedEvent] = list(self.script)
        self._entries: dict[Phase, int] = {}
        self._blind_until = {"fleets": 0.0, "routes": 0.0, "alarms": 0.0, "evidence": 0.0}
        self._counted_since = 0.0
        self._judged: float | None = None
        """When evidence was last collected and evaluated, if it is currently not."""
        self._changes = 0
        self._router = 0
        self._down = False
        self._next_tick: float | None = None
        for event in [h for h in self._waiting if h.when.phase is None]:
            self._waiting.remove(event)
            self._later(event.when.after, partial(self.inject, event))
        if self.record.rollout is not None:
            self._entered(self.record.rollout.phase)
        self.wake(0.0)

    # Time

    def run(self, until: float, settled: Callable[["World"], bool] | None = None) -> "World":
        """Run events up to ``until`` seconds; stops earlier if ``settled`` returns True or no event is left."""
        while self._heap and self._heap[0][0] <= until:
            self.now, _, what = heapq.heappop(self._heap)
            what()
            for watcher in self.watchers:
                watcher.changed(self)
            if settled is not None and settled(self):
                return self
        if self._heap:
            self.now = until
        return self

    @property
    def due(self) -> float | None:
        """Time of the next event; None if none is left."""
        return self._heap[0][0] if self._heap else None

    def pass_time(self, until: float) -> "World":
        """Like ``run``, but advances the time to ``until`` even if no event is left."""
        self.run(until)
        self.now = max(self.now, until)
        return self

    def wake(self, after: float) -> None:
        """Schedule a tick of the controller, unless an earlier one is due."""
        at = self.now + max(0.0, after)
        if self._next_tick is None or at < self._next_tick:
            self._next_tick = at
            heapq.heappush(self._heap, (at, next(self._order), lambda: self._due(at)))

    def instant(self, at: float | None = None) -> datetime:
        return self.start + timedelta(seconds=self.now if at is None else at)

    def _later(self, after: float, what: Callable[[], None]) -> None:
        def then() -> None:
            before = self.look()
            what()
            if self.look() != before:
                self.wake(0.0)

        heapq.heappush(self._heap, (self.now + after, next(self._order), then))

    def _due(self, at: float) -> None:
        if self._next_tick == at:
            self._next_tick = None
            self._tick()

    # The controller

    def _tick(self) -> None:
        if self._down or self.record is None:
            return
        self.ticks += 1
        try:
            decision = self._decide(self.record)
        except ControllerDied:
            return
        pause = self.physics.resync if decision.actions else None
        if decision.wake_at is not None:
            sleep = (decision.wake_at - self.start).total_seconds() - self.now
            pause = sleep if pause is None else min(pause, sleep)
        if pause is not None:
            self.wake(pause)

    def _decide(self, before: Endpoint) -> RolloutDecision:
        seen, now = self.look(), self.instant()
        decision = self.step(before, seen, now)
        for watcher in self.watchers:
            watcher.decided(before, seen, now, decision, self.step)
        changed = decision.endpoint != before or bool(decision.events)
        self._changes += changed
        self._maybe_die(changed, CrashPoint.OBSERVED)
        if changed:
            self._save(decision.endpoint, decision.events)
        self._maybe_die(changed, CrashPoint.SAVED)
        for action in decision.actions:
            self._perform(action, decision.endpoint)
            self._maybe_die(changed, CrashPoint.ACTING)
        return decision

    def _maybe_die(self, changed: bool, point: CrashPoint) -> None:
        for crash in self.crashes:
            if changed and crash.nth == self._changes and crash.point is point:
                self._down = True
                self._next_tick = None
                self._later(crash.down, self._restart)
                raise ControllerDied

    def _restart(self) -> None:
        self._down = False
        self.wake(0.0)

    def _save(self, record: Endpoint | None, events: tuple[Event, ...], command: str = "") -> None:
        before, self.record = self.record, record
        self.journal.append(JournalEntry(self.now, record, events, command))
        was = before.rollout if before else None
        now = record.rollout if record else None
        if now is not None and (was is None or (was.id, was.phase, was.stage) != (now.id, now.phase, now.stage)):
            self._entered(now.phase)

    def _perform(self, action: Action, record: Endpoint | None) -> None:
        if next(self._loss):
            return
        fence = record.fence if record else 0
        match action:
            case EnsureFleet(spec):
                self._later(next(self._latency), lambda: self.target.ensure_fleet(spec, fence))
            case DeleteFleet(id):
                self._later(next(self._latency), lambda: self.target.delete_fleet(id, fence))
            case SetTraffic(table):
                self._later(next(self._latency), partial(self._put, table, self._router))

    def _put(self, table: RouteTable, router: int) -> None:
        if router == self._router:
            self.target.set_traffic(table)

    def look(self) -> Observation:
        def sees(what: str) -> bool:
            return self.now >= self._blind_until[what]

        return Observation(
            fleets={id: f.seen() for id, f in self.target.fleets.items()} if sees("fleets") else None,
            routes=self.target.routes(self.name) if sees("routes") else None,
            alarms=dict(self.alarms) if sees("alarms") else None,
            evidence=self._evidence(),
            replay=_ASSUMED_REPLAY if self.compared is None else self.compared.replay,
        )

    def _evidence(self) -> Evidence:
        """Alarms are evaluated at every observation, over all requests, unless evidence is missing."""
        sees = self.now >= self._blind_until["evidence"]
        if sees:
            self._judged = None
        last, rollout = self.instant(self._judged), self.record.rollout if self.record else None
        verdict = self._verdict(rollout.stage) if sees and rollout else None
        return Evidence(last, self.instant(min(self._counted_since, self.now)), last, verdict)

    def _verdict(self, stage: int) -> Verdict | None:
        return Verdict(Finding.PASS, stage, "as assumed") if self.compared is None else self.compared.verdict

    # What happens to it

    def _entered(self, phase: Phase) -> None:
        nth = self._entries[phase] = self._entries.get(phase, 0) + 1
        for event in [h for h in self._waiting if (h.when.phase, h.when.nth) == (phase, nth)]:
            self._waiting.remove(event)
            self._later(event.when.after, partial(self.inject, event))

    def inject(self, event: ScriptedEvent) -> None:
        match event:
            case AlarmTurns(_, alarm, None):
                self.alarms.pop(alarm, None)
            case AlarmTurns(_, alarm, AlarmState() as state):
                self.alarms[alarm] = state
            case ReplicasDie(_, side, count):
                for fleet in [f for f in self.target.fleets.values() if f.spec.id.generation in self._side(side)]:
                    self.target.kill(fleet, count)
            case StartsFail(_, side, why):
                self.target.broken.update(dict.fromkeys(self._side(side), why))
            case StartsRecover(_, side):
                for generation in self._side(side):
                    self.target.broken.pop(generation, None)
            case ObservationGap():
                self._go_blind(event)
            case RouterRestarts():
                self._router += 1
                self.target.tables.clear()
            case UserCommand(_, what, command):
                self.do(what, command)

    def do(self, what: str, command: Callable[[Endpoint, datetime], Endpoint]) -> None:
        """Execute a command immediately: saved if accepted, kept in ``refused`` if not."""
        if self.record is None:
            return
        try:
            after = command(self.record, self.instant())
        except TidegateError as error:
            self.refused.append((what, error))
            return
        self._save(after, (), what)
        self.wake(0.0)

    def _go_blind(self, blind: ObservationGap) -> None:
        if blind.evidence and self._judged is None:
            self._judged = self.now
        if blind.evidence and blind.lost:
            self._counted_since = max(self._counted_since, self.now + blind.seconds)
        for what in ("fleets", "routes", "alarms", "evidence"):
            if getattr(blind, what):
                self._blind_until[what] = max(self._blind_until[what], self.now + blind.seconds)
        self._later(blind.seconds, partial(self.wake, 0.0))

    def _side(self, side: RolloutSide) -> Iterator[int]:
        if self.record is None:
            return
        if side is RolloutSide.OLD and self.record.serving is not None:
            yield self.record.serving.generation
        if side is RolloutSide.NEW and self.record.rollout is not None:
            yield self.record.rollout.new.generation


def is_at_rest(world: World) -> bool:
    """Whether nothing is in progress and nothing more will happen by itself."""
    record = world.record
    quiet = record is None or not (record.rollout or record.scaling or record.deleting)
    return quiet and not world._heap


__all__ = ["START", "JournalEntry", "Watcher", "When", "World", "is_at_rest"]
