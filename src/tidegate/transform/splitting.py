"""Splits the bytes of an object into mini-batches of whole records, in order, each byte once.

The batches do not depend on how the bytes arrive. No batch is larger than the limit; a single record that is larger
is an error. Offsets are those of the (unpacked) object, so that a batch says where the next one begins.
"""

import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from tidegate.domain.errors import Invalid
from tidegate.domain.transform import SplitType

RECORD_IO_MAGIC = 0xCED7230A
_LENGTH = (1 << 29) - 1


@dataclass(frozen=True)
class Batch:
    """``body`` is what is sent; ``first`` is the number of its first record, from 1; ``end`` the offset after it."""

    body: bytes
    first: int
    count: int
    end: int


class Unsplittable(Invalid):
    """The bytes are not whole records, or a record is too large. The message names the record."""


class Oversized(Unsplittable):
    """The next record is larger than ``limit`` bytes; the caller adds its number."""

    def __init__(self, limit: int) -> None:
        self.size = _size(limit)
        super().__init__(f"it is larger than {self.size}")


Measure = Callable[[bytearray, int, bool], int]
"""Bytes of the record that begins at an offset of a buffer; 0 if it is not whole yet. The flag: these are the
last bytes."""


def batches(
    parts: Iterable[bytes],
    split: SplitType,
    *,
    limit: int,
    single: bool,
    aim: int = 0,
    record: int = 1,
    offset: int = 0,
) -> Iterator[Batch]:
    """Split an object into batches. ``limit`` and ``aim`` are in bytes: lines are packed up to ``aim`` where it is
    given, and one alone may have up to ``limit``. ``record`` and ``offset``: where ``parts`` begin, for a job that
    continues."""
    if split is SplitType.NONE:
        return _whole(parts, limit, offset)
    if split is SplitType.LINE and not single:
        return _lines(parts, aim or limit, limit, record, offset)
    return _records(parts, _MEASURES[split], _PAYLOADS[split] if single else None, limit, record, offset)


def _whole(parts: Iterable[bytes], limit: int, offset: int) -> Iterator[Batch]:
    """An object that was sent already (``offset``) has nothing left."""
    body = bytearray()
    for part in parts:
        body += part
        if len(body) > limit:
            raise Unsplittable(f"the object is larger than {_size(limit)}, and SplitType is None")
    if not offset or body:
        yield Batch(bytes(body), 1, 1, offset + len(body))


def _lines(parts: Iterable[bytes], aim: int, limit: int, record: int, offset: int) -> Iterator[Batch]:
    """Yield batches of as many lines as fit. The search for a cut starts from the end, so most line ends are never
    examined."""
    held = bytearray()
    for part in parts:
        held += part
        while len(held) > aim:
            cut = held.rfind(b"\n", 0, aim) + 1 or held.find(b"\n", aim, limit) + 1
            if not cut:
                if len(held) <= limit:
                    break  # the end of the line has not arrived
                raise _too_large(record, limit)
            batch = _cut(held, cut, record, offset)
            record, offset = record + batch.count, batch.end
            yield batch
    if held:
        yield _cut(held, len(held), record, offset)


def _cut(held: bytearray, length: int, record: int, offset: int) -> Batch:
    with memoryview(held) as view:
        body = bytes(view[:length])
    del held[:length]
    return Batch(body, record, count_lines(body), offset + length)


def _records(
    parts: Iterable[bytes],
    measure: Measure,
    payload: Callable[[bytes], bytes] | None,
    limit: int,
    record: int,
    offset: int,
) -> Iterator[Batch]:
    """Yield batches of records. ``payload``: one record per batch, without its framing."""
    held, pack, packed = bytearray(), bytearray(), 0
    for part, last in _with_last(parts):
        held += part
        at = 0
        while length := _measure_record(measure, held, at, last, record + packed, limit):
            if pack and (payload or len(pack) + length > limit):
                yield Batch(_batch_body(pack, payload), record, packed, offset + len(pack))
                record, offset, packed = record + packed, offset + len(pack), 0
                pack.clear()
            pack += held[at : at + length]
            packed, at = packed + 1, at + length
        del held[:at]
    if held:
        raise Unsplittable(f"record {record + packed}: the object ends in the middle of it")
    if pack:
        yield Batch(_batch_body(pack, payload), record, packed, offset + len(pack))


def _batch_body(pack: bytearray, payload: Callable[[bytes], bytes] | None) -> bytes:
    return payload(bytes(pack)) if payload else bytes(pack)


def _with_last(parts: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    for part in parts:
        yield part, False
    yield b"", True


def _measure_record(measure: Measure, held: bytearray, at: int, last: bool, record: int, limit: int) -> int:
    try:
        length = measure(held, at, last)
    except ValueError as error:
        raise Unsplittable(f"record {record}: {error}") from None
    if length > limit or (not length and len(held) - at > limit):
        raise _too_large(record, limit)
    return length


def _line(held: bytearray, at: int, last: bool) -> int:
    end = held.find(b"\n", at) + 1
    return end - at if end else (len(held) - at if last else 0)


def _record_io(held: bytearray, at: int, last: bool) -> int:
    """A record may lie in several parts: the first has flag 1, the last flag 3, a whole one flag 0."""
    begin = at
    while len(held) - at >= 8:
        magic, word = struct.unpack_from("<II", held, at)
        if magic != RECORD_IO_MAGIC:
            raise ValueError("no RecordIO header where it should begin")
        at += 8 + (word & _LENGTH) + -(word & _LENGTH) % 4
        if at > len(held):
            return 0
        if word >> 29 in (0, 3):
            return at - begin
    return 0


def _tf_record(held: bytearray, at: int, last: bool) -> int:
    if len(held) - at < 12:
        return 0
    (length,) = struct.unpack_from("<Q", held, at)
    if length > 1 << 40:
        raise ValueError("no TFRecord header where it should begin")
    return length + 16 if len(held) - at >= length + 16 else 0


def _record_io_payload(record: bytes) -> bytes:
    found, at = bytearray(), 0
    while at < len(record):
        length = struct.unpack_from("<I", record, at + 4)[0] & _LENGTH
        if at:
            found += struct.pack("<I", RECORD_IO_MAGIC)  # where its writer split it
        found += record[at + 8 : at + 8 + length]
        at += 8 + length + -length % 4
    return bytes(found)


_MEASURES: dict[SplitType, Measure] = {
    SplitType.LINE: _line,
    SplitType.RECORD_IO: _record_io,
    SplitType.TF_RECORD: _tf_record,
}
_PAYLOADS: dict[SplitType, Callable[[bytes], bytes]] = {
    SplitType.LINE: lambda record: record,
    SplitType.RECORD_IO: _record_io_payload,
    SplitType.TF_RECORD: lambda record: record[12:-4],
}


def cut_records(body: bytes, split: SplitType) -> list[bytes]:
    """The records of a batch."""
    if split is SplitType.NONE:
        return [body]
    held, found, at = bytearray(body), [], 0
    while length := _MEASURES[split](held, at, True):
        found.append(body[at : at + length])
        at += length
    return found


def count_lines(body: bytes) -> int:
    """Return the number of lines; the last one may lack its end."""
    return body.count(b"\n") + (not body.endswith(b"\n") and bool(body))


def _too_large(record: int, limit: int) -> Unsplittable:
    return Unsplittable(f"record {record} is larger than {_size(limit)}")


def _size(limit: int) -> str:
    return f"{limit / 2**20:g} MB"
