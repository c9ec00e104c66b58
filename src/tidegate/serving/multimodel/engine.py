"""The engine of a multi-model container: each request names its model, which is loaded when it is first asked for.

A request whose model is in memory is answered at once. Otherwise it waits, with all others for this model, for the
one load that is under way; requests for other models do not notice. What is wrong with one model is told to who
asks for it, and remembered a little while.
"""

import asyncio
import heapq
import sys
from collections.abc import Coroutine
from functools import partial
from pathlib import Path

from tidegate.domain.errors import ArtifactError, Invalid, Transient
from tidegate.serving.artifacts.fetch import Policy
from tidegate.serving.contract.images import RuntimeKind
from tidegate.serving.contract.invocation import Call, Done, ModelFailed, Outcome, Rejected
from tidegate.serving.contract.replica_spec import ContainerSpec, ReplicaSpec
from tidegate.serving.multimodel import memory, metrics
from tidegate.serving.multimodel.builder_pool import Ended
from tidegate.serving.multimodel.cache import Cache
from tidegate.serving.multimodel.config import Knobs, read_knobs
from tidegate.serving.multimodel.crashes import Crashes
from tidegate.serving.multimodel.disk_cache import Store
from tidegate.serving.multimodel.load_queue import Arrivals
from tidegate.serving.multimodel.loading import Container, Loader
from tidegate.serving.multimodel.model_canary import Rule, State
from tidegate.serving.multimodel.model_entry import Client, Opening, Waiter
from tidegate.serving.multimodel.repository import Source
from tidegate.serving.multimodel.targets import HEADER, BadTarget, key_of, target_of
from tidegate.serving.multimodel.version_watcher import Renewals

WAITING = 1000
"""Requests that wait at one time; more are told to come again."""
_SWITCH = 0.001
"""Seconds after which a thread that loads a model lets the event loop run."""
SHOWN = 1000
"""Models in the listing: more would hold up the event loop."""
_ENDED = {State.PROMOTED: "ModelVersionsPromoted", State.REFUSED: "ModelVersionsRefused"}
_ENDS = "A request like this ended the process that model {} ran in; it is not given to the model again."
SHARE = 0.6
"""Part of the worker's memory limit that models may take where the container does not say."""


async def open_models(spec: ReplicaSpec, container: ContainerSpec, opening: Opening) -> "Models":
    """``opening`` makes the engine of one model's folder. Raises Invalid."""
    if container.runtime.kind is RuntimeKind.PROGRAM:
        raise Invalid("a multi-model container needs a built-in runtime; a program serves one model")
    limit = spec.memory_limit or memory.machine() // 2
    models = Models(
        spec, container, opening, read_knobs(container.environment, container.cache, int(limit * SHARE))
    )
    await models.start()
    return models


