"""The wire on a loopback port of its own, for botocore's real clients; no proxy, no engine, no authentication."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar

import boto3
from botocore.config import Config
from botocore.validate import ParamValidator

from tests.memory_audit import guard_of
from tests.memory_metrics import MemoryMetrics
from tests.samples import complete_evidence
from tidegate.domain.alarm import AlarmState
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.observation import FleetStatus, Observation
from tidegate.host.clock import RandomIds
from tidegate.ports.metrics import Metrics
from tidegate.ports.store import JournalLine, StoredRecord
from tidegate.rollout import desired_state
from tidegate.rollout.step import step
from tidegate.service.record_kinds import ENDPOINT
from tidegate.store import SqlStore, open_store
from tidegate.store.queue import SqlQueue
from tidegate.wire import dispatch
from tidegate.wire.operation import WireContext, WireRequest, WireResponse

R = TypeVar("R")

REGION = "us-east-1"
ACCOUNT = "123456789012"
KEY = "AKIDEXAMPLE"
START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
STEPS = 200
"""Steps that an endpoint may take to come to rest."""
NO_RETRIES = {"total_max_attempts": 1}


@dataclass
class HandClock:
    """Stands until it is moved."""

    present: datetime = START

    def now(self) -> datetime:
        return self.present

    def advance(self, seconds: float) -> None:
        self.present += timedelta(seconds=seconds)


@dataclass
class Served:
    """The served context, and what the test sees and sets of it."""

    url: str
    ctx: WireContext
    clock: HandClock
    loop: asyncio.AbstractEventLoop
    store: SqlStore
    metrics: Metrics
    kicked: list[str] = field(default_factory=list)
    observations: dict[str, Observation] = field(default_factory=dict)
    alarms: AlarmState = AlarmState.OK
    """What every alarm that a rollout watches is seen in."""

    def client(self, service: str, **config: Any) -> Any:
        """A boto3 client whose every answer is checked against the operation's output shape."""
        client = boto3.client(
            service,
            endpoint_url=self.url,
            region_name=self.ctx.region,
            aws_access_key_id=KEY,
            aws_secret_access_key="secret",
            config=Config(retries=NO_RETRIES, connect_timeout=5, read_timeout=30, **config),
        )
        client.meta.events.register("after-call", _check_answer)
        return client

    def run(self, work: Coroutine[Any, Any, R]) -> R:
        future: Future[R] = asyncio.run_coroutine_threadsafe(work, self.loop)
        return future.result(30)

    def endpoint(self, name: str) -> Endpoint:
        saved: StoredRecord[Endpoint] | None = self.run(self.store.run(lambda tx: tx.get(ENDPOINT, name)))
        assert saved is not None
        return saved.body

    def change(self, name: str, change: Callable[[Endpoint], Endpoint]) -> None:
        """Puts the endpoint into another state, as its engine would."""
        body = change(self.endpoint(name))
        now = self.clock.now()
        self.run(self.store.run(lambda tx: tx.put(ENDPOINT, name, body, expect=None, now=now)))

    def settle(self, name: str, until: Callable[[Endpoint], bool] | None = None) -> None:
        """Lets the real machine run in a world where everything wanted is there at once, until the endpoint is
        at rest or gone, or ``until`` holds. The last observation is what Describe shows."""
        for _ in range(STEPS):
            saved = self.run(self.store.run(lambda tx: tx.get(ENDPOINT, name)))
            if saved is None or (until(saved.body) if until else _at_rest(saved.body)):
                return
            self._step(saved)
        raise AssertionError(f"{name} did not settle within {STEPS} steps")

    def _step(self, saved: StoredRecord[Endpoint]) -> None:
        now = self.clock.now()
        seen = self.observations[saved.name] = _as_wanted(saved.body, self.alarms, now)
        decision = step(saved.body, seen, now)
        after = decision.endpoint
        if after is None:
            self.run(self.store.run(lambda tx: tx.delete(ENDPOINT, saved.name, expect=saved.version, now=now)))
        elif after != saved.body:
            body, version = after, saved.version
            put = self.store.run(lambda tx: tx.put(ENDPOINT, saved.name, body, expect=version, now=now))
            self.run(put)
        elif decision.wake_at is not None:
            self.clock.present = max(now, decision.wake_at)

    def journal(self) -> list[JournalLine]:
        return self.run(self.store.run(lambda tx: tx.journal(limit=1000)))


