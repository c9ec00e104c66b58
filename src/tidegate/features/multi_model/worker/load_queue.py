"""Loads models into memory, and remembers why a load failed."""

import asyncio
import traceback
from dataclasses import dataclass

from tidegate.domain.errors import ArtifactError, Transient
from tidegate.features.multi_model.worker import model_canary
from tidegate.features.multi_model.worker.cache import Cache, ModelTooLarge
from tidegate.features.multi_model.worker.disk_cache import CachedModel, DiskCache
from tidegate.features.multi_model.worker.loading import LONGEST, Loader
from tidegate.features.multi_model.worker.model_canary import CanaryState, Rule
from tidegate.features.multi_model.worker.model_entry import LoadRefusal, ModelEntry
from tidegate.serving.contract.invocation import Rejected
from tidegate.serving.runtimes.forest import DamagedForest

SOON, LATER = 2.0, 30.0
"""Seconds for which a failed load is remembered: SOON if it may pass, LATER if finding out is expensive."""
_AROUND = 8192
"""Bytes of the objects that serve a forest."""
_CERTAIN = 3
"""Measurements after which a model's size is certain."""
_UNPACKED = 3
"""Estimated memory of a model that was never loaded, as a multiple of its file size."""


@dataclass
class LoadTimes:
    """Seconds."""

    download: float = 0.0
    load: float = 0.0


class LoadQueue:
    def __init__(self, cache: Cache, loader: Loader, store: DiskCache, rule: Rule) -> None:
        self._cache = cache
        self._loader = loader
        self._store = store
        self._rule = rule
        self._loop = asyncio.get_running_loop()

    async def bring(self, entry: ModelEntry) -> LoadTimes:
        """Load a model. Afterwards the entry has a copy, or a refusal with the reason. Does not raise."""
        times = LoadTimes()
        try:
            async with asyncio.timeout(LONGEST):
                await self._bring(entry, times)
            return times
        except ModelTooLarge:
            limit = self._cache.config.memory // 2**20
            why = f"Model {entry.name} does not fit into the {limit} MB for models beside those that are pinned."
            answer, seconds = Rejected(507, "InsufficientStorage", why), LATER
        except ArtifactError as error:
            answer, seconds = self._invalid(entry, str(error)), LATER if entry.refusal else SOON
        except (Transient, TimeoutError) as error:
            reason = str(error) or f"it took more than {LONGEST:g} s"
            answer, seconds = self._invalid(entry, reason), SOON
        except Exception as error:
            traceback.print_exception(error)
            answer, seconds = self._invalid(entry, f"{type(error).__name__}; see the log"), LATER
        mark = entry.refusal.mark if entry.refusal else ""
        entry.refusal = LoadRefusal(answer, self._loop.time() + seconds, mark)
        print(f"model {entry.name}: {answer.message}", flush=True)
        return times

    def forget(self, entry: ModelEntry) -> None:
        """Remove a model from the disk cache."""
        self._loop.run_in_executor(None, self._store.forget, entry.key)

    async def _bring(self, entry: ModelEntry, times: LoadTimes) -> None:
        await self._take_over(entry)
        kept = await self._loader.find_cached(entry)
        if kept is not None and await self._loader.outdated(entry, kept):
            kept = None
        kept = kept or await self._prepare(entry, times)
        try:
            await self._load(entry, kept, times)
        except DamagedForest as error:
            print(f"model {entry.name}: its file on this machine is damaged ({error}); read again", flush=True)
            await self._load(entry, await self._prepare(entry, times), times)
        entry.refusal = None

    async def _take_over(self, entry: ModelEntry) -> None:
        """Promote a newer version whose canary had passed before the model was evicted, or has by now."""
        paused = entry.paused_canary
        if (
            paused is None
            or model_canary.judge(paused, self._rule, self._loop.time()).state is not CanaryState.PROMOTED
        ):
            return
        entry.paused_canary = None
        if await self._loader.next_mark(entry) == paused.mark != await self._loader.refused(entry):
            await self._loader.aside(self._store.promote, entry.key, paused.mark)
            entry.sizes = ()  # of the older version
            print(f"model {entry.name}: its new version has taken over", flush=True)

    async def _prepare(self, entry: ModelEntry, times: LoadTimes) -> CachedModel:
        mark, policy = await self._loader.look_up(entry.name)
        if entry.refusal is not None and entry.refusal.mark == mark:
            raise ArtifactError(self._refusal_reason(entry))  # the same file as before
        entry.refusal = None
        began = self._loop.time()
        try:
            kept, done = await self._loader.prepare(entry, mark, policy)
        except ArtifactError as error:
            entry.refusal = LoadRefusal(self._invalid(entry, str(error)), 0.0, mark)
            raise
        times.download, times.load = done.download, self._loop.time() - began - done.download
        entry.checked = self._loop.time()
        return kept

    async def _load(self, entry: ModelEntry, kept: CachedModel, times: LoadTimes) -> None:
        need, least = kept.size + _AROUND, None
        if not kept.forest:
            need = entry.size or kept.size * _UNPACKED
            least = _certain_size(kept, entry)
        async with self._cache.room(need, self._loop.time, least):
            began = self._loop.time()
            copy = await self._loader.load(entry, kept)
            times.load += self._loop.time() - began
            self._cache.put(entry, copy, self._loop.time())
        self._cache.settle(self._loop.time())

    def _invalid(self, entry: ModelEntry, why: str) -> Rejected:
        why = why.removeprefix(f"{self._loader.url(entry)}: ")
        return Rejected(400, "ValidationError", f"{_FAILED.format(entry.name)}{why}")

    def _refusal_reason(self, entry: ModelEntry) -> str:
        assert entry.refusal is not None
        return entry.refusal.answer.message.removeprefix(_FAILED.format(entry.name))


def _certain_size(kept: CachedModel, entry: ModelEntry) -> int | None:
    """The certain part of a model's size; None if its measured size is certain enough."""
    if not entry.sizes:
        return kept.size
    smallest = min(entry.sizes)
    return None if len(entry.sizes) >= _CERTAIN else smallest // 2


_FAILED = "Failed to download model data for TargetModel {}: "
