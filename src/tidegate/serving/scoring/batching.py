"""Scores what is there in one call, and never waits for more.

A library's cost per call is often far above its cost per row, so requests that arrived in the same turn of the
event loop, or while the last call ran, are scored together. There is no timer: a lone request is scored at once.
Nothing is mixed: every request is parsed and checked by itself first, gets back its own rows, and when a call
over several requests fails they are scored one by one, so that only the one that is wrong fails.

Only models whose rows were found independent when they were loaded come here with ``batches``. Real batches are
checked besides (``rescoring``); the first answer that differs from the one that its request gets alone ends batching
for the model, with a line in the log and ``MISMATCH`` in the metrics.
"""

import asyncio
import time
import traceback
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from random import randrange
from typing import Any, Generic, Protocol, TypeGuard, TypeVar, runtime_checkable

from tidegate.domain.errors import Invalid
from tidegate.serving.contract.answer_counts import check_count
from tidegate.serving.contract.body_spool import LargeCall
from tidegate.serving.contract.invocation import Call, Done, ModelFailed, Outcome
from tidegate.serving.scoring.chunked_scoring import Lined, answered
from tidegate.serving.scoring.rescoring import TRIAL_ROWS, Rescoring

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

MISMATCH = "BatchingMismatches"
"""Metric: 1 when a model turns out to answer differently in a batch, and is not batched any more."""

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

    def count(self, scores: Scores) -> int | None:
        """Rows that the scores are for; None for a model that says itself that it does not answer row by row."""
        ...

    def render(self, scores: Scores, call: Call) -> Outcome: ...


@runtime_checkable
class Comparable(Protocol):
    """A scorer whose batches can be checked."""

    def score_again(self, rows: Any) -> Any:
        """The result of one request by itself; its rows stay as they are."""
        ...

    def difference(self, rows: Any, alone: Any, batched: Any) -> str:
        """What is wrong with the result that a batch gave for a request; empty where it is right."""
        ...


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
        self._batches = scorer.batches
        self._cap = cap if scorer.batches else 1
        self._rescoring = Rescoring() if scorer.batches and isinstance(scorer, Comparable) else None
        self._mismatch = False
        """There was one, which is not in the metrics yet."""
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
        if self._rescoring is not None and self._rescoring.on_trial:
            room = min(room, TRIAL_ROWS)
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
            results = scored(self._scorer, [rows for _, rows, _ in batch])
            if len(batch) > 1 and self._rescoring is not None:
                results = self._checked(self._rescoring, batch, results)
        except Exception as error:
            if len(batch) == 1:
                self._note_mismatch(batch[0][0])
                batch[0][2](failed(error))
                return
            for item in batch:
                self._answer([item])
            return
        self._note_mismatch(batch[0][0])
        render = self._scorer.render
        for (call, _, done), scores in zip(batch, results, strict=True):
            try:
                outcome = render(scores, call)
            except Exception as error:
                outcome = failed(error)
            done(outcome)

    def _note_mismatch(self, call: Call) -> None:
        if self._mismatch:
            self._mismatch = False
            call.note(MISMATCH, 1)

    # --- checks of batches ---

    def _checked(
        self, rescoring: Rescoring, batch: list[tuple[Call, Rows, Done]], results: Sequence[Scores]
    ) -> Sequence[Scores]:
        """The results that are to be answered with."""
        if rescoring.on_trial:
            return self._on_trial(rescoring, batch, results)
        if rescoring.begin(self._loop.time()):
            place = randrange(len(batch))
            if rescoring.is_quick:
                self._loop.call_soon(self._again_here, rescoring, batch[place][1], results[place])
            else:
                task = self._loop.run_in_executor(self._aside, self._again, batch[place][1], results[place])
                task.add_done_callback(partial(self._compared, rescoring))
        return results

    def _on_trial(
        self, rescoring: Rescoring, batch: list[tuple[Call, Rows, Done]], results: Sequence[Scores]
    ) -> Sequence[Scores]:
        """Every request by itself. Raises what the scorer does."""
        assert isinstance(self._scorer, Comparable)
        began = time.perf_counter()
        alone: list[Scores] = []
        for (_, rows, _), batched in zip(batch, results, strict=True):
            try:
                alone.append(self._scorer.score_again(rows))
            except Exception as error:
                self._stop_batching(f"a request that fails alone was answered in a batch ({error})")
                raise
            if why := self._scorer.difference(rows, alone[-1], batched):
                self._stop_batching(why)
        rescoring.tried(len(batch), time.perf_counter() - began)
        return alone

    def _again(self, rows: Rows, batched: Scores) -> tuple[str, float]:
        """What is wrong with the result, and the seconds that it took to see."""
        assert isinstance(self._scorer, Comparable)
        began = time.perf_counter()
        try:
            why = self._scorer.difference(rows, self._scorer.score_again(rows), batched)
        except Exception as error:
            why = f"a request that fails alone was answered in a batch ({error})"
        return why, time.perf_counter() - began

    def _again_here(self, rescoring: Rescoring, rows: Rows, batched: Scores) -> None:
        self._end_check(rescoring, *self._again(rows, batched))

    def _compared(self, rescoring: Rescoring, task: "asyncio.Future[tuple[str, float]]") -> None:
        if not task.cancelled():
            self._end_check(rescoring, *task.result())

    def _end_check(self, rescoring: Rescoring, why: str, seconds: float) -> None:
        rescoring.end(self._loop.time(), seconds)
        if why:
            self._stop_batching(why)

    def _stop_batching(self, why: str) -> None:
        if self._batches:
            self._batches = False
            self._cap = 1
            self._rescoring = None
            self._mismatch = True
            print(f"each request is scored alone from now on: {why}", flush=True)

    # --- large requests ---

    def _alone(self, call: Call) -> Outcome:
        scorer = self._scorer
        try:
            if self._batches and isinstance(call, LargeCall) and call.spool and _parted(scorer, call):
                return answered(scorer, call, call.spool)
            [scores] = scored(scorer, [scorer.parse(call)])
        except Exception as error:
            return failed(error)
        return self._rendered(scores, call)

    def _rendered(self, scores: Scores, call: Call) -> Outcome:
        try:
            return self._scorer.render(scores, call)
        except Exception as error:
            return failed(error)


def scored(scorer: Scorer[Rows, Scores], requests: Sequence[Rows]) -> Sequence[Scores]:
    """One result per request, each with an answer for each row. Raises what the model does, or ModelFailed."""
    results = scorer.score(requests)
    check_count(len(results), len(requests))
    for count, size in zip(map(scorer.count, results), map(scorer.size, requests), strict=True):
        if count != size:
            check_count(count, size)
    return results


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
