"""Once per second: read the backlogs, publish what may be handed out, and decide which endpoints sleep or wake."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from tidegate.compose.background import Services, Worker
from tidegate.domain.asynchronous import AsyncConfig, Backlog, EndedTogether
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.errors import Conflict, TidegateError
from tidegate.domain.metric import SAGEMAKER, MetricId, Sample
from tidegate.domain.observation import Observation
from tidegate.domain.targets import TargetTable
from tidegate.features.asynchronous.dispatcher_supervisor import DispatcherSupervisor, start_settings
from tidegate.features.autoscaling.scalable_records import SCALABLE
from tidegate.host.installation import Installation
from tidegate.monitoring import finite, sketch
from tidegate.ports.clock import Clock
from tidegate.ports.metrics import Metrics
from tidegate.ports.queue import Queue
from tidegate.ports.store import Stale, Store, Tx
from tidegate.reconcile.reads import ReadCache
from tidegate.rollout.commands import VariantChange
from tidegate.service.endpoints import update_weights_and_capacities
from tidegate.service.record_kinds import ENDPOINT
from tidegate.settings import Settings

# --- metric samples of the queue of asynchronous requests ---


UNITS = {
    "RequestDownloadLatency": "Microseconds",
    "ResponseUploadLatency": "Microseconds",
    "TimeInBacklog": "Milliseconds",
    "TotalProcessingTime": "Milliseconds",
}
"""Units of a request's measurements; those not listed are counts."""


def backlog_samples(endpoint: str, backlog: Backlog, ready: int, now: float) -> list[Sample]:
    """Samples of one endpoint for one second. Without an instance, the size per instance is the size."""
    named = {"EndpointName": endpoint}
    values = {
        "ApproximateBacklogSize": float(backlog.size),
        "ApproximateBacklogSizePerInstance": backlog.size / max(1, ready),
        "HasBacklogWithoutCapacity": float(backlog.size > 0 and ready == 0),
    }
    samples = [_sample(name, named, value, "None", now) for name, value in values.items()]
    age = max(0.0, now - backlog.oldest) if backlog.oldest is not None else 0.0
    return [*samples, _sample("ApproximateAgeOfOldestRequest", named, age, "Seconds", now)]


def request_samples(measured: Iterable[EndedTogether], endpoint_variant: dict[str, str]) -> list[Sample]:
    """Samples of finished requests, merged by series and second. ``endpoint_variant``: endpoint -> variant for
    requests that reached no instance."""
    groups: dict[tuple[str, str, int, str], list[float]] = {}
    for one in measured:
        variant = one.variant or endpoint_variant.get(one.endpoint, "AllTraffic")
        for name, values in one.values.items():
            groups.setdefault((one.endpoint, variant, one.at, name), []).extend(values)
    return [
        _merged(name, {"EndpointName": endpoint, "VariantName": variant}, values, at)
        for (endpoint, variant, at, name), values in groups.items()
        if values
    ]


def _merged(name: str, dimensions: dict[str, str], values: list[float], at: int) -> Sample:
    """One sample of many values: to make one of each and to merge them takes ten times as long."""
    bins = {bin: float(count) for bin, count in Counter(map(sketch.index, values)).items()}
    total, unit = finite.add(values), UNITS.get(name, "None")
    metric = MetricId.of(SAGEMAKER, name, dimensions)
    return Sample(metric, at, float(len(values)), total, min(values), max(values), bins, unit)


def _sample(name: str, dimensions: dict[str, str], value: float, unit: str, at: float) -> Sample:
    metric = MetricId.of(SAGEMAKER, name, dimensions)
    return Sample(metric, int(at), 1.0, value, value, value, {sketch.index(value): 1.0}, unit)


# --- how many instances a queue needs: some while there is work, none after it was empty for a while ---


def desired_count(config: AsyncConfig, present: int, backlog: Backlog, idle_since: float, now: float) -> int:
    """The desired number of instances of a variant. ``idle_since``: when the queue last had work, or the endpoint was
    made if that is later."""
    if config.idle_after is None:
        return present
    if backlog.size:
        return present or config.awake
    return 0 if now - idle_since >= config.idle_after else present


log = logging.getLogger(__name__)

MOST_MEASURED = 4_000
KEPT = 3_600.0
"""Seconds that a finished request can be looked at."""
PRUNE_EVERY = 30.0


Followed = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class _QueueRecords:
    """Records that the queues need. ``served``: every asynchronous endpoint; ``followed``: variants that autoscaling
    follows; ``unreadable``: endpoints of which only the names are known, asynchronous ones or not."""

    served: list[Endpoint]
    followed: Followed
    unreadable: frozenset[str]


def _read(tx: Tx) -> _QueueRecords:
    page = tx.find(SCALABLE)
    followed = frozenset((saved.body.target.endpoint, saved.body.target.variant) for saved in page.items)
    # What cannot be read follows its variant all the same; its name begins with both.
    followed |= {(names[0], names[1]) for one in page.unreadable if len(names := one.name.split("/")) > 1}
    endpoints = tx.find(ENDPOINT)
    served = [saved.body for saved in endpoints.items if saved.body.asynchronous is not None]
    return _QueueRecords(served, followed, frozenset(one.name for one in endpoints.unreadable))


