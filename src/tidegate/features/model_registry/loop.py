"""Looks at the registries that endpoints follow, and does what ``rules`` decides."""

import asyncio
import base64
import hashlib
import hmac
import json
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tidegate.compose.background import NamedTasks, Services, Worker
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.errors import AuthError, Conflict, Invalid, TidegateError, Unavailable
from tidegate.domain.history import HistoryEntry
from tidegate.domain.observation import Event
from tidegate.domain.registry_addresses import FollowSettings
from tidegate.features.model_registry.kinds import FOLLOWED, FollowRecord
from tidegate.features.model_registry.registries import Registries
from tidegate.features.model_registry.rules import (
    FollowDecision,
    RollbackReport,
    decide,
    give_up,
    pause_after,
    settle,
)
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.deployments import deploy_spec
from tidegate.ports.clock import Clock
from tidegate.ports.store import Store, Tx
from tidegate.reconcile.reads import ReadCache
from tidegate.service import history, rollouts
from tidegate.service.deploy import DeployOptions, DeployResult, deploy
from tidegate.service.record_kinds import ENDPOINT
from tidegate.service.records import read_if_readable
from tidegate.service.rollouts import Purpose
from tidegate.serving.runtimes.upstream_headers import read_secret, secret_path
from tidegate.targets.start_spec import secrets_folder

log = logging.getLogger(__name__)
EVENT = "registry"
PREFIX = "registry."
"""Before the id of a webhook's delivery: the name by which it wakes the loop."""
MOST_DELIVERIES = 1_000
"""Ids that are remembered: more than come within the minutes in which a webhook is taken."""


class RegistryPort(Protocol):
    """Registries as the loop uses them (``registries.Registries``)."""

    async def find_newest(self, address: str) -> str: ...

    async def report(self, endpoint: str, following: FollowSettings, report: RollbackReport) -> bool: ...


Deploy = Callable[..., Awaitable[DeployResult]]
"""``deploy_spec`` with its context."""


@dataclass(frozen=True)
class _FollowState:
    record: FollowRecord
    endpoint: Endpoint
    entries: tuple[HistoryEntry, ...]


