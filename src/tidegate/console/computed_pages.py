"""Results that pages are made of, each computed once: a function of a page's address, the prices and the code.

A browser does not wait for one: after ``PATIENCE`` it gets a page that says that it is being computed, and that
shows the result as soon as it is there.
"""

import asyncio
import json
import logging
import subprocess
import sys
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from starlette.requests import Request

from tidegate.console.page_process import name_function
from tidegate.console.rendering import load_catalogue
from tidegate.domain.errors import Invalid, TidegateError, Unavailable
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
"""Threads that work out results, and processes that simulate."""
MAX_SIMULATIONS = 8
"""Maximum number of running and waiting simulations; further ones are refused."""
TIME_LIMIT = 60.0
"""Time limit of one simulation in seconds."""
LONGEST_KEY = 8_000
"""Characters of a key that is kept: a longer query is worked out each time."""
WARM_LIMIT = 600.0
"""Seconds until a warm-up that got too little processor time is given up."""
PROCESS = (sys.executable, "-m", "tidegate.console.page_process")

Data = Mapping[str, Any]
PricedWork = Callable[[Data, Catalogue], Any]
Simulation = Callable[[Data, datetime], Any]
"""At the top of its module."""


@dataclass
class ComputePool:
    """Runs simulations in processes of their own, a few at a time, so that the event loop never waits for one.
    ``environment``: of these processes; ``longest``: time limit of each in seconds."""

    environment: Mapping[str, str] = field(default_factory=dict)
    longest: float = TIME_LIMIT
    _turn: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_RUNNING))
    _waiting: int = 0

    async def compute(self, simulation: Simulation, data: Data, now: datetime) -> Any:
        """Raises Invalid for an invalid request, Unavailable if too many are waiting."""
        if self._waiting >= MAX_SIMULATIONS:
            raise Unavailable(f"{self._waiting} simulations are running or waiting; try again later")
        self._waiting += 1
        question = {"function": name_function(simulation), "data": dict(data), "now": now.isoformat()}
        try:
            async with self._turn:
                return await self._run(question)
        finally:
            self._waiting -= 1

    async def _run(self, question: object) -> Any:
        try:
            told = await ask_process(PROCESS, question, self.environment, self.longest)
        except TimeoutError:
            raise Invalid(
                f"not finished within {self.longest:g} s: use fewer runs, longer periods or a shorter rollout"
            ) from None
        if "error" in told:
            raise Invalid(told["error"])
        return told["answer"]


async def ask_process(
    program: Sequence[str], question: object, environment: Mapping[str, str], seconds: float
) -> Any:
    """Start a process, ask it a question on its stdin, and return its answer, both as JSON. Raises TimeoutError after
    so many seconds, and TidegateError if it failed."""
    child = await asyncio.create_subprocess_exec(
        *program, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, env=environment
    )
    try:
        async with asyncio.timeout(seconds):
            out, _ = await child.communicate(json.dumps(question).encode())
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode:
        raise TidegateError("the process that computes it has failed; see tidegate's log")
    return json.loads(out)


class StillComputing(Exception):
    """The result is not there yet; it is being worked out."""


@dataclass
class ComputedPages:
    """The results of all pages of a server, and the work on those that are not there yet."""

    pool: ComputePool
    _kept: dict[Hashable, asyncio.Task[Any]] = field(default_factory=dict)
    _turn: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_RUNNING))
    _pending: int = 0
    _warming: asyncio.Task[None] | None = None

    async def work_out(
        self, request: Request, work: PricedWork, query: Data, catalogue: Catalogue, waits: bool = False
    ) -> Any:
        """Return the result of the work, which is done in a thread. Raises StillComputing for a browser unless it
        ``waits``, Unavailable if too many wait."""

        async def run() -> Any:
            async with self._turn:
                return await asyncio.to_thread(work, query, catalogue)

        browser = accepts_html(request.scope) and not waits
        return await self._take(browser, _make_key(name_function(work), query, catalogue), run)

    async def simulate(self, request: Request, simulation: Simulation, data: Data, now: datetime) -> Any:
        """Return the result of a simulation, which does not depend on ``now``. Raises StillComputing for a browser,
        and like ``ComputePool.compute``."""

        async def run() -> Any:
            return await self.pool.compute(simulation, data, now)

        return await self._take(accepts_html(request.scope), _make_key(name_function(simulation), data), run)

    async def _take(self, browser: bool, key: Hashable, work: Callable[[], Awaitable[Any]]) -> Any:
        """Return the result of some work, which is begun if it is not running or kept. A failure reaches all who wait
        for it, and one browser that comes back for it. Then it is tried again."""
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
        """Drop the oldest results. Work that is not done stays."""
        done = [key for key, task in self._kept.items() if task.done()]
        for key in [key for key in done if len(str(key)) > LONGEST_KEY]:
            del self._kept[key]
        for key in done[: max(0, len(self._kept) - MAX_KEPT)]:
            self._kept.pop(key, None)

    def begin_warming(self, gateway: Gateway) -> None:
        """Compute once what pages show first, before anybody asks for it."""
        if self._warming is None:
            self._warming = asyncio.ensure_future(self._warm(gateway))

    async def _warm(self, gateway: Gateway) -> None:
        now, catalogue = gateway.context.clock.now(), await load_catalogue(gateway)
        prices = price_folder(gateway.settings.prices, gateway.settings.state)
        asked = {"prices": None if prices is None else str(prices), "now": now.isoformat()}
        loop = asyncio.get_running_loop()

        def keep(line: str) -> None:
            function, data, priced, result = json.loads(line)
            key = _make_key(function, data, catalogue if priced else None)
            loop.call_soon_threadsafe(self._keep, key, result)

        child = _start(self.pool.environment)  # not asyncio's: to cancel that in mid-start can hang
        talk = loop.run_in_executor(None, _talk, child, json.dumps(asked), keep)
        try:
            async with asyncio.timeout(WARM_LIMIT):
                await asyncio.shield(talk)
        except TimeoutError:
            log.warning("pages of the console are not computed ahead: no processor time for it")
        finally:
            child.kill()

    def _keep(self, key: Hashable, result: Any) -> None:
        """Keep a result that was computed ahead. It replaces nothing that is being computed or is kept already."""
        if key in self._kept:
            return

        async def done() -> Any:
            return result

        self._kept[key] = asyncio.ensure_future(done())
        self._forget_oldest()


def _start(environment: Mapping[str, str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        PROCESS, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(environment)
    )


def _talk(child: "subprocess.Popen[str]", question: str, keep: Callable[[str], None]) -> None:
    """Send the question to the child process and keep each line of its answer. Runs in a thread, until the child has
    ended."""
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


def _make_key(function: str, data: Data, catalogue: Catalogue | None = None) -> Hashable:
    return function, json.dumps(data, sort_keys=True), catalogue
