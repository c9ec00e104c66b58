"""Brings a tree of new files to the disk before it gets its name: a power failure leaves all of it or nothing."""

import ctypes
import os
from pathlib import Path

FEW = 16
"""Files and folders up to which each is synced by itself, which does not wait for what others write. With more, one
sync of the whole file system is quicker: each fsync commits the journal, which takes milliseconds."""


def sync_tree(root: Path) -> None:
    """Returns when every file and folder below ``root`` is on the disk. Raises OSError."""
    names: list[Path] = []
    for folder, _, files in os.walk(root):
        names += [*(Path(folder, name) for name in files), Path(folder)]
        if len(names) > FEW:
            _sync_file_system(root)
            return
    for name in names:
        sync(name)


def sync(path: Path) -> None:
    """Of one file, or of a folder's own entries. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_file_system(root: Path) -> None:
    syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if syncfs is None:  # not Linux
        os.sync()
        return
    descriptor = os.open(root, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(root))
    finally:
        os.close(descriptor)
