"""Whether a model answers on a device as it does on the processor, up to the rounding of its numbers.

Both score the same probes. A difference is relative to the answer, or to a typical one where that is larger. A row
whose answer differs by more passes only if changes of its last bits move the processor's own answer as far
(``formats.rounding``). Whole numbers, truth values and texts have no tolerance.
"""

import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tidegate.domain.errors import ArtifactError
from tidegate.serving.formats import rounding
from tidegate.serving.runtimes.row_probes import FEWEST, Pool

TOLERANCE = {"float64": 1e-9, "float32": 1e-4, "float16": 1e-2, "bfloat16": 5e-2}
"""By the least exact type that the model computes with: sums of many terms in another order, and other approximations
of functions, differ by some hundred units in the last place."""
_SECONDS = 10.0
"""Seconds of the processor after which no further rows are tried."""
_USUAL = 100.0
"""Largest number in a row that is compared; larger ones make answers overflow, or leave little but rounding."""

Answer = Callable[..., Any]
Case = tuple[Any, ...]
"""The arguments of one call."""


@dataclass(frozen=True)
class DeviceComparison:
    """``difference``: the largest that was found; ``cases``: those that the model takes on the processor."""

    difference: float
    tolerance: float
    cases: list[Case]


def coarsest(dtypes: Iterable[str]) -> str:
    """The type with the largest tolerance; empty if none has one."""
    return max((name for name in dtypes if name in TOLERANCE), key=TOLERANCE.__getitem__, default="")


def row_cases(pool: Pool) -> list[Case]:
    """Each usual row of a pool, alone."""
    return [
        (rounding.take(pool.rows, [row]),) for row in range(rounding.length(pool.rows)) if _is_usual(pool, row)
    ]


def join_rows(cases: Sequence[Case], size: int) -> Any:
    """``size`` rows in one table, some of them again where there are not as many."""
    chosen = [cases[number % len(cases)][0] for number in range(size)]
    if isinstance(chosen[0], dict):
        return {name: np.concatenate([one[name] for one in chosen]) for name in chosen[0]}
    return np.concatenate(chosen)


def compare_rows(on_cpu: Answer, on_device: Answer, pool: Pool, dtype: str = "") -> DeviceComparison:
    """Compare rows alone, and all of them in one call if the processor takes that. ``dtype``: what the model computes
    with, if it is less exact than its answers. Raises ArtifactError if the answers differ, or cannot be compared."""
    cases, expected = _try_cases(on_cpu, row_cases(pool))
    if len(cases) < FEWEST:
        raise ArtifactError(
            f"the model takes {len(cases)} of the rows that are tried, so its answers on the device cannot be"
            " compared with the processor's: leave out devices"
        )
    together, whole = _try_cases(on_cpu, [(join_rows(cases, len(cases)),)])
    _check_telling(expected)
    scale = [_typical(np.concatenate([found[0] for found in expected]))]
    judge = _Judge(on_cpu, scale, _allowed(expected, dtype))
    largest = judge.largest([*cases, *together], [*expected, *whole], on_device)
    return DeviceComparison(largest, judge.allowed, cases)


def compare_examples(
    on_cpu: Answer, on_device: Answer, examples: Sequence[Case], dtype: str = ""
) -> DeviceComparison:
    """The same for a model of tensors of any shape, by examples of its inputs."""
    cases, expected = _try_cases(on_cpu, examples)
    if not cases:
        raise ArtifactError(
            "the model takes no example of its inputs, so its answers on the device cannot be compared with the"
            " processor's: put one into the model data as probe.npz, an array for each input by its name, or leave"
            " out devices"
        )
    _check_telling(expected)
    scale = [_measure_magnitude(leaf) for leaf in expected[0]]
    judge = _Judge(None, scale, _allowed(expected, dtype))
    return DeviceComparison(judge.largest(cases, expected, on_device), judge.allowed, cases)


