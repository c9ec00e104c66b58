"""Versions compared by whole minutes, as CloudWatch counts requests: late ones are waited for, none counts twice."""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from tests.memory_store import MemoryStore
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.evidence import Comparison, EvidenceConfig, EvidenceRecord, Finding
from tidegate.domain.fleet import FleetId
from tidegate.domain.metric import CollectionRound, Coverage, FleetPeriod, FleetSecond
from tidegate.features.evidence.loop import Comparisons
from tidegate.features.evidence.service import find_evidence
from tidegate.reconcile.rollout_observers import ComparedVersions
from tidegate.service.record_kinds import ENDPOINT

START = int(datetime(2026, 11, 24, 12, 0, tzinfo=UTC).timestamp())
MINUTE = 60
CONFIG = EvidenceConfig(compare=(Comparison.ERRORS,))


def moment(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)


def minute(generation: int, at: int, requests: int, failed: int = 0) -> FleetPeriod:
    return FleetPeriod(FleetId("fraud", generation, "main"), at, MINUTE, requests, failed)


VERSIONS = ComparedVersions(
    "fraud", "r1", (1, "v1"), (2, "v2"), ("main",), CONFIG, 0, moment(START + 29), baking=True
)


@dataclass
class Minutes:
    """A rollout whose stage 0 bakes from 12:00:30 on."""

    store: MemoryStore = field(default_factory=MemoryStore)
    versions: ComparedVersions = VERSIONS
    comparisons: Comparisons = field(init=False)

    def __post_init__(self) -> None:
        self.comparisons = Comparisons(self.store)

    async def turn(self, now: int, *found: FleetPeriod, through: int = START) -> None:
        """``through``: end of the last complete minute. Seconds are there, too, and count for nothing."""
        seconds = [FleetSecond(FleetId("fraud", 2, "main"), "v2", now - 1, 1, 500, errors_5xx=500)]
        collected = CollectionRound(seconds, {"fraud": Coverage(START, through)}, {"fraud": list(found)})
        await self.comparisons.turn([self.versions], collected, moment(now))
        for _ in range(5):
            await asyncio.sleep(0)

    async def begin(self) -> None:
        record = Endpoint("fraud", moment(START), moment(START))
        await self.store.run(lambda tx: tx.put(ENDPOINT, "fraud", record, expect=None, now=moment(START)))
        for second in (1, 2, 30):
            await self.turn(START + second)

    async def complete(self, at: int, *found: FleetPeriod) -> None:
        """The minute from ``at`` is complete two minutes after its end."""
        await self.turn(at + 3 * MINUTE, *found, through=at + MINUTE)

    def finding(self) -> Finding | None:
        verdict = self.comparisons.verdict("r1")
        return None if verdict is None else verdict.finding

    def compared(self) -> tuple[int, int, int, int]:
        verdict = self.comparisons.verdict("r1")
        assert verdict is not None
        return verdict.results[0].counts

    async def kept(self) -> EvidenceRecord | None:
        return await self.store.run(lambda tx: find_evidence(tx, "fraud"))


async def test_a_whole_minute_of_both_versions_passes_and_its_errors_fail() -> None:
    today = Minutes()
    await today.begin()
    assert today.finding() is Finding.NO_DATA
    await today.complete(START + 60, minute(1, START + 60, 900, 9), minute(2, START + 60, 120, 1))
    assert (today.finding(), today.compared()) == (Finding.UNDECIDED, (900, 9, 120, 1))
    await today.complete(START + 120, minute(1, START + 120, 900, 9), minute(2, START + 120, 100, 30))
    assert (today.finding(), today.compared()) == (Finding.FAIL, (1800, 18, 220, 31))


async def test_a_minute_without_the_new_versions_requests_never_passes() -> None:
    today = Minutes()
    await today.begin()
    for number in range(1, 20):
        at = START + number * MINUTE
        await today.complete(at, minute(1, at, 900), minute(2, at, 0))
    assert today.finding() is Finding.NO_DATA


