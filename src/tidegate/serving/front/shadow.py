"""Sends copies of requests to a shadow fleet after the original was answered, and compares and records the answers.

A copy is the original request with its signature, so the shadow's workers authenticate it like any other. A slow or
failing shadow has no effect beyond this module: copies in flight and their bytes are limited, and further copies are
dropped and counted.
"""

import asyncio
import time
import zlib
from collections.abc import Callable
from pathlib import Path

from tidegate.domain.traffic import WHOLE
from tidegate.http1.client import HttpClient
from tidegate.http1.exchange import Exchange
from tidegate.http1.messages import HttpReply, format_head
from tidegate.serving.contract.invocation import Answer, ModelFailed, Note, Outcome
from tidegate.serving.contract.replica_spec import ReplicaSpec, ShadowCopies
from tidegate.serving.formats.prediction_cut import Cut, leave_whole
from tidegate.serving.front.connection import Request
from tidegate.serving.front.header_cache import ONCE
from tidegate.serving.front.sampling import EvenSampler
from tidegate.serving.front.shadow_answers import GOOD, SMALL, TOGETHER, CopiedRequest, ShadowAnswers
from tidegate.serving.front.shadow_log import ShadowLog, ShadowSide

MOST = 32
"""Gateways whose connections are kept; those that sent nothing for the longest time are forgotten."""


class CopyClients:
    """``limit``: most bytes of an answer."""

    def __init__(self, spec: ShadowCopies, limit: int) -> None:
        self._port = spec.port
        self._limit = limit
        self._own = HttpClient(spec.socket, limit) if spec.socket else None
        self._gateways: dict[str, HttpClient] = {}

    def choose(self, peer: str) -> HttpClient | None:
        """Choose the client for a copy. ``peer``: the address that the request came from. None: it is not known."""
        if self._own is not None or not peer:
            return self._own
        client = self._gateways.pop(peer, None)
        if client is None:
            client = HttpClient((peer, self._port), self._limit)
            while len(self._gateways) >= MOST:
                self._gateways.pop(next(iter(self._gateways))).close()
        self._gateways[peer] = client
        return client

    def close(self) -> None:
        for client in (self._own, *self._gateways.values()):
            if client is not None:
                client.close()


MOST_COPIES = 64
"""Most copies in flight."""
MOST_BYTES = 32 * 1024 * 1024
"""Most bytes of their requests and answers."""
LARGEST_ANSWER = 1024 * 1024
"""Most bytes of an answer that is compared: a request with a larger one is not copied, and a shadow that gives one
has failed."""
TURN = 1.0
"""Seconds between two reads of the share and writes of the log."""
SPARE = 5.0
"""Seconds beyond a prediction's own limit, so that the proxy's error arrives first."""
KEPT_HEADS = 256
UNREAD = 0.05
"""Seconds that a reply stays unread at most, if the proxy measures it: the worker is not woken up for each."""
TOOK = b"x-tidegate-took"
"""Header of the proxy: microseconds from a copy's arrival to its reply."""
TOOK_DIGITS = 16
FAREWELL = 0.5
"""Seconds that copies in flight get when the worker shuts down."""

DROPPED = "MirrorDropped"
"""Metric of the production variant, as those of ``shadow_answers``."""

_ONE_DROPPED = Note(DROPPED, 1)
_HOP = frozenset({b"host", b"content-length", b"connection", b"transfer-encoding", b"expect", b"keep-alive"})
_INFERENCE_ID = b"x-amzn-sagemaker-inference-id"


