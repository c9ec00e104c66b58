"""Captures requests and answers beside the hot path: a bounded queue, a thread that redacts and writes, and one that
delivers.

An answer waits for none of it. What does not fit (the queue, the folder on disk, a body that is too large) and what
must not be written (redaction cannot read it) is dropped and counted.
"""

import os
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

from tidegate.capture.paths import layout
from tidegate.capture.records import INPUT, OUTPUT, Body, Encodings, Event, encode_event
from tidegate.capture.redaction import Redactor
from tidegate.domain.errors import TidegateError
from tidegate.serving.capture.destinations import Destination, open_destination
from tidegate.serving.capture.keys import read_key
from tidegate.serving.capture.spool import Spool
from tidegate.serving.contract.invocation import Answer, Note
from tidegate.serving.contract.replica_spec import CaptureSpec, ReplicaSpec

CAPTURED, DROPPED, BACKLOG = "CapturedRequests", "CaptureDropped", "CaptureBacklog"
"""Metrics of a variant: requests written, requests that were to be and are not, bytes that wait for delivery."""
MOST_WAITING = 10_000
"""Requests in the queue."""
MOST_BYTES = 32 * 1024 * 1024
"""Bytes of their bodies and answers."""
LARGEST = 1024 * 1024
"""Most bytes of a request and its answer that are captured: reading one holds up the other thread."""
TURN = 0.2
"""Seconds between two looks into the queue."""
SLICE = 0.0003
"""Seconds for which requests are written in one go. Another thread answers requests, and only one of the two runs
Python at a time."""
BREATH = 0.0005
"""Seconds between two slices."""
RETRY = 5.0
"""Seconds until delivery is tried again after an error."""
TAKE_OVER = 60.0
"""Seconds between two looks for what dead replicas left."""
FAREWELL = 3.0
"""Seconds that the last files get to be delivered in. What is left then is taken over by another replica."""
LONGEST_HEADER = 1024
"""Characters of an inference id and of custom attributes, as SageMaker has it."""


