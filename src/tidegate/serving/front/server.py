"""A worker's HTTP server: routes, authentication, statistics and draining.

``control_pages``; ``POST`` to ``/invocations`` or ``/invocations-response-stream``, OpenAI's ``/v1/...``, and the
paths of a ``FurtherProtocol``: below ``/endpoints/NAME``, or without it if no signatures are required. Requests for
another endpoint are rejected.
"""

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from pathlib import Path

from tidegate.auth.request_target import MESSAGE, is_canonical
from tidegate.domain.errors import AuthError, StartupError
from tidegate.domain.worker_stats import TOKENS_IN_FLIGHT
from tidegate.serving.contract import target_headers
from tidegate.serving.contract.body_spool import LargeCall, Spool
from tidegate.serving.contract.cold_start import ColdStart
from tidegate.serving.contract.invocation import (
    PATH,
    Answer,
    Call,
    ModelEngine,
    ModelFailed,
    Note,
    Outcome,
    Stream,
)
from tidegate.serving.contract.memory_release import ReleaseSchedule, release_memory
from tidegate.serving.contract.refusals import read_phrases
from tidegate.serving.contract.replica_spec import ReplicaSpec
from tidegate.serving.contract.signature import ModelSignature, find_signature
from tidegate.serving.formats.prediction_cut import make_cut
from tidegate.serving.front.access_keys import KeysFile, check_access
from tidegate.serving.front.activity_mark import ActivityMark
from tidegate.serving.front.captures import make_captures
from tidegate.serving.front.compared_counts import REPEAT, ComparedCounts
from tidegate.serving.front.connection import Connection, Refusal, Request
from tidegate.serving.front.control_pages import ALL, CONTRACT, PING, ControlPort, control_page
from tidegate.serving.front.copies import RequestCopies
from tidegate.serving.front.failure_messages import FailureMessages
from tidegate.serving.front.further_protocol import FurtherProtocol, find_protocol
from tidegate.serving.front.header_cache import HeaderCache
from tidegate.serving.front.listeners import listener
from tidegate.serving.front.pending_requests import PendingRequests, began, now, stamp
from tidegate.serving.front.request_stats import RequestStats, encode_page
from tidegate.serving.front.response_formats import EventStreamFormat, OpenAIFormat, PlainFormat, ResponseFormat
from tidegate.serving.front.responses import UNSPENT, Responses
from tidegate.serving.front.sessions import GONE, HEADER, Sessions
from tidegate.serving.front.streaming import StreamDelivery, StreamEnd, StreamLimits
from tidegate.serving.front.text_samples import TextSamples
from tidegate.serving.scoring.batching import LARGE, model_failure

# When a worker does what it does about once a second: deadlines, measurements, looks at its files. A busy worker
# does it in the middle of each second, so that no second is skipped. One at rest does it when a ping wakes it
# anyway, and wakes up by itself only if none comes: what a worker at rest costs is its wake-ups.


EARLIEST = 0.9
"""Seconds after the last time from which a ping is taken for the next one."""
LATEST = 1.25
"""Seconds after which a worker at rest wakes up by itself."""


class Sweeps:
    """``work`` is the work, and says whether the worker is at rest; ``now`` is the time in epoch microseconds."""

    def __init__(self, work: Callable[[], bool], now: Callable[[], int]) -> None:
        self._work = work
        self._now = now
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._rests = False
        self._last = 0.0

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._timer = loop.call_later(1.0, self._run)

    def nudge(self) -> None:
        """The worker is awake."""
        if self._rests and self._loop is not None and self._loop.time() - self._last >= EARLIEST:
            self._rests = False
            self._loop.call_soon(self._run)  # the connection that woke it is answered first

    def _run(self) -> None:
        assert self._loop is not None
        assert self._timer is not None
        self._timer.cancel()
        self._last = self._loop.time()
        # Armed first: work that fails must not be the last.
        self._timer = self._loop.call_later(1.5 - self._now() % 1_000_000 / 1e6, self._run)
        self._rests = False
        if self._work():
            self._timer.cancel()
            self._timer, self._rests = self._loop.call_later(LATEST, self._run), True


PLAIN, STREAM = b"/invocations", b"/invocations-response-stream"
PREDICTION = re.compile(rb"(?:/endpoints/([^/]+))?(%b|%b|/v1/.+)" % (PLAIN, STREAM))
BELOW = re.compile(rb"(?:/endpoints/([^/]+))?(/.+)")
MODELS = b"/v1/models"
"""OpenAI's path that is read with GET."""
FIRST_CHUNK = "FirstChunkLatency"
QUIET = 0.5
"""Seconds for which an idle connection stays open while draining, since a request may be in transit."""


