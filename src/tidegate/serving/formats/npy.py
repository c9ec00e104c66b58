"""NumPy's array format, optimised for many small arrays of numbers.

NumPy reads and writes the header as Python source, which costs far more than a few numbers. Headers repeat, so parsed
ones are cached. Nothing is unpickled.
"""

import io
import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tidegate.serving.contract.invocation import ModelFailed

_KEPT = 256
"""Cached headers per direction; NumPy limits one to about 10 kB."""


def read(body: bytes) -> NDArray[Any]:
    """Parse an array of numbers of any type and byte order. Raises ModelFailed (400)."""
    try:
        shape, by_column, dtype, data = split(body)
    except Exception as error:  # numpy parses the header as Python, which raises many types of errors
        raise ModelFailed(400, f"The body is not an npy array: {' '.join(str(error).split())}.") from None
    if dtype.kind not in "fiub":
        raise ModelFailed(400, f"The npy array has values of type {dtype}; send numbers.")
    if any(side < 0 for side in shape):
        raise ModelFailed(400, f"The npy array has the shape {shape}; expected rows and columns.")
    size = math.prod(shape) * dtype.itemsize
    if len(data) != size:
        raise ModelFailed(400, f"The npy array should have {size} bytes, found {len(data)}.")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if by_column else "C")


def split(body: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any], bytes]:
    """Shape, whether it is in Fortran order, type of the numbers, and their bytes.

    Raises ValueError, or whatever NumPy's reader raises for a bad header."""
    start, width = (10, 2) if body[6:7] == b"\1" else (12, 4)
    end = start + int.from_bytes(body[8 : 8 + width], "little")
    return (*_read(body[:end]), body[end:])


def encode(array: NDArray[Any]) -> bytes:
    """Raises ValueError for an array of objects."""
    if array.dtype.kind not in "fiub":
        stream = io.BytesIO()
        np.lib.format.write_array(stream, array, allow_pickle=False)
        return stream.getvalue()
    return _encode_header(array.shape, array.dtype.str) + array.tobytes()


def as_column(body: bytes) -> bytes:
    """The array with a second axis of length 1, if it has one axis: a value for each row is no row of values. Raises
    what ``split`` raises."""
    shape, _, dtype, data = split(body)
    return _encode_header((*shape, 1), dtype.str) + data if len(shape) == 1 else body


@lru_cache(_KEPT)
def _read(head: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    stream = io.BytesIO(head)
    version = np.lib.format.read_magic(stream)
    reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, by_column, dtype = reader(stream)
    return shape, by_column, dtype


@lru_cache(_KEPT)
def _encode_header(shape: tuple[int, ...], descr: str) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": descr, "fortran_order": False, "shape": shape})
    return stream.getvalue()
