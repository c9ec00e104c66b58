"""Whether a replica that was ready still is. Pure: a look at a replica, what was concluded before, and the time.

What is concluded rests on time during which the replica was looked at. A gap in which nobody looked (the controller
was stopped or starved) counts for a moment only, since answers that came meanwhile have not been read yet.
"""

from dataclasses import dataclass
from enum import StrEnum

from tidegate.host.process_stats import SILENT, SILENT_FOR, STOPPED_REASON, ProcessStats, got_nowhere

LONGEST_STEP = 1.5
"""Seconds that pass, at the most, between two looks as far as a conclusion goes."""
STOPPED_FOR = 2.0
"""Seconds until a replica that a signal has stopped is replaced; it is not ready from the first look on."""
GONE_FOR = 2.0
"""The same for one on whose socket nobody listens: it may be about to make it anew."""


class PingAnswer(StrEnum):
    """The answer to a readiness ping."""

    GOOD = "good"
    UNWELL = "unwell"
    """It answers, and says no."""
    REFUSED = "refused"
    """Nobody listens."""
    NONE = "none"
    """No answer within the patience."""


@dataclass(frozen=True)
class HealthLook:
    """One look at a replica."""

    stopped: bool = False
    waiting: bool = False
    """A question is open."""
    answer: PingAnswer | None = None
    """What came since the look before."""
    vitals: ProcessStats | None = None
    """Looked at while a question is open; None where they are not known."""
    frozen: bool = False
    """With its control group: it cannot run, whatever it is."""


@dataclass(frozen=True)
class Unhealthy:
    """Why a replica must be replaced. ``hopeless``: it will not finish its requests either."""

    reason: str
    hopeless: bool


@dataclass(frozen=True)
class Health:
    """For how many seconds of observation each condition has held; None: it does not hold."""

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
        """False if the replica is known to be unable to answer now."""
        return self.stopped is None and self.refused is None

    @property
    def is_clean(self) -> bool:
        """Whether no condition holds: another look that finds the replica well changes nothing but the time."""
        return self.stopped is None and self.refused is None and self.bad is None and not self.silent

    def failing(self, patience: float) -> Unhealthy | None:
        """``patience``: seconds that a live replica may take to answer."""
        if (self.stopped or 0.0) >= STOPPED_FOR:
            return Unhealthy(STOPPED_REASON, hopeless=True)
        if self.silent >= SILENT_FOR:
            return Unhealthy(SILENT, hopeless=True)
        if (self.refused or 0.0) >= GONE_FOR:
            return Unhealthy("nobody listens on its socket any more", hopeless=False)
        if (self.bad or 0.0) >= patience:
            return Unhealthy(f"it has not answered well for {patience:g} s", hopeless=False)
        return None

    def after(self, look: HealthLook, now: float) -> "Health":
        """The health after one more look."""
        step = 0.0 if self.looked_at is None else max(0.0, min(now - self.looked_at, LONGEST_STEP))
        came = look.answer is not None
        refused = look.answer is PingAnswer.REFUSED or (not came and self.refused is not None)
        bad = look.answer is not PingAnswer.GOOD and (came or look.waiting or self.bad is not None)
        return Health(
            stopped=_extend_wait(self.stopped, step) if look.stopped else None,
            refused=_extend_wait(self.refused, step) if refused else None,
            bad=_extend_wait(self.bad, step) if bad else None,
            silent=self.silent + step if self._idles(look, now) else 0.0,
            looked_at=now,
            vitals=look.vitals if look.waiting else None,
        )

    def _idles(self, look: HealthLook, now: float) -> bool:
        """Whether it neither answered nor made progress since the last look. False if unknown."""
        if not look.waiting or look.answer is not None or look.frozen:
            return False
        return self.looked_at is not None and got_nowhere(self.vitals, look.vitals, now - self.looked_at)


def _extend_wait(before: float | None, step: float) -> float:
    return 0.0 if before is None else before + step
