"""A simulated world around an endpoint: target, router, alarms, users, and what goes wrong. It jumps from event to
event; no real time passes.

``SimulatedWorld`` is what every simulation shares, whatever controls it: in ``World`` a controller that observes,
steps, saves and acts, with effects that are late, reordered or lost; in ``tests/loops`` the real loops.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from heapq import heappop, heappush
from math import inf
from typing import Protocol

from tidegate.domain.alarm import AlarmState
from tidegate.domain.assurance import ASSUMED
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.errors import TidegateError
from tidegate.domain.evidence import Finding, Verdict
from tidegate.domain.observation import (
    Action,
    DeleteFleet,
    EnsureFleet,
    Event,
    GuardCheck,
    Observation,
    SetTraffic,
)
from tidegate.domain.replay import ReplayResult
from tidegate.domain.rollout import Phase
from tidegate.domain.traffic import RouteTable
from tidegate.rollout import commands
from tidegate.rollout.step import RolloutDecision, step
from tidegate.simulation.faults import (
    AlarmTurns,
    ControllerCrash,
    CrashPoint,
    Fault,
    ObservationGap,
    ReplicasDie,
    RolloutSide,
    RouterRestarts,
    ScriptedEvent,
    StartsFail,
    UserCommand,
    When,
    WorldTiming,
)
from tidegate.simulation.target import SimulatedFleet, SimulatedTarget

# --- virtual time: what happens next, and nothing in between ---


class Timeline:
    """``now`` is seconds from the start; ``next_event`` jumps to what is due next. Events of one moment happen in the
    order in which they were planned."""

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[[], object]]] = []
        self._planned = 0

    def at(self, when: float, event: Callable[[], object]) -> None:
        """Plan an event; one in the past happens now."""
        self._planned += 1
        heappush(self._events, (max(when, self.now), self._planned, event))

    @property
    def due(self) -> float | None:
        """Time of the next event; None if none is left."""
        return self._events[0][0] if self._events else None

    def next_event(self) -> None:
        """Jump to the next event and let it happen."""
        when, _, event = heappop(self._events)
        self.now = max(when, self.now)
        event()


START = datetime(2030, 1, 1, tzinfo=UTC)


class SimulatedWorld:
    """``record`` is the endpoint as it was saved last. A fault happens once, at its moment; ``inject`` has
    the effects of those on fleets and on what is seen of them."""

    def __init__(self, name: str, timeline: Timeline, target: SimulatedTarget, faults: Sequence[Fault]) -> None:
        self.name, self.timeline, self.target = name, timeline, target
        self.record: Endpoint | None = None
        self.blind_until = {"fleets": 0.0, "routes": 0.0, "alarms": 0.0, "evidence": 0.0}
        """Until when a part of every observation is missing."""
        self._waiting = list(faults)
        self._entries: dict[Phase, int] = {}

    @property
    def now(self) -> float:
        """Seconds from the start."""
        return self.timeline.now

    def later(self, after: float, what: Callable[[], object]) -> None:
        """Let something happen to the world."""
        self.timeline.at(self.now + after, what)

    def begin(self) -> None:
        """Plan the faults that wait for no phase."""
        self._plan(None, 1)

    def take(self, record: Endpoint | None) -> None:
        """The record was saved: faults that waited for the phase which has begun are planned."""
        was, self.record = self.record.rollout if self.record else None, record
        now = record.rollout if record else None
        if now is not None and (was is None or (was.id, was.phase, was.stage) != (now.id, now.phase, now.stage)):
            nth = self._entries[now.phase] = self._entries.get(now.phase, 0) + 1
            self._plan(now.phase, nth)

    def _plan(self, phase: Phase | None, nth: int) -> None:
        for fault in [
            one for one in self._waiting if one.when.phase is phase and (not phase or one.when.nth == nth)
        ]:
            self._waiting.remove(fault)
            self.expect(fault)

    def expect(self, fault: Fault) -> None:
        """The moment of a fault is known."""
        self.later(fault.when.after, partial(self.inject, fault))

    def inject(self, fault: Fault) -> None:
        """Let a fault happen now."""
        match fault:
            case ReplicasDie(_, side, count):
                for fleet in self.fleets_of(side):
                    self.target.kill(fleet, count)
            case StartsFail(_, side, why, seconds):
                for generation in self.generations_of(side):
                    self.target.broken[generation] = why
                    if seconds < inf:
                        self.later(seconds, partial(self.target.mend_starts, self.name, generation))
            case ObservationGap(_, seconds):
                for what in ("fleets", "routes", "alarms", "evidence"):
                    if getattr(fault, what):
                        self.blind_until[what] = max(self.blind_until[what], self.now + seconds)
            case _:
                raise TypeError(f"{type(fault).__name__} does not happen in this world")

    def generations_of(self, side: RolloutSide) -> Iterator[int]:
        record = self.record
        if record is not None and side is RolloutSide.OLD and record.serving is not None:
            yield record.serving.generation
        if record is not None and side is RolloutSide.NEW and record.rollout is not None:
            yield record.rollout.new.generation

    def fleets_of(self, side: RolloutSide) -> Iterator[SimulatedFleet]:
        for generation in self.generations_of(side):
            yield from self.target.of_version(self.name, generation)


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


class _ComparedWorld(Protocol):
    """Finds what differs between the two versions."""

    @property
    def verdict(self) -> Verdict | None: ...

    @property
    def replay(self) -> dict[str, ReplayResult] | None: ...


class _ControllerDied(Exception):
    """The controller died in mid-tick."""


class World(SimulatedWorld):
    """A world whose controller calls the step function itself: it observes, steps, saves and acts, and may die in
    between."""

    def __init__(
        self,
        record: Endpoint,
        physics: WorldTiming | None = None,
        *,
        alarms: dict[str, AlarmState] | None = None,
        script: Sequence[ScriptedEvent] = (),
        crashes: Sequence[ControllerCrash] = (),
        watchers: Sequence[Watcher] = (),
        step: StepFunction = step,
    ) -> None:
        timing = physics or WorldTiming()
        startups, drains = itertools.cycle(timing.startups), itertools.cycle(timing.drains)
        target = SimulatedTarget(self.later, lambda: next(startups), lambda: next(drains))
        super().__init__(record.name, Timeline(), target, script)
        self.alarms = {} if alarms is None else alarms
        self.crashes, self.watchers, self.step = crashes, watchers, step
        self.journal: list[JournalEntry] = []
        self.refused: list[tuple[str, TidegateError]] = []
        """Commands that were not accepted, and why."""
        self.ticks = 0
        self.compared: _ComparedWorld | None = None
        """What the comparison of the two versions finds; None: proof that it is not worse, as soon as it is asked."""
        self._latency, self._loss = itertools.cycle(timing.latencies), itertools.cycle(timing.losses)
        self._resync = timing.resync
        self._counted_since = 0.0
        self._judged: float | None = None
        """When evidence was last collected and evaluated, if it is currently not."""
        self._changes = 0
        self._router = 0
        self._down = False
        self._next_tick: float | None = None
        self.begin()
        self.take(record)
        self.wake(0.0)

    # Time

    def run(self, until: float, settled: Callable[["World"], bool] | None = None) -> "World":
        """Run events up to ``until`` seconds; stops earlier if ``settled`` returns True or no event is left."""
        while (due := self.due) is not None and due <= until:
            self.timeline.next_event()
            for watcher in self.watchers:
                watcher.changed(self)
            if settled is not None and settled(self):
                return self
        if self.due is not None:
            self.timeline.now = until
        return self

    @property
    def due(self) -> float | None:
        """Time of the next event; None if none is left."""
        return self.timeline.due

    def pass_time(self, until: float) -> "World":
        """Like ``run``, but advances the time to ``until`` even if no event is left."""
        self.run(until)
        self.timeline.now = max(self.now, until)
        return self

    def wake(self, after: float) -> None:
        """Schedule a tick of the controller, unless an earlier one is due."""
        at = self.now + max(0.0, after)
        if self._next_tick is None or at < self._next_tick:
            self._next_tick = at
            self.timeline.at(at, lambda: self._due(at))

    def instant(self, at: float | None = None) -> datetime:
        return START + timedelta(seconds=self.now if at is None else at)

    def later(self, after: float, what: Callable[[], object]) -> None:
        """Let something happen to the world; the controller is woken if it sees a difference."""

        def then() -> None:
            before = self.look()
            what()
            if self.look() != before:
                self.wake(0.0)

        super().later(after, then)

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
        except _ControllerDied:
            return
        pause = self._resync if decision.actions else None
        if decision.wake_at is not None:
            sleep = (decision.wake_at - START).total_seconds() - self.now
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
                self.later(crash.down, self._restart)
                raise _ControllerDied

    def _restart(self) -> None:
        self._down = False
        self.wake(0.0)

    def _save(self, record: Endpoint | None, events: tuple[Event, ...], command: str = "") -> None:
        self.journal.append(JournalEntry(self.now, record, events, command))
        self.take(record)

    def _perform(self, action: Action, record: Endpoint | None) -> None:
        if next(self._loss):
            return
        fence = record.fence if record else 0
        match action:
            case EnsureFleet(spec):
                self.later(next(self._latency), lambda: self.target.ensure_fleet(spec, fence))
            case DeleteFleet(id):
                self.later(next(self._latency), lambda: self.target.delete_fleet(id, fence))
            case SetTraffic(table):
                self.later(next(self._latency), partial(self._put, table, self._router))

    def _put(self, table: RouteTable, router: int) -> None:
        if router == self._router:
            self.target.set_traffic(table)

    def look(self) -> Observation:
        def sees(what: str) -> bool:
            return self.now >= self.blind_until[what]

        return Observation(
            fleets={id: f.seen() for id, f in self.target.fleets.items()} if sees("fleets") else None,
            routes=self.target.routes(self.name) if sees("routes") else None,
            alarms=dict(self.alarms) if sees("alarms") else None,
            guard_check=self._evidence(),
            replay=_ASSUMED_REPLAY if self.compared is None else self.compared.replay,
        )

    def _evidence(self) -> GuardCheck:
        """Alarms are evaluated at every observation, over all requests, unless evidence is missing."""
        sees = self.now >= self.blind_until["evidence"]
        if sees:
            self._judged = None
        last, rollout = self.instant(self._judged), self.record.rollout if self.record else None
        verdict = self._verdict(rollout.stage) if sees and rollout else None
        return GuardCheck(last, self.instant(min(self._counted_since, self.now)), last, verdict)

    def _verdict(self, stage: int) -> Verdict | None:
        if self.compared is not None:
            return self.compared.verdict
        return Verdict(Finding.PASS, stage, "as assumed", harms=(ASSUMED,))

    # What happens to it

    def inject(self, fault: Fault) -> None:
        match fault:
            case AlarmTurns(_, alarm, None):
                self.alarms.pop(alarm, None)
            case AlarmTurns(_, alarm, AlarmState() as state):
                self.alarms[alarm] = state
            case RouterRestarts():
                self._router += 1
                self.target.tables.clear()
            case UserCommand(_, what, command):
                self.do(what, command or (lambda endpoint, now: getattr(commands, what)(endpoint, "ann", now)))
            case _:
                super().inject(fault)
        if isinstance(fault, ObservationGap):
            self._miss(fault)

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

    def _miss(self, gap: ObservationGap) -> None:
        if gap.evidence and self._judged is None:
            self._judged = self.now
        if gap.evidence and gap.lost:
            self._counted_since = max(self._counted_since, self.now + gap.seconds)
        self.later(gap.seconds, partial(self.wake, 0.0))


__all__ = ["START", "JournalEntry", "SimulatedWorld", "Watcher", "When", "World"]
