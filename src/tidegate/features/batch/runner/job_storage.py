"""The objects of a transform job and its outputs: ``s3://`` and ``file://``. Everything here may block."""

import contextlib
import hashlib
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec

from tidegate.domain.decoding import prepare_type
from tidegate.domain.errors import ArtifactError, Invalid, TidegateError
from tidegate.domain.transform import InputObject, TransformInput
from tidegate.storage import files
from tidegate.storage.addresses import Address, parse
from tidegate.storage.files import ALONE, Claim

# --- which objects a job reads, and the names of its outputs ---


OUT, ERRORS = ".out", ".errors.jsonl"


def parse_manifest(text: bytes) -> tuple[str, list[str]]:
    """Return the prefix and the names of a manifest, ``[{"prefix": "s3://b/p/"}, "k1", ...]``, in its order. Raises
    Invalid."""
    try:
        entries = msgspec.json.decode(text, type=prepare_type(list[dict[str, str] | str]))
    except msgspec.DecodeError as error:
        raise Invalid(f'the manifest is not [{{"prefix": "..."}}, "name", ...]: {error}') from None
    if not entries or not isinstance(entries[0], dict) or set(entries[0]) != {"prefix"}:
        raise Invalid('the manifest must begin with {"prefix": "..."}')
    names = [entry for entry in entries[1:] if isinstance(entry, str)]
    if len(names) != len(entries) - 1 or not names:
        raise Invalid("the manifest must have names, and nothing else, after its prefix")
    return entries[0]["prefix"], list(dict.fromkeys(names))


def output_name(uri: str, prefix: str) -> str:
    """The name under the output's prefix: what comes after the input's, from its last folder on."""
    folder = prefix[: prefix.rfind("/") + 1]
    return uri.removeprefix(folder).lstrip("/")


def sort_objects(uris: Iterable[str]) -> list[str]:
    """Return the objects in order, each once, without the empty objects that mark folders."""
    return sorted({uri for uri in uris if not uri.endswith("/")})


def part_name(uri: str) -> str:
    """A file name that is unique to the object."""
    return hashlib.sha256(uri.encode()).hexdigest()[:32]


if TYPE_CHECKING:
    from tidegate.storage.s3 import S3, Bucket

UPLOAD = ".upload"
"""Suffix of the note of an upload in progress."""


@dataclass
class JobStorage:
    """``roots``: folders that ``file://`` may lead into; None: any, empty: none. Methods raise ArtifactError for what
    is permanent, Transient for what is not; messages do not name the object."""

    roots: tuple[str, ...] | None
    s3_endpoint: str
    region: str

    def list_objects(self, source: TransformInput) -> list[InputObject]:
        if source.manifest:
            _, tag = self._head(source.uri)
            prefix, names = parse_manifest(b"".join(self.read(source.uri, 0, tag)))
            return [InputObject(prefix + name, name.lstrip("/"), *self._head(prefix + name)) for name in names]
        found = self._list(parse(source.uri, prefix=True))
        return [InputObject(uri, output_name(uri, source.uri), *found[uri]) for uri in sort_objects(found)]

    def read(self, uri: str, offset: int, tag: str) -> Iterator[bytes]:
        address = parse(uri)
        if address.is_file:
            yield from files.read(self._check(address.path), offset, tag)
        else:
            yield from self._bucket(address).read(address.path, offset, tag)

    def local(self, uri: str) -> str | None:
        """The path of an object that is a file."""
        address = parse(uri)
        return str(self._check(address.path)) if address.is_file else None

    def check_writable(self, uri: str) -> None:
        """Check early that outputs may be written: an output folder that may not be used should not fail a job after
        hours of work."""
        address = parse(uri, prefix=True)
        if address.is_file:
            self._check(address.path)

    def publish(self, part: Path, uri: str, claim: Claim = ALONE) -> None:
        """The output appears whole, in place of an earlier one; ``part`` may be gone then. Raises Transient while the
        claim is in doubt."""
        address = parse(uri)
        if address.is_file:
            files.move(part, self._check(address.path), claim)
        else:
            self._bucket(address).upload(part, address.path, note=_note(part), claim=claim)

    def abort(self, folder: Path, uri: str) -> None:
        """Abort uploads of the parts in ``folder`` that ``publish`` had begun when the process was killed, as far as
        the storage can be reached."""
        address = parse(uri, prefix=True)
        for note in () if address.is_file else folder.glob(f"*{UPLOAD}"):
            with contextlib.suppress(TidegateError):
                self._bucket(address).abort(note)

    def _list(self, address: Address) -> dict[str, tuple[int, str]]:
        if address.is_file:
            listed = (self._check(str(file)) for file in files.list_prefix(address.path))
            found = {f"file://{quote(str(file))}": files.head(file) for file in listed}
        else:
            stored = self._bucket(address).list(address.path)
            found = {f"s3://{address.bucket}/{one.key}": (one.size, one.etag) for one in stored}
        if not found:
            raise ArtifactError("there is no object")
        return found

    def _head(self, uri: str) -> tuple[int, str]:
        try:
            address = parse(uri)
            if address.is_file:
                return files.head(self._check(address.path))
            found = self._bucket(address).head(address.path)
            return found.size, found.etag
        except ArtifactError as error:
            raise ArtifactError(f"{uri}: {error}") from None

    def _check(self, path: str) -> Path:
        """The path as it was given, links and all, if it leads into a folder that may be used."""
        given = Path(path)
        files.check_roots(given.resolve(), self.roots)
        return given

    def _bucket(self, address: Address) -> "Bucket":
        return self._s3.bucket(address.bucket)

    @cached_property
    def _s3(self) -> "S3":
        from tidegate.storage.s3 import S3  # noqa: PLC0415  # half of a runner's start, which few jobs on files need

        return S3(self.s3_endpoint, self.region)


def _note(part: Path) -> Path:
    return part.with_name(f"{part.name}{UPLOAD}")


def decompress(parts: Iterator[bytes], count: Callable[[int], None]) -> Iterator[bytes]:
    """The content of gzip members, one after the other; ``count`` gets the number of packed bytes as they are
    taken."""
    unpack, begun = zlib.decompressobj(31), False
    for part in parts:
        count(len(part))
        while part:
            begun = True
            try:
                data = unpack.decompress(part, files.CHUNK)
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


def skip(parts: Iterator[bytes], offset: int) -> Iterator[bytes]:
    """Yield the parts without their first ``offset`` bytes."""
    for part in parts:
        if offset < len(part):
            yield part[offset:]
        offset = max(0, offset - len(part))
