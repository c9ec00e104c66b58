"""Files that ``file://`` addresses lead to: which may be used, and how they are opened, listed, read and moved.

Methods raise ArtifactError for what is permanent, Transient for what is not; messages do not name the file.
"""

import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from tidegate.domain.errors import ArtifactError, MissingArtifact, Transient
from tidegate.host.atomic_write import sync_folder

# Translation of errors of the operating system to errors of data: permanent (ArtifactError) or transient
# (Transient).


TRANSIENT = frozenset(
    {
        *(errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN),
        *(errno.EBUSY, errno.EINTR, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EHOSTDOWN, errno.ENOTCONN),
    }
)
"""Errors of a file system that end when somebody frees space or repairs the disk."""
_MISSING = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG}


def translate_file_errors(what: str, error: OSError) -> ArtifactError | Transient:
    """``what`` begins the message: what could not be done."""
    kind = Transient if error.errno in TRANSIENT else ArtifactError
    return kind(f"{what}: {error.strerror or error}")


def unreadable(error: OSError) -> ArtifactError | Transient:
    """Translate the error of data that could not be opened or read. The message does not name the data."""
    if error.errno in _MISSING:
        return MissingArtifact("there is no such file")
    if isinstance(error, PermissionError):
        return ArtifactError("no permission to read it")
    return translate_file_errors("it cannot be read", error)


def unwritable(where: object, error: OSError) -> ArtifactError | Transient:
    return translate_file_errors(f"{where} cannot be written", error)


CHUNK = 1024 * 1024
ROOTS_SETTING = "TIDEGATE_FILE_ROOTS"


class Claim(NamedTuple):
    """A right to write an output that another process may take over. ``attempt`` counts holders of the right from 1;
    what earlier ones left half-written is removed. ``late``: another may have the right by now, so that nothing more
    must appear."""

    attempt: int = 0
    late: Callable[[], bool] = lambda: False

    def check(self) -> None:
        """Check that the lease of the output has not run out. Raises Transient, since the lease may be renewed."""
        if self.late():
            raise Transient("the lease of the output has run out; it waits until the lease is renewed")


ALONE = Claim()
"""No other process writes the output."""

Roots = Sequence[Path | str] | None
"""Folders that addresses may lead into, links followed. None: any; empty: none."""


def check_roots(real: Path, roots: Roots, setting: str = ROOTS_SETTING) -> None:
    """``real`` has no links left. ``setting`` is the one that lists the folders."""
    if roots is None or any(_is_within(real, Path(root)) for root in roots):
        return
    if not roots:
        raise ArtifactError(f"file:// is not allowed here; set {setting} to the folders that may be used")
    folders = ", ".join(str(root) for root in roots)
    raise ArtifactError(f"it lies outside the folders that may be used ({folders}); {setting} lists them")


def _is_within(real: Path, root: Path) -> bool:
    # A real path below ``root`` as it is written shows that ``root`` has no links; resolving it costs system calls.
    return real.is_relative_to(root) or real.is_relative_to(root.resolve())


def resolve_existing(path: Path, roots: Roots) -> Path:
    """The real path of what is there, with links followed. Raises MissingArtifact where nothing is, but only below
    ``roots``: a client must not learn which files exist elsewhere."""
    try:
        real = path.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        check_roots(Path(os.path.realpath(path)), roots)
        if isinstance(error, OSError):
            raise unreadable(error) from None
        # Python 3.11 raises RuntimeError for links in a circle.
        raise unreadable(OSError(errno.ELOOP, os.strerror(errno.ELOOP))) from None
    check_roots(real, roots)
    return real


def open_plain(real: Path, roots: Roots) -> IO[bytes]:
    """Opens a plain file, and checks what was opened, since a path may change meanwhile."""
    try:
        descriptor = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise unreadable(error) from None
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        if stat.S_ISDIR(mode):
            raise ArtifactError("it is a folder; end the URL with '/' to copy it as a tree")
        raise ArtifactError("it is not a plain file")
    source = os.fdopen(descriptor, "rb")
    opened = Path(f"/proc/self/fd/{descriptor}")
    try:
        if opened.exists():
            check_roots(opened.resolve(), roots)
    except ArtifactError:
        source.close()
        raise
    return source


def tag_of(found: os.stat_result) -> str:
    """Changes when the file does."""
    return f"{found.st_size}-{found.st_mtime_ns}"


def check_tag(file: int, tag: str) -> None:
    """Check that a file is still the one of which ``tag`` was made. ``file`` is a descriptor. Raises
    ArtifactError."""
    if tag_of(os.fstat(file)) != tag:
        raise ArtifactError("the file was changed meanwhile")


def head(path: Path) -> tuple[int, str]:
    """Size in bytes, and tag."""
    try:
        found = path.stat()
    except OSError as error:
        raise unreadable(error) from None
    return found.st_size, tag_of(found)


def read(path: Path, offset: int, tag: str) -> Iterator[bytes]:
    """The bytes from ``offset`` on, of the file as it was when ``tag`` was made."""
    try:
        with path.open("rb") as file:
            check_tag(file.fileno(), tag)
            file.seek(offset)
            while part := file.read(CHUNK):
                yield part
    except OSError as error:
        raise unreadable(error) from None


def list_prefix(path: str) -> Iterator[Path]:
    """The file itself, the files of a folder, or all whose path begins so, as keys do in S3; none that is hidden."""
    given = Path(path)
    if given.is_file():
        yield given
        return
    folder = given if path.endswith("/") or given.is_dir() else given.parent
    for file in sorted(folder.rglob("*")) if folder.is_dir() else []:
        if file.is_file() and str(file).startswith(path) and not file.name.startswith("."):
            yield file


def move(part: Path, target: Path, claim: Claim = ALONE) -> None:
    """The target appears whole, in place of an earlier one. Renames on one disk; else copies beside the target and
    renames there. On the disk when this returns. Raises Transient while the claim is in doubt."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for earlier in range(1, claim.attempt):
            _path_beside(target, earlier).unlink(missing_ok=True)
        claim.check()
        try:
            part.replace(target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            _copy(part, target, claim)
            sync_folder(target.parent)
        else:
            _sync_name(target, part)
    except OSError as error:
        raise unwritable(f"the output {target}", error) from None


def _sync_name(target: Path, part: Path) -> None:
    """Write the name of an output to the disk, before anything that is recorded of the output can be on the disk. If
    that fails, move the output back, so that it can be moved again."""
    try:
        sync_folder(target.parent)
    except OSError:
        target.replace(part)
        raise


def _path_beside(target: Path, attempt: int) -> Path:
    """Holders of a claim never write into each other's file."""
    return target.with_name(f".{target.name}.{attempt}.part" if attempt else f".{target.name}.part")


def _copy(part: Path, target: Path, claim: Claim) -> None:
    beside = _path_beside(target, claim.attempt)
    try:
        shutil.copyfile(part, beside)
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        claim.check()
        beside.replace(target)
    except (OSError, Transient):
        beside.unlink(missing_ok=True)
        raise
