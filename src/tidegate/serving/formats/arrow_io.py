"""Parquet and Arrow tables, read and written by a process of their own (``frame_reader``).

A few bytes of such a file can stand for gigabytes, and its readers are C++ that trusts much of what a file says. So
they run beside the worker, with a limit on memory and time: the worst that a file can do is to end that process,
which the next request starts anew. It is started with the first request that needs it, and ends with the worker.
"""

import atexit
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from tidegate.serving.contract.invocation import ModelFailed

PARQUET = "application/x-parquet"
APACHE_PARQUET = "application/vnd.apache.parquet"
STREAM = "application/vnd.apache.arrow.stream"
FILE = "application/vnd.apache.arrow.file"
TYPES = (PARQUET, APACHE_PARQUET, STREAM, FILE)
KINDS = frozenset(TYPES)

FLOAT, DOUBLE, WHOLE, TRUTH, TEXT, CODED, EXACT = "float", "double", "whole", "truth", "text", "coded", "exact"
"""What a column is wanted as: float32, float64, int64, bool, text; text or float64 (a category of text); int64 or
float64, as the column is (a category of numbers)."""

TIMEOUT = 30.0
"""Seconds that one table may take."""
MEMORY = 1024**3
"""Bytes that the process may take beyond what it holds when it has started."""
MOST_CELLS = 16 * 1024 * 1024
"""Rows times columns of a table: as many as a body of the largest size could hold in any other form."""


_PLAIN = {"ARROW_DEFAULT_MEMORY_POOL": "system", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
"""An allocator and as few threads as reserve no room ahead, which the limit would count."""


class Wish(msgspec.Struct):
    """What is asked of the process; the bytes follow. ``wanted``: for each of the model's columns; None: write."""

    kind: str
    size: int
    wanted: list[str] | None = None
    names: list[str] | None = None
    shape: list[int] | None = None
    dtype: str = ""
    most_cells: int = MOST_CELLS


class Said(msgspec.Struct):
    """What it answers; the bytes follow. ``texts`` has None where a column came as numbers."""

    status: int = 0
    message: str = ""
    size: int = 0
    rows: int = 0
    types: list[str] = []
    """Of each column: its numpy type, or ``text``."""
    texts: list[list[str | None]] = []


@dataclass(frozen=True)
class Frame:
    """``columns`` in the model's order: arrays of numbers with NaN for missing ones (a masked array for whole
    numbers and truth values), or lists of text."""

    rows: int
    columns: list[Any]


class _Reader:
    """The process; one request at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, wish: Wish, body: bytes | memoryview) -> tuple[Said, bytes]:
        """Raises ModelFailed."""
        if find_spec("pyarrow") is None:
            raise ModelFailed(
                415,
                f"Content type {wish.kind!r} needs pyarrow, which is not installed: pip install 'tidegate[arrow]'",
            )
        with self._lock:
            process = self._started()
            late = threading.Event()
            patience = threading.Timer(TIMEOUT, _give_up, (process, late))
            patience.start()
            try:
                return self._talk(process, wish, body)
            except (OSError, EOFError, msgspec.DecodeError):
                self._end()
                why = f"took longer than {TIMEOUT:g} s" if late.is_set() else "ended the process that reads tables"
                raise ModelFailed(400, f"The {_name(wish.kind)} table {why}; it may be damaged.") from None
            finally:
                patience.cancel()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is not None:
            self._end()
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tidegate.serving.formats.arrow_worker", str(MEMORY)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, **_PLAIN},
            )
        return self._process

    def _talk(self, process: subprocess.Popen[bytes], wish: Wish, body: bytes | memoryview) -> tuple[Said, bytes]:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(msgspec.json.encode(wish) + b"\n")
        process.stdin.write(body)
        process.stdin.flush()
        said = msgspec.json.decode(process.stdout.readline(), type=Said)
        data = process.stdout.read(said.size)
        if len(data) != said.size:
            raise EOFError
        if said.status:
            raise ModelFailed(said.status, said.message)
        return said, data

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    with suppress(OSError):  # what could not be sent to a process that is gone
                        stream.close()

    def close(self) -> None:
        with self._lock:
            self._end()


def _give_up(process: subprocess.Popen[bytes], late: threading.Event) -> None:
    late.set()
    process.kill()


_reader = _Reader()
atexit.register(_reader.close)


def read(body: bytes, kind: str, wanted: Sequence[str], names: Sequence[str] | None) -> Frame:
    """The table's columns as ``wanted``, by name where the model has names, by position otherwise. Raises
    ModelFailed: 400 that names row and column, 415 where pyarrow is not installed."""
    given = list(names) if names else None
    said, data = _reader.ask(Wish(kind, len(body), list(wanted), given, most_cells=MOST_CELLS), body)
    columns: list[Any] = []
    at = 0
    texts = iter(said.texts)
    for name in said.types:
        if name == "text":
            columns.append(next(texts))
            continue
        dtype = np.dtype(name)
        values = np.frombuffer(data, dtype, said.rows, at)
        at += values.nbytes
        if dtype.kind in "ib":
            mask = np.frombuffer(data, np.bool_, said.rows, at)
            at += mask.nbytes
            columns.append(np.ma.MaskedArray(values, mask))
        else:
            columns.append(values)
    return Frame(said.rows, columns)


def write(predictions: NDArray[Any], kind: str) -> bytes:
    """A table of the columns ``prediction``, or ``prediction_0`` and on. Raises ModelFailed (415)."""
    values = np.ascontiguousarray(predictions)
    if values.dtype.kind not in "fiub":
        values = values.astype(str)  # labels
    body = values.tobytes()
    _, data = _reader.ask(Wish(kind, len(body), shape=list(values.shape), dtype=values.dtype.str), body)
    return data


def _name(kind: str) -> str:
    return "parquet" if "parquet" in kind else "Arrow"
