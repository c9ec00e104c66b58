"""Alarms: a threshold over a metric, evaluated M out of N."""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from tidegate.domain.metric import Query
from tidegate.domain.registry import SecretReference


class AlarmState(StrEnum):
    OK = "OK"
    ALARM = "ALARM"
    INSUFFICIENT_DATA = "INSUFFICIENT_DATA"


class MissingData(StrEnum):
    """Treatment of a period without data (CloudWatch's TreatMissingData)."""

    MISSING = "missing"
    IGNORE = "ignore"
    BREACHING = "breaching"
    NOT_BREACHING = "notBreaching"


class ComparisonOperator(StrEnum):
    GREATER_OR_EQUAL = "GreaterThanOrEqualToThreshold"
    GREATER = "GreaterThanThreshold"
    LESS = "LessThanThreshold"
    LESS_OR_EQUAL = "LessThanOrEqualToThreshold"

    def breaches(self, value: float, threshold: float) -> bool:
        return COMPARISONS[self](value, threshold)


COMPARISONS: Mapping[ComparisonOperator, Callable[[float, float], bool]] = {
    ComparisonOperator.GREATER_OR_EQUAL: operator.ge,
    ComparisonOperator.GREATER: operator.gt,
    ComparisonOperator.LESS: operator.lt,
    ComparisonOperator.LESS_OR_EQUAL: operator.le,
}
"""Value and threshold -> whether the value breaches; for those who compare often."""


@dataclass(frozen=True)
class Signal:
    """A number from outside the platform: what a Prometheus server answers to a ``query`` in PromQL, or what is at
    the path ``value`` of the JSON document at ``url``. One of the two is empty."""

    url: str
    query: str = ""
    value: str = ""
    headers: Mapping[str, str | SecretReference] = field(default_factory=dict)
    """Sent with each request."""


@dataclass(frozen=True)
class Alarm:
    """One alarm and its present state. ``statistic`` is Sum, Average, Minimum, Maximum, SampleCount, a percentile
    such as p99 or p99.9, or trimmed (tm90). ``period`` is seconds: 1, 5, 10, 20, 30 or a multiple of 60. Over metric
    math ``namespace``, ``metric``, ``dimensions`` and ``statistic`` are empty, and ``queries`` is not. A composite
    alarm has a ``rule`` over other alarms instead of a metric, and nothing of a metric alarm has a meaning."""

    name: str
    namespace: str
    metric: str
    dimensions: dict[str, str]
    statistic: str
    period: int
    evaluation_periods: int
    datapoints_to_alarm: int
    threshold: float
    comparison: ComparisonOperator
    configured_at: datetime
    missing: MissingData = MissingData.MISSING
    unit: str | None = None
    description: str | None = None
    actions_enabled: bool = True
    ok_actions: tuple[str, ...] = ()
    alarm_actions: tuple[str, ...] = ()
    insufficient_data_actions: tuple[str, ...] = ()
    ignore_low_samples: bool = False
    """EvaluateLowSampleCountPercentile=ignore: keep the state while a percentile has too few samples."""
    state: AlarmState = AlarmState.INSUFFICIENT_DATA
    state_reason: str = "Unchecked: Initial alarm creation"
    state_reason_data: str | None = None
    state_updated_at: datetime | None = None
    state_changed_at: datetime | None = None
    queries: tuple[Query, ...] = ()
    rule: str = ""
    """CloudWatch's AlarmRule."""
    signal: Signal | None = None
    """What the values of its metric are read from; None: the platform or its clients measure the metric."""
    wire: dict[str, object] = field(default_factory=dict)

    def same_definition(self, other: "Alarm") -> bool:
        """Whether both evaluate alike: state, actions, description and time of definition are ignored."""
        return _definition(self) == _definition(other)

    @property
    def subject(self) -> str:
        """The metric, expression or rule that the alarm watches, for display."""
        if self.rule:
            return self.rule
        if self.signal is not None:
            return self.signal.query or f"{self.signal.value} of {self.signal.url}"
        if not self.queries:
            return f"{self.statistic} of {self.metric}"
        return next(query.expression or query.id for query in self.queries if query.returned)


def _definition(alarm: Alarm) -> Alarm:
    return replace(
        alarm,
        configured_at=datetime.min,
        description=None,
        actions_enabled=True,
        ok_actions=(),
        alarm_actions=(),
        insufficient_data_actions=(),
        state=AlarmState.INSUFFICIENT_DATA,
        state_reason="",
        state_reason_data=None,
        state_updated_at=None,
        state_changed_at=None,
        wire={},
    )
