"""Trials: which models are seen to let rows influence each other, and which are not accused of it."""

from collections.abc import Callable
from itertools import count
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tidegate.serving.formats import rounding
from tidegate.serving.runtimes import row_probes
from tidegate.serving.runtimes.row_probes import Dependent, ProbeBudget, column_pool, judge, matrix_pool

Matrix = NDArray[Any]
WIDTH = 5
W = np.random.default_rng(1).normal(size=(WIDTH, 3)).astype(np.float32)


def trial(cap: int = 64, known: bool = False, clock: Callable[[], float] | None = None) -> ProbeBudget:
    """With a clock that stands still, so that all is tried."""
    return ProbeBudget(matrix_pool(WIDTH), cap, 1.0, known, clock or (lambda: 0.0))


def verdict(run: Callable[[Matrix], Any], cap: int = 64) -> str:
    try:
        judge(lambda rows: np.asarray(run(rows)), trial(cap))
    except Dependent as why:
        return str(why)
    return ""


def softmax(rows: Matrix) -> Matrix:
    powers = np.exp(rows - rows.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


INDEPENDENT: dict[str, Callable[[Matrix], Any]] = {
    "linear": lambda x: x @ W,
    "one number": lambda x: (x @ W)[:, 0],
    "network": lambda x: softmax(np.tanh(x @ W)),
    "tree": lambda x: np.where(x[:, 0] > 0.5, np.where(x[:, 1] > 1e5, 3.0, 1.0), -2.0).astype(np.float32),
    "labels": lambda x: (x @ W).argmax(axis=1),
    "text": lambda x: np.array(["no", "yes"])[(x[:, 0] > 0).astype(int)],
    "norm of the row": lambda x: x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-3),
    "in doubles": lambda x: np.sin(x.astype(float) @ W.astype(float)),
    "large numbers": lambda x: (1e6 * x) @ W + 1e9,
    "missing values": lambda x: np.nansum(x, axis=1),
}

