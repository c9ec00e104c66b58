"""Once per second: collect what the fleets did, keep it, judge the guards of rollouts and wake the engine. All other
alarms are judged beside that, in a loop of their own, so that however many there are they delay no guard.

Each part fails alone: what cannot be collected or written does not keep guards from being judged by what is known.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime

from tidegate.domain.alarm import Alarm, AlarmState
from tidegate.domain.errors import TidegateError
from tidegate.domain.metric import CollectionRound, FleetSecond, Sample
from tidegate.ports.clock import Clock
from tidegate.ports.metrics import Metrics
from tidegate.ports.store import Store, StoredRecord
from tidegate.reconcile.alarm_loop import evaluate_due, readable, save_guard_states
from tidegate.reconcile.guards import GuardedRollout, Guards
from tidegate.reconcile.reads import ReadCache
from tidegate.service import clients, fleet_totals, metric_samples
from tidegate.service.alarms import guarded_endpoints

log = logging.getLogger(__name__)

WRITE_PATIENCE = 0.25
"""Seconds that a round waits for its samples to be on disk; guards are judged from memory, written or not."""


@dataclass
class MetricsLoop:
    """``collect`` gives what is new by an epoch second; ``kick`` wakes an endpoint; ``guarded`` lists the rollouts
    under way."""

    store: Store
    metrics: Metrics
    clock: Clock
    collect: Callable[[int], Awaitable[CollectionRound]]
    kick: Callable[[str], None]
    guards: Guards
    guarded: Callable[[], Iterable[GuardedRollout]]
    followed: Callable[[], metric_samples.ScaledVariants] = frozenset
    """What autoscaling follows."""
    totals: fleet_totals.Totals = field(default_factory=dict)
    trouble: str | None = None
    """Why samples or alarm states cannot be written now."""
    _clients: clients.NamesByVariant = field(default_factory=dict)
    _judged: dict[str, datetime] = field(default_factory=dict)
    _counted: dict[str, int] = field(default_factory=dict)
    """By endpoint: up to which second its requests were counted."""
    _saved_states: dict[str, AlarmState] = field(default_factory=dict)
    """The state of each guard as it was saved last."""
    _alarms: ReadCache[list[StoredRecord[Alarm]]] = field(default_factory=lambda: ReadCache(readable))
    _writes: set[asyncio.Task[None]] = field(default_factory=set)

    async def turn(self) -> None:
        """One round. Failures are logged; the next round catches up."""
        now = self.clock.now()
        collected = await self._collect(now)
        if collected.seconds:
            await self._publish(collected.seconds)
        guarded = list(self.guarded())
        moving = {one.endpoint for one in guarded}
        failures = {**self.guards.failures, **collected.failures}
        self.guards.failures = {fleet: said for fleet, said in failures.items() if fleet.endpoint in moving}
        # Compared first: a step forward rests on counts that reach far enough, and on what was found in them.
        versions = [one.versions for one in guarded if one.versions is not None]
        compared = await self.guards.observers.turn(versions, collected, now)
        self._counted = {name: one.through for name, one in collected.coverage.items()} or self._counted
        await self.guards.judge(guarded, collected.coverage, now)
        await self._save_guard_states(now)
        if compared:
            await self._write(compared)
        for one in guarded:
            self.kick(one.endpoint)

    async def _save_guard_states(self, now: datetime) -> None:
        """Show the state of a guard that changed wherever alarms are shown, before the engine acts on it. Without the
        store the rollout goes on from memory, and this is made up for later."""
        judged = self.guards.judged
        self._saved_states = {name: state for name, state in self._saved_states.items() if name in judged}
        changed = [one for one in judged.values() if self._saved_states.get(one.name) is not one.state]
        if not changed:
            return
        writing = asyncio.ensure_future(self.store.run(lambda tx: save_guard_states(tx, changed, now)))
        await asyncio.wait({writing}, timeout=WRITE_PATIENCE)
        if not writing.done():
            writing.cancel()
        elif (error := writing.exception()) is None:
            self._saved_states |= {one.name: one.state for one in changed}
        elif not isinstance(error, TidegateError):  # the loop of alarms reports a store that is away
            log.error("states of alarms could not be saved", exc_info=error)

    async def judge_alarms(self) -> None:
        """Judge the alarms that are due, and save the states that changed."""
        given = self.store, self.metrics, self.clock.now()
        try:
            guards, counted = self.guards.judged, self._counted
            if changed := await evaluate_due(*given, self._judged, self._alarms.get, guards, counted):
                for endpoint in await self.store.run(lambda tx: guarded_endpoints(tx, changed)):
                    self.kick(endpoint)
        except TidegateError as error:
            self._note(str(error))
        except Exception:
            log.exception("alarms could not be judged")

    async def _collect(self, now: datetime) -> CollectionRound:
        try:
            return await self.collect(int(now.timestamp()))
        except TidegateError as error:
            log.warning("metrics could not be collected: %s", error)
        except Exception:
            log.exception("metrics could not be collected")
        return CollectionRound([], {})

    async def _publish(self, seconds: list[FleetSecond]) -> None:
        try:
            self._clients, seconds = clients.bound_names(self._clients, seconds)
            self.totals = fleet_totals.add(self.totals, seconds)
            samples = metric_samples.samples(seconds, self.followed())
        except Exception:
            log.exception("metrics could not be made of what was collected")
            return
        await self._write(samples)

    async def _write(self, samples: list[Sample]) -> None:
        """Put the samples into memory, and let them be written without waiting for a slow disk."""
        writing = asyncio.create_task(self.metrics.put(samples), name="metrics")
        self._writes.add(writing)
        writing.add_done_callback(self._on_written)
        await asyncio.wait({writing}, timeout=WRITE_PATIENCE)

    def _on_written(self, writing: asyncio.Task[None]) -> None:
        self._writes.discard(writing)
        if writing.cancelled():
            return
        error = writing.exception()
        if error is not None and not isinstance(error, TidegateError):
            log.error("metrics could not be written", exc_info=error)
        self._note(None if error is None else str(error))

    def _note(self, trouble: str | None) -> None:
        """Log trouble when it begins and when it ends, not each second."""
        if trouble is not None and self.trouble is None:
            log.warning("%s; alarms are judged from memory meanwhile", trouble)
        elif trouble is None and self.trouble is not None:
            log.info("metrics and alarms can be written again")
        self.trouble = trouble
