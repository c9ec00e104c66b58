"""Use cases of monitoring schedules: define jobs, schedule them, find what is due, keep what executions came to."""

import hashlib
import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from tidegate.domain.drift import DriftOutcome, DriftSchedule, DriftVerdict
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.errors import AlreadyExists, Conflict, Invalid, NotFound, UnreadableRecord
from tidegate.domain.registry import Tags
from tidegate.features.capture.captured import captured_addresses
from tidegate.features.monitor.processing_records import ProcessingJob
from tidegate.features.monitor.schedule_records import (
    ONCE,
    ExecutionOutcome,
    ExecutionStatus,
    MonitoringExecution,
    MonitoringJob,
    MonitoringSchedule,
    MonitoringType,
)
from tidegate.features.monitor.times import Window, check_offsets, check_times, find_window
from tidegate.ports.store import Filter, Kind, StoredRecord, Tx
from tidegate.service import tags as labels
from tidegate.service.record_kinds import ENDPOINT
from tidegate.service.records import mentions, require
from tidegate.storage.addresses import check_address

# --- the records that monitor keeps ---


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


T = TypeVar("T")

JOBS: dict[MonitoringType, tuple[Kind[MonitoringJob], str]] = {
    MonitoringType.DATA_QUALITY: (QUALITY_JOB, "data quality job definition"),
    MonitoringType.MODEL_QUALITY: (MODEL_QUALITY_JOB, "model quality job definition"),
    MonitoringType.MODEL_BIAS: (MODEL_BIAS_JOB, "model bias job definition"),
}
"""Kind of record, and its name for people. Definitions of each type have names of their own."""
KEPT = 100
"""Executions of a schedule that are kept, and of one that was deleted."""
_PREFIX = "model-monitoring"
EXECUTION_NAME = re.compile(rf"{_PREFIX}-[0-9a-f]{{20}}-\d{{14}}")
_MOST_REASON = 1_024
_MOST_REMARK = 900


@dataclass(frozen=True)
class DueExecution:
    """``addresses``: folders of the endpoint's captured files. ``problem``: why it fails without being begun."""

    schedule: MonitoringSchedule
    addresses: tuple[str, ...]
    window: Window
    problem: str = ""

    @property
    def output(self) -> str:
        """The folder of the report: that of the hour, as SageMaker has it, and below it one of the minute for what
        is not scheduled on the hour."""
        minute = f"/{self.window.at:%M}" if self.window.at.minute else ""
        job = self.schedule.job
        folder = f"{job.endpoint}/{self.schedule.name}/{self.window.at:%Y/%m/%d/%H}{minute}"
        return f"{job.output.rstrip('/')}/{folder}"

    @property
    def terms(self) -> DriftSchedule:
        """The comparison, in the words of drift schedules."""
        job, seconds = self.schedule.job, int((self.window.end - self.window.start).total_seconds())
        return DriftSchedule(job.endpoint, job.statistics, job.created_at, every=seconds, window=seconds)


def define_job(tx: Tx, job: MonitoringJob, tags: Tags, now: datetime) -> None:
    """Raises AlreadyExists or Invalid."""
    kind, what = JOBS[job.type]
    if tx.get(kind, job.name) is not None:
        raise AlreadyExists(f'there is already a {what} "{job.name}"')
    if job.statistics:
        check_address(job.statistics, "StatisticsResource")
    if job.constraints:
        check_address(job.constraints, "ConstraintsResource")
    if job.labels is not None:
        check_address(job.labels.address, "GroundTruthS3Input")
        check_offsets(job.labels)
    if job.bias is not None:
        check_address(job.bias.config, "ConfigUri")
    check_address(job.output, "S3Output")
    if job.kms_key and not job.output.startswith("s3://"):
        raise Invalid("KmsKeyId encrypts reports in S3 alone: leave it out for a folder")
    tx.put(kind, job.name, job, expect=0, now=now)
    labels.add(tx, kind, job.name, tags, now)


def get_job(tx: Tx, type: MonitoringType, name: str) -> MonitoringJob:
    """Raises NotFound."""
    kind, what = JOBS[type]
    return _get(tx, kind, name, what).body


