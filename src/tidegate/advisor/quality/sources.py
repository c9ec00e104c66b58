"""Finds and reads files of JSON lines: a file, a folder, ``file://`` or ``s3://``. Blocks."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from tidegate.domain.errors import ArtifactError
from tidegate.storage.addresses import parse
from tidegate.storage.files import head as head_of
from tidegate.storage.files import list_prefix, read
from tidegate.storage.s3 import S3

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
    place = parse(address, prefix=True)
    found = False
    if place.is_file:
        for path in list_prefix(place.path):
            found = True
            if not wanted(str(path)):
                continue
            _, tag = head_of(path)
            yield from ((str(path), line) for line in _split(read(path, 0, tag)))
    else:
        bucket = S3(*s3).bucket(place.bucket)
        for item in bucket.list(place.path):
            found = True
            if not wanted(item.key):
                continue
            yield from ((item.key, line) for line in _split(bucket.read(item.key, 0, item.etag)))
    if not found and not empty:
        raise ArtifactError(f"{address}: there is nothing")


def _split(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Lines of a file that comes in parts."""
    rest = b""
    for part in parts:
        *whole, rest = (rest + part).split(b"\n")
        yield from (line for line in whole if line.strip())
        if len(rest) > LONGEST_LINE:
            rest = rest[:1]
    if rest.strip():
        yield rest
