"""Protocol Buffers' wire format, as far as an ONNX file needs it.

Source: protobuf.dev/programming-guides/encoding."""

import struct
from collections.abc import Iterator

Field = int | memoryview
"""A varint, or the bytes of anything else (fixed-width numbers too)."""
_LONGEST = 10
"""Bytes of a varint."""


class Malformed(ValueError):
    """The bytes are not what a serializer writes."""


def fields(message: memoryview) -> Iterator[tuple[int, Field]]:
    """Number and value of each field, in file order. Raises Malformed."""
    at, end = 0, len(message)
    while at < end:
        key, at = _varint(message, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield number, value
            continue
        if kind == 2:
            length, at = _varint(message, at)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise Malformed(f"wire type {kind}")
        if at + length > end:
            raise Malformed("a field is longer than its message")
        yield number, message[at : at + length]
        at += length


def signed(value: int) -> int:
    """A varint as the int64 that it stands for."""
    return value - (1 << 64) if value >= 1 << 63 else value


def integers(value: Field) -> list[int]:
    """A repeated int64 field: one element, or several that are packed."""
    if isinstance(value, int):
        return [signed(value)]
    found, at = [], 0
    while at < len(value):
        one, at = _varint(value, at)
        found.append(signed(one))
    return found


def floats(value: Field) -> list[float]:
    """A repeated float field: one element, or several that are packed."""
    data = content(value)
    if len(data) % 4:
        raise Malformed("packed floats")
    return list(struct.unpack(f"<{len(data) // 4}f", data))


def content(value: Field) -> memoryview:
    """The bytes of a field that is no varint."""
    if isinstance(value, int):
        raise Malformed("a number where bytes are expected")
    return value


def number(value: Field) -> int:
    if not isinstance(value, int):
        raise Malformed("bytes where a number is expected")
    return signed(value)


def text(value: Field) -> str:
    try:
        return bytes(content(value)).decode()
    except UnicodeDecodeError:
        raise Malformed("a name is not UTF-8") from None


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    for place in range(at, min(at + _LONGEST, len(message))):
        byte = message[place]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (1 << 64) - 1, place + 1
        shift += 7
    raise Malformed("a varint does not end")
