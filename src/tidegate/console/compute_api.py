"""Doors for what takes a processor for seconds: ``POST /tidegate/v1/promise``, ``rehearse`` and ``simulate``.

Each question is worked on in a process of its own with a limit on its time, a few at once; the event loop that holds
the platform together never waits for one.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tidegate.console.compute_process import COMPUTATIONS
from tidegate.domain.errors import Invalid, TidegateError, Unavailable
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.middleware import NATIVE
from tidegate.gateway.request_parsing import parse_json_object

TIME_LIMIT = 60.0
"""Seconds that one question may take."""
MAX_RUNNING = 2
MAX_PENDING = 8
"""Questions in hand or waiting; more are refused."""


@dataclass
class ComputePool:
    """Works on questions. ``environment``: of the processes that do; ``longest``: seconds for each."""

    environment: Mapping[str, str] = field(default_factory=dict)
    longest: float = TIME_LIMIT
    _turn: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_RUNNING))
    _waiting: int = 0

    async def compute(self, question: dict[str, Any]) -> object:
        """The answer; raises Invalid for a question that cannot be answered, Unavailable when too many wait."""
        if self._waiting >= MAX_PENDING:
            raise Unavailable(f"{self._waiting} simulations are in hand or wait; ask again later")
        self._waiting += 1
        try:
            async with self._turn:
                return await self._run(question)
        finally:
            self._waiting -= 1

    async def _run(self, question: dict[str, Any]) -> object:
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tidegate.console.compute_process"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=self.environment,
        )
        try:
            async with asyncio.timeout(self.longest):
                out, _ = await child.communicate(json.dumps(question).encode())
        except TimeoutError:
            raise Invalid(
                f"not done within {self.longest:g} s: ask for fewer runs, longer periods or a shorter rollout"
            ) from None
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        if child.returncode:
            raise TidegateError("the simulation ended before it was done; tidegate's log says why")
        told = json.loads(out)
        if "error" in told:
            raise Invalid(told["error"])
        return told["answer"]


def routes(gateway: Gateway, desk: ComputePool | None = None) -> list[Route]:
    there = desk or ComputePool()
    return [
        Route(f"{NATIVE}/{what}", _make_handler(gateway, there, what), methods=["POST"]) for what in COMPUTATIONS
    ]


def _make_handler(gateway: Gateway, desk: ComputePool, what: str) -> Callable[[Request], Awaitable[Response]]:
    known = COMPUTATIONS[what][0].__struct_fields__

    async def handle(request: Request) -> Response:
        body = parse_json_object(request, known)
        now = gateway.context.clock.now().isoformat()
        return JSONResponse(await desk.compute({"what": what, "now": now, "body": body}))

    return handle
