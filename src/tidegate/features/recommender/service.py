"""Use cases of recommendation jobs: create, find, stop."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from tidegate.domain.errors import AlreadyExists, Invalid
from tidegate.domain.recommendation import RecommendationJob
from tidegate.domain.registry import ContainerDefinition, Model, Tags
from tidegate.ports.store import Filter, Kind, RecordPage, StoredRecord, Tx
from tidegate.service import tags as labels
from tidegate.service.record_kinds import MODEL
from tidegate.service.records import require

# --- the records that recommender keeps ---


RECOMMENDATION = Kind("recommendation", RecommendationJob)
KINDS: tuple[Kind[Any], ...] = (RECOMMENDATION,)
TAGGABLE: dict[str, Kind[Any]] = {"inference-recommendations-job": RECOMMENDATION}
"""By the type of the resource in its ARN."""


PREFIX = "recommend."
"""Prefix of the names by which the engine of these jobs is woken: names of endpoints cannot contain a dot."""
MAX_SECONDS = 18_000
MAX_TESTS = 10


def create(
    tx: Tx, job: RecommendationJob, tags: Tags, *, runnable: Callable[[ContainerDefinition], None], now: datetime
) -> None:
    """Raises AlreadyExists, or Invalid for a job that cannot run. ``runnable`` checks the model's container."""
    if tx.get(RECOMMENDATION, job.name) is not None:
        raise AlreadyExists(f'there is already a recommendation job "{job.name}"; job names cannot be reused')
    check(job)
    for container in job.model.containers:
        runnable(container)
    tx.put(RECOMMENDATION, job.name, job, expect=0, now=now)
    labels.add(tx, RECOMMENDATION, job.name, tags, now)


def check(job: RecommendationJob) -> None:
    limits = job.limits
    if job.model.multi_model:
        raise Invalid(
            f'model "{job.model.name}" has a multi-model container: a recommendation job needs a single model'
        )
    if len(job.model.containers) != 1:
        raise Invalid(
            f'model "{job.model.name}" has several containers: a recommendation job needs a model with one'
        )
    if not job.sample.startswith(("s3://", "file:///")):
        raise Invalid(f"the sample '{job.sample}' is neither s3://BUCKET/KEY nor file:///PATH")
    if not 0 < limits.seconds <= MAX_SECONDS:
        raise Invalid(f"a job of {limits.seconds:g} s: give 1 to {MAX_SECONDS} seconds")
    if not 0 < limits.latency <= 3600:
        raise Invalid(f"a limit of {limits.latency * 1000:g} ms: give 1 ms to an hour")
    if limits.rate is not None and limits.rate <= 0:
        raise Invalid("the invocations per minute to look for must be at least 1")
    if limits.tests is not None and limits.tests > MAX_TESTS:
        raise Invalid(f"{limits.tests} tests: the maximum is {MAX_TESTS}")


def get_model(tx: Tx, name: str) -> Model:
    return require(tx, MODEL, name).body


def get(tx: Tx, name: str) -> StoredRecord[RecommendationJob]:
    return require(tx, RECOMMENDATION, name)


def find(
    tx: Tx, where: Filter, limit: int | None = None, after: str | None = None
) -> RecordPage[RecommendationJob]:
    return tx.find(RECOMMENDATION, where, limit, after)


def stop(tx: Tx, name: str, now: datetime) -> None:
    """Raises NotFound. A job that has ended is not changed."""
    saved = get(tx, name)
    if saved.body.outcome is None and not saved.body.stopping:
        tx.put(RECOMMENDATION, name, replace(saved.body, stopping=True), expect=saved.version, now=now)
