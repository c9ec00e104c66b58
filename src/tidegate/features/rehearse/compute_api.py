"""Handlers of CPU-bound requests: ``POST /tidegate/v1/promise``, ``rehearse`` and ``simulate``.

Each runs in a process of its own with a time limit, a few at a time, so the platform's event loop never waits for
one.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tidegate.domain.access import Access
from tidegate.domain.errors import Invalid, TidegateError, Unavailable
from tidegate.features.rehearse.compute_process import COMPUTATIONS
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.guarded_routes import GuardedRoute
from tidegate.gateway.paths import NATIVE
from tidegate.gateway.request_parsing import parse_json_object

TIME_LIMIT = 60.0
"""Time limit of one computation in seconds."""
MAX_RUNNING = 2
MAX_PENDING = 8
"""Maximum number of running and waiting computations; further ones are refused."""
OPERATIONS = tuple(("POST", f"/{what}", Access.READ) for what in COMPUTATIONS)
"""Method, path under the native API, and what it asks of a caller."""


@dataclass
class ComputePool:
    """Runs computations. ``environment``: of their processes; ``longest``: time limit of each in seconds."""

    environment: Mapping[str, str] = field(default_factory=dict)
    longest: float = TIME_LIMIT
    _turn: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_RUNNING))
    _waiting: int = 0

    async def compute(self, question: dict[str, Any]) -> object:
        """Run a computation. Raises Invalid for an invalid request, Unavailable if too many are waiting."""
        if self._waiting >= MAX_PENDING:
            raise Unavailable(f"{self._waiting} simulations are running or waiting; try again later")
        self._waiting += 1
        try:
            async with self._turn:
                return await self._run(question)
        finally:
            self._waiting -= 1

    async def _run(self, question: dict[str, Any]) -> object:
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tidegate.features.rehearse.compute_process"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=self.environment,
        )
        try:
            async with asyncio.timeout(self.longest):
                out, _ = await child.communicate(json.dumps(question).encode())
        except TimeoutError:
            raise Invalid(
                f"not finished within {self.longest:g} s: use fewer runs, longer periods or a shorter rollout"
            ) from None
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        if child.returncode:
            raise TidegateError("the simulation failed; see tidegate's log")
        told = json.loads(out)
        if "error" in told:
            raise Invalid(told["error"])
        return told["answer"]


def routes(gateway: Gateway, pool: ComputePool | None = None) -> list[GuardedRoute]:
    there = pool or ComputePool()
    return [
        GuardedRoute(gateway, NATIVE + path, _make_handler(gateway, there, path[1:]), access, [method])
        for method, path, access in OPERATIONS
    ]


def _make_handler(gateway: Gateway, pool: ComputePool, what: str) -> Callable[[Request], Awaitable[Response]]:
    known = COMPUTATIONS[what][0].__struct_fields__

    async def handle(request: Request) -> Response:
        body = parse_json_object(request, known)
        now = gateway.context.clock.now().isoformat()
        return JSONResponse(await pool.compute({"what": what, "now": now, "body": body}))

    return handle
