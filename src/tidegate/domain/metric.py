"""Metrics, and their samples over spans of time."""

import unicodedata
from dataclasses import dataclass, field

from tidegate.domain.fleet import FleetId
from tidegate.domain.pairs import Pair
from tidegate.domain.text_answers import TextAnswer

SAGEMAKER = "AWS/SageMaker"
INSTANCES = "/aws/sagemaker/Endpoints"
JOBS = "/aws/sagemaker/TransformJobs"
EVIDENCE = "tidegate/Evidence"
DRIFT = "tidegate/Drift"
DATA_QUALITY = "aws/sagemaker/Endpoints/data-metrics"
MODEL_QUALITY = "aws/sagemaker/Endpoints/model-metrics"
BIAS = "aws/sagemaker/Endpoints/bias-metrics"
LABELS = "tidegate/Labels"
SIGNALS = "tidegate/Signals"

PLATFORM_NAMESPACES = (
    SAGEMAKER,
    INSTANCES,
    JOBS,
    EVIDENCE,
    DRIFT,
    DATA_QUALITY,
    MODEL_QUALITY,
    BIAS,
    LABELS,
    SIGNALS,
)
AWS_PREFIX = "AWS/"
_PLATFORM_PREFIXES = ("aws/", "/aws/sagemaker/", "tidegate/")
"""Of namespaces that the platform writes to, folded."""
_UNSEEN = ("Cc", "Cf")
"""Categories of characters that are not seen."""


def is_platform_namespace(namespace: str) -> bool:
    """Whether the platform alone writes there. Guards of rollouts look at these metrics, so a name that a person
    could take for one of them (in other letter case, with spaces, in letters of another width, with characters that
    are not seen) is one."""
    return _fold(namespace).startswith(_PLATFORM_PREFIXES)


def find_intended(namespace: str) -> str | None:
    """The namespace of the platform that this one resembles without being it; None: it resembles none. Nobody ever
    writes to such a name."""
    meant = next((one for one in PLATFORM_NAMESPACES if _fold(one) == _fold(namespace)), None)
    return None if meant == namespace else meant


def _fold(namespace: str) -> str:
    letters = unicodedata.normalize("NFKC", namespace).casefold()
    return "".join(each for each in letters if not each.isspace() and unicodedata.category(each) not in _UNSEEN)


@dataclass(frozen=True, order=True, slots=True)
class MetricId:
    """Identity of one series. Dimensions match as an exact set."""

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
    """Whether the line is a result, rather than an input of another line."""
    period: int | None = None
    """Seconds, if the line itself sets them; for display only. All lines are evaluated with one period."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Values of one series in one span (``at`` to ``at + resolution``, epoch seconds).

    ``bins`` is a sparse sketch of the values for percentiles: bin index -> count, with the bins of
    ``monitoring.sketch`` (1 % relative accuracy), so that samples merge by adding. Empty if only the statistics are
    known.
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


@dataclass(frozen=True, slots=True)
class Latency:
    """Latencies of some requests in microseconds; ``bins`` as in Sample, whose counts sum to the requests."""

    bins: dict[int, float]
    total: float
    low: float
    high: float

    @property
    def count(self) -> float:
        return sum(self.bins.values())


@dataclass(frozen=True)
class WorkerSeries:
    """A metric that the workers of a fleet reported besides their requests, for example of a container or a model.
    ``dimensions`` are added to those of endpoint and variant, sorted by name."""

    name: str
    dimensions: tuple[tuple[str, str], ...]
    values: Latency


@dataclass(frozen=True)
class FleetSecond:
    """Counts of one fleet, by workers and proxy, for the second that begins at ``second`` (epoch seconds)."""

    fleet: FleetId
    config_name: str
    second: int
    ready_instances: int
    queued: bool = field(default=False, kw_only=True)
    """The endpoint is asynchronous, which has fewer request metrics."""
    invocations: int = 0
    errors_4xx: int = 0
    errors_5xx: int = 0
    model_errors: int = 0
    """Requests that the container answered with anything but 2xx, cut off, or did not answer in time."""
    model_latency: Latency | None = None
    """Round trip to the container."""
    overhead_latency: Latency | None = None
    """Remaining time between the first byte in and the last byte out."""
    cpu: tuple[float, ...] = ()
    """One reading per replica, in percent of one core."""
    memory: tuple[float, ...] = ()
    """One reading per replica, in percent of the machine's memory."""
    gpu: tuple[float, ...] = ()
    """One reading per replica with accelerators, in percent of one."""
    gpu_memory: tuple[float, ...] = ()
    """One reading per replica with accelerators, in percent of the memory of one."""
    in_flight: tuple[float, ...] = ()
    """Requests in progress at the end of the second, one reading per replica that answered."""
    series: tuple[WorkerSeries, ...] = ()
    pairs: tuple[tuple[str, Pair], ...] = ()
    """Requests that another version's fleet was given, too, each with the id of that fleet."""
    texts: tuple[TextAnswer, ...] = ()
    """A sample of the answers that are text."""
    dropped: int = 0
    """Reported values that were unusable."""


@dataclass(frozen=True)
class FleetPeriod:
    """Requests of one fleet in the ``seconds`` from ``at`` (epoch seconds), once they are complete. A second report
    on the same period has what came in addition."""

    fleet: FleetId
    at: int
    seconds: int
    requests: int
    failed: int
    """Of the ``requests``, those that were answered with anything but 2xx, or not at all."""


@dataclass(frozen=True)
class Coverage:
    """Span of seconds (``through`` exclusive, epoch seconds) over which the counts of an endpoint are complete,
    without a gap. ``through`` never exceeds the second of the collection itself."""

    since: int
    through: int


@dataclass(frozen=True)
class CollectionRound:
    """Result of one collection round: new seconds of every fleet, and the coverage of every endpoint.

    An endpoint that is absent from ``coverage`` has no fleet: nothing is known about it."""

    seconds: list[FleetSecond]
    coverage: dict[str, Coverage] = field(default_factory=dict)
    periods: dict[str, list[FleetPeriod]] = field(default_factory=dict)
    """By endpoint, also where there is nothing new, of those whose requests are known by longer periods than seconds:
    versions are compared by them, and by ``seconds`` elsewhere."""
    failures: dict[FleetId, tuple[str, ...]] = field(default_factory=dict)
    """The last messages of failed requests of each fleet, the newest first, without personal data."""
