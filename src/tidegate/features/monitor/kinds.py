"""The records that monitor keeps."""

from typing import Any

from tidegate.features.monitor.processing_records import ProcessingJob
from tidegate.features.monitor.schedule_records import MonitoringExecution, MonitoringJob, MonitoringSchedule
from tidegate.ports.store import Kind

QUALITY_JOB = Kind("quality-job", MonitoringJob)
MODEL_QUALITY_JOB = Kind("model-quality-job", MonitoringJob)
MODEL_BIAS_JOB = Kind("model-bias-job", MonitoringJob)
PROCESSING = Kind("processing-job", ProcessingJob)
MONITORING_SCHEDULE = Kind("monitoring-schedule", MonitoringSchedule)
EXECUTION = Kind("monitoring-execution", MonitoringExecution)
KINDS: tuple[Kind[Any], ...] = (
    QUALITY_JOB,
    MODEL_QUALITY_JOB,
    MODEL_BIAS_JOB,
    PROCESSING,
    MONITORING_SCHEDULE,
    EXECUTION,
)
TAGGABLE: dict[str, Kind[Any]] = {
    "data-quality-job-definition": QUALITY_JOB,
    "model-quality-job-definition": MODEL_QUALITY_JOB,
    "model-bias-job-definition": MODEL_BIAS_JOB,
    "processing-job": PROCESSING,
    "monitoring-schedule": MONITORING_SCHEDULE,
}
"""By the type of the resource in its ARN."""
