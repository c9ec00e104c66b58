"""The engine of a multi-model container: each request names its model, which is loaded at its first request.

A request whose model is in memory is answered at once. Otherwise it waits with all others for this model for the one
load in progress; requests for other models are not affected. Errors of a model go to its own clients, and are
remembered for a short time.
"""

import asyncio
import heapq
import sys
from collections.abc import Coroutine
from functools import partial
from pathlib import Path

from tidegate.domain.errors import ArtifactError, Invalid, Transient
from tidegate.features.multi_model.worker import metrics
from tidegate.features.multi_model.worker.answers import RecentAnswers
from tidegate.features.multi_model.worker.builder_pool import BuilderCrashed
from tidegate.features.multi_model.worker.cache import Cache
from tidegate.features.multi_model.worker.config import (
    HEADER,
    BadTarget,
    MultiModelConfig,
    key_of,
    read_config,
    target_of,
)
from tidegate.features.multi_model.worker.crashes import Crashes
from tidegate.features.multi_model.worker.disk_cache import DiskCache
from tidegate.features.multi_model.worker.load_queue import LoadQueue
from tidegate.features.multi_model.worker.loading import Loader, ModelContainer
from tidegate.features.multi_model.worker.model_canary import CanaryState, Rule
from tidegate.features.multi_model.worker.model_entry import LoadWaiter, ModelEntry, Opening
from tidegate.features.multi_model.worker.repository import ModelRepository
from tidegate.features.multi_model.worker.version_watcher import VersionWatcher
from tidegate.host import memory
from tidegate.serving.artifacts.fetch import Policy
from tidegate.serving.contract.invocation import Call, Done, ModelFailed, Outcome, Rejected
from tidegate.serving.contract.replica_spec import ContainerSpec, ReplicaSpec

WAITING = 1000
"""Requests that may wait for a load; more are rejected with 503."""
_SWITCH = 0.001
"""The interpreter's switch interval in seconds, so that a thread that loads a model yields to the event loop."""
SHOWN = 1000
"""Models in the listing: more would block the event loop."""
_ENDED = {CanaryState.PROMOTED: "ModelVersionsPromoted", CanaryState.REFUSED: "ModelVersionsRefused"}
_ENDS = "A request like this ended the process that model {} ran in; it is not given to the model again."
SHARE = 0.6
"""Share of the worker's memory limit for models if the container sets no limit."""


async def open_models(spec: ReplicaSpec, container: ContainerSpec, opening: Opening) -> "MultiModelEngine":
    """Open the engine. ``opening`` makes the engine of one model's folder. Raises Invalid."""
    if container.runtime.kind.descriptor.outside:
        raise Invalid("a multi-model container needs a built-in runtime; a program serves one model")
    limit = spec.memory_limit or memory.machine() // 2
    models = MultiModelEngine(
        spec, container, opening, read_config(container.environment, container.cache, int(limit * SHARE))
    )
    await models.start()
    return models


