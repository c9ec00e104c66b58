"""Results that pages are made of, each worked out once: a function of a page's address, the prices and the code.

A browser does not wait for one: after ``PATIENCE`` it gets a page that says that it is being computed, and that
shows the result as soon as it is there.
"""

import asyncio
import json
import logging
import subprocess
import sys
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from starlette.requests import Request

from tidegate.console.rendering import load_catalogue
from tidegate.domain.errors import Unavailable
from tidegate.features.lessons.page_work import PAGE_WORK, Query, first_simulations, first_views
from tidegate.features.rehearse.compute_api import ComputePool
from tidegate.gateway.browser_pages import accepts_html
from tidegate.gateway.dependencies import Gateway
from tidegate.prices import Catalogue, price_folder

log = logging.getLogger(__name__)

PATIENCE = 0.15
"""Seconds that a browser waits for a result."""
MAX_KEPT = 64
MAX_PENDING = 32
"""Results that are being worked out or wait for it; further ones are refused."""
MAX_RUNNING = 2
"""Threads that work out results."""
LONGEST_KEY = 8_000
"""Characters of a key that is kept: a longer query is worked out each time."""
WARM_LIMIT = 600.0
"""Seconds until a warm-up that got too little processor time is given up."""


class StillComputing(Exception):
    """The result is not there yet; it is being worked out."""


@dataclass
class ComputedPages:
    """Of all pages together."""

    pool: ComputePool
    _kept: dict[Hashable, asyncio.Task[Any]] = field(default_factory=dict)
    _turn: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_RUNNING))
    _pending: int = 0
    _warming: asyncio.Task[None] | None = None

    async def work_out(
        self, request: Request, name: str, query: Query, catalogue: Catalogue, waits: bool = False
    ) -> Any:
        """The result of ``PAGE_WORK[name]``. Raises StillComputing for a browser unless it ``waits``, Unavailable if
        too many wait."""

        async def work() -> Any:
            async with self._turn:
                return await asyncio.to_thread(PAGE_WORK[name], query, catalogue)

        browser = accepts_html(request.scope) and not waits
        return await self._take(browser, _page_key(name, query, catalogue), work)

    async def simulate(self, request: Request, what: str, body: Mapping[str, object], now: datetime) -> Any:
        """The result of a simulation, which does not depend on ``now``. Raises StillComputing for a browser, and like
        ``ComputePool.compute``."""

        async def work() -> Any:
            return await self.pool.compute({"what": what, "now": now.isoformat(), "body": dict(body)})

        return await self._take(accepts_html(request.scope), _simulation_key(what, body), work)

    async def _take(self, browser: bool, key: Hashable, work: Callable[[], Awaitable[Any]]) -> Any:
        """A failure reaches all who wait for it, and one browser that comes back for it. Then it is tried again."""
        task = self._kept.pop(key, None)
        if task is None or (not browser and _has_failed(task)):
            if self._pending >= MAX_PENDING:
                raise Unavailable(f"{self._pending} pages are being computed; try again later")
            task = asyncio.ensure_future(self._run(work))
            task.add_done_callback(_has_failed)
        self._kept[key] = task
        self._forget_oldest()
        if not browser or len(str(key)) > LONGEST_KEY:  # which may not be kept until the browser comes back
            return await asyncio.shield(task)
        await asyncio.wait([task], timeout=PATIENCE)
        if not task.done():
            raise StillComputing
        if _has_failed(task):
            self._kept.pop(key, None)
        return task.result()

    async def _run(self, work: Callable[[], Awaitable[Any]]) -> Any:
        self._pending += 1
        try:
            return await work()
        finally:
            self._pending -= 1

    def _forget_oldest(self) -> None:
        """One that is not done is waited for."""
        done = [key for key, task in self._kept.items() if task.done()]
        for key in [key for key in done if len(str(key)) > LONGEST_KEY]:
            del self._kept[key]
        for key in done[: max(0, len(self._kept) - MAX_KEPT)]:
            self._kept.pop(key, None)

    def begin_warming(self, gateway: Gateway) -> None:
        """Work out what pages show first, before anybody asks for it."""
        self._warming = asyncio.ensure_future(self._warm(gateway))

    async def _warm(self, gateway: Gateway) -> None:
        now, catalogue = gateway.context.clock.now(), await load_catalogue(gateway)
        prices = price_folder(gateway.settings.prices, gateway.settings.state)
        pages, simulations = first_views(), first_simulations()
        keys = [_page_key(name, query, catalogue) for name, query in pages]
        keys += [_simulation_key(what, body) for what, body in simulations]
        asked = {"prices": None if prices is None else str(prices), "now": now.isoformat()}
        question = json.dumps({**asked, "pages": pages, "simulations": simulations})
        loop = asyncio.get_running_loop()

        def keep(line: str) -> None:
            place, result = json.loads(line)
            loop.call_soon_threadsafe(self._keep, keys[place], result)

        child = _start(self.pool.environment)  # not asyncio's: to cancel that in mid-start can hang
        talk = loop.run_in_executor(None, _talk, child, question, keep)
        try:
            async with asyncio.timeout(WARM_LIMIT):
                await asyncio.shield(talk)
        except TimeoutError:
            log.warning("pages of the console are not computed ahead: no processor time for it")
        finally:
            child.kill()

    def _keep(self, key: Hashable, result: Any) -> None:
        """Nothing is put in place of what somebody waits for, or already has."""
        if key in self._kept:
            return

        async def done() -> Any:
            return result

        self._kept[key] = asyncio.ensure_future(done())
        self._forget_oldest()


def _start(environment: Mapping[str, str]) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tidegate.features.lessons.warm_process"]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(environment)
    )


def _talk(child: "subprocess.Popen[str]", question: str, keep: Callable[[str], None]) -> None:
    """Runs in a thread, until the child has ended."""
    with child:
        assert child.stdin is not None and child.stdout is not None
        try:
            child.stdin.write(question)
            child.stdin.close()
            for line in child.stdout:
                keep(line)
        except (OSError, ValueError) as error:
            child.kill()
            log.warning("pages of the console are not computed ahead: %s", error)


def _has_failed(task: asyncio.Task[Any]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


def _page_key(name: str, query: Query, catalogue: Catalogue) -> Hashable:
    return name, tuple(query.items()), catalogue


def _simulation_key(what: str, body: Mapping[str, object]) -> Hashable:
    return what, json.dumps(body, sort_keys=True)
