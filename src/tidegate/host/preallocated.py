"""Small files that can still be replaced while the disk is full.

Each file has a preallocated spare beside it. A write fills the spare in place and renames it over the file, so it
needs no free space, and a reader or a crash sees the old content or the new. What was the file becomes the spare.
Both are padded with line breaks, which JSON and HAProxy's formats ignore.
"""

import contextlib
import os
from pathlib import Path

BLOCK = 16 * 1024
"""Sizes are multiples of this, with as much again as the content for growth: HAProxy's configuration grows by some
two thirds when a pool of slots doubles."""


class PreallocatedFiles:
    """The files of one folder. It does not wait for the disk, which would make a change of weights ten times slower:
    a power failure may lose what was written last, and with it every process that it was about."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, data: bytes) -> None:
        """Replace one file. Raises OSError, with the old content in place."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path, spare = self.folder / name, self.folder / f"{name}.spare"
        room = _allocation_size(len(data))
        _recover(path, spare)
        handle = os.open(spare, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(handle).st_size
            if size < room:
                try:
                    os.posix_fallocate(handle, 0, room)
                    size = room
                except OSError:
                    if size < len(data):
                        raise
            _fill(handle, data + b"\n" * (size - len(data)))
        finally:
            os.close(handle)
        _swap(path, spare)
        _reserve(spare, room)

    def reserve(self, name: str) -> None:
        """Set space aside for a first write, if there is some."""
        with contextlib.suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _reserve(self.folder / f"{name}.spare", BLOCK)

    def read(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()

    def remove(self, name: str) -> None:
        with contextlib.suppress(OSError):
            (self.folder / name).unlink()


def _allocation_size(size: int) -> int:
    return -(-2 * size // BLOCK) * BLOCK or BLOCK


def _fill(handle: int, data: bytes) -> None:
    at = 0
    while at < len(data):
        at += os.pwrite(handle, data[at:], at)


def _old_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.old")


def _recover(path: Path, spare: Path) -> None:
    """After a crash between the two renames of ``_swap`` the spare has the name in between."""
    with contextlib.suppress(OSError):
        if not spare.exists() and not _old_path(path).samefile(path):
            _old_path(path).replace(spare)


def _swap(path: Path, spare: Path) -> None:
    """The old file must keep a name while the spare takes its place: with its last name its blocks would be freed,
    for whatever fills the disk to take."""
    old = _old_path(path)
    with contextlib.suppress(OSError):  # a first write has no old file, some file systems have no hard links
        old.unlink(missing_ok=True)
        os.link(path, old)
    spare.replace(path)
    with contextlib.suppress(FileNotFoundError):
        old.replace(spare)


def _reserve(spare: Path, size: int) -> None:
    """Grow the spare for the next write if there is space. Without it that write needs space of its own."""
    with contextlib.suppress(OSError):
        handle = os.open(spare, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(handle).st_size < size:
                os.posix_fallocate(handle, 0, size)
        finally:
            os.close(handle)
