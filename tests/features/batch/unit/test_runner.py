"""A job's runner while its storage or its disk is in trouble, and when the job is resumed: done work stays done."""

import asyncio
import errno
import json
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.small_disk import small_disk
from tidegate.domain.errors import Transient
from tidegate.domain.registry import ContainerDefinition, Model
from tidegate.domain.transform import (
    BadRows,
    RequestLimits,
    SplitType,
    TransformInput,
    TransformJob,
    TransformOutput,
    TransformProgress,
)
from tidegate.features.batch.incidents import PATIENCE
from tidegate.features.batch.runner import run as runner
from tidegate.features.batch.runner.client import BadRecord, BatchAnswer, RecordError
from tidegate.features.batch.runner.job_file import JobFile, TransformResult
from tidegate.features.batch.runner.job_storage import JobStorage
from tidegate.features.batch.runner.pacing import RetryWait
from tidegate.features.batch.runner.run import JobRunner
from tidegate.host.preallocated import PreallocatedFiles
from tidegate.storage.files import ALONE, Claim
from tidegate.transform.splitting import Batch

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass
class Storage(JobStorage):
    """Local files. ``refuse`` is asked before each publication and may raise."""

    refuse: Callable[[str], None] = lambda uri: None
    published: Counter[str] = field(default_factory=Counter)

    def publish(self, part: Path, uri: str, claim: Claim = ALONE) -> None:
        self.refuse(uri)
        super().publish(part, uri, claim)
        self.published[uri.rpartition("/")[2]] += 1


@dataclass
class Asked:
    """In place of the model: each line once more. What is asked is counted by its text; ``bad`` lines are refused."""

    lines: Counter[str] = field(default_factory=Counter)
    lenient: bool = False

    def __call__(self, *_: object) -> "Asked":
        return self

    async def answer(self, batch: Batch) -> BatchAnswer:
        await asyncio.sleep(0)
        lines = batch.body.decode().splitlines()
        self.lines.update(lines)
        bad = [number for number, line in enumerate(lines) if line.startswith("bad")]
        if bad and not self.lenient:
            raise RecordError(bad[0], bad[0], "it is bad")
        good = [line for line in lines if not line.startswith("bad")]
        return BatchAnswer(
            batch.end,
            batch.count,
            "".join(f"{x}\n" for x in good).encode(),
            tuple(BadRecord(n, "bad") for n in bad),
        )


class NoWorkers:
    concurrency = 1

    def __init__(self, folder: Path) -> None: ...

    async def execution_parameters(self) -> bytes:
        return b""

    def close(self) -> None: ...


@dataclass
class Scene:
    """One job with its files, on a clock that moves only while the job waits."""

    folder: Path
    source: Path
    sink: Path
    asked: Asked = field(default_factory=Asked)
    now: float = 0.0
    waited: list[str] = field(default_factory=list)
    happens: dict[float, Callable[[], object]] = field(default_factory=dict)
    """What happens at the first wait after a moment."""
    more: dict[str, Any] = field(default_factory=dict)
    storage: Storage = field(default_factory=lambda: Storage(None, "", ""))

    def run(self, resumed: int = 0, **pace: Any) -> TransformResult:
        job = TransformJob(
            "j",
            Model("m", (ContainerDefinition("i"),), NOW),
            TransformInput(f"{self.source.as_uri()}/", content_type="text/csv", split=SplitType.LINE),
            TransformOutput(self.sink.as_uri(), by_line=True),
            NOW,
            pace=RequestLimits(single=True, **pace),
            resumed=resumed,
            **self.more,
        )
        self.folder.mkdir(exist_ok=True)
        run = JobRunner(JobFile(job=job, replicas="", built_in=False), self.folder, self.storage)
        run.retry_wait = RetryWait(clock=lambda: self.now, sleep=self._sleep)
        self._run = run
        return asyncio.run(run.run())

    async def _sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)
        self.now += seconds
        self.waited.append(self._run.progress().waiting)
        for moment in [moment for moment in self.happens if moment <= self.now]:
            self.happens.pop(moment)()

    def out(self, name: str) -> list[str]:
        return (self.sink / f"{name}.out").read_text().splitlines()


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    found = Scene(tmp_path / "job", tmp_path / "in", tmp_path / "out")
    found.source.mkdir()
    monkeypatch.setattr(runner, "BatchClient", found.asked)
    monkeypatch.setattr(runner, "WorkerPool", NoWorkers)
    return found


