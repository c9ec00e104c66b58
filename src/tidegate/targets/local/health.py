"""Whether a replica that was ready still is. Pure: a look at a replica, what was concluded before, and the time.

What is concluded rests on time during which the replica was looked at. A gap in which nobody looked (the controller
was stopped or starved) counts for a moment only, since answers that came meanwhile have not been read yet.
"""

from dataclasses import dataclass
from enum import StrEnum

from tidegate.host.process_stats import ProcessStats

LONGEST_STEP = 1.5
"""Seconds that pass, at the most, between two looks as far as a conclusion goes."""
STOPPED_FOR = 2.0
"""Seconds until a replica that a signal has stopped is replaced; it is not ready from the first look on."""
GONE_FOR = 2.0
"""The same for one on whose socket nobody listens: it may be about to make it anew."""
SILENT_FOR = 5.0
"""The same for one that does not answer while none of its threads gets anywhere. One that computes, or waits for a
processor or the disk, has the supervisor's patience instead."""


class Answer(StrEnum):
    """To the question whether it is ready."""

    GOOD = "good"
    UNWELL = "unwell"
    """It answers, and says no."""
    REFUSED = "refused"
    """Nobody listens."""
    NONE = "none"
    """No answer within the patience."""


@dataclass(frozen=True)
class Look:
    """One look at a replica."""

    stopped: bool = False
    waiting: bool = False
    """A question is open."""
    answer: Answer | None = None
    """What came since the look before."""
    vitals: ProcessStats | None = None
    """Looked at while a question is open; None where they are not known."""
    frozen: bool = False
    """With its control group: it cannot run, whatever it is."""


@dataclass(frozen=True)
class Failing:
    """Why a replica has to be replaced. ``hopeless``: it will not finish what it has in hand either."""

    reason: str
    hopeless: bool


@dataclass(frozen=True)
class Health:
    """Seconds for which it has been so while it was looked at; None: it is not."""

    stopped: float | None = None
    refused: float | None = None
    bad: float | None = None
    """Without a good answer."""
    silent: float = 0.0
    """Without an answer or anything else that it did."""
    looked_at: float | None = None
    vitals: ProcessStats | None = None

    @property
    def takes_requests(self) -> bool:
        """False where it is known that it cannot answer now."""
        return self.stopped is None and self.refused is None

    def failing(self, patience: float) -> Failing | None:
        """``patience``: seconds that one which lives may take for an answer."""
        if (self.stopped or 0.0) >= STOPPED_FOR:
            return Failing("it is stopped, by a signal or a debugger", hopeless=True)
        if self.silent >= SILENT_FOR:
            return Failing(f"it has not answered for {SILENT_FOR:g} s, nor done anything else", hopeless=True)
        if (self.refused or 0.0) >= GONE_FOR:
            return Failing("nobody listens on its socket any more", hopeless=False)
        if (self.bad or 0.0) >= patience:
            return Failing(f"it has not answered well for {patience:g} s", hopeless=False)
        return None

    def after(self, look: Look, now: float) -> "Health":
        """What is concluded from one more look."""
        step = 0.0 if self.looked_at is None else max(0.0, min(now - self.looked_at, LONGEST_STEP))
        came = look.answer is not None
        refused = look.answer is Answer.REFUSED or (not came and self.refused is not None)
        bad = look.answer is not Answer.GOOD and (came or look.waiting or self.bad is not None)
        return Health(
            stopped=_longer(self.stopped, step) if look.stopped else None,
            refused=_longer(self.refused, step) if refused else None,
            bad=_longer(self.bad, step) if bad else None,
            silent=self.silent + step if self._idles(look, now) else 0.0,
            looked_at=now,
            vitals=look.vitals if look.waiting else None,
        )

    def _idles(self, look: Look, now: float) -> bool:
        """Whether it neither answered nor got anywhere since the look before. Unknown is no."""
        if not look.waiting or look.answer is not None or look.frozen:
            return False
        if look.vitals is None or self.vitals is None or self.looked_at is None:
            return False
        return not look.vitals.progressed(self.vitals, now - self.looked_at)


def _longer(before: float | None, step: float) -> float:
    return 0.0 if before is None else before + step
