"""SageMaker's ``application/x-recordio-protobuf``: a protobuf ``Record`` in a RecordIO frame for each row.

The feature ``values`` of a record is read: a tensor of float32, float64 or int32, dense, or sparse with ``keys`` from
0 (absent features are missing) and an optional width in ``shape``. The parser is our own: the message has few fields,
and nothing is allocated beyond the size of the body.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tidegate.serving.contract.invocation import ModelFailed
from tidegate.serving.formats.libsvm import MOST_CELLS
from tidegate.serving.formats.row_decoder import Features, Matrix
from tidegate.transform.splitting import RECORD_IO_MAGIC

TYPE = "application/x-recordio-protobuf"
_FEATURES, _LABEL = 1, 2
_FLOAT32, _FLOAT64, _INT32 = 2, 3, 7
"""Fields of a ``Value``."""
_VALUES, _KEYS, _SHAPE = 1, 2, 3
"""Fields of a tensor."""
_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5
"""Wire types."""
_NAME = b"values"
_LENGTH = (1 << 29) - 1
_FIXED = {_FLOAT32: ("<f4", _FOUR), _FLOAT64: ("<f8", _EIGHT)}


class _Malformed(ValueError):
    """A record is malformed."""


def read(body: bytes, features: Features) -> Matrix:
    """Parse records. A record without a frame is one row, as batch jobs send them. Raises ModelFailed (400)."""
    rows: list[NDArray[np.float64]] = []
    most = MOST_CELLS // features.count
    try:
        for record in _records(body):
            if len(rows) >= most:
                raise _Malformed(f"more than {most} rows of {features.count} features; send fewer")
            rows.append(_row(record, features.count))
    except _Malformed as error:
        raise ModelFailed(400, f"Row {len(rows) + 1}: {error}.") from None
    return features.take(np.array(rows))


def write(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Encode a record for each row, with labels of these numbers, or lists of them, as float32."""
    return b"".join(_frame(b"".join(_label(name, value) for name, value in row.items())) for row in rows)


def _records(body: bytes) -> Iterator[bytes]:
    if not body.startswith(struct.pack("<I", RECORD_IO_MAGIC)):
        yield body
        return
    at, end = 0, len(body)
    while at < end:
        if end - at < 8:
            raise _Malformed("the body ends within a RecordIO frame")
        magic, word = struct.unpack_from("<II", body, at)
        if magic != RECORD_IO_MAGIC or word >> 29:
            raise _Malformed("no whole RecordIO frame where one should begin")
        length = word & _LENGTH
        if at + 8 + length > end:
            raise _Malformed("the body ends within a RecordIO frame")
        yield body[at + 8 : at + 8 + length]
        at += 8 + length + -length % 4


def _row(record: bytes, count: int) -> NDArray[np.float64]:
    tensors = [
        (kind, tensor)
        for field, entry in _fields(record)
        if field == _FEATURES
        for kind, tensor in _find_tensors(_bytes(entry))
    ]
    if len(tensors) != 1:
        raise _Malformed(f"the record has {len(tensors)} features {_NAME.decode()!r}; expected one")
    [(kind, tensor)] = tensors
    if kind not in (_FLOAT32, _FLOAT64, _INT32):
        raise _Malformed("the feature is no tensor of float32, float64 or int32")
    values, keys, shape = _tensor(kind, tensor)
    if not keys and (not shape or len(values)):
        if len(values) != count:
            raise _Malformed(f"the record has {len(values)} values; the model takes {count}")
        return values
    if shape and shape[-1] != count:
        raise _Malformed(f"the record's shape is {shape[-1]}; the model takes {count}")
    if len(keys) != len(values):
        raise _Malformed(f"the record has {len(keys)} keys and {len(values)} values")
    if len(set(keys)) != len(keys):
        raise _Malformed("a key is given twice")
    if keys and max(keys) >= count:
        raise _Malformed(f"key {max(keys)} is beyond the model's {count} features, counted from 0")
    row = np.full(count, np.nan)
    row[keys] = values
    return row


def _find_tensors(entry: bytes) -> Iterator[tuple[int, bytes]]:
    """The tensors of a map entry, if it is the one to read."""
    key, value = b"", b""
    for field, content in _fields(entry):
        if field == 1:
            key = _bytes(content)
        elif field == 2:
            value = _bytes(content)
    if key == _NAME:
        found = [(field, _bytes(content)) for field, content in _fields(value)]
        yield from found[-1:] or [(0, b"")]


def _tensor(kind: int, tensor: bytes) -> tuple[NDArray[np.float64], list[int], list[int]]:
    parts: list[NDArray[Any]] = []
    keys: list[int] = []
    shape: list[int] = []
    for field, content in _fields(tensor):
        if field == _KEYS:
            keys += _check_whole(content)
        elif field == _SHAPE:
            shape += _check_whole(content)
        elif field == _VALUES:
            parts.append(_numbers(kind, content))
    values = np.concatenate(parts) if parts else np.empty(0)
    return values.astype(np.float64), keys, shape


def _numbers(kind: int, content: int | bytes) -> NDArray[Any]:
    """Numbers of a packed field, or a single one."""
    if kind == _INT32:
        signed = [value - (1 << 64) if value >> 63 else value for value in _check_whole(content)]
        if any(not -(2**31) <= value < 2**31 for value in signed):
            raise _Malformed("a value is no int32")
        return np.array(signed, np.float64)
    dtype = np.dtype(_FIXED[kind][0])
    data = _bytes(content)
    if len(data) % dtype.itemsize:
        raise _Malformed("the protobuf message is damaged")
    return np.frombuffer(data, dtype)


def _check_whole(content: int | bytes) -> list[int]:
    if isinstance(content, int):
        return [content]
    found, at = [], 0
    while at < len(content):
        value, at = _varint(content, at)
        found.append(value)
    return found


def _bytes(content: int | bytes) -> bytes:
    if isinstance(content, int):
        raise _Malformed("the protobuf message is no Record")
    return content


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and content of each field: an integer, or bytes, including those of fixed-size numbers."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        wire = tag & 7
        if wire == _VARINT:
            value, at = _varint(message, at)
            yield tag >> 3, value
            continue
        if wire == _BYTES:
            length, at = _varint(message, at)
        elif wire in (_EIGHT, _FOUR):
            length = 8 if wire == _EIGHT else 4
        else:
            raise _Malformed("the protobuf message is damaged")
        if at + length > len(message):
            raise _Malformed("the protobuf message is cut off")
        yield tag >> 3, message[at : at + length]
        at += length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data):
            raise _Malformed("the protobuf message is cut off")
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & (1 << 64) - 1, at
        shift += 7
        if shift > 63:
            raise _Malformed("the protobuf message is damaged")


def _label(name: str, value: Any) -> bytes:
    values = value if isinstance(value, list) else [value]
    packed = np.array(values, "<f4").tobytes()
    tensor = _field(_FLOAT32, _field(_VALUES, packed))
    return _field(_LABEL, _field(1, name.encode()) + _field(2, tensor))


def _field(number: int, content: bytes) -> bytes:
    return _length(number << 3 | _BYTES) + _length(len(content)) + content


def _length(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)


def _frame(record: bytes) -> bytes:
    return struct.pack("<II", RECORD_IO_MAGIC, len(record)) + record + bytes(-len(record) % 4)
