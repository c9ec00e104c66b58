"""A forest of regression trees in four flat arrays: about 7 bytes per node, evaluated by numpy alone.

A loaded XGBoost model takes 8 times and an onnxruntime session 26 to 86 times the memory of the same trees here; for
one row the library is 8 to 10 times slower. That is why many models fit into one process. Children are adjacent, so
that one index names both. A leaf is its own child: it compares an additional column, which is below any threshold,
and its threshold is its value. Sums are computed in the library's order, in float32, and equal its own bit by bit.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from tidegate.domain.decoding import prepare_type
from tidegate.serving.formats.column_values import ValueKind
from tidegate.serving.runtimes.objectives import LINKS, Matrix

MAGIC = b"TGF1"
_WHOLE = 40_000
"""Nodes up to which all nodes of a row are compared at once, which is faster than descending level by level."""
_CHUNK = 1 << 18
"""Pairs of row and tree that are evaluated at a time, which bounds the memory of a large request."""


class DamagedForest(ValueError):
    """The bytes are not a complete forest of this format."""


class Head(msgspec.Struct, frozen=True):
    """The header of a forest, before its arrays."""

    mark: str
    """Mark of the artifact that it was built from."""
    objective: str
    features: int
    base: tuple[float, ...]
    """Initial sum of each output."""
    trees: tuple[int, ...]
    """Number of trees of each output; the trees are in the order of the outputs."""
    nodes: int
    depth: int
    names: tuple[str, ...] | None = None
    kinds: tuple[ValueKind, ...] | None = None
    """Kind of each feature; None: all are numbers."""


@dataclass(frozen=True, slots=True)
class Arrays:
    """The nodes. ``left``: index of the left child, which the right one follows. ``right_by_default``: bits; set
    where a missing value goes to the right."""

    limits: NDArray[np.float32]
    left: NDArray[Any]
    features: NDArray[Any]
    right_by_default: NDArray[np.uint8]
    roots: NDArray[Any]


class Forest:
    """A forest. Immutable, and so thread-safe."""

    __slots__ = ("_arrays", "_base", "_link", "head")

    def __init__(self, head: Head, arrays: Arrays) -> None:
        self.head = head
        self._arrays = arrays
        self._base = np.array(head.base, np.float32)
        self._link = LINKS[head.objective][0]

    def predict(self, rows: Matrix) -> Matrix:
        """One prediction per row, or a row of predictions if there are several outputs."""
        return self._link(self.sums(rows))

    def looks_at_first(self) -> bool:
        """Whether a split uses the first feature."""
        return bool((self._arrays.features == 0).any())

    def sums(self, rows: Matrix) -> Matrix:
        """The margins, in the shape of ``predict``."""
        step = max(1, _CHUNK // len(self._arrays.roots))
        if len(rows) <= step:
            return self._sum(self._evaluate_leaves(rows))
        parts = [self._sum(self._evaluate_leaves(rows[at : at + step])) for at in range(0, len(rows), step)]
        return np.concatenate(parts)

    def _evaluate_leaves(self, rows: Matrix) -> Matrix:
        """The value of the leaf that each row reaches in each tree."""
        arrays, features = self._arrays, self.head.features
        wide = np.empty((len(rows), features + 1), np.float32)
        wide[:, :features] = rows
        wide[:, features] = -np.inf
        missing = bool(np.isnan(rows).any())
        at = arrays.roots
        if len(rows) == 1 and self.head.nodes <= _WHOLE:
            values = wide[0].take(arrays.features)
            right = values >= arrays.limits
            if missing:
                right |= np.isnan(values) & self._default()
            child = arrays.left + right
            for _ in range(self.head.depth):
                at = child.take(at)
            return arrays.limits.take(at)[None]
        return self._descend(wide, missing)

    def _descend(self, wide: Matrix, missing: bool) -> Matrix:
        arrays = self._arrays
        flat = wide.ravel()
        offsets = (np.arange(len(wide)) * wide.shape[1])[:, None]
        at: NDArray[Any] = np.broadcast_to(arrays.roots, (len(wide), len(arrays.roots)))
        default = self._default() if missing else None
        for _ in range(self.head.depth):
            values = flat.take(offsets + arrays.features.take(at))
            right = values >= arrays.limits.take(at)
            if default is not None:
                right |= np.isnan(values) & default.take(at)
            at = arrays.left.take(at) + right
        return arrays.limits.take(at)

    def _default(self) -> NDArray[np.bool_]:
        return np.unpackbits(self._arrays.right_by_default, count=self.head.nodes).view(np.bool_)

    def _sum(self, leaves: Matrix) -> Matrix:
        outputs, begin = [], 0
        for base, trees in zip(self._base, self.head.trees, strict=True):
            terms = np.empty((len(leaves), trees + 1), np.float32)
            terms[:, 0] = base
            terms[:, 1:] = leaves[:, begin : begin + trees]
            outputs.append(np.add.accumulate(terms, axis=1)[:, -1])
            begin += trees
        return outputs[0] if len(outputs) == 1 else np.stack(outputs, axis=1)


# --- bytes ---


def pack(head: Head, arrays: Arrays) -> bytes:
    """Serialise a forest with a checksum; the format on disk and in memory."""
    header = msgspec.json.encode(head)
    header += b" " * (-(len(header) + 12) % 8)
    body = len(header).to_bytes(4, "little") + header + b"".join(bytes(array.data) for array in _order(arrays))
    return MAGIC + zlib.crc32(body).to_bytes(4, "little") + body


def unpack(data: bytes) -> Forest:
    """Deserialise a forest, whose arrays share the memory of ``data``. Raises DamagedForest."""
    if data[:4] != MAGIC or len(data) < 12:
        raise DamagedForest("it does not begin like a forest")
    if zlib.crc32(memoryview(data)[8:]) != int.from_bytes(data[4:8], "little"):
        raise DamagedForest("its checksum differs")
    at = 12 + int.from_bytes(data[8:12], "little")
    head = msgspec.json.decode(data[12:at], type=prepare_type(Head))
    nodes, found = head.nodes, []
    index = index_type(nodes)
    for kind, count in (
        (np.dtype(np.float32), nodes),
        (np.dtype(np.uint32), sum(head.trees)),
        (index, nodes),
        (index_type(head.features + 1), nodes),
        (np.dtype(np.uint8), -(-nodes // 8)),
    ):
        found.append(np.frombuffer(data, kind, count, at))
        at += kind.itemsize * count
    limits, roots, left, features, bits = found
    return Forest(head, Arrays(limits, left, features, bits, roots))


def _order(arrays: Arrays) -> Sequence[NDArray[Any]]:
    """The arrays with the widest types first, so that each is aligned."""
    return arrays.limits, arrays.roots, arrays.left, arrays.features, arrays.right_by_default


def index_type(count: int) -> "np.dtype[Any]":
    """The smallest unsigned type for ``count`` indexes."""
    return np.dtype(np.uint8 if count <= 1 << 8 else np.uint16 if count <= 1 << 16 else np.uint32)
