"""A tenfold peak: the requests rise within seconds, and instances have to follow. Pure."""

from collections.abc import Mapping
from datetime import datetime
from random import Random
from typing import Any

from tidegate.console.figures import UNKNOWN, format_clock, format_milliseconds
from tidegate.domain.scaling import (
    CalendarPeak,
    CalendarPolicy,
    Dimension,
    FastPolicy,
    PredefinedMetricType,
    ScalableTarget,
    ScalingPolicy,
    TargetTracking,
)
from tidegate.features.autoscaling.simulation import START, InstanceModel, ScalingRun, ScalingSimulation
from tidegate.features.lessons.lesson import (
    LAST_ANSWERS,
    Chart,
    Choice,
    DeployVersion,
    Judgement,
    Lesson,
    LessonMoment,
    LessonStep,
    RunPlaces,
    SendRequests,
    Simulation,
    await_start,
    keep_first,
    line,
    outcome,
)
from tidegate.features.lessons.model_files import write_model
from tidegate.features.lessons.run_records import LessonVerdict
from tidegate.simulation.arrivals import draw_arrivals, ramp

FACTOR = 10.0
"""How many times the requests in the peak."""
CALM = 8.0
"""Requests per second before the peak: few, so that the machine has little work."""
MOST = 4
"""Instances."""
WANTED = 3.3
"""Instances that the peak asks for by the target, which is set from what a request takes here."""
MEASURED, PEAK_LASTS, BACK = 4.0, 15.0, 40.0
"""Seconds of measuring a request, of the peak, and at the most of waiting until instances have gone again."""
WINDOW = 5
"""Seconds for which less has to be enough before an instance goes."""


def choose_target(service: float) -> float:
    """Requests at one time that an instance should have, so that the peak asks for WANTED of them. ``service``:
    milliseconds of one request."""
    return max(1e-6, CALM * FACTOR * service / 1_000 / WANTED)


def _describe_spec(base: Mapping[str, Any], places: RunPlaces, target: float | None) -> dict[str, Any]:
    if target is None:
        return dict(base)
    return {**base, "autoscaling": {"min": 1, "max": MOST, "target": target, "scale_in_after": f"{WINDOW}s"}}


def _scale(at: LessonMoment) -> tuple[DeployVersion]:
    assert at.facts.service is not None
    return (DeployVersion("v1", choose_target(at.facts.service)),)


def _remember(at: LessonMoment, second: float) -> dict[str, Any]:
    """Instances before the peak, the most that were ready since, and those at last."""
    ready, desired, service = at.facts.ready, at.facts.desired, at.facts.service
    marks = keep_first(at.marks, "service", service is not None, service)
    if ready is None or desired is None:
        return marks
    marks |= {"largest": max(ready, at.marks.get("largest", 0)), "last": desired}
    return marks | keep_first(at.marks, "before", at.facts.scaled, ready)


def _judge(at: LessonMoment) -> Judgement:
    facts, before, largest = at.facts, at.marks.get("before"), at.marks.get("largest", 0)
    if facts.failed:
        return Judgement(LessonVerdict.NOT_SHOWN, f"{facts.failed:,} of {facts.sent:,} requests failed")
    if before is None or largest <= before:
        return Judgement(LessonVerdict.NOT_SHOWN, f"no instance was added: {largest} was the most")
    back = f"{at.marks['last']} at last" if at.marks["last"] < largest else "and none has gone yet"
    said = f"{before} to {largest} instances, {back}; all {facts.answered:,} requests were answered"
    return Judgement(LessonVerdict.SHOWN, said)


