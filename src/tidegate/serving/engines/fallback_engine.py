"""An engine before another one: what the quicker one cannot answer, the other one does."""

from collections.abc import Callable
from functools import partial

from tidegate.serving.contract.invocation import Call, Done, Engine, ModelFailed, Outcome


class Preferring:
    """``quick`` answers as ``whole`` would, or fails; then ``whole`` is asked, whose word counts."""

    def __init__(self, quick: Engine, whole: Engine) -> None:
        self._quick = quick
        self._whole = whole

    @property
    def healthy(self) -> bool:
        return self._whole.healthy

    def submit(self, call: Call, done: Done) -> None:
        self._quick.submit(call, partial(self._answered, call, done))

    async def close(self) -> None:
        await self._quick.close()
        await self._whole.close()

    def _answered(self, call: Call, done: Callable[[Outcome], None], outcome: Outcome) -> None:
        if isinstance(outcome, ModelFailed):
            self._whole.submit(call, done)
        else:
            done(outcome)
