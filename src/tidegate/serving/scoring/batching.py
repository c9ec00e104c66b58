"""Batching without timers: scores the requests that are waiting in one call.

A library's cost per call is often far above its cost per row, so requests that arrive in the same iteration of the
event loop, or during the last call, are scored together. There is no timer: a single request is scored at once.
Requests stay separate: each is parsed and checked by itself and gets its own rows back. If a call for several
requests fails they are scored one by one, so that only the faulty one fails.

Only models whose rows were found to be independent at load have ``batches``. Real batches are checked as well
(``rescoring``): the first answer that differs from the one that its request gets alone ends batching for the model,
with a line in the log and ``MISMATCH`` in the metrics.
"""

import asyncio
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from random import randrange
from typing import Any, Generic, Protocol, TypeGuard, TypeVar, runtime_checkable

from tidegate.domain.errors import Invalid
from tidegate.serving.contract.answer_counts import check_count
from tidegate.serving.contract.body_spool import LargeCall
from tidegate.serving.contract.call_trace import ModelRun
from tidegate.serving.contract.invocation import GONE, Call, Done, ModelFailed, Outcome
from tidegate.serving.contract.signature import ModelSignature, find_signature
from tidegate.serving.scoring.chunked_scoring import LineScorer, answer_blocks
from tidegate.serving.scoring.rescoring import TRIAL_ROWS, RescoringSchedule
from tidegate.transform.joining import TABLE_TYPES

CAP = 64
"""Rows per call; more rows hardly lower the cost per row."""
BATCH_ROWS = "MAX_BATCH_ROWS"
"""Environment variable of a model: another cap."""
MOST_ROWS = 4096
LARGE = 128 * 1024
"""Bytes of a body from which on a request is scored alone in a thread, so that the event loop stays responsive."""

PACKED = frozenset(kind.encode() for kind in TABLE_TYPES)
"""Content types whose length says little about the work: treated as large, in requests and answers."""

MISMATCH = "BatchingMismatches"
"""Metric: 1 when a model answered differently in a batch, which ends batching."""

Rows = TypeVar("Rows")
Scores = TypeVar("Scores")


class Scorer(Protocol[Rows, Scores]):
    """A model in this process. All methods but ``score`` take one request, and raise ModelFailed for a bad one.

    ``batches``: whether several requests can be scored in one call. ``score`` may run in two threads at once."""

    batches: bool

    def parse(self, call: Call) -> Rows:
        """Parse and check the rows of a request."""
        ...

    def size(self, rows: Rows) -> int: ...

    def score(self, requests: Sequence[Rows]) -> Sequence[Scores]:
        """One result per request, in their order."""
        ...

    def count(self, scores: Scores) -> int | None:
        """Return the number of answers; None for a model that is declared not to answer row by row."""
        ...

    def render(self, scores: Scores, call: Call) -> Outcome: ...


@runtime_checkable
class Comparable(Protocol):
    """A scorer whose batches can be checked."""

    def score_again(self, rows: Any) -> Any:
        """Score one request alone, without changing its rows."""
        ...

    def difference(self, rows: Any, alone: Any, batched: Any) -> str:
        """How the result of a batch differs from that of the request alone; empty if it does not."""
        ...


