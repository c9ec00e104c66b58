"""From a model's name to a copy in memory: off the event loop, measured, and tried in a child where it may crash."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tidegate.domain.errors import ArtifactError, TidegateError
from tidegate.serving.artifacts.fetch import Policy
from tidegate.serving.contract.images import RuntimeKind
from tidegate.serving.contract.invocation import Call
from tidegate.serving.multimodel import memory
from tidegate.serving.multimodel.artifact_builder import Done, Job
from tidegate.serving.multimodel.builder_pool import Preparers
from tidegate.serving.multimodel.crashes import DEATHS, Crashes
from tidegate.serving.multimodel.disk_cache import GOOD, NEXT, Kept, Store
from tidegate.serving.multimodel.model_entry import Client, Copy, Opening
from tidegate.serving.multimodel.repository import Source
from tidegate.serving.runtimes import choose, served
from tidegate.serving.runtimes.forest import Damaged, Forest, unpack
from tidegate.serving.runtimes.optional_imports import IMPORTS
from tidegate.serving.runtimes.tabular_scorer import Rows, default_accept
from tidegate.serving.scoring.batching import Batcher

LONGEST = 360.0
"""Seconds that one model may take to be read or loaded."""
FROZEN_EVERY = 500
"""Loads after which what is loaded is taken out of the garbage collector's sight: its rounds would grow with it."""

FOREST_LOAD, FOREST_RATE = 0.0005, 200e6
"""Seconds that a forest takes to load from this machine's disk, and bytes per second: measured once for all of them,
since the time of one load is mostly chance, and chance would decide between them."""
_PATIENCE = 1.0
_NOWHERE = Policy(())

T = TypeVar("T")


@dataclass(frozen=True)
class Container:
    """What a loader needs to know of the container."""

    kind: RuntimeKind
    environment: dict[str, str]
    opening: Opening


