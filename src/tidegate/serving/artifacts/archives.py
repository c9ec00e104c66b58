"""Unpacks a ``.tar.gz`` that may be damaged or malicious.

Only folders and plain files are allowed, below the target folder: no links, devices, absolute names or ``..``. Size,
number of files and folders, depth, time and the ratio of unpacked to packed bytes are limited, so that a small
archive cannot fill the disk, nor a header the memory. Nothing is synced here: the caller syncs the whole tree at
once (``durable_tree``), since an fsync per file took minutes for 100,000 small files.
"""

import gzip
import io
import os
import tarfile
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from tidegate.domain.errors import ArtifactError

_BLOCK = 512
_PART = 1024 * 1024
"""Bytes per read; no header of a valid archive is larger."""


@dataclass(frozen=True)
class ArchiveLimits:
    """``size``: bytes of all files together. ``files``: files and folders, those included that no member names.
    ``ratio``: unpacked to packed bytes, which counts from ``ratio_from`` unpacked bytes on (gzip's own maximum is
    about 1000). ``depth``: names in one path. ``seconds``: SageMaker's longest download timeout."""

    size: int = 10 * 1024**3
    files: int = 100_000
    ratio: int = 200
    ratio_from: int = 64 * 1024**2
    depth: int = 64
    seconds: float = 3600.0


class TargetFolder:
    """A target folder with a limit on the number of files and folders below it."""

    def __init__(self, root: Path, limits: ArchiveLimits, what: str) -> None:
        """``what``: subject of error messages, such as ``the archive``."""
        self.root = root
        self._limits = limits
        self._what = what
        self._folders = {root}
        self._left = limits.files

    def add_file(self, name: str) -> Path:
        """Create the parent folders of a new file, and return its path. Raises ArtifactError."""
        target = self.root / self._safe(name)
        self._make(target.parent)
        self._count()
        return target

    def add_folder(self, name: str) -> None:
        self._make(self.root / self._safe(name))

    def _safe(self, name: str) -> PurePosixPath:
        path = safe_name(name)
        if len(path.parts) > self._limits.depth:
            raise ArtifactError(f"member {ascii(name)[:100]} lies more than {self._limits.depth} folders deep")
        return path

    def _make(self, folder: Path) -> None:
        if folder in self._folders:
            return
        self._make(folder.parent)
        self._count()
        try:
            folder.mkdir(exist_ok=True, mode=0o755)
        except FileExistsError:
            raise NotADirectoryError from None
        self._folders.add(folder)

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise ArtifactError(f"{self._what} has more than {self._limits.files} members")


def unpack(
    archive: IO[bytes],
    packed: int,
    folder: Path,
    limits: ArchiveLimits,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Unpack ``archive`` of ``packed`` bytes into the empty ``folder``. Raises ArtifactError, and may then leave
    partial output behind. ``clock`` is in seconds."""
    budget = min(limits.size, max(limits.ratio_from, packed * limits.ratio))
    stream = _Unpacked(gzip.GzipFile(fileobj=archive, mode="rb"), budget, limits, clock)
    tree = TargetFolder(folder, limits, "the archive")
    try:
        with tarfile.open(fileobj=stream, mode="r:") as tar:
            for member in _members(tar):
                _place(tar, member, tree)
        if stream.last.strip(b"\0"):
            raise ArtifactError("the archive has a damaged header after its last readable member")
        while stream.read(_PART):
            pass  # read to the end, where gzip's checksum is
    except tarfile.TarError as error:
        raise ArtifactError(f"the archive is not a whole tar file: {error}") from None
    except EOFError:
        raise ArtifactError("the archive is cut off: its gzip stream has no end") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise ArtifactError(f"the archive is not a whole gzip file: {error}") from None


def _members(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Iterate over the members, without the list of them that tarfile would keep."""
    while (member := tar.next()) is not None:
        yield member
        tar.members = []  # type: ignore[attr-defined]


def _place(tar: tarfile.TarFile, member: tarfile.TarInfo, tree: TargetFolder) -> None:
    shown = ascii(member.name)
    try:
        if member.isdir():
            tree.add_folder(member.name)
            return
        if not safe_name(member.name).parts:
            raise ArtifactError(f"member {shown} is a file in the place of the folder itself")
        if not member.isreg() or member.issparse():
            raise ArtifactError(f"member {shown} is {_kind(member)}; only folders and plain files are unpacked")
        target = tree.add_file(member.name)
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
    """A relative path that cannot leave its folder. Raises ArtifactError."""
    path = PurePosixPath(name)
    if path.is_absolute():
        raise ArtifactError(f"member {name!a} has an absolute path")
    if ".." in path.parts:
        raise ArtifactError(f"member {name!a} leads out of the folder")
    if "\0" in name or any(len(os.fsencode(part)) > 255 for part in path.parts) or len(name) > 2048:
        raise ArtifactError(f"member {ascii(name)[:100]} has a name that cannot be used")
    return path


def write(target: Path, content: IO[bytes], size: int, executable: bool = False) -> None:
    """Copy exactly ``size`` bytes into a new file. Set-user-id bits are dropped."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with os.fdopen(os.open(target, flags, 0o755 if executable else 0o644), "wb") as output:
        left = size
        while left:
            part = content.read(min(left, _PART))
            if not part:
                raise ArtifactError(f"{target.name!a} is cut off: {left} of {size} bytes are missing")
            output.write(part)
            left -= len(part)


def _kind(member: tarfile.TarInfo) -> str:
    if member.issym() or member.islnk():
        return f"a link to {member.linkname!a}"
    if member.issparse():
        return "a sparse file"
    return "a named pipe" if member.isfifo() else "a device" if member.isdev() else "of an unknown type"


class _Unpacked(io.RawIOBase):
    """The unpacked stream, forward only, with limits on bytes and time. ``last`` is the last block read."""

    def __init__(
        self, source: gzip.GzipFile, budget: int, limits: ArchiveLimits, clock: Callable[[], float]
    ) -> None:
        self._source = source
        self._clock = clock
        self._end = clock() + limits.seconds
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
        if self._clock() > self._end:
            raise ArtifactError(f"the archive takes more than {self._limits.seconds:g} s to unpack")
        data = self._source.read(size)
        self._at += len(data)
        if self._at > self._budget + self._limits.files * 2 * _BLOCK:
            if self._budget < self._limits.size:
                raise ArtifactError(f"the archive unpacks to more than {self._limits.ratio} times its size")
            raise ArtifactError(f"the archive unpacks to more than {self._limits.size} bytes")
        self.last = data[-_BLOCK:]
        return data
