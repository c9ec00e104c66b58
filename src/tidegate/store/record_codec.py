"""Encode and decode frozen dataclasses as plain JSON data."""

from typing import TypeVar

import msgspec

from tidegate.domain.errors import Invalid, TidegateError
from tidegate.ports.store import Kind

T = TypeVar("T")


def encode(kind: Kind[T], name: str, body: T) -> object:
    """Encode to plain data that ``decode`` can read. Raises Invalid for values that JSON cannot represent (a number
    that is not finite, half a surrogate pair): they could be written but never read again."""
    try:
        text = msgspec.json.encode(body)
        msgspec.json.decode(text, type=kind.type)
    except (TypeError, ValueError, msgspec.MsgspecError) as error:
        raise Invalid(f"The {kind.name} {name!r} cannot be stored: {error}") from None
    return msgspec.json.decode(text)


def decode(kind: Kind[T], name: str, plain: object) -> T:
    try:
        return msgspec.convert(plain, kind.type, str_keys=True)
    except msgspec.ValidationError as error:
        raise TidegateError(
            f"The {kind.name} {name!r} in the database cannot be read by this tidegate: {error}"
        ) from None
