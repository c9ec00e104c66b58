"""A worker's server that traces predictions. One that does not is a plain ``Server``, which has no part of it."""

import asyncio
import contextlib
import random
import socket
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import msgspec

from tidegate.domain.spans import Span, SpanBatch, SpanContext, Value
from tidegate.domain.trace_context import PARENT, STATE, TraceStarts, hash_id, read_context
from tidegate.features.tracing.worker.call_spans import CLIENT_GONE, StartWindow, make_spans
from tidegate.serving.contract.call_trace import CallTrace, Receipt
from tidegate.serving.contract.invocation import Answer, Call, Done, ModelEngine, ModelFailed, Outcome, Rejected
from tidegate.serving.contract.replica_spec import ReplicaSpec
from tidegate.serving.contract.traced_call import with_trace
from tidegate.serving.front.connection import Connection, Request
from tidegate.serving.front.pending_requests import stamp
from tidegate.serving.front.response_formats import OpenAIFormat, ResponseFormat, openai_status
from tidegate.serving.front.server import Server

FLUSH_AT = 64
"""Spans that are sent without waiting for more; some 25 KB."""
FLUSH_AFTER = 0.5
"""Seconds that a span waits for others."""
MOST_BYTES = 128 * 1024
"""Bytes of a datagram; the kernel's limit is 200 KB unless it was lowered."""
_PARENT, _STATE = PARENT.encode(), STATE.encode()
_INFERENCE_ID = b"x-amzn-sagemaker-inference-id"
MOST_A_SECOND = 200
"""Traced requests of a worker in a second. Clients may ask for a trace of each of theirs, which must not cost others
more than this; what is beyond is not traced, and counted."""
MODEL_ERROR = 424
"""SageMaker's status of an error of the model."""
SPANS_OF_A_CALL = 5
"""About how many spans are lost with a request that is not traced."""


class SpanSender:
    """Hands finished spans to the controller, which exports them: in datagrams on a unix socket, which never block.

    A worker needs no library for it, and none of the secrets that a collector asks for. What cannot be sent is
    dropped and counted: a controller that is away, hangs or is slow costs a prediction nothing. ``path``: the
    controller's socket."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._spans: list[Span] = []
        self._timer: asyncio.TimerHandle | None = None
        self._lost = 0
        """Spans that were dropped since the last datagram that was taken."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def add(self, spans: Sequence[Span]) -> None:
        self._spans.extend(spans)
        if len(self._spans) >= FLUSH_AT:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_AFTER, self.flush)

    def lose(self, count: int) -> None:
        """Count spans that were not even made."""
        self._lost += count

    def flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        spans, self._spans = self._spans, []
        if not spans and not self._lost:
            return
        data = msgspec.msgpack.encode(SpanBatch(spans, self._lost))
        if len(data) > MOST_BYTES:
            self._lost += len(spans)
            return
        try:
            self._socket.sendto(data, self._path)
        except OSError:  # full, or nobody is there
            self._lost += len(spans)
        else:
            self._lost = 0

    def close(self) -> None:
        self.flush()
        with contextlib.suppress(OSError):
            self._socket.close()


class _Watched:
    """The engine as a traced call gets it: notes what it answered. ``openai``: the client's API."""

    def __init__(self, engine: ModelEngine, trace: CallTrace, openai: bool) -> None:
        self._engine = engine
        self._trace = trace
        self._openai = openai

    def submit(self, call: Call, done: Done) -> None:
        self._engine.submit(call, partial(self._note, done))

    @property
    def healthy(self) -> bool:
        return self._engine.healthy

    async def close(self) -> None:
        await self._engine.close()

    def _note(self, done: Done, outcome: Outcome) -> None:
        trace = self._trace
        trace.model_ended = time.time_ns()
        if isinstance(outcome, (Answer, Rejected)):
            trace.status = outcome.status
        elif isinstance(outcome, ModelFailed):
            trace.failure = outcome.status
            trace.status = openai_status(outcome) if self._openai else MODEL_ERROR
        done(outcome)


