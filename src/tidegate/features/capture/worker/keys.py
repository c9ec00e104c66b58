"""The key of hashes in captures: a file that only its owner can read."""

import os
import stat
from pathlib import Path

from tidegate.domain.errors import StartupError

SHORTEST = 16
"""Bytes of a key: identities are few enough to try them all, so the key must not be guessed."""


def read_key(path: Path) -> bytes:
    """Raises OSError, or StartupError for a key that is too short or that others can read."""
    with path.open("rb") as file:
        if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
            raise StartupError(f"the key {path} can be read by others: chmod 600 {path}")
        key = file.read().strip()
    if len(key) < SHORTEST:
        raise StartupError(f"the key {path} has {len(key)} bytes: it must have {SHORTEST} at least")
    return key
