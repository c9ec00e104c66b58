"""Scores what is there in one call, and never waits for more.

A library's cost per call is often far above its cost per row, so requests that arrived in the same turn of the
event loop, or while the last call ran, are scored together. There is no timer: a lone request is scored at once.
Nothing is mixed: every request is parsed and checked by itself first, gets back its own rows, and when a call
over several requests fails they are scored one by one, so that only the one that is wrong fails.
"""

import asyncio
import traceback
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, Protocol, TypeGuard, TypeVar

from tidegate.model.errors import Invalid
from tidegate.worker.inblocks import Lined, answered
from tidegate.worker.invocation import Call, Done, ModelFailed, Outcome
from tidegate.worker.spool import LargeCall

CAP = 64
"""Rows per call; more no longer lowers the cost per row by much."""
BATCH_ROWS = "MAX_BATCH_ROWS"
"""Environment variable of a model: another cap."""
MOST_ROWS = 4096
LARGE = 128 * 1024
"""Bytes of a body from which on a request is scored by itself, off the event loop, which stays responsive."""

PACKED = frozenset(
    {
        b"application/x-parquet",
        b"application/vnd.apache.parquet",
        b"application/vnd.apache.arrow.stream",
        b"application/vnd.apache.arrow.file",
    }
)
"""Forms whose length says little of the work they are; they go the way of large bodies, in and out."""

Rows = TypeVar("Rows")
Scores = TypeVar("Scores")


class Scorer(Protocol[Rows, Scores]):
    """A model in this process. All methods but ``score`` see one request; ModelFailed says what is wrong with it.

    ``batches``: False when several requests cannot be scored in one call. ``score`` may run in two threads at
    once."""

    batches: bool

    def parse(self, call: Call) -> Rows:
        """The rows of a request, checked."""
        ...

    def size(self, rows: Rows) -> int: ...

    def score(self, requests: Sequence[Rows]) -> Sequence[Scores]:
        """One result per request, in their order."""
        ...

    def render(self, scores: Scores, call: Call) -> Outcome: ...


class Batcher(Generic[Rows, Scores]):
    """The engine around a scorer."""

    healthy = True

    def __init__(
        self,
        scorer: Scorer[Rows, Scores],
        loop: asyncio.AbstractEventLoop,
        cap: int = CAP,
        aside: ThreadPoolExecutor | None = None,
    ) -> None:
        """``aside``: threads for large requests; one of its own where there is none."""
        self._scorer = scorer
        self._loop = loop
        self._cap = cap if scorer.batches else 1
        self._queue: deque[tuple[Call, Rows, Done]] = deque()
        self._scheduled = False
        self._own = None if aside is not None else ThreadPoolExecutor(1, thread_name_prefix="large")
        self._aside = aside or self._own

    def submit(self, call: Call, done: Done) -> None:
        headers = call.headers
        if (
            isinstance(call, LargeCall)
            or len(call.body) >= LARGE
            or headers.get(b"content-type") in PACKED
            or headers.get(b"accept") in PACKED
        ):
            task = self._loop.run_in_executor(self._aside, self._alone, call)
            task.add_done_callback(lambda finished: done(finished.result()))
            return
        try:
            rows = self._scorer.parse(call)
        except Exception as error:
            done(failed(error))
            return
        self._queue.append((call, rows, done))
        self._schedule()

    async def close(self) -> None:
        if self._own is not None:
            self._own.shutdown(wait=False, cancel_futures=True)

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Scores one batch; what is left has its turn after the loop has looked at the sockets again."""
        self._scheduled = False
        batch: list[tuple[Call, Rows, Done]] = []
        room = self._cap
        while self._queue and room > 0:
            size = self._scorer.size(self._queue[0][1])
            if batch and (size > room or self._cap == 1):
                break
            room -= size
            item = self._queue.popleft()
            if not item[0].abandoned:
                batch.append(item)
        if self._queue:
            self._schedule()
        if batch:
            self._answer(batch)

    def _answer(self, batch: list[tuple[Call, Rows, Done]]) -> None:
        try:
            results = self._scorer.score([rows for _, rows, _ in batch])
        except Exception as error:
            if len(batch) == 1:
                batch[0][2](failed(error))
                return
            for item in batch:
                self._answer([item])
            return
        for (call, _, done), scores in zip(batch, results, strict=True):
            done(self._rendered(scores, call))

    def _alone(self, call: Call) -> Outcome:
        scorer = self._scorer
        try:
            if isinstance(call, LargeCall) and call.spool and _parted(scorer, call):
                return answered(scorer, call, call.spool)
            [scores] = scorer.score([scorer.parse(call)])
        except Exception as error:
            return failed(error)
        return self._rendered(scores, call)

    def _rendered(self, scores: Scores, call: Call) -> Outcome:
        try:
            return self._scorer.render(scores, call)
        except Exception as error:
            return failed(error)


def _parted(scorer: object, call: Call) -> TypeGuard[Lined]:
    return isinstance(scorer, Lined) and scorer.batches and scorer.by_lines(call)


def cap(environment: Mapping[str, str]) -> int:
    """Rows per call, as a model's environment says; raises Invalid."""
    given = environment.get(BATCH_ROWS, str(CAP))
    if not given.isdecimal() or not 1 <= int(given) <= MOST_ROWS:
        raise Invalid(f"{BATCH_ROWS} must be a number of rows from 1 to {MOST_ROWS}, not {given!r}")
    return int(given)


def failed(error: Exception) -> ModelFailed:
    """What went wrong in a model, as the client is told; the trace of the unexpected goes to the log."""
    if isinstance(error, ModelFailed):
        return error
    traceback.print_exception(error)
    return ModelFailed(500, f"{type(error).__name__}: {error}")
