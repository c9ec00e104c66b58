"""Downloads model data: ``file://`` and ``s3://`` to a folder of plain files.

A ``.tar.gz`` or ``.tgz`` is unpacked, a URL that ends in ``/`` is copied as a tree, anything else is one plain file.
The folder appears atomically, also if the power fails: it is written under a temporary name, synced and renamed. The
replicas of a fleet share it; a lock lets the first one do the work.
"""

import errno
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO
from urllib.parse import unquote

from tidegate.domain.errors import ArtifactError, MissingArtifact, Transient
from tidegate.serving.artifacts import archives
from tidegate.serving.artifacts.archives import Limits, Tree
from tidegate.serving.artifacts.durable_tree import sync, sync_tree
from tidegate.storage.s3 import Bucket

ARCHIVES = (".tar.gz", ".tgz")


@dataclass(frozen=True)
class Policy:
    """What may be read. ``roots``: folders that ``file://`` data may lie in; None: any; empty: none."""

    roots: tuple[str, ...] | None = None
    s3_endpoint: str = ""
    region: str = "us-east-1"
    limits: Limits = field(default_factory=Limits)


def materialise(url: str | None, folder: Path, policy: Policy) -> None:
    """Download the data at ``url`` (None: nothing) to ``folder``, unless it is there already.

    Raises ArtifactError for unusable data, and Transient if a retry may help."""
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _lock(folder.with_name(folder.name + ".lock")):
        complete = folder.with_name(folder.name + ".complete")
        if complete.exists() and folder.is_dir():
            return
        shutil.rmtree(folder, ignore_errors=True)
        partial = folder.with_name(folder.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        try:
            partial.mkdir(mode=0o755)
            if url is not None:
                fetch(url, partial, policy)
                sync_tree(partial)
            partial.rename(folder)
            sync(folder.parent)
            complete.touch()
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise Transient(f"the disk is full: {url} does not fit into {folder.parent}") from None
            raise ArtifactError(f"cannot copy {url}: {error.strerror or error}") from None
        finally:
            shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def fetch(url: str, into: Path, policy: Policy) -> None:
    """Download the data at ``url`` into the empty folder ``into``, without syncing it. A failure may leave partial
    output behind. Raises as ``materialise`` does."""
    try:
        scheme, host, path = _split(url)
        if scheme == "file":
            _from_file(path, into, policy)
        else:
            _from_s3(host, path, into, policy)
    except ArtifactError as error:
        raise ArtifactError(f"{url}: {error}") from None
    except Transient as error:
        raise Transient(f"{url}: {error}") from None


def check_exists(url: str, policy: Policy) -> None:
    """Check that there is data at ``url`` without copying it. Raises MissingArtifact if not, ArtifactError if it is
    unreadable, and Transient if that cannot be known now."""
    scheme, host, path = _split(url)
    if scheme == "file":
        real = _resolve_allowed(Path(path), policy)
        if not path.endswith("/"):
            _open(real, policy).close()
        elif not real.is_dir():
            raise MissingArtifact("there is no such folder")
        return
    bucket = Bucket(host, policy.s3_endpoint, policy.region)
    if not path.endswith("/"):
        bucket.size(path)
    elif next(bucket.keys(path), None) is None:
        raise MissingArtifact("there is nothing under this prefix")


def _split(url: str) -> tuple[str, str, str]:
    """Split a URL into scheme, bucket, and path or key. Raises ArtifactError."""
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    if scheme == "file":
        if host not in ("", "localhost"):
            raise ArtifactError("the URL must begin with file:/// and an absolute path")
        path = unquote(slash + path)
        if "\0" in path or not path.startswith("/"):
            raise ArtifactError("the path must be absolute")
        return scheme, "", path
    if scheme != "s3":
        raise ArtifactError("model data must be at file:// or s3://")
    if not host or not path:
        raise ArtifactError("expected s3://bucket/key")
    return scheme, host, path


# --- file:// ---


def _from_file(path: str, into: Path, policy: Policy) -> None:
    if path.endswith("/"):
        root = _resolve_allowed(Path(path), policy)
        if not root.is_dir():
            raise MissingArtifact("there is no such folder")
        _copy_tree(root, into, policy.limits)
        return
    with _open(_resolve_allowed(Path(path), policy), policy) as source:
        size = os.fstat(source.fileno()).st_size
        if path.endswith(ARCHIVES):
            archives.unpack(source, size, into, policy.limits)
        else:
            _check_size(size, policy.limits)
            archives.write(into / Path(path).name, source, size)


def _resolve_allowed(path: Path, policy: Policy) -> Path:
    """The real path, with links followed, if the policy allows it."""
    try:
        real = path.resolve(strict=True)
    except PermissionError:
        raise ArtifactError("no permission to read it") from None
    except (OSError, RuntimeError):
        raise MissingArtifact("there is no such file") from None
    _check_roots(real, policy)
    return real


def _check_roots(real: Path, policy: Policy) -> None:
    if policy.roots is None or any(real.is_relative_to(Path(root).resolve()) for root in policy.roots):
        return
    if not policy.roots:
        raise ArtifactError(
            "file:// is not allowed here; set TIDEGATE_FILE_ROOTS to the folders that models lie in"
        )
    raise ArtifactError(f"it lies outside the folders that models may lie in ({', '.join(policy.roots)})")


def _open(real: Path, policy: Policy) -> IO[bytes]:
    """Open a plain file, then check what was opened: the path may have changed since it was checked."""
    try:
        descriptor = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except PermissionError:
        raise ArtifactError("no permission to read it") from None
    except OSError as error:
        raise ArtifactError(f"cannot be opened: {error.strerror}") from None
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
            _check_roots(opened.resolve(), policy)
    except ArtifactError:
        source.close()
        raise
    return source


def _copy_tree(root: Path, into: Path, limits: Limits) -> None:
    number = size = 0
    for at, folders, files in os.walk(root, onerror=_unreadable):
        here = into / Path(at).relative_to(root)
        for name in (*folders, *files):
            source = Path(at) / name
            mode = source.lstat().st_mode
            shown = ascii(str(source.relative_to(root)))
            if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
                kind = "a link" if stat.S_ISLNK(mode) else "not a plain file"
                raise ArtifactError(f"{shown} is {kind}; only folders and plain files are copied")
            number += 1
            if number > limits.files:
                raise ArtifactError(f"the folder holds more than {limits.files} files")
            if len(source.relative_to(root).parts) > limits.depth:
                raise ArtifactError(f"{shown} lies more than {limits.depth} folders deep")
            if stat.S_ISDIR(mode):
                (here / name).mkdir(mode=0o755)
                continue
            with _open(source, Policy()) as content:
                length = os.fstat(content.fileno()).st_size
                size += length
                _check_size(size, limits)
                archives.write(here / name, content, length, executable=bool(mode & 0o100))


def _unreadable(error: OSError) -> None:
    raise ArtifactError(f"no permission to read {str(error.filename)!a}")


def _check_size(size: int, limits: Limits) -> None:
    if size > limits.size:
        raise ArtifactError(f"it is larger than {limits.size} bytes")


# --- s3:// ---


def _from_s3(bucket_name: str, key: str, into: Path, policy: Policy) -> None:
    bucket = Bucket(bucket_name, policy.s3_endpoint, policy.region)
    if key.endswith("/"):
        _copy_prefix(bucket, key, into, policy.limits)
    elif key.endswith(ARCHIVES):
        with tempfile.TemporaryFile(dir=into.parent) as packed:
            size = bucket.download(key, packed, _limit(policy.limits))
            packed.seek(0)
            archives.unpack(packed, size, into, policy.limits)
    else:
        with (into / archives.safe_name(key.rpartition("/")[2])).open("xb") as output:
            bucket.download(key, output, _limit(policy.limits))


def _limit(limits: Limits, taken: int = 0) -> Callable[[int], None]:
    return lambda size: _check_size(taken + size, limits)


def _copy_prefix(bucket: Bucket, prefix: str, into: Path, limits: Limits) -> None:
    number = size = 0
    tree = Tree(into, limits, "the prefix")
    for key in bucket.keys(prefix):
        name = key.removeprefix(prefix)
        if not name or name.endswith("/"):
            continue  # S3 consoles create such objects for empty folders
        number += 1
        try:
            with tree.add_file(name).open("xb") as output:
                size += bucket.download(key, output, _limit(limits, size))
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            raise ArtifactError(f"{name!a} is both an object and a folder, or given twice") from None
    if not number:
        raise MissingArtifact("there is nothing under this prefix")
