"""Capture of streamed answers: whole ones are written, what breaks off is none, and memory is bounded."""

import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tidegate.domain.capture import Capture, Redaction
from tidegate.domain.fleet import FleetId
from tidegate.features.capture.worker import recorder as module
from tidegate.features.capture.worker.recorder import CAPTURED, DROPPED, Recorder
from tidegate.serving.contract.invocation import Answer, ModelFailed, Stream
from tidegate.serving.contract.replica_spec import CaptureSpec, ReplicaSpec

AT = 1_644_859_549_062_500
HEADERS = {b"content-type": b"application/json", b"x-amzn-sagemaker-inference-id": b"chat-1"}
Make = Callable[..., Recorder]


class Source:
    """``breaks``: before the last part, as a model's stream may."""

    def __init__(self, *parts: bytes, breaks: bool = False) -> None:
        self._parts, self._breaks = list(parts), breaks
        self.closed = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._breaks and len(self._parts) == 1:
            raise ModelFailed(500, "it fell over")
        if not self._parts:
            raise StopAsyncIteration
        return self._parts.pop(0)

    async def aclose(self) -> None:
        self.closed = True


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[Recorder] = []

    def begin(take: Callable[[], bool] = lambda: True, queued: bool = False, **plan: Any) -> Recorder:
        spec = ReplicaSpec(
            replica="r1",
            fleet=FleetId("chat", 1, "blue"),
            config_name="c",
            containers=(),
            socket="",
            queued=queued,
        )
        capture = CaptureSpec(
            plan=Capture((tmp_path / "out").as_uri(), **plan),
            spool=str(tmp_path / "spool" / "r1"),
            spool_bytes=10**8,
            seconds=3600.0,
            roots=(str(tmp_path),),
        )
        made.append(Recorder(spec, capture, take))
        made[-1].start()
        return made[-1]

    yield begin
    for one in made:
        one.close()


def records(folder: Path) -> list[dict[str, Any]]:
    paths = sorted(folder.glob("out/chat/blue/*/*/*/*/*.jsonl"))
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


async def deliver(
    recorder: Recorder, source: Source, content_type: str = "text/csv", sent: bytes | None = b"{}"
) -> list[bytes]:
    """What the client gets."""
    stream = Stream(content_type, source)
    tap = recorder.follow(stream, len(sent or b""))
    got: list[bytes] = []
    try:
        async for part in tap if tap is not None else source:
            got.append(part)
        whole = True
    except ModelFailed:
        whole = False
        got.append(b"broken")
    if tap is not None:
        await tap.aclose()
        recorder.offer_stream(AT, HEADERS, sent, (content_type, tap), whole)
    return got


def dropped(recorder: Recorder) -> float:
    return {note.name: note.value for note in recorder.take_notes()}.get(DROPPED, 0)


async def test_a_stream_is_written_as_one_answer(make: Make, tmp_path: Path) -> None:
    made, source = make(), Source(b"0,", b"1,", b"2")
    assert await deliver(made, source) == [b"0,", b"1,", b"2"]
    made.close()
    (line,) = records(tmp_path)
    assert line["captureData"]["endpointInput"]["data"] == "{}"
    assert line["captureData"]["endpointOutput"] == {
        "observedContentType": "text/csv",
        "mode": "OUTPUT",
        "data": "0,1,2",
        "encoding": "CSV",
    }
    assert line["eventMetadata"]["inferenceId"] == "chat-1"
    assert source.closed and dropped(made) == 0


async def test_a_stream_that_breaks_off_is_no_answer(make: Make, tmp_path: Path) -> None:
    made = make()
    assert await deliver(made, Source(b"0,", b"1,", breaks=True)) == [b"0,", b"broken"]
    made.close()
    assert records(tmp_path) == [] and dropped(made) == 0


async def test_a_stream_that_is_not_sampled_is_not_followed(make: Make, tmp_path: Path) -> None:
    made = make(take=lambda: False)
    assert await deliver(made, Source(b"0,")) == [b"0,"]
    made.close()
    assert records(tmp_path) == []


@pytest.mark.parametrize("redaction", [None, Redaction()])
async def test_a_stream_that_is_too_long_is_passed_on_and_left_out_of_its_line(
    make: Make, tmp_path: Path, redaction: Redaction | None
) -> None:
    made, part = make(redaction=redaction), b"1" * (module.LARGEST // 4)
    assert len(await deliver(made, Source(*[part] * 8))) == 8
    assert await deliver(made, Source(b"1"), sent=None) == [b"1"]
    made.close()
    assert dropped(made) == 1, "a request that is not in memory"
    (line,) = records(tmp_path)
    assert list(line["captureData"]) == ["endpointInput"]
    assert line["eventMetadata"]["inferenceId"] == "chat-1"


async def test_streams_in_progress_have_a_bound_together(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one gives up is there for others, and so is what one took that has ended."""
    monkeypatch.setattr(module, "MOST_BYTES", 1600)
    made = make()
    streams = [Stream("text/csv", Source(b"1" * 700, b"2" * 50)) for _ in range(3)]
    taps = [made.follow(stream, 2) for stream in streams]
    for _ in range(2):
        for tap in taps:
            assert tap is not None
            await anext(tap)
    assert [tap.over for tap in taps if tap is not None] == [False, False, True]
    for stream, tap in zip(streams, taps, strict=True):
        assert tap is not None and [part async for part in tap] == []
        made.offer_stream(AT, HEADERS, b"{}", (stream.content_type, tap), True)
    assert made._streaming == 0
    assert dropped(made) == 2, "the first one, while the second one is held, and the last one in a full queue"
    made.close()
    assert [len(line["captureData"]) for line in records(tmp_path)] == [2]


async def test_asynchronous_answers_may_be_larger(make: Make, tmp_path: Path) -> None:
    made = make(queued=True)
    made.offer(AT, HEADERS, b"{}", Answer(b"1" * (2 * module.LARGEST), "text/csv"))
    made.offer(AT, HEADERS, b"{}", Answer(b"1" * (module.LARGEST_QUEUED + 1), "text/csv"))
    assert dropped(made) == 1
    made.close()
    assert len(records(tmp_path)) == 1


@pytest.mark.parametrize(
    ("content_type", "parts", "written"),
    [
        ("application/json", (b'{"text": "ssn 123-4', b'5-6789"}'), '{"text":"ssn [ssn]"}'),
        ("application/json", (b'{"t":"Jane"}\n', b'{"t":" Doe"}\n'), None),
        ("text/event-stream", (b'data: {"t":"Jane"}\n\n', b'data: {"t":" Doe"}\n\n'), None),
    ],
    ids=["a document in two parts", "lines of pieces", "events of pieces"],
)
async def test_an_identity_in_pieces_is_not_written(
    make: Make, tmp_path: Path, content_type: str, parts: tuple[bytes, ...], written: str | None
) -> None:
    made = make(json=("application/json", "text/event-stream"), redaction=Redaction())
    await deliver(made, Source(*parts), content_type)
    made.close()
    (line,) = records(tmp_path)
    found = line["captureData"].get("endpointOutput")
    assert (None if found is None else found["data"]) == written
    assert made._captured == 1
    assert CAPTURED in {note.name for note in made.take_notes()}
