"""The last distinct messages of failed requests, without what personal data detectors find in them.

They go to the worker's log, now and then, and to the controller, which shows them with a rollback. Messages that
differ in numbers alone are one: of a thousand rows with a bad value, each names its own.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from tidegate.domain.capture import Detector
from tidegate.domain.worker_stats import LONGEST_FAILURE, MOST_FAILURES, FailureRow

LOG_EVERY = 60.0
"""Seconds between two lines about one message, and in which as many lines are written as messages are kept."""
MOST_EXAMINED = 20
"""Messages of one second that are looked at; of a thousand a second the first ones tell as much."""

MOST_KNOWN = 50

_NUMBERS = re.compile(r"\d+")
_KINDS = tuple(kind for kind in Detector if kind is not Detector.TEXT)
"""A message is a sentence; masking those would leave nothing."""


@dataclass
class _Message:
    message: str
    count: int
    at: float
    logged_at: float
    unlogged: int = 0


class FailureMessages:
    """Times are epoch seconds."""

    def __init__(self, log: Callable[[str], None] = lambda line: None) -> None:
        self._log = log
        self._kept: dict[str, _Message] = {}
        """By the message without its numbers, the one that came last at the end."""
        self._second, self._examined = 0, 0
        self._minute, self._lines = 0.0, 0
        self._known: dict[tuple[int, str], str] = {}
        """Messages as they came -> as they are shown: most come again and again."""

    def note(self, status: int, message: str, at: float) -> None:
        """Remember the message of a failed request, and log it if that is due."""
        text = self._known.get((status, message))
        if text is None:
            if int(at) != self._second:
                self._second, self._examined = int(at), 0
            self._examined += 1
            if self._examined > MOST_EXAMINED:
                return
            text = _clean(status, message)
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            self._known[status, message] = text
        key = _NUMBERS.sub("#", text)
        kept = self._kept.pop(key, None) or _Message(text, 0, at, at - LOG_EVERY)
        kept.count, kept.at, kept.unlogged = kept.count + 1, at, kept.unlogged + 1
        self._kept[key] = kept
        while len(self._kept) > MOST_FAILURES:
            del self._kept[next(iter(self._kept))]
        if 0 <= at - kept.logged_at < LOG_EVERY or not self._may_log(at):
            return
        times, kept.unlogged, kept.logged_at = kept.unlogged, 0, at
        self._log(f"a request failed: {text}" if times == 1 else f"{times} requests failed: {text}")

    def _may_log(self, at: float) -> bool:
        """Whether the log has room for another line in this minute."""
        if not 0 <= at - self._minute < LOG_EVERY:
            self._minute, self._lines = at, 0
        self._lines += 1
        return self._lines <= MOST_FAILURES

    def rows(self) -> list[FailureRow]:
        """The last one first."""
        return [{"message": one.message, "count": one.count, "at": one.at} for one in [*self._kept.values()][::-1]]


def _clean(status: int, message: str) -> str:
    line = " ".join(message[: 4 * LONGEST_FAILURE].split())
    from tidegate.personal_data.detectors import scrub  # noqa: PLC0415  # a model that answers needs none of it

    text = scrub(line, _KINDS, lambda kind, found: f"[{kind}]")
    answered = f"{status} " if status else "no answer: "
    whole = answered + "".join(one if one.isprintable() else "?" for one in text)
    return whole if len(whole) <= LONGEST_FAILURE else whole[: LONGEST_FAILURE - 1] + "…"