class ShadowSender:
    """Sends the copies of one replica. ``note`` gets the measurements, with epoch microseconds; ``cut`` takes the
    prediction out of an answer."""

    def __init__(self, spec: ReplicaSpec, note: Callable[[int, Note], None], cut: Cut = leave_whole) -> None:
        assert spec.mirror is not None
        self._spec = spec.mirror
        self._note = note
        self._even = EvenSampler(0, zlib.crc32(spec.replica.encode()))
        self._clients = CopyClients(self._spec, LARGEST_ANSWER)
        self._heads = CopyHeads((b"x-tidegate-fleet", self._spec.fleet.encode()))
        self._limit = round((spec.invocation_timeout + SPARE) * 1e9)
        self._pairs = ShadowLog(Path(self._spec.kept))
        self._answers = ShadowAnswers(note, self._pairs, self._release, self._log, cut)
        self._copies: set[_Copy] = set()
        self._held = 0
        self._timed = False
        """The proxy says how long a reply took, so that it need not be read at once."""
        self._unread: list[Exchange] = []
        self._reading: asyncio.TimerHandle | None = None
        self._housekeeping: asyncio.Task[None] | None = None
        self._trouble = ""

    def start(self) -> None:
        self._even.share = self._read_share()
        self._housekeeping = asyncio.create_task(self._run_periodically())

    def offer(self, request: Request, outcome: Outcome, latency: int, peer: Callable[[], str] = str) -> None:
        """Copy an answered request if it is sampled; ``latency`` in microseconds, ``peer`` gives the address that it
        came from. Streams are not copied, nor requests that the platform rejected."""
        if not isinstance(outcome, Answer | ModelFailed) or not self._even.take():
            return
        if isinstance(outcome, Answer):
            original = ShadowSide(GOOD, latency, outcome.body, outcome.content_type)
        else:
            original = ShadowSide(outcome.status, latency, outcome.message.encode())
        size = len(request.body) + len(original.body)
        full = self.in_flight >= MOST_COPIES or self._held + size > MOST_BYTES
        client = None if full or len(original.body) > LARGEST_ANSWER else self._clients.choose(peer())
        if client is None:
            self._note(time.time_ns() // 1000, _ONE_DROPPED)
            return
        self._held += size
        copy = _Copy(request, original, size, self._take)
        self._copies.add(copy)
        try:
            copy.exchange = client.ask(self._heads.make(request) + request.body, copy.finish)
            if self._timed and len(original.body) <= SMALL:
                self._leave_unread(copy.exchange)
        except Exception as error:  # the answers of other requests are still to be sent
            self._abandon(copy)
            self._log(f"a copy was lost: {type(error).__name__}: {error}")

    @property
    def in_flight(self) -> int:
        return len(self._copies)

    @property
    def unread(self) -> int:
        """Replies in flight that are read later."""
        return len(self._unread)

    def settle(self) -> None:
        """Count what was answered. To be called before the counts are read."""
        self._answers.settle()

    async def close(self) -> None:
        """Wait a moment for copies in flight, then write the log."""
        if self._housekeeping is not None:
            self._housekeeping.cancel()
        self._read()
        until = time.monotonic() + FAREWELL
        while self.in_flight and time.monotonic() < until:
            await asyncio.sleep(0.01)
        for copy in list(self._copies):
            self._abandon(copy)
        self._clients.close()
        self.settle()
        await asyncio.to_thread(self._rotate, self._pairs.take())

    def _leave_unread(self, exchange: Exchange) -> None:
        """Read this reply with others: to wake up for it would cost more than all else that is done with it."""
        exchange.pause()
        self._unread.append(exchange)
        if self.unread >= TOGETHER:
            self._read()
        elif self._reading is None:
            self._reading = asyncio.get_running_loop().call_later(UNREAD, self._read)

    def _read(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None
        self._answers.settle()
        unread, self._unread = self._unread, []
        for exchange in unread:
            exchange.resume()

    def _take(self, copy: "_Copy", reply: HttpReply | Exception) -> None:
        """The shadow answered, or there will be no answer."""
        self._copies.discard(copy)
        took = (time.monotonic_ns() - copy.began) // 1000
        if isinstance(reply, HttpReply):
            told = reply.headers.get(TOOK, b"")
            self._timed = told.isdigit() and len(told) < TOOK_DIGITS
            # The proxy's clock stands still while it works, so that a reply which came meanwhile took 0.
            took = max(1, int(told)) if self._timed else took
        id = copy.request.fields.get(_INFERENCE_ID, b"").decode("latin-1")
        self._answers.add(CopiedRequest(copy.request.body, id, copy.original, reply, took, copy.size))

    def _abandon(self, copy: "_Copy") -> None:
        self._copies.discard(copy)
        self._held -= copy.size
        if copy.exchange is not None:
            copy.exchange.abandon()

    def _release(self, size: int) -> None:
        self._held -= size

    def _end_late(self) -> None:
        """End copies that have no answer in time."""
        before = time.monotonic_ns() - self._limit
        for copy in [copy for copy in self._copies if copy.began < before]:
            if copy.exchange is not None:
                copy.exchange.abandon()
            self._take(copy, TimeoutError())

    # --- files, off the loop ---

    async def _run_periodically(self) -> None:
        while True:
            await asyncio.sleep(TURN)
            self._end_late()
            self._even.share = await asyncio.to_thread(self._rotate, self._pairs.take())

    def _rotate(self, lines: list[bytes]) -> int:
        try:
            if lines:
                self._pairs.write(lines)
        except OSError as error:
            self._log(f"answers of the shadow cannot be kept: {error.strerror or error}")
        else:
            self._trouble = ""
        return self._read_share()

    def _read_share(self) -> int:
        """Read the share; 0 if it is unknown."""
        try:
            return max(0, min(WHOLE, int(Path(self._spec.share_file).read_text())))
        except (OSError, ValueError):
            return 0

    def _log(self, what: str) -> None:
        """Log a problem once, not for every copy."""
        if what != self._trouble:
            self._trouble = what
            print(f"tidegate mirror: {what}", flush=True)


class _Copy:
    """A copy in flight. ``take`` gets it with its reply."""

    __slots__ = ("_take", "began", "exchange", "original", "request", "size")

    def __init__(
        self,
        request: Request,
        original: ShadowSide,
        size: int,
        take: "Callable[[_Copy, HttpReply | Exception], None]",
    ) -> None:
        self.request, self.original, self.size, self._take = request, original, size, take
        self.began = time.monotonic_ns()
        self.exchange: Exchange | None = None

    def finish(self, reply: HttpReply | Exception) -> None:
        self._take(self, reply)


class CopyHeads:
    """Makes the heads of copies. Most requests have one of a few heads, which are shared (``header_cache``)."""

    def __init__(self, *more: tuple[bytes, bytes]) -> None:
        """``more``: headers that all copies have."""
        self._more = more
        self._known: dict[tuple[bytes, object], bytes] = {}

    def make(self, request: Request) -> bytes:
        if not isinstance(request.headers, tuple) or not ONCE.isdisjoint(request.fields):
            return self._format(request)
        key = request.url, request.headers
        head = self._known.get(key)
        if head is None:
            if len(self._known) >= KEPT_HEADS:
                self._known.clear()
            head = self._known[key] = self._format(request)
        return head

    def _format(self, request: Request) -> bytes:
        host = request.fields.get(b"host", b"localhost")
        headers = [
            (name, value)
            for name, value in request.headers
            if name not in _HOP and not name.startswith(b"x-tidegate-")
        ]
        return format_head("POST", request.url.decode("latin-1"), (*self._more, *headers), len(request.body), host)
