"""Decides whether two answers to the same rows differ by rounding only.

Libraries round differently for batches of different sizes: a matrix product is summed in another order than a vector
product. A difference up to ``RELATIVE`` of the answer, or of a typical one, counts as rounding (measurements are in
bench/findings/batching.md). If a row's terms cancel, the relative difference is unbounded. Then the row is scored
alone with the last bits of its numbers changed, and the answer must change by about as much.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = Any
"""A matrix, or columns by name."""
Run = Callable[[Rows], Any]
"""A model: an answer for each row."""
Scale = float | NDArray[np.floating[Any]]
"""Magnitude of a typical answer, or of each of its columns."""

RELATIVE = 1e-5
"""Largest difference that counts as rounding, relative to the answer or to a typical one."""
NUDGES = 8
"""Number of times that a row is scored with changed last bits."""
NUDGE = 2.0**-22
"""Relative change of a number: two units in the last place of float32."""
SLACK = 8.0
"""A difference up to so many times the change under such perturbations is explained by rounding."""


def length(rows: Rows) -> int:
    return len(next(iter(rows.values()))) if isinstance(rows, dict) else len(rows)


def take(rows: Rows, places: Any) -> Rows:
    """A copy of some of the rows."""
    if isinstance(rows, dict):
        return {name: values[places] for name, values in rows.items()}
    return rows[places]


def differs(expected: Any, found: Any, scale: Scale, spread: Any = 0.0) -> Any:
    """For each row whether the answers differ by more than rounding. ``spread``: an additional tolerance."""
    expected, found = np.asarray(expected), np.asarray(found)
    if expected.shape != found.shape:
        return np.ones(max(len(expected), 1) if expected.ndim else 1, np.bool_)
    if expected.dtype.kind != "f" or found.dtype.kind != "f":
        return _any_row(expected != found)
    with np.errstate(invalid="ignore", over="ignore"):
        size = np.maximum(np.where(np.isfinite(expected), np.abs(expected), 0), scale)
        near = np.abs(expected - found) <= RELATIVE * size + spread
    same = (expected == found) | (np.isnan(expected) & np.isnan(found))
    return _any_row(~(near | same))


def identical(expected: Any, found: Any) -> Any:
    """For each row whether the answers have equal bits."""
    expected, found = np.asarray(expected), np.asarray(found)
    if expected.shape != found.shape:
        return np.zeros(max(len(expected), 1) if expected.ndim else 1, np.bool_)
    same = expected == found
    if expected.dtype.kind == "f" and found.dtype.kind == "f":
        same |= np.isnan(expected) & np.isnan(found)
    return ~_any_row(~same)


def _any_row(different: Any) -> Any:
    return np.asarray(different).reshape(len(different), -1).any(axis=1)


def nudge_rows(rows: Rows, random: np.random.Generator) -> Rows:
    """Change the last bits of fractions; integers, text and booleans stay."""
    if isinstance(rows, dict):
        return {name: nudge_rows(values, random) for name, values in rows.items()}
    if rows.dtype.kind != "f":
        return rows.copy()
    with np.errstate(over="ignore"):
        moved = rows * (1 + NUDGE * random.integers(-1, 2, rows.shape)).astype(rows.dtype)
    return np.where(np.isfinite(moved), moved, rows)


def is_rounding(run: Run, rows: Rows, expected: Any, found: Any, scale: Scale) -> bool:
    """Whether the difference between two answers is no larger than what a change of the rows' last bits causes.
    ``run`` scores rows as for ``expected``."""
    expected, found = np.asarray(expected), np.asarray(found)
    if expected.shape != found.shape or expected.dtype != found.dtype:
        return False
    random = np.random.default_rng(0)
    others = [np.asarray(run(nudge_rows(rows, random))) for _ in range(NUDGES)]
    if any(other.shape != expected.shape for other in others):
        return False
    if expected.dtype.kind != "f":
        reached = np.stack([identical(other, found) for other in [expected, *others]])
        return bool(reached.any(axis=0).all())
    with np.errstate(invalid="ignore"):
        spread = np.nan_to_num(np.abs(np.stack(others) - expected), nan=0, posinf=0).max(axis=0)
    # If sums overflow, the order of the terms decides between infinity and NaN.
    overflow = ~np.isfinite(expected) & ~np.isfinite(found)
    return not differs(np.where(overflow, 0, expected), np.where(overflow, 0, found), scale, SLACK * spread).any()


def difference(run: Run, rows: Rows, alone: Any, batched: Any, scale: Scale) -> str:
    """How a request's answer in a batch differs from that of ``run`` alone; empty if only by rounding."""
    if not differs(alone, batched, scale).any():
        return ""
    everything = np.arange(length(rows))
    if not identical(alone, run(take(rows, everything))).all():
        return "the model answers the same request differently each time"
    if is_rounding(run, rows, alone, batched, scale):
        return ""
    return f"a request was answered differently alone and together with others ({_how_much(alone, batched)})"


def _how_much(alone: Any, batched: Any) -> str:
    """The size of the difference, without the client's values."""
    alone, batched = np.asarray(alone), np.asarray(batched)
    if alone.shape != batched.shape:
        return f"shapes {alone.shape} and {batched.shape}"
    if alone.dtype.kind != "f":
        return f"{int((~identical(alone, batched)).sum())} of {len(alone)} rows"
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        off = np.abs(alone - batched) / np.abs(alone)
    finite = off[np.isfinite(off)]
    return (
        f"by up to {finite.max():.1e} of the answer" if finite.size and finite.max() > 0 else "missing or infinite"
    )
