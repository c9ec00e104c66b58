"""Answers of a device against those of the processor: what passes as rounding, and what is refused."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.domain.errors import ArtifactError
from tidegate.serving.runtimes.devices.exactness import TOLERANCE, compare_examples, compare_rows
from tidegate.serving.runtimes.row_probes import column_pool, matrix_pool

POOL = matrix_pool(3)
Run = Callable[[Any], Any]


def total(rows: Any) -> Any:
    return np.nan_to_num(rows).sum(axis=1, dtype=np.float32) + np.float32(2)


def off_by(part: float, run: Run = total) -> Run:
    def answer(rows: Any) -> Any:
        found = run(rows)
        return (found * (1 + part)).astype(found.dtype)

    return answer


def refused(on_cpu: Run, on_device: Run, dtype: str = "") -> str:
    with pytest.raises(ArtifactError) as caught:
        compare_rows(on_cpu, on_device, POOL, dtype)
    assert "\n" not in caught.value.message
    return caught.value.message


def test_equal_answers_differ_by_nothing() -> None:
    found = compare_rows(total, total, POOL)
    assert found.difference == 0 and found.tolerance == TOLERANCE["float32"]
    assert len(found.cases) >= 8


@pytest.mark.parametrize("dtype", list(TOLERANCE))
def test_the_tolerance_is_that_of_the_least_exact_type(dtype: str) -> None:
    allowed = max(TOLERANCE[dtype], TOLERANCE["float32"])  # these answers are float32
    found = compare_rows(total, off_by(allowed / 2), POOL, dtype)
    assert found.tolerance == allowed and 0 < found.difference <= allowed
    said = refused(total, off_by(allowed * 2), dtype)
    assert "by up to" in said and f"{allowed:.0e} is allowed" in said


def test_float64_has_a_tolerance_of_its_own() -> None:
    def exact(rows: Any) -> Any:
        return np.nan_to_num(rows).sum(axis=1, dtype=np.float64) + 2

    assert compare_rows(exact, off_by(1e-10, exact), POOL).tolerance == TOLERANCE["float64"]
    # An input of float32 whose last bits change moves an answer further than that: such a difference is rounding.
    assert "answers otherwise" in refused(exact, off_by(1e-4, exact))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda rows: total(rows) * np.nan,
        lambda rows: np.full(len(rows), np.inf, np.float32),
        lambda rows: total(rows)[:, None],
        lambda rows: total(rows).astype(np.float64),
        lambda rows: (total(rows), total(rows)),
    ],
    ids=["nan", "infinite", "shape", "type", "several"],
)
def test_an_answer_of_another_kind_is_refused(wrong: Run) -> None:
    assert "by up to inf of an answer" in refused(total, wrong)


def test_whole_numbers_have_no_tolerance() -> None:
    def label(rows: Any) -> Any:
        return (np.nan_to_num(rows).sum(axis=1) > 0).astype(np.int64)

    found = compare_rows(label, label, POOL)
    assert found.tolerance == 0 and found.difference == 0
    assert "by up to inf" in refused(label, lambda rows: 1 - label(rows))


def test_one_huge_answer_does_not_hide_wrong_ones() -> None:
    def grows(rows: Any) -> Any:
        return np.exp(np.minimum(total(rows), np.float32(60)))

    def small_ones_off(rows: Any) -> Any:
        found = grows(rows)
        return np.where(found < 1e15, found * 3, found)

    assert grows(np.full((1, 3), 50, np.float32)) > 1e25
    assert compare_rows(grows, grows, POOL).difference == 0
    assert "answers otherwise" in refused(grows, small_ones_off)


@pytest.mark.parametrize(
    "empty",
    [lambda rows: total(rows) * np.nan, lambda rows: total(rows) + np.inf, lambda rows: np.empty((len(rows), 0))],
    ids=["nan", "infinite", "empty"],
)
def test_answers_that_tell_nothing_are_refused(empty: Run) -> None:
    """A device that computes nothing would answer the same."""
    assert "no finite number" in refused(empty, empty)
    with pytest.raises(ArtifactError, match="no finite number"):
        compare_examples(empty, empty, [(np.ones((2, 3), np.float32),)])


def test_a_column_without_a_number_leaves_the_others_compared() -> None:
    def two(rows: Any) -> Any:
        return np.stack([total(rows), np.full(len(rows), np.nan, np.float32)], axis=1)

    assert compare_rows(two, two, POOL).difference == 0
    assert "answers otherwise" in refused(two, lambda rows: two(rows) + 1)


def test_a_device_that_differs_in_batches_only_is_refused() -> None:
    assert "answers otherwise" in refused(total, lambda rows: total(rows) + (len(rows) > 1))


def test_a_missing_value_is_compared_too() -> None:
    assert "answers otherwise" in refused(total, lambda rows: total(np.nan_to_num(rows, nan=5.0)))


def test_a_model_that_fails_on_the_device_alone_is_refused() -> None:
    def fails(rows: Any) -> Any:
        raise RuntimeError("no kernel\nfor this")

    assert refused(total, fails) == "the model fails on the device, and not on the processor: no kernel for this"


def test_rows_that_the_processor_refuses_never_reach_the_device() -> None:
    seen: list[Any] = []

    def picky(rows: Any) -> Any:
        if (rows < 0).any():
            raise ValueError("negative")
        return total(rows)

    def on_device(rows: Any) -> Any:
        seen.append(rows.copy())
        return picky(rows)

    compare_rows(picky, on_device, POOL)
    assert seen and not any((rows < 0).any() for rows in seen)

    def rejects(rows: Any) -> Any:
        raise ValueError("no row is good")

    assert "cannot be compared" in refused(rejects, total)


def test_columns_of_several_types_are_compared() -> None:
    pool = column_pool({"a": np.dtype(np.float32), "b": np.dtype(object)})

    def score(columns: Any) -> Any:
        return np.array([len(text) for text in columns["b"]], np.float32) + np.nan_to_num(columns["a"])

    assert compare_rows(score, score, pool).difference == 0
    with pytest.raises(ArtifactError, match="answers otherwise"):
        compare_rows(score, lambda columns: score(columns) + 1, pool)


def test_tensors_are_compared_by_examples() -> None:
    examples = [(np.ones((2, 3), np.float32), np.arange(2))]

    def run(first: Any, second: Any) -> Any:
        return {"sum": first.sum(axis=1), "same": second}

    assert compare_examples(run, run, examples).difference == 0
    with pytest.raises(ArtifactError, match="answers otherwise"):
        compare_examples(run, lambda first, second: {**run(first, second), "same": second + 1}, examples)
    with pytest.raises(ArtifactError, match=r"probe\.npz"):
        compare_examples(run, run, [])


@given(st.floats(0, 1, exclude_min=True), st.sampled_from(["", "float16", "bfloat16"]))
def test_what_passes_is_within_the_tolerance_that_is_told(part: float, dtype: str) -> None:
    try:
        found = compare_rows(total, off_by(part), POOL, dtype)
    except ArtifactError:
        assert part > TOLERANCE[dtype or "float32"] * 0.9
    else:
        assert found.difference <= found.tolerance == TOLERANCE[dtype or "float32"]
        assert part <= found.tolerance * 1.1
