"""A transform job, and a board of shards that a test fills, for the tests of this target."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import msgspec

from tests.unit.targets.kubernetes.target_harness import OPTIONS
from tidegate.domain.registry import ContainerDefinition, Model
from tidegate.domain.shards import ShardTally
from tidegate.domain.transform import TransformInput, TransformJob, TransformOutput
from tidegate.targets.kubernetes.model_store import ModelStore
from tidegate.targets.kubernetes.names import transform_name
from tidegate.targets.kubernetes.options import JobOptions

DESCRIBED = msgspec.json.encode({"job": {"name": "nightly"}, "replicas": "/", "built_in": True})
"""In place of what a runner on this machine would be started with."""
NOW = datetime(2026, 3, 1, tzinfo=UTC)
JOB = TransformJob(
    "nightly",
    Model("m", (ContainerDefinition("tidegate/xgboost", data_url="s3://models/m.json"),), NOW),
    TransformInput("s3://data/in/"),
    TransformOutput("s3://data/out"),
    NOW,
    instances=2,
)
WITH_JOBS = replace(OPTIONS, jobs=JobOptions("db"))
NO_STORE = ModelStore(WITH_JOBS, None, "", "us-east-1")
NAME = transform_name("nightly")


@dataclass
class Board:
    tallies: dict[str, ShardTally] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)

    async def open(self, job: str, attempt: int) -> None:
        self.calls.append(f"open {job} {attempt}")
        self.tallies.setdefault(job, ShardTally(attempt))

    async def tally(self, job: str) -> ShardTally | None:
        return self.tallies.get(job)

    async def revoke(self, job: str) -> None:
        await asyncio.sleep(0.1)
        self.calls.append(f"revoke {job}")

    async def discard(self, job: str) -> None:
        self.calls.append(f"discard {job}")

    async def prune(self, active: Collection[str], seconds: float) -> list[str]:
        self.calls.append(f"prune {sorted(active)}")
        return []


def database_secret() -> dict[str, object]:
    return {"metadata": {"name": "db"}, "data": {"database-url": "dXJs"}}
