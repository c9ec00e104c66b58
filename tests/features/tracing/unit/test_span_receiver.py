"""What workers send as spans is checked, since they run code of models."""

import asyncio
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.domain.spans import Span, SpanBatch, SpanContext, SpanEvent
from tidegate.features.tracing.span_receiver import SpanReceiver, is_credible
from tidegate.features.tracing.worker.traced_server import FLUSH_AT, SpanSender

ONE = Span("1" * 32, "2" * 16, "3" * 16, "model", 1, 2, attributes={"tidegate.batch.rows": 3})


@pytest.fixture
def path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tg-") as name:
        yield Path(name) / "spans.sock"


async def test_spans_come_over_and_what_is_no_batch_is_counted(path: Path) -> None:
    taken: list[Span] = []
    lost: list[int] = []
    sender = SpanSender(str(path))
    sender.add([ONE] * FLUSH_AT)  # nobody listens yet
    receiver = SpanReceiver(path, taken.extend, lost.append)
    receiver.open()
    assert path.stat().st_mode & 0o777 == 0o600
    whole = replace(
        ONE,
        events=(SpanEvent("fetched", 1, {"a": 0.5}),),
        link=SpanContext("4" * 32, "5" * 16),
        error="status 500",
        state="a=1",
    )
    sender.add([whole])
    sender.flush()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger:
        for data in (b"", b"\xff" * 50, b"\x91" * 5000, msgspec.msgpack.encode({"spans": 1})):
            stranger.sendto(data, str(path))
        stranger.sendto(msgspec.msgpack.encode(SpanBatch([replace(ONE, end=0)], -5)), str(path))
    for _ in range(3):
        receiver.read()
    assert taken == [whole]
    assert sum(lost) == FLUSH_AT + 4 + 1
    receiver.close()
    assert not path.exists()
    sender.close()


async def test_a_flood_is_left_in_the_socket_until_there_is_time_for_it(path: Path) -> None:
    """So that a client which asks for a trace of each of its requests takes none of the controller's time."""
    taken: list[Span] = []
    receiver = SpanReceiver(path, taken.extend, lambda count: None)
    receiver.open()
    batch = msgspec.msgpack.encode(SpanBatch([ONE] * 400))
    for _ in range(5):  # a socket each, since each has a limit of its own
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.settimeout(30)
            sender.sendto(batch, str(path))
    for _ in range(20):
        receiver.read()
    assert len(taken) == 1200
    asyncio.get_running_loop().call_soon(receiver._resume, asyncio.get_running_loop())
    async with asyncio.timeout(300):
        while len(taken) < 2000:
            await asyncio.sleep(0.01)
    receiver.close()


async def test_a_flood_of_large_datagrams_costs_as_much_as_their_bytes(path: Path) -> None:
    receiver = SpanReceiver(path, lambda spans: None, lambda count: None)
    large = replace(ONE, attributes={str(number): 1 for number in range(20_000)})
    assert receiver._receive(msgspec.msgpack.encode(SpanBatch([large]))) > 200
    assert receiver._receive(msgspec.msgpack.encode(SpanBatch([ONE] * FLUSH_AT))) == 1 + FLUSH_AT


@pytest.mark.parametrize(
    "changed",
    [
        {"trace_id": "0" * 32},
        {"trace_id": "A" * 32},
        {"span_id": ""},
        {"parent": "x"},
        {"start": 3},
        {"start": -1},
        {"end": 2**63},
        {"name": "x" * 300},
        {"error": "x" * 300},
        {"state": "not one"},
        {"link": SpanContext("", "")},
        {"attributes": {"a": float("nan")}},
        {"attributes": {"a": 2**70}},
        {"attributes": {"a": "x" * 300}},
        {"attributes": {str(number): 1 for number in range(40)}},
        {"events": (SpanEvent("x" * 300, 1),)},
        {"events": (SpanEvent("x", 1),) * 100},
    ],
)
def test_a_span_beyond_the_limits_is_not_credible(changed: dict[str, object]) -> None:
    assert is_credible(ONE)
    assert not is_credible(replace(ONE, **changed))  # type: ignore[arg-type]


@given(st.binary(max_size=200))
def test_no_datagram_ends_the_receiver(data: bytes) -> None:
    lost: list[int] = []
    receiver = SpanReceiver(Path("nowhere"), lambda spans: None, lost.append)
    receiver._receive(data)
    assert lost
