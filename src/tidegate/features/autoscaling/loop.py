"""Scale every scalable target once a second: decide, save the decision together with the change, then wake the
engine.

The decision's memory and the endpoint's new count land in one transaction, so a controller that is killed neither
repeats a change nor forgets one. A target whose instances were not observed is not scaled.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial

from tidegate.compose.background import Services, Worker
from tidegate.domain.alarm import Alarm, AlarmState
from tidegate.domain.asynchronous import Backlog
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.errors import Conflict, TidegateError
from tidegate.domain.metric import SAGEMAKER, MetricId, Sample
from tidegate.domain.observation import Event, Observation
from tidegate.domain.scaling import (
    ActivityStatus,
    FastPolicy,
    ForecastPolicy,
    PolicyAlarm,
    RateSample,
    ScalableTarget,
    ScalerState,
    ScalingObservation,
    VariantLoad,
)
from tidegate.domain.targets import TargetTable
from tidegate.features.autoscaling import activities
from tidegate.features.autoscaling import observation as scaling_observation
from tidegate.features.autoscaling import service as scalables
from tidegate.features.autoscaling.decide import ScalingDecision, decide
from tidegate.features.autoscaling.scalable_records import Scalable, policies_of, record_name
from tidegate.monitoring.alarm_data import needed, points
from tidegate.monitoring.samples import newest_unit
from tidegate.ports.clock import Clock, Ids
from tidegate.ports.metrics import Metrics
from tidegate.ports.queue import Queue
from tidegate.ports.store import Stale, Store, StoredRecord, Tx
from tidegate.reconcile.reads import ReadCache, read_all
from tidegate.reconcile.resting import is_pausing
from tidegate.service.endpoints import autoscale
from tidegate.service.record_kinds import ALARM, ENDPOINT
from tidegate.service.records import read_if_readable
from tidegate.service.targets import find_capabilities

log = logging.getLogger(__name__)

SECOND = timedelta(seconds=1)
LATELY, PART = 60, 10
"""Seconds, and parts of them, that are looked at for how long a request takes."""
PRUNE_EVERY = timedelta(hours=1)
SPAN = 300
"""Seconds of one rate of the history that forecasts learn from."""
SEASONS = 3
"""How much of it they are given."""
PATIENCE = timedelta(seconds=60)
"""Until a change that was refused is tried again."""


@dataclass(frozen=True)
class _TargetRecords:
    """One target as read in one transaction."""

    saved: StoredRecord[Scalable]
    endpoint: Endpoint | None
    alarms: dict[str, list[Alarm]]


@dataclass
class Memory:
    """State of one target that need not be durable."""

    version: int
    state: ScalerState
    start_up: float | None = None
    history: tuple[RateSample, ...] = ()
    learned: int = 0
    """The end of that history."""
    hand: tuple[datetime, int] | None = None
    """Requests in flight and waiting at the last look."""
    refused_until: datetime | None = None


@dataclass
class Scaling(Worker):
    """Worker that scales all scalable targets. ``observed`` returns the last observation of an endpoint with the
    router's present load; ``queue`` has the requests that wait for asynchronous endpoints."""

    store: Store
    metrics: Metrics
    clock: Clock
    ids: Ids
    observed: Callable[[str], Observation | None]
    queue: Queue
    kick: Callable[[str], None]
    targets: TargetTable = field(default_factory=TargetTable)
    _known: dict[str, Memory] = field(default_factory=dict)
    _followed: frozenset[tuple[str, str]] = frozenset()
    _pruned: datetime | None = None
    _records: ReadCache[list[_TargetRecords]] = field(default_factory=lambda: ReadCache(read))

    def followed(self) -> frozenset[tuple[str, str]]:
        """Return the endpoints and variants with a scalable target."""
        return self._followed

    async def turn(self) -> None:
        """Scale all targets once. Failures are logged, and the next turn makes up for them."""
        try:
            now = self.clock.now()
            found = await self._records.get(self.store)
            targets = [one.saved.body.target for one in found]
            self._followed = frozenset((target.endpoint, target.variant) for target in targets)
            names = {one.saved.name for one in found}
            self._known = {name: memory for name, memory in self._known.items() if name in names}
            backlogs = await self.queue.backlogs() if any(map(queued, found)) else {}
            for standing in found:
                await self._scale_safely(standing, backlogs, now)
            await self._prune(now)
        except TidegateError as error:
            log.warning("scaling was left undone: %s", error)
        except Exception:
            log.exception("scaling failed")

    async def _scale_safely(self, standing: _TargetRecords, backlogs: dict[str, Backlog], now: datetime) -> None:
        """Scale one target without letting its failure stop the others."""
        try:
            await self._scale_one(standing, backlogs, now)
        except (Conflict, Stale):
            pass  # somebody else changes it; the next turn sees how
        except TidegateError as error:
            log.warning("%s was not scaled: %s", standing.saved.name, error)
            memory = self._known.get(standing.saved.name)
            if memory is not None:
                memory.refused_until = now + PATIENCE
        except Exception:
            log.exception("%s was not scaled", standing.saved.name)

    async def _scale_one(self, standing: _TargetRecords, backlogs: dict[str, Backlog], now: datetime) -> None:
        scalable, endpoint = standing.saved.body, standing.endpoint
        memory = await self._memory(standing.saved, now)
        if endpoint is None or is_pausing(memory.refused_until, now, PATIENCE):
            return
        if endpoint.rollout is not None and not self.targets.of(endpoint.target).scales_in_rollouts:
            return
        memory.refused_until = None
        observed = self.observed(endpoint.name)
        counted = scaling_observation.read_counts(endpoint, scalable.target, observed)
        if counted.desired is None:
            return
        seen = ScalingObservation(
            counted.desired,
            counted.ready,
            counted.busy,
            counted.failure if memory.state.running is not None else None,
            await self._alarms(standing.alarms, now),
            await self._load(scalable, endpoint, observed, memory, backlogs, now),
            await self._history(scalable, memory, now),
            memory.start_up,
        )
        decision = decide(
            scalable.target,
            list(policies_of(scalable)),
            [record.action for record in scalable.actions],
            memory.state,
            seen,
            now,
            activity_id=self.ids.new("activity"),
        )
        await self._take(standing, memory, seen, decision, now)

    async def _take(
        self,
        standing: _TargetRecords,
        memory: Memory,
        seen: ScalingObservation,
        decision: ScalingDecision,
        now: datetime,
    ) -> None:
        """Save a decision together with the change of the count. Writes nothing if only transient state changed."""
        saved, before = standing.saved, standing.saved.body
        after = replace(before, target=decision.target, state=_durable_state(decision.state))
        moved = decision.desired != seen.desired
        if moved or decision.activities or after != before:
            try:
                decided = partial(save, saved=saved, after=after, decision=decision)
                work = partial(decided, moved=moved, targets=self.targets, now=now)
                memory.version = await self.store.run(work)
            except (Conflict, Stale):
                raise
            except TidegateError as error:
                await self.store.run(partial(refused, target=before.target, decision=decision, why=error, now=now))
                raise
        memory.state = decision.state
        for activity in decision.activities:
            log.info("%s: %s: %s %s", saved.name, activity.status, activity.description, activity.cause)
        if any(activity.ended is not None for activity in decision.activities):
            memory.start_up = await self._start_up(before.target)
        if moved:
            self.kick(before.target.endpoint)

    async def _memory(self, saved: StoredRecord[Scalable], now: datetime) -> Memory:
        """Return the memory of a target. If another process has saved the target, its state replaces ours, except for
        the state of fast policies, which only this process has."""
        memory = self._known.get(saved.name)
        if memory is None:
            memory = Memory(saved.version, saved.body.state, await self._start_up(saved.body.target))
            self._known[saved.name] = memory
        elif memory.version != saved.version:
            memory.version = saved.version
            memory.state = replace(saved.body.state, fast=memory.state.fast)
        return memory

    async def _start_up(self, target: ScalableTarget) -> float | None:
        prefix = f"{record_name(target.endpoint, target.variant, target.dimension)}/"
        done = await self.store.run(lambda tx: activities.find(tx, prefix))
        return scaling_observation.start_up_seconds(record.activity for record in done[:100])

    async def _alarms(self, found: dict[str, list[Alarm]], now: datetime) -> dict[str, tuple[PolicyAlarm, ...]]:
        return {name: tuple([await self._alarm(alarm, now) for alarm in alarms]) for name, alarms in found.items()}

    async def _alarm(self, alarm: Alarm, now: datetime) -> PolicyAlarm:
        """Return the state of a policy's alarm. The alarm's metric is read only if the state calls for action."""
        value = None
        if alarm.state is AlarmState.ALARM:
            read = points(alarm, await read_all(self.metrics, needed(alarm, now)), now)
            value = next((point.value for point in reversed(read) if point is not None), None)
        since = alarm.state_changed_at or alarm.configured_at
        return PolicyAlarm(alarm.name, alarm.state, since, alarm.threshold, value, alarm.period)

    async def _load(
        self,
        scalable: Scalable,
        endpoint: Endpoint,
        observed: Observation | None,
        memory: Memory,
        backlogs: dict[str, Backlog],
        now: datetime,
    ) -> VariantLoad | None:
        """Return the present load of a variant. None if no fast policy needs it, or if not every fleet could be
        observed."""
        if not any(isinstance(policy, FastPolicy) for policy in policies_of(scalable)):
            return None
        target = scalable.target
        if scaling_observation.is_queued(endpoint, target.variant):
            return VariantLoad(float(backlogs.get(endpoint.name, Backlog()).size))
        hand = scaling_observation.count_in_flight(endpoint, target.variant, observed)
        before, memory.hand = memory.hand, None if hand is None else (now, hand.requests)
        if hand is None:
            return None
        arrivals = service_time = None
        if before is not None and now - before[0] < 2 * SECOND:
            answered, service_time = await self._measure_served(target, now)
            arrivals = max(0.0, answered + hand.requests - before[1])
        return VariantLoad(float(hand.requests), hand.queue_time, arrivals, service_time)

    async def _measure_served(self, target: ScalableTarget, now: datetime) -> tuple[float, float | None]:
        """Return how many requests were answered in the last second, and the seconds that one takes where none waits:
        the least mean of the last spans. Where many are in flight they wait for each other, and the mean says
        little."""
        end = int(now.timestamp())
        named = {"EndpointName": target.endpoint, "VariantName": target.variant}

        async def read(names: list[str], start: int, period: int) -> list[dict[int, Sample]]:
            wanted = [MetricId.of(SAGEMAKER, name, named) for name in names]
            return [newest_unit(found) for found in await self.metrics.read_units(wanted, start, end, period)]

        answered = (await read(["Invocations"], end - 1, 1))[0].get(end - 1)
        latency, waited = await read(["ModelLatency", "OverheadLatency"], end - LATELY, PART)
        means = [
            max(0.0, one.total - (waited[at].total if at in waited else 0.0)) / one.count / 1e6
            for at, one in latency.items()
        ]
        return answered.total if answered is not None else 0.0, min(means, default=None)

    async def _history(self, scalable: Scalable, memory: Memory, now: datetime) -> tuple[RateSample, ...]:
        """Return the rates that forecasts are learned from. They are read again once a span has ended."""
        seasons = [policy.season for policy in policies_of(scalable) if isinstance(policy, ForecastPolicy)]
        if not seasons:
            return ()
        end = int(now.timestamp()) // SPAN * SPAN
        if memory.learned != end:
            target = scalable.target
            named = {"EndpointName": target.endpoint, "VariantName": target.variant}
            start = end - int(SEASONS * max(seasons)) // SPAN * SPAN
            metric = MetricId.of(SAGEMAKER, "Invocations", named)
            found = await self.metrics.read(metric, start, end, SPAN)
            memory.history = tuple(
                RateSample(datetime.fromtimestamp(at, UTC), sample.total / SPAN)
                for at, sample in sorted(found.items())
            )
            memory.learned = end
        return memory.history

    async def _prune(self, now: datetime) -> None:
        if self._pruned is None or now - self._pruned >= PRUNE_EVERY:
            await self.store.run(lambda tx: activities.prune(tx, now))
            self._pruned = now


