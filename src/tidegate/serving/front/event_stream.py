"""Messages of AWS's event streams, for InvokeEndpointWithResponseStream.

A message is its total length and the length of its headers (4 bytes each, big-endian), the CRC-32 of these eight
bytes, the headers, the payload, and the CRC-32 of everything before it. A header is the length of its name (1 byte),
the name, the type (7: text), the length of the text (2 bytes) and the text.
"""

import struct
from binascii import crc32
from collections.abc import Iterator, Mapping

import msgspec

CONTENT_TYPE = "application/vnd.amazon.eventstream"
LARGEST = 1024 * 1024
"""Bytes of a message's payload; clients reject messages of some 16 MB, and hold each one in memory."""

_PRELUDE = struct.Struct(">II")
_CRC = struct.Struct(">I")
_TEXT = 7
_AROUND = 16
"""Bytes of a message that are neither headers nor payload."""


def payload_parts(data: bytes) -> Iterator[bytes]:
    """Split ``data`` into PayloadPart events; none for no bytes."""
    for start in range(0, len(data), LARGEST):
        yield message(_PART, data[start : start + LARGEST])


def failure(code: str, text: str) -> bytes:
    """The ModelStreamError that ends a stream; clients raise it. ``code`` is SageMaker Runtime's ErrorCode."""
    return message(_FAILURE, msgspec.json.encode({"Message": text, "ErrorCode": code}))


def headers(values: Mapping[str, str]) -> bytes:
    """Encode a message's headers, each with a text of at most 32 KiB."""
    made = []
    for name, value in values.items():
        key, text = name.encode(), value.encode()
        made.append(bytes((len(key),)) + key + bytes((_TEXT,)) + struct.pack(">H", len(text)) + text)
    return b"".join(made)


def message(head: bytes, payload: bytes) -> bytes:
    """Encode one message; ``head`` is the result of ``headers``."""
    prelude = _PRELUDE.pack(len(head) + len(payload) + _AROUND, len(head))
    start = b"%b%b%b" % (prelude, _CRC.pack(crc32(prelude)), head)
    return b"%b%b%b" % (start, payload, _CRC.pack(crc32(payload, crc32(start))))


_PART = headers(
    {":event-type": "PayloadPart", ":content-type": "application/octet-stream", ":message-type": "event"}
)
_FAILURE = headers(
    {
        ":exception-type": "ModelStreamError",
        ":content-type": "application/json",
        ":message-type": "exception",
    }
)