class Loader:
    def __init__(self, container: Container, source: Source, store: Store, crashes: Crashes, limit: int) -> None:
        self._container = container
        self._source = source
        self._store = store
        self._crashes = crashes
        self._preparers = Preparers(limit)
        self._threads = ThreadPoolExecutor(limit + 1, thread_name_prefix="models")
        self._large = ThreadPoolExecutor(1, thread_name_prefix="large")
        self._accept = default_accept(container.environment)
        self._measuring = asyncio.Lock()
        self._loop = asyncio.get_running_loop()
        self._loads = 0
        self._first = True
        """Nothing but forests was loaded yet."""

    async def start(self) -> None:
        await self._preparers.start()

    async def close(self) -> None:
        await self._preparers.close()
        for threads in (self._threads, self._large):
            threads.shutdown(wait=False, cancel_futures=True)

    async def marks(self, names: list[str]) -> dict[str, str]:
        """The artifacts' marks, without those that cannot be had now."""
        return await self.aside(self._marks, names)

    async def mark(self, name: str) -> str:
        return await self.aside(self._source.mark, name)

    async def kept(self, client: Client, which: str = GOOD) -> Kept | None:
        return await self.aside(self._store.find, client.key, which)

    async def outdated(self, client: Client, kept: Kept) -> bool:
        """Whether what is kept is of no use any more: it ended its worker, and there is another artifact."""
        deaths = self._crashes.suspects.get(client.key, 0)
        return deaths >= DEATHS and not kept.forest and await self.mark(client.name) != kept.mark

    async def refused(self, client: Client) -> str:
        return await self.aside(self._store.refused, client.key)

    async def ended_worker(self, client: Client, mark: str) -> bool:
        """Whether this newer version was being tried when a worker died of this model."""
        left = await self.kept(client, NEXT)
        return client.key in self._crashes.suspects and left is not None and left.mark == mark

    def url(self, client: Client) -> str:
        return self._source.url(client.name)

    async def prepare(self, client: Client, mark: str, which: str = GOOD) -> tuple[Kept, Done]:
        """Brings the artifact to this machine, read in a child. Raises ArtifactError, Transient."""
        self._crashes.clear(client.key)
        policy = await self.aside(self._source.policy)
        out = str(self._store.path(client.key, which))
        job = Job(
            self._source.url(client.name), mark, out, self._container.kind, self._container.environment, policy
        )
        done = await self._preparers.prepare(job, LONGEST)
        found = await self.kept(client, which)
        if found is None:
            raise ArtifactError("it was there and is gone again")
        if found.forest:
            await self.aside(self._store.added, found.size, time.time())
        return found, done

    async def load(self, client: Client, kept: Kept) -> Copy:
        """Raises ArtifactError, Transient; Damaged for a forest whose file is no longer whole."""
        return await (self._forest(kept) if kept.forest else self._native(client, kept))

    async def next_mark(self, client: Client) -> str:
        """Of the newer version that is kept on this machine; empty where there is none."""
        return await self.aside(self._next_mark, client)

    def _next_mark(self, client: Client) -> str:
        kept = self._store.find(client.key, NEXT)
        if kept is None or not kept.forest:
            return kept.mark if kept is not None else ""
        try:
            return unpack(kept.path.read_bytes()).head.mark
        except (OSError, Damaged):
            return ""

    async def trim(self) -> None:
        await self.aside(memory.trim)

    # --- a forest: numbers only, nothing in it can harm ---

    async def _forest(self, kept: Kept) -> Copy:
        engine, mark, size = await self.aside(self._read_forest, kept.path)
        self._loads += 1
        if self._loads % FROZEN_EVERY == 0:
            gc.freeze()
        return Copy(engine, mark, size, FOREST_LOAD + size / FOREST_RATE, native=False)

    def _read_forest(self, path: Path) -> tuple[Batcher[Rows, object], str, int]:
        before = memory.read()
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise Damaged("it is gone") from None
        self._store.used(path)
        forest = unpack(data)
        engine = self._served(forest)
        size = memory.grown(before, memory.read(), len(data))
        return engine, forest.head.mark, min(size, 2 * len(data) + (1 << 16))

    def _served(self, forest: Forest) -> Batcher[Rows, object]:
        container = self._container
        table = served(forest, container.kind, container.environment, self._accept)
        return Batcher(table, self._loop, aside=self._large)

    # --- anything else: its own library reads it ---

    async def _native(self, client: Client, kept: Kept) -> Copy:
        self._crashes.look()
        deaths = self._crashes.suspects.get(client.key, 0)
        if deaths >= DEATHS:
            raise ArtifactError(f"it ended its worker {deaths} times; it is tried again when its artifact changes")
        if deaths:
            await self._preparers.prepare(self._trial(kept), LONGEST)
        async with asyncio.timeout(LONGEST), self._alone():
            slot = self._crashes.enter(client.key)
            try:
                await self.aside(self._import, kept.model)
                began, before = time.perf_counter(), memory.read()
                engine = await self._container.opening(str(kept.model))
                # What others freed meanwhile may make it seem to take nothing.
                size = memory.grown(before, memory.read(), kept.size // 2 + 1)
            finally:
                self._crashes.leave(slot)
        first, self._first = self._first, False
        return Copy(engine, kept.mark, size, time.perf_counter() - began, native=True, first=first)

    async def rehearse(self, client: Client, call: Call, seconds: float) -> None:
        """Answers the call in a child, which loads the model for it. Raises ArtifactError where that ends the child
        or takes longer, and Transient."""
        kept = await self.kept(client)
        if kept is not None and not kept.forest:
            trial = self._trial(kept)
            trial.request, trial.headers = call.body, {k.decode("latin-1"): v for k, v in call.headers.items()}
            await self._preparers.prepare(trial, seconds)

    def _trial(self, kept: Kept) -> Job:
        return Job("", kept.mark, str(kept.path), self._container.kind, self._container.environment, _NOWHERE)

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """One load at a time is measured better, but a slow one holds up the others for a second only."""
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
        """A model is not to be measured together with the library that the first one brings."""
        with suppress(TidegateError):
            IMPORTS.runtime(choose(self._container.kind, folder, self._container.environment))

    def _marks(self, names: list[str]) -> dict[str, str]:
        found = {}
        for name in names:
            with suppress(TidegateError):
                found[name] = self._source.mark(name)
        return found

    def aside(self, work: Callable[..., T], *arguments: object) -> "asyncio.Future[T]":
        return self._loop.run_in_executor(self._threads, work, *arguments)