def _at_rest(endpoint: Endpoint) -> bool:
    return endpoint.rollout is None and endpoint.scaling is None and not endpoint.deleting


def _as_wanted(endpoint: Endpoint, alarms: AlarmState, now: datetime) -> Observation:
    fleets = {id: FleetStatus(id, spec.count, spec.count) for id, spec in desired_state.fleets(endpoint).items()}
    plan = endpoint.rollout.plan.alarms if endpoint.rollout else ()
    return Observation(
        fleets,
        desired_state.traffic(endpoint),
        dict.fromkeys(plan, alarms),
        complete_evidence(now, endpoint.rollout.stage if endpoint.rollout else 0),
    )


def _check_answer(http_response: Any, parsed: dict[str, Any], model: Any, **_: Any) -> None:
    if http_response.status_code >= 300 or model.output_shape is None:
        return
    members = {name: value for name, value in parsed.items() if name != "ResponseMetadata"}
    report = ParamValidator().validate(members, model.output_shape)
    assert not report.has_errors(), report.generate_report()
    assert parsed["ResponseMetadata"]["RequestId"]
    _check_no_empty_structures(members, model.output_shape)


def _check_no_empty_structures(value: Any, shape: Any) -> None:
    if shape.type_name == "structure":
        for name, entry in value.items():
            member = shape.members[name]
            assert entry != {} or member.type_name != "structure", f"{name} is an empty structure"
            _check_no_empty_structures(entry, member)
    elif shape.type_name == "list":
        for entry in value:
            _check_no_empty_structures(entry, shape.member)


@contextmanager
def serve(database_url: str, metrics: Metrics | None = None, region: str = REGION) -> Iterator[Served]:
    """One request at a time per connection, each handled on one event loop."""
    with looping() as loop:
        served = world(loop, database_url, metrics, region)
        try:
            with listening(lambda request: answer(served, request)) as served.url:
                yield served
        finally:
            served.run(served.store.close())


@contextmanager
def looping() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop on a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@contextmanager
def listening(handle: Callable[[WireRequest], WireResponse]) -> Iterator[str]:
    """Serves HTTP on a free port; the URL. ``handle`` is called on the thread of the request's connection."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.handle = handle
    listener = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    listener.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        listener.join()


def answer(served: Served, request: WireRequest) -> WireResponse:
    key = KEY if "authorization" in request.headers else ""
    return served.run(dispatch.handle(request, served.ctx, guard_of(served.clock, key)))


def world(
    loop: asyncio.AbstractEventLoop, database_url: str, metrics: Metrics | None = None, region: str = REGION
) -> Served:
    """A context over a database of its own, which no one listens for yet. Its store is the caller's to close."""
    store = open_store(database_url)
    clock = HandClock()
    kicked: list[str] = []
    observations: dict[str, Observation] = {}
    ctx = WireContext(
        store=store,
        metrics=metrics or MemoryMetrics(),
        clock=clock,
        ids=RandomIds(),
        region=region,
        account=ACCOUNT,
        kick=kicked.append,
        observed=observations.get,
        queue=SqlQueue(store.database),
        check_answers=True,
    )
    return Served("", ctx, clock, loop, store, ctx.metrics, kicked, observations)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    handle: Callable[[WireRequest], WireResponse]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    wbufsize = -1
    disable_nagle_algorithm = True

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path, _, query = self.path.partition("?")
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = self.server.handle(WireRequest(self.command, path, query, headers, body))
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)
        self.wfile.flush()

    do_GET = _handle
    do_POST = _handle

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""
