"""Finds and reads files of JSON lines: a file, a folder, ``file://`` or ``s3://``. Blocks."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tidegate.domain.errors import ArtifactError
from tidegate.storage.addresses import parse
from tidegate.storage.files import head as head_of
from tidegate.storage.files import list_prefix, read
from tidegate.storage.s3 import S3, Bucket, ListedObject

LONGEST_LINE = 8 * 1024 * 1024
"""Bytes; what is longer is read as a broken line."""
Line = tuple[str, bytes]
"""The path or key of the file, and a line without its end."""


def read_lines(
    address: str, s3: tuple[str, str], wanted: Callable[[str], bool] = lambda path: True, empty: bool = False
) -> Iterator[Line]:
    """All lines that are not empty of the files at an address. ``s3``: endpoint and region; ``wanted`` chooses
    files by path or key; ``empty``: there may be none. Raises TidegateError."""
    if "://" not in address:
        address = Path(address).absolute().as_uri()
    found = False
    for file in list_files(address, s3):
        found = True
        if wanted(file.path):
            yield from ((file.path, line) for line in file.lines())
    if not found and not empty:
        raise ArtifactError(f"{address}: there is nothing")


@dataclass(frozen=True)
class LineFile:
    """``path``: or key. ``lines``: reads those that are not empty."""

    path: str
    lines: Callable[[], Iterator[bytes]]


def list_files(address: str, s3: tuple[str, str]) -> Iterator[LineFile]:
    """The files at an address (``file://`` or ``s3://``). Raises TidegateError."""
    place = parse(address, prefix=True)
    if place.is_file:
        for path in list_prefix(place.path):
            yield LineFile(str(path), partial(_read_file, path))
    else:
        bucket = S3(*s3).bucket(place.bucket)
        for item in bucket.list(place.path):
            yield LineFile(item.key, partial(_read_object, bucket, item))


def _read_file(path: Path) -> Iterator[bytes]:
    _, tag = head_of(path)
    yield from split_lines(read(path, 0, tag))


def _read_object(bucket: Bucket, item: ListedObject) -> Iterator[bytes]:
    yield from split_lines(bucket.read(item.key, 0, item.etag))


def split_lines(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Lines of a file that comes in parts."""
    rest = b""
    for part in parts:
        *whole, rest = (rest + part).split(b"\n")
        yield from (line for line in whole if line.strip())
        if len(rest) > LONGEST_LINE:
            rest = rest[:1]
    if rest.strip():
        yield rest
