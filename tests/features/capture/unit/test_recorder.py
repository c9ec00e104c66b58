"""Capture beside the answers: what is written, what is dropped and counted, and that nothing waits for it."""

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tidegate.domain.capture import Capture, Detector, Redaction, RedactionMethod
from tidegate.domain.fleet import FleetId
from tidegate.features.capture.worker import recorder as module
from tidegate.features.capture.worker.recorder import BACKLOG, CAPTURED, DROPPED, Recorder
from tidegate.serving.contract.invocation import Answer
from tidegate.serving.contract.replica_spec import CaptureSpec, ReplicaSpec

AT = 1_644_859_549_062_500
CSV = {b"content-type": b"text/csv"}
PATIENCE = 300.0
Make = Callable[..., Recorder]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[Recorder] = []

    def begin(
        plan: Capture | None = None,
        take: Callable[[], bool] = lambda: True,
        roots: str = "",
        name: str = "r1",
        start: bool = True,
        **more: Any,
    ) -> Recorder:
        spec = ReplicaSpec(
            replica=name, fleet=FleetId("fraud", 1, "blue"), config_name="c", containers=(), socket=""
        )
        capture = CaptureSpec(
            plan=plan or Capture((tmp_path / "out").as_uri()),
            spool=str(tmp_path / "spool" / name),
            roots=(roots or str(tmp_path),),
            **{"spool_bytes": 10**8, "seconds": 3600.0, **more},
        )
        made.append(Recorder(spec, capture, take))
        if start:
            made[-1].start()
        return made[-1]

    yield begin
    for one in made:
        one.close()


def records(folder: Path) -> list[dict[str, Any]]:
    paths = sorted(folder.glob("out/fraud/blue/*/*/*/*/*.jsonl"))
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


def counts(given: Recorder) -> dict[str, float]:
    return {note.name: note.value for note in given.take_notes()}


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def offer(given: Recorder, body: bytes = b"1,2", **headers: str) -> None:
    more = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    given.offer(AT, CSV | more, body, Answer(b"0.5", "text/csv"))


def test_what_was_asked_and_answered_is_written_with_its_id(make: Make, tmp_path: Path) -> None:
    made = make()
    offer(made, x_amzn_sagemaker_inference_id="order-7", x_amzn_sagemaker_custom_attributes="trace=1")
    made.close()
    (line,) = records(tmp_path)
    assert line["captureData"]["endpointInput"]["data"] == "1,2"
    assert line["captureData"]["endpointOutput"]["data"] == "0.5"
    about = line["eventMetadata"]
    assert (about["inferenceId"], about["customAttributes"]) == ("order-7", ["trace=1"])
    assert about["inferenceTime"] == "2022-02-14T17:25:49Z" and len(about["eventId"]) == 36
    assert counts(made) == {CAPTURED: 1, BACKLOG: counts(made)[BACKLOG]}
    assert not (tmp_path / "spool" / "r1").exists()


def test_bytes_under_a_type_of_text_are_written_in_base64(make: Make, tmp_path: Path) -> None:
    made = make()
    offer(made, b"\xff")
    offer(made, b"1,2")
    made.close()
    first, second = (line["captureData"] for line in records(tmp_path))
    assert [side["encoding"] for side in first.values()] == ["BASE64", "BASE64"]
    assert base64.b64decode(first["endpointInput"]["data"]) == b"\xff"
    assert [side["encoding"] for side in second.values()] == ["CSV", "CSV"]


def test_every_event_has_an_id_of_its_own(make: Make, tmp_path: Path) -> None:
    made, other = make(), make(name="r2")
    for _ in range(50):
        offer(made)
        offer(other)
    made.close()
    other.close()
    ids = {line["eventMetadata"]["eventId"] for line in records(tmp_path)}
    assert len(ids) == 100 and all(str(UUID(id)) == id for id in ids)


@pytest.mark.parametrize(("inputs", "sides"), [(True, ["endpointInput"]), (False, ["endpointOutput"])])
def test_only_the_chosen_side_is_written(make: Make, tmp_path: Path, inputs: bool, sides: list[str]) -> None:
    made = make(Capture((tmp_path / "out").as_uri(), inputs=inputs, outputs=not inputs))
    offer(made)
    made.close()
    assert [list(line["captureData"]) for line in records(tmp_path)] == [sides]


def test_only_sampled_requests_are_written(make: Make, tmp_path: Path) -> None:
    drawn = iter([True, False] * 10)
    made = make(take=lambda: next(drawn))
    for number in range(20):
        offer(made, str(number).encode())
    made.close()
    assert [line["captureData"]["endpointInput"]["data"] for line in records(tmp_path)] == [
        str(number) for number in range(0, 20, 2)
    ]


def test_files_are_delivered_while_it_runs(make: Make, tmp_path: Path) -> None:
    made = make(seconds=0.01)
    offer(made)
    made.take_notes()
    until(lambda: records(tmp_path))


@pytest.mark.parametrize("redaction", [None, Redaction()])
def test_a_queue_that_is_full_drops_and_counts(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, redaction: Redaction | None
) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 10 * (module.OVERHEAD + len(b"1,2") + len(b"0.5")))
    made = make(Capture((tmp_path / "out").as_uri(), redaction=redaction), start=False)
    for _ in range(25):
        offer(made)
    made.start()
    made.close()
    assert len(records(tmp_path)) == 10
    found = counts(made)
    assert (found[CAPTURED], found[DROPPED]) == (10, 15)


