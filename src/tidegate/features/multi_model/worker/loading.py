"""Loads a model by name: off the event loop, measured, and first in a child process if it may crash."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tidegate.domain.errors import ArtifactError, TidegateError, Transient
from tidegate.features.multi_model.worker.artifact_builder import BuildJob, BuildResult
from tidegate.features.multi_model.worker.builder_pool import BuilderPool
from tidegate.features.multi_model.worker.crashes import DEATHS, Crashes
from tidegate.features.multi_model.worker.disk_cache import GOOD, NEXT, CachedModel, DiskCache
from tidegate.features.multi_model.worker.model_entry import LoadedVersion, ModelEntry, Opening
from tidegate.features.multi_model.worker.repository import ModelRepository
from tidegate.host import memory
from tidegate.serving.artifacts.fetch import Policy
from tidegate.serving.contract.catalogue import RuntimeKind
from tidegate.serving.contract.invocation import Call
from tidegate.serving.runtimes import choose, score_forest
from tidegate.serving.runtimes.forest import DamagedForest, Forest, unpack
from tidegate.serving.runtimes.optional_imports import LOADER
from tidegate.serving.runtimes.tabular_scorer import Rows, default_accept
from tidegate.serving.scoring.batching import Batcher

LONGEST = 360.0
"""Seconds for reading or loading one model."""
FROZEN_EVERY = 500
"""Loads after which the loaded objects are frozen, since garbage collections would take longer with each of them."""

FOREST_LOAD, FOREST_RATE = 0.0005, 200e6
"""Time to load a forest from disk: seconds, and bytes per second. Constants that were measured once, because the time
of a single load is mostly noise, which would then decide the eviction."""
_PATIENCE = 1.0
_TRIES = 3
_NOWHERE = Policy(())

T = TypeVar("T")


@dataclass(frozen=True)
class ModelContainer:
    """The properties of a container that a loader needs."""

    kind: RuntimeKind
    environment: dict[str, str]
    opening: Opening


class Loader:
    def __init__(
        self, container: ModelContainer, source: ModelRepository, store: DiskCache, crashes: Crashes, limit: int
    ) -> None:
        self._container = container
        self._source = source
        self._store = store
        self._crashes = crashes
        self._preparers = BuilderPool(limit)
        self._threads = ThreadPoolExecutor(limit + 1, thread_name_prefix="models")
        self._large = ThreadPoolExecutor(1, thread_name_prefix="large")
        self._accept = default_accept(container.environment)
        self._measuring = asyncio.Lock()
        self._loop = asyncio.get_running_loop()
        self._loads = 0
        self._first = True
        """Only forests were loaded so far."""

    async def start(self) -> None:
        await self._preparers.start()

    async def close(self) -> None:
        await self._preparers.close()
        for threads in (self._threads, self._large):
            threads.shutdown(wait=False, cancel_futures=True)

    async def marks(self, known: dict[str, str]) -> dict[str, str]:
        """The marks of artifacts, without those that are unavailable now. ``known``: the last ones."""
        return await self.aside(self._marks, known)

    async def mark(self, name: str) -> str:
        return await self.aside(self._source.mark, name)

    async def policy(self) -> Policy:
        """The policy for reading a model. Raises ArtifactError."""
        return await self.aside(self._source.policy)

    async def look_up(self, name: str) -> tuple[str, Policy]:
        """The mark of an artifact, and the policy for reading it: one change of threads, not two, each of which takes
        milliseconds on a busy machine. Raises ArtifactError, Transient."""
        return await self.aside(self._look_up, name)

    async def find_cached(self, entry: ModelEntry, which: str = GOOD) -> CachedModel | None:
        return await self.aside(self._store.find, entry.key, which)

    async def outdated(self, entry: ModelEntry, kept: CachedModel) -> bool:
        """Whether a cached model is obsolete: it crashed its worker, and there is another artifact."""
        deaths = self._crashes.suspects.get(entry.key, 0)
        return deaths >= DEATHS and not kept.forest and await self.mark(entry.name) != kept.mark

    async def refused(self, entry: ModelEntry) -> str:
        return await self.aside(self._store.refused, entry.key)

    async def ended_worker(self, entry: ModelEntry, mark: str) -> bool:
        """Whether this newer version was the canary when a worker crashed with this model."""
        left = await self.find_cached(entry, NEXT)
        return entry.key in self._crashes.suspects and left is not None and left.mark == mark

    def url(self, entry: ModelEntry) -> str:
        return self._source.url(entry.name)

    async def prepare(
        self, entry: ModelEntry, mark: str, policy: Policy, which: str = GOOD
    ) -> tuple[CachedModel, BuildResult]:
        """Download the artifact and prepare it in a child. Raises ArtifactError, Transient."""
        self._crashes.clear(entry.key)
        out = str(self._store.path(entry.key, which))
        job = BuildJob(
            self._source.url(entry.name), mark, out, self._container.kind, self._container.environment, policy
        )
        done = await self._preparers.prepare(job, LONGEST)
        found = await self.aside(self._find_new, entry.key, which)
        if found is None:
            raise ArtifactError("it was there and is gone again")
        return found, done

    async def load(self, entry: ModelEntry, kept: CachedModel) -> LoadedVersion:
        """Load a cached model. Raises ArtifactError, Transient; DamagedForest for a damaged forest file."""
        return await (self._forest(kept) if kept.forest else self._load_unmoved(entry, kept))

    async def _load_unmoved(self, entry: ModelEntry, kept: CachedModel) -> LoadedVersion:
        """Load a folder, and again if another version took its place meanwhile: what was read may be of both."""
        for _ in range(_TRIES):
            loaded, failed = None, None
            try:
                loaded = await self._native(entry, kept)
            except Exception as error:
                failed = error
            now = await self.aside(self._store.find_again, kept)
            if loaded is not None and now is not None and now.identity == kept.identity:
                return loaded
            if loaded is not None:
                await loaded.engine.close()
            elif failed is not None and now == kept:
                raise failed
            if now is None or now.forest:
                break
            kept = now
        raise Transient("its files on this machine were replaced while they were read: try again")

    async def next_mark(self, entry: ModelEntry) -> str:
        """The mark of the newer version in the disk cache; empty if there is none."""
        return await self.aside(self._store.next_mark, entry.key)

    async def trim(self) -> None:
        await self.aside(memory.trim)

    # --- forests: numbers only, which cannot crash the worker ---

    async def _forest(self, kept: CachedModel) -> LoadedVersion:
        engine, mark, size = await self.aside(self._read_forest, kept.path)
        self._loads += 1
        if self._loads % FROZEN_EVERY == 0:
            gc.freeze()
        return LoadedVersion(engine, mark, size, FOREST_LOAD + size / FOREST_RATE, native=False)

    def _read_forest(self, path: Path) -> tuple[Batcher[Rows, object], str, int]:
        before = memory.read()
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise DamagedForest("it is gone") from None
        self._store.used(path)
        forest = unpack(data)
        engine = self._scorer(forest)
        size = memory.grown(before, memory.read(), len(data))
        return engine, forest.head.mark, min(size, 2 * len(data) + (1 << 16))

    def _scorer(self, forest: Forest) -> Batcher[Rows, object]:
        container = self._container
        table = score_forest(forest, container.kind, container.environment, self._accept)
        return Batcher(table, self._loop, aside=self._large)

    # --- other models: read by their own library ---

    async def _native(self, entry: ModelEntry, kept: CachedModel) -> LoadedVersion:
        self._crashes.look()
        deaths = self._crashes.suspects.get(entry.key, 0)
        if deaths >= DEATHS:
            raise ArtifactError(f"it ended its worker {deaths} times; it is tried again when its artifact changes")
        if deaths:
            await self._preparers.prepare(self._trial(kept), LONGEST)
        async with asyncio.timeout(LONGEST), self._measure_alone():
            slot = self._crashes.enter(entry.key)
            try:
                await self.aside(self._import, kept.model)
                began, before = time.perf_counter(), memory.read()
                engine = await self._container.opening(str(kept.model))
                # Memory that other threads freed meanwhile may hide what it takes.
                size = memory.grown(before, memory.read(), kept.size // 2 + 1)
            finally:
                self._crashes.leave(slot)
        first, self._first = self._first, False
        return LoadedVersion(engine, kept.mark, size, time.perf_counter() - began, native=True, first=first)

    async def rehearse(self, entry: ModelEntry, call: Call, seconds: float) -> None:
        """Answer the call in a child, which loads the model for it. Raises ArtifactError if the child crashes or
        takes longer than ``seconds``, and Transient."""
        kept = await self.find_cached(entry)
        if kept is not None and not kept.forest:
            trial = self._trial(kept)
            trial.request, trial.headers = call.body, {k.decode("latin-1"): v for k, v in call.headers.items()}
            await self._preparers.prepare(trial, seconds)

    def _trial(self, kept: CachedModel) -> BuildJob:
        return BuildJob("", kept.mark, str(kept.path), self._container.kind, self._container.environment, _NOWHERE)

    @asynccontextmanager
    async def _measure_alone(self) -> AsyncIterator[None]:
        """Serialise loads, since a load alone is measured more exactly; a slow one delays others by a second at
        most."""
        held = False
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                held = await self._measuring.acquire()
        try:
            yield
        finally:
            if held:
                self._measuring.release()

    # --- threads ---

    def _import(self, folder: Path) -> None:
        """Import the library before the first model is measured."""
        with suppress(TidegateError):
            LOADER.load_module(choose(self._container.kind, folder, self._container.environment))

    def _look_up(self, name: str) -> tuple[str, Policy]:
        return self._source.mark(name), self._source.policy()

    def _find_new(self, key: str, which: str) -> CachedModel | None:
        found = self._store.find(key, which)
        if found is not None and found.forest:
            self._store.added(found.size, time.time())
        return found

    def _marks(self, known: dict[str, str]) -> dict[str, str]:
        found = {}
        for name, mark in known.items():
            with suppress(TidegateError):
                found[name] = self._source.mark(name, mark)
        return found

    def aside(self, work: Callable[..., T], *arguments: object) -> "asyncio.Future[T]":
        return self._loop.run_in_executor(self._threads, work, *arguments)
