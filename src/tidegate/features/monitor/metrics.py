"""The metrics of executions of a monitoring schedule, for ordinary alarms. Pure."""

from tidegate.domain.metric import BIAS, DATA_QUALITY, MODEL_QUALITY, MetricId, Sample
from tidegate.domain.monitoring_schedule import (
    ExecutionOutcome,
    ExecutionStatus,
    FacetMetric,
    MonitoringSchedule,
    MonitoringType,
)
from tidegate.features.drift.metrics import is_dimension, make_sample
from tidegate.monitoring.finite import LARGEST

_NAMESPACES = {
    MonitoringType.DATA_QUALITY: DATA_QUALITY,
    MonitoringType.MODEL_QUALITY: MODEL_QUALITY,
    MonitoringType.MODEL_BIAS: BIAS,
}


LONGEST_NAME = 255
"""Characters of a metric's name."""


def execution_samples(schedule: MonitoringSchedule, outcome: ExecutionOutcome, second: int) -> list[Sample]:
    """SageMaker's metrics, unless the job definition turns them off. A failed execution has none."""
    if outcome.status is ExecutionStatus.FAILED or not schedule.job.publishes:
        return []
    named = {"Endpoint": schedule.job.endpoint, "MonitoringSchedule": schedule.name}
    namespace = _NAMESPACES[schedule.job.type]
    plain = [FacetMetric(name, value, {}) for name, value in outcome.metrics.items()]
    return [
        make_sample(MetricId.of(namespace, one.name, named | one.dimensions), one.value, second)
        for one in (*plain, *outcome.faceted)
        if is_dimension(one.name)
        and len(one.name) <= LONGEST_NAME
        and abs(one.value) <= LARGEST
        and all(map(is_dimension, one.dimensions.values()))
    ]