class Server:
    """Listens from the start; serves predictions once it has an ``engine``."""

    def __init__(self, spec: ReplicaSpec, folder: Path) -> None:
        """``folder``: the replica's, for bodies too large for memory."""
        self.spec = spec
        self._folder = folder
        self.engine: ModelEngine | None = None
        self.cold: ColdStart | None = None
        """The cold start in progress; None after the first answer."""
        self.failed: Callable[[str], None] | None = None
        """Called with the message of a failed model."""
        self.draining = False
        self.connections: set[Connection] = set()
        self.max_body = spec.max_body
        self._endpoint = spec.fleet.endpoint.encode()
        self.heads = HeaderCache((PLAIN, b"/endpoints/%b%b" % (self._endpoint, PLAIN)))
        self._stats = RequestStats(ActivityMark(folder))
        self._stats.failures = FailureMessages(self._say)
        self._folding = False
        """Whether ``_fold`` is to run."""
        texts = TextSamples(
            self._stats.add_text, read_phrases(spec.containers[-1].environment if spec.containers else {})
        )
        cut = make_cut(spec)
        self._compared = ComparedCounts(self._stats.note, texts, cut)
        self._sessions = Sessions(spec)
        self._responses = Responses(spec)
        self._plain = PlainFormat(self._responses)
        self._streamed = EventStreamFormat(self._responses)
        self._openai = OpenAIFormat(self._responses)
        self._limits = StreamLimits(spec.invocation_timeout, spec.stream_timeout, spec.max_body)
        self._deliveries: set[StreamDelivery] = set()
        self._keys = KeysFile(Path(spec.keys_file)) if spec.keys_file is not None else None
        self._captures = make_captures(spec, self.note)
        self._in_hand: dict[Connection, Call] = {}
        self._copies = RequestCopies(
            spec,
            self._stats,
            self._responses,
            lambda: self.engine,
            lambda: len(self._in_hand),
            cut=cut,
            captures=self._captures,
        )
        self.waiting = PendingRequests(self._stats.note)
        self._listener = listener(spec, partial(Connection, self))
        self._pages = ALL if spec.listen is None else CONTRACT
        self._control_port = ControlPort(spec.listen, self, self._responses) if spec.listen is not None else None
        self._drained = False
        self._due = ReleaseSchedule()
        """When to release memory."""
        self._sweeps = Sweeps(self._sweep, now)

    # --- life ---

    async def listen(self) -> None:
        """Raises StartupError."""
        if self._keys is not None:
            self._keys.read()
        await self._listener.open()
        if self._control_port is not None:
            await self._control_port.open()
        self._sweeps.start(asyncio.get_running_loop())
        self._copies.start()
        self._captures.start()

    async def drain(self, limit: float) -> int:
        """Answer the requests in progress, then close. Returns the number of those cut off after ``limit`` seconds.

        New connections are turned away first, so that they go elsewhere; those in the backlog are still accepted.
        Open connections close after their next answer."""
        self.draining = True
        started = time.monotonic()
        await self._listener.withdraw(limit)
        while self.connections:
            waited = time.monotonic() - started
            idle = all(connection.idle for connection in self.connections)
            if waited > limit or (idle and waited > QUIET):
                break
            await asyncio.sleep(0.01)
        cut = len(self._in_hand)
        for delivery in self._deliveries:
            delivery.cut()
        while self._deliveries:
            await asyncio.sleep(0.01)
        self._listener.close()
        for connection in list(self.connections):
            connection.close()
        await self._copies.close()
        await self._captures.close()
        self._drained = True
        if self._control_port is not None:
            await self._control_port.close()
        return cut

    @property
    def answered(self) -> int:
        """Requests that the model has answered."""
        return self._stats.total

    # --- what connections ask for ---

    def serve(self, connection: Connection, request: Request) -> None:
        if request.plain and self._keys is None and self.engine is not None:
            self._submit(self.engine, connection, request, Call(request.body, request.fields), self._plain)
            return
        path, _, query = request.url.partition(b"?")
        if not is_canonical(path.decode("latin-1"), query.decode("latin-1")):
            close = self.draining or not request.keep_alive
            connection.reply(self._responses.error(400, "ValidationError", MESSAGE, close, UNSPENT), close)
        elif asked := PREDICTION.fullmatch(path):
            self._predict(connection, request, asked, query)
        else:
            self._show(connection, request, path, query)

    def _predict(self, connection: Connection, request: Request, asked: re.Match[bytes], query: bytes) -> None:
        """``asked``: a match of PREDICTION."""
        endpoint, what = asked.groups()
        fmt = self._plain if what == PLAIN else self._streamed if what == STREAM else self._openai
        close = self.draining or not request.keep_alive
        if endpoint != self._endpoint and (endpoint is not None or self._keys is not None):
            name = "" if endpoint is None else f" {endpoint.decode('latin-1')}"
            message = f"Endpoint{name} of account {self.spec.account} not found."
            connection.reply(fmt.error(400, "ValidationError", message, close, UNSPENT), close)
            return
        method = b"GET" if fmt is self._openai and what.startswith(MODELS) else b"POST"
        if request.method != method:
            message = f"This is asked for with {method.decode()}."
            connection.reply(fmt.error(405, "ValidationError", message, close, UNSPENT), close)
            return
        self._invoke(connection, request, asked, query, fmt)

    def _show(self, connection: Connection, request: Request, path: bytes, query: bytes) -> None:
        """Answer with one of the platform's pages."""
        close = self.draining or not request.keep_alive
        page = control_page(self, self._pages, path, query)
        if page is not None:
            connection.reply(self._responses.plain(*page, close), close)
            if path == PING:
                self._sweeps.nudge()
        elif not self._copies.answer(connection, request) and not self._serve_further(
            connection, request, path, query
        ):
            message = "There is no such path here; predictions go to /invocations."
            connection.reply(
                self._responses.error(404, "UnknownOperationException", message, close, UNSPENT), close
            )

    def spool(self) -> Spool:
        return Spool(self._folder)

    def refuse(self, refusal: Refusal) -> bytes:
        return self._responses.error(refusal.status, refusal.error, refusal.message, True, UNSPENT)

    def note_large_body(self) -> None:
        self._due.note(time.monotonic())

    def gone(self, connection: Connection) -> None:
        self.waiting.leave(connection)
        self._copies.gone(connection)
        call = self._in_hand.pop(connection, None)
        if call is not None:
            call.abandon()

    def statistics(self, since: int, before: int, *, over: bool = True) -> bytes:
        """JSON: the seconds ``since <= second < before`` that are over (all, if not ``over``), the requests in
        flight, and the requests answered since the start."""
        at = time.time()
        self._stats.rewind(int(at))
        self._compared.settle()
        self._copies.settle()
        last = min(before, int(at)) if over and not self._drained else before
        return encode_page(self._stats.page(self.spec.replica, at, len(self._in_hand), since, last))

    def note(self, note: Note) -> None:
        """Add a measurement that belongs to no call."""
        self._stats.note(now(), note)

    # --- a further protocol ---

    @cached_property
    def _further(self) -> FurtherProtocol | None:
        return find_protocol(self.spec, self._responses)

    def _serve_further(self, connection: Connection, request: Request, path: bytes, query: bytes) -> bool:
        """Whether a feature's protocol has the path; then the request is answered, now or later."""
        asked = BELOW.fullmatch(path)
        fmt = self._further.find_format(asked[2]) if asked is not None and self._further is not None else None
        if asked is None or fmt is None or self._further is None:
            return False
        endpoint, what = asked.groups()
        close = self.draining or not request.keep_alive
        if endpoint != self._endpoint and (endpoint is not None or self._keys is not None):
            name = "" if endpoint is None else f" {endpoint.decode('latin-1')}"
            message = f"Endpoint{name} of account {self.spec.account} not found."
            connection.reply(fmt.error(404, "ValidationError", message, close, UNSPENT), close)
        elif not self._admit(connection, request, path, query, fmt):
            pass
        elif not self._further.predicts(request, what):
            self._further.show(request, what, self.engine, partial(connection.reply, close=close), close)
        elif self._is_loaded(connection, fmt, close):
            work = partial(_translate, self._further, request, what, find_signature(self.engine))
            if request.spool is None and len(request.body) < LARGE:
                self._submit_translated(connection, request, fmt, work())
            else:
                task = asyncio.get_running_loop().run_in_executor(None, work)
                task.add_done_callback(
                    lambda done: self._submit_translated(connection, request, fmt, done.result())
                )
        return True

    def _submit_translated(
        self,
        connection: Connection,
        request: Request,
        fmt: ResponseFormat,
        found: tuple[Request, ResponseFormat] | ModelFailed,
    ) -> None:
        """``found``: the native request, or why there is none, which counts like a model's refusal of a body."""
        if isinstance(found, ModelFailed):
            call = Call(b"", request.fields)
            self._take_in_hand(connection, request, call)
            self._finish(connection, request, call, fmt, found)
        else:
            native, fmt = found
            self._check_target(connection, native, native.fields, fmt)

    # --- predictions ---

    def _invoke(
        self, connection: Connection, request: Request, asked: re.Match[bytes], query: bytes, fmt: ResponseFormat
    ) -> None:
        close = self.draining or not request.keep_alive
        if not self._admit(connection, request, asked[0], query, fmt) or not self._is_loaded(
            connection, fmt, close
        ):
            return
        headers = request.fields
        if fmt is not self._plain or PATH in headers:
            headers = self._adapt(headers, asked[2], fmt)
        self._check_target(connection, request, headers, fmt)

    def _admit(
        self, connection: Connection, request: Request, path: bytes, query: bytes, fmt: ResponseFormat
    ) -> bool:
        """Whether the client may ask; otherwise it is answered."""
        if self._keys is None:
            return True
        close = self.draining or not request.keep_alive
        try:
            check_access(self._keys, request, path, query, fmt.bearer, int(self.spec.clock_skew))
        except AuthError as error:
            connection.reply(fmt.refused(error, close), close)
            return False
        except StartupError as error:
            print(f"tidegate worker {self.spec.replica}: {error}", flush=True)
            message = "The access keys cannot be read on the server; see its log."
            connection.reply(fmt.error(500, "InternalFailure", message, close), close)
            return False
        return True

    def _is_loaded(self, connection: Connection, fmt: ResponseFormat, close: bool) -> bool:
        """Whether there is a model; otherwise the client is answered."""
        if self.engine is None:
            message = f"The model of variant {self.spec.fleet.variant} is still being loaded; try again."
            connection.reply(fmt.error(503, "ServiceUnavailable", message, close), close)
        return self.engine is not None

    def _check_target(
        self, connection: Connection, request: Request, headers: Mapping[bytes, bytes], fmt: ResponseFormat
    ) -> None:
        assert self.engine is not None
        close = self.draining or not request.keep_alive
        call = Call(request.body, headers, fmt.parts)
        if request.spool is not None:
            call = LargeCall(request.spool, headers, fmt.parts)
        if refusal := target_headers.reject_target(call, self.spec.fleet.endpoint, self.spec.serving):
            connection.reply(fmt.whole(refusal, close), close)
            return
        if refusal := self._sessions.refused(headers, time.time()):
            connection.reply(fmt.error(refusal.status, refusal.name, refusal.message, close, GONE), close)
            return
        self._submit(self.engine, connection, request, call, fmt)

    def _submit(
        self, engine: ModelEngine, connection: Connection, request: Request, call: Call, fmt: ResponseFormat
    ) -> None:
        self._take_in_hand(connection, request, call)
        engine.submit(call, partial(self._finish, connection, request, call, fmt))

    def _take_in_hand(self, connection: Connection, request: Request, call: Call) -> None:
        self._stats.begin()
        self._in_hand[connection] = call
        self.waiting.begin(connection, request)

    def _adapt(self, fields: Mapping[bytes, bytes], path: bytes, fmt: ResponseFormat) -> Mapping[bytes, bytes]:
        """The headers for engines, independent of the API. ``path``: below the endpoint's."""
        headers = dict(fields)
        headers.pop(PATH, None)  # clients may not set it
        if fmt is self._streamed:
            headers[b"accept"] = headers.get(b"x-amzn-sagemaker-accept", b"")
        elif fmt is self._openai:
            headers[PATH] = path
            headers.pop(b"authorization", None)  # it may contain the key itself
        return headers

    def _finish(
        self, connection: Connection, request: Request, call: Call, fmt: ResponseFormat, outcome: Outcome
    ) -> None:
        if HEADER in call.headers and isinstance(outcome, (Answer, Stream)):
            self._sessions.note(call.headers, outcome.headers, time.time())
        if isinstance(outcome, Stream):
            self._deliver(connection, request, call, fmt, outcome)
            return
        self.waiting.end(connection, request)
        if isinstance(outcome, Answer):
            self._stats.answered += 1
            at = now()
            latency = self._count(request, call, 200, at)
            readable = None if fmt is self._plain else fmt.readable
            if REPEAT not in call.headers:
                self._compared.offer(at, outcome, latency, call.headers.get(HEADER), readable)
        else:
            failed = outcome if isinstance(outcome, ModelFailed) else None
            if failed is not None:  # its traceback keeps the request's body alive, in a cycle
                failed.__traceback__ = failed.__context__ = failed.__cause__ = None
            self._stats.answered += failed is not None and 0 < failed.status < 500
            latency = self._count(request, call, failed.status if failed else None, now())
            if failed is not None:
                self._note_failure(failed)
        if self._in_hand.get(connection) is not call:
            return  # the client disconnected
        del self._in_hand[connection]
        close = self.draining or not request.keep_alive
        connection.reply(fmt.whole(outcome, close), close)
        if not (self._captures.wanted or self._copies.wanted):
            return
        if fmt is not self._plain:
            request, outcome = fmt.record(request, outcome)
        if self._captures.wanted and isinstance(outcome, Answer):
            self._captures.offer(request, outcome)
        copied = request.spool is None and HEADER not in call.headers  # a shadow has no sessions
        if self._copies.wanted and fmt.copied and copied:
            self._copies.offer(request, outcome, latency, connection.peer)

    def _note_failure(self, failed: ModelFailed) -> None:
        self._stats.failures.note(failed.status, failed.message, time.time())
        if self.failed is not None:
            self.failed(failed.message)

    def _say(self, line: str) -> None:
        print(f"tidegate worker {self.spec.replica} ({self.spec.fleet}): {line}", flush=True)

    def _deliver(
        self, connection: Connection, request: Request, call: Call, fmt: ResponseFormat, stream: Stream
    ) -> None:
        begun = False
        stream, captured = self._captures.follow(request, stream)

        def started() -> None:
            nonlocal begun
            begun = True
            self._stats.answered += 1
            self.waiting.end(connection, request)

        since = began(request, stamp(request.stamp, request.arrived))
        repeat = REPEAT in call.headers
        text = None if repeat else self._compared.open(since, stream, call.headers.get(HEADER))
        close, read = partial(self._closes_after, request), None if text is None else text.read
        delivery = StreamDelivery(stream, connection, fmt, self._limits, close, started, read=read)
        self._deliveries.add(delivery)

        def ended(how: StreamEnd) -> None:
            self._deliveries.discard(delivery)
            self.waiting.end(connection, request)
            if not begun:
                self._stats.answered += 0 < how.status < 500
            if self._in_hand.get(connection) is call:
                del self._in_hand[connection]
            if how.first is not None:
                call.note(FIRST_CHUNK, max(0, how.first - since))
            if text is not None:
                text.end(how.whole)
            self._count(request, call, how.status, now())
            if how.message:
                self._stats.failures.note(how.status, how.message, time.time())
            captured(how.whole)

        call.on_abandon(delivery.leave)
        delivery.begin(ended)
        if call.abandoned:
            delivery.leave()

    def _closes_after(self, request: Request) -> bool:
        return self.draining or not request.keep_alive

    def _count(self, request: Request, call: Call, status: int | None, at: int) -> int:
        """Count a request. ``status``: the model's; None if it had no call. Returns the latency in microseconds."""
        latency = 0
        if status is not None:
            if self.cold is not None:
                said, self.cold = self.cold.answered(request.arrived / 1e6), None
                self._say(said)
            stamped = stamp(request.stamp, request.arrived)
            latency = max(0, at - (stamped if request.at_once else request.complete))
            self._stats.count(at, status, latency, request.arrived - stamped)
            if REPEAT in call.headers:
                self._compared.count_repeat(at, not 200 <= status < 300, latency)
            elif HEADER in call.headers:
                self._compared.count_session(at, call.headers[HEADER], not 200 <= status < 300)
        if call.notes:
            self._stats.note_all(at, call.notes)
        if self._stats.full and not self._folding:
            self._folding = True
            asyncio.get_running_loop().call_soon(self._fold)
        return latency

    def _fold(self) -> None:
        """Aggregate what was counted, in a later turn of the event loop than the answer, which would wait for it."""
        self._folding = False
        self._stats.fold()

    def _sweep(self) -> bool:
        """Whether the worker is at rest."""
        moment = time.monotonic()
        for connection in list(self.connections):
            connection.hurry(moment)
        if self._due.take(moment):
            asyncio.get_running_loop().run_in_executor(None, release_memory)
        self.waiting.measure(now())
        if tokens := sum(call.tokens for call in self._in_hand.values()):
            self.note(Note(TOKENS_IN_FLIGHT, tokens))
        self._listener.look()
        self._copies.look()
        self._captures.look()
        return not self.waiting and all(connection.idle for connection in self.connections)


def _translate(
    protocol: FurtherProtocol, request: Request, path: bytes, signature: ModelSignature | None
) -> tuple[Request, ResponseFormat] | ModelFailed:
    """The native request, or the error of one that cannot be made."""
    try:
        return protocol.translate(request, path, signature)
    except Exception as error:
        return model_failure(error)
