"""Calls of AWS's APIs: repeated with full jitter while they are throttled or not answered, within a deadline."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from tidegate.domain.errors import Transient
from tidegate.targets.aws.errors import ResourceBusy, ResourceChanged, Unanswered
from tidegate.targets.aws.repeatable import NOT_REPEATABLE

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 5.0
"""Seconds: the bounds of the pause before the second and before later tries (Brooker, "Exponential Backoff And
Jitter", AWS 2015)."""


class Calls(Protocol):
    async def call(self, service: str, operation: str, members: Mapping[str, object]) -> dict[str, Any]:
        """``service`` as botocore calls it (``lambda``), ``operation`` as the API does (``UpdateAlias``). Raises
        Transient or TargetRefused, or one of their kinds in ``errors``."""
        ...


@dataclass(frozen=True)
class RetryingCalls:
    """``calls`` tries once. ``deadline``: seconds for all tries together."""

    calls: Calls
    deadline: float
    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    chance: Callable[[], float] = random.random

    async def call(self, service: str, operation: str, members: Mapping[str, object]) -> dict[str, Any]:
        until, longest = self.now() + self.deadline, FIRST_PAUSE
        while True:
            try:
                return await self.calls.call(service, operation, members)
            except (ResourceChanged, ResourceBusy):
                raise  # whoever calls looks again first
            except Transient as error:
                if isinstance(error, Unanswered) and operation in NOT_REPEATABLE:
                    raise
                pause = self.chance() * longest
                if self.now() + pause > until:
                    raise
                await self.sleep(pause)
                longest = min(LONGEST_PAUSE, 2 * longest)
