"""Captures requests and answers beside the hot path: a bounded queue, a thread that redacts and writes, and one that
delivers.

An answer waits for none of it. What does not fit (the queue, the folder on disk, a body that is too large) and what
must not be written (redaction cannot read it) is dropped and counted.
"""

import os
import stat
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from tidegate.domain.capture import Redaction
from tidegate.domain.errors import StartupError, TidegateError
from tidegate.features.capture.redaction import Redactor
from tidegate.features.capture.worker.destinations import Destination, open_destination
from tidegate.features.capture.worker.lines import CapturedExchange, LineMaker
from tidegate.features.capture.worker.spool import CaptureSpool, count_lines
from tidegate.rows.capture_paths import layout
from tidegate.serving.contract.invocation import Answer, Note, Stream, close_parts
from tidegate.serving.contract.replica_spec import CaptureSpec, ReplicaSpec

# --- keeps a copy of a streamed answer while its parts go to the client, up to a bound ---


class StreamTap:
    """The parts of a stream, unchanged and none of them delayed. ``reserve``: asks for room for so many bytes more,
    and says whether there is some; ``release`` gives it back. Without room nothing more is kept of this stream."""

    def __init__(
        self, parts: AsyncIterator[bytes], reserve: Callable[[int], bool], release: Callable[[int], None]
    ) -> None:
        self._parts, self._reserve, self._release = parts, reserve, release
        self._kept: list[bytes] = []
        self._size = 0
        self.over = False
        """Whether there was no room for it."""

    def __aiter__(self) -> "StreamTap":
        return self

    async def __anext__(self) -> bytes:
        part = await anext(self._parts)
        if not self.over:
            if self._reserve(len(part)):
                self._kept.append(part)
                self._size += len(part)
            else:
                self.over = True
                self.take()
        return part

    def take(self) -> bytes:
        """Return the copy and release its memory."""
        whole = b"".join(self._kept)
        self._release(self._size)
        self._kept, self._size = [], 0
        return whole

    async def aclose(self) -> None:
        await close_parts(self._parts)


# --- the key of hashes in captures: a file that only its owner can read ---


SHORTEST = 16
"""Bytes of a key: identities are few enough to try them all, so the key must not be guessed."""


def read_key(path: Path) -> bytes:
    """Raises OSError, or StartupError for a key that is too short or that others can read."""
    with path.open("rb") as file:
        if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
            raise StartupError(f"the key {path} can be read by others: chmod 600 {path}")
        key = file.read().strip()
    if len(key) < SHORTEST:
        raise StartupError(f"the key {path} has {len(key)} bytes: it must have {SHORTEST} at least")
    return key


CAPTURED, DROPPED, BACKLOG = "CapturedRequests", "CaptureDropped", "CaptureBacklog"
"""Metrics of a variant: requests written, requests that were to be and are not, bytes that wait for delivery."""
MOST_BYTES = 32 * 1024 * 1024
"""Bytes in the queue."""
OVERHEAD = 512
"""Bytes that a request in the queue takes besides its body and its answer, about."""
TOGETHER = 64
"""Small requests whose lines are made together, on the event loop: that takes about 0.1 ms. Another thread would get
in the way of answers more, since only one of the two runs Python at a time."""
SMALL = 16 * 1024
"""Most bytes of a small request with its answer. Larger ones, and all with redaction, are left to the thread."""
LARGEST = 1024 * 1024
"""Most bytes of a request and its answer that are captured: reading one holds up the other thread."""
LARGEST_QUEUED = 8 * 1024 * 1024
"""The same of asynchronous requests, for whose answers nobody waits."""
TURN = 0.05
"""Seconds between two looks into the queue: what waits for less long is still in the processor's caches."""
LOOK = 0.5
"""Seconds between two looks at the folder on disk, and at what is to be delivered."""
SLICE = 0.0003
"""Seconds for which requests are written in one go. Another thread answers requests, and only one of the two runs
Python at a time."""
BREATH = 0.0005
"""Seconds between two slices."""
RETRY = 5.0
"""Seconds until delivery is tried again after an error."""
TAKE_OVER = 60.0
"""Seconds between two looks for what dead replicas left."""
LAST = 0.5
"""Seconds beyond that in which the rest is counted as dropped."""


