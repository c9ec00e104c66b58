"""The models in memory and the room for them: what ``policy`` decides, done.

``held`` is the sum of what the loaded models were measured to take, ``reserved`` what loads under way will take.
Loads that need room get it in the order they came, so that a large model is not starved by small ones.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from tidegate.serving.multimodel import memory, policy
from tidegate.serving.multimodel.config import Knobs
from tidegate.serving.multimodel.model_canary import State
from tidegate.serving.multimodel.model_entry import Client, Copy
from tidegate.serving.multimodel.policy import Ranking, Standing

GHOSTS = 50_000
"""Models that are not loaded, but whose heat is remembered."""
TRIM_EVERY = 10.0
"""Seconds between two times that freed memory is given back to the machine."""


class TooLarge(Exception):
    """There would be no room if everything else went that may go."""


class Cache:
    """All of it on the event loop. ``report`` takes the seconds that letting a model go took."""

    def __init__(self, knobs: Knobs, report: Callable[[float], None]) -> None:
        self.knobs = knobs
        self.clients: dict[str, Client] = {}
        self.held = 0
        self.reserved = 0
        self._report = report
        self._ranking = Ranking()
        self._pinned = 0
        self._line = asyncio.Lock()
        self._beside: Client | None = None
        """Whoever is first in the line wants room beside this one's copy."""
        self._changed = asyncio.Event()
        self._baseline = memory.resident()
        self._freed = 0
        self.trim_due = 0.0

    def __len__(self) -> int:
        return len(self._ranking)

    def client(self, name: str, key: Callable[[str], str]) -> Client:
        found = self.clients.get(name)
        if found is None:
            if len(self.clients) > len(self) + GHOSTS:
                self._forget()
            found = self.clients[name] = Client(name, key(name))
        return found

    # --- coming and going ---

    def put(self, client: Client, copy: Copy, now: float) -> None:
        """It is loaded from here on; its place was taken in ``room``."""
        self._take(client, copy, now)
        client.copy = copy

    def exchange(self, client: Client, now: float) -> None:
        """The newer version, in memory beside the older one so far, takes its place."""
        renewal = client.renewal
        assert renewal is not None and renewal.copy is not None
        copy, renewal.copy = renewal.copy, None
        self.held -= copy.size
        self.drop(client)
        client.sizes = ()  # of the older version
        self.put(client, copy, now)

    def drop(self, client: Client) -> None:
        """Lets a loaded model go. What it is asked just now is still answered."""
        copy, client.copy = client.copy, None
        if copy is None:
            return
        began = time.perf_counter()
        self.drop_newer(client)
        self._ranking.remove(client.name)
        self.held -= copy.size
        self._freed += copy.size
        if client.name in self.knobs.pinned:
            self._pinned -= copy.size
        _close(copy)
        del copy
        self._report(time.perf_counter() - began)
        self.changed()

    def put_newer(self, client: Client, copy: Copy) -> None:
        """A newer version, in memory together with the older."""
        assert client.renewal is not None
        client.renewal.copy = copy
        self.held += copy.size

    def drop_newer(self, client: Client) -> None:
        """Ends a turnover; the older version stays. A trial that was not over goes on when the model is asked again:
        where models come and go quickly, none would ever end otherwise."""
        renewal, client.renewal = client.renewal, None
        if renewal is not None and renewal.turnover.state is State.CANARY:
            client.tried = renewal.turnover
        if renewal is None or renewal.copy is None:
            return
        self.held -= renewal.copy.size
        self._freed += renewal.copy.size
        _close(renewal.copy)
        self.changed()

    def changed(self) -> None:
        """Somebody who waits for room may find it now."""
        self._changed.set()

    # --- room ---

    @asynccontextmanager
    async def room(
        self, need: int, now: Callable[[], float], least: int | None = None, beside: Client | None = None
    ) -> AsyncIterator[None]:
        """``need`` bytes for a load, taken until the end of the block. Waits until there are so many. ``least``: what
        it takes for certain, where ``need`` is a guess: it gets all there is if only the guess is too large.
        ``beside``: this model's copy does not go for it. Raises TooLarge."""
        async with self._line:
            self._beside = beside
            try:
                limit = self._largest(need)
                if least is not None and least <= limit < need:
                    need = limit
                while not self._made(need, now()):
                    self._changed.clear()
                    await self._until_change(need, now())
                self.reserved += need
            finally:
                self._beside = None
        try:
            yield
        finally:
            self.reserved -= need
            self.changed()

    def settle(self, now: float) -> None:
        """After a load: if it took more than was thought, others go, as far as they may."""
        over = self.held + self.reserved - self.capacity()
        if over > 0:
            self._evict(self._ranking.room(over, now, self.knobs.minimum_stay, self._spared))

    def capacity(self) -> int:
        return policy.capacity(self.knobs.memory, self.held, self.grown())

    def grown(self) -> int:
        """Bytes of resident memory since the start."""
        return max(0, memory.resident() - self._baseline)

    def wants_trim(self, now: float) -> bool:
        """Whether much was let go since memory was last given back; asks once."""
        if now < self.trim_due or self._freed < self.knobs.memory // 50:
            return False
        self._freed, self.trim_due = 0, now + TRIM_EVERY
        return True

    def _made(self, need: int, now: float) -> bool:
        if need > self._largest(need):
            raise TooLarge
        over = self._over(need)
        if over <= 0:
            return True
        room = self._ranking.room(over, now, self.knobs.minimum_stay, self._spared)
        if room.enough:
            self._evict(room)
        return room.enough

    def _over(self, need: int) -> int:
        return self.held + self.reserved + need - self._capacity_for(need)

    def _largest(self, need: int) -> int:
        """Bytes that there would be for a load of ``need`` if everything went that may go."""
        return self._capacity_for(need) - self._staying()

    def _capacity_for(self, need: int) -> int:
        """Growth beyond what the models were measured to take admits fewer of them; it refuses none that fits into
        the budget when the others have gone."""
        staying, capacity = self._staying(), self.capacity()
        if need <= capacity - staying:
            return capacity
        return max(capacity, policy.capacity(self.knobs.memory, staying, self.grown()))

    def _staying(self) -> int:
        """Bytes of the models that do not go."""
        one = self._beside
        if one is None or one.copy is None or one.name in self.knobs.pinned:
            return self._pinned
        return self._pinned + one.copy.size

    async def _until_change(self, need: int, now: float) -> None:
        room = self._ranking.room(self._over(need), now, self.knobs.minimum_stay, self._spared)
        patience = 1.0 if room.wait_until is None else max(0.01, min(1.0, room.wait_until - now))
        try:
            async with asyncio.timeout(patience):
                await self._changed.wait()
        except TimeoutError:
            pass  # time itself may have made room

    def _evict(self, room: policy.Room) -> None:
        for name in room.victims:
            self.drop(self.clients[name])

    def _spared(self, name: str) -> bool:
        """Also what was loaded for requests that are about to be given to it."""
        client = self.clients[name]
        return client.in_hand > 0 or bool(client.waiters) or client is self._beside

    def _take(self, client: Client, copy: Copy, now: float) -> None:
        pinned = client.name in self.knobs.pinned
        self.held += copy.size
        self._pinned += copy.size if pinned else 0
        client.mark = copy.mark
        if not copy.first:
            client.weigh(copy.size)
        self._ranking.put(client.name, Standing(client.heat, copy.size, copy.load_time, now, pinned))

    def _forget(self) -> None:
        """The coldest half of what is only remembered goes."""
        ghosts = [c for c in self.clients.values() if c.copy is None and c.loading is None and not c.waiters]
        ghosts.sort(key=lambda client: client.heat.logarithm(policy.HALF_LIFE))
        for client in ghosts[: GHOSTS // 2]:
            del self.clients[client.name]


def _close(copy: Copy) -> None:
    if copy.native:  # a forest holds nothing but memory
        asyncio.ensure_future(copy.engine.close()).add_done_callback(_seen)


def _seen(task: "asyncio.Future[None]") -> None:
    """A model that cannot be closed is told of in the log, and gone all the same."""
    if not task.cancelled() and (error := task.exception()) is not None:
        print(f"a model was let go, but: {type(error).__name__}: {error}", flush=True)
