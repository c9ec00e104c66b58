"""Decides when answers from a batch are compared with those that the requests get alone. Pure.

During the trial, every request of a batch is also scored alone, and answered with that result: a model whose rows
influence each other in real requests, but not in the probes at load, is found before it gives a wrong answer. After
the trial one request of some batches is scored again, for a bounded share of the time: once the batch has been
answered, on the event loop if scoring is quick, otherwise in a thread.
"""

from dataclasses import dataclass

TRIAL_BATCHES = 16
TRIAL_ROWS = 8
"""Rows of a batch during the trial, when each request is scored twice."""
TRIAL_SECONDS = 0.25
"""Seconds of scoring after which the trial ends early."""
SHARE = 0.01
"""Share of one processor for rescoring."""
OVERHEAD = 1e-4
"""Seconds of overhead for scoring a request again."""
QUICK = 3e-4
"""Seconds of scoring one request below which no thread is used: a thread that waits for the interpreter lock stalls
the event loop for longer (3 ms measured)."""
LEAST_WAIT = 0.01
"""Least seconds between two rescored requests."""


@dataclass
class RescoringSchedule:
    """The schedule of one model. Times are seconds of a monotonic clock."""

    batches: int = 0
    """Batches of the trial so far."""
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

    def count_trial(self, requests: int, seconds: float) -> None:
        self.batches += 1
        self.requests += requests
        self.spent += seconds

    def begin(self, now: float) -> bool:
        """Whether to rescore a request of this batch. If so, no other request is rescored until ``end``."""
        if self.under_way or now < self.due_at:
            return False
        self.under_way = True
        return True

    def end(self, now: float, seconds: float) -> None:
        self.under_way = False
        self.last = seconds
        self.due_at = now + max(LEAST_WAIT, (seconds + OVERHEAD) * (1 / SHARE - 1))
