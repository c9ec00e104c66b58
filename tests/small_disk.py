"""A disk of the test's own that can be filled."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tidegate.testing import small_disk as disks


@contextlib.contextmanager
def small_disk(folder: Path, size: str = "2m") -> Iterator[disks.SmallDisk]:
    """Mounted on ``folder``, which is made. The test is skipped where nothing may be mounted."""
    with contextlib.ExitStack() as stack:
        try:
            disk = stack.enter_context(disks.mount_small_disk(folder, size))
        except OSError as error:
            pytest.skip(f"needs a disk that can be filled: {error}")
        yield disk
