"""How many requests of one endpoint are with its instances, and how many are kept at hand for them.

An instance gets no more at a time than it may have. What it gets next is leased ahead, as much as it works off in
``AHEAD`` seconds: it then need not wait for a turn of the queue, which takes a durable write. Puts and notes of
answers count for nothing here: the instance has done its part by then.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable

AHEAD = 0.3
"""Seconds of work that are leased ahead at the present pace."""
SPAN = 0.1
"""Seconds over which the pace is taken."""
MOST_AHEAD = 400


class Hands:
    """``free`` is called when more could be leased."""

    def __init__(self, free: Callable[[], None]) -> None:
        self._free = free
        self._line: deque[asyncio.Future[bool]] = deque()
        self._capacity = 0
        self._asking = 0
        self._pace = 0.0
        self._answered = 0
        self._since = time.monotonic()
        self.waiting = 0
        """Requests that are leased and have not been with an instance."""

    def room(self, capacity: int) -> int:
        """How many more to lease, now that so many may be with the instances. Without any, those that wait are sent
        back."""
        self._capacity = capacity
        self._serve()
        if not capacity:
            return 0
        now = time.monotonic()
        if now - self._since >= SPAN:
            self._pace = (self._pace + self._answered / (now - self._since)) / 2
            self._answered, self._since = 0, now
        ahead = min(MOST_AHEAD, int(self._pace * AHEAD))
        return max(0, capacity + ahead - self.waiting - self._asking)

    @property
    def idle(self) -> bool:
        return not (self.waiting or self._asking)

    async def take(self) -> bool:
        """Waits for a place with an instance. False: there is none."""
        place: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._line.append(place)
        self._serve()
        try:
            return await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.result():
                self.give()
            raise

    def give(self) -> None:
        """The place is free again."""
        self._asking -= 1
        self._answered += 1
        self._serve()
        self._free()

    def _serve(self) -> None:
        while self._line and (self._asking < self._capacity or not self._capacity):
            place = self._line.popleft()
            if not place.done():
                place.set_result(self._capacity > 0)
                self._asking += self._capacity > 0


class Turn:
    """One request's way through the hands. ``until`` is when its lease ends."""

    def __init__(self, hands: Hands, until: float) -> None:
        self._hands = hands
        self._waits = True
        self._asks = False
        self.until = until
        hands.waiting += 1

    async def begin(self) -> bool:
        """False: no instance takes it."""
        self._asks = await self._hands.take()
        self._stop_waiting()
        return self._asks

    def end(self) -> None:
        """The instance is done with it, or it never got there. Again is harmless."""
        self._stop_waiting()
        if self._asks:
            self._asks = False
            self._hands.give()

    def _stop_waiting(self) -> None:
        if self._waits:
            self._waits = False
            self._hands.waiting -= 1
