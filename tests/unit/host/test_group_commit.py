"""Batches: who shares one, and who waits for whom."""

import asyncio

import pytest

from tidegate.domain.errors import Unavailable
from tidegate.host import group_commit
from tidegate.host.group_commit import GroupCommit

LONG = 60.0
"""Seconds for which no test waits."""


class Batches:
    def __init__(self, gather: float) -> None:
        self.sizes: list[int] = []
        self.commit: GroupCommit[int, int] = GroupCommit(self.perform, gather)

    async def perform(self, given: list[int]) -> list[int]:
        self.sizes.append(len(given))
        await asyncio.sleep(0)
        if 13 in given:
            raise ValueError("no")
        if 7 in given:
            raise Unavailable("away")
        return [2 * one for one in given]

    async def ask(self, one: int) -> int:
        async with asyncio.timeout(LONG / 2):
            return await self.commit.do(one)


def test_clients_that_ask_again_after_one_another_share_each_batch() -> None:
    async def test() -> list[int]:
        batches = Batches(LONG)

        async def client(number: int) -> None:
            for _ in range(3):
                assert await batches.ask(number) == 2 * number
                for _ in range(number):
                    await asyncio.sleep(0)

        await asyncio.gather(*(client(number) for number in range(4)))
        return batches.sizes

    assert asyncio.run(test()) == [4, 4, 4]


def test_a_write_that_comes_alone_waits_for_nobody() -> None:
    async def test() -> list[int]:
        batches = Batches(LONG)
        for one in (1, 2, 3):
            assert await batches.ask(one) == 2 * one
        return batches.sizes

    assert asyncio.run(test()) == [1, 1, 1]


def test_who_stays_away_is_not_waited_for_forever() -> None:
    async def test() -> list[int]:
        batches = Batches(0.01)
        await asyncio.gather(batches.ask(1), batches.ask(2))
        assert await batches.ask(3) == 6
        return batches.sizes

    assert asyncio.run(test()) == [2, 1]


def test_a_write_that_cannot_be_executed_fails_alone() -> None:
    async def test() -> tuple[list[object], list[int]]:
        batches = Batches(0.01)
        answers = await asyncio.gather(*map(batches.ask, (1, 13, 2)), return_exceptions=True)
        return [one if isinstance(one, int) else type(one) for one in answers], batches.sizes

    assert asyncio.run(test()) == ([2, ValueError, 4], [3, 1, 1, 1])


def test_what_is_away_is_away_for_the_whole_batch() -> None:
    async def test() -> tuple[list[object], list[int]]:
        batches = Batches(0.01)
        answers = await asyncio.gather(*map(batches.ask, (7, 1)), return_exceptions=True)
        return [*map(type, answers), await batches.ask(2)], batches.sizes

    assert asyncio.run(test()) == ([Unavailable, Unavailable, 4], [2, 1])


@pytest.mark.parametrize("count", [501, 1200])
def test_no_batch_is_above_the_maximum(count: int) -> None:
    async def test() -> list[int]:
        batches = Batches(0.0)
        await asyncio.gather(*(batches.ask(number + 14) for number in range(count)))
        return batches.sizes

    sizes = asyncio.run(test())
    assert sum(sizes) == count and max(sizes) == 500


async def test_a_caller_that_cannot_take_its_end_keeps_nobody_elses() -> None:
    async def perform(writes: list[int]) -> list[int]:
        return writes

    def cannot(result: int | None, error: BaseException | None) -> None:
        raise RuntimeError("it is broken")

    commit, ends = GroupCommit(perform), list[tuple[int | None, BaseException | None]]()
    for number in range(group_commit.MAX_BATCH + 2):  # the last ones wait for the next batch
        commit.submit(number, cannot if number == 1 else lambda *end: ends.append(end))
    async with asyncio.timeout(300):
        while len(ends) < group_commit.MAX_BATCH + 1:
            await asyncio.sleep(0)
    assert ends == [(number, None) for number in range(group_commit.MAX_BATCH + 2) if number != 1]