class MultiModelEngine:
    healthy = True

    def __init__(
        self, spec: ReplicaSpec, container: ContainerSpec, opening: Opening, config: MultiModelConfig
    ) -> None:
        self._loop = asyncio.get_running_loop()
        store = DiskCache(_sibling_path(container.model_dir, "store"), config.disk)
        self._crashes = Crashes(_sibling_path(container.model_dir, "crashes"), spec.replica)
        source = ModelRepository(container.data_url, Policy(spec.file_roots, spec.s3_endpoint, spec.region))
        made = ModelContainer(container.runtime.kind, container.environment, opening)
        self._loader = Loader(made, source, store, self._crashes, config.loading)
        self._unloading: list[float] = []
        self._cache = Cache(config, self._unloading.append)
        self._labels = metrics.Labels()
        self._answers = RecentAnswers()
        rule = Rule()
        self._arrivals = LoadQueue(self._cache, self._loader, store, rule)
        self._renewals = VersionWatcher(self._cache, self._loader, store, rule)
        self._waiting = 0
        self._counted = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        sys.setswitchinterval(_SWITCH)
        await self._loader.start()
        config = self._cache.config
        for name in dict.fromkeys([*sorted(config.pinned), *config.prefetch]):
            entry = self._cache.entry(name, key_of)
            if entry.key not in self._crashes.suspects:
                self._load(entry)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await self._renewals.close()
        await self._loader.close()
        self._crashes.close()

    def listing(self) -> dict[str, object]:
        """The most requested models that are loaded or loading, and the memory of all models in bytes."""
        now = self._loop.time()
        known = (entry for entry in self._cache.clients.values() if entry.state != "out")
        shown = heapq.nlargest(SHOWN, known, key=lambda entry: entry.heat.now(now))
        return {
            "memory": self._cache.config.memory,
            "held": self._cache.held,
            "resident": self._cache.grown(),
            "loaded": len(self._cache),
            "models": [
                {
                    "name": entry.name,
                    "state": entry.state,
                    "bytes": entry.copy.size if entry.copy else 0,
                    "requests_per_second": round(entry.heat.rate(now), 6),
                    "pinned": entry.name in self._cache.config.pinned,
                    "version": entry.copy.mark if entry.copy else "",
                    "reason": entry.refusal.answer.message if entry.refusal else "",
                    "answers": self._describe_answers(entry.name, now),
                }
                for entry in shown
            ],
        }

    def _describe_answers(self, name: str, now: float) -> dict[str, object] | None:
        """Describe what a model answered in the last ten to twenty minutes; None for a model that has not
        answered."""
        found = self._answers.summary(name, now)
        if found is None:
            return None
        return {
            "requests": found.requests,
            "errors": found.errors,
            "p50_ms": None if found.p50 is None else round(found.p50 * 1e3, 3),
            "p99_ms": None if found.p99 is None else round(found.p99 * 1e3, 3),
            "seconds_since_last": round(now - found.last, 1),
        }

    # --- requests ---

    def submit(self, call: Call, done: Done) -> None:
        try:
            name = target_of(call.headers.get(HEADER))
        except BadTarget as error:
            done(Rejected(400, "ValidationError", str(error)))
            return
        now = self._loop.time()
        entry = self._cache.entry(name, key_of)
        entry.heat.touch(now)
        self._note_state(call, entry, now)
        if entry.copy is not None:
            self._serve(entry, call, done)
        elif entry.refusal is not None and now < entry.refusal.until:
            done(entry.refusal.answer)
        elif self._waiting >= WAITING:
            done(
                Rejected(429, "ModelNotReadyException", f"Model {name} waits for others to be loaded; try again.")
            )
        else:
            self._wait(entry, call, done, now)

    def _serve(self, entry: ModelEntry, call: Call, done: Done) -> None:
        assert entry.copy is not None
        self._renewals.look(entry, self._loop.time())
        entry.in_hand += 1
        copy = entry.copy
        newer = entry.update.copy if entry.update is not None else None
        native = copy.native or (newer is not None and newer.native)
        if native and self._crashes.suspicious(entry.key, call.body):
            entry.in_hand -= 1
            self._spawn(self._rehearse(entry, call, done))
            return
        slot = self._crashes.enter(entry.key, call.body) if native else -1
        finish = partial(self._finish, entry, call, done, self._loop.time(), slot)
        if entry.update is None:
            copy.engine.submit(call, finish)
        else:
            self._renewals.serve(entry, call, finish)

    def _finish(
        self, entry: ModelEntry, call: Call, done: Done, began: float, slot: int, outcome: Outcome
    ) -> None:
        self._crashes.leave(slot)
        entry.in_hand -= 1
        if not entry.in_hand:
            self._cache.changed()  # it may be evicted now
        if (status := metrics.status_of_answer(outcome)) is not None:
            now = self._loop.time()
            metrics.note_answer(call, self._labels.of(entry.name), status, now - began)
            self._answers.note(entry.name, now - began, status == 0 or status >= 400, now)
        done(outcome)
        if not self._cache.config.cache and not entry.in_hand and entry.name not in self._cache.config.pinned:
            self._cache.drop(entry)
            self._arrivals.forget(entry)

    async def _rehearse(self, entry: ModelEntry, call: Call, done: Done) -> None:
        """Try a request in a child first, because an equal one was in progress when a worker crashed."""
        guilty = ModelFailed(500, _ENDS.format(entry.name))
        if self._crashes.is_condemned(entry.key, call.body):
            done(guilty)
            return
        try:
            await self._loader.rehearse(entry, call, self._cache.config.patience)
        except BuilderCrashed as error:
            print(f"model {entry.name}: a request is refused: {error}", flush=True)
            self._crashes.condemn(entry.key, call.body)
            done(guilty)
        except (ArtifactError, Transient) as error:  # a slow trial is no crash
            done(Rejected(503, "ServiceUnavailable", error.message))
        else:
            self._crashes.acquit(entry.key, call.body)
            if entry.copy is None:
                self._wait(entry, call, done, self._loop.time())
            else:
                self._serve(entry, call, done)

    def _note_state(self, call: Call, entry: ModelEntry, now: float) -> None:
        call.note(metrics.HIT, int(entry.copy is not None))
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

    def _wait(self, entry: ModelEntry, call: Call, done: Done, now: float) -> None:
        timer = self._loop.call_later(self._cache.config.patience, self._time_out, entry, call)
        waiter = LoadWaiter(call, done, now, timer)
        if entry.waiters is None:
            entry.waiters = []
        entry.waiters.append(waiter)
        self._waiting += 1
        self._load(entry)

    def _time_out(self, entry: ModelEntry, call: Call) -> None:
        waiters = entry.waiters or []
        for waiter in [waiter for waiter in waiters if waiter.call is call]:
            waiters.remove(waiter)
            self._waiting -= 1
            message = (
                f"Model {entry.name} is still being loaded after {self._cache.config.patience:g} s; try again."
            )
            waiter.done(Rejected(429, "ModelNotReadyException", message))

    def _load(self, entry: ModelEntry) -> None:
        if entry.loading is None and entry.copy is None:
            entry.loading = self._spawn(self._finish_load(entry))

    async def _finish_load(self, entry: ModelEntry) -> None:
        try:
            times = await self._arrivals.bring(entry)
            await self._renewals.resume(entry)
        finally:
            entry.loading = None
            waiters, entry.waiters = entry.waiters or [], None
            self._waiting -= len(waiters)
        for waiter in waiters:
            waiter.timer.cancel()
        if entry.copy is None:
            refusal = entry.refusal
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
            if entry.copy is not None and not waiter.call.abandoned:
                self._serve(entry, waiter.call, waiter.done)
            elif waiter.call.abandoned:
                waiter.done(Rejected(499, "ClientClosedRequest", "The client has gone."))
            else:
                self._wait(entry, waiter.call, waiter.done, now)

    def _spawn(self, work: Coroutine[None, None, None]) -> "asyncio.Task[None]":
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _sibling_path(model_dir: str, what: str) -> Path:
    return Path(f"{model_dir}.{what}")
