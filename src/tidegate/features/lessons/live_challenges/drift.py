"""Live drift: what clients ask shifts, no request fails, a look at the captures finds it, an alarm goes off. Pure."""

from collections.abc import Mapping
from typing import Any

from tidegate.features.lessons.challenge_records import Verdict
from tidegate.features.lessons.live_challenges.model_files import GROWTH, write_model
from tidegate.features.lessons.live_challenges.progress import (
    LAST_ANSWERS,
    Challenge,
    Judgement,
    LiveStage,
    Moment,
    Send,
    await_start,
    keep_first,
)

RATE = 20.0
"""Requests per second."""
EVERY = 10
"""Seconds between two looks, the fewest that there may be."""
PERIOD = 10
"""Seconds of the alarm's period."""
LEAST_ROWS = 50
"""Without as many a look says nothing."""
BASELINE_ROWS = 2_000


def window(capture_seconds: int) -> int:
    """Seconds that a look covers: captures come ``capture_seconds`` late, and there are rows before that to find."""
    return -(-(capture_seconds + 2 * EVERY) // EVERY) * EVERY


def describe_spec(
    spec: Mapping[str, Any], *, captures: str, baseline: str, capture_seconds: int
) -> dict[str, Any]:
    """``captures`` and ``baseline`` are addresses."""
    alarm = {
        **{"namespace": "tidegate/Drift", "metric": "Drift", "dimensions": {"EndpointName": spec["endpoint"]}},
        **{"statistic": "Maximum", "at_least": 1, "period": f"{PERIOD}s", "periods": 1, "missing": "ignore"},
        **{"scope": "endpoint", "description": "What clients ask is not what it was."},
    }
    return {
        **spec,
        "capture": {"to": captures, "sides": ["input"], "keep": "64MiB"},
        "drift": {
            **{"baseline": baseline, "every": f"{EVERY}s", "window": f"{window(capture_seconds)}s"},
        },
        "alarms": {"drift": alarm},
        "rollout": {"strategy": "all_at_once", "alarms": []},
    }


def make_challenge(capture_seconds: int) -> Challenge:
    looks = capture_seconds + window(capture_seconds) + 5 * EVERY
    return Challenge(
        "drift",
        {"v1": write_model(0.25, 0.75)},
        1,
        (
            await_start(1),
            LiveStage(
                f"{RATE:.0f} requests a second, like the baseline",
                float(looks),
                lambda at: at.facts.drift == "no_drift" and at.facts.drift_rows >= LEAST_ROWS,
                f"no look found enough captured rows without drift within {looks} s",
                lambda at: (Send(RATE),),
            ),
            LiveStage(
                "The amounts have shifted",
                float(looks),
                lambda at: at.facts.drift == "drift",
                f"the shift was not found within {looks} s",
                lambda at: (Send(RATE, "shifted"),),
            ),
            LiveStage(
                "The alarm is judged",
                float(12 * PERIOD),
                lambda at: at.facts.alarm == "ALARM",
                f"the drift was found, and no alarm went off within {12 * PERIOD} s",
            ),
            LAST_ANSWERS,
        ),
        _remember,
        _judge,
        f"{RATE:.0f} requests a second, first like the baseline, then with amounts {GROWTH:g} times as large."
        f" What is captured is looked at every {EVERY} seconds, {window(capture_seconds)} seconds of it each time,"
        f" and an alarm of {PERIOD} seconds watches what is found. Captures come after {capture_seconds} s here.",
        (
            ("The schedule and its last look", "tidegate monitor show {name}"),
            ("Its alarm", "tidegate alarms"),
        ),
    )


def _remember(at: Moment, second: float) -> dict[str, Any]:
    shifted = at.facts.drift == "drift"
    was_found = shifted or "found" in at.marks
    found = {
        **keep_first(at.marks, "found", shifted, second),
        **keep_first(at.marks, "alarm", was_found and at.facts.alarm == "ALARM", second),
    }
    if shifted and at.facts.findings:
        found["findings"] = list(at.facts.findings[:3])
    if at.facts.alarm == "ALARM":
        found["alarm_reason"] = at.facts.alarm_reason
    return found


def _judge(at: Moment) -> Judgement:
    facts = at.facts
    if facts.failed:
        return Judgement(Verdict.NOT_SHOWN, f"{facts.failed} requests failed: this was more than drift")
    return Judgement(
        Verdict.SHOWN,
        f"all {facts.answered:,} requests were answered, the shift was found after"
        f" {at.marks['found']:.0f} s, and the alarm went off after {at.marks['alarm']:.0f} s",
    )
