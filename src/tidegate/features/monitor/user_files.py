"""Finds and reads the files at an address that a user named. Blocks."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tidegate.domain.errors import MissingArtifact
from tidegate.features.monitor.processing_records import StorageAccess
from tidegate.storage.addresses import parse
from tidegate.storage.files import CHUNK, list_prefix, open_plain, resolve_existing
from tidegate.storage.s3 import S3, Bucket, ListedObject


class UserFile(NamedTuple):
    """``path``: or key. ``parts``: reads the bytes."""

    path: str
    parts: Callable[[], Iterator[bytes]]


def list_user_files(address: str, access: StorageAccess) -> Iterator[UserFile]:
    """The file, those of a folder, or those whose keys begin so. Raises TidegateError for files outside the folders
    that may be used, also by links, and for an address of nothing."""
    place = parse(address, prefix=True)
    if not place.is_file:
        bucket = S3(*access.s3).bucket(place.bucket)
        for item in bucket.list(place.path):
            if not item.key.endswith("/"):
                yield UserFile(item.key, partial(_read_object, bucket, item))
        return
    base = resolve_existing(Path(place.path), access.file_roots)
    for path in list_prefix(str(base)):
        real = resolve_existing(path, access.file_roots)
        yield UserFile(str(path), partial(_read_file, real, access))


def find_user_files(address: str, access: StorageAccess) -> list[UserFile]:
    """The same, where there must be some. Raises TidegateError."""
    found = list(list_user_files(address, access))
    if not found:
        raise MissingArtifact("there is nothing")
    return found


def _read_object(bucket: Bucket, item: ListedObject) -> Iterator[bytes]:
    yield from bucket.read(item.key, 0, item.etag)


def _read_file(real: Path, access: StorageAccess) -> Iterator[bytes]:
    with open_plain(real, access.file_roots) as file:
        while part := file.read(CHUNK):
            yield part
