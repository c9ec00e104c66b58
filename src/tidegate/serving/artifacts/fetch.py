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
from typing import TYPE_CHECKING

from tidegate.domain.errors import ArtifactError, MissingArtifact, Transient
from tidegate.host.late_import import load
from tidegate.serving.artifacts import archives
from tidegate.serving.artifacts.archives import ArchiveLimits, TargetFolder
from tidegate.serving.artifacts.durable_tree import sync, sync_tree
from tidegate.storage.addresses import Address, parse
from tidegate.storage.files import open_plain, resolve_existing

if TYPE_CHECKING:
    from tidegate.storage.s3 import Bucket

ARCHIVES = (".tar.gz", ".tgz")


@dataclass(frozen=True)
class Policy:
    """Limits on the data that may be read. ``roots``: folders in which ``file://`` data may lie; None: any; empty:
    none."""

    roots: tuple[str, ...] | None = None
    s3_endpoint: str = ""
    region: str = "us-east-1"
    limits: ArchiveLimits = field(default_factory=ArchiveLimits)


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
        address = parse(url)
        if address.is_file:
            _from_file(address.path, into, policy)
        else:
            _from_s3(address, into, policy)
    except ArtifactError as error:
        raise ArtifactError(f"{url}: {error}") from None
    except Transient as error:
        raise Transient(f"{url}: {error}") from None


def check_exists(url: str, policy: Policy) -> None:
    """Check that there is data at ``url``, without copying it. Raises MissingArtifact where there is none,
    ArtifactError where it cannot be read, and Transient where that cannot be determined now."""
    address = parse(url)
    path = address.path
    if address.is_file:
        real = resolve_existing(Path(path), policy.roots)
        if not path.endswith("/"):
            open_plain(real, policy.roots).close()
        elif not real.is_dir():
            raise MissingArtifact("there is no such folder")
        return
    bucket = _open_bucket(address, policy)
    if not path.endswith("/"):
        bucket.head(path)
    elif next(bucket.list(path), None) is None:
        raise MissingArtifact("there is nothing under this prefix")


# --- file:// ---


def _from_file(path: str, into: Path, policy: Policy) -> None:
    if path.endswith("/"):
        root = resolve_existing(Path(path), policy.roots)
        if not root.is_dir():
            raise MissingArtifact("there is no such folder")
        _copy_tree(root, into, policy.limits)
        return
    with open_plain(resolve_existing(Path(path), policy.roots), policy.roots) as source:
        size = os.fstat(source.fileno()).st_size
        if path.endswith(ARCHIVES):
            archives.unpack(source, size, into, policy.limits)
        else:
            _check_size(size, policy.limits)
            archives.write(into / Path(path).name, source, size)


def _copy_tree(root: Path, into: Path, limits: ArchiveLimits) -> None:
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
            with open_plain(source, None) as content:
                length = os.fstat(content.fileno()).st_size
                size += length
                _check_size(size, limits)
                archives.write(here / name, content, length, executable=bool(mode & 0o100))


def _unreadable(error: OSError) -> None:
    raise ArtifactError(f"no permission to read {str(error.filename)!a}")


def _check_size(size: int, limits: ArchiveLimits) -> None:
    if size > limits.size:
        raise ArtifactError(f"it is larger than {limits.size} bytes")


# --- s3:// ---


def _open_bucket(address: Address, policy: Policy) -> "Bucket":
    """Open a bucket. S3's client is imported only now: most starts of the server and of a worker need none."""
    bucket: Bucket = load("tidegate.storage.s3", "S3")(policy.s3_endpoint, policy.region).bucket(address.bucket)
    return bucket


def _from_s3(address: Address, into: Path, policy: Policy) -> None:
    bucket, key = _open_bucket(address, policy), address.path
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


def _limit(limits: ArchiveLimits, taken: int = 0) -> Callable[[int], None]:
    return lambda size: _check_size(taken + size, limits)


def _copy_prefix(bucket: "Bucket", prefix: str, into: Path, limits: ArchiveLimits) -> None:
    number = size = 0
    tree = TargetFolder(into, limits, "the prefix")
    for key, *_ in bucket.list(prefix):
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
