"""Asks the HTTP server behind a front for its health, and decides when it hangs."""

import asyncio
from collections.abc import Callable

from tidegate.host import process_stats
from tidegate.host.process_stats import ProcessStats
from tidegate.http1.messages import ConnectionBroken
from tidegate.serving.runtimes.liveness import Liveness, LivenessObservation
from tidegate.serving.runtimes.upstream_calls import UpstreamCalls, UpstreamClient

PING_TIMEOUT = 2.0
PING_EVERY = 0.2
"""Seconds between pings until the first 200; then there is one per second."""
WATCH_EVERY = 1.0


async def ping(client: UpstreamClient, path: str = "/ping") -> int | None:
    """The status of the answer; None where there is none."""
    try:
        async with asyncio.timeout(PING_TIMEOUT):
            return (await client.request("GET", path)).status
    except (ConnectionBroken, TimeoutError, ValueError):
        return None


class HealthWatch:
    """The health of the server that these calls go to. ``patience``: seconds that a prediction may take."""

    def __init__(self, calls: UpstreamCalls, patience: float, path: str = "/ping") -> None:
        self._calls = calls
        self._path = path
        self._liveness = Liveness(patience)

    @property
    def good(self) -> bool:
        return self._liveness.good

    async def run(self, client: UpstreamClient, pid: int, gone: Callable[[], str] = str) -> str:
        """Look at the server each second until it hangs: no answer would come from it any more. Returns the reason.
        ``pid``: its first process; 0: unknown. ``gone`` returns a reason of the caller's own, or nothing."""
        while True:
            await asyncio.sleep(WATCH_EVERY)
            at_work = self._calls.at_work
            answer: int | None = None
            if asking := self._liveness.asks(at_work, self._calls.answers):
                answer = await ping(client, self._path)
                at_work = at_work or self._calls.at_work
            stopped = bool(pid) and process_stats.process_state(pid) in process_stats.STOPPED
            vitals = None if answer or not pid else ProcessStats.of(pid)
            seen = LivenessObservation(at_work, self._calls.answers, asking, answer, stopped, vitals)
            if why := gone() or self._liveness.after(seen, asyncio.get_running_loop().time()):
                return why