def find_jobs(tx: Tx, type: MonitoringType, where: Filter) -> list[StoredRecord[MonitoringJob]]:
    return tx.find(JOBS[type][0], where).items


def delete_job(tx: Tx, type: MonitoringType, name: str, now: datetime) -> None:
    """Raises NotFound, or Conflict while a schedule uses it."""
    get_job(tx, type, name)
    kind, what = JOBS[type]
    page = tx.find(MONITORING_SCHEDULE)
    for one in page.unreadable:
        if mentions(tx, one, name):
            raise Conflict(f'{one.why}; it may use {what} "{name}"')
    for saved in page.items:
        if (saved.body.job.type, saved.body.job.name) == (type, name):
            raise Conflict(f'monitoring schedule "{saved.name}" uses {what} "{name}": delete that first')
    tx.delete(kind, name, expect=None, now=now)
    labels.drop(tx, kind, name, now)


def create_schedule(tx: Tx, schedule: MonitoringSchedule, tags: Tags, shortest: timedelta, now: datetime) -> None:
    """Create a schedule. ``shortest``: time between two scheduled times. Raises AlreadyExists, NotFound or
    Invalid."""
    if tx.get(MONITORING_SCHEDULE, schedule.name) is not None:
        raise AlreadyExists(f'there is already a monitoring schedule "{schedule.name}"')
    check_times(schedule, shortest, now)
    require(tx, ENDPOINT, schedule.job.endpoint)
    tx.put(MONITORING_SCHEDULE, schedule.name, schedule, expect=0, now=now)
    labels.add(tx, MONITORING_SCHEDULE, schedule.name, tags, now)


def get_schedule(tx: Tx, name: str) -> MonitoringSchedule:
    """Raises NotFound."""
    return _get(tx, MONITORING_SCHEDULE, name, "monitoring schedule").body


def find_schedules(tx: Tx, where: Filter) -> list[StoredRecord[MonitoringSchedule]]:
    return tx.find(MONITORING_SCHEDULE, where).items


def update_schedule(tx: Tx, after: MonitoringSchedule, shortest: timedelta, now: datetime) -> None:
    """Raises NotFound or Invalid."""
    saved = _get(tx, MONITORING_SCHEDULE, after.name, "monitoring schedule")
    check_times(after, shortest, now)
    require(tx, ENDPOINT, after.job.endpoint)
    changed = replace(after, modified_at=now, since=now)
    tx.put(MONITORING_SCHEDULE, after.name, changed, expect=saved.version, now=now)


def start_schedule(tx: Tx, name: str, now: datetime) -> None:
    """One that runs goes on; one of NOW is executed once more. Raises NotFound."""
    saved = _get(tx, MONITORING_SCHEDULE, name, "monitoring schedule")
    if saved.body.stopped or saved.body.expression == ONCE:
        started = replace(saved.body, stopped=False, since=now, modified_at=now)
        tx.put(MONITORING_SCHEDULE, name, started, expect=saved.version, now=now)


def stop_schedule(tx: Tx, name: str, now: datetime) -> None:
    """Raises NotFound."""
    saved = _get(tx, MONITORING_SCHEDULE, name, "monitoring schedule")
    if not saved.body.stopped:
        stopped = replace(saved.body, stopped=True, modified_at=now)
        tx.put(MONITORING_SCHEDULE, name, stopped, expect=saved.version, now=now)


def delete_schedule(tx: Tx, name: str, now: datetime) -> None:
    """Delete a schedule. Its executions are kept, as in SageMaker. Raises NotFound."""
    get_schedule(tx, name)
    tx.delete(MONITORING_SCHEDULE, name, expect=None, now=now)
    labels.drop(tx, MONITORING_SCHEDULE, name, now)