def read(tx: Tx) -> list[_TargetRecords]:
    """Read all targets with their endpoints and alarms. Takes a single read if nothing is scaled."""
    found = scalables.list_all(tx)
    if not found:
        return []
    alarms = scaling_observation.alarms_by_action(saved.body for saved in tx.find(ALARM).items)
    endpoints = {saved.body.target.endpoint: None for saved in found}
    records = {name: read_if_readable(tx, ENDPOINT, name) for name in endpoints}
    standings = []
    for saved in found:
        record = records[saved.body.target.endpoint]
        endpoint = record.body if record is not None else None
        standings.append(_TargetRecords(saved, endpoint, scaling_observation.alarms_by_policy(saved.body, alarms)))
    return standings


def _durable_state(state: ScalerState) -> ScalerState:
    """Return the part of a target's state that is saved. State of fast policies changes every second and covers about
    a minute, so it stays in memory only. A controller that is started anew scales nothing in by them before it has
    observed a whole window."""
    return replace(state, fast={})


def queued(standing: _TargetRecords) -> bool:
    target, endpoint = standing.saved.body.target, standing.endpoint
    return endpoint is not None and scaling_observation.is_queued(endpoint, target.variant)


def save(
    tx: Tx,
    saved: StoredRecord[Scalable],
    after: Scalable,
    decision: ScalingDecision,
    moved: bool,
    targets: TargetTable,
    now: datetime,
) -> int:
    """Save the decision's memory, its activities and the change itself, or none of them. Returns the record's
    version."""
    target = after.target
    version = saved.version
    if after != saved.body or moved:
        events = [Event("scaling.Decided", decision.reason)] if moved else []
        scalables.save(tx, saved, after, events, now)
        version += 1
    activities.put(tx, target, decision.activities, now)
    if moved:
        count = scaling_observation.variant_change(target.dimension, decision.desired)
        can = find_capabilities(tx, target.endpoint, targets)
        autoscale(tx, target.endpoint, {target.variant: count}, decision.reason, can, now)
    return version


def refused(tx: Tx, target: ScalableTarget, decision: ScalingDecision, why: TidegateError, now: datetime) -> None:
    """Record that the decided change failed because it is impossible."""
    if (begun := decision.state.running) is not None:
        failed = replace(begun, status=ActivityStatus.FAILED, ended=now, message=why.message)
        activities.put(tx, target, [failed], now)


# --- the loop of autoscaling, joined ---


def make_loop(services: Services) -> Scaling:
    parts = services.store, services.metrics, services.clock, services.ids
    return Scaling(*parts, services.observe_now, services.queue, services.kick, services.targets)
