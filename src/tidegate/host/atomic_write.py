"""Atomic file replacement."""

import os
from pathlib import Path


def write_atomically(path: Path, data: bytes, *, mode: int = 0o600, durable: bool = True) -> None:
    """Replace a file: readers see the old or the new content, never a part, also after a crash. The folder must
    exist.

    ``durable`` waits for the disk, so that the new content survives a power failure. ``mode`` is subject to the
    umask. Raises OSError, with the old content in place."""
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


def write_private(path: Path, data: bytes) -> None:
    """The same in a folder that is made if need be, for this user alone."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_atomically(path, data)
