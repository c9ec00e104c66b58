"""Where objects are read from and outputs go to: ``s3://`` and ``file://``. Everything here may block."""

import contextlib
import errno
import os
import shutil
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote

from tidegate.batch.retry_wait import of_disk
from tidegate.domain.errors import ArtifactError, TidegateError
from tidegate.domain.transform import TransformInput
from tidegate.serving.scoring.file_ranges import tag_of
from tidegate.storage.s3 import Bucket
from tidegate.transform import naming

PART = 1024 * 1024
UPLOAD = ".upload"
"""Ending of the note of an upload that is under way."""


@dataclass(frozen=True)
class Thing:
    """An object as it was when the job began. ``tag`` changes when the object does."""

    uri: str
    name: str
    """Of its output, under the output's prefix, without the ending."""
    size: int
    tag: str


@dataclass
class Places:
    """``roots``: folders that ``file://`` may lead into; None: any, empty: none. Methods raise ArtifactError for what
    will stay wrong, Transient for the rest; messages do not name the object."""

    roots: tuple[str, ...] | None
    s3_endpoint: str
    region: str
    _buckets: dict[str, Bucket] = field(default_factory=dict)

    def listing(self, source: TransformInput) -> list[Thing]:
        if source.manifest:
            _, tag = self._size(source.uri)
            prefix, names = naming.manifest(b"".join(self.read(source.uri, 0, tag)))
            return [Thing(prefix + name, name.lstrip("/"), *self._size(prefix + name)) for name in names]
        found = self._under(source.uri)
        wanted = naming.in_order(found)
        return [Thing(uri, naming.output_name(uri, source.uri), *found[uri]) for uri in wanted]

    def read(self, uri: str, offset: int, tag: str) -> Iterator[bytes]:
        scheme, host, path = parts_of(uri)
        if scheme == "s3":
            yield from self._bucket(host).read(path, offset, tag)
            return
        try:
            with self._allowed(path).open("rb") as file:
                if tag_of(os.fstat(file.fileno())) != tag:
                    raise ArtifactError("the file was changed meanwhile")
                file.seek(offset)
                while part := file.read(PART):
                    yield part
        except OSError as error:
            raise of_disk("it cannot be read", error) from None

    def local(self, uri: str) -> str | None:
        """The path of an object that is a file."""
        scheme, _, path = parts_of(uri)
        return str(self._allowed(path)) if scheme == "file" else None

    def check_writable(self, uri: str) -> None:
        """Early: an output folder outside of what is allowed is no use after hours of work."""
        scheme, _, path = parts_of(uri)
        if scheme == "file":
            self._allowed(path)

    def publish(self, part: Path, uri: str) -> None:
        """The output appears whole, in place of an earlier one; ``part`` may be gone then."""
        scheme, host, path = parts_of(uri)
        if scheme == "s3":
            self._bucket(host).upload(part, path, _note(part))
            return
        target = self._allowed(path)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            _move(part, target)
        except OSError as error:
            raise of_disk(f"the output {target} cannot be written", error) from None

    def abort(self, folder: Path, uri: str) -> None:
        """What ``publish`` was in the midst of, of the parts in a folder, when it was cut off: nothing that is half
        sent stays, as far as the storage can be reached."""
        scheme, host, _ = parts_of(uri)
        for note in folder.glob(f"*{UPLOAD}") if scheme == "s3" else ():
            with contextlib.suppress(TidegateError):
                self._bucket(host).abort(note)

    def _under(self, uri: str) -> dict[str, tuple[int, str]]:
        scheme, host, path = parts_of(uri)
        if scheme == "s3":
            found = {f"s3://{host}/{key}": (size, tag) for key, size, tag in self._bucket(host).sizes(path)}
        else:
            found = {f"file://{quote(str(file))}": self._stat(file) for file in self._files(path)}
        if not found:
            raise ArtifactError("there is no object")
        return found

    def _files(self, path: str) -> Iterator[Path]:
        """Of a file itself, of a folder, or of all whose path begins so, as keys do in S3."""
        if not path.startswith("/"):
            raise ArtifactError("the path must be absolute")
        given = Path(path)
        folder = given if path.endswith("/") or given.is_dir() else given.parent
        if given.is_file():
            yield self._allowed(path)
            return
        for file in sorted(folder.rglob("*")) if folder.is_dir() else []:
            if file.is_file() and str(file).startswith(path) and not file.name.startswith("."):
                yield self._allowed(str(file))

    def _size(self, uri: str) -> tuple[int, str]:
        scheme, host, path = parts_of(uri)
        try:
            return self._bucket(host).size(path) if scheme == "s3" else self._stat(self._allowed(path))
        except ArtifactError as error:
            raise ArtifactError(f"{uri}: {error}") from None

    def _stat(self, file: Path) -> tuple[int, str]:
        try:
            found = file.stat()
        except OSError as error:
            raise of_disk("it cannot be read", error) from None
        return found.st_size, tag_of(found)

    def _allowed(self, path: str) -> Path:
        if "\0" in path or not path.startswith("/"):
            raise ArtifactError("the path must be absolute")
        given = Path(path)
        real = given.resolve()
        if self.roots is None or any(real.is_relative_to(Path(root).resolve()) for root in self.roots):
            return given
        where = ", ".join(self.roots) or "none: set TIDEGATE_FILE_ROOTS"
        raise ArtifactError(f"{path} lies outside the folders that may be used ({where})")

    def _bucket(self, name: str) -> Bucket:
        if name not in self._buckets:
            self._buckets[name] = Bucket(name, self.s3_endpoint, self.region)
        return self._buckets[name]


def parts_of(uri: str) -> tuple[str, str, str]:
    """Scheme, bucket and key, or an absolute path."""
    scheme, _, rest = uri.partition("://")
    host, slash, path = rest.partition("/")
    if scheme == "s3" and host:
        return scheme, host, path
    if scheme == "file" and host in ("", "localhost"):
        return scheme, "", unquote(slash + path)
    raise ArtifactError(f"'{uri}' is neither s3://BUCKET/KEY nor file:///PATH")


def _note(part: Path) -> Path:
    return part.with_name(f"{part.name}{UPLOAD}")


def _move(part: Path, target: Path) -> None:
    """Renamed where both lie on one disk; else copied beside its place and renamed there."""
    try:
        part.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        beside = target.with_name(f".{target.name}.part")
        try:
            shutil.copyfile(part, beside)
            with beside.open("rb") as file:
                os.fsync(file.fileno())
            beside.replace(target)
        except OSError:
            beside.unlink(missing_ok=True)
            raise


def unpacked(parts: Iterator[bytes], read: Callable[[int], None]) -> Iterator[bytes]:
    """The content of gzip members, one after the other; ``read`` hears of the packed bytes that were taken."""
    unpack, begun = zlib.decompressobj(31), False
    for part in parts:
        read(len(part))
        while part:
            begun = True
            try:
                data = unpack.decompress(part, PART)
            except zlib.error as error:
                raise ArtifactError(f"it is not gzip: {error}") from None
            if data:
                yield data
            part = unpack.unconsumed_tail
            if unpack.eof:
                part, unpack, begun = unpack.unused_data, zlib.decompressobj(31), False
    if begun and (rest := unpack.flush()):
        yield rest
    if begun and not unpack.eof:
        raise ArtifactError("the gzip data ends too early")


def skipped(parts: Iterator[bytes], offset: int) -> Iterator[bytes]:
    """Without the first ``offset`` bytes."""
    for part in parts:
        if offset < len(part):
            yield part[offset:]
        offset = max(0, offset - len(part))