class Models:
    healthy = True

    def __init__(self, spec: ReplicaSpec, container: ContainerSpec, opening: Opening, knobs: Knobs) -> None:
        self._loop = asyncio.get_running_loop()
        store = Store(_beside(container.model_dir, "store"), knobs.disk)
        self._crashes = Crashes(_beside(container.model_dir, "crashes"), spec.replica)
        source = Source(container.data_url, Policy(spec.file_roots, spec.s3_endpoint, spec.region))
        made = Container(container.runtime.kind, container.environment, opening)
        self._loader = Loader(made, source, store, self._crashes, knobs.loading)
        self._unloading: list[float] = []
        self._cache = Cache(knobs, self._unloading.append)
        self._labels = metrics.Labels()
        rule = Rule()
        self._arrivals = Arrivals(self._cache, self._loader, store, rule)
        self._renewals = Renewals(self._cache, self._loader, store, rule)
        self._waiting = 0
        self._counted = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        sys.setswitchinterval(_SWITCH)
        await self._loader.start()
        knobs = self._cache.knobs
        for name in dict.fromkeys([*sorted(knobs.pinned), *knobs.prefetch]):
            client = self._cache.client(name, key_of)
            if client.key not in self._crashes.suspects:
                self._load(client)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await self._renewals.close()
        await self._loader.close()
        self._crashes.close()

    def listing(self) -> dict[str, object]:
        """The hottest models that are loaded or on their way, and the memory that all take together, in bytes."""
        now = self._loop.time()
        known = (client for client in self._cache.clients.values() if client.state != "out")
        shown = heapq.nlargest(SHOWN, known, key=lambda client: client.heat.now(now))
        return {
            "memory": self._cache.knobs.memory,
            "held": self._cache.held,
            "resident": self._cache.grown(),
            "loaded": len(self._cache),
            "models": [
                {
                    "name": client.name,
                    "state": client.state,
                    "bytes": client.copy.size if client.copy else 0,
                    "requests_per_second": round(client.heat.rate(now), 6),
                    "pinned": client.name in self._cache.knobs.pinned,
                    "version": client.copy.mark if client.copy else "",
                    "reason": client.refusal.answer.message if client.refusal else "",
                }
                for client in shown
            ],
        }

    # --- requests ---

    def submit(self, call: Call, done: Done) -> None:
        try:
            name = target_of(call.headers.get(HEADER))
        except BadTarget as error:
            done(Rejected(400, "ValidationError", str(error)))
            return
        now = self._loop.time()
        client = self._cache.client(name, key_of)
        client.heat.touch(now)
        self._note_state(call, client, now)
        if client.copy is not None:
            self._serve(client, call, done)
        elif client.refusal is not None and now < client.refusal.until:
            done(client.refusal.answer)
        elif self._waiting >= WAITING:
            done(
                Rejected(429, "ModelNotReadyException", f"Model {name} waits for others to be loaded; try again.")
            )
        else:
            self._wait(client, call, done, now)

    def _serve(self, client: Client, call: Call, done: Done) -> None:
        assert client.copy is not None
        self._renewals.look(client, self._loop.time())
        client.in_hand += 1
        copy = client.copy
        newer = client.renewal.copy if client.renewal is not None else None
        native = copy.native or (newer is not None and newer.native)
        if native and self._crashes.suspicious(client.key, call.body):
            client.in_hand -= 1
            self._spawn(self._tried(client, call, done))
            return
        slot = self._crashes.enter(client.key, call.body) if native else -1
        finish = partial(self._finish, client, call, done, self._loop.time(), slot)
        if client.renewal is None:
            copy.engine.submit(call, finish)
        else:
            self._renewals.serve(client, call, finish)

    def _finish(self, client: Client, call: Call, done: Done, began: float, slot: int, outcome: Outcome) -> None:
        self._crashes.leave(slot)
        client.in_hand -= 1
        if not client.in_hand:
            self._cache.changed()  # it may go now
        metrics.note_answer(call, self._labels.of(client.name), outcome, self._loop.time() - began)
        done(outcome)
        if not self._cache.knobs.cache and not client.in_hand and client.name not in self._cache.knobs.pinned:
            self._cache.drop(client)
            self._arrivals.forget(client)

    async def _tried(self, client: Client, call: Call, done: Done) -> None:
        """A request like one that was in hand when a worker died: in a child first."""
        guilty = ModelFailed(500, _ENDS.format(client.name))
        if self._crashes.condemned(client.key, call.body):
            done(guilty)
            return
        try:
            await self._loader.rehearse(client, call, self._cache.knobs.patience)
        except Ended as error:
            print(f"model {client.name}: a request is refused: {error}", flush=True)
            self._crashes.condemn(client.key, call.body)
            done(guilty)
        except (ArtifactError, Transient) as error:  # a slow trial is no guilt
            done(Rejected(503, "ServiceUnavailable", error.message))
        else:
            self._crashes.acquit(client.key, call.body)
            if client.copy is None:
                self._wait(client, call, done, self._loop.time())
            else:
                self._serve(client, call, done)

    def _note_state(self, call: Call, client: Client, now: float) -> None:
        call.note(metrics.HIT, int(client.copy is not None))
        second = int(now)
        if second != self._counted:
            self._counted = second
            call.note(metrics.LOADED, len(self._cache))
            if now >= self._labels.due:
                self._labels.choose(((c.heat.now(now), c.name) for c in self._cache.clients.values()), now)
            if self._cache.wants_trim(now):
                self._spawn(self._loader.trim())
        for seconds in self._unloading:
            call.note(metrics.UNLOAD, round(seconds * 1e6))
        self._unloading.clear()
        for state in self._renewals.ended:
            call.note(_ENDED[state], 1)
        self._renewals.ended.clear()

    # --- waiting for a load ---

    def _wait(self, client: Client, call: Call, done: Done, now: float) -> None:
        timer = self._loop.call_later(self._cache.knobs.patience, self._out_of_patience, client, call)
        waiter = Waiter(call, done, now, timer)
        if client.waiters is None:
            client.waiters = []
        client.waiters.append(waiter)
        self._waiting += 1
        self._load(client)

    def _out_of_patience(self, client: Client, call: Call) -> None:
        waiters = client.waiters or []
        for waiter in [waiter for waiter in waiters if waiter.call is call]:
            waiters.remove(waiter)
            self._waiting -= 1
            message = (
                f"Model {client.name} is still being loaded after {self._cache.knobs.patience:g} s; try again."
            )
            waiter.done(Rejected(429, "ModelNotReadyException", message))

    def _load(self, client: Client) -> None:
        if client.loading is None and client.copy is None:
            client.loading = self._spawn(self._loaded(client))

    async def _loaded(self, client: Client) -> None:
        try:
            times = await self._arrivals.bring(client)
            await self._renewals.resume(client)
        finally:
            client.loading = None
            waiters, client.waiters = client.waiters or [], None
            self._waiting -= len(waiters)
        for waiter in waiters:
            waiter.timer.cancel()
        if client.copy is None:
            refusal = client.refusal
            for waiter in waiters:
                waiter.done(refusal.answer if refusal else Rejected(500, "InternalFailure", "The model is gone."))
            return
        now = self._loop.time()
        for waiter in waiters:
            waiter.call.note(metrics.WAIT, round((now - waiter.since) * 1e6))
        if waiters:
            if times.download:
                waiters[0].call.note(metrics.DOWNLOAD, round(times.download * 1e6))
            waiters[0].call.note(metrics.LOAD, round(times.load * 1e6))
        for waiter in waiters:
            if client.copy is not None and not waiter.call.abandoned:
                self._serve(client, waiter.call, waiter.done)
            elif waiter.call.abandoned:
                waiter.done(Rejected(499, "ClientClosedRequest", "The client has gone."))
            else:
                self._wait(client, waiter.call, waiter.done, now)

    def _spawn(self, work: Coroutine[None, None, None]) -> "asyncio.Task[None]":
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _beside(model_dir: str, what: str) -> Path:
    return Path(f"{model_dir}.{what}")