def _describe(picture: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    marks = picture["marks"]
    desired, ready = (UNKNOWN if picture[one] is None else str(picture[one]) for one in ("desired", "ready"))
    return [
        ("Instances ready", ready, f"{desired} desired, {marks.get('largest', UNKNOWN)} at most"),
        (
            *("A request takes", format_milliseconds(marks.get("service"))),
            "measured before the peak; the rule is set from it",
        ),
    ]


# --- on a virtual clock: the real rules of autoscaling ---

SIMULATED_CALM = 20.0
BEFORE, RISE, PEAK, AFTER = 300, 10, 890, 1_200
"""Seconds."""
SIMULATED_MOST = 12
OBJECTIVE = 0.05
"""Seconds that a request may wait for its turn."""
SHOWN_EVERY = 10
"""Seconds between two points of a chart."""
INSTANCE = InstanceModel()
HEADROOM = 0.7
"""The part of its capacity that an instance should have to do."""
FAST = FastPolicy("fast", in_flight=INSTANCE.slots * HEADROOM, queue_time=OBJECTIVE)
CALENDAR = CalendarPolicy("calendar", (CalendarPeak("peak", "at(2030-01-07T00:05:00)", 900.0, 8),), margin=5.0)
RULES: dict[str, tuple[ScalingPolicy, ...]] = {
    "calendar": (FAST, CALENDAR),
    "fast": (FAST,),
    "tracking": (TargetTracking("tracking", INSTANCE.slots * HEADROOM, PredefinedMetricType.CONCURRENT),),
    "none": (),
}
RULE_TITLES: Mapping[str, str] = {
    "calendar": "By the calendar, and by what is in flight",
    "fast": "By what is in flight, within seconds",
    "tracking": "Target tracking, as on AWS",
    "none": "None: one instance",
}
STARTUPS = {one: f"{one} s" for one in ("1", "5", "30", "120")}


def simulate(chosen: Mapping[str, Any], now: datetime) -> dict[str, object]:
    """The peak with the rule, and with one instance that nobody adds to."""
    rates = ramp(SIMULATED_CALM, SIMULATED_CALM * FACTOR, before=BEFORE, rise=RISE, after=PEAK)
    trace = draw_arrivals(rates + [SIMULATED_CALM] * AFTER, Random("peak 1").random)
    startup = float(chosen["startup"])
    ruled, alone = _run(RULES[chosen["rule"]], trace, startup), _run((), trace, startup)
    largest = max(moment.desired for moment in ruled.moments)
    late, alone_late = _count_late(ruled), _count_late(alone)
    requests = round(sum(trace))
    activities = [
        {"clock": format_clock(round((one.started - START).total_seconds())), "said": one.cause, "kind": ""}
        for one in ruled.activities[:8]
    ]
    hours, fixed = ruled.instance_hours, largest * len(trace) / 3600
    return outcome(
        (
            (
                "Requests that waited longer than 50 ms",
                f"{100 * late / requests:.2f} %",
                f"{late:,} of {requests:,}",
                "",
            ),
            ("Longest wait", f"{ruled.longest_wait:.1f} s", "", ""),
            (
                *("Instances", f"1 to {largest}"),
                *(f"{hours:.1f} instance-hours, {fixed:.1f} with as many all the time", ""),
            ),
            (
                *("With one instance", f"{100 * alone_late / requests:.0f} %"),
                *(f"of the requests waited, the last for {alone.longest_wait / 60:.0f} min", ""),
            ),
        ),
        "20 requests a second become 200 within ten seconds and stay for a quarter of an hour. An instance takes 40 a"
        " second; twelve are allowed. The rules see what they see in life: what is in flight, how long the newest"
        " request waited, and the same alarms. What comes without a warning is caught up after one start of an"
        " instance; what is in the calendar is met by instances that are there before.",
        charts=_draw_charts(ruled, alone, trace),
        journal=("Why instances were added and removed", activities) if activities else None,
        further=("With real processes and the dollars of both", "python -m bench.peak"),
        facts={
            **{"late": late / requests, "alone_late": alone_late / requests, "largest": largest},
            **{"breaches": ruled.breaches, "alone_breaches": alone.breaches},
        },
    )


def _draw_charts(ruled: ScalingRun, alone: ScalingRun, trace: list[float]) -> list[Chart]:
    moments = ruled.moments[::SHOWN_EVERY]
    common = {"x": [SHOWN_EVERY * place for place in range(len(moments))], "clock": True, "across": "minutes"}
    waits = [
        line(name, [max(0.01, round(one.wait, 3)) for one in run.moments[::SHOWN_EVERY]], look)
        for name, run, look in (("with the rule", ruled, 1), ("one instance", alone, 3))
    ]
    arrivals = line("requests/s that come", trace[::SHOWN_EVERY], 0)
    carried = line("requests/s that the ready instances carry", [one.ready * INSTANCE.rate for one in moments], 1)
    return [
        (
            {**common, "series": [arrivals, carried], "steps": True},
            "What comes, and what the ready instances carry",
            "Where the dashed line is below the other, requests wait.",
        ),
        (
            {**common, "series": waits, "log_up": True, "after": " s"},
            "Seconds that a request waits for its turn",
            "Logarithmic; below a hundredth of a second counts as that.",
        ),
    ]


def _run(policies: tuple[ScalingPolicy, ...], trace: list[float], startup: float) -> ScalingRun:
    target = ScalableTarget("fraud", "AllTraffic", Dimension.INSTANCES, 1, SIMULATED_MOST, START)
    instances = InstanceModel(start_up=startup)
    return ScalingSimulation(target, policies, trace, instances=instances, objective=OBJECTIVE).run()


def _count_late(run: ScalingRun) -> int:
    """Requests that waited longer than the objective."""
    return round(sum(moment.arrivals for moment in run.moments if moment.wait > run.objective))


PEAK_LESSON = Lesson(
    "peak",
    "A tenfold peak",
    "Year end comes within seconds, and latency may not follow.",
    f"{CALM:.0f} requests a second become {CALM * FACTOR:.0f} from one second to the next, for {PEAK_LASTS:.0f} s or"
    f" until the instances are there; autoscaling may start up to {MOST}. The rule is set from what a request takes,"
    f" so that the peak asks for {WANTED:g} of them: your machine has little work.",
    (
        await_start(1),
        LessonStep(
            "measure",
            f"{CALM:.0f} requests a second: what one takes is measured",
            acts=lambda at: (SendRequests(CALM),),
            is_done=lambda at: at.seconds >= MEASURED and at.facts.service is not None and at.facts.service > 0,
            limit=30.0,
            missed="how long a request takes could not be measured",
        ),
        LessonStep(
            "scale",
            f"Autoscaling from 1 to {MOST} instances",
            acts=_scale,
            is_done=lambda at: at.facts.scaled and at.seconds >= 2.0,
            limit=20.0,
            missed="the rule did not come into force",
        ),
        LessonStep(
            "peak",
            f"The peak: {CALM * FACTOR:.0f} requests a second",
            acts=lambda at: (SendRequests(CALM * FACTOR),),
            is_done=lambda at: (
                at.seconds >= PEAK_LASTS and at.facts.ready is not None and at.facts.ready == at.facts.desired
            ),
            limit=PEAK_LASTS + 60.0,
            missed="instances were asked for that did not come",
        ),
        LessonStep(
            "calm",
            f"{CALM:.0f} requests a second again",
            acts=lambda at: (SendRequests(CALM),),
            is_done=lambda at: at.facts.desired is not None and at.facts.desired <= at.marks.get("before", 1),
            limit=BACK,
            optional=True,
        ),
        LAST_ANSWERS,
    ),
    versions={"v1": write_model(0.25, 0.75)},
    instances=MOST,
    spec=_describe_spec,
    remember=_remember,
    judge=_judge,
    stats=_describe,
    plots=("instances",),
    commands=(
        ("Bounds, rule and activities", "tidegate show scaling {endpoint}"),
        ("Instances now", "tidegate status {endpoint}"),
    ),
    simulation=Simulation(
        simulate,
        (
            Choice("rule", "How instances are added", RULE_TITLES, "fast"),
            Choice("startup", "An instance starts within", STARTUPS, "5"),
        ),
    ),
)