def find_due_executions(tx: Tx, settle: timedelta, now: datetime) -> list[DueExecution]:
    """Find the executions that are due. ``settle``: time until captured requests can be read."""
    due: list[DueExecution] = []
    for saved in tx.find(MONITORING_SCHEDULE).items:
        window = find_window(saved.body, settle, now)
        if window is not None:
            try:
                found = tx.get(ENDPOINT, saved.body.job.endpoint)
            except UnreadableRecord as error:
                due.append(DueExecution(saved.body, (), window, str(error)))
            else:
                due.append(_due(saved.body, found.body if found else None, window))
    return due


def _due(schedule: MonitoringSchedule, endpoint: Endpoint | None, window: Window) -> DueExecution:
    if endpoint is None or endpoint.deleting:
        return DueExecution(schedule, (), window, f'endpoint "{schedule.job.endpoint}" is not there any more')
    return DueExecution(schedule, captured_addresses(endpoint), window)


def drift_execution(outcome: DriftOutcome) -> ExecutionOutcome:
    """Convert the outcome of a drift analysis to that of an execution."""
    distances = {f"feature_baseline_drift_{column}": far for column, far in outcome.distances.items()}
    return ExecutionOutcome(_STATUS[outcome.verdict], outcome.total, outcome.reason, distances)


def keep_execution(
    tx: Tx, due: DueExecution, outcome: ExecutionOutcome, began_at: datetime, now: datetime
) -> None:
    """Write what an execution came to, also of a schedule that was changed or deleted meanwhile."""
    execution = _execution_of(due, outcome, began_at, now)
    tx.put(EXECUTION, execution.name, execution, expect=None, now=now)
    kept = Filter(name_prefix=_prefix_of(due.schedule.name), sort_by="name")
    for saved in tx.find(EXECUTION, kept).items[KEPT:]:
        tx.delete(EXECUTION, saved.name, expect=None, now=now)
    present = tx.get(MONITORING_SCHEDULE, due.schedule.name)
    if present is not None and present.body.created_at == due.schedule.created_at:
        body = replace(present.body, last=due.window.at, last_execution=execution.name)
        tx.put(MONITORING_SCHEDULE, due.schedule.name, body, expect=present.version, now=now)


def _execution_of(
    due: DueExecution, outcome: ExecutionOutcome, began_at: datetime, now: datetime
) -> MonitoringExecution:
    return MonitoringExecution(
        f"{_prefix_of(due.schedule.name)}{due.window.at:%Y%m%d%H%M%S}",
        due.schedule.name,
        due.schedule.job,
        due.window.at,
        due.window.start,
        due.window.end,
        began_at,
        now,
        outcome.status,
        due.output,
        due.addresses,
        outcome.violations,
        outcome.reason[:_MOST_REASON],
        outcome.remark[:_MOST_REMARK],
    )


_STATUS = {
    DriftVerdict.NO_DRIFT: ExecutionStatus.COMPLETED,
    DriftVerdict.DRIFT: ExecutionStatus.COMPLETED_WITH_VIOLATIONS,
    DriftVerdict.UNKNOWN: ExecutionStatus.FAILED,
}


def _prefix_of(schedule: str) -> str:
    """Return the prefix of a schedule's processing jobs. It is a digest, because their names are too short for the
    schedule's."""
    return f"{_PREFIX}-{hashlib.sha256(schedule.encode()).hexdigest()[:20]}-"


def get_execution(tx: Tx, name: str) -> MonitoringExecution:
    """Raises NotFound."""
    return _get(tx, EXECUTION, name, "processing job").body


def find_executions(tx: Tx, schedule: str | None = None) -> list[MonitoringExecution]:
    where = Filter(name_prefix=_prefix_of(schedule)) if schedule is not None else None
    return [saved.body for saved in tx.find(EXECUTION, where).items]


def last_execution(tx: Tx, schedule: MonitoringSchedule) -> MonitoringExecution | None:
    saved = tx.get(EXECUTION, schedule.last_execution) if schedule.last_execution else None
    return saved.body if saved is not None else None


def _get(tx: Tx, kind: Kind[T], name: str, what: str) -> StoredRecord[T]:
    found = tx.get(kind, name)
    if found is None:
        raise NotFound(f'there is no {what} "{name}"')
    return found
