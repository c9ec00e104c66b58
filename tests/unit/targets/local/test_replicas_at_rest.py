"""Replicas that have counted nothing are asked seldom: nothing is lost by it, and means stay what they are."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.collector_harness import NOW, collecting, second
from tests.unit.targets.local.local_harness import spec
from tidegate.domain.fleet import DetachedSettings, FleetId
from tidegate.targets.collection.quiet import ASKED_EVERY
from tidegate.targets.collection.sources import ReplicaUsage, ServingReplica

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

        def usage(pids: Sequence[int]) -> dict[int, ReplicaUsage]:
            return {pid: ReplicaUsage(80.0 if worker.in_flight else 1.0, 2.0) for pid in pids}

        stand.collector.usage = usage
        cpu: list[float] = []
        for now in range(NOW, NOW + 30):
            worker.in_flight = int(now < NOW + 5)
            cpu += [value for one in (await stand.collect(now)).seconds for value in one.cpu]
        assert 25 <= len(cpu) <= 30
        assert cpu.count(80.0) == 5


async def test_the_hosts_of_a_job_are_all_measured_each_second() -> None:
    """Each has its own metrics, by its place among them."""
    with collecting() as stand:
        for name in ("a", "b"):
            worker = stand.worker(FLEET, name)
            worker.activity = worker.told = 0
        job = replace(spec(2, FLEET), detached=DetachedSettings(1, 1.0, "jobs"))
        hosts = [ServingReplica(job, name, place, Path(name)) for place, name in enumerate("ab", 1)]
        stand.target.serving = lambda: iter(hosts)  # type: ignore[method-assign]
        stand.collector.usage = lambda pids: {pid: ReplicaUsage(float(pid), 1.0) for pid in pids}
        for now in (NOW, NOW + 1, NOW + 2, NOW + 4):
            found = await stand.collect(now)
            assert [value for one in found.seconds for value in one.cpu] == [1.0, 2.0]
