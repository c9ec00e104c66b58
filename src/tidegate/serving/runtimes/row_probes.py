"""Probes whether a model's rows are independent: rows of many kinds, alone and in batches of many compositions.

A row must get the same answer alone and in every batch, up to rounding, and the same bits with other ordinary rows in
a batch of the same size, since a library that computes rows independently does the same operations for each of them.
Probes cannot prove independence: they complement the proof from a graph, if there is one, and the sampling of real
batches (``scoring.rescoring``).
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tidegate.serving.formats import rounding
from tidegate.serving.formats.rounding import Rows, Run, Scale

SIZES = (2, 3, 7, 32)
"""Batch sizes that are always tried, besides the largest that will be used."""
LARGE = (200, 1000)
"""Rows of large requests, which are scored in blocks."""
LONGEST = 10.0
"""Seconds after which the probes give up."""
FEWEST = 3
"""Least number of probe rows that a model must accept."""
MODERATE = 1e7
"""Magnitude beyond which rows are companions only: their own answers may overflow, or differ by rounding."""
_SWEEP = 128
"""Up to it every batch size is tried, and every whole number as a companion."""


class Dependent(Exception):
    """Rows influence each other; the message says how."""


@dataclass(frozen=True)
class Pool:
    """Probe rows. The first ``ordinary`` have moderate numbers, the first ``essential`` are always tried.
    ``constant`` makes rows of one whole number."""

    rows: Rows
    ordinary: int
    essential: int
    constant: Callable[[NDArray[Any]], Rows]


@dataclass(frozen=True)
class ProbeBudget:
    """``pool``: probe rows; ``cap``: rows of the largest batch; ``seconds``: after them only essential probes are
    run. If independence is ``known`` by other means, only the essential ones are, for at most ``seconds``."""

    pool: Pool
    cap: int
    seconds: float
    known: bool = False
    clock: Callable[[], float] = time.perf_counter


class ProbeFinding(NamedTuple):
    """``scale``: magnitude of a typical answer. ``complete``: all essential probes were run, and none failed for
    lack of memory or the like."""

    scale: Scale
    complete: bool


class _Enough(Exception):
    """No further probes are possible or needed."""


def matrix_pool(width: int, dtype: Any = np.float32) -> Pool:
    random = np.random.default_rng(0)
    usual = random.normal(size=(40, width))
    rows = [
        *usual[:3],
        random.integers(0, 10, width),
        random.integers(-3, 4, width),
        np.where(random.random(width) < 0.8, 0, usual[3]),
        np.zeros(width),
        np.ones(width),
    ]
    ordinary = len(rows)
    largest = float(np.finfo(np.float32).max)
    one_missing = usual[5].copy()
    one_missing[random.integers(width)] = np.nan
    rows += [
        1e3 * usual[6],
        1e6 * usual[7],
        1e-6 * usual[8],
        usual[9] * 10.0 ** random.uniform(-3, 3, width),
        np.full(width, -1e4),
        largest * np.sign(usual[10]),
        one_missing,
        np.full(width, np.nan),
    ]
    essential = len(rows)
    rows += [10.0**power * usual[11 + number] for number, power in enumerate((-4, -2, -1, 1, 2, 4, 5, 9, 20, 30))]
    rows += [
        np.full(width, value)
        for value in (-1, 2, 50, 255, -255, 1e4, 1e9, -1e9, 1.7e9, 2.0**24, largest, -largest)
    ]
    rows += [np.full(width, value) for value in (1e-38, 1e-45, -1e-30)]
    rows += [_spike(width, random, value) for value in (1e2, -1e2, 1e9, -1e9)]
    rows += [
        random.random(width),
        -random.random(width),
        random.integers(0, 2, width),
        random.integers(0, 100, width),
    ]
    table = np.array(rows, np.float64).astype(dtype)
    return Pool(table, ordinary, essential, lambda values: np.repeat(values[:, None], width, axis=1).astype(dtype))


def _spike(width: int, random: np.random.Generator, value: float) -> NDArray[Any]:
    row = np.zeros(width)
    row[random.integers(width)] = value
    return row


TEXTS = ("a", "b", "DE", "", "0", "1", "é", "x" * 40)


def column_pool(dtypes: dict[str, np.dtype[Any]]) -> Pool:
    """For models with an input for each column."""
    random = np.random.default_rng(1)
    numbers = matrix_pool(len(dtypes), np.float64)
    count = len(numbers.rows)
    columns: dict[str, Any] = {}
    for place, (name, dtype) in enumerate(dtypes.items()):
        values = numbers.rows[:, place]
        if dtype.kind == "O":
            columns[name] = np.array(TEXTS, object)[random.integers(0, len(TEXTS), count)]
        elif dtype.kind == "b":
            columns[name] = random.random(count) < 0.5
        elif dtype.kind == "i":
            limit = min(float(np.iinfo(dtype).max), 2.0**53)
            columns[name] = np.clip(np.nan_to_num(np.trunc(values), nan=3), -limit, limit - 1).astype(dtype)
        else:
            columns[name] = values.astype(dtype)
    return Pool(columns, numbers.ordinary, numbers.essential, lambda values: _constant_columns(dtypes, values))


def _constant_columns(dtypes: dict[str, np.dtype[Any]], values: NDArray[Any]) -> Rows:
    return {
        name: np.array([str(value) for value in values], object) if dtype.kind == "O" else values.astype(dtype)
        for name, dtype in dtypes.items()
    }


def judge(run: Run, trial: ProbeBudget) -> ProbeFinding:
    """Run the probes. Raises Dependent if rows influence each other, or if that cannot be tested."""
    probe, complete = _Probe(run, trial), False
    with suppress(_Enough), np.errstate(all="ignore"):
        _try_essential(probe, trial)
        complete = not probe.disturbed
        if probe.in_time() and not trial.known:
            _try_more(probe, trial)
    return ProbeFinding(probe.scale, complete)


def _try_essential(probe: "_Probe", trial: ProbeBudget) -> None:
    ordinary, essential = range(trial.pool.ordinary), range(trial.pool.essential)
    probe.score_alone(ordinary)
    probe.measure_scale()
    probe.repeat(ordinary[:2])
    probe.mix(trial.cap)
    probe.mix(2)
    probe.score_alone(essential[trial.pool.ordinary :])
    for size in sorted({*(size for size in SIZES if size < trial.cap), trial.cap}):
        probe.mix(size)
    probe.swap_companions(essential)
    probe.repeat(essential[::4])


def _try_more(probe: "_Probe", trial: ProbeBudget) -> None:
    rest = range(trial.pool.essential, rounding.length(trial.pool.rows))
    probe.score_alone(rest)
    probe.swap_companions(rest)
    for size in (*SIZES, trial.cap) * 2:
        if size <= trial.cap:
            probe.mix(size)
    for size in LARGE:
        probe.mix(size)
    probe.sweep_integers()
    probe.sweep_sizes()


class _Probe:
    def __init__(self, run: Run, trial: ProbeBudget) -> None:
        self._run = run
        self._trial = trial
        self._rows = trial.pool.rows
        self._began = trial.clock()
        self._random = np.random.default_rng(2)
        self._moderate = _moderate(trial.pool.rows)
        self._alone: dict[int, Any] = {}
        """Row of the pool -> its answer alone; without rows that the model rejects."""
        self._among_ordinary: dict[int, Any] = {}
        """Batch size -> answers of the observed rows among ordinary companions."""
        self._measured = False
        self.disturbed = False
        """A row may have been rejected for a reason that is not its own."""
        self.scale: Scale = 0.0

    def in_time(self) -> bool:
        return self._trial.clock() - self._began < self._trial.seconds

    # --- probes ---

    def score_alone(self, which: Sequence[int]) -> None:
        for row in which:
            try:
                found = self._score([row])
            except (Dependent, _Enough):
                raise
            except Exception as error:  # a model may reject rows with any exception
                self.disturbed |= isinstance(error, MemoryError | OSError)
                continue
            if found.ndim == 0 or len(found) != 1:
                raise Dependent(f"it gives the shape {found.shape} for one row")
            self._alone[row] = found
        if len(self._targets()) < FEWEST:
            if self._trial.known:
                raise _Enough
            raise Dependent(f"it refuses nearly all of {len(which)} rows that were tried")

    def measure_scale(self) -> None:
        self._measured = True
        usual = np.concatenate([self._alone[row] for row in self._targets()])
        if usual.dtype.kind == "f":
            self.scale = np.where(np.isfinite(usual), np.abs(usual), 0).max(axis=0)

    def repeat(self, which: Sequence[int]) -> None:
        """Repeat rows in reverse order, which reveals a model with state."""
        for row in reversed([row for row in which if row in self._alone]):
            if not rounding.identical(self._alone[row], self._score([row])).all():
                raise Dependent("it answers the same row differently each time")

    def mix(self, size: int) -> None:
        """Score rows of all kinds in a new order, some of them twice."""
        known = np.array(list(self._alone))
        order = self._random.permutation(np.resize(self._random.permutation(known), size))
        self._compare(order, self._batch(rounding.take(self._rows, order), size))

    def swap_companions(self, which: Sequence[int]) -> None:
        """Score the same rows at the same positions of a batch, among other rows."""
        companions = [row for row in which if row in self._alone]
        for size in sorted({size for size in (2, 8, self._trial.cap) if size <= self._trial.cap}):
            for row in (
                companions if size == 8 or size == self._trial.cap < 8 else companions[:: 2 if size == 2 else 4]
            ):
                self._swap(size, row)

    def sweep_integers(self) -> None:
        """Use companions of one whole number each: a model may look for the code of a category."""
        size = min(self._trial.cap, 64)
        targets, places = self._observe(size)
        room = size - len(places)
        for first in range(-2, _SWEEP, max(room, 1)) if room else ():
            if not self.in_time():
                return
            batch = self._fill(size, targets, places, np.arange(first, first + room))
            try:
                found = self._score_rows(batch)
            except (Dependent, _Enough):
                raise
            except Exception:  # the model may reject one of the numbers
                continue
            self._check_length(found, size)
            self._check(targets, found[places], f"whole numbers from {first} on")

    def sweep_sizes(self) -> None:
        for size in range(2, min(self._trial.cap, _SWEEP) + 1):
            if not self.in_time():
                return
            self.mix(size)

    # --- helpers ---

    def _targets(self) -> list[int]:
        return [row for row in range(self._trial.pool.ordinary) if row in self._alone]

    def _observe(self, size: int) -> tuple[list[int], NDArray[Any]]:
        """The observed rows and their positions in a batch: at both ends and between."""
        targets = self._targets()[: min(4, size - 1)] or self._targets()[:1]
        return targets, np.unique(np.linspace(0, size - 1, len(targets)).astype(int))[: len(targets)]

    def _swap(self, size: int, companion: int) -> None:
        targets, places = self._observe(size)
        order = np.full(size, companion)
        order[places] = targets
        found = self._batch(rounding.take(self._rows, order), size)[places]
        if companion < self._trial.pool.ordinary:
            usual = self._among_ordinary.setdefault(size, found)
            if not rounding.identical(usual, found).all():
                raise Dependent(f"a row's answer in a batch of {size} changes with the rows beside it")
        self._check(targets, found, f"a row of another kind in a batch of {size}")

    def _fill(self, size: int, targets: list[int], places: NDArray[Any], numbers: NDArray[Any]) -> Rows:
        watched = rounding.take(self._rows, targets)
        others = self._trial.pool.constant(numbers)
        source = np.empty(size, int)
        source[places] = np.arange(len(targets))
        source[np.setdiff1d(np.arange(size), places)] = len(targets) + np.arange(len(numbers))
        if isinstance(watched, dict):
            return {name: np.concatenate([watched[name], others[name]])[source] for name in watched}
        return np.concatenate([watched, others])[source]

    def _compare(self, order: NDArray[Any], found: Any) -> None:
        self._check([int(row) for row in order], found, f"a batch of {len(order)}")

    def _check(self, rows: Sequence[int], found: Any, where: str) -> None:
        expected = np.concatenate([self._alone[row] for row in rows])
        for at in np.flatnonzero(rounding.differs(expected, found, self.scale)):
            if rows[int(at)] not in self._moderate:
                continue
            row = rounding.take(self._rows, [rows[int(at)]])
            single = slice(at, at + 1)
            if not rounding.is_rounding(self._score_rows, row, expected[single], found[single], self.scale):
                raise Dependent(f"a row's answer is another one with {where} than alone")

    def _batch(self, rows: Rows, size: int) -> Any:
        try:
            found = self._score_rows(rows)
        except (Dependent, _Enough):
            raise
        except Exception as error:
            raise Dependent(f"it refuses a batch of {size} rows that it takes alone: {_message(error)}") from None
        self._check_length(found, size)
        return found

    @staticmethod
    def _check_length(found: Any, size: int) -> None:
        if found.ndim == 0 or len(found) != size:
            raise Dependent(f"it gives the shape {found.shape} for {size} rows")

    def _score(self, which: Sequence[int]) -> Any:
        return self._score_rows(rounding.take(self._rows, list(which)))

    def _score_rows(self, rows: Rows) -> Any:
        elapsed = self._trial.clock() - self._began
        if self._trial.known and self._measured and elapsed > self._trial.seconds:
            raise _Enough
        if elapsed > LONGEST:
            raise Dependent(f"to try it takes more than {LONGEST:g} s")
        return np.asarray(self._run(rows))


def _moderate(rows: Rows) -> set[int]:
    columns = rows.values() if isinstance(rows, dict) else [rows]
    fine = np.ones(rounding.length(rows), np.bool_)
    for values in columns:
        if values.dtype.kind in "fi":
            fine &= ~(np.abs(values.reshape(len(values), -1)) > MODERATE).any(axis=1)
    return set(np.flatnonzero(fine).tolist())


def _message(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]


# --- answers that change ---

_CALLS = 200
_PATIENCE = 0.05
"""Seconds and calls after which no further requests are made between two equal ones."""


def find_change(run: Run, pool: Pool, clock: Callable[[], float] = time.perf_counter) -> str:
    """How the answer to the same rows changes from request to request; empty if it does not. Between equal requests
    there are others of all kinds: a model that keeps what it has read answers differently afterwards."""
    asked: list[Sequence[int]] = [[0], [1], range(pool.ordinary)]
    with np.errstate(all="ignore"):
        first = {place: found for place, rows in enumerate(asked) if (found := _ask(run, pool, rows)) is not None}
        again = {place: _ask(run, pool, asked[place]) for place in first}
        if change := _compare_answers(first, again):
            return f"it answers the same rows differently each time ({change})"
        for row in range(pool.ordinary, pool.essential):
            _ask(run, pool, [row])
        _ask(run, pool, range(pool.essential - 1, -1, -1))
        began, calls = clock(), 0
        while calls < _CALLS and clock() - began < _PATIENCE:
            _ask(run, pool, [calls % pool.essential])
            calls += 1
        later = {place: _ask(run, pool, asked[place]) for place in first}
    if change := _compare_answers(first, later):
        return f"its answer to the same rows changes with the requests in between ({change})"
    return ""


def _ask(run: Run, pool: Pool, rows: Sequence[int]) -> Any:
    """None: the model refuses the rows."""
    try:
        return np.array(run(rounding.take(pool.rows, list(rows))))
    except Exception:  # a model may reject rows with any exception
        return None


def _compare_answers(first: dict[int, Any], later: dict[int, Any]) -> str:
    for place, before in first.items():
        after = later[place]
        if after is None:
            return "an error the second time"
        scale = np.abs(before[np.isfinite(before)]).max(initial=0.0) if before.dtype.kind == "f" else 0.0
        if rounding.differs(before, after, scale).any():
            one, other = (str(np.ravel(found)[:1].tolist())[1:-1][:40] for found in (before, after))
            return f"{one}, then {other}" if one != other else "in some of its numbers"
    return ""
