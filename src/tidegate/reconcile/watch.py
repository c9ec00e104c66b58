"""The second hand: each second takes what the fleets did, keeps it, judges the alarms and wakes the engine."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from tidegate.model.errors import TidegateError
from tidegate.model.metric import Collected, Sample
from tidegate.ports.clock import Clock
from tidegate.ports.metrics import Metrics
from tidegate.ports.store import Store
from tidegate.reconcile.alarms import evaluate_due
from tidegate.service import clients, prometheus, publish
from tidegate.service.alarms import watchers

log = logging.getLogger(__name__)

MOST_UNWRITTEN = 100_000
"""Samples that are kept while they cannot be written, some 10 minutes of ten fleets; beyond, the oldest are lost."""


@dataclass
class Watch:
    """``collect`` gives what is new by an epoch second; ``kick`` wakes an endpoint whose alarm changed."""

    store: Store
    metrics: Metrics
    clock: Clock
    collect: Callable[[int], Awaitable[Collected]]
    kick: Callable[[str], None]
    followed: Callable[[], publish.Followed] = frozenset
    """What autoscaling follows."""
    totals: Mapping[prometheus.FleetKey, prometheus.FleetTotals] = field(default_factory=dict)
    _clients: clients.Known = field(default_factory=dict)
    _judged: dict[str, datetime] = field(default_factory=dict)
    _unwritten: list[Sample] = field(default_factory=list)
    """Taken from the fleets while the metrics could not be written."""

    async def turn(self) -> None:
        """One second's work. What fails is logged and made up for by the next turn."""
        try:
            now = self.clock.now()
            collected = await self.collect(int(now.timestamp()))
            self._clients, seconds = clients.bounded(self._clients, collected.seconds)
            self.totals = prometheus.add(self.totals, seconds)
            self._unwritten = [*self._unwritten, *publish.samples(seconds, self.followed())][-MOST_UNWRITTEN:]
            if self._unwritten:
                await self.metrics.put(self._unwritten)
                self._unwritten = []
            if changed := await evaluate_due(self.store, self.metrics, now, self._judged):
                for endpoint in await self.store.run(lambda tx: watchers(tx, changed)):
                    self.kick(endpoint)
        except TidegateError as error:
            log.warning("the second's work was left undone: %s", error)
        except Exception:
            log.exception("the second's work failed")
