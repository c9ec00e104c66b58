"""The common body, ``{"instances": [[numbers], ...]}``, read into float32 in two calls to C.

Only what is plainly right is read here: whole rows of numbers within float32. Anything else, a missing value too, is
left to the reader that can say what is wrong with it (``codecs``).
"""

import struct

import msgspec


class _Plain(msgspec.Struct, forbid_unknown_fields=True):
    instances: list[list[float]]


_decode = msgspec.json.Decoder(_Plain).decode


class Packer:
    """For rows of ``count`` columns."""

    def __init__(self, count: int) -> None:
        self._pack = struct.Struct(f"={count}f").pack

    def rows(self, body: bytes) -> bytes | None:
        """The rows' float32 values, row by row; None where another reader has to look."""
        try:
            instances = _decode(body).instances
            if len(instances) == 1:
                return self._pack(*instances[0])
            return b"".join([self._pack(*row) for row in instances]) or None
        except (msgspec.DecodeError, struct.error, OverflowError):
            return None
