"""Counts that only the comparison of two versions needs: a sample of the predictions and of the texts, and sessions
that come again.

A few answers of each second are kept as they are, and read when somebody asks for the counts, so that a request
pays a few integer operations. The prediction of an answer is the first number in it; an answer without one is
counted as unusable. Only one number per request, as the rows of a request need not be independent."""

import math
import re
from collections.abc import Callable

from tidegate.domain.sessions import NEW_SESSION
from tidegate.domain.worker_stats import (
    CLIENT_REPEAT,
    NEGATIVE_PREDICTION,
    PREDICTION,
    REPEAT_HEADER,
    REPEATED_LATENCY,
    SESSION_REPEAT,
    UNUSABLE_PREDICTION,
)
from tidegate.serving.contract.invocation import Answer, Note, Stream
from tidegate.serving.formats.prediction_cut import Cut, leave_whole
from tidegate.serving.front.sampling import Sampler
from tidegate.serving.front.text_samples import SampledStream, TextSamples

REPEAT = REPEAT_HEADER.lower().encode()
SAMPLES = 25
"""Answers of a second that are sampled, spread over it by the number of the second before."""
MOST_SAMPLES = 2 * SAMPLES
"""Answers of a second that are sampled at most, where it has more requests than the one before."""
SETTLE_AT = 64
"""Samples: few enough not to delay a request when they are read."""
LONGEST = 1024
"""Bytes of an answer in which its first number must end."""
MOST_SESSIONS = 10_000
"""Sessions that are remembered, the newest ones."""
READABLE = ("json", "csv", "jsonlines")
"""Suffixes of content types from which predictions are read."""

NEW = NEW_SESSION.encode()

_TOKEN = re.compile(
    rb'"shape"\s*:\s*\[[^\]]*\]|"(?:[^"\\]|\\.)*"|(-?[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?|-?(?:inf(?:inity)?|nan)\b|null|true|false)',
    re.IGNORECASE | re.DOTALL,
)
_WORDS = {b"true": 1.0, b"false": 0.0, b"null": math.nan}


class ComparedCounts:
    """Times are epoch microseconds. ``session``: the request's, which counts as seen with ``count_session``; of a
    session only the first answer is sampled, as the others are not independent of it: they stay on its version."""

    def __init__(self, note: Callable[[int, Note], None], texts: TextSamples, cut: Cut = leave_whole) -> None:
        """``cut`` takes the prediction out of an answer."""
        self._note, self._texts, self._cut = note, texts, cut
        self._sampler = Sampler(SAMPLES, MOST_SAMPLES)
        self._kept: list[tuple[int, bytes, bool, str]] = []
        self._sessions: dict[bytes, int] = {}
        """How many requests each of them had."""

    def offer(
        self,
        at: int,
        answer: Answer,
        latency: int = 0,
        session: bytes | None = None,
        readable: Callable[[Answer], Answer] | None = None,
    ) -> None:
        """Sample the answer of a request that was counted, or not. ``readable`` makes it one whose first number can
        be found; None: it is."""
        if session is not None and self._sessions.get(session, 0) > 1:
            return
        self._texts.offer(at, at - latency, answer)
        if not self._sampler.take(at):
            return
        if readable is not None:
            answer = readable(answer)
        body = self._cut(answer).body
        self._kept.append((at, body[:LONGEST], len(body) > LONGEST, answer.content_type))
        if len(self._kept) >= SETTLE_AT:
            self.settle()

    def open(self, began: int, stream: Stream, session: bytes | None) -> SampledStream | None:
        """Sample the stream of a request that is not counted yet, or not."""
        if session is not None and session in self._sessions:
            return None
        return self._texts.open(began, stream.content_type, stream.headers)

    def settle(self) -> None:
        """Count what was sampled. To be called before the counts are read."""
        self._texts.settle()
        kept, self._kept = self._kept, []
        for at, body, cut, content_type in kept:
            value = read_prediction(body, cut, content_type)
            if value is None:
                self._note(at, Note(UNUSABLE_PREDICTION, 1))
            else:
                self._note(at, Note(PREDICTION if value >= 0 else NEGATIVE_PREDICTION, abs(value)))

    def count_repeat(self, at: int, failed: bool, latency: int) -> None:
        """Count a request of a client who is not to be counted with it."""
        self._note(at, Note(CLIENT_REPEAT, int(failed)))
        self._note(at, Note(REPEATED_LATENCY, latency))

    def count_session(self, at: int, session: bytes, failed: bool) -> None:
        """Count a request of a session, which is a repeat unless it opens the session or is the first with its
        id."""
        if session == NEW:
            return
        known = self._sessions.pop(session, 0)
        self._sessions[session] = known + 1
        if known:
            self._note(at, Note(SESSION_REPEAT, int(failed)))
        elif len(self._sessions) > MOST_SESSIONS:
            del self._sessions[next(iter(self._sessions))]


def read_prediction(body: bytes, cut: bool, content_type: str) -> float | None:
    """The first number of an answer, outside of quoted text and of the shapes of tensors. None if there is none, or
    if it is not finite. ``cut``: the answer goes on after ``body``."""
    if not content_type.partition(";")[0].strip().lower().endswith(READABLE):
        return None
    for found in _TOKEN.finditer(body):
        text = found[1]
        if text is None:
            continue
        if cut and found.end() == len(body):
            return None
        value = _WORDS.get(text.lower())
        if value is None:
            value = float(text)
        return value if math.isfinite(value) else None
    return None