def write(scene: Scene, name: str, *lines: str) -> None:
    (scene.source / name).write_text("".join(f"{line}\n" for line in lines))


def refusing(scene: Scene, until: float, error: Exception) -> Callable[[str], None]:
    def refuse(uri: str) -> None:
        if scene.now < until:
            raise error

    return refuse


def rows(count: int, first: int = 0) -> list[str]:
    return [f"row {first + number}" for number in range(count)]


S3_AWAY = Transient("S3 answered SlowDown: please reduce your request rate")


@pytest.mark.parametrize("minutes", [1, 10, 50])
def test_finished_work_outlives_a_storage_that_is_away_at_publication(scene: Scene, minutes: int) -> None:
    write(scene, "a.csv", *rows(30))
    scene.storage.refuse = refusing(scene, minutes * 60, S3_AWAY)
    assert scene.run() == TransformResult()
    assert scene.out("a.csv") == rows(30)
    assert set(scene.asked.lines.values()) == {1}
    assert "S3 answered SlowDown" in scene.waited[-1]
    assert json.loads((scene.folder / "progress.json").read_text())["waiting"] == ""


def test_a_storage_that_stays_away_ends_the_job_and_resuming_asks_nothing_again(scene: Scene) -> None:
    names = [f"{letter}.csv" for letter in "abcdefgh"]
    for name in names:
        write(scene, name, *rows(20))
    scene.storage.refuse = refusing(scene, PATIENCE + 60, S3_AWAY)
    ended = scene.run()
    assert "S3 answered SlowDown" in ended.reason and "tries)" in ended.reason
    assert PATIENCE <= scene.now < PATIENCE + 60
    assert scene.asked.lines["row 0"] == 3, "three objects are proof enough"
    scene.now += 60
    assert scene.run(resumed=1) == TransformResult("", 1)
    for name in names:
        assert scene.out(name) == rows(20)
    assert scene.asked.lines["row 0"] == len(names)


def test_a_deadline_of_its_own_bounds_the_wait(scene: Scene) -> None:
    write(scene, "a.csv", *rows(3))
    scene.storage.refuse = refusing(scene, 1e9, S3_AWAY)
    assert "S3 answered SlowDown" in scene.run(deadline=90.0).reason
    assert 90 <= scene.now < 121
    scene.storage.refuse = lambda uri: None
    assert scene.run(resumed=1, deadline=90.0) == TransformResult("", 1)
    assert set(scene.asked.lines.values()) == {1}


def test_the_deadline_ends_a_job_that_makes_progress_too_slowly(scene: Scene) -> None:
    write(scene, "a.csv", *rows(20_000))
    ended = scene.run(deadline=0.1)
    assert ended.reason == "its deadline of 0.1 seconds has passed"
    assert scene.run(resumed=1) == TransformResult("", 1)
    assert scene.out("a.csv") == rows(20_000)
    assert sum(scene.asked.lines.values()) < 30_000


