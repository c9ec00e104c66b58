"""An update under load: the next version takes over, instances die, and every request is counted."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tidegate import spec
from tidegate.console.figures import format_clock
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.fleet import ReplicaState
from tidegate.domain.observation import Observation
from tidegate.domain.rollout import Phase
from tidegate.domain.traffic import WHOLE
from tidegate.features.lessons.lesson import (
    LAST_ANSWERS,
    Chart,
    Choice,
    Judgement,
    Lesson,
    LessonMoment,
    LessonStep,
    RunPlaces,
    Simulation,
    await_start,
    await_update,
    line,
    outcome,
    send_to_first,
)
from tidegate.features.lessons.model_files import write_model
from tidegate.features.lessons.run_records import LessonVerdict
from tidegate.features.rehearse.page import DEFAULTS, STRATEGIES, build_spec
from tidegate.features.rehearse.rehearsal.simulation import TimelineRecorder, make_updating_world
from tidegate.rollout.desired_plan import make_versions
from tidegate.rollout.step import RolloutDecision
from tidegate.simulation.faults import (
    ControllerCrash,
    CrashPoint,
    ReplicasDie,
    RolloutSide,
    ScriptedEvent,
    When,
    WorldTiming,
)
from tidegate.simulation.invariants import Invariants
from tidegate.simulation.world import START, StepFunction, World

RATE = 50.0
"""Requests per second."""
INSTANCES = 2
STEP, BAKE, FINAL_BAKE = 50, 3, 2
"""Percent of a step; seconds."""
BESIDE = 2.0
"""Seconds of requests before the update and after it."""
LIMIT = 150.0


def _describe_spec(base: Mapping[str, Any], places: RunPlaces, target: float | None) -> dict[str, Any]:
    rollout = {"strategy": "linear", "step": f"{STEP}%", "wait": f"{BAKE}s", "final_bake": f"{FINAL_BAKE}s"}
    return {**base, "instances": INSTANCES, "rollout": rollout}


def _judge(at: LessonMoment) -> Judgement:
    facts, verdict = at.facts, LessonVerdict.NOT_SHOWN
    counted = f"{facts.sent:,} requests sent, {facts.answered:,} answered, {facts.failed:,} failed"
    if facts.outcome != "Succeeded":
        why = facts.reason or "why is not known"
        return Judgement(verdict, f"the update ended as {facts.outcome}: {why}; {counted}")
    if facts.failed or facts.answered < facts.sent:
        return Judgement(verdict, counted)
    if len([count for count in facts.by_config.values() if count]) < 2:
        return Judgement(verdict, f"not both versions answered; {counted}")
    return Judgement(LessonVerdict.SHOWN, counted)


def _describe(picture: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    waiting = picture["sent"] - picture["answered"] - picture["failed"]
    return [
        ("In flight", f"{max(0, waiting):,}", "sent, and not answered yet"),
        ("On the new version", picture["share"], "of the requests"),
    ]


# --- on a virtual clock: the real rollout machine, and a count of requests that found nobody ---

SIMULATED_RATE, STARTUP, SHIFT_DELAY = 150.0, 30.0, 0.5
"""Requests a second; seconds."""
AWAY = 240.0
"""Seconds that the controller is away: more than a bake, and less than the 300 s after which a shift that nobody has
seen in force is rolled back."""
SIMULATED_LIMIT = 86_400.0
CRASHES_AT = 4
"""The write of the controller after which it dies: the first bake of a rollout in stages has begun, or the second."""
DEATHS: dict[str, tuple[ScriptedEvent, ...]] = {
    "old": (ReplicasDie(When(Phase.BAKING, nth=1, after=40.0), RolloutSide.OLD),),
    "new": (ReplicasDie(When(Phase.BAKING, nth=2, after=20.0), RolloutSide.NEW),),
    "controller": (),
}
DEATH_TITLES: Mapping[str, str] = {
    "old": "an instance of the old version",
    "new": "an instance of the new version",
    "controller": "the controller, for four minutes",
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
    writes: list[float] = field(default_factory=list)
    """Seconds at which the controller wrote a decision."""
    points: list[tuple[float, float, int, int]] = field(default_factory=list)
    """Seconds, percent on the new version, ready instances of the old and of the new one."""
    died: list[tuple[float, str]] = field(default_factory=list)
    _since: float = 0.0
    _lost: float = 0.0

    def decided(
        self, before: Endpoint, seen: Observation, now: datetime, decision: RolloutDecision, step: StepFunction
    ) -> None:
        if decision.endpoint != before or decision.events:
            self.writes.append((now - START).total_seconds())

    def advance(self, now: float) -> None:
        passed = (now - self._since) * self.rate
        self._since, self.total, self.nobody = now, self.total + passed, self.nobody + passed * self._lost

    def changed(self, world: World) -> None:
        self.advance(world.now)
        routes, record = world.target.routes(world.name), world.record
        ready = {id: len(fleet.of(ReplicaState.READY)) for id, fleet in world.target.fleets.items()}
        self._lost = 1.0 - sum(one.share for one in routes.routes if ready.get(one.fleet)) / WHOLE
        self.fewest = min(self.fewest, sum(ready.get(one.fleet, 0) for one in routes.routes if one.share))
        rollout = (record.rollout or record.last) if record else None
        if record is None or rollout is None:
            return
        old, new = (
            sum(count for id, count in ready.items() if id.generation == generation)
            for generation in (rollout.old.generation if rollout.old else 0, rollout.new.generation)
        )
        at = round(world.now, 1)
        # Fewer ready instances than before, while the rollout removes none.
        if self.points and record.rollout and rollout.phase in (Phase.ACTIVATING_TRAFFIC, Phase.BAKING):
            *_, before_old, before_new = self.points[-1]
            fewer = (("old", old < before_old), ("new", new < before_new))
            self.died += [(at, f"an instance of the {side} version dies") for side, died in fewer if died]
        self.points.append((at, routes.share_of(rollout.new.generation) / 100, old, new))


def _run_update(
    strategy: str, deaths: list[str], now: datetime
) -> tuple[World, RequestCounter, TimelineRecorder, int]:
    """With the number of decisions at which the invariants were checked."""
    form = {**DEFAULTS, "wait": "2m", "final_bake": "1m", "strategy": strategy}
    desired = spec.parse(build_spec(form), now)
    recorder, counter, invariants = TimelineRecorder(), RequestCounter(SIMULATED_RATE), Invariants()
    old, new = make_versions(desired)
    world = make_updating_world(
        old,
        new,
        desired.deployment,
        physics=WorldTiming(latencies=(SHIFT_DELAY,), startups=(STARTUP,)),
        script=[event for death in deaths for event in DEATHS[death]],
        crashes=[ControllerCrash(CRASHES_AT, CrashPoint.SAVED, AWAY)] if "controller" in deaths else [],
        watchers=(recorder, counter, invariants),
    )
    world.run(SIMULATED_LIMIT, settled=lambda world: world.record is None or world.record.rollout is None)
    counter.advance(world.now)
    return world, counter, recorder, invariants.checked


def simulate(chosen: Mapping[str, Any], now: datetime) -> dict[str, object]:
    """One update, with what dies on the way."""
    deaths = chosen["deaths"]
    world, counter, recorder, checked = _run_update(chosen["strategy"], deaths, now)
    died = list(counter.died)
    if "controller" in deaths:
        at = counter.writes[CRASHES_AT - 1]
        died += [(at, "the controller dies"), (at + AWAY, "the controller is back")]
    died.sort()
    phase = str(world.record.last.phase) if world.record and world.record.last else ""
    journal = [(one.at, event.message, "") for one in recorder.moments for event in one.events]
    journal += [(at, said, "person") for at, said in died]
    total, nobody = round(counter.total), round(counter.nobody)
    return outcome(
        (
            (
                *("Requests that found no ready instance", f"{nobody:,}", f"of {total:,}"),
                "bad" if nobody else "good",
            ),
            ("It ended", "passed" if phase == "Succeeded" else phase, f"after {format_clock(world.now)}", ""),
            ("Ready instances that got requests", f"at least {counter.fewest}", "4 are desired", ""),
            ("Invariants", "hold", f"checked at each of {checked} decisions", ""),
        ),
        (f"On the way {', '.join(said for _, said in died)}. " if died else "")
        + "Requests go only to instances that were seen ready, and routes stand while nobody is there to change them:"
        " without its controller a rollout waits, and requests do not. What an instance has in hand when it dies is"
        " counted by no simulation: with real processes the proxy tries such a request again where that is safe.",
        charts=_draw_charts(counter, [round(at, 1) for at, _ in died]),
        journal=(
            "Journal of the update",
            [
                {"at": round(at, 1), "clock": format_clock(at), "said": said, "kind": kind}
                for at, said, kind in sorted(journal)
            ],
        ),
        further=(
            "With real processes and 150 requests a second through the proxy, or tidegate demo",
            "python -m bench.updates",
        ),
        facts={
            **{"phase": phase, "requests": total, "nobody": nobody, "checked": checked},
            **{"died": [said for _, said in died], "seconds": world.now},
        },
    )


def _draw_charts(counter: RequestCounter, marks: list[float]) -> list[Chart]:
    times, shares, olds, news = (list(column) for column in zip(*counter.points, strict=True))
    common = {"x": times, "clock": True, "across": "minutes", "steps": True, "marks": marks}
    share = line("of the requests go to the new version", shares, 1)
    instances = [line("ready, old version", olds, 0), line("ready, new version", news, 1)]
    return [
        (
            {**common, "series": [share], "most": 100, "after": " %"},
            "Share of the requests on the new version",
            "The vertical lines are what died, and the controller's return.",
        ),
        ({**common, "series": instances}, "Ready instances", "What has died is started again by itself."),
    ]


UPDATE = Lesson(
    "update",
    "An update under load",
    "The next version takes over while things die, and no request is lost.",
    f"{RATE:.0f} requests a second while a new version takes over from the old one, {STEP} % at a time; each step"
    f" is baked for {BAKE} seconds. Every request is counted.",
    (
        await_start(INSTANCES),
        send_to_first(RATE, BESIDE),
        await_update(f"The update, {STEP} % at a time", "v2", LIMIT),
        LessonStep("after", "The new version alone", is_done=lambda at: at.seconds >= BESIDE, limit=15.0),
        LAST_ANSWERS,
    ),
    versions={"v1": write_model(0.25, 0.75), "v2": write_model(0.30, 0.80)},
    instances=2 * INSTANCES,
    spec=_describe_spec,
    judge=_judge,
    stats=_describe,
    plots=("share",),
    commands=(
        ("The update as it goes", "tidegate rollout watch {endpoint}"),
        ("Its journal", "tidegate events {endpoint}"),
    ),
    simulation=Simulation(
        simulate,
        (
            Choice("strategy", "Strategy", STRATEGIES, "linear"),
            Choice("deaths", "What dies on the way", DEATH_TITLES, ",".join(DEATHS), many=True),
        ),
    ),
)
