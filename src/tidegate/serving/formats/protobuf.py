"""The wire format of protocol buffers: numbered fields, and calls of gRPC in HTTP/1.1. Pure.

HAProxy speaks HTTP/2 with clients of gRPC and HTTP/1.1 with tidegate's processes: a message comes as a body, and its
status goes back as a trailer after the chunks.
"""

from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

from tidegate.serving.contract.invocation import ModelFailed

SERVICE = "inference.GRPCInferenceService"
CONTENT_TYPE = "application/grpc"
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""Types of fields."""
PREFIX = 5
"""Bytes before a message: whether it is compressed, and its length."""
MOST_SIDES = 32
"""Sides of a shape beyond which no more are read: no tensor has so many."""
_SIGN = 1 << 63

Field = tuple[int, int, Any]
"""Number, type, and a whole number or bytes."""


def refuse(message: str) -> ModelFailed:
    return ModelFailed(400, f"{message}.")


def frame(message: bytes) -> bytes:
    """The rest of a response after its head: the message as a chunk, and the status that it is good."""
    return b"%x\r\n\0%b%b\r\n0\r\ngrpc-status: 0\r\n\r\n" % (
        PREFIX + len(message),
        len(message).to_bytes(4, "big"),
        message,
    )


def trailers(status: int, message: str) -> bytes:
    """The same of a call that failed."""
    shown = quote(message, safe=" !\"#$&'()*+,/:;<=>?@[\\]^`{|}")
    return b"0\r\ngrpc-status: %d\r\ngrpc-message: %b\r\n\r\n" % (status, shown.encode("ascii"))


def write_flag(value: bool) -> bytes:
    """ServerLiveResponse, ServerReadyResponse, ModelReadyResponse."""
    return b"\x08\x01" if value else b""


def write_server_metadata(name: str, version: str, extensions: Sequence[str]) -> bytes:
    return string(1, name) + string(2, version) + b"".join(string(3, one) for one in extensions)


def read_model(body: bytes) -> tuple[str, str]:
    """Name and version of ModelReadyRequest and ModelMetadataRequest. Raises ModelFailed (400)."""
    given = {number: text_of(value) for number, _, value in read_fields(body) if number in (1, 2)}
    return given.get(1, ""), given.get(2, "")


def read_fields(data: "bytes | memoryview") -> Iterator[Field]:
    view, at = memoryview(data), 0
    while at < len(view):
        key, at = read_varint(view, at)
        number, wire = key >> 3, key & 7
        if wire == VARINT:
            value, at = read_varint(view, at)
            yield number, wire, value
            continue
        if wire == BYTES:
            size, at = read_varint(view, at)
        elif wire in (FIXED64, FIXED32):
            size = 8 if wire == FIXED64 else 4
        else:
            raise refuse("The message is no protocol buffer of the protocol")
        if at + size > len(view):
            raise refuse("The message ends early")
        yield number, wire, view[at : at + size]
        at += size


def read_varint(view: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(view) and shift < 70:
        byte = view[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value % 2**64, at
    raise refuse("The message ends early, or has a number that is too long")


def read_sides(value: Any) -> list[int]:
    """The sides of a shape: of a packed field, or the one of another."""
    if not isinstance(value, memoryview):
        return [signed(value)]
    found: list[int] = []
    at = 0
    while at < len(value) and len(found) <= MOST_SIDES:
        side, at = read_varint(value, at)
        found.append(signed(side))
    return found


def varint(value: int) -> bytes:
    if value < 0x80:
        return bytes((value,))
    found = bytearray()
    while value >= 0x80:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def message(field: int, data: bytes, empty: bool = False) -> bytes:
    """``empty``: whether a field without bytes is written, too."""
    return varint(field << 3 | BYTES) + varint(len(data)) + data if data or empty else b""


def string(field: int, text: str) -> bytes:
    return message(field, text.encode())


def data_of(value: Any) -> memoryview:
    if not isinstance(value, memoryview):
        raise refuse("The message is no protocol buffer of the protocol")
    return value


def text_of(value: Any) -> str:
    try:
        return bytes(data_of(value)).decode()
    except UnicodeDecodeError:
        raise refuse("The message has a text that is not UTF-8") from None


def signed(value: int) -> int:
    return value - 2**64 if value & _SIGN else value