def test_tries_are_counted_by_incident(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty short outages within one object, each after some progress."""
    monkeypatch.setattr("tidegate.features.batch.runner.output_part.CHECKPOINT_INTERVAL", 0.0)
    write(scene, "a.csv", *rows(100))
    read, outages = scene.storage.read, [0]

    def breaking(uri: str, offset: int, tag: str) -> Any:
        for part in read(uri, offset, tag):
            if outages[0] < 20:
                outages[0] += 1
                yield part[:30]
                raise Transient("the download broke off")
            yield part

    monkeypatch.setattr(scene.storage, "read", breaking)
    assert scene.run() == TransformResult()
    assert (outages[0], scene.out("a.csv")) == (20, rows(100))
    assert max(scene.asked.lines.values()) <= 2


def test_one_object_that_cannot_be_had_fails_alone(scene: Scene) -> None:
    names = [f"{letter}.csv" for letter in "abcdef"]
    for name in names:
        write(scene, name, *rows(3))

    def refuse(uri: str) -> None:
        if uri.endswith("a.csv.out"):
            raise S3_AWAY

    scene.storage.refuse = refuse
    ended = scene.run()
    assert "a.csv: S3 answered SlowDown" in ended.reason
    assert all(scene.out(name) == rows(3) for name in names[1:])


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
def test_an_output_folder_without_space_is_waited_for(
    scene: Scene, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(scene, "a.csv", *rows(3))
    move = Path.replace

    def full(path: Path, target: Path) -> Path:
        if Path(target).parent == scene.sink and scene.now < 300:
            raise OSError(code, os.strerror(code))
        return move(path, target)

    monkeypatch.setattr(Path, "replace", full)
    assert scene.run() == TransformResult()
    assert os.strerror(code) in scene.waited[0]
    assert scene.out("a.csv") == rows(3)


def test_what_will_not_pass_fails_at_once(scene: Scene) -> None:
    write(scene, "a.csv", *rows(3))
    scene.sink.write_text("a file where a folder should be")
    assert "cannot be written" in scene.run().reason
    assert scene.waited == []


def test_a_full_disk_below_the_job_is_waited_for_and_named(scene: Scene, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "2m") as disk:
        scene.folder = disk.folder / "job"
        write(scene, "a.csv", *(f"{line} {'x' * 100}" for line in rows(4_000)))
        scene.folder.mkdir()
        PreallocatedFiles(scene.folder).write("progress.json", b"{}")
        disk.fill()
        shown: list[TransformProgress] = []

        def look() -> None:
            scene._run._write_progress(scene._run.progress())
            shown.append(
                msgspec.json.decode((scene.folder / "progress.json").read_bytes(), type=TransformProgress)
            )

        scene.happens[60] = look
        scene.happens[120] = disk.free
        assert scene.run() == TransformResult()
        assert "No space left on device" in scene.waited[0]
        assert "No space left on device" in shown[0].waiting
        assert len(scene.out("a.csv")) == 4_000


def test_errors_that_cannot_be_published_at_first_cost_no_output(scene: Scene) -> None:
    """The output itself is where it belongs by then, and no longer here."""
    write(scene, "a.csv", "x", "bad", "y")
    scene.asked.lenient, scene.more["on_bad_rows"] = True, BadRows.ERRORS
    refuse = refusing(scene, 100, S3_AWAY)
    scene.storage.refuse = lambda uri: refuse(uri) if uri.endswith(".jsonl") else None
    assert scene.run() == TransformResult()
    assert scene.out("a.csv") == ["x", "y"]
    assert (scene.sink / "a.csv.errors.jsonl").read_text() == '{"line":2,"message":"bad"}\n'
    assert scene.storage.published == {"a.csv.out": 1, "a.csv.errors.jsonl": 1}


def test_a_resumed_job_does_what_failed_and_what_has_changed_and_nothing_else(scene: Scene) -> None:
    write(scene, "a.csv", *rows(5))
    write(scene, "b.csv", *rows(5, 100), "bad one", *rows(5, 200))
    write(scene, "c.csv", *rows(5, 300))
    ended = scene.run()
    assert "b.csv: record 6: it is bad" in ended.reason
    assert scene.run() == ended  # within one attempt nothing is tried again
    (scene.source / "c.csv").write_text("another\n")
    (scene.source / "new.csv").write_text("came later\n")
    failed_again = scene.run(resumed=1)
    assert "b.csv: record 6" in failed_again.reason
    assert scene.out("c.csv") == ["another"]
    write(scene, "b.csv", *rows(5, 100), "good one", *rows(5, 200))
    assert scene.run(resumed=2) == TransformResult("", 2)
    assert scene.out("b.csv") == [*rows(5, 100), "good one", *rows(5, 200)]
    assert scene.storage.published == {"a.csv.out": 1, "b.csv.out": 1, "c.csv.out": 2}
    assert scene.asked.lines["row 0"] == 1


def test_a_resumed_object_goes_on_where_it_failed(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    write(scene, "a.csv", *rows(10), "bad", *rows(10, 50))
    assert "record 11: it is bad" in scene.run().reason
    answer = scene.asked.answer

    async def mended(batch: Batch) -> BatchAnswer:
        return await answer(replace(batch, body=batch.body.replace(b"bad", b"good")))

    monkeypatch.setattr(scene.asked, "answer", mended)
    assert scene.run(resumed=1) == TransformResult("", 1)
    assert scene.out("a.csv") == [*rows(10), "good", *rows(10, 50)]
    assert all(scene.asked.lines[line] == 1 for line in rows(10))


def test_an_object_of_bad_records_alone_begins_anew(scene: Scene) -> None:
    write(scene, "a.csv", "bad 1", "bad 2")
    scene.asked.lenient, scene.more["on_bad_rows"] = True, BadRows.ERRORS
    assert "turned every record down" in scene.run().reason
    assert "turned every record down" in scene.run(resumed=1).reason
    assert scene.asked.lines["bad 1"] == 2
