"""The quick reader gives the same rows as the careful one, or leaves the body to it."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.serving.contract.invocation import ModelFailed
from tidegate.serving.formats.dense_json import Packer
from tidegate.serving.formats.row_decoder import Features

VALUES = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**70), 2**70), st.none(), st.just("text")
)


@given(st.lists(st.lists(VALUES, min_size=1, max_size=4), max_size=4))
def test_what_is_packed_is_what_the_careful_reader_reads(rows: list[list[float | None]]) -> None:
    body = msgspec.json.encode({"instances": rows})
    packed = Packer(3).rows(body)
    if packed is not None:
        expected = Features(3).read(body, "application/json")
        assert np.array_equal(np.frombuffer(packed, np.float32).reshape(-1, 3), expected)


def test_whole_rows_of_numbers_are_packed() -> None:
    packed = Packer(2).rows(b'{"instances": [[1, 2.5], [-3e38, 0]]}')
    assert packed == np.array([[1, 2.5], [-3e38, 0]], np.float32).tobytes()


@pytest.mark.parametrize(
    "body",
    [
        b'{"instances": []}',
        b'{"instances": [[1]]}',
        b'{"instances": [[1, null]]}',
        b'{"instances": [[1, 1e39]]}',
        b'{"instances": [[1, true]]}',
        b'{"instances": [1, 2]}',
        b'{"inputs": [[1, 2]]}',
        b'{"instances": [[1, 2]], "inputs": [[3, 4]]}',
        b"",
    ],
)
def test_anything_else_is_left_to_the_careful_reader(body: bytes) -> None:
    assert Packer(2).rows(body) is None


def test_the_careful_reader_names_what_is_wrong() -> None:
    with pytest.raises(ModelFailed, match="Row 1, column 2: the value is infinite or beyond float32"):
        Features(2).read(b'{"instances": [[1, 1e39]]}', "application/json")
