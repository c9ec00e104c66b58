"""The metrics of a drift schedule's looks and of a monitoring schedule's executions, for ordinary alarms. Pure."""

from tidegate.domain.drift import DriftOutcome, DriftVerdict
from tidegate.domain.metric import BIAS, DATA_QUALITY, DRIFT, MODEL_QUALITY, MetricId, Sample
from tidegate.domain.monitoring_schedule import (
    ExecutionOutcome,
    ExecutionStatus,
    FacetMetric,
    MonitoringSchedule,
    MonitoringType,
)
from tidegate.monitoring import sketch
from tidegate.monitoring.finite import LARGEST

_NAMESPACES = {
    MonitoringType.DATA_QUALITY: DATA_QUALITY,
    MonitoringType.MODEL_QUALITY: MODEL_QUALITY,
    MonitoringType.MODEL_BIAS: BIAS,
}
LONGEST_NAME = 255
"""Characters of a metric's name."""


def drift_samples(endpoint: str, outcome: DriftOutcome, second: int) -> list[Sample]:
    """``Unknown`` is there after each look; the others only where there is something to say, so that silence never
    counts as no drift."""
    unknown = outcome.verdict is DriftVerdict.UNKNOWN
    values = {"Unknown": float(unknown)}
    named = {"EndpointName": endpoint}
    if not unknown:
        values["Drift"] = float(outcome.verdict is DriftVerdict.DRIFT)
        values["DriftedColumns"] = float(outcome.drifted)
        values["Violations"] = float(outcome.total)
        values["Rows"] = float(outcome.rows)
    made = [_sample(MetricId.of(DRIFT, name, named), value, second) for name, value in values.items()]
    for column, distance in outcome.distances.items():
        if is_dimension(column):
            made.append(_sample(MetricId.of(DRIFT, "Distance", {**named, "Column": column}), distance, second))
    return made


def execution_samples(schedule: MonitoringSchedule, outcome: ExecutionOutcome, second: int) -> list[Sample]:
    """SageMaker's metrics, unless the job definition turns them off. A failed execution has none."""
    if outcome.status is ExecutionStatus.FAILED or not schedule.job.publishes:
        return []
    named = {"Endpoint": schedule.job.endpoint, "MonitoringSchedule": schedule.name}
    namespace = _NAMESPACES[schedule.job.type]
    plain = [FacetMetric(name, value, {}) for name, value in outcome.metrics.items()]
    return [
        _sample(MetricId.of(namespace, one.name, named | one.dimensions), one.value, second)
        for one in (*plain, *outcome.faceted)
        if is_dimension(one.name)
        and len(one.name) <= LONGEST_NAME
        and abs(one.value) <= LARGEST
        and all(map(is_dimension, one.dimensions.values()))
    ]


def is_dimension(text: str) -> bool:
    """Whether CloudWatch would take it for the value of a dimension."""
    return 0 < len(text) <= 1024 and text.isascii() and text.isprintable() and bool(text.strip())


def _sample(metric: MetricId, value: float, second: int) -> Sample:
    return Sample(metric, second, 1.0, value, value, value, {sketch.index(value): 1.0})
