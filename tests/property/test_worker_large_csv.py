"""Large CSV is read as small CSV is, or not at all."""

from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.serving.contract.invocation import ModelFailed
from tidegate.serving.formats import large_csv
from tidegate.serving.formats.content_types import CSV, write
from tidegate.serving.formats.row_decoder import Features

CELL = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-(10**20), 10**20).map(str),
    st.sampled_from(["", " 1", "+1", "1e400", ".5", "5.", "-0", "007", "1 2", "-", "e", "1\t", " ", "1e-50"]),
)
WILD = st.sampled_from(["x", '"1"', "nan", "inf", "1_0", "null", "[1]", "\r", "\n", "1\r\n2", "NA", "é"])


@pytest.mark.parametrize("arrow", [0, 10**9], ids=["arrow", "json"])
@given(
    st.lists(st.lists(st.one_of(CELL, CELL, CELL, WILD), min_size=2, max_size=3), max_size=6),
    st.booleans(),
    st.sampled_from([np.float32, np.float64]),
)
def test_the_fast_csv_reader_agrees_with_the_general_one_or_declines(
    arrow: int, table: list[list[str]], ended: bool, dtype: Any
) -> None:
    body = ("\n".join(",".join(row) for row in table) + "\n" * ended).encode()
    quiet = np.errstate(over="ignore")
    with patch.object(large_csv, "SMALLEST", 0), patch.object(large_csv, "ARROW", arrow), quiet:
        quick = large_csv.rows(body, 2, dtype)
    if quick is None:
        return
    try:
        slow = Features(2, dtype=dtype).read(body, CSV)
    except ModelFailed as refused:
        assert "infinite" in refused.message
        assert np.isinf(quick).any()
    else:
        np.testing.assert_array_equal(quick, slow)


@pytest.mark.parametrize("arrow", [0, 10**9], ids=["arrow", "json"])
@given(st.lists(st.tuples(st.floats(-1e9, 1e9), st.integers(-99, 99)), min_size=1, max_size=9))
def test_plain_numbers_are_read_quickly(arrow: int, table: list[tuple[float, int]]) -> None:
    body = "".join(f"{left!r},{right}\n" for left, right in table).encode()
    with patch.object(large_csv, "SMALLEST", 0), patch.object(large_csv, "ARROW", arrow):
        quick = large_csv.rows(body, 2)
    assert quick is not None
    np.testing.assert_array_equal(quick, np.array(table, np.float32))


@given(
    st.lists(st.floats(width=32), min_size=1, max_size=9),
    st.sampled_from([np.float32, np.float64]),
    st.integers(1, 2),
)
def test_many_predictions_are_formatted_as_few_are(values: list[float], dtype: Any, width: int) -> None:
    scores = np.array(values * 2 * width, dtype).reshape(-1, width)
    shaped = scores if width > 1 else scores[:, 0]
    body = write(shaped, CSV).body
    assert body == b"".join(write(shaped[row : row + 1], CSV).body for row in range(len(shaped)))
    found = [line.split(",") for line in body.decode().split("\n")[:-1]]
    np.testing.assert_array_equal(np.array(found, float).astype(dtype), scores)
