"""The models in memory: admits and evicts them as ``policy`` decides.

``held`` is the measured memory of the loaded models, ``reserved`` that of loads in progress. Loads get memory in the
order of their arrival, so that small models cannot starve a large one.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from tidegate.features.multi_model.worker import eviction
from tidegate.features.multi_model.worker.config import MultiModelConfig
from tidegate.features.multi_model.worker.eviction import CacheRank, Ranking
from tidegate.features.multi_model.worker.model_canary import CanaryState
from tidegate.features.multi_model.worker.model_entry import LoadedVersion, ModelEntry
from tidegate.host import memory

GHOSTS = 50_000
"""Models that are not loaded, but whose request rate is remembered."""
TRIM_EVERY = 10.0
"""Seconds between two releases of freed memory to the system."""


class ModelTooLarge(Exception):
    """The model would not fit even if all others were evicted that may be."""


class Cache:
    """For the event loop only. ``report`` gets the seconds that an eviction took."""

    def __init__(self, config: MultiModelConfig, report: Callable[[float], None]) -> None:
        self.config = config
        self.clients: dict[str, ModelEntry] = {}
        self.held = 0
        self.reserved = 0
        self._report = report
        self._ranking = Ranking()
        self._pinned = 0
        self._line = asyncio.Lock()
        self._beside: ModelEntry | None = None
        """The first load in the queue must not evict this model's copy."""
        self._changed = asyncio.Event()
        self._baseline = memory.resident()
        self._freed = 0
        self.trim_due = 0.0

    def __len__(self) -> int:
        return len(self._ranking)

    def entry(self, name: str, key: Callable[[str], str]) -> ModelEntry:
        found = self.clients.get(name)
        if found is None:
            if len(self.clients) > len(self) + GHOSTS:
                self._forget()
            found = self.clients[name] = ModelEntry(name, key(name))
        return found

    # --- coming and going ---

    def put(self, entry: ModelEntry, copy: LoadedVersion, now: float) -> None:
        """Add a loaded model, whose memory ``room`` reserved."""
        self._take(entry, copy, now)
        entry.copy = copy

    def exchange(self, entry: ModelEntry, now: float) -> None:
        """Replace the older version by the newer one, which is in memory already."""
        update = entry.update
        assert update is not None and update.copy is not None
        copy, update.copy = update.copy, None
        self.held -= copy.size
        self.drop(entry)
        entry.sizes = ()  # of the older version
        self.put(entry, copy, now)

    def drop(self, entry: ModelEntry) -> None:
        """Unload a model. Its requests in progress are still answered."""
        copy, entry.copy = entry.copy, None
        if copy is None:
            return
        began = time.perf_counter()
        self.drop_newer(entry)
        self._ranking.remove(entry.name)
        self.held -= copy.size
        self._freed += copy.size
        if entry.name in self.config.pinned:
            self._pinned -= copy.size
        _close(copy)
        del copy
        self._report(time.perf_counter() - began)
        self.changed()

    def put_newer(self, entry: ModelEntry, copy: LoadedVersion) -> None:
        """Add a newer version beside the older one."""
        assert entry.update is not None
        entry.update.copy = copy
        self.held += copy.size

    def drop_newer(self, entry: ModelEntry) -> None:
        """Unload a newer version and keep the older one. An unfinished canary continues at the model's next load:
        otherwise none would ever finish where models are evicted quickly."""
        update, entry.update = entry.update, None
        if update is not None and update.canary.state is CanaryState.CANARY:
            entry.paused_canary = update.canary
        if update is None or update.copy is None:
            return
        self.held -= update.copy.size
        self._freed += update.copy.size
        _close(update.copy)
        self.changed()

    def changed(self) -> None:
        """Wake the loads that wait for memory."""
        self._changed.set()

    # --- room ---

    @asynccontextmanager
    async def room(
        self, need: int, now: Callable[[], float], least: int | None = None, beside: ModelEntry | None = None
    ) -> AsyncIterator[None]:
        """Reserve ``need`` bytes for a load during the block; waits for them. ``least``: the certain part of ``need``
        if that is an estimate: if only the estimate is too large, the load gets all there is. ``beside``: a model
        that is not evicted for it. Raises ModelTooLarge."""
        async with self._line:
            self._beside = beside
            try:
                limit = self._largest_capacity(need)
                if least is not None and least <= limit < need:
                    need = limit
                while not self._make_room(need, now()):
                    self._changed.clear()
                    await self._await_change(need, now())
                self.reserved += need
            finally:
                self._beside = None
        try:
            yield
        finally:
            self.reserved -= need
            self.changed()

    def settle(self, now: float) -> None:
        """After a load: if it took more than estimated, evict others as far as that is allowed."""
        over = self.held + self.reserved - self.capacity()
        if over > 0:
            self._evict(self._ranking.room(over, now, self.config.minimum_stay, self._is_spared))

    def capacity(self) -> int:
        return eviction.capacity(self.config.memory, self.held, self.grown())

    def grown(self) -> int:
        """Bytes of resident memory since the start."""
        return max(0, memory.resident() - self._baseline)

    def wants_trim(self, now: float) -> bool:
        """Whether much was evicted since the last release; True once."""
        if now < self.trim_due or self._freed < self.config.memory // 50:
            return False
        self._freed, self.trim_due = 0, now + TRIM_EVERY
        return True

    def _make_room(self, need: int, now: float) -> bool:
        if need > self._largest_capacity(need):
            raise ModelTooLarge
        over = self._excess(need)
        if over <= 0:
            return True
        room = self._ranking.room(over, now, self.config.minimum_stay, self._is_spared)
        if room.enough:
            self._evict(room)
        return room.enough

    def _excess(self, need: int) -> int:
        return self.held + self.reserved + need - self._capacity_for(need)

    def _largest_capacity(self, need: int) -> int:
        """Bytes for a load of ``need`` if all models were evicted that may be."""
        return self._capacity_for(need) - self._unevictable_bytes()

    def _capacity_for(self, need: int) -> int:
        """The capacity for a load. Growth beyond the measured models lowers it, but never below a model that fits
        into the budget alone."""
        staying, capacity = self._unevictable_bytes(), self.capacity()
        if need <= capacity - staying:
            return capacity
        return max(capacity, eviction.capacity(self.config.memory, staying, self.grown()))

    def _unevictable_bytes(self) -> int:
        """Bytes of the models that may not be evicted."""
        one = self._beside
        if one is None or one.copy is None or one.name in self.config.pinned:
            return self._pinned
        return self._pinned + one.copy.size

    async def _await_change(self, need: int, now: float) -> None:
        room = self._ranking.room(self._excess(need), now, self.config.minimum_stay, self._is_spared)
        patience = 1.0 if room.wait_until is None else max(0.01, min(1.0, room.wait_until - now))
        try:
            async with asyncio.timeout(patience):
                await self._changed.wait()
        except TimeoutError:
            pass  # a model may have reached its minimum stay

    def _evict(self, room: eviction.Eviction) -> None:
        for name in room.victims:
            self.drop(self.clients[name])

    def _is_spared(self, name: str) -> bool:
        """Whether a model must stay: it has requests, or was loaded for requests that are still waiting."""
        entry = self.clients[name]
        return entry.in_hand > 0 or bool(entry.waiters) or entry is self._beside

    def _take(self, entry: ModelEntry, copy: LoadedVersion, now: float) -> None:
        pinned = entry.name in self.config.pinned
        self.held += copy.size
        self._pinned += copy.size if pinned else 0
        entry.mark = copy.mark
        if not copy.first:
            entry.weigh(copy.size)
        self._ranking.put(entry.name, CacheRank(entry.heat, copy.size, copy.load_time, now, pinned))

    def _forget(self) -> None:
        """Forget the half of the unloaded models with the lowest request rates."""
        ghosts = [c for c in self.clients.values() if c.copy is None and c.loading is None and not c.waiters]
        ghosts.sort(key=lambda entry: entry.heat.logarithm(eviction.HALF_LIFE))
        for entry in ghosts[: GHOSTS // 2]:
            del self.clients[entry.name]


def _close(copy: LoadedVersion) -> None:
    if copy.native:  # a forest has no resources but memory
        asyncio.ensure_future(copy.engine.close()).add_done_callback(_retrieve_exception)


def _retrieve_exception(task: "asyncio.Future[None]") -> None:
    """Log the error of a model that could not be closed; it is unloaded anyway."""
    if not task.cancelled() and (error := task.exception()) is not None:
        print(f"a model was let go, but: {type(error).__name__}: {error}", flush=True)
