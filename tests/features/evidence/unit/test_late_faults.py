"""A fault that begins after a long good time is found in some times as long as one that begins with the stage."""

import math

import pytest

from bench.evidence_late import DAY, FAULTS, HOUR, seconds_to_find
from tidegate.domain.evidence import Counts
from tidegate.features.evidence.block_widths import MOST_NARROW, NARROWED, BlockWidths, block_width, stands_out
from tidegate.statistics.rates import RateTest
from tidegate.statistics.shares import ShareTest


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_fault_that_begins_after_a_good_hour_is_found_in_four_times_as_long_and_a_block(
    fault: dict[str, float],
) -> None:
    assert 0 < seconds_to_find(HOUR, 1, fault) <= 4 * seconds_to_find(0, 1, fault) + block_width(HOUR)


def test_a_fault_that_begins_after_a_good_day_is_found_in_four_times_as_long_and_a_block() -> None:
    fault = FAULTS["twice as slow"]
    assert 0 < seconds_to_find(DAY, 1, fault) <= 4 * seconds_to_find(0, 1, fault) + block_width(DAY)


def test_a_fault_that_begins_with_a_later_stage_is_found_in_twice_as_long() -> None:
    fault = FAULTS["five times the errors"]
    assert 0 < seconds_to_find(1800, 3, fault) <= 2 * seconds_to_find(0, 1, fault)


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