@dataclass
class _Judge:
    """``on_cpu``: to find out what rounding does to a row's answer; None where the calls are not rows."""

    on_cpu: Answer | None
    scale: list[Any]
    allowed: float

    def largest(self, cases: Sequence[Case], expected: Sequence[list[Any]], on_device: Answer) -> float:
        largest = 0.0
        for case, right in zip(cases, expected, strict=True):
            try:
                found = _list_arrays(on_device(*case))
            except Exception as error:
                why = " ".join(f"{error}".split())[:300] or type(error).__name__
                raise ArtifactError(f"the model fails on the device, and not on the processor: {why}") from None
            off = self._difference(right, found)
            if off <= self.allowed or not self._is_rounding(case, right, found):
                largest = max(largest, off)
        if largest > self.allowed:
            raise ArtifactError(
                f"the model answers otherwise on the device than on the processor, by up to {largest:.1e} of an"
                f" answer ({self.allowed:.0e} is allowed): leave out devices"
            )
        return largest

    def _difference(self, expected: list[Any], found: list[Any]) -> float:
        if len(expected) != len(found):
            return np.inf
        scales = self.scale if len(self.scale) == len(expected) else [0.0] * len(expected)
        return max(map(_relative, expected, found, scales), default=0.0)

    def _is_rounding(self, case: Case, expected: list[Any], found: list[Any]) -> bool:
        if self.on_cpu is None or len(expected) != 1 or len(found) != 1:
            return False
        try:
            return rounding.is_rounding(self.on_cpu, case[0], expected[0], found[0], self.scale[0])
        except Exception:  # the model may reject a changed row with any exception
            return False


def _try_cases(
    answer: Answer, cases: Sequence[Case], clock: Callable[[], float] = time.perf_counter
) -> tuple[list[Case], list[list[Any]]]:
    """The cases that the model takes, with its answers. A slow model gets fewer."""
    taken: list[Case] = []
    answers: list[list[Any]] = []
    began = clock()
    for case in cases:
        if len(taken) >= FEWEST and clock() - began > _SECONDS:
            break
        try:
            found = _list_arrays(answer(*case))
        except Exception:  # a model may reject a probe with any exception
            continue
        taken.append(case)
        answers.append(found)
    return taken, answers


def _allowed(answers: Sequence[list[Any]], dtype: str) -> float:
    return TOLERANCE.get(coarsest([dtype, *(leaf.dtype.name for found in answers for leaf in found)]), 0.0)


def _list_arrays(found: Any) -> list[Any]:
    """The arrays of an answer, in an order of their own."""
    if isinstance(found, dict):
        return [leaf for name in sorted(found) for leaf in _list_arrays(found[name])]
    if isinstance(found, tuple | list):
        return [leaf for one in found for leaf in _list_arrays(one)]
    return [np.asarray(found)]


def _check_telling(answers: Iterable[list[Any]]) -> None:
    """Raises ArtifactError for answers without a value: a device that computes nothing would pass."""
    leaves = [leaf for found in answers for leaf in found]
    if not any(leaf.dtype.kind not in "fc" or np.isfinite(leaf).any() for leaf in leaves if leaf.size):
        raise ArtifactError(
            "the model answers no finite number to anything that is tried, so its answers on the device cannot be"
            " compared with the processor's: leave out devices"
        )


def _typical(values: Any) -> Any:
    """Magnitude of an answer to a row, by column: the median. The largest may be so large that any answer to the
    other rows would pass beside it."""
    if values.dtype.kind not in "fc" or not values.size:
        return 0.0
    known = np.where(np.isfinite(values) & (values != 0), np.abs(values), np.nan)
    with warnings.catch_warnings(action="ignore"):  # of columns without any
        return np.nan_to_num(np.nanmedian(known, axis=0), posinf=0.0)


def _measure_magnitude(values: Any) -> Any:
    """Magnitude of the largest number of a tensor, of which others are sums and differences."""
    if values.dtype.kind not in "fc" or not values.size:
        return 0.0
    return np.where(np.isfinite(values), np.abs(values), 0).max()


def _relative(expected: Any, found: Any, scale: Any) -> float:
    """The largest difference, relative; infinite for answers of another shape or kind, and where one is no number."""
    if expected.shape != found.shape or expected.dtype != found.dtype:
        return np.inf
    same = expected == found
    if expected.dtype.kind not in "fc":
        return 0.0 if np.all(same) else np.inf
    same = same | (np.isnan(expected) & np.isnan(found))
    with np.errstate(all="ignore"):
        off = np.abs(expected - found) / np.maximum(np.abs(expected), scale)
    off = np.where(same, 0.0, np.where(np.isfinite(off), off, np.inf))
    return float(off.max()) if off.size else 0.0


def _is_usual(pool: Pool, row: int) -> bool:
    values = pool.rows.values() if isinstance(pool.rows, dict) else [pool.rows]
    return all(one.dtype.kind not in "fi" or not (np.abs(one[row]) > _USUAL).any() for one in values)
