"""Smithy's RPC v2 CBOR, which newer AWS SDKs prefer for CloudWatch: bytes to members and back (RFC 8949)."""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tidegate.wire import codec_json
from tidegate.wire.validation import WrongType

if TYPE_CHECKING:  # it takes long to import, and a server without calls does without
    from botocore.model import StructureShape

MAX_DEPTH = 32
"""Maximum nesting of a body; the deepest input of a served operation has 8 levels."""

EPOCH_TAG = 1
"""Tag of a time in seconds since 1970."""

_BREAK = object()
_SIMPLE = {20: False, 21: True, 22: None, 23: None}
_FLOATS = {25: (">e", 2), 26: (">f", 4), 27: (">d", 8)}
_LENGTHS = {24: 1, 25: 2, 26: 4, 27: 8}


def parse(shape: StructureShape | None, body: bytes, unknown: list[str]) -> dict[str, Any]:
    """Like ``codec_json.parse``."""
    raw = decode(body) if body else {}
    if not isinstance(raw, dict):
        raise WrongType("the body is not a CBOR map")
    return codec_json.parse_structure(shape, raw, "", unknown) if shape else {}


def decode(body: bytes) -> Any:
    """Decode to plain data; a time becomes epoch seconds. Raises WrongType."""
    reader = _CborReader(body)
    try:
        value = reader.value(MAX_DEPTH)
    except (IndexError, struct.error, UnicodeDecodeError):
        raise WrongType("the body is not CBOR: it ends too early or holds text that is not UTF-8") from None
    if value is _BREAK or reader.at != len(body):
        raise WrongType("the body is not one CBOR value")
    return value


class _CborReader:
    """Reads the bytes in one pass and never allocates more than was sent."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.at = 0

    def value(self, depth: int) -> Any:
        if depth == 0:
            raise WrongType(f"the body is nested deeper than {MAX_DEPTH} levels")
        major, info = self.body[self.at] >> 5, self.body[self.at] & 31
        self.at += 1
        if major == 7:
            return self._decode_simple(info)
        if major in (0, 1, 6):
            number = self._argument(info)
            return self._decode_tagged(number, depth) if major == 6 else number if major == 0 else -1 - number
        length = None if info == 31 else self._argument(info)
        match major:
            case 2:
                return self._data(bytes, length, depth)
            case 3:
                return self._data(str, length, depth).decode()
            case 4:
                return self._items(length, depth)
            case _:
                return self._map(length, depth)

    def _argument(self, info: int) -> int:
        if info < 24:
            return info
        if info not in _LENGTHS:
            raise WrongType(f"the body is not CBOR: {info} is not a length")
        return int.from_bytes(self._take(_LENGTHS[info]))

    def _take(self, count: int) -> bytes:
        if count > len(self.body) - self.at:
            raise IndexError
        self.at += count
        return self.body[self.at - count : self.at]

    def _decode_simple(self, info: int) -> Any:
        if info in _FLOATS:
            form, size = _FLOATS[info]
            return struct.unpack(form, self._take(size))[0]
        if info == 31:
            return _BREAK
        if info not in _SIMPLE:
            raise WrongType(f"the body holds the simple value {info}, which no member accepts")
        return _SIMPLE[info]

    def _data(self, kind: type[bytes] | type[str], length: int | None, depth: int) -> bytes:
        if length is not None:
            return self._take(length)
        parts = self._decode_until_break(depth)
        if not all(isinstance(part, kind) for part in parts):
            raise WrongType("the body is not CBOR: an indefinite-length string has a chunk of another type")
        return b"".join(part.encode() if isinstance(part, str) else part for part in parts)

    def _items(self, length: int | None, depth: int) -> list[Any]:
        if length is None:
            return self._decode_until_break(depth)
        return [self._inner(depth) for _ in range(min(length, len(self.body) - self.at + 1))]

    def _map(self, length: int | None, depth: int) -> dict[str, Any]:
        flat = self._decode_until_break(depth) if length is None else self._items(2 * length, depth)
        keys, values = flat[::2], flat[1::2]
        if len(keys) != len(values) or not all(isinstance(key, str) for key in keys):
            raise WrongType("the body holds a map whose keys are not strings")
        return dict(zip(keys, values, strict=True))

    def _decode_until_break(self, depth: int) -> list[Any]:
        found = []
        while (value := self.value(depth - 1)) is not _BREAK:
            found.append(value)
        return found

    def _inner(self, depth: int) -> Any:
        value = self.value(depth - 1)
        if value is _BREAK:
            raise WrongType("the body is not CBOR: a break without an open item")
        return value

    def _decode_tagged(self, tag: int, depth: int) -> Any:
        if tag != EPOCH_TAG:
            raise WrongType(f"the body holds tag {tag}; only the tag of times is supported")
        return self._inner(depth)


def render(members: dict[str, Any]) -> bytes:
    """``members`` must have passed ``output_shapes.drop_empty``."""
    out = bytearray()
    _encode(members, out)
    return bytes(out)


def _encode(value: Any, out: bytearray) -> None:
    for kind, encode in _ENCODERS.items():
        if isinstance(value, kind):
            encode(value, out)
            return
    raise TypeError(f"{type(value).__name__} cannot be encoded as CBOR")


def _encode_head(major: int, length: int, out: bytearray) -> None:
    if length < 24:
        out.append(major << 5 | length)
        return
    info, size = next((info, size) for info, size in _LENGTHS.items() if length < 1 << 8 * size)
    out.append(major << 5 | info)
    out += length.to_bytes(size)


def _encode_int(value: int, out: bytearray) -> None:
    _encode_head(0 if value >= 0 else 1, value if value >= 0 else -1 - value, out)


def _encode_float(value: float, out: bytearray) -> None:
    out += b"\xfb" + struct.pack(">d", value)


def _encode_text(value: str, out: bytearray) -> None:
    data = value.encode()
    _encode_head(3, len(data), out)
    out += data


def _encode_bytes(value: bytes, out: bytearray) -> None:
    _encode_head(2, len(value), out)
    out += value


def _encode_time(value: datetime, out: bytearray) -> None:
    _encode_head(6, EPOCH_TAG, out)
    _encode_float(value.timestamp(), out)


def _encode_list(value: list[Any], out: bytearray) -> None:
    _encode_head(4, len(value), out)
    for entry in value:
        _encode(entry, out)


def _encode_map(value: dict[str, Any], out: bytearray) -> None:
    _encode_head(5, len(value), out)
    for key, entry in value.items():
        _encode_text(key, out)
        _encode(entry, out)


_ENCODERS: dict[type, Callable[[Any, bytearray], None]] = {
    bool: lambda value, out: out.append(0xF5 if value else 0xF4),
    int: _encode_int,
    float: _encode_float,
    str: _encode_text,
    bytes: _encode_bytes,
    datetime: _encode_time,
    list: _encode_list,
    dict: _encode_map,
}
"""In this order, because a bool is also an int."""
