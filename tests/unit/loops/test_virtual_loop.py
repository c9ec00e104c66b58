"""The event loop of the simulator: virtual time, legal reorderings, killed and frozen processes."""

import asyncio
from random import Random

import pytest

from tests.loops.virtual_loop import Livelock, VirtualLoop


def run(loop: VirtualLoop, until: float = 1e6) -> None:
    loop.run(until)
    loop.kill()
    loop.close()


def test_time_jumps_to_the_next_timer() -> None:
    loop, woken = VirtualLoop(Random(1)), []

    async def sleeper() -> None:
        await asyncio.sleep(86_400)
        woken.append(loop.time())

    loop.create_task(sleeper())
    run(loop)
    assert woken == [86_400.0]


def test_ready_tasks_run_in_an_order_drawn_from_the_seed() -> None:
    def order(seed: int) -> str:
        loop, ran = VirtualLoop(Random(seed)), []

        async def task(name: str) -> None:
            for _ in range(3):
                await asyncio.sleep(0)
                ran.append(name)

        for name in "abc":
            loop.create_task(task(name))
        run(loop)
        return "".join(ran)

    assert order(1) == order(1)
    assert len({order(seed) for seed in range(20)}) > 10


@pytest.mark.parametrize("seed", range(10))
def test_callbacks_of_one_future_keep_their_order(seed: int) -> None:
    loop, called = VirtualLoop(Random(seed)), list[int]()
    future: asyncio.Future[None] = loop.create_future()
    for number in range(5):
        future.add_done_callback(lambda _, number=number: called.append(number))  # type: ignore[misc]
    loop.call_later(1.0, future.set_result, None)
    run(loop)
    assert called == [0, 1, 2, 3, 4]


def test_timeouts_gathers_and_cancellation_work_in_any_order() -> None:
    async def story() -> list[object]:
        event = asyncio.Event()
        asyncio.get_running_loop().call_later(1.0, event.set)
        try:
            async with asyncio.timeout(1.0):
                await event.wait()
        except TimeoutError:
            pass
        return list(
            await asyncio.gather(
                *(asyncio.sleep(1, n) for n in range(4)), asyncio.wait_for(never(), 2), return_exceptions=True
            )
        )

    async def never() -> None:
        await asyncio.get_running_loop().create_future()

    for seed in range(50):
        loop = VirtualLoop(Random(seed))
        task = loop.create_task(story())
        loop.run(1e6)
        assert task.done()
        assert task.result()[:4] == [0, 1, 2, 3]
        assert isinstance(task.result()[4], TimeoutError)
        loop.close()


def test_a_killed_process_runs_nothing_any_more() -> None:
    loop, done = VirtualLoop(Random(1)), list[object]()

    async def worker() -> None:
        for number in range(10):
            await asyncio.sleep(1)
            done.append(number)

    loop.create_task(worker())
    loop.at(4.5, loop.kill)
    loop.at(60.0, lambda: done.append("world"))
    run(loop)
    assert done == [0, 1, 2, 3, "world"]
    assert loop.errors == []


def test_a_process_can_be_killed_at_any_await() -> None:
    def progress(steps: int) -> int:
        loop, count = VirtualLoop(Random(1)), 0

        async def worker() -> None:
            nonlocal count
            while True:
                await asyncio.sleep(0)
                count += 1
                if count == 50:
                    await asyncio.sleep(1)

        loop.create_task(worker())
        loop.after_steps(steps, loop.kill)
        run(loop, 0.5)
        return count

    assert [progress(steps) for steps in range(5)] == [0, 1, 2, 3, 4]


def test_a_frozen_process_finds_its_timers_overdue() -> None:
    loop, seen = VirtualLoop(Random(1)), []

    async def ticker() -> None:
        while True:
            await asyncio.sleep(1)
            seen.append(loop.time())

    loop.create_task(ticker())
    loop.at(2.5, lambda: loop.freeze(30))
    loop.at(10.0, lambda: seen.append(-loop.time()))
    run(loop, 34.0)
    assert seen == [1.0, 2.0, -10.0, 32.5, 33.5]


def test_spinning_without_time_passing_is_an_error() -> None:
    loop = VirtualLoop(Random(1))

    async def spin() -> None:
        while True:
            await asyncio.sleep(0)

    loop.create_task(spin())
    with pytest.raises(Livelock):
        loop.run(1.0)
    loop.kill()
    loop.close()