class Recorder:
    """Call ``offer``, ``start`` and ``take_notes`` on the event loop, and ``close`` off it."""

    def __init__(
        self,
        spec: ReplicaSpec,
        capture: CaptureSpec,
        take: Callable[[], bool],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``take``: whether the next request is sampled."""
        self._capture, self._take, self._clock = capture, take, clock
        self._variant = f"{spec.fleet.endpoint}/{spec.fleet.variant}"
        self._ours = spec.config_name, spec.prediction
        self._s3 = spec.s3_endpoint, spec.region
        self._plan = capture.plan
        self._largest = LARGEST_QUEUED if spec.queued else LARGEST
        self._plain = self._plan.redaction is None
        """Lines can be made on the event loop."""
        self._lines = LineMaker(self._plan, None, *self._ours) if self._plain else None
        """None: they cannot be made yet."""
        self._spool = CaptureSpool(Path(capture.spool), capture.spool_bytes, capture.seconds)
        self._fresh: deque[CapturedExchange] = deque()
        """Small requests whose lines are made together."""
        self._waiting: deque[CapturedExchange | _LineBatch] = deque()
        """What the writing thread takes."""
        self._offered = self._taken = 0
        """Bytes that were put into the queues by the event loop, and taken out of them by the writing thread."""
        self._streaming = 0
        """Bytes that are kept of streams which have not ended."""
        self._refused = 0
        """Requests that were dropped on the event loop."""
        self._captured = self._lost = 0
        """Requests that the writing thread wrote and dropped."""
        self._noted = (0, 0)
        self._troubles: dict[str, str] = {}
        self._stopping, self._leaving = threading.Event(), threading.Event()
        self._writer = threading.Thread(target=self._write_on, name="capture", daemon=True)
        self._deliverer = threading.Thread(target=self._deliver_on, name="capture-delivery", daemon=True)

    # --- on the event loop ---

    def start(self) -> None:
        self._writer.start()
        self._deliverer.start()

    def offer(self, arrived: int, headers: Mapping[bytes, bytes], body: bytes, answer: Answer) -> None:
        """Capture an answered request if it is sampled."""
        if self._take():
            self._queue(CapturedExchange(arrived, headers, body, answer))

    def show(self, body: bytes, content_type: bytes) -> str:
        """Return the body of a request as a line has it; empty where none has it, as of a large one."""
        if self._lines is None or len(body) > SMALL:
            return ""
        try:
            return self._lines.show(body, content_type.decode("latin-1"))
        except Exception as error:  # a request that cannot be shown is answered all the same
            self._report("line", f"a request cannot be shown: {type(error).__name__}")
            return ""

    def clean(self, text: str) -> str:
        """Return a text of an answer without what redaction finds in it; empty where nothing may be shown."""
        return "" if self._lines is None else self._lines.clean(text)

    def follow(self, stream: Stream, sent: int) -> StreamTap | None:
        """Keep a copy of a streamed answer to a request of ``sent`` bytes, which then is to be given to
        ``offer_stream``; None: it is not sampled."""
        if not self._take():
            return None
        left = self._largest - sent - OVERHEAD

        def reserve(size: int) -> bool:
            nonlocal left
            if size > left or self._held + size > MOST_BYTES:
                return False
            left -= size
            self._streaming += size
            return True

        def release(size: int) -> None:
            self._streaming -= size

        return StreamTap(stream.parts, reserve, release)

    def offer_stream(
        self,
        arrived: int,
        headers: Mapping[bytes, bytes],
        body: bytes | None,
        answer: tuple[str, StreamTap],
        whole: bool,
    ) -> None:
        """Capture a streamed answer that has ended: its content type, and what was kept. An answer that is too long
        is left out of its line, so that labels find the request all the same. ``body`` None: it is not in memory;
        ``whole``: the client got all of it, else it is no answer."""
        content_type, tap = answer
        answered = tap.take()
        if whole and body is None:
            self._refused += 1
        elif whole and body is not None:
            self._queue(CapturedExchange(arrived, headers, body, Answer(answered, content_type), True, tap.over))

    @property
    def _held(self) -> int:
        """Bytes in memory."""
        return self._offered - self._taken + self._streaming

    def _queue(self, exchange: CapturedExchange) -> None:
        size = _size(exchange)
        if size > self._largest or self._held + size > MOST_BYTES:
            self._refused += 1
            return
        self._offered += size
        if not self._plain or size > SMALL:
            self._waiting.append(exchange)
            return
        self._fresh.append(exchange)
        if len(self._fresh) >= TOGETHER:
            self._join_fresh()

    def offer_large(self) -> None:
        """Count a request whose body is not in memory."""
        if self._take():
            self._refused += 1

    def take_notes(self) -> list[Note]:
        """Return notes of what was captured and dropped since the last call, and of what waits now."""
        self._join_fresh()
        captured, dropped = self._captured, self._lost + self._refused
        before, self._noted = self._noted, (captured, dropped)
        notes = [Note(CAPTURED, captured - before[0]), Note(DROPPED, dropped - before[1])]
        return [note for note in notes if note.value] + [Note(BACKLOG, self._spool.size)]

    def _join_fresh(self) -> None:
        """Make the lines of small requests, many in a row: the processor is faster at it than at one now and then."""
        fresh, self._fresh = self._fresh, deque()
        if not fresh:
            return
        lines, size = [], 0
        for exchange in fresh:
            size += _size(exchange)
            line = self._make_line(exchange)
            if line is None:
                self._refused += 1
            else:
                lines.append(line)
        joined = b"".join(lines)
        self._offered += len(joined) - size
        self._waiting.append(_LineBatch(joined, len(lines)))

    # --- off it ---

    def close(self, patience: float | None = None) -> None:
        """Write what waits, deliver what is written for ``patience`` seconds at most. Nothing is offered any more."""
        if not self._writer.is_alive():
            return
        patience = self._capture.farewell if patience is None else patience
        self._join_fresh()
        until = time.monotonic() + patience
        self._stopping.set()
        self._writer.join(patience)
        self._leaving.set()
        self._writer.join(LAST)
        self._deliverer.join(max(0.0, until - time.monotonic()))
        if not self._capture.taken_over:
            self._attempt(self._count_left)
        if not self._deliverer.is_alive():
            self._spool.close()

    def _count_left(self) -> None:
        """Count the requests that were written and not delivered as lost, because they are deleted with the
        folder."""
        left = sum(count_lines(file) for file in self._spool.finished())
        if left:
            self._report("delivery", f"{left} captured requests could not be delivered, and are lost")
        self._lost += left

    def _write_on(self) -> None:
        try:
            if self._plan.redaction is not None:
                redactor = self._make_redactor(self._plan.redaction)
                self._lines = LineMaker(self._plan, redactor, *self._ours)
            self._spool.open()
        except (OSError, TidegateError) as error:
            self._report("capture", f"nothing is captured: {error}")
            self._discard()
            return
        looked = time.monotonic()
        while not self._stopping.wait(TURN):
            self._write_waiting()
            if time.monotonic() - looked > LOOK:
                looked = time.monotonic()
                self._attempt(lambda: self._spool.tick(self._clock()))
                self._attempt(self._spool.measure)
        self._write_waiting()
        while self._waiting:  # there is no time for it any more
            self._lost += self._take_next()[1]
        self._attempt(self._spool.rotate)

    def _make_redactor(self, rules: Redaction) -> Redactor:
        """Make the redactor. Raises OSError or StartupError for a key that cannot be used: without it nothing may be
        written."""
        return Redactor(rules, None if self._capture.key_file is None else read_key(Path(self._capture.key_file)))

    def _discard(self) -> None:
        """Drop and count everything, since nothing can be written."""
        while True:
            while self._waiting:
                self._lost += self._take_next()[1]
            if self._stopping.wait(TURN):
                return

    def _write_waiting(self) -> None:
        while self._waiting and not self._leaving.is_set():
            until = time.perf_counter() + SLICE
            batches: list[_LineBatch] = []
            while self._waiting and time.perf_counter() < until:
                item, requests = self._take_next()
                if isinstance(item, _LineBatch):
                    batches.append(item)
                elif line := self._make_line(item):
                    batches.append(_LineBatch(line, 1))
                else:
                    self._lost += requests
            self._append(batches)
            if self._waiting:
                time.sleep(BREATH)

    def _take_next(self) -> "tuple[CapturedExchange | _LineBatch, int]":
        """The next of what waits, and how many requests it is."""
        item = self._waiting.popleft()
        if isinstance(item, _LineBatch):
            self._taken += len(item.lines)
            return item, item.requests
        self._taken += _size(item)
        return item, 1

    def _make_line(self, exchange: CapturedExchange) -> bytes | None:
        try:
            return self._lines.make(exchange) if self._lines is not None else None
        except Exception as error:  # whatever one request does, the next one is captured
            self._report("line", f"a request cannot be written: {type(error).__name__}")
            return None

    def _append(self, batches: "list[_LineBatch]") -> None:
        fitting, left = _fit(batches, self._spool.room)
        if left:
            self._report("capture", "the folder is full, since nothing is delivered; requests are dropped")
        try:
            if fitting.lines:
                self._spool.append(fitting.lines, self._clock())
            self._captured += fitting.requests
        except OSError as error:
            self._report("capture", f"{self._spool.folder}: {error.strerror or error}; requests are dropped")
            left += fitting.requests
        self._lost += left

    # --- delivery ---

    def _deliver_on(self) -> None:
        destination: Destination | None = None
        wait, looked = 0.0, float("-inf")
        while True:
            leaving = self._leaving.wait(wait)
            if time.monotonic() - looked > TAKE_OVER and self._spool.folder.is_dir():
                self._attempt(self._spool.take_over)
                looked = time.monotonic()
            try:
                destination = destination or self._open()
                self._deliver(destination)
                self._troubles.pop("delivery", None)
                wait = LOOK
            except TidegateError as error:
                self._report("delivery", f"files cannot be delivered: {error}")
                wait = RETRY
            except OSError:  # the folder is not there yet, or a file was taken over
                wait = LOOK
            if leaving:
                return

    def _open(self) -> Destination:
        return open_destination(self._plan, self._variant, self._capture.roots, self._s3)

    def _deliver(self, destination: Destination) -> None:
        for file in self._spool.finished():
            below = layout(file.name)
            assert below is not None, "finished files have such names"
            destination.put(file, below)

    # --- troubles ---

    def _attempt(self, do: Callable[[], object]) -> None:
        try:
            do()
        except OSError as error:
            self._report("disk", f"{self._spool.folder}: {error.strerror or error}")

    def _report(self, what: str, message: str) -> None:
        """Log a trouble once, not for every request. Messages never quote what is captured."""
        if self._troubles.get(what) != message:
            self._troubles[what] = message
            print(f"tidegate capture: {message}", flush=True)


class _LineBatch(NamedTuple):
    """Lines that are ready."""

    lines: bytes
    requests: int


def _size(exchange: CapturedExchange) -> int:
    return len(exchange.body) + len(exchange.answer.body) + OVERHEAD


def _fit(batches: list[_LineBatch], room: int) -> tuple[_LineBatch, int]:
    """Return as many whole lines as fit into ``room`` bytes, and the number of requests that did not fit."""
    total = sum(batch.requests for batch in batches)
    lines = b"".join(batch.lines for batch in batches)
    if len(lines) > room:
        lines = lines[: lines.rfind(b"\n", 0, room) + 1]
        return _LineBatch(lines, lines.count(b"\n")), total - lines.count(b"\n")
    return _LineBatch(lines, total), 0