@dataclass
class FollowLoop(Worker):
    store: Store
    clock: Clock
    registries: RegistryPort
    written: Callable[[], None] = lambda: None
    kick: Callable[[str], None] = lambda endpoint: None
    deploy: Deploy | None = None
    """None until the server's requests are answered."""
    _cache: ReadCache[dict[str, FollowRecord]] = field(
        default_factory=lambda: ReadCache(lambda tx: {one.name: one.body for one in tx.find(FOLLOWED).items})
    )
    _due: dict[str, datetime] = field(default_factory=dict)
    _failures: dict[str, int] = field(default_factory=dict)
    """How many looks in a row failed."""
    _looks: NamedTasks = field(default_factory=NamedTasks)
    _deliveries: deque[str] = field(default_factory=lambda: deque(maxlen=MOST_DELIVERIES))
    """Ids of the last webhooks."""

    async def turn(self) -> None:
        """Begin the looks that are due; each endpoint has one at a time."""
        now = self.clock.now()
        records = await self._cache.get(self.store)
        for gone in self._due.keys() - records.keys():
            del self._due[gone]
            self._failures.pop(gone, None)
        self._looks.forget_ended()
        for name, record in records.items():
            if name not in self._looks and self._due.get(name, now) <= now:
                self._due[name] = now + timedelta(seconds=record.following.every)
                self._looks.begin(name, self._look(name, record), f"registry of {name}")

    def wake(self, name: str) -> None:
        """Look at all registries with the next turn. ``name``: id of a webhook's delivery, which counts once."""
        if name not in self._deliveries:
            self._deliveries.append(name)
            self._due.clear()

    def extend(self, gateway: Gateway) -> Gateway:
        self.deploy = partial(deploy_spec, gateway.context)
        return gateway

    async def finish(self) -> None:
        """Wait for the looks under way."""
        await self._looks.finish()

    async def stop(self) -> None:
        await self._looks.stop()

    async def _look(self, name: str, record: FollowRecord) -> None:
        try:
            failed = await self._follow(name)
        except TidegateError as error:  # the store is away
            log.warning("the registry of endpoint %s is not followed: %s", name, error)
            failed = True
        except Exception:
            log.exception("the registry of endpoint %s is not followed", name)
            failed = True
        self._failures[name] = self._failures.get(name, 0) + 1 if failed else 0
        if failed:
            pause = pause_after(self._failures[name], record.following.every)
            self._due[name] = self.clock.now() + pause

    async def _follow(self, name: str) -> bool:
        """One look. Returns whether it failed, so that the next one is later."""
        found = await self.store.read(lambda tx: _read(tx, name))
        if found is None:
            return False
        trouble = await self._report(name, found)
        try:
            newest = await self.registries.find_newest(found.record.following.address)
            decision = decide(found.record, newest, found.endpoint)
            if decision.deploy:
                await self._deploy(name, found.record.following, decision)
            elif decision.abort:
                await self._run(partial(_abort, name=name, newest=newest, now=self.clock.now()))
                self.kick(name)
            else:
                await self._note(name, trouble or decision.note)
        except TidegateError as error:
            await self._note(name, _tell(found.record.following, error))
            return True
        return bool(trouble)

    async def _report(self, name: str, found: _FollowState) -> str:
        """Tell the registry of rollbacks, and then keep that it was told. Returns why it could not be told, which
        keeps no version from being deployed."""
        settled, reports = settle(found.record, found.entries, found.endpoint)
        if settled == found.record and not reports:
            return ""
        try:
            told = {
                one.rollout: await self.registries.report(name, found.record.following, one) for one in reports
            }
        except TidegateError as error:
            return f"the registry cannot be told of a rollback: {error.message}"
        await self._run(partial(_keep_reports, name=name, told=told, reports=reports, now=self.clock.now()))
        return ""

    async def _deploy(self, name: str, following: FollowSettings, decision: FollowDecision) -> None:
        """Deploy the spec with this version, if that is still what is decided in the transaction that does it."""
        if self.deploy is None:
            return
        now, by = self.clock.now(), following.address
        options = DeployOptions(by, supersede=decision.supersede)
        await self.deploy(
            _put_version(json.loads(following.spec), following, decision.deploy),
            options,
            now,
            deploy=partial(_deploy_decided, name=name, decision=decision),
        )
        self.written()

    async def _note(self, name: str, note: str) -> None:
        now = self.clock.now()
        if (await self.store.read(lambda tx: _read_note(tx, name))) not in (None, note):
            await self._run(partial(_keep_note, name=name, note=note, now=now))

    async def _run(self, work: Callable[[Tx], None]) -> None:
        await self.store.run(work)
        self.written()


def _read(tx: Tx, name: str) -> _FollowState | None:
    saved, endpoint = tx.get(FOLLOWED, name), read_if_readable(tx, ENDPOINT, name)
    if saved is None or endpoint is None:
        return None
    return _FollowState(saved.body, endpoint.body, history.read(tx, name).entries)


def _read_note(tx: Tx, name: str) -> str | None:
    saved = tx.get(FOLLOWED, name)
    return None if saved is None else saved.body.note


def _tell(following: FollowSettings, error: TidegateError) -> str:
    if isinstance(error, Unavailable):
        return f"{following.address} cannot be looked up: {error.message}"
    return f"the version that {following.address} names is not deployed: {error.message}"


def _put_version(written: Any, following: FollowSettings, version: str) -> Any:
    model = written["model"]
    follow = model["follow"] if isinstance(model["follow"], dict) else {}
    return {**written, "model": {**model, "data": version, "follow": {**follow, "address": following.address}}}


def _deploy_decided(tx: Tx, *, name: str, decision: FollowDecision, now: datetime, **given: Any) -> DeployResult:
    """``service.deploy``, in the transaction that also keeps that the version was deployed. Raises Conflict if
    something changed since it was decided."""
    saved, endpoint = tx.get(FOLLOWED, name), tx.get(ENDPOINT, name)
    if saved is None or endpoint is None or decide(saved.body, decision.deploy, endpoint.body) != decision:
        raise Conflict("the endpoint changed meanwhile: it is looked at again")
    given_up = give_up(saved.body, endpoint.body)
    if given_up != saved.body:
        tx.put(FOLLOWED, name, given_up, expect=saved.version, now=now)
    address = saved.body.following.address
    _journal(tx, name, f"{address} is {decision.deploy} now, which is rolled out", now)
    return deploy(tx, now=now, **given)


