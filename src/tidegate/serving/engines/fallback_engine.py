"""An engine with a fallback: the fast engine answers what it can, the full one everything else."""

from collections.abc import Callable
from functools import partial

from tidegate.serving.contract.invocation import Call, Done, ModelEngine, ModelFailed, Outcome
from tidegate.serving.contract.signature import ModelSignature, find_signature


class FallbackEngine:
    """Falls back to ``fallback``, whose answer is authoritative, if ``preferred`` fails."""

    def __init__(self, preferred: ModelEngine, fallback: ModelEngine) -> None:
        self._preferred = preferred
        self._fallback = fallback

    @property
    def healthy(self) -> bool:
        return self._fallback.healthy

    @property
    def signature(self) -> ModelSignature | None:
        return find_signature(self._fallback)

    def submit(self, call: Call, done: Done) -> None:
        self._preferred.submit(call, partial(self._finish, call, done))

    async def close(self) -> None:
        await self._preferred.close()
        await self._fallback.close()

    def _finish(self, call: Call, done: Callable[[Outcome], None], outcome: Outcome) -> None:
        if isinstance(outcome, ModelFailed):
            self._fallback.submit(call, done)
        else:
            done(outcome)
