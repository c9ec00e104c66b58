"""Limits on zip files that are models: the number of entries and their unpacked size."""

import struct
import zipfile
from pathlib import Path
from typing import IO

from tidegate.domain.errors import ArtifactError
from tidegate.serving.artifacts.archives import ArchiveLimits

MOST_LISTED = 16 * 1024 * 1024
"""Bytes of the central directory: readers hold all of it in memory, about ten times larger."""
_END, _END_64, _LOCATOR = struct.Struct("<4s4H2LH"), struct.Struct("<4sQ2H2L4Q"), struct.Struct("<4sLQL")
_LONGEST_COMMENT = 0xFFFF


def check(path: Path, limits: ArchiveLimits | None = None) -> None:
    """Raises ArtifactError for a zip file that exceeds the limits. Other files are left to their reader."""
    limits = limits or ArchiveLimits()
    with path.open("rb") as file:
        entries, listed = _read_directory_size(file)
    if entries > limits.files or listed > MOST_LISTED:
        raise ArtifactError(f"{path.name} lists more than {limits.files} entries")
    try:
        with zipfile.ZipFile(path) as archive:
            found = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return
    if len(found) > limits.files:
        raise ArtifactError(f"{path.name} lists more than {limits.files} entries")
    size = sum(entry.file_size for entry in found)
    if size > max(limits.ratio_from, path.stat().st_size * limits.ratio):
        raise ArtifactError(f"{path.name} unpacks to more than {limits.ratio} times its size")
    if size > limits.size:
        raise ArtifactError(f"{path.name} unpacks to more than {limits.size} bytes")


def _read_directory_size(file: IO[bytes]) -> tuple[int, int]:
    """Number of entries and bytes of the central directory, from its end record; (0, 0) if there is none."""
    size = file.seek(0, 2)
    file.seek(max(0, size - _END.size - _LONGEST_COMMENT))
    tail = file.read()
    at = tail.rfind(b"PK\5\6")
    if at < 0 or len(tail) - at < _END.size:
        return 0, 0
    *_, entries, listed, _, _ = _END.unpack_from(tail, at)
    before = size - len(tail) + at - _LOCATOR.size
    if before >= 0:
        file.seek(before)
        mark, _, end_64, _ = _LOCATOR.unpack(file.read(_LOCATOR.size))
        if mark == b"PK\6\7" and end_64 + _END_64.size <= size:
            file.seek(end_64)
            *_, entries_64, listed_64, _ = _END_64.unpack(file.read(_END_64.size))
            return int(entries_64), int(listed_64)
    return int(entries), int(listed)
