"""Use cases of batch transform jobs: create, stop, resume, and the desired fleet of each."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime

from tidegate.domain.errors import AlreadyExists, Conflict, Invalid
from tidegate.domain.fleet import DetachedSettings, FleetSpec, VariantSpec
from tidegate.domain.observation import Event
from tidegate.domain.registry import ContainerDefinition, Model, Tags
from tidegate.domain.transform import (
    FLEET_VARIANT,
    JobStatus,
    TransformJob,
    TransformProgress,
    eta,
    job_fleet,
)
from tidegate.ports.store import Filter, RecordPage, StoredRecord, Tx
from tidegate.service import tags as labels
from tidegate.service.configs import check_count
from tidegate.service.record_kinds import MODEL, TRANSFORM
from tidegate.service.records import require
from tidegate.transform import joining
from tidegate.transform.joining import is_table

GROUP = "/aws/sagemaker/TransformJobs"
MAX_MEGABYTES = 100
"""Of one request, and of all concurrent requests to one instance."""
MAX_ENVIRONMENT = 16
TABLES = "TIDEGATE_BATCH_TABLES"
"""Variable of a job's containers: its requests or answers are parquet or Arrow tables."""


def create(
    tx: Tx, job: TransformJob, tags: Tags, *, runnable: Callable[[ContainerDefinition], None], now: datetime
) -> None:
    """Raises AlreadyExists, or Invalid for a job that cannot run. ``runnable`` checks each container."""
    if tx.get(TRANSFORM, job.name) is not None:
        raise AlreadyExists(f'there is already a transform job "{job.name}"; job names cannot be reused')
    check(job)
    for container in _job_model(job).containers:
        runnable(container)
    tx.put(TRANSFORM, job.name, job, expect=0, now=now)
    labels.add(tx, TRANSFORM, job.name, tags, now)


def get_model(tx: Tx, name: str) -> Model:
    return require(tx, MODEL, name).body


def check(job: TransformJob) -> None:
    pace = job.pace
    if job.model.multi_model:
        raise Invalid(
            f'model "{job.model.name}" has a multi-model container: a transform job needs a single model'
        )
    if job.instances < 1:
        raise Invalid("a transform job needs at least one instance")
    check_count(FLEET_VARIANT, job.instances)
    if pace.megabytes == 0:
        raise Invalid("MaxPayloadInMB 0 (an object streamed as one request) is not supported: give 1 to 100")
    megabytes, concurrency = pace.megabytes or 6, pace.concurrency or 1
    if megabytes * concurrency > MAX_MEGABYTES:
        raise Invalid(
            f"MaxPayloadInMB {megabytes} times MaxConcurrentTransforms {concurrency} is above {MAX_MEGABYTES}"
        )
    if len(job.environment) > MAX_ENVIRONMENT:
        raise Invalid(f"Environment has {len(job.environment)} variables; the maximum is {MAX_ENVIRONMENT}")
    if pace.deadline is not None and not 0 < pace.deadline < float("inf"):
        raise Invalid(f"deadline {pace.deadline:g}: expected a number of seconds above 0")
    for what, uri in (("input", job.source.uri), ("output", job.sink.uri)):
        if not uri.startswith(("s3://", "file:///")):
            raise Invalid(f"the {what} '{uri}' is neither s3://BUCKET/KEY nor file:///PATH")
    joining.check(job.processing, job.source.content_type, job.sink.accept, job.source.split, job.sink.by_line)


def _job_model(job: TransformJob) -> Model:
    """The model with the job's environment and SageMaker's SAGEMAKER_BATCH variables."""
    variables = {"SAGEMAKER_BATCH": "true"}
    if job.pace.megabytes is not None:
        variables["SAGEMAKER_MAX_PAYLOAD_IN_MB"] = str(job.pace.megabytes)
    if job.pace.single is not None:
        variables["SAGEMAKER_BATCH_STRATEGY"] = "SINGLE_RECORD" if job.pace.single else "MULTI_RECORD"
    if job.pace.concurrency is not None:
        variables["SAGEMAKER_MAX_CONCURRENT_TRANSFORMS"] = str(job.pace.concurrency)
    return _with_variables(job.model, {**job.environment, **variables})


