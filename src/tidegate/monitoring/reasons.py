"""Why an alarm is in its state, in CloudWatch's words (StateReason) and as data (StateReasonData)."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime

from tidegate.domain.alarm import Alarm, AlarmState, ComparisonOperator, MissingData
from tidegate.domain.metric_units import LATENCIES, RATES
from tidegate.monitoring.samples import Datapoint

LONGEST = 1023
"""Characters of a StateReason (the wire's limit)."""
SHOWN = 5
"""Points that the text quotes at most, the newest first."""
KEPT = 10
"""Points that the data holds at most, the newest ones (the wire allows 4,000 characters)."""

WORDS = {
    ComparisonOperator.GREATER: "greater than",
    ComparisonOperator.GREATER_OR_EQUAL: "greater than or equal to",
    ComparisonOperator.LESS: "less than",
    ComparisonOperator.LESS_OR_EQUAL: "less than or equal to",
}
TREATMENTS = {MissingData.BREACHING: "Breaching", MissingData.NOT_BREACHING: "NonBreaching"}


MADE_HERE = ("Threshold Crossed: ", "Insufficient Data: ")
MADE_BY_RULE = " transitioned to "


def is_given(alarm: Alarm) -> bool:
    """Whether somebody set the state by hand, with a reason of their own."""
    if alarm.state_reason_data is None:
        return True
    if alarm.rule:
        return MADE_BY_RULE not in alarm.state_reason
    return not alarm.state_reason.startswith(MADE_HERE)


def text(alarm: Alarm, state: AlarmState, used: Sequence[Datapoint], filled: int) -> str:
    """One line for people: what was seen, against which threshold."""
    if state is AlarmState.INSUFFICIENT_DATA:
        return f"Insufficient Data: {_count(filled, 'datapoint')} {_were(filled)} unknown."
    treated = _describe_treatment(alarm, filled)
    if not used:
        return f"Threshold Crossed: no datapoints were received for {_count(filled, 'period')}{treated}."
    crossed = f"{WORDS[alarm.comparison]} the threshold ({float(alarm.threshold)})"
    if state is AlarmState.OK:
        seen = f"{_count(len(used), 'datapoint')} {_quote(used)} {_were(len(used))} not {crossed}"
        return f"Threshold Crossed: {seen}{treated}."[:LONGEST]
    breaching = [p for p in used if alarm.comparison.breaches(p.value, alarm.threshold)]
    seen = f"{len(breaching)} out of the last {_count(len(used), 'datapoints', 'datapoints')}"
    least = f"(minimum {_count(alarm.datapoints_to_alarm, 'datapoint')} for OK -> ALARM transition)"
    line = f"Threshold Crossed: {seen} {_quote(breaching)} {_were(len(breaching))} {crossed} {least}{treated}."
    return line[:LONGEST]


def describe_breach(alarm: Alarm) -> str:
    """Describe the values by which an alarm went into ALARM, in the unit of its metric; empty for one that was set by
    hand, or that follows from other alarms or from missing data: ``Average of Invocation5XXErrors was 7.5 % and
    6.1 %, greater than the threshold of 2 %, in 2 of the last 3 periods of 10 s``."""
    if alarm.state is not AlarmState.ALARM or is_given(alarm) or alarm.rule:
        return ""
    found = json.loads(alarm.state_reason_data or "{}")
    values, limit = found.get("recentDatapoints", []), found.get("threshold", alarm.threshold)
    breaching = [value for value in values if alarm.comparison.breaches(value, limit)]
    if not breaching:
        return ""
    *others, last = (format_value(alarm.metric, value) for value in breaching[-SHOWN:])
    shown = f"{', '.join(others)} and {last}" if others else last
    crossed = f"{WORDS[alarm.comparison]} the threshold of {format_value(alarm.metric, limit)}"
    often = "a period" if len(values) == 1 else f"{len(breaching)} of the last {len(values)} periods"
    return f"{alarm.subject} was {shown}, {crossed}, in {often} of {found.get('period', alarm.period)} s"


def format_value(metric: str, value: float) -> str:
    """Format a value of a metric, for people."""
    if metric in RATES:
        return f"{value * 100:.4g} %"
    return f"{value / 1000:,.4g} ms" if metric in LATENCIES else f"{value:.4g}"


def data(alarm: Alarm, used: Sequence[Datapoint], now: datetime) -> str:
    """The same as JSON; points oldest first."""
    kept = used[-KEPT:]
    body: dict[str, object] = {
        "version": "1.0",
        "queryDate": _stamp(now),
        "period": alarm.period,
        "recentDatapoints": [p.value for p in kept],
        "threshold": float(alarm.threshold),
        "evaluatedDatapoints": [
            {"timestamp": _stamp(datetime.fromtimestamp(p.at, UTC)), "sampleCount": p.samples, "value": p.value}
            for p in kept
        ],
    }
    if alarm.statistic:
        body["statistic"] = alarm.statistic
    if used:
        body["startDate"] = _stamp(datetime.fromtimestamp(used[0].at, UTC))
    if alarm.unit is not None:
        body["unit"] = alarm.unit
    return json.dumps(body)


def _describe_treatment(alarm: Alarm, filled: int) -> str:
    if not filled or alarm.missing not in TREATMENTS:
        return ""
    how = TREATMENTS[alarm.missing]
    return f" and {_count(filled, 'missing datapoint')} {_were(filled)} treated as [{how}]"


def _quote(points: Sequence[Datapoint]) -> str:
    newest = list(reversed(points))
    parts = [f"{float(p.value)} ({datetime.fromtimestamp(p.at, UTC):%d/%m/%y %H:%M:%S})" for p in newest[:SHOWN]]
    return f"[{', '.join(parts + ['...'] * (len(newest) > SHOWN))}]"


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def _were(number: int) -> str:
    return "was" if number == 1 else "were"


def _stamp(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}+0000"
