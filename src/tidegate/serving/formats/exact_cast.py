"""Casts arrays without loss: numpy truncates, wraps and overflows silently."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


class Inexact(ValueError):
    """A cast would lose a value. ``place``: its indices; the message shows it."""

    def __init__(self, place: tuple[int, ...], value: object, dtype: "np.dtype[Any]") -> None:
        kind = {"b": "true or false", "i": "a whole number", "u": "a whole number"}.get(dtype.kind, "a number")
        super().__init__(f"{value} is not {kind} of the type {dtype.name}")
        self.place = place


_EXACT = 2.0**53
"""Whole numbers beyond it are not exact in float64."""


def array_of(value: Any, dtype: DTypeLike) -> NDArray[Any]:
    """Convert nested lists of JSON's numbers, for a ``cast`` to ``dtype``: numpy rounds large whole numbers beside a
    fraction, such as 1.0. Raises what numpy raises for other lists."""
    found = np.array(value)
    wanted = np.dtype(dtype)
    if wanted.kind in "iu" and found.dtype.kind == "f" and (np.abs(found) >= _EXACT).any():
        numbers = np.array(value, object).flat
        whole = [int(one) if _is_whole(one) else one for one in numbers]
        if all(isinstance(one, int) for one in whole):
            return np.array(whole, wanted).reshape(found.shape)
    return found


def _is_whole(number: Any) -> bool:
    """Whether it is a float that is a whole number for certain, and no rounded one."""
    return isinstance(number, float) and abs(number) < _EXACT and number.is_integer()


def cast(values: NDArray[Any], dtype: DTypeLike) -> NDArray[Any]:
    """Cast to ``dtype``: integers and booleans exactly, others to the nearest value. Raises Inexact if a number would
    become another integer, or infinite."""
    wanted = np.dtype(dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        found = np.ascontiguousarray(values, wanted)
    if wanted.kind == "f":
        wrong = np.isinf(found) & np.isfinite(values) if values.dtype.kind != "b" else np.zeros(values.shape, bool)
    elif values.dtype == wanted:
        return found
    else:
        # Not through floats, where different integers beyond 2^53 would be equal.
        wrong = found.astype(values.dtype) != values
        if wanted.kind in "iu" and values.dtype.kind == "f":
            # A float beyond that may be a rounded whole number.
            wrong |= ~np.isfinite(values) | (
                np.abs(values) >= min(_EXACT, 2.0 ** (np.finfo(values.dtype).nmant + 1))
            )
        if wanted.kind in "iu" and values.dtype.kind in "iu":
            wrong |= (found < 0) != (values < 0)
    if wrong.any():
        place = tuple(int(side) for side in np.argwhere(wrong)[0])
        raise Inexact(place, values[place].item(), wanted)
    return found
