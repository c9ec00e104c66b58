"""Watches loaded models for new versions, at their requests, and replaces them as ``model_canary`` decides."""

import asyncio
from collections.abc import Awaitable
from functools import partial

from tidegate.domain.errors import ArtifactError, TidegateError
from tidegate.features.multi_model.worker import model_canary
from tidegate.features.multi_model.worker.cache import Cache, ModelTooLarge
from tidegate.features.multi_model.worker.disk_cache import NEXT, CachedModel, DiskCache
from tidegate.features.multi_model.worker.loading import Loader
from tidegate.features.multi_model.worker.model_canary import CanaryState, ModelCanary, Rule
from tidegate.features.multi_model.worker.model_entry import LoadedVersion, ModelEntry, VersionUpdate
from tidegate.serving.contract.invocation import GONE, Answer, Call, Done, Outcome, Stream
from tidegate.serving.runtimes.forest import DamagedForest

EVERY = 5.0
"""Seconds between two checks of a model's artifact."""
_GATHER = 0.2
"""Seconds in which names are collected for one check."""
_AT_ONCE = 64
_PATIENCE = 1.0
"""Seconds for which requests wait until a newer version is in memory again."""


class VersionWatcher:
    def __init__(self, cache: Cache, loader: Loader, store: DiskCache, rule: Rule) -> None:
        self._cache = cache
        self._loader = loader
        self._store = store
        self._rule = rule
        self._loop = asyncio.get_running_loop()
        self._asked: list[ModelEntry] = []
        self._looking: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Semaphore(1)
        """One new version is prepared at a time: requests for models that are not loaded come first."""
        self.ended: list[CanaryState] = []
        """Final states of canaries, which the engine moves to the metrics."""

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()

    def look(self, entry: ModelEntry, now: float) -> None:
        """Check the artifact if it is due. Call this at every request of a loaded model."""
        if now - entry.checked < EVERY:
            return
        entry.checked = now
        self._asked.append(entry)
        if self._looking is None or self._looking.done():
            self._looking = self._spawn(self._check_versions())

    def serve(self, entry: ModelEntry, call: Call, done: Done) -> None:
        """Answer a request during a canary."""
        update, old = entry.update, entry.copy
        assert update is not None and old is not None
        began, chosen = self._loop.time(), False
        if update.copy is not None:
            update.canary, chosen = model_canary.next_request(update.canary, self._rule)
            self._judge(entry, update)
            chosen = chosen or update.canary.state is CanaryState.PROMOTED
        if chosen and update.copy is not None:
            answered = partial(self._finish_new, entry, update, old, (call, done), began)
            update.copy.engine.submit(call, answered)
        else:
            old.engine.submit(call, partial(self._finish_old, update, done, began))

    # --- looking ---

    async def _check_versions(self) -> None:
        while self._asked:
            await asyncio.sleep(_GATHER)
            some, self._asked = self._asked[:_AT_ONCE], self._asked[_AT_ONCE:]
            marks = await self._loader.marks({entry.name: entry.mark for entry in some})
            for entry in some:
                self._compare(entry, marks.get(entry.name))

    def _compare(self, entry: ModelEntry, mark: str | None) -> None:
        """Start a canary if the mark differs. A removed artifact changes nothing: the model stays loaded."""
        if mark is None or mark in (entry.mark, entry.refused):
            return
        if entry.update is not None:
            if entry.update.canary.mark == mark:
                return
            self._cache.drop_newer(entry)
        paused = (
            entry.paused_canary if entry.paused_canary is not None and entry.paused_canary.mark == mark else None
        )
        update = VersionUpdate(paused or ModelCanary(mark))
        if entry.copy is not None:
            entry.paused_canary, entry.update = None, update
        elif paused is not None:
            return  # it continues at the next load
        self._spawn(self._renew(entry, update))

    # --- a turnover's beginning ---

    async def resume(self, entry: ModelEntry) -> None:
        """Continue an unfinished canary after the model was loaded again, from its next request."""
        paused = entry.paused_canary
        if paused is None or entry.copy is None or entry.update is not None:
            return
        if await self._loader.next_mark(entry) != paused.mark:
            return  # ``look`` finds the current artifact
        entry.paused_canary, entry.update = None, (update := VersionUpdate(paused))
        try:
            kept = await self._loader.find_cached(entry, NEXT)
            if kept is not None:
                async with asyncio.timeout(_PATIENCE):
                    await self._place(entry, update, kept)
        except (TidegateError, DamagedForest, ModelTooLarge, TimeoutError):
            pass
        if update.copy is None:
            self._give_up(entry, update)

    async def _renew(self, entry: ModelEntry, update: VersionUpdate) -> None:
        mark = update.canary.mark
        try:
            async with self._turn:
                if await self._loader.refused(entry) == mark:
                    entry.refused = mark
                    self._give_up(entry, update)
                elif await self._loader.ended_worker(entry, mark):
                    raise ArtifactError("it ended its worker")
                else:
                    await self._bring(entry, update)
        except (ArtifactError, DamagedForest) as error:
            update.canary = model_canary.refuse_load(update.canary, str(error))
            await self._conclude(entry, update)
        except (TidegateError, ModelTooLarge, TimeoutError) as error:
            print(f"model {entry.name}: its new version must wait: {str(error) or 'no room'}", flush=True)
            self._give_up(entry, update)

    async def _bring(self, entry: ModelEntry, update: VersionUpdate) -> None:
        if entry.update not in (update, None):
            return  # a newer one came
        mark = update.canary.mark
        kept = await self._loader.find_cached(entry, NEXT) if await self._loader.next_mark(entry) == mark else None
        if kept is None:
            kept, _ = await self._loader.prepare(entry, mark, await self._loader.policy(), NEXT)
        if await self._place(entry, update, kept):
            print(f"model {entry.name}: a new version takes its first requests", flush=True)
        elif entry.update is None and entry.paused_canary is None and entry.mark != mark:
            # The model was evicted meanwhile: its next request begins the canary.
            entry.paused_canary = model_canary.start(update.canary, self._loop.time())

    async def _place(self, entry: ModelEntry, update: VersionUpdate, kept: CachedModel) -> bool:
        """Load it beside the older version; False if it is not needed any more."""
        if entry.update is not update:
            return False
        async with self._cache.room(entry.size or kept.size, self._loop.time, beside=entry):
            if entry.update is not update:
                return False  # evicted meanwhile, or replaced by a newer one
            copy = await self._loader.load(entry, kept)
            if entry.update is not update:
                return False
            self._cache.put_newer(entry, copy)
            update.canary = model_canary.start(update.canary, self._loop.time())
            left = update.canary.since + self._rule.bake - self._loop.time()
            self._loop.call_later(max(0.0, left), self._judge, entry, update)
            return True

    def _give_up(self, entry: ModelEntry, update: VersionUpdate) -> None:
        if entry.update is update:
            self._cache.drop_newer(entry)

    # --- answers, and a turnover's end ---

    def _finish_old(self, update: VersionUpdate, done: Done, began: float, outcome: Outcome) -> None:
        now = self._loop.time()
        if isinstance(outcome, Answer | Stream):
            update.canary = model_canary.count_answer(
                update.canary, self._rule, now, new=False, seconds=now - began
            )
        done(outcome)

    def _finish_new(
        self,
        entry: ModelEntry,
        update: VersionUpdate,
        old: LoadedVersion,
        request: tuple[Call, Done],
        began: float,
        outcome: Outcome,
    ) -> None:
        call, done = request
        if outcome == GONE:
            done(outcome)
            return
        if not isinstance(outcome, Answer | Stream):
            old.engine.submit(call, partial(self._finish_fallback, entry, update, done, outcome))
            return
        now = self._loop.time()
        update.canary = model_canary.count_answer(update.canary, self._rule, now, new=True, seconds=now - began)
        done(outcome)
        self._end_if_over(entry, update)

    def _finish_fallback(
        self, entry: ModelEntry, update: VersionUpdate, done: Done, failure: Outcome, outcome: Outcome
    ) -> None:
        """Count a request that the newer version failed at and the older one has answered: if both failed, the
        request is at fault."""
        if isinstance(outcome, Answer | Stream):
            message = getattr(failure, "message", "it failed")
            update.canary = model_canary.count_failure(update.canary, self._rule, f"a request failed: {message}")
        done(outcome)
        self._end_if_over(entry, update)

    def _judge(self, entry: ModelEntry, update: VersionUpdate) -> None:
        """Promote a version that has passed by time alone."""
        if entry.update is update and update.copy is not None:
            update.canary = model_canary.judge(update.canary, self._rule, self._loop.time())
            self._end_if_over(entry, update)

    def _end_if_over(self, entry: ModelEntry, update: VersionUpdate) -> None:
        if update.canary.over and entry.update is update and not update.concluding:
            update.concluding = True
            self._spawn(self._conclude(entry, update))

    async def _conclude(self, entry: ModelEntry, update: VersionUpdate) -> None:
        """Apply the decision, on disk first, so that it survives a crash of this worker."""
        state, mark = update.canary.state, update.canary.mark
        if state is CanaryState.PROMOTED and await self._loader.refused(entry) == mark:
            state = CanaryState.REFUSED  # another replica refused it
        if state is CanaryState.PROMOTED:
            await self._loader.aside(self._store.promote, entry.key, mark)
            if entry.update is update and update.copy is not None:
                self._cache.exchange(entry, self._loop.time())
            print(f"model {entry.name}: its new version has taken over", flush=True)
        else:
            await self._loader.aside(self._store.refuse, entry.key, mark)
            entry.refused = mark
            self._give_up(entry, update)
            print(f"model {entry.name}: its new version was refused: {update.canary.reason}", flush=True)
        self.ended.append(state)

    def _spawn(self, work: "Awaitable[None]") -> "asyncio.Task[None]":
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
