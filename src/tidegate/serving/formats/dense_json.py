"""The common body, ``{"instances": [[numbers], ...]}``, read into floats in two calls to C.

Only what is plainly right is read here: whole rows of numbers that the type holds, under one key. Anything else, a
missing value too, is left to the reader that can say what is wrong with it (``codecs``).
"""

import struct
from collections.abc import Sequence

import msgspec

_FLAGS = (0.0, 1.0)


class _Plain(msgspec.Struct, forbid_unknown_fields=True):
    instances: list[list[float]]


_LAST_QUOTE = len('{"instances":[],"instances') - 1
"""Where the quote that ends a second key may be at the earliest, less one."""
_decode = msgspec.json.Decoder(_Plain).decode


class Packer:
    """For rows of ``count`` columns; ``code`` is that of ``struct``: f for float32, d for float64."""

    def __init__(self, count: int, code: str = "f", whole: Sequence[int] = (), flags: Sequence[int] = ()) -> None:
        """``whole``, ``flags``: columns of whole numbers, and of 0 or 1."""
        self._pack = struct.Struct(f"={count}{code}").pack
        self._whole = tuple(whole)
        self._flags = tuple(flags)

    def rows(self, body: bytes) -> bytes | None:
        """The rows' values, row by row; None where another reader has to look."""
        if body.rfind(b'"') > _LAST_QUOTE:
            return None  # there may be a second key, of which the decoder would take the last
        try:
            instances = _decode(body).instances
            if (self._whole or self._flags) and not self._fit(instances):
                return None
            if len(instances) == 1:
                return self._pack(*instances[0])
            return b"".join([self._pack(*row) for row in instances]) or None
        except (msgspec.DecodeError, struct.error, OverflowError, IndexError):
            return None

    def _fit(self, rows: list[list[float]]) -> bool:
        for row in rows:
            for at in self._whole:
                if not row[at].is_integer():
                    return False
            for at in self._flags:
                if row[at] not in _FLAGS:
                    return False
        return True
