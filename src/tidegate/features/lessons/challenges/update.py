"""An update under load while things die: the real rollout machine, and a count of requests that found nobody."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from tidegate import spec
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.errors import Invalid
from tidegate.domain.fleet import ReplicaState
from tidegate.domain.observation import Observation
from tidegate.domain.rollout import Phase
from tidegate.domain.traffic import WHOLE
from tidegate.features.rehearse.rehearsal import spec_scenario
from tidegate.features.rehearse.rehearsal.simulation import TimelineRecorder, make_updating_world
from tidegate.rollout.step import RolloutDecision
from tidegate.testing.faults import (
    ControllerCrash,
    CrashPoint,
    ReplicasDie,
    RolloutSide,
    ScriptedEvent,
    When,
    WorldTiming,
)
from tidegate.testing.invariants import Invariants
from tidegate.testing.world import START, StepFunction, World

SHIFT_DELAY = 0.5
AWAY = 240.0
"""Seconds that the controller is away: more than a bake, and less than the 300 s after which a shift that nobody has
seen in force is turned back."""
LIMIT = 86_400.0
CRASHES_AT = 4
"""The write of the controller after which it dies: the first bake of a rollout in stages has begun, or the second."""


class UpdateRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """``spec`` is the rollout; ``rps``: requests a second; ``deaths`` are among DEATHS."""

    spec: dict[str, Any]
    rps: float = 150.0
    startup: float = 30.0
    deaths: list[str] = []


DEATHS: dict[str, tuple[ScriptedEvent, ...]] = {
    "new": (ReplicasDie(When(Phase.BAKING, nth=2, after=20.0), RolloutSide.NEW),),
    "old": (ReplicasDie(When(Phase.BAKING, nth=1, after=40.0), RolloutSide.OLD),),
    "controller": (),
}


@dataclass
class RequestCounter:
    """Counts requests between two events of a world: ``nobody`` are those of a fleet without a ready instance, or
    without any route. ``rate``: requests a second."""

    rate: float
    total: float = 0.0
    nobody: float = 0.0
    fewest: int = 1 << 30
    """Ready instances that traffic goes to, at the least."""
    decisions: int = 0
    writes: list[float] = field(default_factory=list)
    """Seconds at which the controller wrote a decision."""
    died: list[tuple[float, str]] = field(default_factory=list)
    _since: float = 0.0
    _lost: float = 0.0
    points: list[tuple[float, float, int, int]] = field(default_factory=list)
    """Seconds, percent on the new version, ready instances of the old and of the new one."""

    def decided(
        self, before: Endpoint, seen: Observation, now: datetime, decision: RolloutDecision, step: StepFunction
    ) -> None:
        self.decisions += 1
        if decision.endpoint != before or decision.events:
            self.writes.append((now - START).total_seconds())

    def changed(self, world: World) -> None:
        self.advance(world.now)
        routes = world.target.routes(world.name).routes
        ready = {
            id: len(fleet.of(ReplicaState.READY)) if fleet is not None else 0
            for id, fleet in ((route.fleet, world.target.fleets.get(route.fleet)) for route in routes)
        }
        held = sum(route.share for route in routes if ready[route.fleet])
        self._lost = 1.0 - held / WHOLE
        self.fewest = min(self.fewest, sum(ready[one.fleet] for one in routes if one.share))
        self._note(world)

    def advance(self, now: float) -> None:
        passed = (now - self._since) * self.rate
        self._since, self.total, self.nobody = now, self.total + passed, self.nobody + passed * self._lost

    def _note(self, world: World) -> None:
        record = world.record
        rollout = (record.rollout or record.last) if record else None
        if rollout is None:
            return
        share = world.target.routes(world.name).share_of(rollout.new.generation) / 100
        old, new = (
            sum(
                len(fleet.of(ReplicaState.READY))
                for id, fleet in world.target.fleets.items()
                if id.generation == generation
            )
            for generation in (rollout.old.generation if rollout.old else 0, rollout.new.generation)
        )
        point = (round(world.now, 1), share, old, new)
        if self.points and record is not None and record.rollout is not None:
            self._note_deaths(point, record.rollout.phase)
        self.points.append(point)

    def _note_deaths(self, point: tuple[float, float, int, int], phase: Phase) -> None:
        """Fewer ready instances than before, while the rollout removes none."""
        if phase not in (Phase.ACTIVATING_TRAFFIC, Phase.BAKING):
            return
        for place, side in ((2, "old"), (3, "new")):
            if point[place] < self.points[-1][place]:
                self.died.append((point[0], f"an instance of the {side} version dies"))


def demonstrate(asked: UpdateRequest, now: datetime) -> dict[str, object]:
    """One update, with what dies on the way. Raises Invalid."""
    if unknown := [one for one in asked.deaths if one not in DEATHS]:
        raise Invalid(f"deaths: {unknown[0][:40]!r} is none of {', '.join(DEATHS)}")
    if not 0 < asked.rps <= 1e6:
        raise Invalid(f"rps: {asked.rps:g}: give more than 0 and up to a million requests a second")
    wish = spec.parse(asked.spec, now)
    recorder, counter, invariants = TimelineRecorder(), RequestCounter(asked.rps), Invariants()
    old, new = spec_scenario.make_versions(wish)
    world = make_updating_world(
        old,
        new,
        wish.deployment,
        physics=WorldTiming(latencies=(SHIFT_DELAY,), startups=(asked.startup,)),
        script=[event for death in asked.deaths for event in DEATHS[death]],
        crashes=[ControllerCrash(CRASHES_AT, CrashPoint.SAVED, AWAY)] if "controller" in asked.deaths else [],
        watchers=(recorder, counter, invariants),
    )
    world.run(LIMIT, settled=lambda world: world.record is None or world.record.rollout is None)
    counter.advance(world.now)
    record = world.record
    last = record.last if record else None
    died = list(counter.died)
    if "controller" in asked.deaths:
        at = counter.writes[CRASHES_AT - 1]
        died += [(at, "the controller dies"), (at + AWAY, "the controller is back")]
    return {
        "phase": str(last.phase) if last else "",
        "seconds": round(world.now, 1),
        "requests": round(counter.total),
        "nobody": round(counter.nobody),
        "fewest": counter.fewest,
        "decisions": counter.decisions,
        "checked": invariants.checked,
        "points": counter.points,
        "journal": [
            {"at": round(moment.at, 1), "said": event.message}
            for moment in recorder.moments
            for event in moment.events
        ],
        "died": [{"at": round(at, 1), "said": said} for at, said in sorted(died)],
    }
