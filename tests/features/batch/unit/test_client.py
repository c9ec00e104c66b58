"""What a batch job asks of a model, and what it takes for an answer."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from tidegate.domain.registry import ContainerDefinition, Model
from tidegate.domain.transform import DataProcessing, SplitType, TransformInput, TransformJob, TransformOutput
from tidegate.features.batch.runner.client import BatchClient, RecordError
from tidegate.features.batch.runner.worker_pool import WorkerPool
from tidegate.http1.messages import HttpReply
from tidegate.serving.scoring.file_ranges import FIRST
from tidegate.transform.splitting import Batch

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass
class Worker:
    """In place of a pool and its only worker; answers every request the same."""

    content_type: bytes
    body: bytes
    accepts: list[bytes] = field(default_factory=list)
    firsts: list[bytes | None] = field(default_factory=list)

    @property
    def client(self) -> "Worker":
        return self

    async def acquire(self) -> "Worker":
        return self

    def release(self, worker: Any) -> None:
        pass

    async def request(self, method: str, path: str, headers: Any, sent: bytes) -> HttpReply:
        self.accepts.append(dict(headers).get(b"accept", b""))
        self.firsts.append(dict(headers).get(FIRST))
        return HttpReply(200, {b"content-type": self.content_type}, self.body)


def client(worker: Worker, processing: DataProcessing, split: SplitType = SplitType.LINE) -> BatchClient:
    job = TransformJob(
        "job",
        Model("m", (ContainerDefinition("tidegate/program"),), NOW),
        TransformInput("file:///in", content_type="text/csv", split=split),
        TransformOutput("file:///out", by_line=True),
        NOW,
        processing=processing,
    )
    return BatchClient(job, cast(WorkerPool, worker))


def test_json_is_no_answer_to_a_row_of_csv_that_is_joined_or_filtered() -> None:
    """A model may answer in JSON by default, or always, as MLflow's do: a batch of one record has one line of it."""
    worker = Worker(b"application/json", b'{"predictions":[0.25,0.75]}')
    for processing in (DataProcessing(join=True), DataProcessing(output_filter="$[-1]")):
        with pytest.raises(RecordError) as failed:
            asyncio.run(client(worker, processing).answer(Batch(b"1,2\n", 1, 1, 4)))
        assert "the answer is application/json" in failed.value.describe(1)
    assert worker.accepts == [b"text/csv", b"text/csv"]


def test_a_job_that_takes_answers_as_they_are_asks_for_no_form() -> None:
    worker = Worker(b"application/json", b'{"predictions":[0.25]}')
    found = asyncio.run(client(worker, DataProcessing()).answer(Batch(b"1,2\n", 1, 1, 4)))
    assert found.out == b'{"predictions":[0.25]}\n'
    assert worker.accepts == [b""]


def test_an_object_that_is_not_split_is_sent_as_one_request() -> None:
    """What records are is said where lines are records: a CSV that is one request may have a header."""
    worker = Worker(b"text/csv", b"0.25\n")
    batch = Batch(b"a,b\n1,2\n", 1, 1, 8)
    asyncio.run(client(worker, DataProcessing(), SplitType.NONE).answer(batch))
    asyncio.run(client(worker, DataProcessing()).answer(batch))
    assert worker.firsts == [None, b"1"]