class TracedServer(Server):
    """A server of a replica whose specification says ``tracing``."""

    def __init__(self, spec: ReplicaSpec, folder: Path) -> None:
        super().__init__(spec, folder)
        tracing = spec.tracing
        assert tracing is not None
        self._spans = SpanSender(tracing.socket)
        self._starts = TraceStarts(tracing.ratio, lambda: random.getrandbits(64))
        self._key = tracing.key
        self._second = self._traced = 0
        self._start: StartWindow | None = None
        """The cold start of this replica, once it is over."""
        fleet = spec.fleet
        self._common: dict[str, Value] = {
            "tidegate.endpoint": fleet.endpoint,
            "tidegate.config": spec.config_name,
            "tidegate.variant": fleet.variant,
            "tidegate.generation": fleet.generation,
            "tidegate.instance": spec.replica,
        }

    async def drain(self, limit: float) -> int:
        cut = await super().drain(limit)
        self._spans.close()
        return cut

    def gone(self, connection: Connection) -> None:
        call = self._in_hand.get(connection)
        super().gone(connection)
        if call is not None and call.trace is not None:
            self._end(call.trace, CLIENT_GONE)

    def _submit(
        self, engine: ModelEngine, connection: Connection, request: Request, call: Call, fmt: ResponseFormat
    ) -> None:
        # Most requests end here, so they pay for one number and one look-up.
        low = random.getrandbits(64)
        if low < self._starts.bound or _PARENT in request.fields:
            trace = self._begin(request, low)
            if trace is not None:
                call, engine = with_trace(call, trace), _Watched(engine, trace, isinstance(fmt, OpenAIFormat))
        Server._submit(self, engine, connection, request, call, fmt)

    def _count(self, request: Request, call: Call, status: int | None, at: int) -> int:
        if self.cold is not None and status is not None:
            self._start = StartWindow(self.cold.began, tuple(self.cold.phases()))
        latency = Server._count(self, request, call, status, at)
        if (trace := call.trace) is not None:
            if status is not None and not 200 <= status <= 299 and trace.failure is None:
                trace.failure = status  # of a stream that broke off
            self._end(trace, trace.status or status or 0)
        return latency

    # --- a trace ---

    def _begin(self, request: Request, low: int) -> CallTrace | None:
        """The trace of a request; None: it is not traced. ``low``: 64 random bits."""
        parent, queued = self._caller(request), self.spec.queued
        trace_id = self._starts.begin_linked(parent) if queued else self._starts.begin(parent, low)
        if trace_id is None:
            return None
        second = request.complete // 1_000_000
        if second != self._second:
            self._second, self._traced = second, 0
        self._traced += 1
        if self._traced > MOST_A_SECOND:
            self._spans.lose(SPANS_OF_A_CALL)
            return None
        stamped = stamp(request.stamp, request.arrived)
        receipt = Receipt(stamped, request.arrived, request.complete, request.fields.get(_INFERENCE_ID, b""))
        return CallTrace(trace_id, parent, queued, time.time_ns(), receipt)

    def _caller(self, request: Request) -> SpanContext | None:
        """The caller's span. A traceparent that came twice is no valid one; a tracestate may be split."""
        if _PARENT not in request.fields:
            return None
        parents = [value for name, value in request.headers if name == _PARENT]
        if len(parents) != 1:
            return None
        states = b",".join(value for name, value in request.headers if name == _STATE)
        return read_context(parents[0].decode("latin-1"), states.decode("latin-1"))

    def _end(self, trace: CallTrace, status: int) -> None:
        """Make the spans of a trace, once."""
        if trace.over:
            return
        trace.over, trace.status = True, status
        attributes: dict[str, Value] = {**self._common, "http.response.status_code": status}
        if trace.failure is not None:
            attributes["tidegate.model.status"] = trace.failure
        if trace.receipt.inference_id:
            attributes["tidegate.inference_id.hash"] = hash_id(self._key, trace.receipt.inference_id)
        start = self._start
        if start is not None and trace.receipt.stamped >= start.ended * 1e6:
            start = None  # it came after the start
        self._spans.add(make_spans(trace, "invoke", attributes, time.time_ns(), start, _new_id))


def _new_id() -> str:
    return f"{random.getrandbits(64) | 1:016x}"
