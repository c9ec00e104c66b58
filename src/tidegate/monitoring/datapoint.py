"""One period of a metric, as an alarm or a graph sees it, and the names of statistics."""

from dataclasses import dataclass

from tidegate.domain.errors import Invalid
from tidegate.domain.metric import Sample
from tidegate.monitoring.samples import EXTENDED, is_extended, statistic

STATISTICS = ("SampleCount", "Average", "Sum", "Minimum", "Maximum")


@dataclass(frozen=True)
class Datapoint:
    """``at`` is the begin of its period (epoch seconds); ``samples`` says how many values stand behind it."""

    at: int
    value: float
    samples: float = 1.0


def datapoint(at: int, sample: Sample | None, name: str) -> Datapoint | None:
    """The statistic ``name`` of one period; None where there is no data, or none that the statistic can be made of (a
    percentile of values of which only the sums are known)."""
    if sample is None:
        return None
    value = statistic(sample, name)
    return None if value is None else Datapoint(at, value, sample.count)


def check_extended(name: str) -> None:
    """Raises Invalid for an extended statistic that is neither a percentile nor trimmed."""
    if not is_extended(name):
        raise Invalid(f"statistic {name!r} is not supported: use {EXTENDED}")
