"""A metric and what is known of it in one span of time."""

from dataclasses import dataclass, field

SAGEMAKER = "AWS/SageMaker"
INSTANCES = "/aws/sagemaker/Endpoints"


@dataclass(frozen=True, order=True)
class MetricId:
    """One series: dimensions match as an exact set, never as a part of one."""

    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...] = ()
    """Sorted by name."""

    @classmethod
    def of(cls, namespace: str, name: str, dimensions: dict[str, str]) -> "MetricId":
        return cls(namespace, name, tuple(sorted(dimensions.items())))


@dataclass(frozen=True)
class Sample:
    """What one span (``at`` to ``at + resolution``, epoch seconds) holds of one series.

    ``bins`` is the sketch of the values for percentiles, sparse: bin index -> count, in the one mapping of
    ``evidence.sketch`` (1 % relative accuracy), so that samples merge by adding. Empty when only the statistics
    are known.
    """

    metric: MetricId
    at: int
    count: float
    total: float
    low: float
    high: float
    bins: dict[int, float] = field(default_factory=dict)
    unit: str = "None"
    resolution: int = 1
