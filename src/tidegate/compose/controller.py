"""One controller on this machine: its parts joined, started and ended.

Order of starting: the state folder's lock, the database and its lease, the proxy (adopted if it runs), the workers
(adopted), its API on a unix socket, the loops. What a stop leaves behind depends on how it was asked for:
SIGTERM, SIGINT and ``tidegate down`` drain everything; SIGHUP leaves proxy and workers serving for the next
controller, just as a crash does.
"""

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import uvloop

from tidegate.auth import keys
from tidegate.compose.control_socket import listening
from tidegate.compose.environments import plain_environment, write_aws_keys
from tidegate.compose.event_receivers import announcers
from tidegate.compose.evidence_loops import EvidenceLoops, join_evidence
from tidegate.compose.leadership import JOURNAL_EVERY, OFFER_EVERY, Lasting, LeaseOffers, leading, prune_records
from tidegate.compose.periodic import COLLECT_AFTER, every, every_second
from tidegate.compose.predictions import SignedPredictions
from tidegate.compose.standby import standing_by
from tidegate.compose.target import Targets, control_socket, join_targets, reaches_targets, target_context
from tidegate.compose.transform_jobs import Jobs, join_jobs
from tidegate.compose.wakeups import join_wakes
from tidegate.console.late_routes import LateRoutes, resume_pages
from tidegate.domain.errors import StartupError, TidegateError
from tidegate.domain.observation import Observation
from tidegate.features.access.login_start import join_logins, require_login
from tidegate.features.asynchronous.dispatcher_supervisor import (
    DispatcherSupervisor,
    queue_database,
    start_settings,
)
from tidegate.features.asynchronous.loop import Queues
from tidegate.features.autoscaling.kinds import SCALABLE
from tidegate.features.autoscaling.loop import Scaling
from tidegate.features.batch.service import PREFIX
from tidegate.features.evidence.loop import Comparisons
from tidegate.features.tracing.start import EVERY, Tracing, join_tracing, make_sender
from tidegate.gateway.app import build_app
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.health import WriteProbe
from tidegate.host.clock import RandomIds, SystemClock
from tidegate.host.features import describe_switched_off, features
from tidegate.host.log_files import cut
from tidegate.host.log_repeats import limit_repeats
from tidegate.host.state_folder import StateFolder
from tidegate.ports.store import Tx
from tidegate.ports.target import Provider
from tidegate.proxy.cold_start_hold import WakeSocket
from tidegate.proxy.haproxy import HAProxy
from tidegate.reconcile.artifact_keeper import ArtifactKeeper
from tidegate.reconcile.engine import STEADY_RESYNC, Engine
from tidegate.reconcile.guards import Guards
from tidegate.reconcile.metrics_loop import MetricsLoop
from tidegate.service import alarms, prometheus
from tidegate.service.audit_trail import Trail
from tidegate.service.record_kinds import ENDPOINT, TRANSFORM
from tidegate.service.unreadable_records import UnreadableRecords
from tidegate.serving.contract.images import ImageTable
from tidegate.settings import Settings
from tidegate.store import DatabaseLimits, SqlStore, open_store
from tidegate.store.audit import SqlAudit
from tidegate.store.commit_mark import CommitMark
from tidegate.store.lease import SqlLease
from tidegate.store.metrics import SqlMetrics
from tidegate.store.queue import SqlQueue
from tidegate.targets.containers import check_data, image_table
from tidegate.targets.options import read_targets
from tidegate.targets.registry import KINDS
from tidegate.wire.operation import WireContext

log = logging.getLogger("tidegate")

UNFIT_AFTER = 30.0
"""Seconds of trouble with the proxy after which a controller offers its lease."""
EVALUATE_AFTER = 0.2
"""How far into a second alarms are judged and fleets scaled: by what was collected before, and in loops of their own,
so that neither can delay the guards of rollouts."""
PROXY_CHECK = 0.5
"""Seconds between looks whether the proxy lives."""
KEEP_EVERY = 0.5
"""Seconds between looks whether model data is to be kept for undo; without news of a record it costs nothing."""
CUT_EVERY = 15.0
"""Seconds between looks whether the controller's own log has grown too large."""


