"""The metrics of a drift schedule's looks and of a monitoring schedule's executions, for ordinary alarms. Pure."""

from tidegate.domain.drift import DriftOutcome, DriftVerdict
from tidegate.domain.metric import DATA_QUALITY, DRIFT, MetricId, Sample
from tidegate.domain.monitoring_schedule import MonitoringSchedule
from tidegate.monitoring import sketch

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


def execution_samples(schedule: MonitoringSchedule, outcome: DriftOutcome, second: int) -> list[Sample]:
    """SageMaker's metric of each column, unless the job definition turns that off. A failed execution has none."""
    if outcome.verdict is DriftVerdict.UNKNOWN or not schedule.job.publishes:
        return []
    named = {"Endpoint": schedule.job.endpoint, "MonitoringSchedule": schedule.name}
    distances = {f"feature_baseline_drift_{column}": far for column, far in outcome.distances.items()}
    return [
        _sample(MetricId.of(DATA_QUALITY, name, named), far, second)
        for name, far in distances.items()
        if is_dimension(name) and len(name) <= LONGEST_NAME
    ]


def is_dimension(text: str) -> bool:
    """Whether CloudWatch would take it for the value of a dimension."""
    return 0 < len(text) <= 1024 and text.isascii() and text.isprintable() and bool(text.strip())


def _sample(metric: MetricId, value: float, second: int) -> Sample:
    return Sample(metric, second, 1.0, value, value, value, {sketch.index(value): 1.0})
