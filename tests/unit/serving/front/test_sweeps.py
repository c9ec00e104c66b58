"""When a worker's once-a-second work is done: never left out, and by a worker at rest without waking up for it."""

import asyncio
import contextlib
import itertools
from collections.abc import Callable
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from tidegate.serving.front.server import EARLIEST, LATEST, Sweeps


class Timer:
    def __init__(self, at: float, work: Callable[[], None]) -> None:
        self.at, self.work, self.cancelled = at, work, False

    def cancel(self) -> None:
        self.cancelled = True


class Loop:
    """Virtual time; counts the times that a timer woke it."""

    def __init__(self) -> None:
        self.now, self.woken = 1000.0, 0
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_later(self, seconds: float, work: Callable[[], None]) -> Timer:
        timer = Timer(self.now + seconds, work)
        self.timers.append(timer)
        return timer

    def call_soon(self, work: Callable[[], None]) -> None:
        work()

    def run_until(self, end: float) -> None:
        while True:
            self.timers = [one for one in self.timers if not one.cancelled]
            due = min((one for one in self.timers if one.at <= end), key=lambda one: one.at, default=None)
            if due is None:
                self.now = end
                return
            self.timers.remove(due)
            self.now = max(self.now, due.at)
            self.woken += 1
            due.work()


def begun(loop: Loop, rests: Callable[[], bool]) -> tuple[Sweeps, list[float]]:
    done = list[float]()

    def work() -> bool:
        done.append(loop.now)
        return rests()

    sweeps = Sweeps(work, lambda: int(loop.now * 1e6))
    sweeps.start(cast(asyncio.AbstractEventLoop, loop))
    return sweeps, done


def test_pings_keep_a_worker_at_rest_from_waking_up_by_itself() -> None:
    loop = Loop()
    sweeps, done = begun(loop, lambda: True)
    loop.run_until(1002.0)
    before = loop.woken
    for second in range(60):
        loop.run_until(1002.0 + second)
        sweeps.nudge()
    assert loop.woken - before <= 1
    assert len(done) >= 55


def test_a_busy_worker_misses_no_second() -> None:
    loop = Loop()
    _, done = begun(loop, lambda: False)
    loop.run_until(1060.0)
    assert {int(at) for at in done} >= set(range(1002, 1060))


@given(st.lists(st.tuples(st.floats(0.01, 2.0), st.booleans()), min_size=5, max_size=60))
def test_whatever_comes_the_work_is_done_in_time(story: list[tuple[float, bool]]) -> None:
    loop, resting = Loop(), True
    sweeps, done = begun(loop, lambda: resting)
    for pause, resting in story:  # noqa: B007 (read by the work)
        loop.run_until(loop.now + pause)
        sweeps.nudge()
    gaps = [after - before for before, after in itertools.pairwise(done)]
    assert all(gap <= max(LATEST, 1.5) + 0.001 for gap in gaps)
    assert all(gap >= min(EARLIEST, 0.5) - 0.001 for gap in gaps)


def test_work_that_fails_is_not_the_last() -> None:
    loop, calls = Loop(), list[float]()

    def work() -> bool:
        calls.append(loop.now)
        if len(calls) == 1:
            raise OSError("once")
        return True

    Sweeps(work, lambda: int(loop.now * 1e6)).start(cast(asyncio.AbstractEventLoop, loop))
    with contextlib.suppress(OSError):
        loop.run_until(1001.0)
    loop.run_until(1005.0)
    assert len(calls) >= 3
