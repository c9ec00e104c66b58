"""One controller on this machine: its parts joined, started and ended.

Order of starting: the state folder's lock, the database and its lease, the proxy (adopted if it runs), the workers
(adopted), its API on a unix socket, the loops. What a stop leaves behind depends on how it was asked for:
SIGTERM, SIGINT and ``tidegate down`` drain everything; SIGHUP leaves proxy and workers serving for the next
controller, just as a crash does.
"""

import asyncio
import contextlib
import json
import logging
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvloop

from tidegate.auth import keys, sigv4
from tidegate.auth.keys import prediction_keys
from tidegate.compose.background import BackgroundWork, Services, find_owners, join_background, join_observers
from tidegate.compose.environments import plain_environment, write_aws_keys
from tidegate.compose.leadership import (
    JOURNAL_EVERY,
    OFFER_EVERY,
    LastingTrouble,
    LeaseOffers,
    leading,
    prune_records,
    standing_by,
)
from tidegate.compose.login import check_sign_in, join_logins, require_login
from tidegate.compose.target import Targets, control_socket, join_targets, reaches_targets, target_context
from tidegate.console.late_routes import LateRoutes, resume_pages
from tidegate.domain.errors import StartupError, TidegateError, Unavailable
from tidegate.domain.fleet import FleetId
from tidegate.gateway.app import build_app
from tidegate.gateway.dependencies import Gateway, PredictionResponse
from tidegate.gateway.health import WriteProbe
from tidegate.host import http_server
from tidegate.host.aligned_pauses import BEGIN, align
from tidegate.host.clock import RandomIds, SystemClock
from tidegate.host.features import features
from tidegate.host.http_server import HttpServer
from tidegate.host.late_import import load
from tidegate.host.log_files import cut
from tidegate.host.log_repeats import limit_repeats
from tidegate.host.state_folder import StateFolder
from tidegate.host.unix_sockets import keep_bound
from tidegate.http1.client import HttpClient
from tidegate.http1.messages import ConnectionBroken
from tidegate.ports.clock import Clock
from tidegate.ports.store import Store, Tx
from tidegate.ports.target import Lifecycle, Provider
from tidegate.proxy.cold_start_hold import WakeSocket
from tidegate.proxy.haproxy import HAProxy
from tidegate.reconcile.artifact_keeper import ArtifactKeeper
from tidegate.reconcile.engine import STEADY_RESYNC, Engine
from tidegate.reconcile.event_announcer import Announcer
from tidegate.reconcile.guards import Guards
from tidegate.reconcile.metrics_loop import MetricsLoop
from tidegate.service import alarms, prometheus
from tidegate.service.audit_trail import Trail
from tidegate.service.record_kinds import ENDPOINT
from tidegate.service.state_events import AccountRegion
from tidegate.service.unreadable_records import UnreadableRecords
from tidegate.serving.contract.images import ImageTable
from tidegate.settings import Settings
from tidegate.storage.addresses import parse
from tidegate.storage.output_files import OutputFiles
from tidegate.store import DatabaseLimits, SqlStore, open_store
from tidegate.store.audit import SqlAudit
from tidegate.store.commit_mark import CommitMark
from tidegate.store.database import Database, open_database
from tidegate.store.lease import SqlLease
from tidegate.store.metrics import SqlMetrics
from tidegate.store.queue import SqlQueue
from tidegate.targets.containers import check_data, image_table, pin_image
from tidegate.targets.options import read_targets
from tidegate.targets.registry import KINDS
from tidegate.wire.operation import WireContext

# --- predictions that the server itself sends through its proxy, for users and API tokens ---


LONGEST_PREDICTION = 32 * 1024 * 1024
"""Bytes of an answer that is passed on."""
PREDICTION_MARGIN = 15
"""Seconds that an answer may take beyond the model's limit: it waits for an instance, or for its turn."""
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "localhost": "127.0.0.1"}


