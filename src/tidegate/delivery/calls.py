"""One try of a request on the model, through the proxy's private door. Bodies go from and to the disk in pieces."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from tidegate.delivery.objects import CHUNK, Body
from tidegate.model.asynchronous import Item
from tidegate.queueing.steps import Fault, Wrong

IN_MEMORY = 256 * 1024
"""Bytes of an answer that is not written to a scratch file."""
CONNECTIONS = 1_000


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
        limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=100, keepalive_expiry=20)
        self._http = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=socket, limits=limits),
            timeout=httpx.Timeout(None, connect=5),
            trust_env=False,
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def ask(self, item: Item, body: Body, scratch: Path) -> Got | Wrong:
        """``scratch`` takes an answer that is large."""
        size = len(body) if isinstance(body, bytes) else body.stat().st_size
        headers = {**item.headers, "content-length": str(size)}
        url = f"http://queue/endpoints/{item.endpoint}/invocations"
        content = body if isinstance(body, bytes) else _sent(body)
        try:
            async with asyncio.timeout(item.timeout):
                async with self._http.stream("POST", url, content=content, headers=headers) as answer:
                    if answer.status_code != 200:
                        return wrong(answer.status_code, await answer.aread())
                    got = await self._received(answer, scratch)
                return Got(
                    got,
                    answer.headers.get("content-type", "application/octet-stream"),
                    answer.headers.get("x-amzn-invoked-production-variant", ""),
                )
        except TimeoutError:
            return Wrong(
                Fault.SHAKY, f"Received server error (0) from model: no answer within {item.timeout:g} s."
            )
        except httpx.ConnectError as error:
            return Wrong(Fault.BUSY, f"The proxy cannot be reached: {error}.")
        except httpx.HTTPError as error:
            return Wrong(Fault.LOST, f"The connection to the model broke off: {error or type(error).__name__}.")
        except TooLong:
            return Wrong(Fault.MODEL, f"The answer has more than {self._most} bytes.")

    async def _received(self, answer: httpx.Response, scratch: Path) -> Body:
        kept, size = bytearray(), 0
        parts = answer.aiter_raw(CHUNK)
        async for part in parts:
            kept += part
            size += len(part)
            if size > IN_MEMORY:
                break
        else:
            return bytes(kept)
        with scratch.open("wb") as file:
            await asyncio.to_thread(file.write, kept)
            async for part in parts:
                size += len(part)
                if size > self._most:
                    raise TooLong
                await asyncio.to_thread(file.write, part)
        return scratch


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


async def _sent(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while part := await asyncio.to_thread(file.read, CHUNK):
            yield part
