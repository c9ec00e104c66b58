"""Lanes: the late give way to the quick, rest after failures, and come back once they are quick."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise

import pytest

from tidegate.features.labels import lanes
from tidegate.features.labels.lanes import FIRST_REST, LONGEST_REST, PATIENCE, Lanes, call_aside


class Hands:
    """Shows what it is set to."""

    def __init__(self) -> None:
        self.at = 0.0

    def elapsed(self) -> float:
        return self.at


async def settle(made: Lanes) -> None:
    while made._running or made._waiting:
        await asyncio.sleep(0)


def counting(worked: list[str], well: Callable[[str], bool], after: Callable[[], None] = lambda: None):  # type: ignore[no-untyped-def]
    async def work(name: str) -> bool:
        worked.append(name)
        after()
        return well(name)

    typed: Callable[[str], Awaitable[bool]] = work
    return typed


async def test_who_fails_rests_longer_and_longer_and_others_go_on() -> None:
    clock, worked = Hands(), list[str]()
    made = Lanes(clock.elapsed)
    tries = []
    for second in range(3 * int(LONGEST_REST)):
        clock.at = float(second)
        before = worked.count("bad")
        await made.turn(["bad", "good"], counting(worked, lambda name: name == "good"))
        await settle(made)
        tries += [second] * (worked.count("bad") - before)
    assert worked.count("good") == 3 * int(LONGEST_REST)
    waits = [b - a for a, b in pairwise(tries)]
    assert waits[:3] == [FIRST_REST, 2 * FIRST_REST, 4 * FIRST_REST]
    assert max(waits) == LONGEST_REST


async def test_who_was_late_is_quick_again_after_it_was_quick_once() -> None:
    clock, worked = Hands(), list[str]()
    made = Lanes(clock.elapsed)

    def drag() -> None:
        clock.at += PATIENCE + 1

    await made.turn(["slow"], counting(worked, lambda _: True, drag))
    assert "slow" in made._late
    await made.turn(["slow"], counting(worked, lambda _: True))
    await settle(made)
    assert "slow" not in made._late and worked == ["slow", "slow"]


async def test_the_hanging_hold_no_place_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "PATIENCE", 0.01)
    monkeypatch.setattr(lanes, "LONG_PATIENCE", 0.01)
    clock, goes_on, worked = Hands(), asyncio.Event(), list[str]()
    made = Lanes(clock.elapsed)
    names = [f"hangs{number}" for number in range(3 * lanes.LATE)]

    async def work(name: str) -> bool:
        worked.append(name)
        if name.startswith("hangs"):
            await goes_on.wait()
        return True

    await made.turn([*names, "fine"], work)
    assert sorted(worked) == sorted([*names, "fine"])
    await made.turn([*names, "fine"], work)
    assert worked.count("fine") == 2 and len(worked) == len(names) + 2, "nobody is worked for twice at a time"
    goes_on.set()
    await settle(made)
    assert not made._running


async def test_what_is_called_aside_gives_its_value_or_its_error() -> None:
    assert await call_aside(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        await call_aside(lambda: 1 // 0)
