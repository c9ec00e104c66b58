"""Atomic file replacement."""

import errno
import os
from pathlib import Path


def write_atomically(path: Path, data: bytes, *, mode: int = 0o600, durable: bool = True) -> None:
    """Replace a file: readers see the old or the new content, never a part, also after a crash. The folder must
    exist.

    ``durable`` waits for the disk, so that the new content survives a power failure. ``mode`` is subject to the
    umask. Raises OSError, with the old content in place, or with the new one where only the wait failed."""
    new = path.with_name(path.name + ".new")
    try:
        with open(new, "wb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            file.write(data)  # buffered: an error even if a nearly full disk takes a part
            if durable:
                file.flush()
                os.fsync(file.fileno())
    except OSError:
        new.unlink(missing_ok=True)
        raise
    new.replace(path)
    if durable:
        sync_folder(path.parent)


def sync_folder(folder: str | Path) -> None:
    """Wait until the names in a folder are on the disk: a power failure may undo a rename until then. Not where a
    folder may be written and not read, or its file system cannot do that. Raises OSError."""
    try:
        opened = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EINVAL, errno.ENOTSUP):
            raise


def write_private(path: Path, data: bytes) -> None:
    """The same in a folder that is made if need be, for this user alone."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_atomically(path, data)
