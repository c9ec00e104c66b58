"""A column in few numbers: bins of numbers, the most frequent texts."""

import math

from hypothesis import given
from hypothesis import strategies as st

from tidegate.domain.drift import ColumnShares, DriftChange
from tidegate.features.drift.shares import BINS, MOST_NAMES, OTHERS, column_shares
from tidegate.rows.profile import ColumnProfile, TableProfile, Value, profile_of


def table(column: ColumnProfile) -> TableProfile:
    made = TableProfile(lambda most: 0)
    made.columns["x"] = column
    return made


def shares(before: list[Value], now: list[Value], slice: str = "") -> ColumnShares | None:
    change = DriftChange(slice, "x", "ks", 0.5, 0.01, True)
    tables = {"": table(profile_of(before))}, {slice: table(profile_of(now))}
    found = column_shares([change], *tables)
    return found[0] if found else None


NUMBERS = st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=60)


@given(NUMBERS, NUMBERS)
def test_numbers_are_counted_once_whatever_they_are(before: list[float], now: list[float]) -> None:
    found = shares(list(before), list(now))
    if found is None:  # a range that is no number
        assert max(*before, *now) / 2 - min(*before, *now) / 2 > 1e300
        return
    assert len(found.edges) == len(found.before) + 1 == len(found.now) + 1 <= BINS + 1
    for side in (found.before, found.now):
        assert math.isclose(sum(side), 1, abs_tol=0.01)


def test_a_profile_of_absurd_numbers_is_one() -> None:
    """Their sum, and their squares, are no numbers any more."""
    assert profile_of([1e308, 1e308, -1e200]).high == 1e308


def test_bins_of_whole_numbers_have_as_many_of_them_each() -> None:
    hours: list[Value] = [float(number % 24) for number in range(240)]
    found = shares(hours, hours)
    assert found is not None and found.edges[0] == -0.5 and found.edges[-1] == 23.5
    assert set(found.before) == {round(1 / 12, 4)}


def test_one_extreme_value_does_not_hide_the_others() -> None:
    usual: list[Value] = [number / 10 for number in range(1_000)]
    found = shares(usual, [*usual, 1e9])
    assert found is not None and found.edges[-1] < 101


def test_texts_are_the_most_frequent_ones_and_all_others_together() -> None:
    before: list[Value] = [*(f"t{number % 20}" for number in range(200)), *["often"] * 100]
    now: list[Value] = [*["new"] * 100, *["often"] * 100]
    found = shares(before, now)
    assert found is not None and len(found.names) == MOST_NAMES + 1 and found.names[-1] == OTHERS
    assert found.names[:2] == ("new", "often")
    assert found.before[0] == 0 and found.now[:2] == (0.5, 0.5)
    assert math.isclose(sum(found.before), 1, abs_tol=0.01)


def test_a_new_slice_is_shown_against_the_whole_baseline() -> None:
    found = shares([1.5, 2.5, 3.5], [2.5, 3.5], slice="country=BR")
    assert found is not None and found.slice == "country=BR"


def test_a_column_that_is_now_of_texts_has_no_picture() -> None:
    assert shares([1.0, 2.0], ["one", "one", "two", "two"]) is None
