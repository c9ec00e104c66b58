"""Parquet and Arrow tables, read and written by a separate process (``arrow_worker``).

A few bytes of such a file can expand to gigabytes, and its readers are C++ code that trusts much of a file's content.
So they run in a process with limits on memory and time: at worst a file crashes that process, and the next request
starts another one. The first request that needs it starts the process; it ends with the worker.
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

from tidegate.domain.decoding import prepare_type
from tidegate.serving.contract.invocation import ModelFailed

PARQUET = "application/x-parquet"
APACHE_PARQUET = "application/vnd.apache.parquet"
STREAM = "application/vnd.apache.arrow.stream"
FILE = "application/vnd.apache.arrow.file"
TYPES = (PARQUET, APACHE_PARQUET, STREAM, FILE)
KINDS = frozenset(TYPES)

FLOAT, DOUBLE, WHOLE, TRUTH, TEXT, CODED, EXACT = "float", "double", "whole", "truth", "text", "coded", "exact"
"""Types of columns: float32, float64, int64, bool, text; text or float64 (a category of text); int64 or float64,
whichever the column has (a category of numbers)."""
ANY = "any"
"""The type of a column that nothing reads: text or float64, and missing values for all else."""

TIMEOUT = 30.0
"""Seconds for one table."""
MEMORY = 1024**3
"""Bytes that the process may allocate after its start."""
MOST_CELLS = 16 * 1024 * 1024
"""Most rows times columns of a table: as many as the largest body could have in any other content type."""


_PLAIN = {"ARROW_DEFAULT_MEMORY_POOL": "system", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
"""An allocator and few threads, so that no memory is reserved in advance, which would count towards the limit."""


class ArrowRequest(msgspec.Struct):
    """A request to the process, followed by the bytes. ``wanted``: type of each of the model's columns; None:
    write."""

    kind: str
    size: int
    wanted: list[str] | None = None
    names: list[str] | None = None
    shape: list[int] | None = None
    dtype: str = ""
    most_cells: int = MOST_CELLS


class ArrowReply(msgspec.Struct):
    """A reply of the process, followed by the bytes. ``texts`` has None for columns of numbers."""

    status: int = 0
    message: str = ""
    size: int = 0
    rows: int = 0
    types: list[str] = []
    """Numpy type of each column, or ``text``."""
    texts: list[list[str | None]] = []


@dataclass(frozen=True)
class Frame:
    """``columns`` in the model's order: arrays of numbers with NaN for missing values (masked arrays for integers and
    booleans), or lists of text."""

    rows: int
    columns: list[Any]


class _Reader:
    """The process; one request at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, request: ArrowRequest, body: bytes | memoryview) -> tuple[ArrowReply, bytes]:
        """Raises ModelFailed."""
        if find_spec("pyarrow") is None:
            raise ModelFailed(
                415,
                f"Content type {request.kind!r} needs pyarrow, which is not installed: pip install 'tidegate[arrow]'",
            )
        with self._lock:
            process = self._start()
            late = threading.Event()
            patience = threading.Timer(TIMEOUT, _give_up, (process, late))
            patience.start()
            try:
                return self._talk(process, request, body)
            except (OSError, EOFError, msgspec.DecodeError):
                self._end()
                why = f"took longer than {TIMEOUT:g} s" if late.is_set() else "ended the process that reads tables"
                raise ModelFailed(400, f"The {_name(request.kind)} table {why}; it may be damaged.") from None
            finally:
                patience.cancel()

    def prepare(self) -> None:
        """Start the process, before there is a request."""
        with self._lock, suppress(OSError):  # the first request tries again, and tells
            if find_spec("pyarrow") is not None:
                self._start()

    def _start(self) -> subprocess.Popen[bytes]:
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

    def _talk(
        self, process: subprocess.Popen[bytes], request: ArrowRequest, body: bytes | memoryview
    ) -> tuple[ArrowReply, bytes]:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(msgspec.json.encode(request) + b"\n")
        process.stdin.write(body)
        process.stdin.flush()
        reply = msgspec.json.decode(process.stdout.readline(), type=prepare_type(ArrowReply))
        data = process.stdout.read(reply.size)
        if len(data) != reply.size:
            raise EOFError
        if reply.status:
            raise ModelFailed(reply.status, reply.message)
        return reply, data

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    with suppress(OSError):  # the process has ended
                        stream.close()

    def close(self) -> None:
        with self._lock:
            self._end()


def _give_up(process: subprocess.Popen[bytes], late: threading.Event) -> None:
    late.set()
    process.kill()


_reader = _Reader()
atexit.register(_reader.close)


def prepare() -> None:
    """Start the process that reads tables, before there is a request. It returns at once, and what the process
    imports takes about as long as loading a model."""
    _reader.prepare()


def read(body: bytes, kind: str, wanted: Sequence[str], names: Sequence[str] | None) -> Frame:
    """Read the columns as ``wanted``, by name if the model has names, else by position. Raises ModelFailed: 400 with
    row and column, 415 if pyarrow is not installed."""
    given = list(names) if names else None
    reply, data = _reader.ask(ArrowRequest(kind, len(body), list(wanted), given, most_cells=MOST_CELLS), body)
    columns: list[Any] = []
    at = 0
    texts = iter(reply.texts)
    for name in reply.types:
        if name == "text":
            columns.append(next(texts))
            continue
        dtype = np.dtype(name)
        values = np.frombuffer(data, dtype, reply.rows, at)
        at += values.nbytes
        if dtype.kind in "ib":
            mask = np.frombuffer(data, np.bool_, reply.rows, at)
            at += mask.nbytes
            columns.append(np.ma.MaskedArray(values, mask))
        else:
            columns.append(values)
    return Frame(reply.rows, columns)


def write(predictions: NDArray[Any], kind: str) -> bytes:
    """Write a table with the column ``prediction``, or ``prediction_0`` and so on. Raises ModelFailed (415)."""
    values = np.ascontiguousarray(predictions)
    if values.dtype.kind not in "fiub":
        values = values.astype(str)  # labels
    body = values.tobytes()
    _, data = _reader.ask(ArrowRequest(kind, len(body), shape=list(values.shape), dtype=values.dtype.str), body)
    return data


def _name(kind: str) -> str:
    return "parquet" if "parquet" in kind else "Arrow"