DEPENDENT: dict[str, Callable[[Matrix], Any]] = {
    "mean": lambda x: (x - x.mean(axis=0)) @ W,
    "largest, above a floor": lambda x: (x / max(float(np.abs(x).max()), 50.0)) @ W,
    "largest, above a high floor": lambda x: (x / max(float(np.abs(np.nan_to_num(x)).max()), 1e8)) @ W,
    "largest, above the sixteenth power of ten": lambda x: x @ W / max(1.0, float(np.nanmax(x)) / 1e16),
    "smallest": lambda x: x @ W + np.float32(min(0.0, float(np.nanmin(x)) + 1e4)),
    "how sparse it is": lambda x: x @ W * ((x == 0).mean() > 0.5),
    "missing anywhere": lambda x: np.where(np.isnan(x).any(), 0, 1) * np.nan_to_num(x @ W),
    "a code anywhere": lambda x: x @ W + (x[:, 2] == 42).any(),
    "ranks": lambda x: x[:, 0].argsort(kind="stable").argsort(kind="stable").astype(np.float32),
    "running sum": lambda x: np.cumsum(x, axis=0) @ W,
    "sorted": lambda x: np.sort(x, axis=0) @ W,
    "place": lambda x: x @ W + np.arange(len(x))[:, None] * 1e-3,
    "a little of the others": lambda x: x @ W * np.float32(1 + 1e-6 * np.nan_to_num(np.tanh(x)).mean()),
    "number of rows": lambda x: x @ W / len(x),
    "more rows than 40": lambda x: x @ W + (len(x) > 40),
    "seventeen rows": lambda x: x @ W + (len(x) == 17),
    "an even number": lambda x: x @ W + (len(x) % 2),
    "neighbour": lambda x: (x + 0.1 * np.roll(x, 1, axis=0)) @ W,
    "duplicates": lambda x: x @ W / np.unique(x, axis=0, return_counts=True)[1].max(),
    "no rows": lambda x: x.sum(axis=0),
    "fewer rows": lambda x: (x @ W)[: max(1, len(x) // 2)],
    "more rows": lambda x: np.concatenate([x @ W, x @ W]),
    "no axis": lambda x: x.sum(),
    "fails on many": lambda x: x @ W if len(x) < 5 else 1 / 0,
    "columns for rows": lambda x: x.T @ x,
}


class Counter:
    """Remembers how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, rows: Matrix) -> Matrix:
        self.asked += 1
        return np.asarray(rows @ W + self.asked * 1e-3)


class Moving:
    """Keeps a moving mean of what it sees, as a norm left in training does."""

    def __init__(self) -> None:
        self.mean = np.zeros(WIDTH, np.float32)

    def __call__(self, rows: Matrix) -> Matrix:
        self.mean = np.nan_to_num(0.9 * self.mean + 0.1 * np.clip(rows, -9, 9).mean(axis=0))
        return np.asarray((rows - self.mean) @ W)


@pytest.mark.parametrize("name", INDEPENDENT)
@pytest.mark.parametrize("cap", [2, 5, 64, 300])
def test_a_model_of_independent_rows_passes(name: str, cap: int) -> None:
    assert verdict(INDEPENDENT[name], cap) == ""


@pytest.mark.parametrize("name", DEPENDENT)
def test_rows_that_influence_each_other_are_seen(name: str) -> None:
    assert verdict(DEPENDENT[name]) != ""


@pytest.mark.parametrize("make", [Counter, Moving])
def test_a_model_with_a_memory_is_seen(make: Callable[[], Callable[[Matrix], Any]]) -> None:
    assert verdict(make()) == "it answers the same row differently each time"


def test_noise_is_told_from_influence() -> None:
    random = np.random.default_rng(3)
    noisy = verdict(lambda x: x @ W + random.normal(scale=1e-4, size=(len(x), 3)))
    assert noisy == "it answers the same row differently each time"


def test_the_largest_batch_is_tried() -> None:
    seen: list[int] = []

    def run(rows: Matrix) -> Matrix:
        seen.append(len(rows))
        return np.asarray(rows @ W)

    judge(run, ProbeBudget(matrix_pool(WIDTH), 500, 0.0, clock=lambda: 0.0))
    assert {1, 2, 3, 7, 32, 500} <= set(seen)


def test_a_model_that_refuses_some_rows_is_judged_by_the_others() -> None:
    def picky(rows: Matrix) -> Matrix:
        if np.isnan(rows).any() or (np.abs(rows) > 1e6).any():
            raise ValueError("no such rows")
        return np.asarray(rows @ W)

    assert verdict(picky) == ""


def test_a_model_that_refuses_nearly_all_rows_is_not_batched_unless_it_is_known() -> None:
    def refuses(rows: Matrix) -> Matrix:
        raise ValueError("no")

    assert verdict(refuses).startswith("it refuses nearly all")
    judge(refuses, trial(known=True))


def test_a_model_that_takes_too_long_to_try_is_not_batched() -> None:
    ticks = count()
    with pytest.raises(Dependent, match="takes more than 10 s"):
        judge(lambda rows: rows @ W, trial(clock=lambda: 1.0 * next(ticks)))


def test_what_is_known_is_tried_for_its_time_only() -> None:
    ticks, asked = count(), []

    def run(rows: Matrix) -> Matrix:
        asked.append(len(rows))
        return np.asarray(rows @ W)

    judge(run, trial(known=True, clock=lambda: 0.1 * next(ticks)))
    assert len(asked) == 10


def test_columns_of_all_kinds_are_tried() -> None:
    kinds = {"amount": np.float32, "n": np.int64, "flag": np.bool_, "land": object}
    pool = column_pool({name: np.dtype(kind) for name, kind in kinds.items()})

    def run(rows: dict[str, Any], mixing: bool) -> Any:
        found = np.nan_to_num(rows["amount"]) + rows["flag"] + (rows["land"] == "DE") + np.clip(rows["n"], -9, 9)
        return found + (rows["land"] == "b").any() if mixing else found

    judge(lambda rows: run(rows, False), ProbeBudget(pool, 64, 1.0, clock=lambda: 0.0))
    with pytest.raises(Dependent):
        judge(lambda rows: run(rows, True), ProbeBudget(pool, 64, 1.0, clock=lambda: 0.0))


# --- rounding ---


def test_rounding_is_allowed_and_no_more() -> None:
    expected = np.array([1.0, 1000.0, np.nan, np.inf, 0.0], np.float32)
    close = expected * np.float32(1 + 5e-6)
    assert not rounding.differs(expected, close, 0.0).any()
    far = expected * np.float32(1 + 3e-5)
    assert rounding.differs(expected, far, 0.0).tolist() == [True, True, False, False, False]
    assert rounding.differs(expected, np.nan_to_num(expected), 0.0).tolist() == [False, False, True, True, False]
    assert rounding.differs(np.array(["a", "b"]), np.array(["a", "c"]), 0.0).tolist() == [False, True]
    assert rounding.differs(np.zeros((2, 3)), np.zeros((3, 2)), 0.0).all()


def cancelling(rows: Matrix) -> Matrix:
    """Large terms whose sum is small, added in an order that depends on the size of the batch, as products are."""
    terms = rows * np.array([1e4, -1e4, 1e4, -1e4, 1], np.float32)
    order = slice(None) if len(rows) == 1 else slice(None, None, -1)
    total = np.zeros(len(rows), np.float32)
    for column in terms.T[order]:
        total = total + column
    return total


def test_a_difference_that_cancellation_explains_is_rounding() -> None:
    rows = np.array([[1.1, 1.1, 1.3, 1.3, 0.01]], np.float32) + np.float32(1e-4) * np.arange(5, dtype=np.float32)
    alone, batched = cancelling(rows), cancelling(np.repeat(rows, 2, axis=0))[:1]
    assert rounding.differs(alone, batched, 0.0).any()
    assert rounding.is_rounding(cancelling, rows, alone, batched, 0.0)
    assert not rounding.is_rounding(cancelling, rows, alone, batched + 0.5, 0.0)
    assert rounding.difference(cancelling, rows, alone, batched, 0.0) == ""


def test_a_difference_says_how_much_but_not_what() -> None:
    rows = np.ones((1, WIDTH), np.float32)
    alone = rows @ W
    said = rounding.difference(lambda x: x @ W, rows, alone, alone * 1.5, 0.0)
    assert said == (
        "a request was answered differently alone and together with others (by up to 5.0e-01 of the answer)"
    )
    assert rounding.difference(Counter(), rows, alone, alone * 1.5, 0.0) == (
        "the model answers the same request differently each time"
    )


def test_rows_are_not_changed_by_trying_them() -> None:
    pool = matrix_pool(WIDTH)
    before = pool.rows.copy()

    def careless(rows: Matrix) -> Matrix:
        rows *= 2
        return np.asarray(rows @ W)

    judge(careless, ProbeBudget(pool, 64, 1.0, clock=lambda: 0.0))
    np.testing.assert_array_equal(pool.rows, before)


def test_the_pool_has_rows_of_all_magnitudes() -> None:
    rows = np.abs(row_probes.matrix_pool(30).rows)
    sizes = np.log10(np.nanmax(np.where(rows > 0, rows, np.nan), axis=1, initial=1e-45))
    for power in (*range(-6, 7), 9, 20, 30, 38):
        assert (np.abs(sizes - power) < 1.5).any(), power
