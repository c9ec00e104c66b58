"""New versions of models that are loaded: noticed when the model is asked for, taken over as ``turnover`` decides."""

import asyncio
from collections.abc import Awaitable
from functools import partial

from tidegate.model.errors import ArtifactError, TidegateError
from tidegate.worker.invocation import Answer, Call, Done, Outcome, Stream
from tidegate.worker.multimodel import turnover
from tidegate.worker.multimodel.cache import Cache, TooLarge
from tidegate.worker.multimodel.clients import Client, Copy, Renewal
from tidegate.worker.multimodel.loading import Loader
from tidegate.worker.multimodel.store import NEXT, Store
from tidegate.worker.multimodel.turnover import Rule, State, Turnover
from tidegate.worker.runtimes.forest import Damaged

EVERY = 5.0
"""Seconds between two looks at one model's artifact."""
_GATHER = 0.2
"""Seconds in which names are gathered that are then looked at together."""
_AT_ONCE = 64


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
        """Called with every request for a loaded model."""
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
        renewal.turnover, chosen = turnover.next_request(renewal.turnover, self._rule)
        began = self._loop.time()
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
        if client.copy is None or mark is None or mark in (client.copy.mark, client.refused):
            return
        if client.renewal is not None:
            if client.renewal.turnover.mark == mark:
                return
            self._cache.drop_newer(client)
        client.renewal = Renewal(Turnover(mark))
        self._spawn(self._renew(client, client.renewal))

    # --- a turnover's beginning ---

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
            renewal.turnover = turnover.failed_to_load(renewal.turnover, str(error))
            await self._conclude(client, renewal)
        except (TidegateError, TooLarge, TimeoutError) as error:
            print(f"model {client.name}: its new version must wait: {error or 'no room'}", flush=True)
            self._give_up(client, renewal)

    async def _bring(self, client: Client, renewal: Renewal) -> None:
        kept, _ = await self._loader.prepare(client, renewal.turnover.mark, NEXT)
        async with self._cache.room(client.size or kept.size, self._loop.time):
            if client.renewal is not renewal:
                return  # let go meanwhile, or a newer one came
            copy = await self._loader.load(client, kept)
            if client.renewal is renewal:
                self._cache.put_newer(client, copy)
                renewal.turnover = turnover.loaded(renewal.turnover, self._loop.time())
                print(f"model {client.name}: a new version takes its first requests", flush=True)

    def _give_up(self, client: Client, renewal: Renewal) -> None:
        if client.renewal is renewal:
            self._cache.drop_newer(client)

    # --- answers, and a turnover's end ---

    def _answered_old(self, renewal: Renewal, done: Done, began: float, outcome: Outcome) -> None:
        now = self._loop.time()
        if isinstance(outcome, Answer | Stream):
            renewal.turnover = turnover.answered(renewal.turnover, self._rule, now, new=False, seconds=now - began)
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
        renewal.turnover = turnover.answered(renewal.turnover, self._rule, now, new=True, seconds=now - began)
        done(outcome)
        self._maybe_over(client, renewal)

    def _answered_instead(
        self, client: Client, renewal: Renewal, done: Done, failure: Outcome, outcome: Outcome
    ) -> None:
        """The older version was asked what the newer failed at. Where it fails too, the request is to blame."""
        if isinstance(outcome, Answer | Stream):
            said = getattr(failure, "message", "it failed")
            renewal.turnover = turnover.failed(renewal.turnover, self._rule, f"a request failed: {said}")
        done(outcome)
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
