"""An instance never has more than it may, nobody is forgotten, and without instances nobody waits."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from tidegate.dispatcher.concurrency import Hands, Turn

STEPS = st.lists(st.one_of(st.integers(0, 5), st.just("end"), st.just("cancel"), st.just("new")), max_size=60)


@given(STEPS, st.integers(1, 5))
def test_no_more_than_may_be_and_nobody_is_forgotten(steps: list[int | str], first: int) -> None:
    async def test() -> None:
        hands, capacity = Hands(lambda: None), first
        hands.room(capacity)
        turns: list[tuple[Turn, asyncio.Task[bool]]] = []
        for step in steps:
            if step == "new":
                turn = Turn(hands, 0.0)
                turns.append((turn, asyncio.create_task(turn.begin())))
            elif step == "end" and (busy := _asking(turns)):
                _leave(turns, busy[0])
            elif step == "cancel" and turns:
                turns[-1][1].cancel()
                await asyncio.gather(turns[-1][1], return_exceptions=True)
                _leave(turns, turns[-1])
            elif isinstance(step, int):
                capacity = step
                hands.room(capacity)
            had = len(_asking(turns))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            for one in [one for one in turns if one[1].done() and not one[1].result()]:
                assert capacity == 0, "sent back only where there is no instance"
                _leave(turns, one)
            asking = len(_asking(turns))
            assert asking <= max(capacity, had), "more with the instances than may be"
            assert not hands.waiting or asking >= capacity, "waits although there is room"
        hands.room(0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for one in list(turns):
            assert one[1].done()
            _leave(turns, one)
        assert hands.idle

    asyncio.run(test())


def _asking(turns: list[tuple[Turn, asyncio.Task[bool]]]) -> list[tuple[Turn, asyncio.Task[bool]]]:
    return [one for one in turns if one[1].done() and not one[1].cancelled() and one[1].result()]


def _leave(turns: list[tuple[Turn, asyncio.Task[bool]]], one: tuple[Turn, asyncio.Task[bool]]) -> None:
    turns.remove(one)
    one[0].end()


def test_what_is_worked_off_fast_is_leased_ahead_of_time() -> None:
    async def test() -> None:
        hands = Hands(lambda: None)
        assert hands.room(4) == 4
        for _ in range(40):
            turn = Turn(hands, 0.0)
            assert await turn.begin()
            turn.end()
            turn.end()
        hands._since -= 0.1  # as if that had taken a tenth of a second
        assert hands.room(4) > 4
        assert hands.room(0) == 0

    asyncio.run(test())
