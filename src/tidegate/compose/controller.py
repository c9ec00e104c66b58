"""One controller on this machine: its parts joined, started and ended.

Order of starting: the state folder's lock, the database and its lease, the proxy (adopted if it runs), the workers
(adopted), the door on its unix socket, the loops. What a stop leaves behind depends on how it was asked for:
SIGTERM, SIGINT and ``tidegate down`` drain everything; SIGHUP leaves proxy and workers serving for the next
controller, just as a crash does.
"""

import asyncio
import contextlib
import logging
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import partial

import msgspec
import uvloop

from tidegate.advisor.planner import api as planner_api
from tidegate.auth import keys
from tidegate.compose.containers import (
    Sockets,
    check_container,
    check_data,
    image_table,
    replica_file,
    still_fits,
    write_keys,
)
from tidegate.compose.control_socket import listening
from tidegate.compose.dispatcher_supervisor import Supervisor, queue_database, start_of
from tidegate.compose.environments import child_environment, plain_environment
from tidegate.compose.event_receivers import announcers
from tidegate.compose.leadership import JOURNAL_EVERY, leading, prune_journal
from tidegate.compose.transform_jobs import Jobs, join_jobs
from tidegate.compose.wakeups import Waking
from tidegate.console import compute_api, pages
from tidegate.domain.errors import TidegateError
from tidegate.domain.observation import SAGEMAKER_CAPABILITIES, TIDEGATE_CAPABILITIES, Capabilities, Observation
from tidegate.gateway.app import build_app
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.health import WriteProbe
from tidegate.host.clock import RandomIds, SystemClock
from tidegate.host.state_folder import StateFolder
from tidegate.ports.store import Kind, Tx
from tidegate.ports.target import Target
from tidegate.proxy.haproxy import HAProxy
from tidegate.reconcile.engine import Engine
from tidegate.reconcile.guards import Guards
from tidegate.reconcile.metrics_loop import Watch
from tidegate.reconcile.queues import Queues
from tidegate.reconcile.scaling import Scaling
from tidegate.service import prometheus
from tidegate.service.record_kinds import ALARM, ENDPOINT, SCALABLE, TRANSFORM
from tidegate.service.transforms import PREFIX
from tidegate.serving.contract.images import ImageTable
from tidegate.settings import Settings
from tidegate.store import DatabaseLimits, SqlStore, open_store
from tidegate.store.metrics import SqlMetrics
from tidegate.store.queue import SqlQueue
from tidegate.targets.capacity_limit import Scarce
from tidegate.targets.local import logs
from tidegate.targets.local.collector import Collector
from tidegate.targets.local.coverage import CoverageTracker
from tidegate.targets.local.log_streams import Streams
from tidegate.targets.local.model_listing import listings
from tidegate.targets.local.paths import Folders
from tidegate.targets.local.start_queue import StartQueue, default_limit
from tidegate.targets.local.supervision import Surroundings
from tidegate.targets.local.target import LocalTarget
from tidegate.wire.operation import WireContext

log = logging.getLogger("tidegate")

SECOND_HAND = 0.05
"""How far into a second the one before is collected: workers have closed it by then."""
LATER = 0.2
"""How far into a second alarms are judged and fleets scaled: by what was collected before, and in loops of their own,
so that neither can delay the guards of rollouts."""
PROXY_CHECK = 0.5
"""Seconds between looks whether the proxy lives."""
PRUNE_EVERY = 600.0
CUT_EVERY = 15.0
"""Seconds between looks whether a log has grown too large."""
PATIENCE = 15.0
"""Seconds beyond the longest prediction that a replica may take to answer a ping."""


