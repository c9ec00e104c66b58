"""Compares the answers of a shadow with the originals', some at a time, and measures and logs them.

A comparison now and then costs several times what it does in a row, as its code has left the processor's caches. So
answers wait a moment, and are compared before anybody reads the counts."""

import asyncio
import time
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from tidegate.domain.decoding import prepare_type
from tidegate.http1.messages import HttpReply
from tidegate.serving.contract.invocation import Answer, Note
from tidegate.serving.formats.prediction_cut import Cut, leave_whole
from tidegate.serving.front.answer_diff import compare
from tidegate.serving.front.shadow_log import ShadowLog, ShadowSide

COPIES, AGREEMENT = "MirrorCopies", "MirrorAgreement"
DIFFERENCE, LARGEST_DIFFERENCE = "MirrorDifference", "MirrorLargestDifference"
"""Metrics of the production variant. COPIES: 1 for a copy that the shadow answered with 200, else 0. AGREEMENT: 1 or
0, if both answers are 200."""

TOGETHER = 16
"""Answers that are compared in a row: few enough not to delay a request."""
SMALL = 4096
"""Bytes of an answer above which a pair is compared by itself: many in a row would delay requests."""
WAIT = 0.1
"""Seconds that an answer waits for others at most."""
GOOD, MODEL_ERROR = 200, 424


_FAILED, _ANSWERED = Note(COPIES, 0), Note(COPIES, 1)
_DIFFERS, _AGREES = Note(AGREEMENT, 0), Note(AGREEMENT, 1)


class CopiedRequest(NamedTuple):
    """A request that was copied, and both answers. ``reply``: the shadow's, or why there is none, after ``took``
    microseconds. ``size``: bytes that it holds."""

    body: bytes
    inference_id: str
    original: ShadowSide
    reply: HttpReply | Exception
    took: int
    size: int


class ShadowAnswers:
    """Call everything on the event loop."""

    def __init__(
        self,
        note: Callable[[int, Note], None],
        log: ShadowLog,
        release: Callable[[int], None],
        report: Callable[[str], None],
        cut: Cut = leave_whole,
    ) -> None:
        """``note`` gets the measurements, with epoch microseconds; ``release`` the bytes that are done with;
        ``report`` a trouble. ``cut`` takes the prediction out of an answer, also the shadow's."""
        self._note, self._log, self._release, self._report = note, log, release, report
        self._cut = cut
        self._waiting: list[CopiedRequest] = []
        self._due: asyncio.TimerHandle | None = None

    def add(self, copied: CopiedRequest) -> None:
        self._waiting.append(copied)
        replied = len(copied.reply.body) if isinstance(copied.reply, HttpReply) else 0
        if len(self._waiting) >= TOGETHER or max(len(copied.original.body), replied) > SMALL:
            self.settle()
        elif self._due is None:
            self._due = asyncio.get_running_loop().call_later(WAIT, self.settle)

    def settle(self) -> None:
        """Compare what waits. To be called before the counts are read."""
        if self._due is not None:
            self._due.cancel()
            self._due = None
        waiting, self._waiting = self._waiting, []
        for copied in waiting:
            self._release(copied.size)
            try:
                self._compare(copied)
            except Exception as error:  # whatever one answer does, the next one is compared
                self._report(f"a copy was lost: {type(error).__name__}: {error}")

    def _compare(self, copied: CopiedRequest) -> None:
        body, inference_id, original, reply, took, _ = copied
        if isinstance(reply, HttpReply):
            kind = reply.headers.get(b"content-type", b"").decode("latin-1")
            shadow = ShadowSide(_status(reply), took, reply.body, kind)
        else:
            shadow = ShadowSide(0, took, (str(reply) or "no answer in time").encode())
        # Now, not when the answer came: the controller reads a second once, as soon as it is over.
        at = time.time_ns() // 1000
        self._note(at, _ANSWERED if shadow.status == GOOD else _FAILED)
        verdict = None
        if original.status == shadow.status == GOOD:
            verdict = compare(*self._predictions(original, shadow), original.content_type, shadow.content_type)
            self._note(at, _AGREES if verdict.agrees else _DIFFERS)
            if verdict.mean is not None and verdict.largest is not None:
                self._note(at, Note(DIFFERENCE, verdict.mean))
                self._note(at, Note(LARGEST_DIFFERENCE, verdict.largest))
        logged = verdict._asdict() if verdict is not None else None
        self._log.add(at / 1e6, (body, inference_id), (original, shadow), logged)

    def _predictions(self, original: ShadowSide, shadow: ShadowSide) -> tuple[bytes, bytes]:
        """Return what is compared: the predictions, or the whole answers if one of them has none."""
        one, other = (self._cut(Answer(side.body, side.content_type)).body for side in (original, shadow))
        return (one, other) if one and other else (original.body, shadow.body)


class _ModelError(msgspec.Struct):
    OriginalStatusCode: int


def _status(reply: HttpReply) -> int:
    """The model's own."""
    if reply.status != MODEL_ERROR:
        return reply.status
    try:
        return msgspec.json.decode(reply.body, type=prepare_type(_ModelError)).OriginalStatusCode
    except msgspec.DecodeError:
        return reply.status
