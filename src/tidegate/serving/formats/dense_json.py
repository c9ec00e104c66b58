"""Parses the most common body, ``{"instances": [[numbers], ...]}``, to floats in two calls to C.

Only complete rows of representable numbers under one key are parsed here. Everything else, missing values
included, is left to ``row_decoder``, which can report errors.
"""

import struct
from collections.abc import Sequence

import msgspec

from tidegate.domain.decoding import prepare_type

_FLAGS = (0.0, 1.0)


class _Plain(msgspec.Struct, forbid_unknown_fields=True):
    instances: list[list[float]]


_LAST_QUOTE = len('{"instances":[],"instances') - 1
"""One less than the first possible position of the quote that ends a second key."""
_decode = msgspec.json.Decoder(prepare_type(_Plain)).decode


class Packer:
    """A parser for rows of ``count`` columns; ``code`` of ``struct``: f for float32, d for float64."""

    def __init__(self, count: int, code: str = "f", whole: Sequence[int] = (), flags: Sequence[int] = ()) -> None:
        """``whole``, ``flags``: columns of whole numbers, and of 0 or 1."""
        self._pack = struct.Struct(f"={count}{code}").pack
        self._whole = tuple(whole)
        self._flags = tuple(flags)

    def rows(self, body: bytes) -> bytes | None:
        """The values, row by row; None if the general parser is needed."""
        if body.rfind(b'"') > _LAST_QUOTE:
            return None  # there may be a second key, and the decoder would use the last one
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