def run(settings: Settings) -> None:
    """Runs the controller until it is asked to stop. Raises StartupError with nothing left running."""
    form = "%(asctime)s %(levelname)s %(name)s: %(message)s"
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format=form, force=True)
    for chatty in ("alembic", "uvicorn", "httpx"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    signed = keys.is_signing_required(settings)
    table = image_table(settings)
    folder = StateFolder.take(settings.state)
    try:
        uvloop.run(Controller(replace(settings, state=folder.path), folder, table, signed).run())
    finally:
        folder.release()


@dataclass(frozen=True)
class Parts:
    """What one controller is made of."""

    store: SqlStore
    metrics: SqlMetrics
    clock: SystemClock
    ids: RandomIds
    folders: Folders
    proxy: HAProxy
    target: LocalTarget
    engine: Engine
    watch: Watch
    scaling: Scaling
    jobs: Jobs
    queue: SqlQueue
    queues: Queues
    dispatching: Supervisor
    waking: Waking


def join(
    settings: Settings, store: SqlStore, folders: Folders, table: ImageTable, news: Callable[[], None]
) -> Parts:
    """Joins everything; nothing runs yet. ``news`` is told after each write of a record by the engine."""
    clock, ids, metrics = SystemClock(), RandomIds(), SqlMetrics(store.database)
    proxy = HAProxy(settings, folders.state, folders.door, installation=folders.installation)
    waking = Waking(folders)
    around = Surroundings(
        folders=folders,
        router=proxy,
        environment=child_environment(folders.state),
        describe=partial(replica_file, settings, folders, table, Sockets(proxy.copies, proxy.wakes)),
        fits=lambda start: still_fits(start, settings, folders),
        new_id=ids.new,
        # The supervisors speak to the engine and the collector, which in turn look at them through the target.
        changed=lambda owner: jobs.kick(owner, engine.kick),
        harvest=lambda fleet, replica, page: collector.harvest(fleet, replica, page),
        drain_timeout=settings.drain_timeout,
        patience=settings.invocation_timeout + PATIENCE,
        nursery=waking.nursery,
        starts=StartQueue(settings.start_limit or default_limit()),
    )
    target = LocalTarget(around, rules(settings))
    jobs = join_jobs(settings, store, clock, target, folders, table, news)
    guards = Guards(metrics, lambda: clock.read()[1].ahead)
    engine = Engine(store, bounded(target, settings), clock, guards, news, read_clocks=clock.read)
    collector = Collector(target, metrics, proxy.passed, CoverageTracker(folders.state / "coverage.json"))
    queue = SqlQueue(queue_database(settings, store))
    fresh = partial(looked, engine, target)
    scaling = Scaling(store, metrics, clock, ids, fresh, queue, engine.kick, target.can)
    watch = Watch(store, metrics, clock, collector.collect, engine.kick, guards, engine.guarded, scaling.followed)
    dispatching = Supervisor(start_of(settings, proxy.queued), folders.installation)
    queues = Queues(store, queue, metrics, clock, engine.observed.get, engine.kick, dispatching.update, target.can)
    return Parts(
        store,
        metrics,
        clock,
        ids,
        folders,
        proxy,
        target,
        engine,
        watch,
        scaling,
        jobs,
        queue,
        queues,
        dispatching,
        waking,
    )


def rules(settings: Settings) -> Capabilities:
    return replace(
        SAGEMAKER_CAPABILITIES if settings.fidelity == "aws" else TIDEGATE_CAPABILITIES, quotas=settings.quotas
    )


def bounded(target: LocalTarget, settings: Settings) -> Target:
    return Scarce(target, target.wishes, settings.capacity) if settings.capacity else target


@dataclass
class Controller:
    settings: Settings
    folder: StateFolder
    table: ImageTable
    signed: bool
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
            async with leading(store, self.settings, self.stopping, self.leave) as leads:
                if not leads:
                    return
                async with self._serving(store):
                    log.info("tidegate is ready on %s (state in %s)", self.settings.url, self.folder.path)
                    await self.stopping.wait()
                    log.info("stopping: %s", "draining everything" if self.drain else "leaving proxy and workers")
        finally:
            await store.close()

    def stop(self) -> None:
        """Ends everything: proxy, workers, this process. Wins over ``leave`` in whichever order they come: signals
        that are sent together may arrive in any."""
        self.drain = True
        self.stopping.set()

    def leave(self) -> None:
        """Ends this process alone; too late once everything is to end."""
        self.drain = self.drain and self.stopping.is_set()
        self.stopping.set()

    @contextlib.asynccontextmanager
    async def _serving(self, store: SqlStore) -> AsyncIterator[None]:
        own = self.folder
        folders = Folders(own.path, own.sockets, own.installation, own.former_sockets)
        folders.prepare()
        write_keys(folders, self.settings)
        parts = join(self.settings, store, folders, self.table, self._news)
        await parts.proxy.start_or_adopt()
        started = False
        try:
            parts.target.start()
            await parts.waking.start(parts.proxy, parts.target)
            await parts.engine.start()
            await parts.jobs.start()
            await retire_unknown(parts)
            pruning = partial(prune_journal, store, self.settings)
            loops = [
                asyncio.create_task(every_second(parts.watch.turn, self.stopping)),
                asyncio.create_task(every_second(parts.watch.judge_alarms, self.stopping, after=LATER)),
                asyncio.create_task(every_second(parts.scaling.turn, self.stopping, after=LATER)),
                asyncio.create_task(every_second(parts.queues.turn, self.stopping)),
                asyncio.create_task(every(PROXY_CHECK, parts.proxy.ensure, self.stopping)),
                asyncio.create_task(every(PRUNE_EVERY, lambda: prune(folders), self.stopping)),
                asyncio.create_task(every(CUT_EVERY, lambda: cut(folders), self.stopping)),
                asyncio.create_task(every(JOURNAL_EVERY, pruning, self.stopping)),
            ]
            loops += [
                asyncio.create_task(every_second(one.turn, self.stopping, after=LATER))
                for one in announcers(self.settings, parts.store, parts.clock)
            ]
            gateway, desk = self._gateway(parts), compute_api.ComputePool(plain_environment())
            further = [
                *planner_api.routes(gateway),
                *compute_api.routes(gateway, desk),
                *pages.routes(gateway, desk),
            ]
            async with listening(build_app(gateway, further), folders.door):
                started = True
                yield
            await asyncio.gather(*loops)
        finally:
            # A start that fails in spite of replicas that serve leaves them to the next.
            self.drain = self.drain and (started or not any(parts.target.serving()))
            self.stopping.set()
            await parts.engine.stop()
            await parts.jobs.end(self.drain)
            await self._end(parts)

    def _gateway(self, parts: Parts) -> Gateway:
        def kick(owner: str) -> None:
            parts.jobs.kick(owner, parts.engine.kick)
            self._news()

        context = WireContext(
            store=parts.store,
            metrics=parts.metrics,
            clock=parts.clock,
            ids=parts.ids,
            region=self.settings.region,
            account=self.settings.account,
            can=parts.target.can,
            kick=kick,
            observed=parts.engine.observed.get,
            runnable=lambda container: check_container(container, self.table, self.settings),
            check_data=lambda url: check_data(url, self.settings),
            queue=parts.queue,
            logs=Streams(parts.folders.logs),
        )
        return Gateway(
            settings=self.settings,
            context=context,
            signed=self.signed,
            proxy_up=parts.proxy.up,
            prometheus=lambda: page(parts),
            logs=lambda endpoint, lines: msgspec.to_builtins(logs.tail(parts.folders.logs, endpoint, lines)),
            models=lambda endpoint, most: listings(parts.target.serving(), endpoint, most),
            progress=parts.jobs.progress,
            down=self.stop,
            changed=self.changed,
            installation=self.folder.installation.id,
            trouble=lambda: parts.proxy.trouble or parts.engine.trouble or parts.watch.trouble,
            unwritable=WriteProbe(self.folder.path),
        )

    async def _end(self, parts: Parts) -> None:
        parts.waking.close()
        if not self.drain:
            await parts.target.let_go()
            return
        await parts.dispatching.stop()
        # Then the proxy: it takes no new request and lets those in flight come back from their workers.
        try:
            await parts.proxy.stop()
        finally:
            await parts.target.drain_all()

    def _news(self) -> None:
        self.changed.set()
        self.changed.clear()


async def every(seconds: float, work: Callable[[], Awaitable[None]], stopping: asyncio.Event) -> None:
    """Runs ``work`` again and again with a pause between; what it raises is logged."""
    while not stopping.is_set():
        try:
            await work()
        except Exception as error:
            log.error("%s", error, exc_info=not isinstance(error, OSError))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await stopping.wait()


async def retire_unknown(parts: Parts) -> None:
    """Nothing is touched where it is not known for sure what has a record."""
    try:
        names = await parts.store.run(owners)
    except TidegateError as error:
        log.warning("fleets without a record are not looked for: %s", error)
    else:
        await parts.target.retire_unknown(names)


def owners(tx: Tx) -> set[str]:
    """The names under which fleets may run: of endpoints, and of transform jobs, also of those whose records this
    program cannot read."""
    endpoints = tx.find(Kind(ENDPOINT.name, object)).items
    jobs = tx.find(Kind(TRANSFORM.name, object)).items
    return {saved.name for saved in endpoints} | {PREFIX + saved.name for saved in jobs}


async def prune(folders: Folders) -> None:
    await asyncio.to_thread(logs.prune, folders.logs)
    await asyncio.to_thread(logs.prune, folders.pairs, "*.jsonl")


async def cut(folders: Folders) -> None:
    """The logs of the replicas, and this process's own where it goes to a file of ours."""
    await asyncio.to_thread(logs.cut_all, folders.logs)
    await asyncio.to_thread(logs.cut, folders.state / "tidegate.log")


async def every_second(
    work: Callable[[], Awaitable[None]], stopping: asyncio.Event, after: float = SECOND_HAND
) -> None:
    """Runs ``work`` shortly after each second of the clock begins."""
    while not stopping.is_set():
        pause = 1.0 - time.time() % 1.0 + after
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await stopping.wait()
        if not stopping.is_set():
            try:
                await work()
            except Exception:
                log.exception("a second's work failed; it goes on with the next")


def looked(engine: Engine, target: LocalTarget, endpoint: str) -> Observation | None:
    """The last look at an endpoint, with what the router has in hand for it now."""
    seen = engine.observed.get(endpoint)
    return seen and target.fresh(seen)


async def page(parts: Parts) -> str:
    """The Prometheus page."""
    found = await parts.store.run(
        lambda tx: (tx.find(ALARM).items, tx.find(ENDPOINT).items, tx.find(SCALABLE).items)
    )
    alarms, endpoints, scaled = found
    looks = ((saved.body, looked(parts.engine, parts.target, saved.name)) for saved in endpoints)
    targets = (saved.body.target for saved in scaled)
    text = prometheus.render(parts.watch.totals, (saved.body for saved in alarms), looks, targets)
    return text + prometheus.render_storage(parts.metrics.dropped, parts.metrics.lost)