class SignedPredictions:
    """A ``gateway.dependencies.Predict``."""

    def __init__(self, settings: Settings, signed: bool, clock: Clock) -> None:
        self._settings, self._clock = settings, clock
        # Any key that may ask models will do: what its holder may do was decided before.
        self._key = min(prediction_keys(settings).items()) if signed else None
        address = EVERYWHERE.get(settings.host, settings.host)
        self._host = f"[{address}]:{settings.port}" if ":" in address else f"{address}:{settings.port}"
        self._client = HttpClient((address, settings.port), LONGEST_PREDICTION)

    async def __call__(self, path: str, headers: Mapping[str, str], body: bytes) -> PredictionResponse:
        sent = {**headers, **self._sign(path, headers, body)}
        raw = [(name.encode(), value.encode("latin-1")) for name, value in sent.items()]
        try:
            async with asyncio.timeout(self._settings.invocation_timeout + PREDICTION_MARGIN):
                reply = await self._client.request("POST", path, raw, body, self._host.encode())
        except (ConnectionBroken, TimeoutError, ValueError) as error:
            raise Unavailable(f"the prediction was not answered: {error or 'it took too long'}") from None
        named = {name.decode("latin-1"): value.decode("latin-1") for name, value in reply.headers.items()}
        return PredictionResponse(reply.status, named, reply.body)

    def _sign(self, path: str, headers: Mapping[str, str], body: bytes) -> dict[str, str]:
        if self._key is None:
            return {}
        parts = sigv4.RequestParts("POST", path, "", [("host", self._host), *headers.items()], body)
        return sigv4.sign(parts, self._key, self._clock.now(), self._settings.region, "sagemaker")


# --- loops of the controller: work that is done again and again until it stops ---


COLLECT_AFTER = BEGIN
"""How far into a second the one before is collected: workers have closed it by then."""


async def repeat(seconds: float, work: Callable[[], Awaitable[None]], stopping: asyncio.Event) -> None:
    """Run ``work`` again and again with a pause between, at most so long; what it raises is logged."""
    while not stopping.is_set():
        try:
            await work()
        except Exception as error:
            log.error("%s", error, exc_info=not isinstance(error, OSError))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(align(seconds)):
                await stopping.wait()


async def every_second(
    work: Callable[[], Awaitable[None]], stopping: asyncio.Event, after: float = COLLECT_AFTER
) -> None:
    """Run ``work`` shortly after each second of the clock begins."""
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


# --- the receivers of state changes that are named in the settings ---


def make_announcers(settings: Settings, store: Store, clock: Clock) -> list[Announcer]:
    place = AccountRegion(settings.region, settings.account)
    send = partial(_send, settings.webhook_secret)
    return [Announcer(store, clock, place, receiver, send) for receiver in settings.events]


def _send(secret: str, receiver: str, event: dict[str, Any]) -> None:
    """Blocks. Raises Transient or ArtifactError. The owner named the receiver: it need not be public."""
    body = json.dumps(event).encode()
    parts = urlsplit(receiver)
    if parts.scheme == "file":
        folder = Path(parse(receiver).path).parent
        OutputFiles((folder,)).append(receiver, body + b"\n")
    else:
        # Its HTTP client takes long to import.
        webhooks = load("tidegate.host.webhooks", "Webhooks")(secret, (parts.hostname or "",))
        webhooks.post(receiver, body, event["id"])


# --- the controller's own socket, to which only the proxy connects ---


