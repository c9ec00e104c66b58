"""One period of a metric, as an alarm or a graph sees it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Datapoint:
    """``at`` is the begin of its period (epoch seconds); ``samples`` says how many values stand behind it."""

    at: int
    value: float
    samples: float = 1.0