def _with_variables(model: Model, variables: Mapping[str, str]) -> Model:
    containers = tuple(replace(each, environment={**each.environment, **variables}) for each in model.containers)
    return replace(model, containers=containers)


def fleet(job: TransformJob) -> FleetSpec:
    """Desired fleet while the job runs."""
    model = _job_model(job)
    if is_table(job.source.content_type) or is_table(job.sink.accept):
        model = _with_variables(model, {TABLES: "true"})
    variant = VariantSpec(FLEET_VARIANT, model, job.instances, instance_type=job.instance_type)
    megabytes = job.pace.megabytes or MAX_MEGABYTES
    detached = DetachedSettings(megabytes * 2**20 + 2**20, job.pace.timeout, GROUP)
    return FleetSpec(job_fleet(job.name), f"transform-job-{job.name}", variant, job.instances, detached=detached)


def get(tx: Tx, name: str) -> StoredRecord[TransformJob]:
    return require(tx, TRANSFORM, name)


def find(tx: Tx, where: Filter, limit: int | None = None, after: str | None = None) -> RecordPage[TransformJob]:
    return tx.find(TRANSFORM, where, limit, after)


def describe_asker(by: str, reason: str) -> str:
    """For the journal."""
    return f"asked for by {by}: {reason}" if reason else f"asked for by {by}"


def stop(tx: Tx, name: str, now: datetime, asked: str = "") -> None:
    """Raises NotFound. A job that has ended is not changed."""
    saved = get(tx, name)
    if saved.body.status is JobStatus.IN_PROGRESS:
        stopping, events = replace(saved.body, stopping=True), [Event("stop", f"stop {asked}".rstrip())]
        tx.put(TRANSFORM, name, stopping, expect=saved.version, now=now, events=events)


def resume(tx: Tx, name: str, now: datetime, asked: str = "") -> None:
    """Resume a job that failed or was stopped. Raises NotFound, or Conflict for one that runs or is complete."""
    saved = get(tx, name)
    job = saved.body
    if job.outcome is None:
        raise Conflict(f'job "{name}" has not ended ({job.status.value}): wait for its end, or stop it first')
    if job.outcome is JobStatus.COMPLETED:
        raise Conflict(f'job "{name}" is complete: create a new one to repeat it')
    again = replace(
        job, outcome=None, reason="", stopping=False, ended_at=None, resumed=job.resumed + 1, resumed_at=now
    )
    events = [Event("resume", f"resumption {asked}".rstrip())]
    tx.put(TRANSFORM, name, again, expect=saved.version, now=now, events=events)


def view(job: TransformJob, running: TransformProgress | None, now: datetime) -> dict[str, object]:
    """Document of the native API. ``running``: present progress from the runner."""
    progress = running if running is not None and job.outcome is None else job.progress
    until, begun = job.ended_at or now, job.resumed_at or job.started_at
    seconds = (until - job.started_at).total_seconds() if job.started_at else 0.0
    lately = (until - begun).total_seconds() if begun else 0.0
    before = job.progress.bytes_done if job.resumed else 0
    return {
        "job": job.name,
        "status": job.status.value,
        "reason": job.reason,
        "waiting": progress.waiting if job.outcome is None else "",
        "resumed": job.resumed,
        "model": job.model.name,
        "input": job.source.uri,
        "output": job.sink.uri,
        "created": job.created_at.isoformat(),
        "seconds": round(seconds, 3),
        "eta": eta(progress, lately, before) if job.outcome is None else None,
        "objects": progress.objects,
        "objects_done": progress.objects_done,
        "objects_failed": progress.objects_failed,
        "records": progress.records,
        "bad_records": progress.bad_records,
        "bytes": progress.bytes_total,
        "bytes_done": progress.bytes_done,
    }