class Batcher(Generic[Rows, Scores]):
    """The engine around a scorer. ``usable``: whether what the scorer needs is there, such as its accelerator."""

    def __init__(
        self,
        scorer: Scorer[Rows, Scores],
        loop: asyncio.AbstractEventLoop,
        cap: int = CAP,
        aside: ThreadPoolExecutor | None = None,
    ) -> None:
        """``aside``: threads for large requests; by default one thread of its own."""
        self.usable: Callable[[], bool] = lambda: True
        self._scorer = scorer
        self._loop = loop
        self._batches = scorer.batches
        self._cap = cap if scorer.batches else 1
        self._rescoring = RescoringSchedule() if scorer.batches and isinstance(scorer, Comparable) else None
        self._mismatch = False
        """A mismatch was found that is not in the metrics yet."""
        self._queue: deque[tuple[Call, Rows, Done]] = deque()
        self._traced = False
        """Whether a call that is queued, or was until now, is traced."""
        self._scheduled = False
        self._own = None if aside is not None else ThreadPoolExecutor(1, thread_name_prefix="large")
        self._aside = aside or self._own

    @property
    def healthy(self) -> bool:
        return self.usable()

    @property
    def signature(self) -> ModelSignature | None:
        return find_signature(self._scorer)

    def submit(self, call: Call, done: Done) -> None:
        headers = call.headers
        if (
            isinstance(call, LargeCall)
            or len(call.body) >= LARGE
            or headers.get(b"content-type") in PACKED
            or headers.get(b"accept") in PACKED
        ):
            task = self._loop.run_in_executor(self._aside, self._score_alone, call)
            task.add_done_callback(lambda finished: done(finished.result()))
            return
        try:
            rows = self._scorer.parse(call)
        except Exception as error:
            done(model_failure(error))
            return
        if call.trace is not None:
            self._traced = True
        self._queue.append((call, rows, done))
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._flush)

    async def finish_checks(self) -> None:
        """Run the probes that the load of the model had no time for. Batching ends if they contradict it."""
        left = getattr(self._scorer, "checks_left", None)
        if left is not None and (why := await asyncio.to_thread(left)):
            self._stop_batching(why)

    async def close(self) -> None:
        if self._own is not None:
            self._own.shutdown(wait=False, cancel_futures=True)

    def _flush(self) -> None:
        """Score one batch; the rest of the queue waits until the loop has polled the sockets."""
        self._scheduled = False
        if len(self._queue) == 1 and not self._traced:
            self._answer_alone(*self._queue.popleft())
            return
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
            if item[0].abandoned:
                item[2](GONE)
            else:
                batch.append(item)
        if self._queue and not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._flush)
        if batch:
            self._answer(batch)

    def _answer_alone(self, call: Call, rows: Rows, done: Done) -> None:
        """Answer one request as ``_answer`` does, in fewer steps: a request that comes alone finds none of them in
        the processor's caches."""
        if call.abandoned:
            done(GONE)
            return
        outcome: Outcome
        try:
            [scores] = score_requests(self._scorer, [rows])
            outcome = self._scorer.render(scores, call)
        except Exception as error:
            outcome = model_failure(error)
        if self._mismatch:
            self._note_mismatch(call)
        done(outcome)

    def _answer(self, batch: list[tuple[Call, Rows, Done]]) -> None:
        try:
            results = self._score(batch)
            if len(batch) > 1 and self._rescoring is not None:
                results = self._check_scores(self._rescoring, batch, results)
        except Exception as error:
            if len(batch) == 1:
                self._note_mismatch(batch[0][0])
                batch[0][2](model_failure(error))
                return
            for item in batch:
                self._traced |= item[0].trace is not None
                self._answer([item])
            return
        self._note_mismatch(batch[0][0])
        render = self._scorer.render
        for (call, _, done), scores in zip(batch, results, strict=True):
            try:
                outcome = render(scores, call)
            except Exception as error:
                outcome = model_failure(error)
            done(outcome)

    def _score(self, batch: list[tuple[Call, Rows, Done]]) -> Sequence[Scores]:
        requests = [rows for _, rows, _ in batch]
        if not self._traced:
            return score_requests(self._scorer, requests)
        self._traced = any(call.trace is not None for call, _, _ in self._queue)
        began = time.time_ns()
        try:
            return score_requests(self._scorer, requests)
        finally:
            ended, rows = time.time_ns(), sum(map(self._scorer.size, requests))
            for call, _, _ in batch:
                if call.trace is not None:
                    call.trace.runs.append(ModelRun(began, ended, len(batch), rows, call.stage))

    def _note_mismatch(self, call: Call) -> None:
        if self._mismatch:
            self._mismatch = False
            call.note(MISMATCH, 1)

    # --- checks of batches ---

    def _check_scores(
        self, rescoring: RescoringSchedule, batch: list[tuple[Call, Rows, Done]], results: Sequence[Scores]
    ) -> Sequence[Scores]:
        """Check a batch if it is due, and return the results to answer with."""
        if rescoring.on_trial:
            return self._start_trial(rescoring, batch, results)
        if rescoring.begin(self._loop.time()):
            place = randrange(len(batch))
            if rescoring.is_quick:
                self._loop.call_soon(self._score_again_here, rescoring, batch[place][1], results[place])
            else:
                task = self._loop.run_in_executor(self._aside, self._score_again, batch[place][1], results[place])
                task.add_done_callback(partial(self._end_threaded_check, rescoring))
        return results

    def _start_trial(
        self, rescoring: RescoringSchedule, batch: list[tuple[Call, Rows, Done]], results: Sequence[Scores]
    ) -> Sequence[Scores]:
        """Score every request alone, and return those results. Raises what the scorer does."""
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
        rescoring.count_trial(len(batch), time.perf_counter() - began)
        return alone

    def _score_again(self, rows: Rows, batched: Scores) -> tuple[str, float]:
        """The difference of the result, if any, and the seconds that the check took."""
        assert isinstance(self._scorer, Comparable)
        began = time.perf_counter()
        try:
            why = self._scorer.difference(rows, self._scorer.score_again(rows), batched)
        except Exception as error:
            why = f"a request that fails alone was answered in a batch ({error})"
        return why, time.perf_counter() - began

    def _score_again_here(self, rescoring: RescoringSchedule, rows: Rows, batched: Scores) -> None:
        self._end_check(rescoring, *self._score_again(rows, batched))

    def _end_threaded_check(self, rescoring: RescoringSchedule, task: "asyncio.Future[tuple[str, float]]") -> None:
        if not task.cancelled():
            self._end_check(rescoring, *task.result())

    def _end_check(self, rescoring: RescoringSchedule, why: str, seconds: float) -> None:
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

    def _score_alone(self, call: Call) -> Outcome:
        scorer = self._scorer
        try:
            if self._batches and isinstance(call, LargeCall) and call.spool and _can_split(scorer, call):
                return answer_blocks(scorer, call, call.spool)
            [scores] = score_requests(scorer, [scorer.parse(call)])
        except Exception as error:
            return model_failure(error)
        return self._render(scores, call)

    def _render(self, scores: Scores, call: Call) -> Outcome:
        try:
            return self._scorer.render(scores, call)
        except Exception as error:
            return model_failure(error)


