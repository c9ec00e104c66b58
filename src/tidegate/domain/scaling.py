"""Words of autoscaling: what is scaled, the rules that scale it, what is seen of it, and what is on record.

Counts are instances, or provisioned concurrency where that is the dimension. Times of records are aware datetimes;
spans are seconds.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from tidegate.domain.alarm import AlarmState
from tidegate.domain.metric import MetricId, Query


class Dimension(StrEnum):
    """What of a variant is scaled (Application Auto Scaling's ScalableDimension)."""

    INSTANCES = "sagemaker:variant:DesiredInstanceCount"
    PROVISIONED = "sagemaker:variant:DesiredProvisionedConcurrency"

    @property
    def words(self) -> str:
        """As activities say it."""
        return "instance count" if self is Dimension.INSTANCES else "provisioned concurrency"


@dataclass(frozen=True)
class SuspendedScaling:
    """What is held back for now."""

    scale_in: bool = False
    scale_out: bool = False
    scheduled: bool = False


@dataclass(frozen=True)
class ScalableTarget:
    """One variant whose count may move between ``minimum`` and ``maximum``, both included."""

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


class Predefined(StrEnum):
    """Metrics that a policy may name without saying where they are kept."""

    INVOCATIONS = "SageMakerVariantInvocationsPerInstance"
    """Invocations of one instance in one minute."""
    CONCURRENT = "SageMakerVariantConcurrentRequestsPerModelHighResolution"
    """Requests at one time in one instance, every 10 seconds."""
    UTILIZATION = "SageMakerVariantProvisionedConcurrencyUtilization"
    """Used part of the provisioned concurrency, 0 to 1."""


@dataclass(frozen=True)
class CustomMetric:
    """Any metric; it must fall as the count rises, as a load per instance does."""

    metric: MetricId
    statistic: str
    unit: str | None = None


@dataclass(frozen=True)
class TargetTracking:
    """Keeps a metric near ``target`` by Application Auto Scaling's rule, with two alarms of its own."""

    name: str
    target: float
    metric: Predefined | CustomMetric | tuple[Query, ...]
    """The last: metric math, of which one line is the metric."""
    scale_out_cooldown: int = 300
    scale_in_cooldown: int = 300
    disable_scale_in: bool = False
    alarm_ids: tuple[str, str] = ("high", "low")
    """Ends of the names of its alarms (uuids): high, low."""


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
    """Holds where the metric lies between the bounds, which count from the alarm's threshold; None: no bound."""

    adjustment: int
    lower: float | None = None
    upper: float | None = None


@dataclass(frozen=True)
class StepScaling:
    """Changes the count by the step that the breach of an alarm falls into. The alarm is the user's own: it names
    the policy in its actions."""

    name: str
    adjustment: Adjustment
    steps: tuple[ScalingStep, ...]
    min_magnitude: int | None = None
    """PERCENT only: the least change."""
    cooldown: int = 300
    aggregation: Aggregation = Aggregation.AVERAGE


@dataclass(frozen=True)
class FastPolicy:
    """Reacts within seconds to the requests in flight and the time that they wait; not one of AWS's."""

    name: str
    in_flight: float
    """Requests at one time that one instance should have."""
    queue_time: float | None = None
    """Seconds that a request may wait for its turn; None: not looked at."""
    growth: float = 4.0
    """One scale-out takes the count to at most this multiple (and at least one more)."""
    scale_out_cooldown: float = 1.0
    scale_in_window: float = 60.0
    """The count never goes below what any moment of this long past needed."""
    band: float = 0.2
    """Scaling in leaves this part on top of what was needed: no flapping around a whole number."""
    smoothing: float = 2.0
    """Seconds in which two thirds of a change of the load are believed; a rise that chance does not explain is
    believed at once."""
    drain: float = 2.0
    """Seconds in which a queue should be worked off."""
    disable_scale_in: bool = False


@dataclass(frozen=True)
class CalendarPeak:
    """A recurring time of much load. ``starts`` is a schedule like a scheduled action's."""

    name: str
    starts: str
    lasts: float
    """Seconds."""
    count: int
    timezone: str = "UTC"
    holidays: str = ""
    """Country (``CH``, ``CH-ZH``) whose public holidays are no working days; else Monday to Friday are worked."""


@dataclass(frozen=True)
class CalendarPolicy:
    """Has the count of each peak ready when it starts, by starting ahead; between peaks the minimum is enough."""

    name: str
    peaks: tuple[CalendarPeak, ...]
    margin: float = 30.0
    """Seconds on top of the start-up time that was measured."""


@dataclass(frozen=True)
class ForecastPolicy:
    """Learns the shape of the load from history and has the count ready that the near future needs."""

    name: str
    per_instance: float
    """Requests per second that one instance should get."""
    season: float = 7 * 86_400.0
    """Seconds after which the load repeats itself."""
    headroom: float = 1.1
    """What is expected counts this many times."""
    margin: float = 30.0


ScalingPolicy = TargetTracking | StepScaling | FastPolicy | CalendarPolicy | ForecastPolicy


@dataclass(frozen=True)
class KeptPolicy:
    """A policy as a record's body: exactly one is set."""

    tracking: TargetTracking | None = None
    step: StepScaling | None = None
    fast: FastPolicy | None = None
    calendar: CalendarPolicy | None = None
    forecast: ForecastPolicy | None = None

    @property
    def policy(self) -> ScalingPolicy:
        policy = self.tracking or self.step or self.fast or self.calendar or self.forecast
        assert policy is not None
        return policy


@dataclass(frozen=True)
class ScheduledAction:
    """Gives a target other bounds at certain times. ``schedule`` is ``at(...)``, ``rate(...)`` or ``cron(...)``."""

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


class NotScaled(StrEnum):
    """Codes for why nothing was changed."""

    FLAPPING = "AutoScalingAnticipatedFlapping"
    UNSCALABLE = "TargetServicePutResourceAsUnscalable"
    AT_MAXIMUM = "AlreadyAtMaxCapacity"
    AT_MINIMUM = "AlreadyAtMinCapacity"
    AT_DESIRED = "AlreadyAtDesiredCapacity"


@dataclass(frozen=True)
class NotScaledReason:
    code: NotScaled
    current: int
    maximum: int | None = None
    minimum: int | None = None


@dataclass(frozen=True)
class Activity:
    """One change of a count, or (with ``not_scaled``) one that was asked for and not made."""

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
    """After a change by an alarm. ``base`` is the count before it. ``until`` is None while the change is not all
    there; the cooldown's ``seconds`` count from then on."""

    seconds: float
    base: int
    until: datetime | None = None


@dataclass(frozen=True)
class CapacityNeed:
    """Instances needed at one moment, as a fraction; rounded up only where it is compared with a count."""

    at: datetime
    instances: float


@dataclass(frozen=True)
class FastMemory:
    """What one fast policy remembers. ``level`` is the smoothed need. ``highs`` are the needs of its window that no
    later one exceeds, oldest first. Nothing was missed between ``since`` and ``at``."""

    since: datetime
    at: datetime
    level: float
    highs: tuple[CapacityNeed, ...] = ()
    grown_at: datetime | None = None


@dataclass(frozen=True)
class ScalerState:
    """What one target's decisions remember from each other; kept durably by the caller, saved before acting."""

    running: Activity | None = None
    """The change that is not all there yet."""
    out: Cooldown | None = None
    into: Cooldown | None = None
    """Cooldowns after scaling out and in."""
    fired: dict[str, datetime] = field(default_factory=dict)
    """Alarm name -> when its action was last taken."""
    scheduled: dict[str, datetime] = field(default_factory=dict)
    """Scheduled action -> until when its times were looked at."""
    fast: dict[str, FastMemory] = field(default_factory=dict)
    """By policy name."""
    retry_at: datetime | None = None
    """Before then nothing is scaled out: the last scale-out could not be had."""
    not_scaled: Activity | None = None
    """The last one, so that the same reason is told once."""


@dataclass(frozen=True)
class PolicyAlarm:
    """An alarm that a policy hears. ``value`` is its metric's newest point, None where there is none."""

    name: str
    state: AlarmState
    since: datetime
    threshold: float
    value: float | None = None
    period: int = 60


@dataclass(frozen=True)
class VariantLoad:
    """The last second. ``in_flight`` is what all instances have in hand and what waits for them; ``queue_time``
    seconds a request waited (a high percentile), None where none was served. ``arrivals`` (requests) and
    ``service_time`` (mean seconds in the hands of the model) tell the load apart from a queue that has grown; None:
    not known."""

    in_flight: float
    queue_time: float | None = None
    arrivals: float | None = None
    service_time: float | None = None


@dataclass(frozen=True)
class RateSample:
    """Requests per second, the mean of the span that begins at ``at``; spans are equally long."""

    at: datetime
    value: float


@dataclass(frozen=True)
class ScalingObservation:
    """One look at a target. Unknown is None, and nothing is scaled on it."""

    desired: int
    """The count that is wanted now."""
    ready: int | None
    busy: str | None = None
    """Why the count cannot be changed now (a rollout at a place where it must not)."""
    failure: str | None = None
    """Why the wanted count could not be had."""
    alarms: dict[str, tuple[PolicyAlarm, ...]] = field(default_factory=dict)
    """Policy name -> the alarms that name it in their actions. Target tracking: its high one, its low one."""
    load: VariantLoad | None = None
    history: tuple[RateSample, ...] = ()
    """For forecasts, oldest first; spans without data are absent."""
    start_up: float | None = None
    """Seconds that a replica of this model took from asked to ready, a high percentile of what was measured; None:
    it never started yet."""
