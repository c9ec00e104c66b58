"""Finds the captured files of a window of time. Blocks."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tidegate.domain.errors import ArtifactError
from tidegate.rows.capture_paths import began_at
from tidegate.rows.sources import Line, read_lines
from tidegate.storage.addresses import parse
from tidegate.storage.files import Roots, open_plain, resolve_existing
from tidegate.storage.s3 import S3

HOUR = timedelta(hours=1)

SKEW = 300.0
"""Seconds by which clocks of hosts may differ, and a file may be late in its name."""


def hours_of(since: float, before: float) -> list[str]:
    """Folders below a variant's, in which files of this time may lie."""
    hour = datetime.fromtimestamp(since, UTC).replace(minute=0, second=0, microsecond=0)
    end, found = datetime.fromtimestamp(before, UTC), []
    while hour < end:
        found.append(f"{hour:%Y/%m/%d/%H}/")
        hour += HOUR
    return found


def read_window(address: str, since: float, before: float, span: float, s3: tuple[str, str]) -> Iterator[Line]:
    """All lines of the files below a variant's folder that may have captures of the window. ``span``: seconds that a
    file may be open. Raises TidegateError where they cannot be read; there may be none."""
    earliest = since - span - SKEW
    for hour in hours_of(earliest, before + SKEW):
        yield from read_lines(
            f"{address.rstrip('/')}/{hour}",
            s3,
            wanted=lambda path: (began := began_at(path)) is None or earliest <= began <= before + SKEW,
            empty=True,
        )


# Reads a whole file that a user named, such as a baseline. Blocks.


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
