"""Autoscaling on a virtual clock: second by second, arrivals queue for instances that take time to start.

A fluid model: in each second the ready instances serve at most ``slots / service_time`` requests each, first come
first served; the rest waits. The rules see what they see in production: alarms evaluated by ``monitoring`` over
metrics of minutes, requests in flight, and the wait of the newest request. No real time passes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from tidegate.domain.alarm import Alarm
from tidegate.domain.scaling import (
    Activity,
    PolicyAlarm,
    PredefinedMetricType,
    RateSample,
    ScalableTarget,
    ScalerState,
    ScalingObservation,
    ScalingPolicy,
    ScheduledAction,
    TargetTracking,
    VariantLoad,
)
from tidegate.features.autoscaling import tracking
from tidegate.features.autoscaling.decide import decide
from tidegate.monitoring.alarm_evaluation import evaluate, windows
from tidegate.monitoring.samples import Datapoint

START = datetime(2030, 1, 7, tzinfo=UTC)
"""A Monday."""


@dataclass(frozen=True)
class InstanceModel:
    """One instance serves ``slots`` requests at a time, each for ``service_time`` seconds; it is ready ``start_up``
    seconds after it was requested."""

    slots: int = 4
    service_time: float = 0.1
    start_up: float = 5.0

    @property
    def rate(self) -> float:
        """Requests per second that one instance can serve."""
        return self.slots / self.service_time


@dataclass(frozen=True)
class SimulatedSecond:
    """One second. ``wait`` is the wait of its last request; infinite without an instance."""

    at: datetime
    arrivals: float
    desired: int
    ready: int
    queue: float
    wait: float


@dataclass(frozen=True)
class ScalingRun:
    """Result of a simulation. ``objective`` is the allowed wait in seconds."""

    moments: tuple[SimulatedSecond, ...]
    activities: tuple[Activity, ...]
    objective: float

    @property
    def breaches(self) -> int:
        """Number of seconds whose requests waited too long."""
        return sum(moment.wait > self.objective for moment in self.moments)

    @property
    def back_after(self) -> int:
        """Seconds from the first breach until the last one was over."""
        late = [n for n, moment in enumerate(self.moments) if moment.wait > self.objective]
        return late[-1] - late[0] + 1 if late else 0

    @property
    def longest_wait(self) -> float:
        return max(moment.wait for moment in self.moments)

    @property
    def instance_hours(self) -> float:
        return sum(moment.desired for moment in self.moments) / 3600

    @property
    def changes(self) -> int:
        """Number of changes of the wanted count."""
        return sum(
            one.desired != other.desired for one, other in zip(self.moments, self.moments[1:], strict=False)
        )


@dataclass
class ScalingSimulation:
    """``trace`` contains the arrivals of each second. ``count`` instances are ready at the start."""

    target: ScalableTarget
    policies: Sequence[ScalingPolicy]
    trace: Sequence[float]
    schedules: Sequence[ScheduledAction] = ()
    instances: InstanceModel = field(default_factory=InstanceModel)
    count: int = 1
    objective: float = 0.1
    history: tuple[RateSample, ...] = ()
    start: datetime = START
    losses: Mapping[int, int] = field(default_factory=dict)
    """Second, from 0 -> ready instances that vanish at its beginning; new ones start in their place."""
    counted: bool = True
    """Whether the rules know arrivals and service time; otherwise only requests in flight."""

    def __post_init__(self) -> None:
        self._desired = self.count
        self._ready_at = [self.start] * self.count
        self._queue = 0.0
        self._state = ScalerState()
        self._invocations: dict[int, float] = {}
        self._busiest: dict[int, float] = {}
        self._activities: dict[str, Activity] = {}
        self._alarms: dict[str, tuple[Alarm, ...]] = {
            policy.name: tracking.build_alarms(self.target, policy, policy.name, self.start)
            for policy in self.policies
            if isinstance(policy, TargetTracking)
        }

    def run(self) -> ScalingRun:
        moments = tuple(self._second(n, arrivals) for n, arrivals in enumerate(self.trace))
        return ScalingRun(moments, tuple(self._activities.values()), self.objective)

    def _second(self, number: int, arrivals: float) -> SimulatedSecond:
        now = self.start + timedelta(seconds=number + 1)
        if lost := min(self.losses.get(number, 0), sum(at < now for at in self._ready_at)):
            late = [now + timedelta(seconds=self.instances.start_up)] * lost
            self._ready_at = sorted(self._ready_at[lost:] + late)
        ready = sum(at < now for at in self._ready_at)
        able = ready * self.instances.rate
        served = min(self._queue + arrivals, able)
        self._queue += arrivals - served
        wait = self._queue / able if able else (float("inf") if self._queue else 0.0)
        in_flight = served * self.instances.service_time + self._queue
        self._measure(int(now.timestamp()) - 1, arrivals, ready, in_flight)
        self._judge(now)
        load = VariantLoad(in_flight, wait)
        if self.counted:
            load = VariantLoad(in_flight, wait, arrivals, self.instances.service_time)
        seen = ScalingObservation(
            self._desired,
            ready,
            alarms={
                name: tuple(self._observe(alarm, now) for alarm in pair) for name, pair in self._alarms.items()
            },
            load=load,
            history=self.history,
            start_up=self.instances.start_up,
        )
        moment = SimulatedSecond(now, arrivals, self._desired, ready, self._queue, wait)
        self._decide(seen, now, f"activity-{number}")
        return moment

    def _decide(self, seen: ScalingObservation, now: datetime, id: str) -> None:
        decision = decide(self.target, self.policies, self.schedules, self._state, seen, now, activity_id=id)
        self.target, self._state, self._desired = decision.target, decision.state, decision.desired
        self._activities.update({activity.id: activity for activity in decision.activities})
        more = decision.desired - len(self._ready_at)
        self._ready_at += [now + timedelta(seconds=self.instances.start_up)] * more
        self._ready_at = sorted(self._ready_at)[: decision.desired]

    def _measure(self, second: int, arrivals: float, ready: int, in_flight: float) -> None:
        """Requests per instance and minute, and maximum concurrency per ten seconds."""
        minute, ten = second - second % 60, second - second % 10
        each = max(1, ready)
        self._invocations[minute] = self._invocations.get(minute, 0.0) + arrivals / each
        self._busiest[ten] = max(self._busiest.get(ten, 0.0), in_flight / each)

    def _judge(self, now: datetime) -> None:
        for name, pair in self._alarms.items():
            if int(now.timestamp()) % pair[0].period == 0:
                self._alarms[name] = tuple(evaluate(alarm, self._points(alarm, now), now) for alarm in pair)

    def _points(self, alarm: Alarm, now: datetime) -> list[Datapoint | None]:
        concurrent = alarm.metric == tracking.PREDEFINED[PredefinedMetricType.CONCURRENT].name
        known = self._busiest if concurrent else self._invocations
        return [Datapoint(at, known[at]) if at in known else None for at in windows(alarm, now)]

    def _observe(self, alarm: Alarm, now: datetime) -> PolicyAlarm:
        newest = self._points(alarm, now)[-1]
        since = alarm.state_changed_at or alarm.configured_at
        value = newest.value if newest else None
        return PolicyAlarm(alarm.name, alarm.state, since, alarm.threshold, value, alarm.period)
