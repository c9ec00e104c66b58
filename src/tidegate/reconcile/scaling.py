"""Each second: what every scalable target needs. Look, decide, save with the change itself, then wake the engine.

The decision's memory and the endpoint's new count land in one transaction, so a controller that is killed neither
repeats a change nor forgets one. What is not seen is not known: nothing is scaled on it.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial

from tidegate.evidence.alarms import windows
from tidegate.evidence.datapoint import datapoint
from tidegate.model.alarm import Alarm, AlarmState
from tidegate.model.endpoint import Endpoint
from tidegate.model.errors import Conflict, TidegateError
from tidegate.model.fleet import FleetId
from tidegate.model.metric import SAGEMAKER, MetricId
from tidegate.model.observe import Event, Observation
from tidegate.model.scaling import (
    ActivityStatus,
    AlarmSeen,
    Fast,
    Forecast,
    Load,
    Rate,
    ScalableTarget,
    ScalerState,
    ScaleSeen,
)
from tidegate.ports.clock import Clock, Ids
from tidegate.ports.metrics import Metrics
from tidegate.ports.router import Demand
from tidegate.ports.store import Saved, Stale, Store, Tx
from tidegate.scaling.decide import Decision, decide
from tidegate.service import activities, scalables, scaling_sight
from tidegate.service.alarms import series_of
from tidegate.service.endpoints import autoscale
from tidegate.service.kinds import ALARM, ENDPOINT
from tidegate.service.scaling_records import Scalable, policies_of, record_name

log = logging.getLogger(__name__)

WAIT = "p95"
"""Of the time that requests waited before a worker had them."""
LATELY = 3
"""Seconds that are looked at for it."""
PRUNE_EVERY = timedelta(hours=1)
SPAN = 300
"""Seconds of one rate of the history that forecasts learn from."""
SEASONS = 3
"""How much of it they are given."""
PATIENCE = timedelta(seconds=60)
"""Until a change that was refused is tried again."""


@dataclass(frozen=True)
class Standing:
    """One target as one transaction found it."""

    saved: Saved[Scalable]
    endpoint: Endpoint | None
    alarms: dict[str, list[Alarm]]


@dataclass
class Memory:
    """Of one target: what need not be durable."""

    version: int
    state: ScalerState
    start_up: float | None = None
    history: tuple[Rate, ...] = ()
    learned: int = 0
    """The end of that history."""
    refused_until: datetime | None = None


@dataclass
class Scaling:
    """``demand`` asks the router for the requests of a fleet, in hand and waiting."""

    store: Store
    metrics: Metrics
    clock: Clock
    ids: Ids
    observed: Callable[[str], Observation | None]
    demand: Callable[[FleetId], Awaitable[Demand]]
    kick: Callable[[str], None]
    _known: dict[str, Memory] = field(default_factory=dict)
    _followed: frozenset[tuple[str, str]] = frozenset()
    _looks: dict[FleetId, list[int]] = field(default_factory=dict)
    """Requests of fleets that fast policies follow, since the last turn."""
    _pruned: datetime | None = None

    def followed(self) -> frozenset[tuple[str, str]]:
        """Endpoints and variants with a scalable target."""
        return self._followed

    async def look(self) -> None:
        """Between turns: the load of what fast policies follow. One look a second would show chance alone."""
        for fleet, looks in list(self._looks.items()):
            try:
                looks.append((await self.demand(fleet)).now)
            except TidegateError as error:
                log.debug("the load of %s is not known now: %s", fleet, error)

    async def turn(self) -> None:
        """One second's work. What fails is logged and made up for by the next turn."""
        try:
            now = self.clock.now()
            found = await self.store.run(read)
            targets = [one.saved.body.target for one in found]
            self._followed = frozenset((target.endpoint, target.variant) for target in targets)
            names = {one.saved.name for one in found}
            self._known = {name: memory for name, memory in self._known.items() if name in names}
            followed: dict[FleetId, list[int]] = {}
            for standing in found:
                await self._safely(standing, followed, now)
            self._looks = followed
            await self._prune(now)
        except TidegateError as error:
            log.warning("scaling was left undone: %s", error)
        except Exception:
            log.exception("scaling failed")

    async def _safely(self, standing: Standing, followed: dict[FleetId, list[int]], now: datetime) -> None:
        """One target must not keep the others from being followed."""
        try:
            await self._one(standing, followed, now)
        except (Conflict, Stale):
            pass  # somebody else changes it; the next turn sees how
        except TidegateError as error:
            log.warning("%s was not scaled: %s", standing.saved.name, error)
            memory = self._known.get(standing.saved.name)
            if memory is not None:
                memory.refused_until = now + PATIENCE

    async def _one(self, standing: Standing, followed: dict[FleetId, list[int]], now: datetime) -> None:
        scalable, endpoint = standing.saved.body, standing.endpoint
        memory = await self._memory(standing.saved, now)
        if endpoint is None or (memory.refused_until is not None and now < memory.refused_until):
            return
        memory.refused_until = None
        observed = self.observed(endpoint.name)
        counted = scaling_sight.counted(endpoint, scalable.target, observed)
        if counted.desired is None:
            return
        seen = ScaleSeen(
            counted.desired,
            counted.ready,
            counted.busy,
            counted.failure if memory.state.running is not None else None,
            await self._alarms(standing.alarms, now),
            await self._load(scalable, endpoint, followed, now),
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
        self, standing: Standing, memory: Memory, seen: ScaleSeen, decision: Decision, now: datetime
    ) -> None:
        """Nothing is written where only what need not be durable changed."""
        saved, before = standing.saved, standing.saved.body
        after = replace(before, target=decision.target, state=decision.state)
        moved = decision.desired != seen.desired
        if moved or decision.activities or after != before:
            try:
                work = partial(save, saved=saved, after=after, decision=decision, moved=moved, now=now)
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

    async def _memory(self, saved: Saved[Scalable], now: datetime) -> Memory:
        """What another wrote is taken over."""
        memory = self._known.get(saved.name)
        if memory is None:
            memory = Memory(saved.version, saved.body.state, await self._start_up(saved.body.target))
            self._known[saved.name] = memory
        elif memory.version != saved.version:
            memory.version = saved.version
            memory.state = saved.body.state
        return memory

    async def _start_up(self, target: ScalableTarget) -> float | None:
        prefix = f"{record_name(target.endpoint, target.variant, target.dimension)}/"
        done = await self.store.run(lambda tx: activities.find(tx, prefix))
        return scaling_sight.start_up(record.activity for record in done[:100])

    async def _alarms(self, found: dict[str, list[Alarm]], now: datetime) -> dict[str, tuple[AlarmSeen, ...]]:
        return {name: tuple([await self._alarm(alarm, now) for alarm in alarms]) for name, alarms in found.items()}

    async def _alarm(self, alarm: Alarm, now: datetime) -> AlarmSeen:
        """Its metric is read where its state calls for something."""
        value = None
        if alarm.state is AlarmState.ALARM:
            spans = windows(alarm, now)
            read = await self.metrics.read(series_of(alarm), spans.start, spans.stop, spans.step)
            points = (datapoint(at, read.get(at), alarm.statistic, alarm.unit) for at in reversed(spans))
            value = next((point.value for point in points if point is not None), None)
        since = alarm.state_changed_at or alarm.configured_at
        return AlarmSeen(alarm.name, alarm.state, since, alarm.threshold, value, alarm.period)

    async def _load(
        self, scalable: Scalable, endpoint: Endpoint, followed: dict[FleetId, list[int]], now: datetime
    ) -> Load | None:
        """None where a fast policy does not ask, or not every fleet could be looked at."""
        fast = [policy for policy in policies_of(scalable) if isinstance(policy, Fast)]
        if not fast:
            return None
        ids = scaling_sight.fleet_ids(endpoint, scalable.target.variant)
        for id in ids:
            followed[id] = []
        looks = [self._looks.get(id, []) for id in ids]
        if not all(looks):
            return None
        waited = None
        if any(policy.queue_time is not None for policy in fast):
            waited = await self._waited(scalable.target, now)
        return Load(sum(sum(one) / len(one) for one in looks), waited)

    async def _waited(self, target: ScalableTarget, now: datetime) -> float | None:
        named = {"EndpointName": target.endpoint, "VariantName": target.variant}
        end = int(now.timestamp())
        metric = MetricId.of(SAGEMAKER, "OverheadLatency", named)
        found = await self.metrics.read(metric, end - LATELY, end, LATELY)
        point = datapoint(end - LATELY, found.get(end - LATELY), WAIT)
        return point.value / 1e6 if point is not None else None

    async def _history(self, scalable: Scalable, memory: Memory, now: datetime) -> tuple[Rate, ...]:
        """Read again once a span is over."""
        seasons = [policy.season for policy in policies_of(scalable) if isinstance(policy, Forecast)]
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
                Rate(datetime.fromtimestamp(at, UTC), sample.total / SPAN) for at, sample in sorted(found.items())
            )
            memory.learned = end
        return memory.history

    async def _prune(self, now: datetime) -> None:
        if self._pruned is None or now - self._pruned >= PRUNE_EVERY:
            await self.store.run(lambda tx: activities.prune(tx, now))
            self._pruned = now


