"""Types of autoscaling: scalable targets, policies, observations and records.

Counts are instances, or provisioned concurrency if that is the dimension. Times of records are aware datetimes; spans
are seconds.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from tidegate.domain.alarm import AlarmState
from tidegate.domain.metric import MetricId, Query


class Dimension(StrEnum):
    """The scaled property of a variant (Application Auto Scaling's ScalableDimension)."""

    INSTANCES = "sagemaker:variant:DesiredInstanceCount"
    PROVISIONED = "sagemaker:variant:DesiredProvisionedConcurrency"

    @property
    def words(self) -> str:
        """Name of the dimension in activities."""
        return "instance count" if self is Dimension.INSTANCES else "provisioned concurrency"


@dataclass(frozen=True)
class SuspendedScaling:
    """Suspended kinds of scaling."""

    scale_in: bool = False
    scale_out: bool = False
    scheduled: bool = False


@dataclass(frozen=True)
class ScalableTarget:
    """One variant whose count may vary from ``minimum`` to ``maximum``, inclusive."""

    endpoint: str
    variant: str
    dimension: Dimension
    minimum: int
    maximum: int
    created_at: datetime
    suspended: SuspendedScaling = field(default_factory=SuspendedScaling)

    @property
    def resource_id(self) -> str:
        return f"endpoint/{self.endpoint}/variant/{self.variant}"


class PredefinedMetricType(StrEnum):
    """Metrics that a policy may refer to by a predefined name."""

    INVOCATIONS = "SageMakerVariantInvocationsPerInstance"
    """Invocations per instance and minute."""
    CONCURRENT = "SageMakerVariantConcurrentRequestsPerModelHighResolution"
    """Concurrent requests per instance, every 10 seconds."""
    UTILIZATION = "SageMakerVariantProvisionedConcurrencyUtilization"
    """Used part of the provisioned concurrency, 0 to 1."""


@dataclass(frozen=True)
class CustomMetric:
    """Any metric that falls as the count rises, such as a load per instance."""

    metric: MetricId
    statistic: str
    unit: str | None = None


@dataclass(frozen=True)
class TargetTracking:
    """Keeps a metric near ``target`` by Application Auto Scaling's rule, with two alarms of its own."""

    name: str
    target: float
    metric: PredefinedMetricType | CustomMetric | tuple[Query, ...]
    """A tuple is metric math, one line of which is the metric."""
    scale_out_cooldown: int = 300
    scale_in_cooldown: int = 300
    disable_scale_in: bool = False
    alarm_ids: tuple[str, str] = ("high", "low")
    """Suffixes (UUIDs) of its alarms' names: high, low."""


class Adjustment(StrEnum):
    CHANGE = "ChangeInCapacity"
    PERCENT = "PercentChangeInCapacity"
    EXACT = "ExactCapacity"


class Aggregation(StrEnum):
    AVERAGE = "Average"
    MINIMUM = "Minimum"
    MAXIMUM = "Maximum"


@dataclass(frozen=True)
class ScalingStep:
    """Applies while the metric lies between the bounds, which are relative to the alarm's threshold; None:
    unbounded."""

    adjustment: int
    lower: float | None = None
    upper: float | None = None


@dataclass(frozen=True)
class StepScaling:
    """Changes the count by the step that matches the breach of an alarm. The alarm is the user's own and names the
    policy in its actions."""

    name: str
    adjustment: Adjustment
    steps: tuple[ScalingStep, ...]
    min_magnitude: int | None = None
    """PERCENT only: smallest change."""
    cooldown: int = 300
    aggregation: Aggregation = Aggregation.AVERAGE


@dataclass(frozen=True)
class FastPolicy:
    """Reacts within seconds to the requests in flight and their wait. Not an AWS policy type."""

    name: str
    in_flight: float
    """Target of concurrent requests per instance."""
    queue_time: float | None = None
    """Seconds that a request may wait for an instance; None: ignored."""
    growth: float = 4.0
    """One scale-out multiplies the count by at most this (and adds at least one)."""
    scale_out_cooldown: float = 1.0
    scale_in_window: float = 60.0
    """Seconds: the count never falls below the highest need within this window."""
    band: float = 0.2
    """Headroom that scaling in keeps over the need, so that the count does not flap around a whole number."""
    smoothing: float = 2.0
    """Time constant in seconds of the exponential smoothing of the load. A rise that chance does not explain counts
    immediately."""
    drain: float = 2.0
    """Seconds in which a queue should be drained."""
    disable_scale_in: bool = False


@dataclass(frozen=True)
class CalendarPeak:
    """A recurring peak load. ``starts`` is a schedule like that of a scheduled action."""

    name: str
    starts: str
    lasts: float
    """Seconds."""
    count: int
    timezone: str = "UTC"
    holidays: str = ""
    """Country or region (``CH``, ``CH-ZH``) whose public holidays are not working days. Empty: working days are
    Monday to Friday."""


@dataclass(frozen=True)
class CalendarPolicy:
    """Has the count of each peak ready when it starts, by scaling out ahead of it. Between peaks the minimum
    applies."""

    name: str
    peaks: tuple[CalendarPeak, ...]
    margin: float = 30.0
    """Seconds added to the measured start-up time."""


@dataclass(frozen=True)
class ForecastPolicy:
    """Predicts the load from earlier seasons and has the count ready that it will need."""

    name: str
    per_instance: float
    """Target of requests per second and instance."""
    season: float = 7 * 86_400.0
    """Seconds after which the load repeats."""
    headroom: float = 1.1
    """Factor applied to the expected load."""
    margin: float = 30.0


ScalingPolicy = TargetTracking | StepScaling | FastPolicy | CalendarPolicy | ForecastPolicy


@dataclass(frozen=True)
class ScheduledAction:
    """Sets new bounds of a target at scheduled times: ``at(...)``, ``rate(...)`` or ``cron(...)``."""

    name: str
    schedule: str
    created_at: datetime
    timezone: str = "UTC"
    start: datetime | None = None
    end: datetime | None = None
    minimum: int | None = None
    maximum: int | None = None


class ActivityStatus(StrEnum):
    PENDING = "Pending"
    IN_PROGRESS = "InProgress"
    SUCCESSFUL = "Successful"
    OVERRIDDEN = "Overridden"
    UNFULFILLED = "Unfulfilled"
    FAILED = "Failed"


class NotScaledCode(StrEnum):
    """Codes for why nothing was scaled."""

    FLAPPING = "AutoScalingAnticipatedFlapping"
    UNSCALABLE = "TargetServicePutResourceAsUnscalable"
    AT_MAXIMUM = "AlreadyAtMaxCapacity"
    AT_MINIMUM = "AlreadyAtMinCapacity"
    AT_DESIRED = "AlreadyAtDesiredCapacity"


@dataclass(frozen=True)
class NotScaledReason:
    code: NotScaledCode
    current: int
    maximum: int | None = None
    minimum: int | None = None


@dataclass(frozen=True)
class Activity:
    """One change of a count, or (with ``not_scaled``) one that was requested and not made."""

    id: str
    cause: str
    description: str
    status: ActivityStatus
    started: datetime
    ended: datetime | None = None
    message: str = ""
    details: str = ""
    before: int = 0
    desired: int = 0
    not_scaled: tuple[NotScaledReason, ...] = ()


@dataclass(frozen=True)
class Cooldown:
    """Cooldown after a change by an alarm. ``base`` is the count before the change. ``until`` is None until the
    change is complete; ``seconds`` count from then."""

    seconds: float
    base: int
    until: datetime | None = None


@dataclass(frozen=True)
class CapacityNeed:
    """Instances needed at one time, as a fraction; rounded up only when compared with a count."""

    at: datetime
    instances: float


@dataclass(frozen=True)
class FastMemory:
    """State of one fast policy. ``level`` is the smoothed need. ``highs`` are the needs in its window that no later
    one exceeds, oldest first. No sample is missing between ``since`` and ``at``."""

    since: datetime
    at: datetime
    level: float
    highs: tuple[CapacityNeed, ...] = ()
    grown_at: datetime | None = None


@dataclass(frozen=True)
class ScalerState:
    """State of one target between decisions. The caller stores it before it acts."""

    running: Activity | None = None
    """The change that is not complete yet."""
    out: Cooldown | None = None
    into: Cooldown | None = None
    """Cooldowns after scaling out and in."""
    fired: dict[str, datetime] = field(default_factory=dict)
    """Alarm name -> when it last acted."""
    scheduled: dict[str, datetime] = field(default_factory=dict)
    """Scheduled action -> time up to which its schedule was processed."""
    fast: dict[str, FastMemory] = field(default_factory=dict)
    """By policy name."""
    retry_at: datetime | None = None
    """No scale-out before this time, since the last one failed."""
    not_scaled: Activity | None = None
    """The last refusal, so that the same reason is recorded once."""


@dataclass(frozen=True)
class PolicyAlarm:
    """An alarm that triggers a policy. ``value`` is its metric's newest point, None if there is none."""

    name: str
    state: AlarmState
    since: datetime
    threshold: float
    value: float | None = None
    period: int = 60


@dataclass(frozen=True)
class VariantLoad:
    """Load of the last second. ``in_flight``: requests in progress or waiting, over all instances. ``queue_time``:
    seconds that requests waited (a high percentile); None if none was served. ``arrivals`` (requests) and
    ``service_time`` (mean seconds in the model) distinguish load from a queue that has grown; None: unknown."""

    in_flight: float
    queue_time: float | None = None
    arrivals: float | None = None
    service_time: float | None = None


@dataclass(frozen=True)
class RateSample:
    """Mean requests per second in the span that begins at ``at``; all spans have the same length."""

    at: datetime
    value: float


@dataclass(frozen=True)
class ScalingObservation:
    """Everything observed of one target. Unknown is None, and nothing is scaled on it."""

    desired: int
    """The desired count now."""
    ready: int | None
    busy: str | None = None
    """Why the count cannot be changed now, such as a rollout that shifts traffic."""
    failure: str | None = None
    """Why the desired count could not be reached."""
    alarms: dict[str, tuple[PolicyAlarm, ...]] = field(default_factory=dict)
    """Policy name -> alarms that name it in their actions. For target tracking: high, low."""
    load: VariantLoad | None = None
    history: tuple[RateSample, ...] = ()
    """Load for forecasts, oldest first; spans without data are absent."""
    start_up: float | None = None
    """Start-up time of a replica in seconds, a high percentile of those measured; None: never measured."""
