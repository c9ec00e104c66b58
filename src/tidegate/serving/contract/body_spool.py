"""Bodies too large for memory, on their way to a model."""

import contextlib
import mmap
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from tidegate.serving.contract.invocation import Call

IN_MEMORY = 32 * 1024 * 1024
"""Bytes of a request or an answer that is held whole; a larger one goes by way of a file, or in parts."""
CHUNK = 256 * 1024


class Spool:
    """A body in a file of ``folder`` that has no name and goes with this object. ``add`` raises OSError."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file, path = tempfile.mkstemp(dir=folder)
        os.unlink(path)
        self._size = 0

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError):  # no file was made
            os.close(self._file)

    def __len__(self) -> int:
        return self._size

    def add(self, part: bytes) -> None:
        left = memoryview(part)
        while left:
            left = left[os.write(self._file, left) :]
        self._size += len(part)

    def parts(self) -> Iterator[bytes]:
        """From the beginning, each time."""
        for at in range(0, self._size, CHUNK):
            yield os.pread(self._file, CHUNK, at)

    def lines(self, size: int) -> Iterator[bytes]:
        """Whole lines, about ``size`` bytes of them at a time; a line that is longer is given whole."""
        held: list[bytes] = []
        for at in range(0, self._size, size):
            part = os.pread(self._file, size, at)
            end = len(part) if at + size >= self._size else part.rfind(b"\n") + 1
            if end:
                yield b"".join([*held, part[:end]])
                held, part = [], part[end:]
            held.append(part)

    def another(self) -> "Spool":
        """An empty one beside it. Raises OSError."""
        return Spool(self._folder)

    def view(self) -> memoryview:
        """Its bytes without a copy of them."""
        return memoryview(mmap.mmap(self._file, self._size, access=mmap.ACCESS_READ))

    def whole(self) -> bytes:
        return self.view().tobytes()


class LargeCall(Call):
    """A call whose body is read from its file when it is asked for: a program gets it in parts instead."""

    __slots__ = ("_read", "spool")

    def __init__(self, spool: Spool, headers: Mapping[bytes, bytes], parts: bool = False) -> None:
        self.spool: Spool | None = spool
        self._read = b""
        super().__init__(b"", headers, parts)

    @property
    def body(self) -> bytes:
        if self.spool is not None:
            self._read, self.spool = self.spool.whole(), None
        return self._read

    @body.setter
    def body(self, body: bytes) -> None:
        if body:
            self._read, self.spool = body, None
