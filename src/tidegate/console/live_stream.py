"""Server-sent events for a page: once a second those of its parts that changed, as HTML that the server rendered."""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from starlette.responses import Response, StreamingResponse

from tidegate.domain.errors import NotFound, TidegateError, Unavailable
from tidegate.gateway.browser_pages import HEADERS
from tidegate.gateway.dependencies import Gateway
from tidegate.ports.clock import Clock

LIFETIME = 50
"""Seconds until a stream ends and the page opens another one. Below the drain timeout: an open stream keeps the
HAProxy process alive through which it came."""
AFTER = 0.35
"""How far into a second its parts are made: what was counted in the second before is known by then."""
SHORTEST = 0.05
MAX_STREAMS = 200
MAX_OF_ONE = 50
"""Pages that one reader may have open, so that others can open some."""
ASKED_EVERY = 5
"""Seconds between two looks whether the reader is still let in."""
StillSame = Callable[[], Awaitable[bool]]


@dataclass(frozen=True)
class Snapshot:
    """A page's parts by name. ``render_whole`` makes all of them with what is around them, which is sent instead when
    ``layout`` is another than the page has; None: that never changes. ``around``: the parts that stand outside of it,
    which are sent with it."""

    parts: Mapping[str, str]
    layout: tuple[str, ...] = ()
    render_whole: Callable[[], str] | None = None
    around: tuple[str, ...] = ()


@dataclass
class _LivePage:
    """Makes one snapshot for all who look at the same page in the same second."""

    make: Callable[[], Awaitable[Snapshot]]
    readers: int = 0
    _second: int = -1
    _made: asyncio.Task[Snapshot] | None = None

    async def take(self, second: int) -> Snapshot:
        if self._made is None or second != self._second:
            self._second, self._made = second, asyncio.ensure_future(self._make())
        return await asyncio.shield(self._made)

    async def _make(self) -> Snapshot:
        return await self.make()


@dataclass
class LiveStreams:
    """``instance``: an id of this process, by which a page learns that the server was restarted."""

    clock: Clock
    instance: str
    stopping: asyncio.Event
    open: int = 0
    readers: Counter[str] = field(default_factory=Counter)
    pages: dict[str, _LivePage] = field(default_factory=dict)

    def respond(
        self, name: str, make: Callable[[], Awaitable[Snapshot]], same: StillSame, reader: str = ""
    ) -> Response:
        """``same``: whether the reader is still let in; ``reader``: who it is, empty where nobody signs in. Raises
        Unavailable if too many pages are open."""
        if reader and self.readers[reader] >= MAX_OF_ONE:
            raise Unavailable(f"{reader} has {MAX_OF_ONE} pages of the console open: close some")
        if self.open >= MAX_STREAMS:
            raise Unavailable(f"{MAX_STREAMS} pages of the console are open: close some")
        headers = {**HEADERS, "cache-control": "no-store"}
        return StreamingResponse(
            self.run(name, make, same, reader), media_type="text/event-stream", headers=headers
        )

    async def run(
        self, name: str, make: Callable[[], Awaitable[Snapshot]], same: StillSame, reader: str = ""
    ) -> AsyncGenerator[str, None]:
        """Ends when the endpoint is gone, the server stops, its lifetime is over, or its reader is no longer let
        in."""
        page = self.pages.setdefault(name, _LivePage(make))
        self.open += 1
        page.readers += 1
        self.readers[reader] += 1
        sent: dict[str, str] = {}
        layout: tuple[str, ...] | None = None
        try:
            for second in range(LIFETIME):
                try:
                    if second % ASKED_EVERY == ASKED_EVERY - 1 and not await same():
                        yield write_event("ended", {})
                        return
                    found = await page.take(int(self.clock.now().timestamp()))
                except NotFound as error:
                    yield write_event("gone", {"message": error.message})
                    return
                except TidegateError as error:
                    yield write_event("trouble", {"message": error.message})
                else:
                    render = found.render_whole if found.layout != layout else None
                    whole = None if render is None else render()
                    outside = {name: found.parts[name] for name in found.around}
                    changed = changed_parts(sent, found.parts) if whole is None else new_parts(sent, outside)
                    yield write_event("news", {"instance": self.instance, "whole": whole, "parts": changed})
                    sent, layout = dict(found.parts), found.layout
                if await self._wait():
                    return
            yield write_event("renew", {})
        finally:
            self.open -= 1
            page.readers -= 1
            self.readers[reader] -= 1
            if not self.readers[reader]:
                del self.readers[reader]
            if not page.readers:  # names of views come from addresses, so there may be any number
                self.pages.pop(name, None)

    async def _wait(self) -> bool:
        """Until the next second; True if the server stops."""
        pause = (AFTER - SHORTEST - self.clock.now().timestamp()) % 1.0 + SHORTEST
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self.stopping.wait()
        return self.stopping.is_set()


def open_streams(gateway: Gateway) -> LiveStreams:
    return LiveStreams(gateway.context.clock, gateway.context.ids.new("request"), gateway.stopping)


def changed_parts(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, str]:
    """Parts that are new or different. One that is no longer there becomes empty."""
    return new_parts(before, after) | dict.fromkeys(before.keys() - after.keys(), "")


def new_parts(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in after.items() if before.get(name) != text}


def write_event(kind: str, data: Mapping[str, object]) -> str:
    return f"event: {kind}\ndata: {json.dumps(data)}\n\n"