class Exchange(NamedTuple):
    """``arrived``: epoch microseconds; ``headers``: of the request."""

    arrived: int
    headers: Mapping[bytes, bytes]
    body: bytes
    answer: Answer


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
        self._s3 = spec.s3_endpoint, spec.region
        self._plan = capture.plan
        self._encodings = Encodings(self._plan.csv, self._plan.json)
        self._redactor: Redactor | None = None
        self._spool = Spool(Path(capture.spool), capture.spool_bytes, capture.seconds)
        self._ids = random.Random(int.from_bytes(os.urandom(16)))
        self._queue: deque[Exchange] = deque()
        self._offered = self._taken = 0
        """Bytes that were put into the queue, and taken out of it. Each has one thread that writes it."""
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
        if not self._take():
            return
        size = len(body) + len(answer.body)
        waiting = self._offered - self._taken
        if size > LARGEST or waiting + size > MOST_BYTES or len(self._queue) >= MOST_WAITING:
            self._refused += 1
            return
        self._offered += size
        self._queue.append(Exchange(arrived, headers, body, answer))

    def offer_large(self) -> None:
        """Count a request whose body is not in memory."""
        if self._take():
            self._refused += 1

    def take_notes(self) -> list[Note]:
        """What was captured and dropped since the last call, and what waits now."""
        captured, dropped = self._captured, self._lost + self._refused
        before, self._noted = self._noted, (captured, dropped)
        notes = [Note(CAPTURED, captured - before[0]), Note(DROPPED, dropped - before[1])]
        return [note for note in notes if note.value] + [Note(BACKLOG, self._spool.size)]

    # --- off it ---

    def close(self, patience: float = FAREWELL) -> None:
        """Write what waits, deliver what is written for ``patience`` seconds at most."""
        if not self._writer.is_alive():
            return
        until = time.monotonic() + patience
        self._stopping.set()
        self._writer.join(patience)
        self._leaving.set()
        self._deliverer.join(max(0.0, until - time.monotonic()))
        if not self._deliverer.is_alive():
            self._spool.close()

    def _write_on(self) -> None:
        try:
            self._redactor = self._make_redactor()
            self._spool.open()
        except (OSError, TidegateError) as error:
            self._report("capture", f"nothing is captured: {error}")
            self._discard()
            return
        while not self._stopping.wait(TURN):
            self._write_waiting()
            self._attempt(lambda: self._spool.tick(self._clock()))
            self._attempt(self._spool.measure)
        self._write_waiting()
        self._attempt(self._spool.rotate)

    def _make_redactor(self) -> Redactor | None:
        """Raises OSError or StartupError for a key that cannot be used: without it nothing may be written."""
        rules = self._plan.redaction
        if rules is None:
            return None
        return Redactor(rules, None if self._capture.key_file is None else read_key(Path(self._capture.key_file)))

    def _discard(self) -> None:
        """Drop and count everything, since nothing can be written."""
        while True:
            self._drain(lambda exchange: None)
            if self._stopping.wait(TURN):
                return

    def _write_waiting(self) -> None:
        while self._queue:
            lines = self._drain(self._line, time.perf_counter() + SLICE)
            if lines:
                self._append(lines)
            time.sleep(BREATH)

    def _drain(self, make: Callable[[Exchange], bytes | None], until: float = float("inf")) -> list[bytes]:
        """Lines of the requests that wait, of as many as there is time for."""
        lines = []
        while self._queue:
            exchange = self._queue.popleft()
            self._taken += len(exchange.body) + len(exchange.answer.body)
            try:
                line = make(exchange)
            except Exception as error:  # whatever one request does, the next one is captured
                self._report("line", f"a request cannot be written: {type(error).__name__}")
                line = None
            if line is None:
                self._lost += 1
            else:
                lines.append(line)
            if time.perf_counter() > until:
                break
        return lines

    def _append(self, lines: list[bytes]) -> None:
        fitting = _fit(lines, self._spool.room)
        if len(fitting) < len(lines):
            self._report("capture", "the folder is full, since nothing is delivered; requests are dropped")
        try:
            if fitting:
                self._spool.append(b"".join(fitting), self._clock())
        except OSError as error:
            self._report("capture", f"{self._spool.folder}: {error.strerror or error}; requests are dropped")
            fitting = []
        self._captured += len(fitting)
        self._lost += len(lines) - len(fitting)

    def _line(self, exchange: Exchange) -> bytes | None:
        """None: nothing of it may be written."""
        plan, headers = self._plan, exchange.headers
        text = self._redactor.text if self._redactor is not None else str
        sent = headers.get(b"content-type", b"").decode("latin-1")
        inputs = self._side(exchange.body, sent, INPUT) if plan.inputs else None
        outputs = self._side(exchange.answer.body, exchange.answer.content_type, OUTPUT) if plan.outputs else None
        if inputs is None and outputs is None:
            return None
        event = Event(
            id=self._new_id(),
            at=exchange.arrived // 1_000_000,
            inference_id=text(_header(headers, b"x-amzn-sagemaker-inference-id")),
            attributes=text(_header(headers, b"x-amzn-sagemaker-custom-attributes")),
            input=inputs,
            output=outputs,
        )
        return encode_event(event) + b"\n"

    def _side(self, data: bytes, content_type: str, mode: str) -> Body | None:
        body = Body(data, content_type, self._encodings.choose(content_type))
        return body if self._redactor is None else self._redactor.redact(body, mode == INPUT)

    def _new_id(self) -> str:
        """A random UUID."""
        drawn = f"{self._ids.getrandbits(128):032x}"
        return f"{drawn[:8]}-{drawn[8:12]}-4{drawn[13:16]}-a{drawn[17:20]}-{drawn[20:]}"

    # --- delivery ---

    def _deliver_on(self) -> None:
        destination: Destination | None = None
        wait, looked = 0.0, float("-inf")
        while True:
            leaving = self._leaving.wait(wait)
            if time.monotonic() - looked > TAKE_OVER:
                self._attempt(self._spool.take_over)
                looked = time.monotonic()
            try:
                destination = destination or self._open()
                self._deliver(destination)
                self._troubles.pop("delivery", None)
                wait = TURN
            except TidegateError as error:
                self._report("delivery", f"files cannot be delivered: {error}")
                wait = RETRY
            except OSError:  # the folder is not there yet, or a file was taken over
                wait = TURN
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


def _fit(lines: list[bytes], room: int) -> list[bytes]:
    """The first lines, as many as there is room for."""
    for number, size in enumerate(accumulate(map(len, lines))):
        if size > room:
            return lines[:number]
    return lines


def _header(headers: Mapping[bytes, bytes], name: bytes) -> str:
    return headers.get(name, b"").decode("latin-1")[:LONGEST_HEADER]