async def test_what_a_minute_grows_by_comes_into_the_next_block_once() -> None:
    today = Minutes()
    await today.begin()
    await today.complete(START + 60, minute(1, START + 60, 900, 9), minute(2, START + 60, 120, 1))
    late = minute(2, START + 60, 30, 30)
    await today.turn(START + 250, late, through=START + 120)
    assert today.compared() == (900, 9, 120, 1), "a verdict that was given is not taken back"
    await today.complete(START + 120, minute(1, START + 120, 900, 9), minute(2, START + 120, 100, 1))
    assert (today.finding(), today.compared()) == (Finding.FAIL, (1800, 18, 250, 32))
    kept = await today.kept()
    assert kept is not None and kept.late == 0


async def test_minutes_in_which_the_shares_changed_are_not_compared() -> None:
    today = Minutes()
    await today.begin()
    await today.complete(START, minute(1, START, 900), minute(2, START, 200, 200))
    assert today.compared() == (0, 0, 0, 0), "the bake began in its middle"
    shift = START + 200
    today.versions = replace(today.versions, stage=1, since=moment(shift), baking=False)
    await today.turn(shift + 1, through=START + 60)
    today.versions = replace(today.versions, since=moment(shift + 20), baking=True)
    await today.turn(shift + 21, through=START + 60)
    for number in range(1, 6):
        at = START + number * MINUTE
        await today.complete(at + MINUTE, minute(1, at, 900), minute(2, at, 100 + number))
    # from 12:00:30 to 12:03:20, and from 12:03:41 on: 12:03 lies in neither
    assert today.compared() == (3600, 0, 101 + 102 + 104 + 105, 0)
    verdict = today.comparisons.verdict("r1")
    assert verdict is not None and verdict.results[0].stage_requests == (1800, 209), "of the present stage"


async def test_growth_of_an_earlier_stage_does_not_let_a_later_one_pass() -> None:
    today = Minutes()
    await today.begin()
    await today.complete(START + 60, minute(1, START + 60, 900), minute(2, START + 60, 120))
    today.versions = replace(today.versions, stage=1, since=moment(START + 170), baking=True)
    await today.turn(START + 360, through=START + 180)
    await today.turn(START + 370, minute(1, START + 60, 200), minute(2, START + 60, 200), through=START + 180)
    await today.turn(START + 420, through=START + 240)
    assert today.finding() is Finding.NO_DATA
    kept = await today.kept()
    assert kept is not None and (len(kept.blocks), kept.late) == (1, 2)


async def test_a_minute_is_one_block_that_anyone_can_recompute() -> None:
    today = Minutes()
    await today.begin()
    await today.complete(START + 60, minute(1, START + 60, 900, 9), minute(2, START + 60, 120, 1))
    kept = await today.kept()
    assert kept is not None
    (block,) = kept.blocks.values()
    assert (block.at, block.seconds, block.counts) == (START + 60, 60, {"main/errors/errors": (900, 9, 120, 1)})


async def test_a_minute_that_an_earlier_controller_counted_counts_once() -> None:
    today = Minutes()
    await today.begin()
    first = (minute(1, START + 60, 900, 9), minute(2, START + 60, 120, 1))
    await today.complete(START + 60, *first)
    await today.turn(START + 245, through=START + 120)
    today.comparisons = Comparisons(today.store)
    await today.turn(START + 250, *first, through=START + 120)
    await today.turn(START + 260, minute(2, START + 60, 10, 0), through=START + 120)  # it grows
    for number in range(2, 7):
        at = START + number * MINUTE
        await today.complete(at, minute(1, at, 900, 9), minute(2, at, 100, 1))
    await today.turn(START + 600, through=START + 420)
    assert today.compared() == (900 * 6, 9 * 6, 120 + 10 + 5 * 100, 6)
