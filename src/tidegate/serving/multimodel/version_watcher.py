"""New versions of models that are loaded: noticed when the model is asked for, taken over as ``turnover`` decides."""

import asyncio
from collections.abc import Awaitable
from functools import partial

from tidegate.domain.errors import ArtifactError, TidegateError
from tidegate.serving.contract.invocation import Answer, Call, Done, Outcome, Stream
from tidegate.serving.multimodel import model_canary
from tidegate.serving.multimodel.cache import Cache, TooLarge
from tidegate.serving.multimodel.disk_cache import NEXT, Kept, Store
from tidegate.serving.multimodel.loading import Loader
from tidegate.serving.multimodel.model_canary import Rule, State, Turnover
from tidegate.serving.multimodel.model_entry import Client, Copy, Renewal
from tidegate.serving.runtimes.forest import Damaged

EVERY = 5.0
"""Seconds between two looks at one model's artifact."""
_GATHER = 0.2
"""Seconds in which names are gathered that are then looked at together."""
_AT_ONCE = 64
_PATIENCE = 1.0
"""Seconds that requests wait for a newer version to be back in memory as well."""


class Renewals:
    def __init__(self, cache: Cache, loader: Loader, store: Store, rule: Rule) -> None:
        self._cache = cache
        self._loader = loader
        self._store = store
        self._rule = rule
        self._loop = asyncio.get_running_loop()
        self._asked: list[Client] = []
        self._looking: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Semaphore(1)
        """One new version is prepared at a time: clients whose models are not loaded at all come first."""
        self.ended: list[State] = []
        """How turnovers ended, for whoever counts them."""

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()

    def look(self, client: Client, now: float) -> None:
        """Called with every request that a model is about to get, though it was loaded for this request only."""
        if now - client.checked < EVERY:
            return
        client.checked = now
        self._asked.append(client)
        if self._looking is None or self._looking.done():
            self._looking = self._spawn(self._look())

    def serve(self, client: Client, call: Call, done: Done) -> None:
        """A request while there is a turnover."""
        renewal, old = client.renewal, client.copy
        assert renewal is not None and old is not None
        began, chosen = self._loop.time(), False
        if renewal.copy is not None:
            renewal.turnover, chosen = model_canary.next_request(renewal.turnover, self._rule)
            self._judge(client, renewal)
            chosen = chosen or renewal.turnover.state is State.PROMOTED
        if chosen and renewal.copy is not None:
            answered = partial(self._answered_new, client, renewal, old, (call, done), began)
            renewal.copy.engine.submit(call, answered)
        else:
            old.engine.submit(call, partial(self._answered_old, renewal, done, began))

    # --- looking ---

    async def _look(self) -> None:
        while self._asked:
            await asyncio.sleep(_GATHER)
            some, self._asked = self._asked[:_AT_ONCE], self._asked[_AT_ONCE:]
            marks = await self._loader.marks([client.name for client in some])
            for client in some:
                self._compare(client, marks.get(client.name))

    def _compare(self, client: Client, mark: str | None) -> None:
        """An artifact that is gone changes nothing: what is loaded lingers."""
        if mark is None or mark in (client.mark, client.refused):
            return
        if client.renewal is not None:
            if client.renewal.turnover.mark == mark:
                return
            self._cache.drop_newer(client)
        tried = client.tried if client.tried is not None and client.tried.mark == mark else None
        renewal = Renewal(tried or Turnover(mark))
        if client.copy is not None:
            client.tried, client.renewal = None, renewal
        elif tried is not None:
            return  # it goes on when the model is back
        self._spawn(self._renew(client, renewal))

    # --- a turnover's beginning ---

    async def resume(self, client: Client) -> None:
        """Once the model is back in memory: the newer version that was tried is tried on, from its next request."""
        tried = client.tried
        if tried is None or client.copy is None or client.renewal is not None:
            return
        if await self._loader.next_mark(client) != tried.mark:
            return  # ``look`` finds what there is now
        client.tried, client.renewal = None, (renewal := Renewal(tried))
        try:
            kept = await self._loader.kept(client, NEXT)
            if kept is not None:
                async with asyncio.timeout(_PATIENCE):
                    await self._place(client, renewal, kept)
        except (TidegateError, Damaged, TooLarge, TimeoutError):
            pass
        if renewal.copy is None:
            self._give_up(client, renewal)

    async def _renew(self, client: Client, renewal: Renewal) -> None:
        mark = renewal.turnover.mark
        try:
            async with self._turn:
                if await self._loader.refused(client) == mark:
                    client.refused = mark
                    self._give_up(client, renewal)
                elif await self._loader.ended_worker(client, mark):
                    raise ArtifactError("it ended its worker")
                else:
                    await self._bring(client, renewal)
        except (ArtifactError, Damaged) as error:
            renewal.turnover = model_canary.failed_to_load(renewal.turnover, str(error))
            await self._conclude(client, renewal)
        except (TidegateError, TooLarge, TimeoutError) as error:
            print(f"model {client.name}: its new version must wait: {str(error) or 'no room'}", flush=True)
            self._give_up(client, renewal)

    async def _bring(self, client: Client, renewal: Renewal) -> None:
        if client.renewal not in (renewal, None):
            return  # a newer one came
        mark = renewal.turnover.mark
        kept = await self._loader.kept(client, NEXT) if await self._loader.next_mark(client) == mark else None
        if kept is None:
            kept, _ = await self._loader.prepare(client, mark, NEXT)
        if await self._place(client, renewal, kept):
            print(f"model {client.name}: a new version takes its first requests", flush=True)
        elif client.renewal is None and client.tried is None and client.mark != mark:
            # The model was let go meanwhile: its next request begins the trial.
            client.tried = model_canary.loaded(renewal.turnover, self._loop.time())

    async def _place(self, client: Client, renewal: Renewal, kept: Kept) -> bool:
        """Loads it beside the older version; False where nobody wants it any more."""
        if client.renewal is not renewal:
            return False
        async with self._cache.room(client.size or kept.size, self._loop.time, beside=client):
            if client.renewal is not renewal:
                return False  # let go meanwhile, or a newer one came
            copy = await self._loader.load(client, kept)
            if client.renewal is not renewal:
                return False
            self._cache.put_newer(client, copy)
            renewal.turnover = model_canary.loaded(renewal.turnover, self._loop.time())
            left = renewal.turnover.since + self._rule.bake - self._loop.time()
            self._loop.call_later(max(0.0, left), self._judge, client, renewal)
            return True

    def _give_up(self, client: Client, renewal: Renewal) -> None:
        if client.renewal is renewal:
            self._cache.drop_newer(client)

    # --- answers, and a turnover's end ---

    def _answered_old(self, renewal: Renewal, done: Done, began: float, outcome: Outcome) -> None:
        now = self._loop.time()
        if isinstance(outcome, Answer | Stream):
            renewal.turnover = model_canary.answered(
                renewal.turnover, self._rule, now, new=False, seconds=now - began
            )
        done(outcome)

    def _answered_new(
        self,
        client: Client,
        renewal: Renewal,
        old: Copy,
        request: tuple[Call, Done],
        began: float,
        outcome: Outcome,
    ) -> None:
        call, done = request
        if not isinstance(outcome, Answer | Stream):
            old.engine.submit(call, partial(self._answered_instead, client, renewal, done, outcome))
            return
        now = self._loop.time()
        renewal.turnover = model_canary.answered(renewal.turnover, self._rule, now, new=True, seconds=now - began)
        done(outcome)
        self._maybe_over(client, renewal)

    def _answered_instead(
        self, client: Client, renewal: Renewal, done: Done, failure: Outcome, outcome: Outcome
    ) -> None:
        """The older version was asked what the newer failed at. Where it fails too, the request is to blame."""
        if isinstance(outcome, Answer | Stream):
            said = getattr(failure, "message", "it failed")
            renewal.turnover = model_canary.failed(renewal.turnover, self._rule, f"a request failed: {said}")
        done(outcome)
        self._maybe_over(client, renewal)

    def _judge(self, client: Client, renewal: Renewal) -> None:
        """Time may be all that a new version needed."""
        if client.renewal is renewal and renewal.copy is not None:
            renewal.turnover = model_canary.judged(renewal.turnover, self._rule, self._loop.time())
            self._maybe_over(client, renewal)

    def _maybe_over(self, client: Client, renewal: Renewal) -> None:
        if renewal.turnover.over and client.renewal is renewal and not renewal.concluding:
            renewal.concluding = True
            self._spawn(self._conclude(client, renewal))

    async def _conclude(self, client: Client, renewal: Renewal) -> None:
        """The disk first, so that a worker that dies here goes on from what was decided."""
        state, mark = renewal.turnover.state, renewal.turnover.mark
        if state is State.PROMOTED and await self._loader.refused(client) == mark:
            state = State.REFUSED  # another replica thought so
        if state is State.PROMOTED:
            await self._loader.aside(self._store.promote, client.key)
            if client.renewal is renewal and renewal.copy is not None:
                self._cache.exchange(client, self._loop.time())
            print(f"model {client.name}: its new version has taken over", flush=True)
        else:
            await self._loader.aside(self._store.refuse, client.key, mark)
            client.refused = mark
            self._give_up(client, renewal)
            print(f"model {client.name}: its new version was refused: {renewal.turnover.reason}", flush=True)
        self.ended.append(state)

    def _spawn(self, work: "Awaitable[None]") -> "asyncio.Task[None]":
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
