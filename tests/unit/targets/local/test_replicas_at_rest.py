"""Replicas that have counted nothing are asked seldom: nothing is lost by it, and means stay what they are."""

from collections.abc import Sequence

import pytest

from tests.collector_harness import NOW, collecting, second
from tidegate.domain.fleet import FleetId
from tidegate.targets.collection.quiet import ASKED_EVERY
from tidegate.targets.collection.sources import Usage

FLEET = FleetId("fraud", 1, "main")


async def test_a_count_that_the_number_did_not_announce_comes_late_and_is_not_lost() -> None:
    with collecting() as stand:
        worker = stand.worker(FLEET, "a")
        worker.activity = worker.told = 7
        await stand.collect(NOW)
        before = len(worker.asked)
        worker.seconds[NOW] = second(NOW, errors=3)
        found = [await stand.counted(now) for now in range(NOW + 1, NOW + 1 + ASKED_EVERY)]
        assert len(worker.asked) == before + 1
        assert [one for one in found if one] == [{NOW: (4, 3)}]


@pytest.mark.parametrize("told", [None, 6])
async def test_a_file_with_another_number_than_the_page_says_is_not_believed(told: int | None) -> None:
    with collecting() as stand:
        worker = stand.worker(FLEET, "a")
        worker.activity, worker.told = 7, told
        await stand.collect(NOW)
        before = len(worker.asked)
        for now in range(NOW + 1, NOW + 4):
            await stand.collect(now)
        assert len(worker.asked) == before + 3


async def test_a_measurement_after_some_seconds_counts_for_each_of_them() -> None:
    with collecting() as stand:
        worker = stand.worker(FLEET, "a")
        worker.activity = worker.told = 0

        def usage(pids: Sequence[int]) -> dict[int, Usage]:
            return {pid: Usage(80.0 if worker.in_flight else 1.0, 2.0) for pid in pids}

        stand.collector.usage = usage
        cpu: list[float] = []
        for now in range(NOW, NOW + 30):
            worker.in_flight = int(now < NOW + 5)
            cpu += [value for one in (await stand.collect(now)).seconds for value in one.cpu]
        assert 25 <= len(cpu) <= 30
        assert cpu.count(80.0) == 5
