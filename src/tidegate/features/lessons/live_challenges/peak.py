"""Live autoscaling: ten times the requests from one second to the next, and instances that follow. Pure."""

from collections.abc import Mapping
from typing import Any

from tidegate.features.lessons.challenge_records import Verdict
from tidegate.features.lessons.live_challenges.model_files import write_model
from tidegate.features.lessons.live_challenges.progress import (
    LAST_ANSWERS,
    Challenge,
    Deploy,
    Judgement,
    LiveStage,
    Moment,
    Send,
    await_start,
)

CALM, FACTOR = 8.0, 10.0
"""Requests per second before the peak, and how many times that in it: few, so that the machine has little work."""
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


def describe_spec(spec: Mapping[str, Any], target: float | None) -> dict[str, Any]:
    if target is None:
        return dict(spec)
    rule = {"min": 1, "max": MOST, "target": target, "scale_in_after": f"{WINDOW}s"}
    return {**spec, "autoscaling": rule}


def _measured(at: Moment) -> bool:
    return at.seconds >= MEASURED and at.facts.service is not None and at.facts.service > 0


def _scale(at: Moment) -> tuple[Deploy]:
    assert at.facts.service is not None
    return (Deploy("v1", choose_target(at.facts.service)),)


CHALLENGE = Challenge(
    "peak",
    {"v1": write_model(0.25, 0.75)},
    MOST,
    (
        await_start(1),
        LiveStage(
            f"{CALM:.0f} requests a second: what one takes is measured",
            30.0,
            _measured,
            "how long a request takes could not be measured",
            lambda at: (Send(CALM),),
        ),
        LiveStage(
            f"Autoscaling from 1 to {MOST} instances",
            20.0,
            lambda at: at.facts.scaled and at.seconds >= 2.0,
            "the rule did not come into force",
            _scale,
        ),
        LiveStage(
            f"The peak: {CALM * FACTOR:.0f} requests a second",
            PEAK_LASTS + 60.0,
            lambda at: (
                at.seconds >= PEAK_LASTS and at.facts.ready is not None and at.facts.ready == at.facts.desired
            ),
            "instances were asked for that did not come",
            lambda at: (Send(CALM * FACTOR),),
        ),
        LiveStage(
            f"{CALM:.0f} requests a second again",
            BACK,
            lambda at: at.facts.desired is not None and at.facts.desired <= at.marks.get("before", 1),
            "",
            lambda at: (Send(CALM),),
            optional=True,
        ),
        LAST_ANSWERS,
    ),
    lambda at, second: _remember(at),
    lambda at: _judge(at),
    f"{CALM:.0f} requests a second become {CALM * FACTOR:.0f} from one second to the next, for {PEAK_LASTS:.0f} s or"
    f" until the instances are there; autoscaling may start up to {MOST}. The rule is set from what a request takes,"
    f" so that the peak asks for {WANTED:g} of them: your machine has little work.",
    (("Bounds, rule and activities", "tidegate scaling {name}"), ("Instances now", "tidegate status {name}")),
)


def _remember(at: Moment) -> dict[str, Any]:
    """Instances before the peak, the most that were ready since, and those at last."""
    ready, desired, marks = at.facts.ready, at.facts.desired, dict[str, Any]()
    if at.facts.service is not None and "service" not in at.marks:
        marks["service"] = at.facts.service
    if ready is None or desired is None:
        return marks
    marks["largest"] = max(ready, at.marks.get("largest", 0))
    marks["last"] = desired
    if "before" not in at.marks and at.facts.scaled:
        marks["before"] = ready
    return marks


def _judge(at: Moment) -> Judgement:
    facts, before, largest = at.facts, at.marks.get("before"), at.marks.get("largest", 0)
    if facts.failed:
        return Judgement(Verdict.NOT_SHOWN, f"{facts.failed:,} of {facts.sent:,} requests failed")
    if before is None or largest <= before:
        return Judgement(Verdict.NOT_SHOWN, f"no instance was added: {largest} was the most")
    back = f"{at.marks['last']} at last" if at.marks["last"] < largest else "and none has gone yet"
    return Judgement(
        Verdict.SHOWN,
        f"{before} to {largest} instances, {back}; all {facts.answered:,} requests were answered",
    )
