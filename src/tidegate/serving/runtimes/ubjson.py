"""Parses UBJSON before XGBoost does: XGBoost's reader trusts the lengths in a file, and reads beyond its memory at a
truncated or forged one. Typed arrays of numbers become numpy arrays over the file's bytes. Source: the UBJSON
specification, draft 12.
"""

import struct
from typing import Any

import numpy as np

DEEPEST = 64
_NUMBERS = {b"i": ">i1", b"U": ">u1", b"I": ">i2", b"l": ">i4", b"L": ">i8", b"d": ">f4", b"D": ">f8", b"C": ">u1"}
_DTYPES = {marker: np.dtype(form) for marker, form in _NUMBERS.items()}
_CONSTANTS = {b"Z": None, b"N": None, b"T": True, b"F": False}
_NAME, _ARRAY = struct.Struct(">cq"), struct.Struct(">2sc2sq")
_INTEGERS = {b"i": ">b", b"U": ">B", b"I": ">h", b"l": ">i", b"L": ">q"}


class MalformedUbjson(ValueError):
    """The document ends early, or is not UBJSON; the message says where."""


def parse(data: bytes) -> Any:
    """Parse a document, which is one value. Raises MalformedUbjson."""
    value, end = _Walk(data).value(0, 0)
    if end != len(data):
        raise MalformedUbjson(f"{len(data) - end} bytes after its end")
    return value


class _Walk:
    """A parser. Methods take the offset of an element, and return its value and the offset after it."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def value(self, at: int, depth: int) -> tuple[Any, int]:
        return self._content(self._marker(at), at + 1, depth)

    def _content(self, marker: bytes, at: int, depth: int) -> tuple[Any, int]:
        if marker in _CONSTANTS:
            return _CONSTANTS[marker], at
        if marker in _DTYPES:
            end = self._skip(at, _DTYPES[marker].itemsize)
            return np.frombuffer(self._data, _DTYPES[marker], 1, at)[0], end
        if marker in (b"S", b"H"):
            return self._text(at)
        if marker in (b"{", b"[") and depth < DEEPEST:
            return self._container(at, marker == b"{", depth + 1)
        raise MalformedUbjson(f"{marker!r} at byte {at - 1} begins no value")

    def _container(self, at: int, keyed: bool, depth: int) -> tuple[Any, int]:
        kind = None
        if self._marker(at) == b"$":
            kind, at = self._marker(at + 1), at + 2
            if self._marker(at) != b"#":
                raise MalformedUbjson(f"a typed array at byte {at} has no length")
        count = None
        if self._marker(at) == b"#":
            count, at = self._integer(at + 1)
            if kind in _DTYPES and not keyed:
                end = self._skip(at, count * _DTYPES[kind].itemsize)
                return np.frombuffer(self._data, _DTYPES[kind], count, at), end
            # No element is smaller than a byte, so a count cannot exceed the length of the file.
            if count > len(self._data):
                raise MalformedUbjson(f"a count of {count} at byte {at} is more than the file holds")
        members: list[tuple[str, Any]] = []
        last = b"}" if keyed else b"]"
        while len(members) < count if count is not None else self._marker(at) != last:
            usual = self._usual(at) if keyed and kind is None else None
            name, value, at = usual or self._member(at, keyed, kind, depth)
            members.append((name, value))
        found = dict(members) if keyed else [value for _, value in members]
        return found, at if count is not None else at + 1

    def _member(self, at: int, keyed: bool, kind: bytes | None, depth: int) -> tuple[str, Any, int]:
        name = ""
        if keyed:
            name, at = self._text(at)
        value, at = self.value(at, depth) if kind is None else self._content(kind, at, depth)
        return name, value, at

    def _usual(self, at: int) -> tuple[str, Any, int] | None:
        """A member as XGBoost writes most of them: a name and a typed array of numbers, both with eight-byte lengths.
        None for other or invalid members, which the general parser handles."""
        try:
            mark, length = _NAME.unpack_from(self._data, at)
            begin = at + _NAME.size + length
            if mark != b"L" or length < 0:
                return None
            start, kind, size, count = _ARRAY.unpack_from(self._data, begin)
        except struct.error:
            return None
        if start != b"[$" or size != b"#L" or kind not in _DTYPES or count < 0:
            return None
        at, dtype = begin + _ARRAY.size, _DTYPES[kind]
        end = at + count * dtype.itemsize
        if end > len(self._data):
            return None
        name = self._data[begin - length : begin].decode("utf-8", "replace")
        return name, np.frombuffer(self._data, dtype, count, at), end

    def _text(self, at: int) -> tuple[str, int]:
        length, at = self._integer(at)
        end = self._skip(at, length)
        return self._data[at:end].decode("utf-8", "replace"), end

    def _integer(self, at: int) -> tuple[int, int]:
        form = _INTEGERS.get(self._marker(at))
        if form is None:
            raise MalformedUbjson(f"no length at byte {at}")
        end = self._skip(at + 1, struct.calcsize(form))
        number: int = struct.unpack_from(form, self._data, at + 1)[0]
        if number < 0:
            raise MalformedUbjson(f"a length below zero at byte {at}")
        return number, end

    def _skip(self, at: int, width: int) -> int:
        if at + width > len(self._data):
            raise MalformedUbjson(f"it ends at byte {len(self._data)}, in the middle of what begins at byte {at}")
        return at + width

    def _marker(self, at: int) -> bytes:
        if at >= len(self._data):
            raise MalformedUbjson(f"it ends at byte {len(self._data)}, too early")
        return self._data[at : at + 1]
