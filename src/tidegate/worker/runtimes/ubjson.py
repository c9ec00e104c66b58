"""Whether a UBJSON document is whole, before XGBoost reads it: its reader trusts the lengths that a file states,
and a cut or forged file makes it read beyond its memory. Walks the structure only; typed arrays are stepped over.
Source: the UBJSON specification, draft 12.
"""

import struct

DEEPEST = 64
_WIDTHS = {b"Z": 0, b"N": 0, b"T": 0, b"F": 0, b"i": 1, b"U": 1, b"C": 1}
_WIDTHS |= {b"I": 2, b"l": 4, b"L": 8, b"d": 4, b"D": 8}
_INTEGERS = {b"i": ">b", b"U": ">B", b"I": ">h", b"l": ">i", b"L": ">q"}


class Broken(ValueError):
    """The document ends early, or is not UBJSON; the message says where."""


def check(data: bytes) -> None:
    """Raises Broken unless ``data`` is exactly one whole value."""
    end = _Walk(data).value(0, 0)
    if end != len(data):
        raise Broken(f"{len(data) - end} bytes after its end")


class _Walk:
    """Each method takes where something begins and returns where it ends."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def value(self, at: int, depth: int) -> int:
        return self._content(self._marker(at), at + 1, depth)

    def _content(self, marker: bytes, at: int, depth: int) -> int:
        if marker in _WIDTHS:
            return self._skip(at, _WIDTHS[marker])
        if marker in (b"S", b"H"):
            return self._text(at)
        if marker in (b"{", b"[") and depth < DEEPEST:
            return self._container(at, marker == b"{", depth + 1)
        raise Broken(f"{marker!r} at byte {at - 1} begins no value")

    def _container(self, at: int, keyed: bool, depth: int) -> int:
        kind = None
        if self._marker(at) == b"$":
            kind, at = self._marker(at + 1), at + 2
            if self._marker(at) != b"#":
                raise Broken(f"a typed array at byte {at} has no length")
        if self._marker(at) == b"#":
            count, at = self._integer(at + 1)
            if kind in _WIDTHS and not keyed:
                return self._skip(at, count * _WIDTHS[kind])
            # Nothing in memory is longer than the file, so neither is a count of things that take up room.
            if count > len(self._data):
                raise Broken(f"a count of {count} at byte {at} is more than the file holds")
            for _ in range(count):
                at = self._member(at, keyed, kind, depth)
            return at
        end = b"}" if keyed else b"]"
        while self._marker(at) != end:
            at = self._member(at, keyed, kind, depth)
        return at + 1

    def _member(self, at: int, keyed: bool, kind: bytes | None, depth: int) -> int:
        if keyed:
            at = self._text(at)
        return self.value(at, depth) if kind is None else self._content(kind, at, depth)

    def _text(self, at: int) -> int:
        length, at = self._integer(at)
        return self._skip(at, length)

    def _integer(self, at: int) -> tuple[int, int]:
        form = _INTEGERS.get(self._marker(at))
        if form is None:
            raise Broken(f"no length at byte {at}")
        end = self._skip(at + 1, struct.calcsize(form))
        number: int = struct.unpack_from(form, self._data, at + 1)[0]
        if number < 0:
            raise Broken(f"a length below zero at byte {at}")
        return number, end

    def _skip(self, at: int, width: int) -> int:
        if at + width > len(self._data):
            raise Broken(f"it ends at byte {len(self._data)}, in the middle of what begins at byte {at}")
        return at + width

    def _marker(self, at: int) -> bytes:
        if at >= len(self._data):
            raise Broken(f"it ends at byte {len(self._data)}, too early")
        return self._data[at : at + 1]
