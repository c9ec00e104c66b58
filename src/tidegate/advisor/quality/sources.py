"""Finds and reads files of JSON lines: a file, a folder, ``file://`` or ``s3://``. Blocks."""

from collections.abc import Iterable, Iterator
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


def read_lines(address: str, s3: tuple[str, str]) -> Iterator[Line]:
    """All lines that are not empty of the files at an address. ``s3``: endpoint and region. Raises TidegateError."""
    if "://" not in address:
        address = Path(address).absolute().as_uri()
    place = parse(address, prefix=True)
    found = False
    if place.is_file:
        for path in list_prefix(place.path):
            found = True
            _, tag = head_of(path)
            yield from ((str(path), line) for line in _split(read(path, 0, tag)))
    else:
        bucket = S3(*s3).bucket(place.bucket)
        for item in bucket.list(place.path):
            found = True
            yield from ((item.key, line) for line in _split(bucket.read(item.key, 0, item.etag)))
    if not found:
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