def _abort(tx: Tx, *, name: str, newest: str, now: datetime) -> None:
    """Give up the rollout under way, if that is still what is decided."""
    saved, endpoint = tx.get(FOLLOWED, name), tx.get(ENDPOINT, name)
    if saved is None or endpoint is None or not decide(saved.body, newest, endpoint.body).abort:
        return
    tx.put(FOLLOWED, name, give_up(saved.body, endpoint.body), expect=saved.version, now=now)
    address = saved.body.following.address
    rollouts.abort(tx, name, address, now, Purpose(reason=f"{address} is {newest} again, which serves"))


def _keep_reports(
    tx: Tx, *, name: str, told: dict[str, bool], reports: list[RollbackReport], now: datetime
) -> None:
    found = _read(tx, name)
    if found is None:
        return
    record, _ = settle(found.record, found.entries, found.endpoint)
    attempts = tuple(replace(one, reported=one.reported or one.rollout in told) for one in record.attempts)
    tx.put(FOLLOWED, name, replace(record, attempts=attempts), expect=None, now=now)
    for one in reports:
        moved = f", and {record.following.address} is {one.back} again" if told[one.rollout] else ""
        _journal(tx, name, f"the registry was told that {one.version} was rolled back{moved}", now)


def _keep_note(tx: Tx, *, name: str, note: str, now: datetime) -> None:
    saved = tx.get(FOLLOWED, name)
    if saved is None or saved.body.note == note:
        return
    tx.put(FOLLOWED, name, replace(saved.body, note=note), expect=saved.version, now=now)
    _journal(tx, name, note or f"nothing is in the way of {saved.body.following.address} any more", now)


def _journal(tx: Tx, name: str, message: str, now: datetime) -> None:
    saved = read_if_readable(tx, ENDPOINT, name)
    if saved is not None:
        tx.put(ENDPOINT, name, saved.body, expect=saved.version, now=now, events=[Event(EVENT, message)])


def make_loop(services: Services) -> FollowLoop:
    return FollowLoop(services.store, services.clock, Registries(services), services.written, services.kick)


# Webhooks of MLflow, which only wake the loop: what they say is never used, so that nobody can deploy by one.


SECRET = "mlflow-webhook"
"""Name of the secret that MLflow signs with."""
SIGNATURE, TIMESTAMP, DELIVERY = "x-mlflow-signature", "x-mlflow-timestamp", "x-mlflow-delivery-id"
OLDEST = 300
"""Seconds by which a webhook's time may differ from this machine's."""


async def receive_webhook(gateway: Gateway, request: Request) -> Response:
    """Look at the registries now, for a webhook that MLflow signed."""
    try:
        path = secret_path(secrets_folder(gateway.settings), SECRET)
        secret = await asyncio.to_thread(read_secret, path, SECRET)
    except Invalid as error:
        raise AuthError(f"webhooks are not taken: {error.message}") from None
    now = gateway.context.clock.now().timestamp()
    if not is_signed(secret, request.headers, bytes(request.state.body or b""), now):
        raise AuthError("the webhook is not signed by MLflow with the secret mlflow-webhook, or is too old")
    gateway.context.kick(PREFIX + request.headers[DELIVERY])
    return JSONResponse({"status": "looking"}, 202)


def is_signed(secret: bytes, headers: Mapping[str, str], body: bytes, now: float) -> bool:
    """Whether MLflow signed it within the last minutes: ``v1,`` and the HMAC-SHA256, in base 64, of the delivery's
    id, its time in epoch seconds, and the body, joined by dots. ``headers`` has names in lower case; ``now`` is in
    epoch seconds."""
    delivery, at = headers.get(DELIVERY, ""), headers.get(TIMESTAMP, "")
    if not (at.isascii() and at.isdecimal() and abs(now - int(at)) <= OLDEST and delivery):
        return False
    signed = b".".join((delivery.encode(), at.encode(), body))
    made = "v1," + base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
    return hmac.compare_digest(made.encode(), headers.get(SIGNATURE, "").encode())
