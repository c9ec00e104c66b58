"""Requests whose replies go to a function: kept connections, connections that ended meanwhile, and replies left
unread."""

import asyncio
from contextlib import suppress
from pathlib import Path

from tests.unit.http1.test_http1_client import OK, Server, ask
from tidegate.http1.client import HttpClient
from tidegate.http1.messages import ConnectionBroken, HttpReply, Unreachable

REQUEST = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"


class Replies:
    """What a function was given."""

    def __init__(self) -> None:
        self.taken: list[HttpReply | Exception] = []

    async def next(self) -> HttpReply | Exception:
        while not self.taken:
            await asyncio.sleep(0.001)
        return self.taken.pop(0)

    async def body(self) -> bytes:
        reply = await self.next()
        assert isinstance(reply, HttpReply), reply
        return reply.body


async def test_a_reply_is_handed_over_and_its_connection_is_kept(tmp_path: Path) -> None:
    async def scene(server: Server) -> None:
        client, replies = server.client(), Replies()
        for _ in range(3):
            client.ask(REQUEST, replies.taken.append)
            assert await replies.body() == b"ok"
        assert server.connections == 1 and server.requests == [REQUEST] * 3

    await ask(tmp_path, OK, scene)


async def test_a_kept_connection_that_the_server_closed_is_replaced_once(tmp_path: Path) -> None:
    ended = False

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal ended
        await reader.readuntil(b"\r\n\r\n")
        if not ended:
            writer.write(OK)
            await reader.readuntil(b"\r\n\r\n")
            ended = True  # the next request comes, and the connection ends without a byte
        elif len(closed) < 2:
            writer.write(OK)
            await reader.read()
        closed.append(None)
        writer.close()

    closed: list[None] = []
    async with asyncio.timeout(300):
        listener = await asyncio.start_unix_server(serve, tmp_path / "s")
        client, replies = HttpClient(str(tmp_path / "s"), 100), Replies()
        client.ask(REQUEST, replies.taken.append)
        assert await replies.body() == b"ok"
        client.ask(REQUEST, replies.taken.append)
        assert await replies.body() == b"ok"
        client.close()
        while len(closed) < 2:
            await asyncio.sleep(0.001)
        client.ask(REQUEST, replies.taken.append)  # a new connection that ends is not replaced
        assert isinstance(await replies.next(), ConnectionBroken) and len(closed) == 3
        listener.close()


async def test_a_paused_reply_is_read_when_it_is_resumed_and_none_after_it_is_abandoned(tmp_path: Path) -> None:
    async def scene(server: Server) -> None:
        client, replies = server.client(), Replies()
        client.ask(REQUEST, replies.taken.append)
        await replies.body()
        exchange = client.ask(REQUEST, replies.taken.append)
        exchange.pause()
        while len(server.requests) < 2:
            await asyncio.sleep(0.001)
        other = Replies()
        client.ask(REQUEST, other.taken.append)
        await other.body()  # on a second connection, after the first reply was sent
        assert not replies.taken
        exchange.resume()
        assert await replies.body() == b"ok"
        dropped = client.ask(REQUEST, replies.taken.append)
        dropped.abandon()
        client.ask(REQUEST, other.taken.append)
        await other.body()
        assert not replies.taken

    await ask(tmp_path, OK, scene)


async def test_what_cannot_be_sent_or_is_too_large_is_an_error(tmp_path: Path) -> None:
    async def scene(server: Server) -> None:
        replies = Replies()
        server.client(1).ask(REQUEST, replies.taken.append)
        assert isinstance(await replies.next(), ValueError)
        HttpClient(str(tmp_path / "absent"), 1).ask(REQUEST, replies.taken.append)
        assert isinstance(await replies.next(), Unreachable)

    await ask(tmp_path, OK, scene)


async def test_a_client_that_is_closed_while_it_connects_says_so(tmp_path: Path) -> None:
    async def scene(server: Server) -> None:
        client, replies = server.client(), Replies()
        client.ask(REQUEST, replies.taken.append)
        client.close()
        assert isinstance(await replies.next(), ConnectionBroken)

    await ask(tmp_path, OK, scene)


async def test_what_comes_after_a_reply_is_never_taken_for_the_next_one(tmp_path: Path) -> None:
    served = ended = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal served, ended
        served += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK + (b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n" if served == 1 else b""))
        with suppress(ConnectionError):
            await reader.read()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        ended += 1

    async with asyncio.timeout(300):
        listener = await asyncio.start_unix_server(serve, tmp_path / "s")
        client, replies = HttpClient(str(tmp_path / "s"), 100), Replies()
        for _ in range(2):
            client.ask(REQUEST, replies.taken.append)
            assert await replies.body() == b"ok"
        assert served == 2
        client.close()
        while ended < 2:
            await asyncio.sleep(0.001)
        listener.close()
