"""A metric and what is known of it in one span of time."""

from dataclasses import dataclass, field

from tidegate.domain.fleet import FleetId

SAGEMAKER = "AWS/SageMaker"
INSTANCES = "/aws/sagemaker/Endpoints"
JOBS = "/aws/sagemaker/TransformJobs"


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
class Query:
    """One line of metric math: a statistic of a metric, or an expression over other lines by their ids."""

    id: str
    metric: MetricId | None = None
    statistic: str = ""
    unit: str | None = None
    expression: str = ""
    label: str | None = None
    returned: bool = True
    """Whether it is what was asked for, rather than a part of it."""
    period: int | None = None
    """Seconds, where the line itself names them; kept to be shown. What counts is the one period of all lines."""


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


@dataclass(frozen=True)
class Latency:
    """Times of some requests in microseconds; ``bins`` as in Sample, their counts sum to the requests."""

    bins: dict[int, float]
    total: float
    low: float
    high: float

    @property
    def count(self) -> float:
        return sum(self.bins.values())


@dataclass(frozen=True)
class WorkerSeries:
    """What the workers of a fleet noted under one name beside the requests themselves: of a container or a model,
    say. ``dimensions`` come on top of the endpoint's and the variant's, sorted by name."""

    name: str
    dimensions: tuple[tuple[str, str], ...]
    values: Latency


@dataclass(frozen=True)
class FleetSecond:
    """What one fleet did in the second that begins at ``second`` (epoch seconds), as workers and proxy counted."""

    fleet: FleetId
    config_name: str
    second: int
    ready_instances: int
    queued: bool = field(default=False, kw_only=True)
    """Of an asynchronous endpoint, which has fewer metrics of requests."""
    invocations: int = 0
    errors_4xx: int = 0
    errors_5xx: int = 0
    model_errors: int = 0
    """Requests that the model's program answered with anything but 2xx, cut off or did not answer in time."""
    model_latency: Latency | None = None
    """The round trip to the model's program."""
    overhead_latency: Latency | None = None
    """The rest of the time between the first byte in and the last byte out."""
    cpu: tuple[float, ...] = ()
    """One reading a replica, in percent of one core."""
    memory: tuple[float, ...] = ()
    """One reading a replica, in percent of the machine."""
    in_flight: tuple[float, ...] = ()
    """One reading a replica that answered, at the end of the second: requests in its hands."""
    series: tuple[WorkerSeries, ...] = ()
    dropped: int = 0
    """Numbers that a replica reported and that could not be used."""


@dataclass(frozen=True)
class Coverage:
    """From which second on the counts of an endpoint are complete, without a hole, and up to which second (exclusive)
    they are in; epoch seconds. ``through`` never exceeds the second of the collection that found it."""

    since: int
    through: int


@dataclass(frozen=True)
class CollectionRound:
    """One round of collecting: what is new of every fleet, and how far the counts of every endpoint reach.

    An endpoint that is absent from ``coverage`` has no fleet: nothing is known of it."""

    seconds: list[FleetSecond]
    coverage: dict[str, Coverage] = field(default_factory=dict)
