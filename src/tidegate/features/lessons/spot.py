"""Spot instances are taken away, in a test and in production: what requests, autoscaling and a rollout make of it."""

from collections.abc import Mapping
from datetime import datetime
from random import Random
from typing import Any

from tidegate import spec
from tidegate.console.figures import format_clock
from tidegate.domain.rollout import Phase
from tidegate.domain.scaling import Dimension, FastPolicy, ScalableTarget
from tidegate.features.autoscaling.simulation import START, InstanceModel, ScalingRun, ScalingSimulation
from tidegate.features.lessons.lesson import Chart, Choice, Lesson, Simulation, line, outcome
from tidegate.features.rehearse.page import DEFAULTS, build_spec
from tidegate.features.rehearse.rehearsal.simulation import TimelineRecorder, make_updating_world
from tidegate.rollout.advance import MOST_LOSSES
from tidegate.rollout.desired_plan import make_versions
from tidegate.simulation.arrivals import draw_arrivals
from tidegate.simulation.faults import ReplicasDie, RolloutSide, When, WorldTiming

PLACES: Mapping[str, str] = {
    "production": "Production: 4 instances, 100 requests a second",
    "test": "A test: 1 instance, 2",
}
SIZES: Mapping[str, tuple[int, float]] = {"production": (4, 100.0), "test": (1, 2.0)}
"""Instances, and requests a second."""
LOSSES: Mapping[str, str] = {
    "none": "No instance",
    "one": "One instance",
    "half": "Half of the instances",
    "all": "All instances",
}
STARTS: Mapping[str, str] = {"30": "30 s", "120": "2 minutes", "600": "10 minutes"}
INSTANCE = InstanceModel()
MOST = 8
TAKEN_AT, SECONDS, SHOWN_EVERY = 120, 1_500, 5
"""Seconds until instances are taken away, of the simulation, and between two points of a chart."""
OBJECTIVE = 1.0
"""Seconds that a request may wait."""
UPDATE_LIMIT = 86_400.0
BAKE = "5m"
TAKEN_IN_BAKE = 60.0
"""Seconds after the beginning of the first bake."""
EXAMPLE = "payroll-fraud"
EXPLANATION = (
    f"What the other instances cannot carry waits, and autoscaling, which sees the queue, asks for up to {MOST}. In a"
    " test that is a pause; in production everybody waits. An update holds until the instances are back, since"
    " neither version is to blame; a version that loses all of them again and again while it has traffic is rolled"
    f" back, after {MOST_LOSSES + 1} times."
)


def simulate(chosen: Mapping[str, Any], now: datetime) -> dict[str, object]:
    """Simulate the capacity of an endpoint and an update of it."""
    place, startup = chosen["place"], float(chosen["start"])
    count, rate = SIZES[place]
    lost = {"none": 0, "one": 1, "half": max(1, count // 2), "all": count}[chosen["lost"]]
    trace = draw_arrivals([rate] * SECONDS, Random("spot 1").random)
    run = _serve(trace, count, lost, startup)
    requests, late = round(sum(trace)), round(sum(one.arrivals for one in run.moments if one.wait > OBJECTIVE))
    without = sum(not one.ready for one in run.moments)
    phase, seconds, journal = _update(count, lost, startup, now)
    fewest = min(one.ready for one in run.moments)
    return outcome(
        (
            (
                *("Requests that wait longer than a second", f"{100 * late / requests:.1f} %"),
                *(f"{late:,} of {requests:,}", "bad" if late else "good"),
            ),
            ("Seconds without an instance", f"{without:,}", f"{fewest} of {count} ready at the least", ""),
            (
                "Waits are over",
                f"after {format_clock(run.back_after)}",
                f"{max(one.desired for one in run.moments)} instances desired at the most",
                "",
            ),
            (
                "An update meanwhile",
                "passed" if phase == Phase.SUCCEEDED else str(phase),
                f"after {format_clock(seconds)}",
                "",
            ),
        ),
        f"Two minutes after the start {lost} of the instances, of which there are {count}, are"
        f" taken away; new ones are asked for at once and start within {STARTS[chosen['start']]}. {EXPLANATION}",
        charts=_draw_charts(trace, run),
        journal=("Journal of an update in which the same happens", journal),
        further=(
            "What the planner says of it",
            f"tidegate plan --example {EXAMPLE} --set environment={place} --set spot=true",
        ),
        facts={
            "late": late / requests,
            "without": without,
            "fewest": fewest,
            "phase": str(phase),
            "seconds": seconds,
            "desired": max(one.desired for one in run.moments),
        },
    )


def _draw_charts(trace: list[float], run: ScalingRun) -> list[Chart]:
    common = {"x": list(range(0, SECONDS, SHOWN_EVERY)), "clock": True, "across": "minutes", "marks": [TAKEN_AT]}
    shown = run.moments[::SHOWN_EVERY]
    carried = line("requests/s that ready instances carry", [one.ready * INSTANCE.rate for one in shown], 1)
    return [
        (
            {**common, "series": [line("requests/s that come", trace[::SHOWN_EVERY], 0), carried], "steps": True},
            "What comes, and what the ready instances carry",
            "The vertical line is the interruption.",
        ),
        (
            {**common, "series": [line("requests that wait", [round(one.queue) for one in shown], 3)]},
            "Requests that wait for an instance",
            "A client that gives up earlier, or the queue's limit, turns them into errors.",
        ),
    ]


def _serve(trace: list[float], count: int, lost: int, startup: float) -> ScalingRun:
    target = ScalableTarget("fraud", "AllTraffic", Dimension.INSTANCES, count, MOST, START)
    rule = FastPolicy("fast", in_flight=INSTANCE.slots * 0.7, queue_time=0.05)
    instances = InstanceModel(start_up=startup)
    return ScalingSimulation(
        target, [rule], trace, instances=instances, count=count, objective=OBJECTIVE, losses={TAKEN_AT: lost}
    ).run()


def _update(count: int, lost: int, startup: float, now: datetime) -> tuple[Phase, float, list[dict[str, Any]]]:
    """A canary, in whose first bake the instances of both versions vanish. The machine decides as in production."""
    form = {**DEFAULTS, "strategy": "canary", "wait": BAKE, "final_bake": "1m", "instances": str(count)}
    desired = spec.parse(build_spec(form), now)
    recorder, when = TimelineRecorder(), When(Phase.BAKING, after=TAKEN_IN_BAKE)
    world = make_updating_world(
        *make_versions(desired),
        desired.deployment,
        physics=WorldTiming(startups=(startup,)),
        script=[ReplicasDie(when, side, lost) for side in RolloutSide if lost],
        watchers=(recorder,),
    )
    world.run(UPDATE_LIMIT, settled=lambda world: world.record is None or world.record.rollout is None)
    lines = [
        {
            "clock": format_clock(one.at),
            "said": f"{event.message} ({one.old_ready} old and {one.new_ready} new ready)",
            "kind": "",
        }
        for one in recorder.moments
        for event in one.events
    ]
    assert world.record is not None and world.record.last is not None
    return world.record.last.phase, world.now, lines


SPOT_LESSON = Lesson(
    "spot",
    "Spot instances are taken away",
    "They cost less and may vanish at two minutes' notice. What is that in a test, and what in production?",
    simulation=Simulation(
        simulate,
        (
            Choice("place", "What runs on Spot", PLACES, "production"),
            Choice("lost", "Taken away at once", LOSSES, "half"),
            Choice("start", "A new instance is there within", STARTS, "120"),
        ),
    ),
)
