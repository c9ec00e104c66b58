"""A disk of the test's own that can be filled: a small tmpfs."""

import contextlib
import errno
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class SmallDisk:
    folder: Path

    def fill(self) -> None:
        """Returns when nothing more can be written."""
        size = 1 << 16
        with (self.folder / "ballast").open("ab", buffering=0) as ballast:
            while size:
                try:
                    ballast.write(b"\0" * size)
                except OSError as error:
                    assert error.errno == errno.ENOSPC
                    size //= 2

    def free(self) -> None:
        (self.folder / "ballast").unlink()


@contextlib.contextmanager
def small_disk(folder: Path, size: str = "2m") -> Iterator[SmallDisk]:
    """Mounted on ``folder``, which is made. The test is skipped where nothing may be mounted."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tidegate-test", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("needs a disk that can be filled: there is no mount command here")
    if done.returncode != 0:
        pytest.skip(f"needs a disk that can be filled: {done.stderr.strip()}")
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
