"""Encode and decode frozen dataclasses as plain JSON data."""

from functools import lru_cache
from typing import Any, TypeVar, cast

import msgspec

from tidegate.domain.decoding import prepare_type
from tidegate.domain.errors import Invalid, UnreadableRecord
from tidegate.ports.store import Kind

T = TypeVar("T")

KEPT, SHORT = 4_096, 16_384
"""Bodies that are kept, and the most characters of one: tens of megabytes at the most in practice."""


def encode(kind: Kind[T], name: str, body: T) -> object:
    """Encode to plain data that ``decode`` can read. Raises Invalid for values that JSON cannot represent (a number
    that is not finite, half a surrogate pair): they could be written but never read again."""
    try:
        text = msgspec.json.encode(body)
        msgspec.json.decode(text, type=prepare_type(kind.type))
    except (TypeError, ValueError, msgspec.MsgspecError) as error:
        raise Invalid(f"The {kind.name} {name!r} cannot be stored: {error}") from None
    return msgspec.json.decode(text)


def decode(kind: Kind[T], name: str, text: str) -> T:
    """Read a body. Loops ask each second for records that have not changed, so those read last are kept: bodies are
    frozen, and the text says all of one. Raises UnreadableRecord."""
    return cast(T, (_decode_short if len(text) <= SHORT else _decode)(kind, name, text))


def read_plain(text: str) -> object | None:
    """A body as it lies there, of whatever version; None where it is damaged."""
    try:
        return cast(object, msgspec.json.decode(text))
    except (msgspec.DecodeError, RecursionError):
        return None


def _decode(kind: Kind[Any], name: str, text: str) -> Any:
    try:
        return msgspec.json.decode(text, type=prepare_type(kind.type))
    except (msgspec.DecodeError, RecursionError) as error:
        raise UnreadableRecord(
            f"The {kind.name} {name!r} in the database cannot be read by this tidegate: {error}",
            about=(kind.name, name),
        ) from None


_decode_short = lru_cache(maxsize=KEPT)(_decode)
