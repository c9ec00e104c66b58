"""When two answers say the same, and how far apart their numbers are."""

import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.serving.front.answer_diff import LARGEST, compare

MAX = sys.float_info.max
JSON, CSV = "application/json", "text/csv; charset=utf-8"


@pytest.mark.parametrize(
    ("one", "other", "kind", "verdict"),
    [
        (b"0.5", b"0.5", CSV, (True, 0.0, 0.0)),
        (b"0.5", b"0.50", CSV, (True, 0.0, 0.0)),
        (b"0.5\n0.25\n", b"0.5\n0.75\n", CSV, (False, 0.25, 0.5)),
        (b"0.5", b"0.50000001", CSV, (True, pytest.approx(1e-8), pytest.approx(1e-8))),
        (b"0.5,yes", b"0.5,no", CSV, (False, None, None)),
        (b"yes", b"yes", CSV, (True, None, None)),
        (b"1,2", b"1\n2", CSV, (False, None, None)),
        (b'{"predictions": [1, 2]}', b'{"predictions":[1.0,4]}', JSON, (False, 1.0, 2.0)),
        (b'{"a": 1, "b": 2}', b'{"b": 2, "a": 1}', JSON, (True, 0.0, 0.0)),
        (b'{"a": 1}', b'{"b": 1}', JSON, (False, None, None)),
        (b'{"label": "fraud"}', b'{"label": "fraud"}', JSON, (True, None, None)),
        (b"[true]", b"[1]", JSON, (False, None, None)),
        (b"[1, [2]]", b"[[1], 2]", JSON, (False, None, None)),
        (b"{broken", b"{broken", JSON, (True, None, None)),
        (b"nan", b"nan", CSV, (True, 0.0, 0.0)),
        (b"inf,1", b"2,1", CSV, (False, 0.0, 0.0)),
        (b"1.7e308,1.7e308", b"0,0", CSV, (False, 1.7e308, 1.7e308)),
        (b"1.7e308,1", b"-1.7e308,1", CSV, (False, MAX / 2, MAX)),
        (
            b'{"predictions": [1.7e308, -1.7e308]}',
            b'{"predictions": [-1.7e308, 1.7e308]}',
            JSON,
            (False, MAX, MAX),
        ),
        (b"\x93NUMPY", b"\x93NUMPY", "application/x-npy", (True, None, None)),
        (b"\x93NUMPY", b"\x93NUMPZ", "application/x-npy", (False, None, None)),
    ],
)
def test_answers_are_compared_by_value(one: bytes, other: bytes, kind: str, verdict: object) -> None:
    assert compare(one, other, kind, kind) == verdict


def test_a_large_answer_is_compared_by_its_bytes() -> None:
    large = b"1" * (LARGEST + 1)
    assert compare(large, large, CSV, CSV) == (True, None, None)
    assert compare(large, large + b".0", CSV, CSV) == (False, None, None)


def test_the_mean_of_the_largest_differences_is_a_number() -> None:
    one, other = (json.dumps([number] * 3).encode() for number in (0.0, MAX))
    assert compare(one, other, JSON, JSON) == (False, MAX, MAX)


extreme = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(st.tuples(extreme, extreme), min_size=1, max_size=5))
def test_finite_numbers_that_differ_disagree_however_large_they_are(numbers: list[tuple[float, float]]) -> None:
    one, other = (json.dumps([pair[side] for pair in numbers]).encode() for side in (0, 1))
    found = compare(one, other, JSON, JSON)
    assert found.mean is not None and found.largest is not None and found.mean <= found.largest <= MAX
    far = any(abs(a / 4 - b / 4) > (1e-9 + 1e-6 * max(abs(a), abs(b))) / 4 for a, b in numbers)
    assert found.agrees is not far


data = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats(-1e9, 1e9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@given(data, data)
def test_comparison_is_reflexive_and_symmetric(one: object, other: object) -> None:
    a, b = json.dumps(one).encode(), json.dumps(other, indent=1).encode()
    assert compare(a, json.dumps(one, indent=2).encode(), JSON, JSON).agrees
    there, back = compare(a, b, JSON, JSON), compare(b, a, JSON, JSON)
    assert (there.mean, there.largest) == (back.mean, back.largest)
    assert there.mean is None or (there.largest is not None and 0 <= there.mean <= there.largest * (1 + 1e-9))


@given(st.binary(max_size=40), st.binary(max_size=40), st.sampled_from([JSON, CSV, ""]))
def test_any_bytes_can_be_compared(one: bytes, other: bytes, kind: str) -> None:
    assert compare(one, one, kind, kind).agrees
    compare(one, other, kind, kind)
