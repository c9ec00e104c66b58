"""Alarms and comparisons of versions against their thresholds, as rows of tables. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from tidegate.console.figures import UNKNOWN, format_milliseconds, format_percent
from tidegate.domain.alarm import Alarm, ComparisonOperator
from tidegate.domain.evidence import (
    OF_PAIRS,
    Comparison,
    ComparisonResult,
    EvidenceAction,
    EvidenceConfig,
    EvidenceRecord,
    Finding,
    Measurement,
)
from tidegate.features.evidence.measures import measured_cells
from tidegate.features.evidence.pairs import format_estimate
from tidegate.monitoring.datapoint import Datapoint
from tidegate.monitoring.samples import parse_trimmed

SIGNS: Mapping[ComparisonOperator, str] = {
    ComparisonOperator.GREATER: "above",
    ComparisonOperator.GREATER_OR_EQUAL: "at least",
    ComparisonOperator.LESS: "below",
    ComparisonOperator.LESS_OR_EQUAL: "at most",
}
TONES: Mapping[str, str] = {"OK": "good", "ALARM": "bad", "INSUFFICIENT_DATA": "warn"}
MICROSECONDS = ("ModelLatency", "OverheadLatency", "ModelSetupTime")
FRACTIONS = ("Invocation4XXErrors", "Invocation5XXErrors", "InvocationModelErrors")
FINDINGS: Mapping[Finding, tuple[str, str]] = {
    Finding.PASS: ("not worse", "good"),
    Finding.FAIL: ("worse", "bad"),
    Finding.NO_DATA: ("too few requests", "warn"),
    Finding.UNDECIDED: ("not known yet", "warn"),
}
ACTIONS: Mapping[EvidenceAction, str] = {
    EvidenceAction.ROLLBACK: "At 1 the new version is rolled back.",
    EvidenceAction.GATE: "At 1 the stage holds until a person promotes or rolls back.",
    EvidenceAction.REPORT: "At 1 it is reported, and the rollout goes on.",
}
PLACE = 60.0
"""Place of the threshold on a meter of 100."""


def alarm_row(alarm: Alarm, points: Sequence[Datapoint | None]) -> dict[str, Any]:
    """``points``: values of the last periods, newest last, None where there is no data; none of a composite alarm."""
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
    """Where a value is on a meter of 100 whose threshold is at ``PLACE``; None where no scale makes sense."""
    if threshold <= 0 or value < 0:
        return None
    return round(min(100.0, PLACE * value / threshold), 1)


def describe_action(config: EvidenceConfig | None) -> str:
    """What a rollout does with a difference between its versions; None: it has no ``evidence`` settings."""
    if config is None:
        return "It decides nothing here: the rollout's settings do not ask for it."
    if (
        Comparison.FEATURES in config.compare
        and config.on_features is not config.action is EvidenceAction.ROLLBACK
    ):
        return f"{ACTIONS[config.action]} If features alone differ, the stage holds until a person decides."
    return ACTIONS[config.action]


def evidence_rows(record: EvidenceRecord) -> list[dict[str, Any]]:
    """A row for each comparison: the failing parts of both versions, and how much of the evidence that a failure
    needs has come together."""
    rows = []
    for one in record.verdict.results:
        old, old_hits, new, new_hits = one.counts
        words, tone = name_finding(one.finding, one.rising)
        rows.append(
            {
                "comparison": str(one.comparison),
                "variant": one.variant,
                "finding": words,
                "tone": tone,
                "old": f"{format_percent(old_hits / old if old else None)} of {old:,}",
                "new": f"{format_percent(new_hits / new if new else None)} of {new:,}",
                "meter": meter(max(0.0, one.evidence), 1.0),
                "evidence": f"{max(0.0, one.evidence):.2f}",
                "stage": "{:,} / {:,}".format(*one.stage_requests),
                "measured": [_measured_row(each) for each in one.measurements],
                **(_pairs_row(one) if one.comparison in OF_PAIRS else {}),
            }
        )
    return rows


def name_finding(finding: Finding, rising: bool) -> tuple[str, str]:
    """In words, with the tone."""
    words, tone = FINDINGS[finding]
    return ("may be worse" if rising and finding is Finding.UNDECIDED else words), tone


def _measured_row(one: Measurement) -> dict[str, str]:
    test, _, estimate, bounds, tolerance, count = measured_cells(one)
    words, tone = name_finding(one.finding, one.rising)
    said = {"test": test, "estimate": estimate, "bounds": bounds, "tolerance": tolerance, "count": count}
    return {**said, "finding": words, "tone": tone}


def _pairs_row(result: ComparisonResult) -> dict[str, str]:
    """Of pairs there is one number, which says how much the new version differs."""
    return {
        "old": result.test or "-",
        "new": format_estimate(result.test, result.pairs),
        "stage": f"{result.stage_requests[0]:,} of {result.lost[0]:,}",
    }
