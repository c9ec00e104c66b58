"""Rows of whole numbers read many at once are the rows that Python's own reader finds, or none."""

import math
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tidegate.serving.formats import large_csv

KINDS = [
    st.integers(-99, 99),
    st.integers(-9999, 9999),
    st.one_of(st.integers(-99, 99), st.none()),
    st.one_of(st.integers(-999, 9999), st.integers(-9_999_999, 99_999_999), st.none()),
]
TABLES = st.tuples(st.integers(2, 5), st.sampled_from(KINDS)).flatmap(
    lambda of: st.lists(st.lists(of[1], min_size=of[0], max_size=of[0]), min_size=1, max_size=40)
)


def written(rows: list[list[int | None]]) -> bytes:
    return "".join(",".join("" if cell is None else str(cell) for cell in row) + "\n" for row in rows).encode()


@given(TABLES, st.booleans(), st.integers(1, 200), st.sampled_from([np.float32, np.float64]))
def test_every_number_is_the_nearest_float(
    rows: list[list[int | None]], ended: bool, block: int, dtype: Any
) -> None:
    body = written(rows) if ended else written(rows)[:-1]
    before, large_csv.BLOCK = large_csv.BLOCK, max(block, len(max(body.splitlines(), key=len)) + 1)
    try:
        found = large_csv.integer_rows(body, len(rows[0]), dtype)
    finally:
        large_csv.BLOCK = before
    expected = np.array([[math.nan if cell is None else cell for cell in row] for row in rows], dtype)
    if not body or body.endswith(b"\n\n"):
        return
    assert found is not None
    assert found.dtype == dtype
    assert np.array_equal(found, expected, equal_nan=True)


@given(st.text("0123456789-+,.\n e_x\"'/:;\t", max_size=60), st.integers(2, 4))
def test_what_is_not_plainly_whole_numbers_is_left_to_another_reader(text: str, count: int) -> None:
    found = large_csv.integer_rows(text.encode(), count)
    if found is None:
        return
    rows = [line.split(",") for line in text.removesuffix("\n").split("\n")]
    assert found.shape == (len(rows), count)
    expected = [[math.nan if not cell else float(int(cell)) for cell in row] for row in rows]
    assert all(cell.removeprefix("-").isdecimal() for row in rows for cell in row if cell)
    assert np.array_equal(found, np.array(expected, np.float32), equal_nan=True)
