"""How many rows a call should have, by measurement: double them until throughput stops growing. Pure: the call, the
clock and the look at the device's memory are passed in."""

from collections.abc import Callable

from tidegate.serving.contract.device import DeviceLost

GROWTH = 1.1
"""Times the rows per second that a larger size must bring."""
VAIN = 2
"""Doublings in a row that bring less, after which the search ends. One may be bad luck, or a size for which a library
changes its method."""
SECONDS = 5.0
"""Most seconds for the whole search. A call that is expected to end later is not begun."""
REPEATS = 3
"""Calls of each size after the first one, in which libraries prepare themselves; the quickest one counts."""


def find_rows(
    call: Callable[[int], object], most: int, has_room: Callable[[], bool], clock: Callable[[], float]
) -> int:
    """The rows per call, from 1 to ``most``. ``call`` scores so many rows; ``has_room``: whether the device has
    memory to spare after that. A size at which a call fails, or memory is short, is not used. Raises DeviceLost."""
    began = clock()
    best, rate, size, vain = 1, 0.0, 1, 0
    while True:
        quickest = _time(call, size, began + SECONDS, clock)
        if quickest is None or not has_room():
            return best
        found = size / max(quickest, 1e-9)
        if found > rate * GROWTH:
            best, rate, vain = size, found, 0
        else:
            vain += 1
        if vain == VAIN or size >= most or clock() + 2 * quickest * (REPEATS + 1) > began + SECONDS:
            return best
        size = min(2 * size, most)


def _time(call: Callable[[int], object], size: int, until: float, clock: Callable[[], float]) -> float | None:
    """Seconds of the quickest call; None if one fails."""
    seconds = []
    for _ in range(1 + REPEATS):
        began = clock()
        try:
            call(size)
        except DeviceLost:
            raise
        except Exception:  # such as no memory, or a model that takes only so many rows
            return None
        ended = clock()
        seconds.append(ended - began)
        if ended > until:
            break
    return min(seconds[1:] or seconds)
