"""Destinations of captured files: a folder, or a bucket. Each file appears whole under its name."""

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from tidegate.domain.capture import Capture
from tidegate.domain.errors import TidegateError
from tidegate.rows.capture_paths import is_captured
from tidegate.storage.addresses import parse
from tidegate.storage.files import check_roots, move, unwritable
from tidegate.storage.s3 import S3

ROOTS_SETTING = "TIDEGATE_OUTPUT_ROOTS"
LOOK_EVERY = 600.0
"""Seconds between two looks through a folder in which there should be room."""
CONTENT_TYPE = "application/jsonlines"


class Destination(Protocol):
    """Everything blocks. Raises TidegateError."""

    def put(self, file: Path, below: str) -> None:
        """Deliver a file under a path below the variant's, and remove it here."""
        ...


def open_destination(capture: Capture, variant: str, roots: Sequence[str], s3: tuple[str, str]) -> Destination:
    """``variant``: ENDPOINT/VARIANT; ``roots``: folders that may be written to; ``s3``: endpoint and region. Raises
    TidegateError."""
    address = parse(capture.destination, prefix=True)
    if address.is_file:
        return FolderDestination(Path(address.path), variant, roots, capture.keep)
    prefix = "/".join(part for part in (address.path.strip("/"), variant) if part)
    return BucketDestination(S3(*s3), address.bucket, prefix, capture.kms_key)


class FolderDestination:
    """A folder of this machine. Only its owner can read what is put there."""

    def __init__(self, folder: Path, variant: str, roots: Sequence[str], keep: int) -> None:
        self._folder = folder / variant
        self._roots = roots
        self._keep = keep
        self._size: int | None = None
        """Bytes that are there, about: those of other replicas are counted when the folder is looked through."""
        self._looked = 0.0

    def put(self, file: Path, below: str) -> None:
        target = self._folder / below
        try:
            check_roots(target.resolve(), [Path(root).resolve() for root in self._roots], ROOTS_SETTING)
            _make_private(target.parent)
        except OSError as error:
            raise unwritable(f"the capture {target}", error) from None
        size = file.stat().st_size if file.exists() else 0
        move(file, target)
        file.unlink(missing_ok=True)  # it was copied to another disk
        self._prune(size)

    def _prune(self, added: int) -> None:
        """Remove the oldest captured files beyond what is kept. Others may do so at the same time."""
        self._size = None if self._size is None else self._size + added
        recent = time.monotonic() - self._looked < LOOK_EVERY
        if recent and self._size is not None and self._size <= self._keep:
            return
        sizes = self._sizes()
        total, self._looked = sum(sizes.values()), time.monotonic()
        for path in sorted(sizes, key=self._relative_path)[:-1]:
            if total <= self._keep:
                break
            total -= sizes[path]
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
                for above in path.parents[:4]:
                    above.rmdir()
        self._size = total

    def _sizes(self) -> dict[Path, int]:
        """Return the sizes of all captured files. There may be very many, so it yields the interpreter to threads
        that answer requests."""
        sizes = {}
        for hour in self._folder.glob("*/*/*/*"):
            for path in hour.glob("*.jsonl"):
                if is_captured(self._relative_path(path)):
                    with contextlib.suppress(OSError):
                        sizes[path] = path.stat().st_size
            time.sleep(0)
        return sizes

    def _relative_path(self, path: Path) -> str:
        return path.relative_to(self._folder).as_posix()


class BucketDestination:
    """A prefix of a bucket, whose own rules say how long objects are kept."""

    def __init__(self, s3: S3, bucket: str, prefix: str, kms_key: str) -> None:
        self._bucket = s3.bucket(bucket)
        self._where = f"s3://{bucket}/{prefix}"
        self._prefix = prefix
        self._kms_key = kms_key

    def put(self, file: Path, below: str) -> None:
        try:
            self._bucket.upload(file, f"{self._prefix}/{below}", content_type=CONTENT_TYPE, kms_key=self._kms_key)
        except TidegateError as error:
            raise type(error)(f"{self._where}: {error}") from None
        file.unlink(missing_ok=True)


def _make_private(folder: Path) -> None:
    """Make the folder and those above it, for this user alone where they are new."""
    missing = [folder]
    while not missing[-1].exists() and missing[-1] != missing[-1].parent:
        missing.append(missing[-1].parent)
    for one in reversed(missing):
        one.mkdir(exist_ok=True, mode=0o700)
