"""Requests to a container whose port is closed."""

import asyncio

import pytest

from tidegate.features.containers.worker.container import PatientClient
from tidegate.host.platform import free_port
from tidegate.http1.client import HttpClient
from tidegate.http1.messages import Unreachable


async def test_a_request_waits_until_the_container_listens_again() -> None:
    heads: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    port = free_port()
    client = HttpClient(port, 1 << 20)
    asking = asyncio.create_task(PatientClient(client).request("POST", "/predict", (), b"1"))
    await asyncio.sleep(0)
    server = await asyncio.start_server(answer, "127.0.0.1", port)
    async with server:
        assert (await asking).status == 200
    assert len(heads) == 1, "it was sent once"
    client.close()


async def test_a_container_that_does_not_come_back_is_unreachable() -> None:
    client = PatientClient(HttpClient(free_port(), 1 << 20), patience=0.0)
    with pytest.raises(Unreachable):
        await client.request("POST", "/predict", (), b"1")
