"""NumPy's array format, for arrays of plain numbers that are small and come often.

NumPy reads and writes a header as Python source, which costs far more than the few numbers behind it. Headers repeat,
so what each one means is kept. Nothing is unpickled.
"""

import io
import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tidegate.serving.contract.invocation import ModelFailed

_KEPT = 256
"""Headers of each direction; one has at most some 10 kB, by NumPy's own limit."""


def read(body: bytes) -> NDArray[Any]:
    """The array, of numbers of any type and byte order. Raises ModelFailed (400)."""
    try:
        shape, by_column, dtype, data = split(body)
    except Exception as error:  # numpy parses the header as Python and says so in many ways
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
    """Shape, whether it lies column by column, type of the numbers, and their bytes.

    Raises ValueError, or whatever NumPy's reader makes of a bad header."""
    start, width = (10, 2) if body[6:7] == b"\1" else (12, 4)
    end = start + int.from_bytes(body[8 : 8 + width], "little")
    return (*_read(body[:end]), body[end:])


def encode(array: NDArray[Any]) -> bytes:
    """Raises ValueError for an array of objects."""
    if array.dtype.kind not in "fiub":
        stream = io.BytesIO()
        np.lib.format.write_array(stream, array, allow_pickle=False)
        return stream.getvalue()
    return _written(array.shape, array.dtype.str) + array.tobytes()


@lru_cache(_KEPT)
def _read(head: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    stream = io.BytesIO(head)
    version = np.lib.format.read_magic(stream)
    reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, by_column, dtype = reader(stream)
    return shape, by_column, dtype


@lru_cache(_KEPT)
def _written(shape: tuple[int, ...], descr: str) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": descr, "fortran_order": False, "shape": shape})
    return stream.getvalue()