def score_requests(scorer: Scorer[Rows, Scores], requests: Sequence[Rows]) -> Sequence[Scores]:
    """Score requests; each result has one answer per row. Raises what the model does, or ModelFailed."""
    results = scorer.score(requests)
    if len(results) != len(requests):
        check_count(len(results), len(requests))
    for count, size in zip(map(scorer.count, results), map(scorer.size, requests), strict=True):
        if count != size:
            check_count(count, size)
    return results


def _can_split(scorer: object, call: Call) -> TypeGuard[LineScorer]:
    return isinstance(scorer, LineScorer) and scorer.batches and scorer.by_lines(call)


def cap(environment: Mapping[str, str]) -> int:
    """Return the largest number of rows per call, as a model's environment says; raises Invalid."""
    given = environment.get(BATCH_ROWS, str(CAP))
    if not given.isdecimal() or not 1 <= int(given) <= MOST_ROWS:
        raise Invalid(f"{BATCH_ROWS} must be a number of rows from 1 to {MOST_ROWS}, not {given!r}")
    return int(given)


def model_failure(error: Exception) -> ModelFailed:
    """The error for the client; the trace of an unexpected one goes to the log."""
    if isinstance(error, ModelFailed):
        return error
    traceback.print_exception(error)
    return ModelFailed(500, f"{type(error).__name__}: {error}")