@pytest.mark.parametrize("size", [10, module.SMALL])
def test_small_and_large_requests_are_written_completely(make: Make, tmp_path: Path, size: int) -> None:
    made = make()
    bodies = [f"{number:0{size}d}" for number in range(3 * module.TOGETHER + 1)]
    for body in bodies:
        offer(made, body.encode())
    made.close()
    assert sorted(line["captureData"]["endpointInput"]["data"] for line in records(tmp_path)) == bodies
    assert counts(made)[CAPTURED] == len(bodies)


def test_bodies_that_are_too_large_or_not_in_memory_are_counted(make: Make, tmp_path: Path) -> None:
    made = make()
    offer(made, b"1" * (module.LARGEST + 1))
    made.offer_large()
    offer(made)
    made.close()
    assert len(records(tmp_path)) == 1
    assert counts(made)[DROPPED] == 2


def test_a_target_that_cannot_be_written_fills_the_folder_and_no_more(make: Make, tmp_path: Path) -> None:
    made = make(roots=str(tmp_path / "nowhere"), spool_bytes=1000, seconds=0.01)
    for _ in range(100):
        offer(made)
    made._join_fresh()
    until(lambda: made._captured + made._lost == 100)
    made.close(0.5)
    found = counts(made)
    assert found[CAPTURED] + found[DROPPED] == 100 and 0 < found[CAPTURED] < 5
    left = [path for path in (tmp_path / "spool" / "r1").iterdir() if path.suffix == ".jsonl"]
    assert 0 < sum(path.stat().st_size for path in left) <= 1000
    assert records(tmp_path) == []


def test_what_a_replica_could_not_deliver_is_delivered_by_another(make: Make, tmp_path: Path) -> None:
    first = make(roots=str(tmp_path / "nowhere"))
    offer(first)
    first.close(PATIENCE)
    assert records(tmp_path) == []
    make(name="r2")
    until(lambda: records(tmp_path))


def test_nothing_is_written_without_the_key_that_hashes_need(make: Make, tmp_path: Path) -> None:
    plan = Capture((tmp_path / "out").as_uri(), redaction=Redaction({"a": RedactionMethod.HASH}, key="k"))
    open_key = tmp_path / "open"
    open_key.write_bytes(b"0123456789abcdef")
    open_key.chmod(0o644)
    short = tmp_path / "short"
    short.write_bytes(b"short")
    short.chmod(0o600)
    for name, path in enumerate((tmp_path / "missing", open_key, short)):
        made = make(plan, key_file=str(path), name=f"r{name}")
        offer(made)
        until(partial(getattr, made, "_lost"))
        made.close()
        assert counts(made)[DROPPED] == 1
    assert records(tmp_path) == []


def test_a_body_that_redaction_cannot_read_is_not_written(make: Make, tmp_path: Path) -> None:
    made = make(Capture((tmp_path / "out").as_uri(), redaction=Redaction()))
    made.offer(
        AT, {b"content-type": b"application/x-npy"}, b"\x93NUMPY jane@example.com", Answer(b"0.5", "text/csv")
    )
    made.offer(AT, {}, b"jane@example.com", Answer(b"{", "application/json"))
    made.close()
    assert [list(line["captureData"]) for line in records(tmp_path)] == [["endpointOutput"]]
    assert counts(made)[DROPPED] == 1


def test_what_there_is_no_time_to_write_is_counted(make: Make, tmp_path: Path) -> None:
    made = make(Capture((tmp_path / "out").as_uri(), redaction=Redaction()), start=False)
    for _ in range(2000):
        offer(made, b"jane doe," * 50)
    made.start()
    made.close(0.05)
    until(lambda: not made._writer.is_alive())
    found = counts(made)
    assert found.get(CAPTURED, 0) + found[DROPPED] == 2000 and found[DROPPED] > 0


def test_a_header_is_redacted_before_it_is_cut(make: Make, tmp_path: Path) -> None:
    made = make(Capture((tmp_path / "out").as_uri(), redaction=Redaction(detect=(Detector.SSN,))))
    offer(made, x_amzn_sagemaker_custom_attributes="x" * 1018 + "123-45-6789")
    made.close()
    (line,) = records(tmp_path)
    assert line["eventMetadata"]["customAttributes"] == ["x" * 1018 + "[ssn]"]


def test_no_answer_waits_for_a_disk_that_hangs(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, hangs, goes_on = make(start=False), threading.Event(), threading.Event()
    append = made._spool.append

    def hang(lines: bytes, at: float) -> None:
        hangs.set()
        goes_on.wait(PATIENCE)
        append(lines, at)

    made._spool.append = hang  # type: ignore[method-assign]
    made.start()
    offer(made)
    made.take_notes()
    assert hangs.wait(PATIENCE)
    monkeypatch.setattr(module, "MOST_BYTES", 100_000)
    for _ in range(1000):
        offer(made)
    dropped = counts(made)[DROPPED]
    assert 700 < dropped < 1000
    goes_on.set()
    made.close()
    assert len(records(tmp_path)) == 1001 - dropped


def test_what_nobody_takes_over_is_counted_as_lost(make: Make, tmp_path: Path) -> None:
    made = make(roots=str(tmp_path / "nowhere"), taken_over=False)
    for _ in range(5):
        offer(made)
    made.close(0.2)
    assert counts(made)[DROPPED] == 5
