"""A model's way into memory, and what is told and remembered when it does not get there."""

import asyncio
import traceback
from dataclasses import dataclass

from tidegate.domain.errors import ArtifactError, Transient
from tidegate.serving.contract.invocation import Rejected
from tidegate.serving.multimodel import model_canary
from tidegate.serving.multimodel.cache import Cache, TooLarge
from tidegate.serving.multimodel.disk_cache import Kept, Store
from tidegate.serving.multimodel.loading import LONGEST, Loader
from tidegate.serving.multimodel.model_canary import Rule, State
from tidegate.serving.multimodel.model_entry import Client, Refusal
from tidegate.serving.runtimes.forest import Damaged

SOON, LATER = 2.0, 30.0
"""Seconds that a refusal is remembered: of what is not there yet or may pass, and of what takes work to find out."""
_AROUND = 8192
"""Bytes around a forest: the objects that serve it."""
_CERTAIN = 3
"""Measurements."""
_UNPACKED = 3
"""A model that was never loaded is thought to take so many times the size of its files."""


@dataclass
class Times:
    """Seconds."""

    download: float = 0.0
    load: float = 0.0


class Arrivals:
    def __init__(self, cache: Cache, loader: Loader, store: Store, rule: Rule) -> None:
        self._cache = cache
        self._loader = loader
        self._store = store
        self._rule = rule
        self._loop = asyncio.get_running_loop()

    async def bring(self, client: Client) -> Times:
        """Afterwards the client has a copy, or a refusal that says why not. Does not raise."""
        times = Times()
        try:
            async with asyncio.timeout(LONGEST):
                await self._bring(client, times)
            return times
        except TooLarge:
            limit = self._cache.knobs.memory // 2**20
            why = f"Model {client.name} does not fit into the {limit} MB for models beside those that are pinned."
            answer, seconds = Rejected(507, "InsufficientStorage", why), LATER
        except ArtifactError as error:
            answer, seconds = self._invalid(client, str(error)), LATER if client.refusal else SOON
        except (Transient, TimeoutError) as error:
            said = str(error) or f"it took more than {LONGEST:g} s"
            answer, seconds = self._invalid(client, said), SOON
        except Exception as error:
            traceback.print_exception(error)
            answer, seconds = self._invalid(client, f"{type(error).__name__}; see the log"), LATER
        mark = client.refusal.mark if client.refusal else ""
        client.refusal = Refusal(answer, self._loop.time() + seconds, mark)
        print(f"model {client.name}: {answer.message}", flush=True)
        return times

    def forget(self, client: Client) -> None:
        """Nothing of it is kept on disk."""
        self._loop.run_in_executor(None, self._store.forget, client.key)

    async def _bring(self, client: Client, times: Times) -> None:
        await self._take_over(client)
        kept = await self._loader.kept(client)
        if kept is not None and await self._loader.outdated(client, kept):
            kept = None
        kept = kept or await self._prepared(client, times)
        try:
            await self._load(client, kept, times)
        except Damaged as error:
            print(f"model {client.name}: its file on this machine is damaged ({error}); read again", flush=True)
            await self._load(client, await self._prepared(client, times), times)
        client.refusal = None

    async def _take_over(self, client: Client) -> None:
        """A newer version has shown enough before the model was let go, or time has passed since."""
        tried = client.tried
        if tried is None or model_canary.judged(tried, self._rule, self._loop.time()).state is not State.PROMOTED:
            return
        client.tried = None
        if await self._loader.next_mark(client) == tried.mark != await self._loader.refused(client):
            await self._loader.aside(self._store.promote, client.key)
            client.sizes = ()  # of the older version
            print(f"model {client.name}: its new version has taken over", flush=True)

    async def _prepared(self, client: Client, times: Times) -> Kept:
        mark = await self._loader.mark(client.name)
        if client.refusal is not None and client.refusal.mark == mark:
            raise ArtifactError(self._said(client))  # the same file as before
        client.refusal = None
        began = self._loop.time()
        try:
            kept, done = await self._loader.prepare(client, mark)
        except ArtifactError as error:
            client.refusal = Refusal(self._invalid(client, str(error)), 0.0, mark)
            raise
        times.download, times.load = done.download, self._loop.time() - began - done.download
        client.checked = self._loop.time()
        return kept

    async def _load(self, client: Client, kept: Kept, times: Times) -> None:
        need, least = kept.size + _AROUND, None
        if not kept.forest:
            need = client.size or kept.size * _UNPACKED
            least = _least(kept, client)
        async with self._cache.room(need, self._loop.time, least):
            began = self._loop.time()
            copy = await self._loader.load(client, kept)
            times.load += self._loop.time() - began
            self._cache.put(client, copy, self._loop.time())
        self._cache.settle(self._loop.time())

    def _invalid(self, client: Client, why: str) -> Rejected:
        why = why.removeprefix(f"{self._loader.url(client)}: ")
        return Rejected(400, "ValidationError", f"{_FAILED.format(client.name)}{why}")

    def _said(self, client: Client) -> str:
        assert client.refusal is not None
        return client.refusal.answer.message.removeprefix(_FAILED.format(client.name))


def _least(kept: Kept, client: Client) -> int | None:
    """What a model takes for certain; None where what it was measured to take is certain enough."""
    if not client.sizes:
        return kept.size
    smallest = min(client.sizes)
    return None if len(client.sizes) >= _CERTAIN else smallest // 2


_FAILED = "Failed to download model data for TargetModel {}: "
