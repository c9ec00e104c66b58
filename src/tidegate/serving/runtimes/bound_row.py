"""Scores one row by an onnxruntime session whose input and output stay in place.

``InferenceSession.run`` makes arrays of both for each call, and the results of one row then pass numpy several times.
For a request that finds nothing in the processor's caches, as among a few hundred a second, that is a fifth of the
worker's time. Here the row's bytes are copied into memory that the session knows, and the sum is read out of it.
"""

import math
import threading
from array import array
from collections.abc import Callable

import numpy as np
import onnxruntime

from tidegate.serving.runtimes.objectives import LINKS, MOST_ODDS

CHECKED = 32
"""Probe rows that are compared when a model is loaded."""

OneRow = Callable[[bytes], "array[float] | None"]
"""From the float32 of one row to its one result, a float32; None while another thread uses it."""


def bind_row(
    session: onnxruntime.InferenceSession, names: tuple[str, str], features: int, objective: str
) -> OneRow | None:
    """``names``: of the session's input and of its output, which has one column. None: the objective is none of
    those whose result for one sum is known here."""
    finish = _finish(objective)
    if finish is None:
        return None
    row, total = np.zeros((1, features), np.float32), np.zeros((1, 1), np.float32)
    binding = session.io_binding()
    binding.bind_ortvalue_input(names[0], onnxruntime.OrtValue.ortvalue_from_numpy(row))
    binding.bind_ortvalue_output(names[1], onnxruntime.OrtValue.ortvalue_from_numpy(total))
    given, found = row.data.cast("B"), total.data.cast("B").cast("f")
    run, free = session.run_with_iobinding, threading.Lock()

    def evaluate(values: bytes) -> "array[float] | None":
        if not free.acquire(blocking=False):
            return None
        try:
            given[:] = values
            run(binding)
            return finish(found[0])
        finally:
            free.release()

    return evaluate


def _finish(objective: str) -> "Callable[[float], array[float]] | None":
    kind = LINKS.get(objective)
    if kind == LINKS["binary:logistic"]:
        return to_probability
    return keep_sum if kind == LINKS["reg:squarederror"] else None


def keep_sum(total: float) -> "array[float]":
    return array("f", (total,))


def to_probability(total: float) -> "array[float]":
    """As ``objectives`` has it, bit by bit. A sum or a quotient of two float32 that is rounded from float64 is what
    float32 itself gives, as float64 has more than twice its digits (Figueroa, "When is double rounding
    innocuous?")."""
    odds = -total
    made = array("f", (0.0,))
    if odds >= MOST_ODDS:
        return made
    made[0] = math.exp(odds)
    made[0] = 1.0 + made[0]
    made[0] = 1.0 / made[0]
    return made
