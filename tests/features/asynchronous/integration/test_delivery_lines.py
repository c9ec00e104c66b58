"""Requests of the dispatcher on a real socket: how answers come back, whole or not."""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest

from tidegate.domain.asynchronous import Item
from tidegate.features.asynchronous.dispatcher.calls import IN_MEMORY, Body, ModelClient, ModelResponse
from tidegate.queueing.transitions import AttemptFailed, FaultKind

Result = ModelResponse | AttemptFailed
Answering = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
ITEM = Item("a", "fraud", "a", 0.0, 60.0, 5.0, "file:///out/a.out", headers={"accept": "text/csv\r\nx: y"})


def asked(folder: Path, answering: Answering, body: Body = b"body", most: int = 1 << 30) -> list[Result]:
    """Two requests, one after the other, to a server that answers each connection so."""

    async def test() -> list[Result]:
        path = str(folder / "socket")
        ended: list[asyncio.Future[None]] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            ended.append(end)
            with contextlib.suppress(EOFError, OSError):
                await answering(reader, writer)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            end.set_result(None)

        server = await asyncio.start_unix_server(serve, path)
        calls = ModelClient(path, most)
        try:
            return [await calls.ask(ITEM, body, partial(folder.joinpath, f"scratch-{n}")) for n in range(2)]
        finally:
            calls.close()
            server.close()
            await asyncio.gather(*ended)

    return asyncio.run(test())


async def request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    size = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"content-length"))
    return head + await reader.readexactly(size)


def always(*parts: bytes, times: int = 9) -> Answering:
    async def answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(times):
            await request(reader)
            for part in parts:
                writer.write(part)
                await writer.drain()

    return answering


OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\n"


@pytest.mark.parametrize(
    "parts",
    [
        (OK + b"Content-Length: 5\r\n\r\nwhole",),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nwh\r\n", b"3;x=y\r\nole\r\n0\r\nTrailer: x\r\n\r\n"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, b"Content-Length: 5\r\n\r\nwho", b"le"),
    ],
)
def test_an_answer_is_put_together_and_its_connection_used_again(tmp_path: Path, parts: tuple[bytes, ...]) -> None:
    assert asked(tmp_path, always(*parts)) == [ModelResponse(b"whole", "text/csv", "")] * 2


def test_an_answer_may_end_with_its_connection(tmp_path: Path) -> None:
    assert asked(tmp_path, always(OK + b"\r\nwhole", times=1)) == [ModelResponse(b"whole", "text/csv", "")] * 2


def test_a_kept_connection_that_was_closed_is_replaced(tmp_path: Path) -> None:
    assert (
        asked(tmp_path, always(OK + b"Content-Length: 5\r\n\r\nwhole", times=1))
        == [ModelResponse(b"whole", "text/csv", "")] * 2
    )


@pytest.mark.parametrize(
    "part",
    [
        OK + b"Content-Length: 9\r\n\r\nhalf",
        OK + b"Transfer-Encoding: chunked\r\n\r\n9\r\nhalf",
        b"HTTP/1.1 2",
        b"?\r\n\r\n",
    ],
)
def test_half_an_answer_is_none(tmp_path: Path, part: bytes) -> None:
    for answer in asked(tmp_path, always(part, times=1)):
        assert isinstance(answer, AttemptFailed) and answer.fault is FaultKind.INSTANCE_LOST


def test_large_bodies_go_from_file_to_file(tmp_path: Path) -> None:
    content = os.urandom(IN_MEMORY * 5 + 3)
    (tmp_path / "input").write_bytes(content)

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not reader.at_eof():
            body = (await request(reader)).partition(b"\r\n\r\n")[2]
            writer.write(OK + b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
            await writer.drain()

    for answer in asked(tmp_path, echo, tmp_path / "input"):
        assert isinstance(answer, ModelResponse) and isinstance(answer.body, Path)
        assert answer.body.read_bytes() == content


def test_a_chunk_above_what_is_held_in_memory_goes_to_a_file(tmp_path: Path) -> None:
    size = IN_MEMORY * 3
    chunk = b"%x\r\n%b\r\n0\r\n\r\n" % (size, b"x" * size)
    for answer in asked(tmp_path, always(OK + b"Transfer-Encoding: chunked\r\n\r\n", chunk)):
        assert isinstance(answer, ModelResponse) and isinstance(answer.body, Path)
        assert answer.body.read_bytes() == b"x" * size


def test_an_input_that_cannot_be_read_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for answer in asked(tmp_path, always(OK + b"Content-Length: 0\r\n\r\n"), tmp_path / "folder"):
        assert isinstance(answer, AttemptFailed) and answer.fault is FaultKind.INSTANCE_LOST
        assert "the request's body cannot be read" in answer.reason


def test_an_answer_that_is_too_long_is_refused(tmp_path: Path) -> None:
    size = IN_MEMORY * 3
    answers = asked(
        tmp_path, always(OK + b"Content-Length: %d\r\n\r\n%b" % (size, b"x" * size)), most=IN_MEMORY * 2
    )
    assert all(isinstance(answer, AttemptFailed) and answer.fault is FaultKind.MODEL for answer in answers)


def test_a_refusal_before_the_body_is_read_is_heard(tmp_path: Path) -> None:
    (tmp_path / "input").write_bytes(b"x" * 20_000_000)
    full = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(full)
        await writer.drain()
        while await reader.read(1 << 16):
            pass

    for answer in asked(tmp_path, refuse, tmp_path / "input"):
        assert isinstance(answer, AttemptFailed) and answer.fault is FaultKind.BUSY


def test_a_header_cannot_make_another_one(tmp_path: Path) -> None:
    seen: list[bytes] = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await request(reader))
        writer.write(OK + b"Connection: close\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    asked(tmp_path, note)
    assert len(seen) == 2
    assert all(b"\r\naccept: text/csv  x: y\r\n" in one and b"\r\nx: y" not in one for one in seen)


async def test_a_proxy_that_is_away_is_no_fault_of_the_model(tmp_path: Path) -> None:
    found = await ModelClient(str(tmp_path / "absent"), 1).ask(ITEM, b"", partial(tmp_path.joinpath, "scratch"))
    assert found == AttemptFailed(
        FaultKind.BUSY, "The proxy cannot be reached: [Errno 2] No such file or directory."
    )
