"""HTTP services for tests: programmable ones within the test's loop."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ssl import SSLContext

OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 3\r\n\r\n[1]"


@dataclass
class Asked:
    """A request as the service got it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int
    """Number of the connection."""


Respond = Callable[[Asked], Awaitable[bytes | None]]
"""Makes the bytes of the response; None: the connection is closed instead."""


@dataclass
class RunningService:
    """A service on a port of loopback. ``asked`` has the requests but for those of health checks."""

    respond: Respond
    port: int = 0
    asked: list[Asked] = field(default_factory=list)
    checks: list[Asked] = field(default_factory=list)
    health: str = "/ping"
    connections: int = 0
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self, context: SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self._server = await asyncio.start_server(self._serve, host, self.port, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close the port and each connection."""
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def break_connections(self) -> None:
        """Close each connection; the port stays open."""
        for writer in list(self._writers):
            writer.transport.abort()
        while self._writers:
            await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        self._writers.add(writer)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                method, path, _ = head[0].split(" ")
                headers = dict(_header(line) for line in head[1:] if line)
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                asked = Asked(method, path, headers, body, number)
                (self.checks if path.endswith(self.health) else self.asked).append(asked)
                response = await self.respond(asked)
                if response is None:
                    return
                writer.write(response)
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.transport.abort()


def _header(line: str) -> tuple[str, str]:
    name, _, value = line.partition(": ")
    return name.lower(), value


def response(body: bytes, status: int = 200, content_type: str = "application/json", more: str = "") -> bytes:
    """A whole response. ``more``: further header lines, each with its line break."""
    head = f"HTTP/1.1 {status} -\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n{more}\r\n"
    return head.encode() + body


async def answer_well(asked: Asked) -> bytes | None:
    return OK


@asynccontextmanager
async def service(
    respond: Respond = answer_well, *, context: SSLContext | None = None
) -> AsyncIterator[RunningService]:
    """A service that runs for as long as the block does."""
    running = RunningService(respond)
    await running.start(context)
    try:
        yield running
    finally:
        await running.stop()
