"""When answers from a batch are checked against those that its requests get alone. Pure.

The first batches of a model are answered by what each request gets alone, and compared: a model whose rows influence
each other on real requests, though not in any trial at load, is found before it has given one wrong answer. After
that one request of a batch is scored again from time to time, for a bounded share of the time: once the batch has
been answered, on the event loop if that is quick, and in a thread if it is not.
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
"""Seconds that scoring a request again costs besides."""
QUICK = 3e-4
"""Seconds of scoring one request for which no thread is asked: a thread that wants the interpreter holds the event
loop up for longer than that (3 ms were measured)."""
LEAST_WAIT = 0.01
"""Seconds between two that are scored again."""


@dataclass
class Rescoring:
    """Of one model. Times are seconds of any clock that does not go back."""

    batches: int = 0
    """Of the trial, so far."""
    spent: float = 0.0
    """Seconds of the trial."""
    requests: int = 0
    """Scored in ``spent``."""
    last: float = 0.0
    """Seconds that the last request took after the trial."""
    due_at: float = 0.0
    under_way: bool = False

    @property
    def on_trial(self) -> bool:
        return self.batches < TRIAL_BATCHES and self.spent < TRIAL_SECONDS

    @property
    def is_quick(self) -> bool:
        """Whether to score the next request on the event loop."""
        return (self.last or self.spent / max(1, self.requests)) < QUICK

    def tried(self, requests: int, seconds: float) -> None:
        self.batches += 1
        self.requests += requests
        self.spent += seconds

    def begin(self, now: float) -> bool:
        """Whether to score a request of this batch again; if so, no other one is until ``end``."""
        if self.under_way or now < self.due_at:
            return False
        self.under_way = True
        return True

    def end(self, now: float, seconds: float) -> None:
        self.under_way = False
        self.last = seconds
        self.due_at = now + max(LEAST_WAIT, (seconds + OVERHEAD) * (1 / SHARE - 1))