@dataclass
class Queues:
    """``publish`` gets (endpoint -> capacity, variant) of every asynchronous endpoint, and whether anything is to be
    done by a dispatcher at all."""

    store: Store
    queue: Queue
    metrics: Metrics
    clock: Clock
    observed: Callable[[str], Observation | None]
    kick: Callable[[str], None]
    publish: Callable[[float, dict[str, tuple[int, str]], bool], None]
    targets: TargetTable = field(default_factory=TargetTable)
    _busy: dict[str, float] = field(default_factory=dict)
    """When each endpoint's queue was last seen with work."""
    _pruned: float = 0.0
    _records: ReadCache[_QueueRecords] = field(default_factory=lambda: ReadCache(_read))

    async def turn(self) -> None:
        """One second's work. What fails is logged and made up for by the next turn."""
        try:
            await self._turn(self.clock.now())
        except TidegateError as error:
            log.warning("the queues were not looked at: %s", error)
        except Exception:
            log.exception("the queues could not be looked at")

    async def _turn(self, moment: datetime) -> None:
        now = moment.timestamp()
        records = await self._records.get(self.store)
        served = records.served
        if not served and not self._busy and self._pruned:
            return
        queues = await self.queue.backlogs()
        for name in queues:
            self._busy[name] = now
        pages = {endpoint.name: self._page(endpoint) for endpoint in served}
        # Requests of an endpoint that cannot be read wait: of one that is not named, they would be ended as its own.
        waiting = {name: (0, "") for name in records.unreadable & queues.keys()}
        self.publish(now, waiting | pages, bool(served or queues))
        await self._measure(served, queues, pages, now)
        for endpoint in served:
            await self._sleep(endpoint, queues.get(endpoint.name, Backlog()), records.followed, moment)
        there = {endpoint.name for endpoint in served} | queues.keys()
        self._busy = {name: at for name, at in self._busy.items() if name in there}
        # While there is a lot to forget each turn takes a part of it, so that no transaction takes long.
        if now - self._pruned >= PRUNE_EVERY and not await self.queue.prune(now - KEPT):
            self._pruned = now

    def _page(self, endpoint: Endpoint) -> tuple[int, str]:
        """How many requests its instances may have at a time, and the variant that represents it in metrics."""
        config = endpoint.asynchronous
        assert config is not None
        version = endpoint.serving or (endpoint.rollout.new if endpoint.rollout else None)
        variant = version.variants[0].name if version else ""
        return config.max_concurrent * self._count_ready(endpoint), variant

    def _count_ready(self, endpoint: Endpoint) -> int:
        """Return the number of instances that take requests now."""
        seen = self.observed(endpoint.name)
        if seen is None or seen.fleets is None or seen.routes is None:
            return 0
        routed = {route.fleet for route in seen.routes.routes if route.share > 0}
        return sum(fleet.ready for id, fleet in seen.fleets.items() if id in routed)

    async def _measure(
        self, served: list[Endpoint], queues: dict[str, Backlog], pages: dict[str, tuple[int, str]], now: float
    ) -> None:
        samples = [
            sample
            for endpoint in served
            for sample in backlog_samples(
                endpoint.name, queues.get(endpoint.name, Backlog()), self._count_ready(endpoint), now
            )
        ]
        measured = await self.queue.measured(MOST_MEASURED)
        samples += request_samples(measured, {name: variant for name, (_, variant) in pages.items()})
        if samples:
            await self.metrics.put(samples)

    async def _sleep(self, endpoint: Endpoint, backlog: Backlog, scaled: Followed, moment: datetime) -> None:
        """A change under way must end first. Endpoints that autoscaling follows are left to it."""
        if endpoint.rollout or endpoint.scaling or endpoint.deleting or not endpoint.serving:
            return
        now = moment.timestamp()
        since = max(self._busy.setdefault(endpoint.name, now), endpoint.modified_at.timestamp())
        changes = {}
        for variant in endpoint.serving.variants:
            if variant.asynchronous is not None and (endpoint.name, variant.name) not in scaled:
                count = desired_count(variant.asynchronous, variant.instance_count, backlog, since, now)
                if count != variant.instance_count:
                    changes[variant.name] = VariantChange(count=count)
        if not changes:
            return

        def work(tx: Tx) -> None:
            can = self.targets.of(endpoint.target)
            update_weights_and_capacities(tx, endpoint.name, changes, can, moment)

        try:
            await self.store.run(work)
        except (Conflict, Stale):
            return  # somebody else changes it; the next turn sees how
        log.info("endpoint %s: %s", endpoint.name, "wakes" if backlog.size else "sleeps: its queue is empty")
        self.kick(endpoint.name)


# --- the loop of queues, joined with the dispatcher that it keeps running ---


@dataclass(frozen=True)
class QueueLoop(Worker):
    queues: Queues
    dispatcher: DispatcherSupervisor

    async def turn(self) -> None:
        await self.queues.turn()

    async def drain(self) -> None:
        await self.dispatcher.stop()


def make_loop(services: Services) -> QueueLoop:
    start = start_settings(services.settings, services.queue_socket)
    dispatcher = DispatcherSupervisor(start, services.folder.installation)
    queues = Queues(
        *(services.store, services.queue, services.metrics, services.clock, services.observed, services.kick),
        *(dispatcher.update, services.targets),
    )
    return QueueLoop(queues, dispatcher)


async def stop_dispatcher(settings: Settings, installation: Installation) -> None:
    """A dispatcher outlives controllers, and would go on with the queue as it was."""
    await DispatcherSupervisor(start_settings(settings, Path()), installation).stop()