@contextlib.asynccontextmanager
async def listening(app: object, path: Path, gateway: Gateway | None = None) -> AsyncIterator[None]:
    """Serve the application on a unix socket, which is made anew if somebody removes it; requests that a feature
    takes from the connection go to ``gateway``, if it is given. Raises StartupError."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StartupError(f"the controller cannot listen on {path}: {error.strerror}; remove it") from None
    protocol = None if gateway is None else find_protocol(gateway)
    served: list[tuple[HttpServer, asyncio.Task[None]]] = []

    async def serve() -> None:
        served.append(await http_server.serve(app, path, protocol=protocol))
        for server, _ in served[:-1]:
            server.should_exit = True  # it finishes what it has

    await serve()
    keeping = asyncio.create_task(keep_bound(path, serve))
    try:
        yield
    finally:
        keeping.cancel()
        for server, _ in served:
            server.should_exit = True
        await asyncio.gather(*(task for _, task in served))
        path.unlink(missing_ok=True)


def find_protocol(gateway: Gateway) -> Callable[..., asyncio.Protocol] | None:
    """Return the factory of a connection's protocol, or None for the server's own protocol."""
    return next((make(gateway) for _, make in features().hooks("connection_protocol")), None)


def join_wakes(proxy: HAProxy, lifecycle: Lifecycle) -> WakeSocket:
    """The socket that the proxy and new workers call; it does not listen yet."""

    def asleep(slot: str, since: float) -> None:
        if (fleet := proxy.fleet_in(slot)) is not None:
            lifecycle.wake(fleet, since)

    return WakeSocket(proxy.wakes, asleep, lambda fleet: lifecycle.kick(FleetId.parse(fleet)))


log = logging.getLogger("tidegate")

UNFIT_AFTER = 30.0
"""Seconds of trouble with the proxy after which a controller offers its lease."""
EVALUATE_AFTER = 0.2
"""How far into a second alarms are judged: by what was collected before, and in a loop of its own, so that it cannot
delay the guards of rollouts."""
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
    for _, check in features().hooks("check_settings"):  # fails before anything runs
        check(settings)
    table = image_table(settings)
    folder = StateFolder.take(settings.state)
    try:
        uvloop.run(Controller(replace(settings, state=folder.path), folder, table).run())
    finally:
        folder.release()


@dataclass(frozen=True)
class _Parts:
    """Parts of which one controller is made."""

    store: SqlStore
    metrics: SqlMetrics
    clock: SystemClock
    ids: RandomIds
    proxy: HAProxy
    targets: Targets
    engine: Engine
    watch: MetricsLoop
    services: Services
    background: BackgroundWork
    wakes: WakeSocket
    keeper: ArtifactKeeper | None
    unreadable: UnreadableRecords


def join(
    settings: Settings,
    folder: StateFolder,
    store: SqlStore,
    table: ImageTable,
    news: Callable[[], None],
    fence: int,
    stopping: asyncio.Event,
) -> _Parts:
    """Join all parts; nothing runs yet. ``news`` is called whenever the engine has written a record; ``fence`` is of
    the lease on the store."""
    clock, ids, metrics = SystemClock(), RandomIds(), SqlMetrics(store.database)
    proxy = HAProxy(settings, folder.path, control_socket(folder), installation=folder.installation)
    # What supervises fleets tells the engine of news, which in turn looks at them through the target.
    context = target_context(
        settings, folder, proxy, metrics, table, ids.new, lambda owner: background.wake(owner, engine.kick)
    )
    context = replace(
        context,
        fence=fence,
        tracing=lambda: background.tracing(),
        followed=lambda: background.followed(),
    )
    targets = join_targets(context, read_targets(settings.targets, KINDS), store)
    services = Services(
        *(settings, folder, store, metrics, clock, ids, SqlQueue(queue_database(settings, store))),
        *(targets.table, targets.all, table, proxy.queued),
        kick=lambda endpoint: engine.kick(endpoint),
        written=news,
        observed=lambda endpoint: engine.observed.get(endpoint),
        guarded=lambda: engine.guarded(),
        stopping=stopping,
    )
    background = join_background(services)
    guards = Guards(metrics, lambda: clock.read()[1].ahead, join_observers(services))
    keeper = join_keeper(store, targets.all, clock, settings)
    engine = Engine(store, targets.driven, clock, guards, partial(note_written, news, keeper), clock.read)
    watch = MetricsLoop(
        *(store, metrics, clock, targets.all.evidence.collect, engine.kick, guards, engine.guarded),
        background.followed,
    )
    return _Parts(
        *(store, metrics, clock, ids, proxy, targets, engine, watch, services, background),
        *(join_wakes(proxy, targets.all.lifecycle), keeper, UnreadableRecords()),
    )


def queue_database(settings: Settings, store: SqlStore) -> Database:
    """The store's own database; on PostgreSQL a second connection pool, so that requests are accepted while records
    are written."""
    if store.database.dialect == "sqlite":
        return store.database
    return open_database(settings.database_url, serial=False, limits=DatabaseLimits(settings.database_timeout))


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
        if self.signed:
            check_sign_in()
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
            await parts.background.start()
            await retire_unknown(parts)
            each_second: list[tuple[Callable[[], Awaitable[None]], float]] = [
                (parts.watch.turn, COLLECT_AFTER),
                (parts.watch.judge_alarms, EVALUATE_AFTER),
                *parts.background.each_second,
                *((one.turn, EVALUATE_AFTER) for one in make_announcers(self.settings, store, parts.clock)),
            ]
            others: list[tuple[float, Callable[[], Awaitable[None]]]] = [
                (STEADY_RESYNC, parts.engine.compare),
                (PROXY_CHECK, parts.proxy.ensure),
                (OFFER_EVERY, LeaseOffers(lease, find_unfitness(parts)).turn),
                (CUT_EVERY, partial(cut_log, self.folder.path)),
                (JOURNAL_EVERY, partial(prune_records, store, self.settings)),
                *parts.background.turns,
                *([(KEEP_EVERY, parts.keeper.turn)] if parts.keeper is not None else []),
                *((one.seconds, one.work) for one in lifecycle.chores),
            ]
            loops = [asyncio.create_task(every_second(work, self.stopping, at)) for work, at in each_second]
            loops += [asyncio.create_task(repeat(*one, self.stopping)) for one in others]
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
            await parts.background.stop()
            await parts.engine.stop()
            await parts.targets.all.runners.end(self.drain)
            await parts.targets.all.recommenders.end(self.drain)
            await self._end(parts)
            await parts.background.close()

    def _gateway(self, parts: _Parts) -> Gateway:
        def kick(owner: str) -> None:
            parts.background.wake(owner, parts.engine.kick)
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
            check_signal=lambda one: features().require_hook("check_signal", "a signal")(one, self.settings),
            check_data=lambda url: check_data(url, self.settings),
            pin_image=lambda container: pin_image(container, self.table, self.settings),
            resolve_model=lambda address: features().require_hook("resolve_model", "a model of a registry")(
                address, parts.services
            ),
            queue=parts.services.queue,
            logs=parts.targets.all.logs,
        )
        gateway = Gateway(
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
        return parts.background.extend(gateway)

    async def _end(self, parts: _Parts) -> None:
        parts.wakes.close()
        if not self.drain:
            await parts.targets.all.lifecycle.stop(drain=False)
            return
        await parts.background.drain()
        # Then the proxy: it takes no new request and lets those in flight come back from their workers.
        try:
            await parts.proxy.stop()
        finally:
            await parts.targets.all.lifecycle.stop(drain=True)

    def _notify(self) -> None:
        self.changed.set()
        self.changed.clear()


def find_unfitness(parts: _Parts) -> Callable[[], str | None]:
    """Make a function that returns the reason why another controller should lead, or None."""
    broken = LastingTrouble(lambda: parts.proxy.trouble, UNFIT_AFTER)
    return lambda: parts.targets.all.cut_off() or broken()


async def retire_unknown(parts: _Parts) -> None:
    """Stop fleets without a record; nothing is touched unless all records are known."""
    try:
        names = await parts.store.read(owners)
    except TidegateError as error:
        log.warning("fleets without a record are not looked for: %s", error)
    else:
        await parts.targets.all.lifecycle.retire_unknown(names)


def owners(tx: Tx) -> set[str]:
    """The names under which fleets may run: endpoints and what features run, including those whose records this
    program cannot read."""
    return set(tx.versions(ENDPOINT)) | find_owners(tx)


async def cut_log(state: Path) -> None:
    """Cut this process's own log, where it goes to a file in the state folder."""
    await asyncio.to_thread(cut, state / "tidegate.log")


async def page(parts: _Parts) -> str:
    """The Prometheus page, rendered beside the event loop: of a thousand endpoints it takes longer than others should
    wait."""
    found = await parts.store.read(
        lambda tx: (alarms.find_all(tx), tx.find(ENDPOINT).items, prometheus.read_added(tx))
    )
    unreadable = await parts.unreadable.find(parts.store, parts.clock.now())
    shown, endpoints, added = found
    looks = [(saved.body, parts.services.observe_now(saved.name)) for saved in endpoints]
    text = await asyncio.to_thread(prometheus.render, parts.watch.totals, shown, looks, added, unreadable)
    text += prometheus.render_storage(parts.metrics.dropped, parts.metrics.lost)
    return text + parts.background.metric_lines()
