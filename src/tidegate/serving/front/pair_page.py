"""Answers copies of requests, which another version's workers send, with what the model said. Nothing counts them."""

import asyncio
import time
from collections.abc import Callable

import msgspec

from tidegate.serving.contract import target_headers
from tidegate.serving.contract.invocation import (
    Answer,
    Call,
    ModelEngine,
    ModelFailed,
    Outcome,
    Stream,
    close_parts,
)
from tidegate.serving.contract.pair_order import PAIR_PATH, TEXT, TRACED, CopyAnswer
from tidegate.serving.contract.replica_spec import ReplicaSpec
from tidegate.serving.engines.pipeline import Pipeline, StageOutput
from tidegate.serving.formats.prediction_cut import Cut, leave_whole
from tidegate.serving.front.body_values import AnswerNumbers
from tidegate.serving.front.connection import Connection, Request
from tidegate.serving.front.pairs import first_rows, read_answer, read_judged
from tidegate.serving.front.responses import Responses

MOST_COPIES = 8
"""Copies that are answered at a time while no client asks."""
PER_SECOND = 20
"""Copies that a replica answers per second, however many workers send them."""
QUIET = 60.0
"""Seconds without a client after which none is expected."""
SHARE = 0.03
"""Beside clients copies come one at a time and take this part of the replica's time: a client that comes during one
waits for the rest of it, and a version must not look slow for that."""


class _CopyAdmission:
    """The decision which copies are answered. Times are seconds of ``clock``."""

    def __init__(self, clients: Callable[[], tuple[int, int]], clock: Callable[[], float]) -> None:
        self.clock = clock
        self._clients = clients
        self._known = 0
        self._asked_at = -QUIET
        """When a client was there."""
        self._room = float(MOST_COPIES)
        self._filled = clock()
        self._rested = clock()
        """When copies will have taken no more than their share of the time."""

    def take(self, in_progress: int) -> bool:
        """Whether there is room for a copy beside those in progress."""
        now, (in_hand, total) = self.clock(), self._clients()
        self._room = min(MOST_COPIES, self._room + (now - self._filled) * PER_SECOND)
        self._filled = now
        if in_hand or total != self._known:
            self._known, self._asked_at = total, now
        quiet = now - self._asked_at >= QUIET
        if in_hand or self._room < 1 or in_progress >= MOST_COPIES:
            return False
        if not quiet and (in_progress or now < self._rested):
            return False
        self._room -= 1
        return True

    def end(self, began: float) -> None:
        """A copy that was answered since ``began`` is over."""
        now = self.clock()
        self._rested = max(self._rested, now + (now - began) * (1 / SHARE - 1))


class PairPage:
    """The page that answers copies, and rejects those for which clients might have to wait."""

    def __init__(
        self,
        spec: ReplicaSpec,
        responses: Responses,
        clients: Callable[[], tuple[int, int]],
        clock: Callable[[], float] = time.monotonic,
        failed: Callable[[ModelFailed], None] = lambda outcome: None,
        cut: Cut = leave_whole,
    ) -> None:
        """``clients``: how many calls of clients the worker has, and how many it had. ``failed`` gets what the model
        failed with; ``cut`` takes the prediction out of an answer."""
        self._cut, self._failed = cut, failed
        self._spec = spec
        self._admission = _CopyAdmission(clients, clock)
        self._responses = responses
        self._closing: set[asyncio.Task[None]] = set()
        self._calls: dict[Connection, Call] = {}

    def answer(self, engine: ModelEngine | None, connection: Connection, request: Request) -> bool:
        """Whether the request is a copy, which is then answered, now or later."""
        path, _, query = request.url.partition(b"?")
        wanted = query.split(b"&")
        if path != PAIR_PATH or request.method != b"POST":
            return False
        if engine is None or request.spool is not None or not self._admission.take(len(self._calls)):
            connection.reply(self._responses.plain(429, b"", not request.keep_alive), not request.keep_alive)
            return True
        call, seen = Call(request.body, request.fields), list[StageOutput]()
        self._calls[connection] = call
        done = self._finish(connection, request, call, seen, TEXT in wanted)
        if refusal := target_headers.reject_target(call, self._spec.fleet.endpoint, self._spec.serving):
            done(refusal)
            return True
        if TRACED in wanted and isinstance(engine, Pipeline):
            engine.trace(call, done, seen)
        else:
            engine.submit(call, done)
        return True

    def gone(self, connection: Connection) -> None:
        if (call := self._calls.pop(connection, None)) is not None:
            call.abandon()

    def _close(self, stream: Stream) -> None:
        task = asyncio.get_running_loop().create_task(close_parts(stream.parts))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _finish(
        self, connection: Connection, request: Request, call: Call, seen: list[StageOutput], texts: bool
    ) -> Callable[[Outcome], None]:
        began = self._admission.clock()

        def finish(outcome: Outcome) -> None:
            self._admission.end(began)
            if isinstance(outcome, Stream):
                self._close(outcome)
            elif isinstance(outcome, ModelFailed):
                self._failed(outcome)
            if self._calls.get(connection) is not call:
                return
            del self._calls[connection]
            close = not request.keep_alive
            connection.reply(
                self._responses.plain(200, _describe(request, outcome, seen, self._cut, texts), close), close
            )

        return finish


def _describe(request: Request, outcome: Outcome, seen: list[StageOutput], cut: Cut, texts: bool) -> bytes:
    """Describe the model's answer to a copy. An answer that cannot be read has no prediction, and is not a failure.
    Errors are caught here, because only the sender waits, and would otherwise get no answer."""
    try:
        found, text = AnswerNumbers(0, []), None
        if isinstance(outcome, Answer):
            found = read_answer(request, cut(outcome))
            text = read_judged(outcome) if texts else None
        failed = isinstance(outcome, ModelFailed)
        return msgspec.json.encode(
            CopyAnswer(found.first, failed, first_rows(seen), found.rows, found.numbers, text)
        )
    except Exception as error:
        print(f"tidegate pairs: an answer could not be read: {type(error).__name__}: {error}", flush=True)
        return msgspec.json.encode(CopyAnswer(None, isinstance(outcome, ModelFailed), []))
