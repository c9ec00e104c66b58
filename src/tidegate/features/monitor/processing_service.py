"""Use cases of processing jobs: create, find, stop, and what the loop that runs them writes."""

from dataclasses import replace
from datetime import datetime

from tidegate.domain.errors import AlreadyExists, Conflict, Invalid, LimitExceeded, NotFound
from tidegate.domain.registry import Tags
from tidegate.features.monitor.processing_records import BaselineOutcome, ProcessingJob, ProcessingStatus
from tidegate.features.monitor.schedules import EXECUTION, EXECUTION_NAME, PROCESSING
from tidegate.ports.store import Filter, StoredRecord, Tx
from tidegate.service import tags as labels
from tidegate.storage.addresses import check_address

MOST_SECONDS = 3_600
"""That a job may take, whatever it asks for."""
MOST_UNENDED = 100
"""Jobs that have not ended."""
_MOST_REASON = 1_024


def create(tx: Tx, job: ProcessingJob, tags: Tags, now: datetime) -> None:
    """Raises AlreadyExists, Invalid, or LimitExceeded while too many wait."""
    if tx.get(PROCESSING, job.name) is not None or tx.get(EXECUTION, job.name) is not None:
        raise AlreadyExists(f'there is already a processing job "{job.name}"; job names cannot be reused')
    if EXECUTION_NAME.fullmatch(job.name):
        raise Invalid(f'"{job.name}" is a name of an execution of a monitoring schedule: choose another')
    check_address(job.work.source, "S3Input")
    check_address(job.work.output, "S3Output")
    if job.work.kms_key and not job.work.output.startswith("s3://"):
        raise Invalid("KmsKeyId encrypts outputs in S3 alone: leave it out for a folder")
    if len(find_unended(tx)) >= MOST_UNENDED:
        raise LimitExceeded(f"{MOST_UNENDED} processing jobs have not ended: wait for one, or stop one")
    tx.put(PROCESSING, job.name, job, expect=0, now=now)
    labels.add(tx, PROCESSING, job.name, tags, now)


def get(tx: Tx, name: str) -> ProcessingJob | None:
    saved = tx.get(PROCESSING, name)
    return saved.body if saved is not None else None


def find(tx: Tx, where: Filter) -> list[StoredRecord[ProcessingJob]]:
    return tx.find(PROCESSING, where).items


def find_unended(tx: Tx) -> list[ProcessingJob]:
    """Oldest first."""
    return [saved.body for saved in tx.find(PROCESSING, Filter(descending=False)).items if not saved.body.ended]


def stop(tx: Tx, name: str, now: datetime) -> None:
    """Raises NotFound, or Conflict for one that has ended."""
    saved = _get(tx, name)
    if saved.body.ended:
        raise Conflict(f'processing job "{name}" has ended ({saved.body.status}): it cannot be stopped')
    stopping = replace(saved.body, status=ProcessingStatus.STOPPING)
    tx.put(PROCESSING, name, stopping, expect=saved.version, now=now)


def begin(tx: Tx, name: str, now: datetime) -> None:
    """Write down that it is run, once: a job that is run again began when it was run first."""
    saved = tx.get(PROCESSING, name)
    if saved is not None and saved.body.started_at is None and not saved.body.ended:
        tx.put(PROCESSING, name, replace(saved.body, started_at=now), expect=saved.version, now=now)


def end(tx: Tx, name: str, outcome: BaselineOutcome | None, now: datetime) -> None:
    """``outcome`` None: it was stopped. One that has ended is not changed."""
    saved = tx.get(PROCESSING, name)
    if saved is None or saved.body.ended:
        return
    if outcome is None:
        ended = replace(saved.body, status=ProcessingStatus.STOPPED, ended_at=now)
    elif outcome.reason:
        reason = outcome.reason[:_MOST_REASON]
        ended = replace(saved.body, status=ProcessingStatus.FAILED, reason=reason, ended_at=now)
    else:
        ended = replace(saved.body, status=ProcessingStatus.COMPLETED, rows=outcome.rows, ended_at=now)
    tx.put(PROCESSING, name, ended, expect=saved.version, now=now)


def find_baseline(tx: Tx, name: str, quality: bool) -> str:
    """Address of the folder of the baseline that a job makes. ``quality``: it must be one of predictions with labels,
    otherwise one of columns. Raises NotFound, Conflict for a job that made none, or Invalid for the other kind."""
    job = _get(tx, name).body
    if job.status in (ProcessingStatus.FAILED, ProcessingStatus.STOPPED, ProcessingStatus.STOPPING):
        raise Conflict(f'processing job "{name}" is {job.status} and made no baseline')
    if (job.work.quality is not None) is not quality:
        kinds = ("columns (data quality)", "predictions with labels (model quality)")
        raise Invalid(f'processing job "{name}" makes a baseline of {kinds[not quality]}, not of {kinds[quality]}')
    return job.work.output.rstrip("/")


def _get(tx: Tx, name: str) -> StoredRecord[ProcessingJob]:
    found = tx.get(PROCESSING, name)
    if found is None:
        raise NotFound(f'there is no processing job "{name}"')
    return found
