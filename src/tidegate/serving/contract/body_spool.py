"""Bodies too large for memory, on their way to a model."""

import contextlib
import mmap
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from tidegate.serving.contract.invocation import Call

IN_MEMORY = 32 * 1024 * 1024
"""Bytes of a request or an answer that is held in memory; a larger one goes through a file, or in parts."""
CHUNK = 256 * 1024


class Spool:
    """A body in an unnamed file of ``folder`` that is removed with this object. ``add`` raises OSError."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file, path = tempfile.mkstemp(dir=folder)
        os.unlink(path)
        self._size = 0

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError):  # the file could not be created
            os.close(self._file)

    def __len__(self) -> int:
        return self._size

    def add(self, part: bytes) -> None:
        left = memoryview(part)
        while left:
            left = left[os.write(self._file, left) :]
        self._size += len(part)

    def parts(self) -> Iterator[bytes]:
        """The body in chunks, from its beginning."""
        for at in range(0, self._size, CHUNK):
            yield os.pread(self._file, CHUNK, at)

    def lines(self, size: int) -> Iterator[bytes]:
        """Whole lines, about ``size`` bytes at a time; a longer line comes alone."""
        held: list[bytes] = []
        for at in range(0, self._size, size):
            part = os.pread(self._file, size, at)
            end = len(part) if at + size >= self._size else part.rfind(b"\n") + 1
            if end:
                yield b"".join([*held, part[:end]])
                held, part = [], part[end:]
            held.append(part)

    def create_sibling(self) -> "Spool":
        """An empty spool in the same folder. Raises OSError."""
        return Spool(self._folder)

    def view(self) -> memoryview:
        """The bytes, without copying them."""
        return memoryview(mmap.mmap(self._file, self._size, access=mmap.ACCESS_READ))

    def whole(self) -> bytes:
        return self.view().tobytes()


class LargeCall(Call):
    """A call whose body is in a file, and read when ``body`` is used. A program gets it in parts instead."""

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
