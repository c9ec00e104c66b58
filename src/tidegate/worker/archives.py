"""Unpacks a ``.tar.gz`` that may be broken or hostile.

Only folders and plain files, below the folder it is unpacked into: no links, devices, absolute names or ``..``.
Size, number of members and the ratio of unpacked to packed bytes are limited, so that a small archive cannot fill
the disk, nor one header the memory.
"""

import gzip
import io
import os
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from tidegate.model.errors import ArtifactError

_BLOCK = 512
_PART = 1024 * 1024
"""Bytes per read; no header of an honest archive is larger."""


@dataclass(frozen=True)
class Limits:
    """``size``: bytes of all files together. ``ratio``: unpacked to packed bytes, which counts from
    ``ratio_from`` unpacked bytes on (gzip's own maximum is about 1000)."""

    size: int = 10 * 1024**3
    files: int = 100_000
    ratio: int = 200
    ratio_from: int = 64 * 1024**2


def unpack(archive: IO[bytes], packed: int, folder: Path, limits: Limits) -> None:
    """Unpacks ``archive`` of ``packed`` bytes into the empty ``folder``; raises ArtifactError, leaving rubbish."""
    budget = min(limits.size, max(limits.ratio_from, packed * limits.ratio))
    stream = _Unpacked(gzip.GzipFile(fileobj=archive, mode="rb"), budget, limits)
    try:
        with tarfile.open(fileobj=stream, mode="r:") as tar:
            for number, member in enumerate(_members(tar), 1):
                if number > limits.files:
                    raise ArtifactError(f"the archive has more than {limits.files} members")
                _place(tar, member, folder)
        if stream.last.strip(b"\0"):
            raise ArtifactError("the archive has a damaged header after its last readable member")
        while stream.read(_PART):
            pass  # to the end, where gzip's checksum is
    except tarfile.TarError as error:
        raise ArtifactError(f"the archive is not a whole tar file: {error}") from None
    except EOFError:
        raise ArtifactError("the archive is cut off: its gzip stream has no end") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise ArtifactError(f"the archive is not a whole gzip file: {error}") from None


def _members(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """One after the other; what tarfile remembers of them is let go."""
    while (member := tar.next()) is not None:
        yield member
        tar.members = []  # type: ignore[attr-defined]


def _place(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    shown = ascii(member.name)
    target = folder / safe_name(member.name)
    try:
        if member.isdir():
            target.mkdir(parents=True, exist_ok=True, mode=0o755)
            return
        if not member.isreg() or member.issparse():
            raise ArtifactError(f"member {shown} is {_kind(member)}; only folders and plain files are unpacked")
        if target == folder:
            raise ArtifactError(f"member {shown} is a file in the place of the folder itself")
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        content = tar.extractfile(member)
        assert content is not None
        write(target, content, member.size, executable=bool(member.mode & 0o100))
    except FileExistsError:
        raise ArtifactError(f"member {shown} is in the archive twice") from None
    except NotADirectoryError:
        raise ArtifactError(f"member {shown} lies below a name that is a file") from None
    except (UnicodeEncodeError, ValueError) as error:
        raise ArtifactError(f"member {shown} has a name that cannot be used: {error}") from None


def safe_name(name: str) -> PurePosixPath:
    """A relative path that stays below where it is put; raises ArtifactError."""
    path = PurePosixPath(name)
    if path.is_absolute():
        raise ArtifactError(f"member {name!a} has an absolute path")
    if ".." in path.parts:
        raise ArtifactError(f"member {name!a} leads out of the folder")
    if "\0" in name or any(len(os.fsencode(part)) > 255 for part in path.parts) or len(name) > 2048:
        raise ArtifactError(f"member {ascii(name)[:100]} has a name that cannot be used")
    return path


def write(target: Path, content: IO[bytes], size: int, executable: bool = False) -> None:
    """Copies exactly ``size`` bytes into a new file, onto the disk. Set-user-id bits never survive."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with os.fdopen(os.open(target, flags, 0o755 if executable else 0o644), "wb") as output:
        left = size
        while left:
            part = content.read(min(left, _PART))
            if not part:
                raise ArtifactError(f"{target.name!a} is cut off: {left} of {size} bytes are missing")
            output.write(part)
            left -= len(part)
        output.flush()
        os.fsync(output.fileno())


def _kind(member: tarfile.TarInfo) -> str:
    if member.issym() or member.islnk():
        return f"a link to {member.linkname!a}"
    if member.issparse():
        return "a sparse file"
    return "a named pipe" if member.isfifo() else "a device" if member.isdev() else "of an unknown type"


class _Unpacked(io.RawIOBase):
    """The unpacked stream, forward only, counted. ``last`` is the last block read."""

    def __init__(self, source: gzip.GzipFile, budget: int, limits: Limits) -> None:
        self._source = source
        self._budget = budget
        self._limits = limits
        self._at = 0
        self.last = b""

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence != os.SEEK_SET or offset < self._at:
            raise tarfile.ReadError("the members overlap")
        while self._at < offset:
            if not self.read(min(_PART, offset - self._at)):
                break
        return self._at

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _PART:
            raise ArtifactError(f"the archive has a header of more than {_PART} bytes")
        data = self._source.read(size)
        self._at += len(data)
        if self._at > self._budget + self._limits.files * 2 * _BLOCK:
            if self._budget < self._limits.size:
                raise ArtifactError(f"the archive unpacks to more than {self._limits.ratio} times its size")
            raise ArtifactError(f"the archive unpacks to more than {self._limits.size} bytes")
        self.last = data[-_BLOCK:]
        return data
