"""Virtual time: what happens next, and nothing in between."""

from collections.abc import Callable
from heapq import heappop, heappush


class Timeline:
    """``now`` is seconds from the start; ``next_event`` jumps to what is due next. Events of one moment happen in the
    order in which they were planned."""

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[[], object]]] = []
        self._planned = 0

    def at(self, when: float, event: Callable[[], object]) -> None:
        """Plan an event; one in the past happens now."""
        self._planned += 1
        heappush(self._events, (max(when, self.now), self._planned, event))

    @property
    def due(self) -> float | None:
        """Time of the next event; None if none is left."""
        return self._events[0][0] if self._events else None

    def next_event(self) -> None:
        """Jump to the next event and let it happen."""
        when, _, event = heappop(self._events)
        self.now = max(when, self.now)
        event()
