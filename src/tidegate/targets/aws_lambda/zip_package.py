"""The zip file of a function: the same content is the same file, byte for byte.

Lambda's limits are checked before anything is uploaded: 250 MB unpacked, 50 MB for an upload without S3.
"""

import base64
import hashlib
import os
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tidegate.domain.errors import TargetRefused
from tidegate.targets.aws_lambda.distributions import InstalledPackage

MOST_UNPACKED = 250 * 1024 * 1024
MOST_DIRECT = 50 * 1024 * 1024
"""Bytes (AWS's quotas of a function, which cannot be raised)."""
REPLICA_FILE, MODEL_FOLDER = "replica.json", "model"
_MIDNIGHT = (1980, 1, 1, 0, 0, 0)
"""The first time that a zip file can name."""


@dataclass(frozen=True)
class ZipPackage:
    path: Path
    sha256: str
    """In base64, as Lambda's CodeSha256."""
    size: int
    unpacked: int
    """Sizes in bytes."""


def plan_entries(
    replica: bytes, model: Path | None, distributions: Iterable[InstalledPackage]
) -> dict[str, Path | bytes]:
    """Name in the package -> content. ``model``: folder of the model data."""
    entries: dict[str, Path | bytes] = {REPLICA_FILE: replica}
    for path in sorted(model.rglob("*")) if model is not None else ():
        if path.is_file():
            entries[f"{MODEL_FOLDER}/{path.relative_to(model or path).as_posix()}"] = path
    for distribution in distributions:
        entries.update(distribution.files)
    return entries


def check_unpacked(entries: Mapping[str, Path | bytes], distributions: Iterable[InstalledPackage]) -> int:
    """The bytes that it takes at Lambda. Raises TargetRefused, which says what is large."""
    total = sum(_size(content) for content in entries.values())
    if total > MOST_UNPACKED:
        model = sum(_size(content) for name, content in entries.items() if name.startswith(f"{MODEL_FOLDER}/"))
        parts = sorted(
            [("model data", model), *((one.name, one.size) for one in distributions)], key=_order_by_size
        )
        largest = ", ".join(f"{name} {megabytes(size)}" for name, size in parts[:4])
        raise TargetRefused(
            f"the package of the function takes {megabytes(total)} unpacked, and Lambda allows"
            f" {megabytes(MOST_UNPACKED)} (largest: {largest}): use a container image (`package: image`)"
        )
    return total


def _order_by_size(part: tuple[str, int]) -> int:
    return -part[1]


def write_zip(entries: Mapping[str, Path | bytes], folder: Path, unpacked: int) -> ZipPackage:
    """Write it below ``folder``, named by its content, unless it is there. Raises OSError."""
    path = folder / f"{digest_of(entries)}.zip"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial = path.with_suffix(f".{os.getpid()}.partial")
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
            for name in sorted(entries):
                archive.writestr(_entry(name, entries[name]), _read(entries[name]))
        partial.replace(path)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
    return ZipPackage(path, base64.b64encode(digest).decode(), path.stat().st_size, unpacked)


def digest_of(entries: Mapping[str, Path | bytes]) -> str:
    """Identifies the content: names, bytes and whether they can be executed."""
    whole = hashlib.sha256()
    for name in sorted(entries):
        content = _read(entries[name])
        part = hashlib.sha256(content).hexdigest()
        whole.update(f"{name}\0{_mode(entries[name]):o}\0{len(content)}\0{part}\n".encode())
    return whole.hexdigest()


def check_direct(package: ZipPackage) -> None:
    """Check that the package can be uploaded directly. Raises TargetRefused for one that needs a bucket."""
    if package.size > MOST_DIRECT:
        raise TargetRefused(
            f"the package of the function is {megabytes(package.size)}, and Lambda takes {megabytes(MOST_DIRECT)}"
            " without S3: set `code_bucket` to a bucket in the function's region"
        )


def megabytes(size: int) -> str:
    return f"{size / 1024 / 1024:.1f} MB"


def _size(content: Path | bytes) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _read(content: Path | bytes) -> bytes:
    return content if isinstance(content, bytes) else content.read_bytes()


def _mode(content: Path | bytes) -> int:
    executable = isinstance(content, Path) and bool(content.stat().st_mode & 0o100)
    return 0o755 if executable else 0o644


def _entry(name: str, content: Path | bytes) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _MIDNIGHT)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.create_system = 3  # Unix, on every system
    entry.external_attr = (0o100000 | _mode(content)) << 16
    return entry
