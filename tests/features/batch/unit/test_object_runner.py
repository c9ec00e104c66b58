"""One object of a job: how far requests run ahead of an answer that is late, and what its end costs the disk."""

import asyncio
import errno
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tidegate.domain.registry import ContainerDefinition, Model
from tidegate.domain.transform import InputObject, SplitType, TransformInput, TransformJob, TransformOutput
from tidegate.features.batch.runner import object_runner, output_part
from tidegate.features.batch.runner.client import BatchAnswer, RecordError
from tidegate.features.batch.runner.inputs import JobInputs
from tidegate.features.batch.runner.job_storage import JobStorage
from tidegate.features.batch.runner.object_runner import AHEAD, ObjectRunner
from tidegate.features.batch.runner.output_part import Checkpoint, OutputPart
from tidegate.features.batch.runner.pacing import RequestPlan, RetryWait
from tidegate.storage.files import ALONE, Claim
from tidegate.transform.splitting import Batch

NOW = datetime(2026, 3, 1, tzinfo=UTC)
WINDOW = 3
"""Of requests in flight, with two at one time to one instance."""
LINES = 40


@dataclass
class SlowModel:
    """In place of the model: each line once more. The first answer waits until ``enough`` were asked for, or all that
    may be."""

    enough: int
    late: int = 1
    failing: int = 0
    asked: list[int] = field(default_factory=list)
    most: int = 0
    _under_way: int = 0

    async def answer(self, batch: Batch) -> BatchAnswer:
        self.asked.append(batch.first)
        self._under_way += 1
        self.most = max(self.most, self._under_way)
        async with asyncio.timeout(300):
            while batch.first == self.late and len(self.asked) < self.enough:
                await asyncio.sleep(0.001)
        await asyncio.sleep(0)
        self._under_way -= 1
        if batch.first == self.failing:
            raise RecordError(0, 0, "it is bad")
        return BatchAnswer(batch.end, batch.count, batch.body)


class Storage(JobStorage):
    publishing: Callable[[], None] = lambda: None

    def publish(self, part: Path, uri: str, claim: Claim = ALONE) -> None:
        type(self).publishing()
        super().publish(part, uri, claim)


async def _at_once(seconds: float) -> None:
    """In place of a wait."""


def process(
    folder: Path, model: SlowModel, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
) -> OutputPart:
    source, sink = folder / "in", folder / "out"
    source.mkdir()
    (source / "a.csv").write_text("".join(f"row {number}\n" for number in range(LINES)))
    job = TransformJob(
        *("j", Model("m", (ContainerDefinition("i"),), NOW)),
        TransformInput(f"{source.as_uri()}/", content_type="text/csv", split=SplitType.LINE),
        TransformOutput(sink.as_uri(), by_line=True),
        NOW,
    )
    storage = Storage(None, "", "")
    inputs = JobInputs(job, rows=False, storage=storage, plan=RequestPlan(True, 1 << 20, WINDOW - 1))
    part = OutputPart(folder / "part")

    async def run() -> None:
        item: InputObject
        [item] = storage.list_objects(job.source)
        objects = ObjectRunner(job, inputs, storage, RetryWait(sleep=sleep), model)  # type: ignore[arg-type]
        await objects.process(item, part)

    asyncio.run(run())
    return part


def out(folder: Path) -> list[str]:
    return (folder / "out" / "a.csv.out").read_text().splitlines()


def test_an_answer_that_comes_late_keeps_no_worker_idle_and_stays_in_its_place(tmp_path: Path) -> None:
    model = SlowModel(enough=AHEAD * WINDOW)
    assert process(tmp_path, model).checkpoint.done
    assert model.most <= WINDOW
    assert out(tmp_path) == [f"row {number}" for number in range(LINES)]


def test_what_is_held_until_a_late_answer_comes_is_bounded_in_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_runner, "HELD", 1)
    model = SlowModel(enough=WINDOW)
    seen: list[int] = []
    answer = model.answer

    async def watched(batch: Batch) -> BatchAnswer:
        found = await answer(batch)
        if batch.first == model.late:
            await asyncio.sleep(0.05)  # whoever would ask for more has the time to
            seen.append(len(model.asked))
        return found

    monkeypatch.setattr(model, "answer", watched)
    assert process(tmp_path, model).checkpoint.done
    assert seen == [WINDOW]
    assert out(tmp_path) == [f"row {number}" for number in range(LINES)]


def test_nothing_is_asked_for_behind_a_record_that_failed_and_all_before_it_is_kept(tmp_path: Path) -> None:
    """The first answer comes when the bad one is known, so that what runs ahead must stop by itself."""
    model = SlowModel(enough=6, failing=6)
    part = process(tmp_path, model)
    assert part.checkpoint.reason == "record 6: it is bad"
    assert part.checkpoint.record == 6
    assert part.out.read_text().splitlines()[:5] == [f"row {number}" for number in range(5)]
    assert max(model.asked) < 6 + AHEAD * WINDOW
    assert not (tmp_path / "out").exists()


def test_an_output_is_brought_to_the_disk_once_and_before_it_appears(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[str] = []
    sync = os.fsync

    def synced(file: int) -> None:
        happened.append(Path(os.readlink(f"/proc/self/fd/{file}")).name)
        sync(file)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Storage, "publishing", lambda: happened.append("published"))
    process(tmp_path, SlowModel(enough=1))
    assert happened == ["part.out", "published", "out"]  # the last one is the folder, with its new name


@pytest.mark.parametrize("interval", [0.0, 1e9], ids=["checkpoint", "end"])
def test_what_the_disk_did_not_take_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interval: float
) -> None:
    """A second fsync after one that failed reports success, though what was written may be dropped."""
    sync, failed = os.fsync, list[int]()

    def drops(file: int) -> None:
        if not failed and os.readlink(f"/proc/self/fd/{file}").endswith("part.out"):
            failed.append(os.fstat(file).st_size)
            os.pwrite(file, bytes(failed[0]), 0)
            raise OSError(errno.EIO, "it is broken")
        sync(file)

    monkeypatch.setattr(output_part, "CHECKPOINT_INTERVAL", interval)
    monkeypatch.setattr(os, "fsync", drops)
    assert process(tmp_path, SlowModel(enough=1), sleep=_at_once).checkpoint.done
    assert failed and out(tmp_path) == [f"row {number}" for number in range(LINES)]


def test_an_output_whose_name_is_not_on_the_disk_is_moved_there_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync, failed = os.fsync, list[int]()

    def fails_once(file: int) -> None:
        if not failed and os.path.isdir(f"/proc/self/fd/{file}"):
            failed.append(file)
            raise OSError(errno.EIO, "it is broken")
        sync(file)

    monkeypatch.setattr(os, "fsync", fails_once)
    assert process(tmp_path, SlowModel(enough=1), sleep=_at_once).checkpoint.done
    assert failed and out(tmp_path) == [f"row {number}" for number in range(LINES)]


def test_a_part_that_begins_anew_leaves_no_older_checkpoint_behind(tmp_path: Path) -> None:
    """Else a kill before its first checkpoint would leave the old one beside an output that is another."""
    path = tmp_path / "part"
    part = OutputPart(path)
    part.resume()
    part.add(BatchAnswer(50, 5, b"12345\n"))
    part.save()
    part.close()
    part.out.unlink()
    again = OutputPart(path)
    again.resume()
    again.add(BatchAnswer(90, 9, b"12345678\n"))
    again.sync()
    again.close()
    killed = OutputPart(path)
    killed.load_checkpoint()
    assert killed.checkpoint == Checkpoint()
