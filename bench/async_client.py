"""Clients that queue requests, light enough to leave the machine to the platform: plain HTTP on kept connections."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass

CLIENTS = 64
PAUSE = 0.1
"""Seconds before a client that was told no, or nothing, asks again."""
PATIENCE = 30.0


@dataclass(frozen=True)
class Ask:
    """One request: which endpoint, what, and the headers of its own."""

    number: int
    endpoint: str
    body: bytes
    headers: str = ""

    def text(self) -> bytes:
        head = (
            f"POST /endpoints/{self.endpoint}/async-invocations HTTP/1.1\r\nHost: localhost\r\n"
            f"X-Amzn-SageMaker-Content-Type: text/csv\r\n{self.headers}Content-Length: {len(self.body)}\r\n\r\n"
        )
        return head.encode() + self.body


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]


async def ask_all(
    port: int, asks: Iterator[Ask], took: Callable[[Ask, Answer], None], clients: int = CLIENTS
) -> int:
    """Each is asked until it is accepted, then given to ``took``. Returns how often it was told no, or nothing."""
    refused = 0

    async def client() -> None:
        nonlocal refused
        line = Line(port)
        for ask in asks:
            while (answer := await line.ask(ask.text())) is None or answer.status != 202:
                refused += 1
                await asyncio.sleep(PAUSE)
            took(ask, answer)
        line.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    return refused


class Line:
    """One connection, made anew when it broke."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._ends: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, text: bytes) -> Answer | None:
        """None: no whole answer came."""
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._ask(text)
        except (OSError, TimeoutError, EOFError, ValueError):
            self.close()
            return None

    async def _ask(self, text: bytes) -> Answer:
        if self._ends is None:
            self._ends = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._ends
        writer.write(text)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:-2])}
        await reader.readexactly(int(headers.get("content-length", "0")))
        if headers.get("connection") == "close":
            self.close()
        return Answer(int(head[0].split()[1]), headers)

    def close(self) -> None:
        if self._ends is not None:
            self._ends[1].close()
            self._ends = None
