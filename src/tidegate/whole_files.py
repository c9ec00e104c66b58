"""Files that are there whole or as they were before, whichever process crashes."""

import os
from pathlib import Path


def write_whole(path: Path, data: bytes, *, mode: int = 0o600, durable: bool = True) -> None:
    """A reader, or a crash, sees the old content or the new, never a part. Its folder must exist.

    ``durable`` waits for the disk, so that a power failure does not lose the file either. ``mode`` is subject to the
    umask. Raises OSError, with the old content in place."""
    new = path.with_name(path.name + ".new")
    try:
        with open(new, "wb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            file.write(data)  # all of it or an error: a nearly full disk takes a part
            if durable:
                file.flush()
                os.fsync(file.fileno())
    except OSError:
        new.unlink(missing_ok=True)
        raise
    new.replace(path)
