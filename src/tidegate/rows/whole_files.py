"""Reads a whole file that a user named, such as a baseline. Blocks."""

from pathlib import Path

from tidegate.domain.errors import ArtifactError
from tidegate.storage.addresses import parse
from tidegate.storage.files import Roots, open_plain, resolve_existing
from tidegate.storage.s3 import S3

LARGEST = 512 * 1024**2
"""Bytes."""


def read_file(address: str, s3: tuple[str, str], roots: Roots) -> bytes:
    """``s3``: endpoint and region; ``roots``: folders in which it may be, None: any. Raises TidegateError."""
    place = parse(address)
    if place.is_file:
        with open_plain(resolve_existing(Path(place.path), roots), roots) as file:
            content = file.read(LARGEST + 1)
    else:
        bucket = S3(*s3).bucket(place.bucket)
        content = b"".join(bucket.read(place.path, check=check_size))
    check_size(len(content))
    return content


def check_size(size: int) -> None:
    """Raises ArtifactError."""
    if size > LARGEST:
        raise ArtifactError(f"it has more than {LARGEST} bytes")