def run(settings: Settings) -> None:
    """Run the controller until it is asked to stop. Raises StartupError with nothing left running."""
    form = "%(asctime)s %(levelname)s %(name)s: %(message)s"
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format=form, force=True)
    for chatty in ("alembic", "uvicorn", "httpx", "httpx2"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    limit_repeats()
    keys.check_keys(settings)
    make_sender(settings, "")  # fails for a missing package before anything runs
    table = image_table(settings)
    folder = StateFolder.take(settings.state)
    try:
        uvloop.run(Controller(replace(settings, state=folder.path), folder, table).run())
    finally:
        folder.release()


@dataclass(frozen=True)
class Parts:
    """What one controller is made of."""

    store: SqlStore
    metrics: SqlMetrics
    clock: SystemClock
    ids: RandomIds
    proxy: HAProxy
    targets: Targets
    engine: Engine
    watch: MetricsLoop
    scaling: Scaling
    jobs: Jobs
    queue: SqlQueue
    queues: Queues
    dispatcher: DispatcherSupervisor
    wakes: WakeSocket
    keeper: ArtifactKeeper | None
    beside: EvidenceLoops
    tracing: Tracing | None
    unreadable: UnreadableRecords


def join(
    settings: Settings,
    folder: StateFolder,
    store: SqlStore,
    table: ImageTable,
    news: Callable[[], None],
    fence: int,
    stopping: asyncio.Event,
) -> Parts:
    """Join all parts; nothing runs yet. ``news`` is called whenever the engine has written a record; ``fence`` is of
    the lease on the store."""
    clock, ids, metrics = SystemClock(), RandomIds(), SqlMetrics(store.database)
    comparisons = Comparisons(store, lambda rollout: beside.replays.results(rollout))
    proxy = HAProxy(settings, folder.path, control_socket(folder), installation=folder.installation)
    # What supervises fleets tells the engine of news, which in turn looks at them through the target.
    context = target_context(
        settings, folder, proxy, metrics, table, ids.new, lambda owner: jobs.kick(owner, engine.kick)
    )
    tracing = join_tracing(settings, folder, store, clock, stopping)
    spans = None if tracing is None else tracing.spec
    context = replace(context, fence=fence, tracing=spans, followed=lambda: scaling.followed())
    targets = join_targets(context, read_targets(settings.targets, KINDS), store)
    provider, collect, jobs = targets.all, targets.all.evidence.collect, join_jobs(store, clock, targets.all, news)
    guards = Guards(metrics, lambda: clock.read()[1].ahead, comparisons.verdict)
    keeper = join_keeper(store, provider, clock, settings)
    beside = join_evidence(settings, store, metrics, clock, ids, targets.table, lambda: engine)
    engine = Engine(
        store,
        targets.driven,
        clock,
        guards,
        partial(note_written, news, keeper),
        clock.read,
        beside.replays.results,
    )
    queue = SqlQueue(queue_database(settings, store))
    scaling = Scaling(
        store, metrics, clock, ids, partial(observe_now, engine, provider), queue, engine.kick, targets.table
    )
    watch = MetricsLoop(
        store, metrics, clock, collect, engine.kick, guards, engine.guarded, scaling.followed, comparisons
    )
    dispatcher = DispatcherSupervisor(start_settings(settings, proxy.queued), folder.installation)
    queues = Queues(
        store, queue, metrics, clock, engine.observed.get, engine.kick, dispatcher.update, targets.table
    )
    return Parts(
        *(store, metrics, clock, ids, proxy, targets, engine, watch, scaling, jobs, queue, queues, dispatcher),
        *(join_wakes(proxy, provider.lifecycle), keeper, beside, tracing, UnreadableRecords()),
    )


def note_written(news: Callable[[], None], keeper: ArtifactKeeper | None, endpoint: str) -> None:
    """The engine has written this endpoint's record."""
    news()
    if keeper is not None:
        keeper.wake(endpoint)


def join_keeper(
    store: SqlStore, provider: Provider, clock: SystemClock, settings: Settings
) -> ArtifactKeeper | None:
    if provider.artifacts is None:
        return None
    return ArtifactKeeper(store, provider.artifacts, clock, settings.undo_versions, settings.undo_bytes)


@dataclass
class Controller:
    settings: Settings
    folder: StateFolder
    table: ImageTable
    signed: bool = False
    """Whether every request must be authenticated; known once the database is open."""
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set and cleared after each write, to wake those who wait for news."""
    drain: bool = True
    """Whether stopping ends the proxy and the workers too."""

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        loop.add_signal_handler(signal.SIGHUP, self.leave)
        url = self.settings.database_url or f"sqlite:///{self.folder.path / 'tidegate.db'}"
        store = open_store(url, DatabaseLimits(self.settings.database_timeout), prepare=False)
        try:
            store.mark = CommitMark(self.folder.path, store.database.name)
            await asyncio.to_thread(store.mark.check, store.database)
            async with contextlib.AsyncExitStack() as waiting:
                if self.settings.standby:
                    await waiting.enter_async_context(standing_by(self.settings.host, self.settings.port))
                fit = partial(reaches_targets, self.settings)
                async with leading(store, self.settings, self.stopping, self.leave, fit=fit) as lease:
                    await waiting.aclose()  # the port is the proxy's from now on
                    if lease is not None:
                        await self._lead(store, lease)
        finally:
            await store.close()

    async def _lead(self, store: SqlStore, lease: SqlLease) -> None:
        self.settings, self.signed = await require_login(self.settings, store)
        if self.signed and not features().is_on("access"):
            raise StartupError(f"a login is required, and {describe_switched_off('access')}: nobody could sign in")
        async with self._serving(store, lease):
            log.info("tidegate is ready on %s (state in %s)", self.settings.url, self.folder.path)
            await self.stopping.wait()
            log.info("stopping: %s", "draining everything" if self.drain else "leaving proxy and workers")

    def stop(self) -> None:
        """End everything: proxy, workers, this process. Takes precedence over ``leave``, since signals that are sent
        together may arrive in any order."""
        self.drain = True
        self.stopping.set()

    def leave(self) -> None:
        """End this process alone; no effect once ``stop`` was called."""
        self.drain = self.drain and self.stopping.is_set()
        self.stopping.set()

    @contextlib.asynccontextmanager
    async def _serving(self, store: SqlStore, lease: SqlLease) -> AsyncIterator[None]:
        write_aws_keys(self.folder.path)
        parts = join(self.settings, self.folder, store, self.table, self._notify, lease.fence, self.stopping)
        lifecycle = parts.targets.all.lifecycle
        lifecycle.prepare()
        await parts.proxy.start_or_adopt()
        started = False
        try:
            lifecycle.start()
            await parts.wakes.start()
            await parts.engine.start()
            await parts.jobs.start()
            await retire_unknown(parts)
            each_second: list[tuple[Callable[[], Awaitable[None]], float]] = [
                (parts.watch.turn, COLLECT_AFTER),
                (parts.watch.judge_alarms, EVALUATE_AFTER),
                (parts.scaling.turn, EVALUATE_AFTER),
                (parts.queues.turn, COLLECT_AFTER),
                *((one.turn, EVALUATE_AFTER) for one in announcers(self.settings, store, parts.clock)),
            ]
            others: list[tuple[float, Callable[[], Awaitable[None]]]] = [
                (STEADY_RESYNC, parts.engine.compare),
                (PROXY_CHECK, parts.proxy.ensure),
                (OFFER_EVERY, LeaseOffers(lease, find_unfitness(parts)).turn),
                (CUT_EVERY, partial(cut_log, self.folder.path)),
                (JOURNAL_EVERY, partial(prune_records, store, self.settings)),
                *parts.beside.loops,
                *([(EVERY, parts.tracing.rollouts.turn)] if parts.tracing is not None else []),
                *([(KEEP_EVERY, parts.keeper.turn)] if parts.keeper is not None else []),
                *((one.seconds, one.work) for one in lifecycle.chores),
            ]
            loops = [asyncio.create_task(every_second(work, self.stopping, at)) for work, at in each_second]
            loops += [asyncio.create_task(every(*one, self.stopping)) for one in others]
            gateway = self._gateway(parts)
            late = LateRoutes(gateway, plain_environment())
            async with listening(build_app(gateway, late.routes), control_socket(self.folder), gateway):
                started = True
                await resume_pages(parts.store, late)
                yield
            await asyncio.gather(*loops)
        finally:
            # A start that fails in spite of replicas that serve leaves them to the next.
            self.drain = self.drain and (started or not lifecycle.serves())
            self.stopping.set()
            await parts.beside.stop()
            await parts.engine.stop()
            await parts.jobs.end(self.drain)
            await self._end(parts)
            if parts.tracing is not None:
                await parts.tracing.close()

    def _gateway(self, parts: Parts) -> Gateway:
        def kick(owner: str) -> None:
            parts.jobs.kick(owner, parts.engine.kick)
            self._notify()

        context = WireContext(
            store=parts.store,
            metrics=parts.metrics,
            clock=parts.clock,
            ids=parts.ids,
            region=self.settings.region,
            account=self.settings.account,
            targets=parts.targets.table,
            kick=kick,
            observed=parts.engine.observed.get,
            runnable=lambda container: parts.targets.check_container(container, self.table, self.settings),
            check_data=lambda url: check_data(url, self.settings),
            queue=parts.queue,
            logs=parts.targets.all.logs,
            acceptances=None if parts.tracing is None else parts.tracing.acceptances,
        )
        return Gateway(
            settings=self.settings,
            context=context,
            signed=self.signed,
            logins=join_logins(self.settings, parts.store),
            trail=Trail(SqlAudit(parts.store.database), parts.clock.now),
            predict=SignedPredictions(self.settings, self.signed, parts.clock),
            proxy_up=parts.proxy.up,
            prometheus=lambda: page(parts),
            logs=parts.targets.all.logs.tail,
            models=parts.targets.all.evidence.list_models,
            progress=parts.jobs.progress,
            down=self.stop,
            changed=self.changed,
            stopping=self.stopping,
            artifacts=parts.targets.all.artifacts,
            installation=self.folder.installation.id,
            trouble=lambda: (
                parts.proxy.trouble or parts.engine.trouble or parts.watch.trouble or parts.targets.all.trouble()
            ),
            unwritable=WriteProbe(self.folder.path),
        )

    async def _end(self, parts: Parts) -> None:
        parts.wakes.close()
        if not self.drain:
            await parts.targets.all.lifecycle.stop(drain=False)
            return
        await parts.dispatcher.stop()
        # Then the proxy: it takes no new request and lets those in flight come back from their workers.
        try:
            await parts.proxy.stop()
        finally:
            await parts.targets.all.lifecycle.stop(drain=True)

    def _notify(self) -> None:
        self.changed.set()
        self.changed.clear()


def find_unfitness(parts: Parts) -> Callable[[], str | None]:
    """What tells why another controller should lead, if one should."""
    broken = Lasting(lambda: parts.proxy.trouble, UNFIT_AFTER)
    return lambda: parts.targets.all.cut_off() or broken()


async def retire_unknown(parts: Parts) -> None:
    """Stop fleets without a record; nothing is touched unless all records are known."""
    try:
        names = await parts.store.read(owners)
    except TidegateError as error:
        log.warning("fleets without a record are not looked for: %s", error)
    else:
        await parts.targets.all.lifecycle.retire_unknown(names)


def owners(tx: Tx) -> set[str]:
    """The names under which fleets may run: endpoints and transform jobs, including those whose records this program
    cannot read."""
    return set(tx.versions(ENDPOINT)) | {PREFIX + name for name in tx.versions(TRANSFORM)}


async def cut_log(state: Path) -> None:
    """Cut this process's own log, where it goes to a file in the state folder."""
    await asyncio.to_thread(cut, state / "tidegate.log")


def observe_now(engine: Engine, provider: Provider, endpoint: str) -> Observation | None:
    """The last look at an endpoint, with the requests that the router holds for it now."""
    seen = engine.observed.get(endpoint)
    return seen and provider.evidence.refresh(seen)


async def page(parts: Parts) -> str:
    """The Prometheus page, rendered beside the event loop: of a thousand endpoints it takes longer than others should
    wait."""
    found = await parts.store.read(
        lambda tx: (alarms.find_all(tx), tx.find(ENDPOINT).items, tx.find(SCALABLE).items)
    )
    unreadable = await parts.unreadable.find(parts.store, parts.clock.now())
    shown, endpoints, scaled = found
    looks = [(saved.body, observe_now(parts.engine, parts.targets.all, saved.name)) for saved in endpoints]
    targets = [saved.body.target for saved in scaled]
    text = await asyncio.to_thread(prometheus.render, parts.watch.totals, shown, looks, targets, unreadable)
    text += prometheus.render_storage(parts.metrics.dropped, parts.metrics.lost)
    return text + (parts.tracing.counted() if parts.tracing is not None else "")
