"""Decides whether a program is healthy, and whether it hangs, from an observation each second. Pure.

A program may do one thing at a time: a failed ping while it is working means little, until it has not answered for as
long as a prediction may take.
"""

from dataclasses import dataclass

from tidegate.host.process_stats import SILENT, SILENT_FOR, STOPPED_REASON, ProcessStats, got_nowhere

GOOD = 200
BAD_PINGS = 3
"""In a row, while the program has nothing to do: it is not healthy."""
LONGEST_STEP = 3.5
"""Most seconds between two observations: a ping takes up to two. A longer gap was not observed, and does not
count."""


@dataclass(frozen=True)
class LivenessObservation:
    """An observation. ``answers``: number of answers since the start. ``answer``: status of the ping, if it was
    ``asked`` and answered."""

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
        """Whether to ping the program now."""
        return not at_work or (answers == self._answers and self._unanswered >= self.patience)

    def after(self, seen: LivenessObservation, now: float) -> str:
        """Add an observation. Returns why the program hangs; empty if it does not, or that is unknown."""
        passed = 0.0 if self._at is None else now - self._at
        step = min(passed, LONGEST_STEP)
        answered = seen.answers != self._answers or seen.answer is not None
        self._unanswered = 0.0 if answered or not seen.at_work else self._unanswered + step
        self._count(seen)
        stalled = seen.asked and not answered and got_nowhere(self._vitals, seen.vitals, passed)
        self._still = self._still + step if stalled else 0.0
        was_stopped, self._stopped = self._stopped, seen.stopped
        self._answers, self._vitals, self._at = seen.answers, seen.vitals, now
        if seen.stopped and was_stopped:
            return STOPPED_REASON
        if self._still >= SILENT_FOR:
            return SILENT
        return ""

    def _count(self, seen: LivenessObservation) -> None:
        if not seen.asked or (seen.at_work and seen.answer != GOOD):
            return
        self._bad = 0 if seen.answer == GOOD else self._bad + 1
        self.good = self._bad < BAD_PINGS
