"""Which objects a job reads, and the names of its outputs."""

import hashlib
from collections.abc import Iterable

import msgspec

from tidegate.domain.errors import Invalid

OUT, ERRORS = ".out", ".errors.jsonl"


def parse_manifest(text: bytes) -> tuple[str, list[str]]:
    """Return the prefix and the names of a manifest, ``[{"prefix": "s3://b/p/"}, "k1", ...]``, in its order. Raises
    Invalid."""
    try:
        entries = msgspec.json.decode(text, type=list[dict[str, str] | str])
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