def read(tx: Tx) -> list[Standing]:
    """One read where nothing is scaled."""
    found = scalables.every(tx)
    if not found:
        return []
    alarms = [saved.body for saved in tx.find(ALARM).items]
    endpoints = {saved.body.target.endpoint: None for saved in found}
    records = {name: tx.get(ENDPOINT, name) for name in endpoints}
    standings = []
    for saved in found:
        record = records[saved.body.target.endpoint]
        endpoint = record.body if record is not None else None
        standings.append(Standing(saved, endpoint, scaling_sight.listeners(saved.body, alarms)))
    return standings


def save(tx: Tx, saved: Saved[Scalable], after: Scalable, decision: Decision, moved: bool, now: datetime) -> int:
    """The memory of the decision, its activities and the change itself, or none of them; the record's version."""
    target = after.target
    version = saved.version
    if after != saved.body or moved:
        events = [Event("scaling.Decided", decision.reason)] if moved else []
        scalables.save(tx, saved, after, events, now)
        version += 1
    activities.put(tx, target, decision.activities, now)
    if moved:
        count = scaling_sight.change(target.dimension, decision.desired)
        autoscale(tx, target.endpoint, {target.variant: count}, decision.reason, now)
    return version


def refused(tx: Tx, target: ScalableTarget, decision: Decision, why: TidegateError, now: datetime) -> None:
    """The change that was decided cannot be."""
    if (begun := decision.state.running) is not None:
        failed = replace(begun, status=ActivityStatus.FAILED, ended=now, message=why.message)
        activities.put(tx, target, [failed], now)
