"""Syncs a tree of new files to disk before it is renamed, so that a power failure leaves all of it or nothing."""

import ctypes
import os
from pathlib import Path

FEW = 16
"""Up to so many files and folders are synced one by one, which does not wait for writes of other processes. With
more, one sync of the file system is faster: each fsync commits the journal, which takes milliseconds."""


def sync_tree(root: Path) -> None:
    """Sync every file and folder below ``root``. Raises OSError."""
    names: list[Path] = []
    for folder, _, files in os.walk(root):
        names += [*(Path(folder, name) for name in files), Path(folder)]
        if len(names) > FEW:
            _sync_file_system(root)
            return
    for name in names:
        sync(name)


def sync(path: Path) -> None:
    """Sync one file, or a folder's own entries. Raises OSError."""
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
