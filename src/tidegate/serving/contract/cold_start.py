"""The phases of a cold start, for a line in the log and the metric ModelSetupTime."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from itertools import accumulate, islice

from tidegate.serving.contract.invocation import Note
from tidegate.serving.contract.replica_spec import OnDemand, ReplicaSpec

SETUP = "ModelSetupTime"
"""Microseconds from when the controller noticed the request until the model could answer."""


class ColdStart:
    """The phases of one replica. Each ends with ``mark``; the last two end with the first answer."""

    def __init__(self, on_demand: OnDemand, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._waited = on_demand.asked > 0
        self._begin = on_demand.asked or clock()
        noticed = on_demand.noticed or self._begin
        self._last = noticed
        self._noticed = noticed
        self._phases = [("noticed", noticed - self._begin)]
        self.mark("forked" if on_demand.news else "started")

    def mark(self, phase: str, at: float | None = None) -> None:
        now = self._clock() if at is None else at
        self._phases.append((phase, now - self._last))
        self._last = now

    def setup(self) -> Note:
        return Note(SETUP, max(0.0, round((self._last - self._noticed) * 1e6)), ())

    @property
    def began(self) -> float:
        """Since when a request waits, or when the start began if none does; epoch seconds."""
        return self._begin

    def phases(self) -> list[tuple[str, float]]:
        """The phases that have ended, each with its end in epoch seconds."""
        ends = accumulate((seconds for _, seconds in self._phases), initial=self._begin)
        return list(zip((name for name, _ in self._phases), islice(ends, 1, None), strict=True))

    def answered(self, arrived: float) -> str:
        """The line for the log at the first answer, to a request that arrived at ``arrived`` (epoch seconds)."""
        self.mark("let in", arrived)
        self.mark("answered")
        parts = ", ".join(f"{phase} {seconds * 1000:.1f}" for phase, seconds in self._phases)
        if not self._waited:
            return f"started before it was needed: {parts} ms"
        return f"cold start of {(self._last - self._begin) * 1000:.1f} ms: {parts}"


async def report_ready(spec: ReplicaSpec) -> None:
    """Notify the controller that this replica is ready, so that it need not poll."""
    if spec.on_demand is None or not spec.on_demand.news:
        return
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(1):
            _, writer = await asyncio.open_unix_connection(spec.on_demand.news)
            writer.write(f"{spec.fleet}\n".encode())
            await writer.drain()
            writer.close()
