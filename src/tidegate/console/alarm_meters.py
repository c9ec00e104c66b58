"""Alarms against their thresholds, as rows of tables. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from tidegate.console.figures import UNKNOWN, format_milliseconds, format_percent
from tidegate.domain.alarm import Alarm, ComparisonOperator
from tidegate.monitoring.samples import Datapoint, parse_trimmed

SIGNS: Mapping[ComparisonOperator, str] = {
    ComparisonOperator.GREATER: "above",
    ComparisonOperator.GREATER_OR_EQUAL: "at least",
    ComparisonOperator.LESS: "below",
    ComparisonOperator.LESS_OR_EQUAL: "at most",
}
TONES: Mapping[str, str] = {"OK": "good", "ALARM": "bad", "INSUFFICIENT_DATA": "warn"}
MICROSECONDS = ("ModelLatency", "OverheadLatency", "ModelSetupTime")
FRACTIONS = ("Invocation4XXErrors", "Invocation5XXErrors", "InvocationModelErrors")
PLACE = 90.0
"""Place of the threshold on a meter of 100."""


def alarm_row(alarm: Alarm, points: Sequence[Datapoint | None]) -> dict[str, Any]:
    """Make the row of an alarm. ``points`` has the values of the last periods, newest last, with None where there is
    no data; it is empty for a composite alarm."""
    value = next((point.value for point in reversed(points) if point is not None), None)
    breaches = value is not None and alarm.comparison.breaches(value, alarm.threshold)
    return {
        "name": alarm.name,
        "state": str(alarm.state),
        "tone": TONES[alarm.state],
        "condition": alarm.rule
        or f"{alarm.subject} {SIGNS[alarm.comparison]} {format_value(alarm, alarm.threshold)}",
        "window": "composite" if alarm.rule else _format_window(alarm),
        "value": UNKNOWN if value is None else format_value(alarm, value),
        "breaches": breaches,
        "meter": None if value is None else meter(value, alarm.threshold),
        "reason": alarm.state_reason,
    }


def _format_window(alarm: Alarm) -> str:
    return f"{alarm.datapoints_to_alarm} of {alarm.evaluation_periods} periods of {alarm.period} s"


def missing_row(name: str) -> dict[str, Any]:
    """An alarm that is named but not there, which protects nothing."""
    return {
        "name": name,
        "state": "missing",
        "tone": "bad",
        "condition": "there is no alarm of this name",
        "window": "",
        "value": UNKNOWN,
        "breaches": False,
        "meter": None,
        "reason": "",
    }


def format_value(alarm: Alarm, value: float) -> str:
    trimmed = parse_trimmed(alarm.statistic)
    if trimmed is not None and trimmed.kind in ("TC", "PR"):
        return f"{value:,.4g}"
    if alarm.metric in MICROSECONDS and alarm.statistic != "SampleCount":
        return f"{value:.3g} µs" if 0 < value < 100 else format_milliseconds(value / 1000)
    if alarm.metric in FRACTIONS and alarm.statistic == "Average":
        return format_percent(value)
    return f"{value:,.4g}"


def meter(value: float, threshold: float) -> float | None:
    """Return where a value is on a meter of 100 whose threshold is at ``PLACE``; None if no scale makes sense."""
    if threshold <= 0 or value < 0:
        return None
    return round(min(100.0, PLACE * value / threshold), 1)
