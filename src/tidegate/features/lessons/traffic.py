"""Requests that the server sends to a live run's endpoint, through its proxy: an open loop with bounds."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

from tidegate.domain.errors import Invalid, TidegateError
from tidegate.features.lessons.run_records import RunTraffic
from tidegate.gateway.dependencies import Predict

TICK = 0.02
"""Seconds between two looks at what is due."""
MAX_IN_FLIGHT = 64
MAX_AT_ONCE = 40
"""Requests of one look. After a pause of the process, what was due meanwhile is not made up for."""

KEPT_SECONDS = 600


class LessonRequest(NamedTuple):
    body: bytes
    content_type: str


@dataclass
class SecondCounts:
    """Requests sent, and answers that came back, in one second."""

    sent: int = 0
    answered: int = 0
    failed: int = 0


@dataclass
class Counts:
    """Since this process began to send. ``held``: requests that were due while too many had no answer."""

    sent: int = 0
    held: int = 0
    answered: dict[str, int] = field(default_factory=dict)
    """Config that answered -> answers of status 2xx."""
    failed: dict[str, int] = field(default_factory=dict)
    """Config, empty where none is known -> other answers, and requests without one."""
    last_failure: str = ""
    seconds: dict[int, SecondCounts] = field(default_factory=dict)
    """The latest, by the epoch."""

    def note_sent(self, at: datetime) -> None:
        self.sent += 1
        self._second(at).sent += 1

    def note_answer(self, at: datetime, config: str, failure: str = "") -> None:
        """``failure``: why it is none; empty for one of status 2xx."""
        kept = self.failed if failure else self.answered
        kept[config] = kept.get(config, 0) + 1
        self.last_failure = failure or self.last_failure
        second = self._second(at)
        second.answered += not failure
        second.failed += bool(failure)

    def _second(self, at: datetime) -> SecondCounts:
        second = int(at.timestamp())
        if second not in self.seconds:
            self.seconds[second] = SecondCounts()
            while len(self.seconds) > KEPT_SECONDS:
                del self.seconds[next(iter(self.seconds))]
        return self.seconds[second]


def read_samples(path: Path) -> list[LessonRequest]:
    """Raises Invalid for a file that has none."""
    try:
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        found = [LessonRequest(one["body"].encode(), one.get("content_type", "text/csv")) for one in lines]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Invalid(f"{path}: no requests can be read: {error}") from None
    if not found:
        raise Invalid(f"{path}: there are no requests in it")
    return found


class TrafficSender:
    """Sends ``traffic`` from now to its end; what was due before it was made is not sent."""

    def __init__(
        self,
        predict: Predict,
        now: Callable[[], datetime],
        endpoint: str,
        traffic: RunTraffic,
        samples: list[LessonRequest],
        counts: Counts,
    ) -> None:
        self.traffic, self.counts = traffic, counts
        self._predict, self._now = predict, now
        self._path = f"/endpoints/{endpoint}/invocations"
        self._samples = cycle(samples)
        self._flying: set[asyncio.Task[None]] = set()
        self._task = asyncio.create_task(self._run())

    @property
    def sending(self) -> bool:
        return not self._task.done()

    @property
    def waiting(self) -> bool:
        """Whether requests have no answer yet."""
        return bool(self._flying)

    async def stop(self) -> None:
        """Send nothing more. What is under way is answered and counted."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def give_up(self) -> None:
        """Send nothing more, and wait for no answer."""
        tasks = [self._task, *self._flying]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self) -> None:
        done = self.traffic.due(self._now())
        while (now := self._now()) < self.traffic.until:
            due = self.traffic.due(now)
            for _ in range(min(due - done, MAX_AT_ONCE)):
                self._send_one(now)
            done = due
            await asyncio.sleep(TICK)

    def _send_one(self, now: datetime) -> None:
        if len(self._flying) >= MAX_IN_FLIGHT:
            self.counts.held += 1
            return
        self.counts.note_sent(now)
        task = asyncio.create_task(self._ask(next(self._samples)))
        self._flying.add(task)
        task.add_done_callback(self._flying.discard)

    async def _ask(self, sample: LessonRequest) -> None:
        try:
            answer = await self._predict(self._path, {"content-type": sample.content_type}, sample.body)
        except (TidegateError, OSError, ValueError) as error:
            self.counts.note_answer(self._now(), "", str(error) or type(error).__name__)
            return
        config = answer.headers.get("x-tidegate-config", "")
        failure = "" if 200 <= answer.status < 300 else f"status {answer.status}"
        self.counts.note_answer(self._now(), config, failure)
