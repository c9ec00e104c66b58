"""A fault that begins after a long good time is found in some times as long as one that begins with the stage."""

import math

import pytest

from tidegate.domain.evidence import OF_TRAFFIC, Counts, EvidenceConfig, Finding
from tidegate.evidence.block_widths import MOST_NARROW, NARROWED, BlockWidths, block_width, stands_out
from tidegate.evidence.comparisons import SideCounts
from tidegate.evidence.distribution import Distribution
from tidegate.evidence.ledger import EvidenceLedger, Side
from tidegate.evidence.rates import RateTest
from tidegate.evidence.shares import ShareTest

CONFIG = EvidenceConfig(compare=OF_TRAFFIC)
OLD_RATE, NEW_RATE = 90, 10
BEFORE = 10
HOUR, DAY = 3_600, 86_400
VALUES = 10
"""Latencies, and scores, that are equally frequent."""
FAULTS: dict[str, dict[str, float]] = {
    "five times the errors": {"errors": 0.05},
    "twice as slow": {"slower": 2.0},
    "half of the scores higher": {"higher": 0.5},
}


def side(
    since: int, until: int, rate: int, errors: float = 0.01, slower: float = 1, higher: float = 0
) -> SideCounts:
    """What a version does in these seconds: exactly what is expected."""
    requests = rate * (until - since)
    failed = math.floor(until * rate * errors) - math.floor(since * rate * errors)
    each = requests // VALUES
    moved = round(VALUES * higher)
    scores = {place / VALUES: each for place in range(moved, VALUES)} | {1.0: each * moved}
    latencies = {1_000.0 * slower * (10 + place): each for place in range(VALUES)}
    return SideCounts(requests, failed, Distribution.of(latencies), Distribution.of(scores))


def seconds_to_find(good: int, fault: dict[str, float], stages: int = 1) -> int:
    """Seconds from the begin of a fault to the verdict. ``good``: seconds before it, in this many stages."""
    ledger = EvidenceLedger(CONFIG, ("main",), 0)
    ledger.add(0, Side.OLD, "main", side(0, BEFORE, OLD_RATE + NEW_RATE))
    now = BEFORE
    for stage in range(1, stages + 1):
        ledger.enter(stage, now)
        begun = now
        while now < begun + good // stages:
            until = min(now + block_width(now - begun), begun + good // stages)
            ledger.add(now, Side.OLD, "main", side(now, until, OLD_RATE))
            ledger.add(now, Side.NEW, "main", side(now, until, NEW_RATE))
            ledger.advance(until)
            now = until
    if stages > 1:
        ledger.enter(stages + 1, now)
    assert ledger.verdict.finding in (Finding.PASS, Finding.NO_DATA)
    begun = now
    while ledger.verdict.finding is not Finding.FAIL and now < begun + HOUR:
        ledger.add(now, Side.OLD, "main", side(now, now + 1, OLD_RATE))
        ledger.add(now, Side.NEW, "main", side(now, now + 1, NEW_RATE, **fault))
        now += 1
        ledger.advance(now)
    return now - begun


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_fault_that_begins_after_a_good_hour_is_found_in_four_times_as_long(fault: dict[str, float]) -> None:
    assert seconds_to_find(HOUR, fault) <= 4 * seconds_to_find(0, fault)


def test_a_fault_that_begins_after_a_good_day_is_found_in_four_times_as_long_and_a_block() -> None:
    fault = FAULTS["twice as slow"]
    assert seconds_to_find(DAY, fault) <= 4 * seconds_to_find(0, fault) + block_width(DAY)


def test_a_fault_that_begins_with_a_later_stage_is_found_in_twice_as_long() -> None:
    fault = FAULTS["five times the errors"]
    assert seconds_to_find(1800, fault, stages=3) <= 2 * seconds_to_find(0, fault)


@pytest.mark.parametrize(
    ("test", "good", "bad"),
    [
        (RateTest(0.0005), (900, 9, 100, 1), (900, 9, 100, 5)),
        (ShareTest(0.01), (900, 450, 100, 50), (900, 450, 100, 90)),
    ],
    ids=["rates", "shares"],
)
def test_a_test_needs_some_times_the_blocks_after_any_good_time(
    test: RateTest | ShareTest, good: Counts, bad: Counts
) -> None:
    def blocks_to_find(after: int) -> int:
        one, count = test, 0
        for _ in range(after):
            one = one.update(good)
        while one.log_evidence < math.log(100) and count < 1_000:
            one, count = one.update(bad), count + 1
        return count

    fresh = blocks_to_find(1)
    assert fresh > 1
    assert blocks_to_find(1_000) <= 3.5 * fresh
    assert blocks_to_find(4_000) <= 4 * fresh


def test_a_difference_stands_out_in_a_block_only_where_chance_hardly_explains_it() -> None:
    assert stands_out((2_700, 1_350, 300, 270), 0.01)
    assert not stands_out((2_700, 1_350, 300, 160), 0.01)
    assert not stands_out((90, 45, 1, 1), 0.01), "one request says nothing"
    assert not stands_out((0, 0, 300, 300), 0.01)
    assert not stands_out((2_700, 1_350, 300, 270), 0.5), "within the tolerance"


BAD, GOOD = [((2_700, 1_350, 300, 270), 0.01)], [((2_700, 1_350, 300, 150), 0.01)]


def test_blocks_are_narrow_for_a_while_after_one_that_stands_out() -> None:
    widths = BlockWidths()
    assert widths.width(1, DAY) == 300
    widths = widths.after(1, BAD)
    assert widths.width(1, DAY) == 30
    widths = widths.after(1, BAD)
    assert widths.width(1, DAY) == 3
    assert widths.width(2, 4_000) == 30, "the next stage begins as usual"
    for _ in range(NARROWED):
        assert widths.width(1, DAY) == 3
        widths = widths.after(1, GOOD)
    assert widths.width(1, DAY) == 300


def test_what_stands_out_for_ever_does_not_make_blocks_without_end() -> None:
    widths, narrow = BlockWidths(), 0
    for _ in range(5_000):
        narrow += widths.width(1, DAY) < 300
        widths = widths.after(1, BAD)
    assert narrow <= MOST_NARROW + 1
