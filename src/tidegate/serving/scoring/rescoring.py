"""When answers from a batch are checked against those that its requests get alone. Pure.

The first batches of a model are answered by what each request gets alone, and compared: a model whose rows influence
each other on real requests, though not in any trial at load, is found before it has given one wrong answer. After
that one request of a batch is scored again off the event loop from time to time, for a bounded share of the time.
"""

from dataclasses import dataclass

TRIAL_BATCHES = 16
TRIAL_ROWS = 8
"""Rows of a batch during the trial: each of its requests is scored twice."""
TRIAL_SECONDS = 0.25
"""Time after which the trial ends early."""
SHARE = 0.01
"""Of one processor, for scoring again."""
OVERHEAD = 1e-4
"""Seconds that handing a request to a thread costs besides."""
LEAST_WAIT = 0.01
"""Seconds between two that are scored again."""


@dataclass
class Rescoring:
    """Of one model. Times are seconds of any clock that does not go back."""

    batches: int = 0
    """Of the trial, so far."""
    spent: float = 0.0
    """Seconds of the trial."""
    due_at: float = 0.0
    under_way: bool = False

    @property
    def on_trial(self) -> bool:
        return self.batches < TRIAL_BATCHES and self.spent < TRIAL_SECONDS

    def tried(self, seconds: float) -> None:
        self.batches += 1
        self.spent += seconds

    def begin(self, now: float) -> bool:
        """Whether to score a request of this batch again; if so, no other one is until ``end``."""
        if self.under_way or now < self.due_at:
            return False
        self.under_way = True
        return True

    def end(self, now: float, seconds: float) -> None:
        self.under_way = False
        self.due_at = now + max(LEAST_WAIT, (seconds + OVERHEAD) * (1 / SHARE - 1))
