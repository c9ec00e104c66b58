"""Limit how often something is tried, by key, in bounded memory. Pure: the time is passed in.

Each key has a bucket of attempts that refills evenly (the generic cell rate algorithm: one number for each key)."""

from collections import OrderedDict
from dataclasses import dataclass, field

MAX_KEYS = 10_000
ROUNDING = 1e-6
"""Seconds by which sums of times since the epoch may be off."""


@dataclass(frozen=True)
class AttemptAllowance:
    """``attempts`` at once, and as many again in each ``seconds``."""

    attempts: int
    seconds: float

    @property
    def interval(self) -> float:
        return self.seconds / self.attempts


@dataclass
class AttemptLimits:
    """The keys that were used least recently are forgotten beyond ``most``."""

    most: int = MAX_KEYS
    _full_at: OrderedDict[str, float] = field(default_factory=OrderedDict)
    """Key -> time at which its bucket is full again."""

    def take(self, key: str, allowance: AttemptAllowance, now: float) -> float:
        """Count an attempt. Returns 0, or the seconds to wait if there are too many: then nothing is counted."""
        full = self._full_at.get(key, now)
        # A clock that was set back must not lock anybody out for longer than a whole refill.
        full = min(max(full, now), now + allowance.seconds)
        waiting = full - now - (allowance.seconds - allowance.interval)
        if waiting > ROUNDING:
            self._full_at[key] = full
            self._full_at.move_to_end(key)
            return waiting
        self._full_at[key] = full + allowance.interval
        self._full_at.move_to_end(key)
        while len(self._full_at) > self.most:
            self._full_at.popitem(last=False)
        return 0.0

    def give_back(self, key: str, allowance: AttemptAllowance) -> None:
        """Undo the last attempt, which was a good one."""
        if key in self._full_at:
            self._full_at[key] -= allowance.interval
