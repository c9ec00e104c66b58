"""An instance never has more than it may, nobody is forgotten, and without instances nobody waits."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from tidegate.features.asynchronous.dispatcher.concurrency import ConcurrencyLimiter, ConcurrencySlot

Taken = tuple[ConcurrencySlot, asyncio.Task[bool]]
STEPS = st.lists(st.one_of(st.integers(0, 5), st.just("end"), st.just("cancel"), st.just("new")), max_size=60)


@given(STEPS, st.integers(1, 5))
async def test_concurrency_limit_is_kept_and_no_waiting_request_is_forgotten(
    steps: list[int | str], first: int
) -> None:
    limiter, capacity = ConcurrencyLimiter(lambda: None), first
    limiter.available(capacity)
    slots: list[Taken] = []
    for step in steps:
        if step == "new":
            slot = ConcurrencySlot(limiter, 0.0)
            slots.append((slot, asyncio.create_task(slot.acquire())))
        elif step == "end" and (busy := _active(slots)):
            _leave(slots, busy[0])
        elif step == "cancel" and slots:
            slots[-1][1].cancel()
            await asyncio.gather(slots[-1][1], return_exceptions=True)
            _leave(slots, slots[-1])
        elif isinstance(step, int):
            capacity = step
            limiter.available(capacity)
        had = len(_active(slots))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for one in [one for one in slots if one[1].done() and not one[1].result()]:
            assert capacity == 0, "sent back only where there is no instance"
            _leave(slots, one)
        asking = len(_active(slots))
        assert asking <= max(capacity, had), "more with the instances than may be"
        assert not limiter.waiting or asking >= capacity, "waits although there is room"
    limiter.available(0)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for one in list(slots):
        assert one[1].done()
        _leave(slots, one)
    assert limiter.idle


def _active(
    slots: list[Taken],
) -> list[Taken]:
    return [one for one in slots if one[1].done() and not one[1].cancelled() and one[1].result()]


def _leave(slots: list[Taken], one: Taken) -> None:
    slots.remove(one)
    one[0].release()


async def test_fast_requests_are_leased_ahead() -> None:
    limiter = ConcurrencyLimiter(lambda: None)
    assert limiter.available(4) == 4
    for _ in range(40):
        slot = ConcurrencySlot(limiter, 0.0)
        assert await slot.acquire()
        slot.release()
        slot.release()
    limiter._window_start -= 0.1  # as if that had taken a tenth of a second
    assert limiter.available(4) > 4
    assert limiter.available(0) == 0
