"""One attempt of a request on the model, through the proxy's private socket. Bodies go from and to disk in parts."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

from tidegate.domain.asynchronous import Item
from tidegate.http1.client import HttpClient
from tidegate.http1.exchange import Exchange, TakeAny
from tidegate.http1.messages import ConnectionBroken, HttpReply, LongBody, StreamedReply, Streaming, Unreachable
from tidegate.queueing.transitions import AttemptFailed, FaultKind
from tidegate.storage.files import CHUNK

Body = bytes | Path

IN_MEMORY = 256 * 1024
"""Bytes of a response that is not written to a scratch file."""
MOST_REASON = 64 * 1024
"""Bytes of a failed response that are read for its reason."""
KEPT = 200
"""Idle connections that are kept."""
CONNECT_TIMEOUT = 5.0
"""Seconds."""
INFERENCE_ID = "x-amzn-sagemaker-inference-id"
_HEADS = 256
"""Beginnings of heads that are kept."""


class ModelResponse(NamedTuple):
    """A response of the model."""

    body: Body
    content_type: str
    variant: str


class _ResponseTooLong(Exception):
    """The response has more bytes than are allowed."""


class ModelClient:
    """A client that sends requests to the model. ``socket``: the proxy's. ``most``: largest size of a response, in
    bytes."""

    def __init__(self, socket: str, most: int) -> None:
        self._most = most
        self._client = HttpClient(socket, IN_MEMORY, kept=KEPT, connect_timeout=CONNECT_TIMEOUT)
        self._streaming = Streaming(IN_MEMORY, wrong=lambda error: error, any_status=True)

    def close(self) -> None:
        self._client.close()

    async def ask(self, item: Item, body: Body, scratch: Callable[[], Path]) -> ModelResponse | AttemptFailed:
        """Send a request and wait for its response. ``scratch`` names a file for a response that is large."""
        try:
            async with asyncio.timeout(item.timeout):
                return await self._receive(await self._send(item, body), scratch)
        except (TimeoutError, ConnectionBroken, ValueError, _ResponseTooLong) as error:
            return self._explain(error, item)

    def begin(self, item: Item, body: bytes, take: TakeAny) -> Exchange:
        """Send it and return at once; ``read`` says what ``take`` got. Whoever begins it ends it after its time."""
        return self._client.ask_streaming(_request_head(item, len(body)) + body, take, self._streaming)

    def read(self, got: HttpReply | Exception, item: Item) -> ModelResponse | AttemptFailed:
        """Interpret what a request that was begun has received. Raises any exception that is not a failure of the
        request itself."""
        if isinstance(got, HttpReply):
            return self._read_whole(got)
        if isinstance(got, (TimeoutError, ConnectionBroken, ValueError)):
            return self._explain(got, item)
        raise got

    async def finish(
        self, item: Item, reply: StreamedReply, seconds: float, scratch: Callable[[], Path]
    ) -> ModelResponse | AttemptFailed:
        """Receive a response that is streamed, for so many seconds at most."""
        try:
            async with asyncio.timeout(seconds):
                return await self._receive(reply, scratch)
        except (TimeoutError, ConnectionBroken, ValueError, _ResponseTooLong) as error:
            return self._explain(error, item)

    def _explain(self, error: Exception, item: Item) -> AttemptFailed:
        if isinstance(error, TimeoutError):
            return AttemptFailed(
                FaultKind.SERVER_ERROR,
                f"Received server error (0) from model: no answer within {item.timeout:g} s.",
            )
        if isinstance(error, Unreachable):
            return AttemptFailed(FaultKind.BUSY, f"The proxy cannot be reached: {error.reason}.")
        if isinstance(error, _ResponseTooLong):
            return AttemptFailed(FaultKind.MODEL, f"The answer has more than {self._most} bytes.")
        return AttemptFailed(FaultKind.INSTANCE_LOST, f"The connection to the model broke off: {error}.")

    async def _send(self, item: Item, body: Body) -> HttpReply | StreamedReply:
        if isinstance(body, bytes):
            return await self._client.send(_request_head(item, len(body)) + body, None, self._streaming)
        long = LongBody(body.stat().st_size, partial(_read, body))
        return await self._client.send(_request_head(item, long.size), long, self._streaming)

    async def _receive(
        self, reply: HttpReply | StreamedReply, scratch: Callable[[], Path]
    ) -> ModelResponse | AttemptFailed:
        if isinstance(reply, HttpReply):
            return self._read_whole(reply)
        async with aclosing(reply.parts) as parts:
            if reply.status != 200:
                return interpret(reply.status, await self._reason(parts))
            body = await self._collect(parts, scratch)
        return _response(reply, body)

    def _read_whole(self, reply: HttpReply) -> ModelResponse | AttemptFailed:
        if reply.status != 200:
            return interpret(reply.status, reply.body[:MOST_REASON])
        return _response(reply, reply.body)

    async def _reason(self, parts: AsyncIterator[bytes]) -> bytes:
        reason = bytearray()
        async for part in parts:
            reason += part[: MOST_REASON - len(reason)]
        return bytes(reason)

    async def _collect(self, parts: AsyncIterator[bytes], scratch: Callable[[], Path]) -> Body:
        held, size = bytearray(), 0
        async for part in parts:
            held += part
            size += len(part)
            if size > IN_MEMORY:
                break
        else:
            return bytes(held)
        path = scratch()
        with path.open("wb") as file:
            async for part in parts:
                held += part
                size += len(part)
                if size > self._most:
                    raise _ResponseTooLong
                if len(held) >= CHUNK:
                    await asyncio.to_thread(file.write, held)
                    held = bytearray()
            await asyncio.to_thread(file.write, held)
        return path


async def _read(path: Path) -> AsyncGenerator[bytes, None]:
    with path.open("rb") as file:
        while part := await asyncio.to_thread(file.read, CHUNK):
            yield part


def _response(reply: HttpReply | StreamedReply, body: Body) -> ModelResponse:
    content_type = reply.headers.get(b"content-type", b"application/octet-stream")
    variant = reply.headers.get(b"x-amzn-invoked-production-variant", b"")
    return ModelResponse(body, content_type.decode("latin-1"), variant.decode("latin-1"))


def interpret(status: int, body: bytes) -> AttemptFailed:
    """Interpret a response whose status is not 200."""
    try:
        error = json.loads(body)
    except ValueError:
        error = None
    message = str(error.get("Message") or error.get("message") or "") if isinstance(error, dict) else ""
    message = message.encode(errors="replace").decode()  # half a surrogate pair cannot be recorded
    if status == 424 and isinstance(error, dict):
        original = int(error.get("OriginalStatusCode") or 0)
        if not original:
            return AttemptFailed(FaultKind.INSTANCE_LOST, message)
        return AttemptFailed(FaultKind.SERVER_ERROR if original >= 500 else FaultKind.MODEL, message)
    if status in (429, 502, 503, 504):
        return AttemptFailed(FaultKind.BUSY, message or f"No instance took the request (status {status}).")
    if status >= 500:
        return AttemptFailed(
            FaultKind.PLATFORM, message or f"The platform failed on the request (status {status})."
        )
    return AttemptFailed(FaultKind.MODEL, message or f"The request was turned away with status {status}.")


def _request_head(item: Item, size: int) -> bytes:
    """The head of a request with a body of ``size`` bytes."""
    given = item.headers
    beginning = _render_beginning(item.endpoint, tuple(given.items()))
    # What is captured of a request is found by its id.
    id = b"" if INFERENCE_ID in given else _line(INFERENCE_ID, item.inference_id)
    return b"%b%bcontent-length: %d\r\n\r\n" % (beginning, id, size)


@lru_cache(_HEADS)
def _render_beginning(endpoint: str, headers: tuple[tuple[str, str], ...]) -> bytes:
    lines = [f"POST /endpoints/{endpoint}/invocations HTTP/1.1\r\nhost: queue\r\n".encode("latin-1")]
    return b"".join((*lines, *(_line(*header) for header in headers)))


def _line(name: str, value: str) -> bytes:
    # Values came in as headers, so a line end within one has no meaning.
    text = f"{name}: {value}"
    if "\r" in text or "\n" in text:
        text = text.replace("\r", " ").replace("\n", " ")
    return text.encode("latin-1", "replace") + b"\r\n"
