"""Sends copies of requests to a shadow fleet after the original was answered, and compares and records the answers.

A copy is the original request with its signature, so the shadow's workers authenticate it like any other. A slow or
failing shadow has no effect beyond this module: copies in flight and their bytes are limited, and further copies are
dropped and counted.
"""

import asyncio
import random
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import msgspec

from tidegate.domain.traffic import WHOLE
from tidegate.http1.client import HttpClient
from tidegate.http1.messages import ConnectionBroken, HttpReply
from tidegate.serving.contract.invocation import Answer, ModelFailed, Note, Outcome
from tidegate.serving.contract.replica_spec import ReplicaSpec
from tidegate.serving.front.answer_diff import compare
from tidegate.serving.front.connection import Request
from tidegate.serving.front.copy_clients import CopyClients
from tidegate.serving.front.shadow_log import ShadowLog, ShadowSide

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
FAREWELL = 0.5
"""Seconds that copies in flight get when the worker shuts down."""

COPIES, DROPPED, AGREEMENT = "MirrorCopies", "MirrorDropped", "MirrorAgreement"
DIFFERENCE, LARGEST_DIFFERENCE = "MirrorDifference", "MirrorLargestDifference"
"""Metrics of the production variant. COPIES: 1 for a copy that the shadow answered with 200, else 0. AGREEMENT: 1 or
0, if both answers are 200."""

MODEL_ERROR = 424
_HOP = frozenset({b"host", b"content-length", b"connection", b"transfer-encoding", b"expect", b"keep-alive"})
_INFERENCE_ID = b"x-amzn-sagemaker-inference-id"


class EvenSampler:
    """Samples a share of the requests evenly: of the first n it takes n times the share, to within 1. It takes one of
    each 1/share requests, at a position drawn with ``seed``, so that periodic traffic is neither missed nor all that
    is sampled."""

    def __init__(self, share: int, seed: int) -> None:
        self.share = share
        """Basis points."""
        self._drawn = random.Random(seed)
        self._at = 0
        self._place = self._draw()

    def take(self) -> bool:
        self._at += self.share
        if self._at <= self._place:
            return False
        self._at -= WHOLE
        self._place = self._draw()
        return True

    def _draw(self) -> int:
        return int(self._drawn.random() * WHOLE)


class ShadowSender:
    """Sends the copies of one replica. ``note`` gets the measurements, with epoch microseconds."""

    def __init__(self, spec: ReplicaSpec, note: Callable[[int, Note], None]) -> None:
        assert spec.mirror is not None
        self._spec = spec.mirror
        self._note = note
        self._even = EvenSampler(0, zlib.crc32(spec.replica.encode()))
        self._clients = CopyClients(self._spec, LARGEST_ANSWER)
        self._limit = spec.invocation_timeout + SPARE
        self._pairs = ShadowLog(Path(self._spec.kept))
        self._copies: set[asyncio.Task[None]] = set()
        self._held = 0
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
            original = ShadowSide(200, latency, outcome.body, outcome.content_type)
        else:
            original = ShadowSide(outcome.status, latency, outcome.message.encode())
        size = len(request.body) + len(original.body)
        full = len(self._copies) >= MOST_COPIES or self._held + size > MOST_BYTES
        client = None if full or len(original.body) > LARGEST_ANSWER else self._clients.choose(peer())
        if client is None:
            self._record(DROPPED, 1)
            return
        self._held += size
        task = asyncio.create_task(self._copy(client, request, original))
        self._copies.add(task)
        task.add_done_callback(lambda done: self._finish_copy(done, size))

    async def close(self) -> None:
        """Wait a moment for copies in flight, then write the log."""
        if self._housekeeping is not None:
            self._housekeeping.cancel()
        if self._copies:
            await asyncio.wait(self._copies, timeout=FAREWELL)
        for task in list(self._copies):
            task.cancel()
        self._clients.close()
        await asyncio.to_thread(self._rotate, self._pairs.take())

    def _finish_copy(self, task: asyncio.Task[None], size: int) -> None:
        self._copies.discard(task)
        self._held -= size
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log(f"a copy was lost: {type(error).__name__}: {error}")

    async def _copy(self, client: HttpClient, request: Request, original: ShadowSide) -> None:
        began = time.monotonic_ns()
        host = b"localhost"
        headers = [(b"x-tidegate-fleet", self._spec.fleet.encode())]
        inference_id = ""
        for name, value in request.headers:
            if name == b"host":
                host = value
            elif name not in _HOP and not name.startswith(b"x-tidegate-"):
                headers.append((name, value))
            if name == _INFERENCE_ID:
                inference_id = value.decode("latin-1")
        try:
            async with asyncio.timeout(self._limit):
                reply = await client.request("POST", request.url.decode("latin-1"), headers, request.body, host)
        except (ConnectionBroken, ValueError, TimeoutError) as error:
            shadow = ShadowSide(
                0, (time.monotonic_ns() - began) // 1000, (str(error) or "no answer in time").encode()
            )
        else:
            kind = reply.headers.get(b"content-type", b"").decode("latin-1")
            shadow = ShadowSide(_status(reply), (time.monotonic_ns() - began) // 1000, reply.body, kind)
        self._compare(request.body, inference_id, original, shadow)

    def _compare(self, body: bytes, inference_id: str, original: ShadowSide, shadow: ShadowSide) -> None:
        self._record(COPIES, int(shadow.status == 200))
        verdict = None
        if original.status == shadow.status == 200:
            verdict = compare(original.body, shadow.body, original.content_type, shadow.content_type)
            self._record(AGREEMENT, int(verdict.agrees))
            if verdict.mean is not None and verdict.largest is not None:
                self._record(DIFFERENCE, verdict.mean)
                self._record(LARGEST_DIFFERENCE, verdict.largest)
        logged = verdict._asdict() if verdict is not None else None
        self._pairs.add(time.time(), (body, inference_id), (original, shadow), logged)

    def _record(self, name: str, value: float) -> None:
        self._note(time.time_ns() // 1000, Note(name, value))

    # --- files, off the loop ---

    async def _run_periodically(self) -> None:
        while True:
            await asyncio.sleep(TURN)
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


class _ModelError(msgspec.Struct):
    OriginalStatusCode: int


def _status(reply: HttpReply) -> int:
    """The model's own."""
    if reply.status != MODEL_ERROR:
        return reply.status
    try:
        return msgspec.json.decode(reply.body, type=_ModelError).OriginalStatusCode
    except msgspec.DecodeError:
        return reply.status
