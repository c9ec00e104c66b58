"""Copies of requests for a shadow fleet: sent when the original is answered, compared, kept, never waited for.

A copy is the request as it came, signature included, so the shadow's workers check it like any other and nothing
has to be trusted. What the shadow does, or does not do, ends here: there is a bound on copies under way and on their
bytes, and what is beyond is dropped and counted.
"""

import asyncio
import random
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import msgspec

from tidegate.domain.traffic import WHOLE
from tidegate.serving.contract.invocation import Answer, ModelFailed, Note, Outcome
from tidegate.serving.contract.replica_spec import ReplicaSpec
from tidegate.serving.front.answer_diff import compare
from tidegate.serving.front.connection import Request
from tidegate.serving.front.shadow_log import Pairs, Side
from tidegate.serving.runtimes.http_client import Broken, Client, Reply

MOST_COPIES = 64
"""Copies under way."""
MOST_BYTES = 32 * 1024 * 1024
"""Bytes of requests and answers held for them."""
LARGEST_ANSWER = 1024 * 1024
"""Bytes of an answer that can be compared: the copy of a request with a larger one is dropped, and a shadow that
gives one has failed."""
TURN = 1.0
"""Seconds between looks at the share and writes of what is kept."""
SPARE = 5.0
"""Seconds beyond a prediction's own limit, in which the proxy says what went wrong."""
FAREWELL = 0.5
"""Seconds that copies under way get when the worker goes."""

COPIES, DROPPED, AGREEMENT = "MirrorCopies", "MirrorDropped", "MirrorAgreement"
DIFFERENCE, LARGEST_DIFFERENCE = "MirrorDifference", "MirrorLargestDifference"
"""Metrics, of the production variant. COPIES: 1 for a copy that the shadow answered well, 0 for another. AGREEMENT:
1 or 0, of copies whose both answers are good."""

MODEL_ERROR = 424
_HOP = frozenset({b"host", b"content-length", b"connection", b"transfer-encoding", b"expect", b"keep-alive"})
_INFERENCE_ID = b"x-amzn-sagemaker-inference-id"


class Even:
    """Takes a share of what comes, as evenly as can be: of any number from the first on it takes that many times the
    share, to within 1. Each stretch of 1/share requests has one taken, at a place drawn by ``seed``, so that a
    regular part of the traffic is neither missed nor all that is seen."""

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


class Mirror:
    """The copies of one replica. ``note`` takes what is measured, at epoch microseconds."""

    def __init__(self, spec: ReplicaSpec, note: Callable[[int, Note], None]) -> None:
        assert spec.mirror is not None
        self._spec = spec.mirror
        self._note = note
        self._even = Even(0, zlib.crc32(spec.replica.encode()))
        self._client = Client(self._spec.socket, LARGEST_ANSWER)
        self._limit = spec.invocation_timeout + SPARE
        self._pairs = Pairs(Path(self._spec.kept))
        self._copies: set[asyncio.Task[None]] = set()
        self._held = 0
        self._housekeeping: asyncio.Task[None] | None = None
        self._trouble = ""

    def start(self) -> None:
        self._even.share = self._read_share()
        self._housekeeping = asyncio.create_task(self._keep_house())

    def offer(self, request: Request, outcome: Outcome, latency: int) -> None:
        """An original that has been answered, after ``latency`` microseconds. Streams are not copied, and what the
        platform itself refused has nothing to be compared with."""
        if not isinstance(outcome, Answer | ModelFailed) or not self._even.take():
            return
        if isinstance(outcome, Answer):
            original = Side(200, latency, outcome.body, outcome.content_type)
        else:
            original = Side(outcome.status, latency, outcome.message.encode())
        size = len(request.body) + len(original.body)
        full = len(self._copies) >= MOST_COPIES or self._held + size > MOST_BYTES
        if full or len(original.body) > LARGEST_ANSWER:
            self._measured(DROPPED, 1)
            return
        self._held += size
        task = asyncio.create_task(self._copy(request, original))
        self._copies.add(task)
        task.add_done_callback(lambda done: self._ended(done, size))

    async def close(self) -> None:
        """What is under way has a moment to end, what is kept is written."""
        if self._housekeeping is not None:
            self._housekeeping.cancel()
        if self._copies:
            await asyncio.wait(self._copies, timeout=FAREWELL)
        for task in list(self._copies):
            task.cancel()
        self._client.close()
        await asyncio.to_thread(self._turn, self._pairs.take())

    def _ended(self, task: asyncio.Task[None], size: int) -> None:
        self._copies.discard(task)
        self._held -= size
        if not task.cancelled() and (error := task.exception()) is not None:
            self._say(f"a copy was lost: {type(error).__name__}: {error}")

    async def _copy(self, request: Request, original: Side) -> None:
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
                reply = await self._client.ask("POST", request.url.decode("latin-1"), headers, request.body, host)
        except (Broken, ValueError, TimeoutError) as error:
            shadow = Side(0, (time.monotonic_ns() - began) // 1000, (str(error) or "no answer in time").encode())
        else:
            kind = reply.headers.get(b"content-type", b"").decode("latin-1")
            shadow = Side(_status(reply), (time.monotonic_ns() - began) // 1000, reply.body, kind)
        self._compared(request.body, inference_id, original, shadow)

    def _compared(self, body: bytes, inference_id: str, original: Side, shadow: Side) -> None:
        self._measured(COPIES, int(shadow.status == 200))
        verdict = None
        if original.status == shadow.status == 200:
            verdict = compare(original.body, shadow.body, original.content_type, shadow.content_type)
            self._measured(AGREEMENT, int(verdict.agrees))
            if verdict.mean is not None and verdict.largest is not None:
                self._measured(DIFFERENCE, verdict.mean)
                self._measured(LARGEST_DIFFERENCE, verdict.largest)
        told = verdict._asdict() if verdict is not None else None
        self._pairs.add(time.time(), (body, inference_id), (original, shadow), told)

    def _measured(self, name: str, value: float) -> None:
        self._note(time.time_ns() // 1000, Note(name, value))

    # --- files, off the loop ---

    async def _keep_house(self) -> None:
        while True:
            await asyncio.sleep(TURN)
            self._even.share = await asyncio.to_thread(self._turn, self._pairs.take())

    def _turn(self, lines: list[bytes]) -> int:
        try:
            if lines:
                self._pairs.write(lines)
        except OSError as error:
            self._say(f"answers of the shadow cannot be kept: {error.strerror or error}")
        else:
            self._trouble = ""
        return self._read_share()

    def _read_share(self) -> int:
        """The share as asked for last; nothing is copied where that is not known."""
        try:
            return max(0, min(WHOLE, int(Path(self._spec.share_file).read_text())))
        except (OSError, ValueError):
            return 0

    def _say(self, what: str) -> None:
        """Once, not for each of the copies that follow."""
        if what != self._trouble:
            self._trouble = what
            print(f"tidegate mirror: {what}", flush=True)


class _ModelError(msgspec.Struct):
    OriginalStatusCode: int


def _status(reply: Reply) -> int:
    """The model's own."""
    if reply.status != MODEL_ERROR:
        return reply.status
    try:
        return msgspec.json.decode(reply.body, type=_ModelError).OriginalStatusCode
    except msgspec.DecodeError:
        return reply.status
