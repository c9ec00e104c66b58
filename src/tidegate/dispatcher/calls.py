"""One try of a request on the model, through the proxy's private door. Bodies go from and to the disk in pieces."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tidegate.dispatcher.files import CHUNK, Body
from tidegate.dispatcher.http_pool import Broken, Line, Lines, Unreachable
from tidegate.domain.asynchronous import Item
from tidegate.queueing.transitions import Fault, Wrong

IN_MEMORY = 256 * 1024
"""Bytes of an answer that is not written to a scratch file."""
MOST_TOLD = 64 * 1024
"""Bytes of an answer that is none, of which the reason is made."""


@dataclass(frozen=True)
class Got:
    """An answer of the model."""

    body: Body
    content_type: str
    variant: str


class TooLong(Exception):
    """An answer of more bytes than there may be."""


class Calls:
    """``socket``: the proxy's. ``most``: bytes of an answer."""

    def __init__(self, socket: str, most: int) -> None:
        self._most = most
        self._lines = Lines(socket)

    def close(self) -> None:
        self._lines.close()

    async def ask(self, item: Item, body: Body, scratch: Callable[[], Path]) -> Got | Wrong:
        """``scratch`` names a file for an answer that is large."""
        try:
            async with asyncio.timeout(item.timeout):
                line = await self._lines.ask(_head(item, body), body)
                try:
                    return await self._received(line, scratch)
                finally:
                    self._lines.give_back(line)
        except TimeoutError:
            return Wrong(
                Fault.SHAKY, f"Received server error (0) from model: no answer within {item.timeout:g} s."
            )
        except Unreachable as error:
            return Wrong(Fault.BUSY, f"The proxy cannot be reached: {error}.")
        except Broken as error:
            return Wrong(Fault.LOST, f"The connection to the model broke off: {error}.")
        except TooLong:
            return Wrong(Fault.MODEL, f"The answer has more than {self._most} bytes.")

    async def _received(self, line: Line, scratch: Callable[[], Path]) -> Got | Wrong:
        headers = line.head.headers
        if line.head.status != 200:
            told = bytearray()
            async for part in line.parts():
                told += part[: MOST_TOLD - len(told)]
            return wrong(line.head.status, bytes(told))
        return Got(
            await self._body(line, scratch),
            headers.get("content-type", "application/octet-stream"),
            headers.get("x-amzn-invoked-production-variant", ""),
        )

    async def _body(self, line: Line, scratch: Callable[[], Path]) -> Body:
        kept, size = bytearray(), 0
        parts = line.parts()
        async for part in parts:
            kept += part
            size += len(part)
            if size > IN_MEMORY:
                break
        else:
            return bytes(kept)
        path = scratch()
        with path.open("wb") as file:
            async for part in parts:
                kept += part
                size += len(part)
                if size > self._most:
                    raise TooLong
                if len(kept) >= CHUNK:
                    await asyncio.to_thread(file.write, kept)
                    kept = bytearray()
            await asyncio.to_thread(file.write, kept)
        return path


def _head(item: Item, body: Body) -> bytes:
    size = len(body) if isinstance(body, bytes) else body.stat().st_size
    lines = [f"POST /endpoints/{item.endpoint}/invocations HTTP/1.1", "host: queue", f"content-length: {size}"]
    # Values came in as headers, so that a line end in one is nobody's meaning.
    lines += [f"{name}: {value}".replace("\r", " ").replace("\n", " ") for name, value in item.headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")


def wrong(status: int, body: bytes) -> Wrong:
    """What an answer that is none means."""
    try:
        told = json.loads(body)
    except ValueError:
        told = None
    message = str(told.get("Message") or told.get("message") or "") if isinstance(told, dict) else ""
    if status == 424 and isinstance(told, dict):
        original = told.get("OriginalStatusCode")
        fault = Fault.LOST if not original else Fault.SHAKY if int(original) >= 500 else Fault.MODEL
        return Wrong(fault, message)
    if status in (429, 502, 503, 504):
        return Wrong(Fault.BUSY, message or f"No instance took the request (status {status}).")
    if status >= 500:
        return Wrong(Fault.WORLD, message or f"The platform failed on the request (status {status}).")
    return Wrong(Fault.MODEL, message or f"The request was turned away with status {status}.")
