"""The search for the rows of a call, on a clock that the calls move."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.serving.contract.device import DeviceLost, DeviceOutOfMemory
from tidegate.serving.runtimes.devices.batch_rows import REPEATS, SECONDS, find_rows


class Model:
    """A call takes ``fixed`` seconds, and ``each`` for a row; more than ``fits`` rows have no memory."""

    def __init__(self, fixed: float, each: float, fits: int = 1 << 30) -> None:
        self.fixed, self.each, self.fits = fixed, each, fits
        self.now = 0.0
        self.sizes: list[int] = []

    def call(self, rows: int) -> None:
        self.sizes.append(rows)
        if rows > self.fits:
            raise DeviceOutOfMemory("out of memory")
        self.now += self.fixed + self.each * rows

    def find(self, most: int = 4096) -> int:
        return find_rows(self.call, most, lambda: True, lambda: self.now)


def test_rows_are_doubled_while_throughput_grows_by_more_than_a_tenth() -> None:
    # 1 ms a call and 100 us a row: 64 rows bring 8,649 rows a second, 128 bring 7 % more, 256 bring 11 % more, and
    # 512 and 1,024 bring 2 and 3 % more than that.
    model = Model(1e-3, 1e-4)
    assert model.find() == 256 and max(model.sizes) == 1024
    assert Model(0.0, 1e-5).find() == 1


def test_one_size_without_a_gain_does_not_end_the_search() -> None:
    model = Model(1e-3, 1e-9)
    slow = {2: 2.0}

    def call(rows: int) -> None:
        model.call(rows)
        model.now += slow.get(rows, 0.0)

    assert find_rows(call, 8, lambda: True, lambda: model.now) == 1  # it took all the time there was
    slow[2], model.now = 0.002, 0.0
    assert find_rows(call, 8, lambda: True, lambda: model.now) == 8


def test_the_models_own_limit_is_the_last_size() -> None:
    model = Model(1e-3, 1e-9)
    assert model.find(most=100) == 100
    assert max(model.sizes) == 100


def test_a_size_without_memory_is_not_used() -> None:
    model = Model(1e-3, 1e-9, fits=90)
    assert model.find() == 64
    assert model.sizes.count(128) == 1


def test_a_size_that_leaves_too_little_memory_is_not_used() -> None:
    model = Model(1e-3, 1e-9)
    assert find_rows(model.call, 4096, lambda: model.sizes[-1] < 32, lambda: model.now) == 16


def test_a_model_that_takes_no_second_row_has_calls_of_one() -> None:
    def call(rows: int) -> None:
        if rows > 1:
            raise ValueError("one row, please")

    assert find_rows(call, 64, lambda: True, lambda: 0.0) == 1


def test_a_lost_device_is_no_size_of_a_batch() -> None:
    def call(rows: int) -> None:
        raise DeviceLost("gone")

    with pytest.raises(DeviceLost):
        find_rows(call, 64, lambda: True, lambda: 0.0)


@given(st.floats(0, 20), st.floats(0, 20), st.integers(1, 4096), st.integers(0, 5000))
def test_the_search_ends_in_time_with_a_size_that_was_tried(
    fixed: float, each: float, most: int, fits: int
) -> None:
    model = Model(fixed, each, fits)
    found = model.find(most)
    assert 1 <= found <= most and found in model.sizes
    # One call may be under way when the time is over, and the first size is tried in any case.
    assert model.now <= SECONDS + 2 * (fixed + each * max(model.sizes))
    assert len(model.sizes) <= (1 + REPEATS) * 13
