"""An event loop of asyncio whose clock jumps to the next timer, for code that is written for asyncio."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


class _JumpingSelector(selectors.SelectSelector):
    """Counts the seconds that a loop would have waited, and waits for none of them."""

    waited = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.waited += timeout or 0.0
        return super().select(0)


class _JumpingLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.waited


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run work that waits for timers only. ``loop.time()`` begins at 0, and no real time passes."""
    with asyncio.Runner(loop_factory=_JumpingLoop) as runner:
        return runner.run(work)
