"""Whether a program is healthy, and whether it hangs. Pure: what was seen of it each second, and the time.

A program may do one thing at a time: a ping that fails while it is at work says little, until nothing was answered
for as long as a prediction may take.
"""

from dataclasses import dataclass

from tidegate.host.process_stats import ProcessStats

GOOD = 200
BAD_PINGS = 3
"""In a row, while the program has nothing to do: it is not healthy."""
SILENT_FOR = 5.0
"""Seconds without an answer, and without getting anywhere, after which an idle program hangs."""
LONGEST_STEP = 3.5
"""Seconds between two looks that count, at the most: a ping takes up to two. In a longer gap nobody looked."""


@dataclass(frozen=True)
class Seen:
    """``answers``: to calls, since the start. ``answer``: the status of the ping, where it was ``asked`` and did."""

    at_work: bool
    answers: int
    asked: bool
    answer: int | None = None
    stopped: bool = False
    vitals: ProcessStats | None = None


@dataclass
class Liveness:
    patience: float
    """Seconds that a prediction may take."""
    good: bool = True
    _bad: int = 0
    _answers: int = 0
    _unanswered: float = 0.0
    """Seconds at work since the last answer."""
    _still: float = 0.0
    _stopped: bool = False
    _vitals: ProcessStats | None = None
    _at: float | None = None

    def asks(self, at_work: bool, answers: int) -> bool:
        """Whether the program is pinged now."""
        return not at_work or (answers == self._answers and self._unanswered >= self.patience)

    def after(self, seen: Seen, now: float) -> str:
        """What is wrong with one that hangs; empty where it does not, or is not known to."""
        passed = 0.0 if self._at is None else now - self._at
        step = min(passed, LONGEST_STEP)
        answered = seen.answers != self._answers or seen.answer is not None
        self._unanswered = 0.0 if answered or not seen.at_work else self._unanswered + step
        self._count(seen)
        moves = (
            seen.vitals is None or self._vitals is None or seen.vitals.progressed(self._vitals, passed)
        )  # unknown is no proof
        self._still = 0.0 if answered or moves or not seen.asked else self._still + step
        was_stopped, self._stopped = self._stopped, seen.stopped
        self._answers, self._vitals, self._at = seen.answers, seen.vitals, now
        if seen.stopped and was_stopped:
            return "it is stopped, by a signal or a debugger"
        if self._still >= SILENT_FOR:
            return f"it has not answered for {SILENT_FOR:g} s, nor done anything else"
        return ""

    def _count(self, seen: Seen) -> None:
        if not seen.asked or (seen.at_work and seen.answer != GOOD):
            return
        self._bad = 0 if seen.answer == GOOD else self._bad + 1
        self.good = self._bad < BAD_PINGS
