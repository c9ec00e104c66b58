"""What the proof knows of a tensor: its batch axis, and the numbers of small tensors, which may be shapes."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from tidegate.serving.runtimes.onnx_rows.graph import Dims


class Unproven(Exception):
    """The message says which operator may let rows influence each other."""


@dataclass(frozen=True)
class RowMultiple:
    """A length that is ``factor`` times the number of rows."""

    factor: int


Number = int | float | RowMultiple | None
"""An element of a small constant or of a shape; None: not known, but the same for any rows."""


@dataclass(frozen=True)
class Value:
    """``axis``: the batch axis; None if the tensor is independent of rows. Along it are ``outer`` times all rows,
    each with ``dims[axis]`` consecutive entries that depend on that row alone. ``dims`` is None if the rank is
    unknown, which excludes a batch axis. ``numbers``: elements of a scalar or a vector; only shapes contain
    ``RowMultiple``."""

    dims: Dims | None
    axis: int | None = None
    numbers: tuple[Number, ...] | None = None
    outer: int = 1

    @property
    def counts(self) -> bool:
        """Whether it contains the number of rows: a shape, not data."""
        return any(isinstance(one, RowMultiple) for one in self.numbers or ())

    @property
    def ranked(self) -> Dims:
        if self.dims is None:
            raise Unproven("a tensor of unknown rank")
        return self.dims

    @property
    def batched(self) -> int:
        """The batch axis of a tensor that has one."""
        if self.axis is None:
            raise Unproven("a tensor without a batch axis")
        return self.axis

    @property
    def factor(self) -> int:
        """Entries along the batch axis for each row."""
        length = self.ranked[self.batched]
        assert length is not None
        return length

    @property
    def layout(self) -> tuple[int, int]:
        """The order of rows along the batch axis, which must be equal in tensors that are combined row by row."""
        return self.outer, self.factor

    @property
    def length(self) -> RowMultiple:
        """Length of the batch axis."""
        return RowMultiple(self.outer * self.factor)

    def with_dims(self, dims: Iterable[int | None], axis: int | None) -> "Value":
        """Another shape with the rows in the same layout."""
        return Value(tuple(dims), axis, outer=self.outer)

    def whole_numbers(self) -> tuple[int, ...]:
        """The elements of a tensor of axes or sizes, if all are known."""
        found = tuple(one for one in self.numbers or () if isinstance(one, int))
        if self.numbers is None or len(found) != len(self.numbers):
            raise Unproven("axes or sizes that are not constant")
        return found


def fixed(value: Value | None) -> Value:
    """A tensor that is independent of rows. Raises Unproven."""
    if value is None or value.axis is not None or value.counts:
        raise Unproven("a parameter that depends on the rows")
    return value


def given(inputs: Sequence[Value | None], number: int) -> Value | None:
    """An optional input."""
    return inputs[number] if number < len(inputs) else None


def all_fixed(inputs: Sequence[Value | None], first: int = 1) -> None:
    """Raises Unproven unless the inputs from ``first`` on are independent of rows."""
    for value in inputs[first:]:
        if value is not None:
            fixed(value)


def data(inputs: Sequence[Value | None], number: int = 0) -> Value:
    """A required input."""
    value = given(inputs, number)
    if value is None:
        raise Unproven("an input is missing")
    if value.counts:
        raise Unproven("the number of rows is computed with")
    return value


def place(axis: int, rank: int) -> int:
    """An axis counted from the front."""
    found = axis + rank if axis < 0 else axis
    if not 0 <= found < rank:
        raise Unproven("an axis beyond the rank")
    return found


def along(value: Value, axis: int) -> int:
    """An axis that an operator works along, counted from the front; it must not be the batch axis."""
    found = place(axis, len(value.ranked))
    if found == value.axis:
        raise Unproven("it works along the batch axis")
    return found


def leading(value: Value) -> Value:
    """A tensor whose batch axis, if it has one, is the first."""
    if value.axis not in (None, 0):
        raise Unproven("the batch axis is not the first")
    return value


def product(dims: Iterable[int | None]) -> int | None:
    """The product of lengths; None if one is unknown."""
    known = list(dims)
    return None if None in known else math.prod(one for one in known if one is not None)


def broadcast(values: Sequence[Value]) -> Value:
    """The result of an elementwise operator on tensors that are broadcast against each other.

    Batch axes must align; there, a tensor without batch axis must have length 1 or no such axis."""
    rank = max(len(value.ranked) for value in values)
    axes = {rank - len(value.ranked) + value.axis for value in values if value.axis is not None}
    layouts = {value.layout for value in values if value.axis is not None}
    if len(axes) > 1 or len(layouts) > 1:
        raise Unproven("it combines rows with rows")
    axis = next(iter(axes), None)
    dims = [_join([_at(value, place, rank) for value in values], place == axis) for place in range(rank)]
    return Value(tuple(dims), axis, outer=next(iter(layouts), (1, 1))[0])


Length = tuple[int | None, bool]
"""A length, and whether it is that of a batch axis."""


def _at(value: Value, place: int, rank: int) -> Length | None:
    own = place - (rank - len(value.ranked))
    return (value.ranked[own], own == value.axis) if own >= 0 else None


def _join(lengths: Sequence[Length | None], batch: bool) -> int | None:
    found = [one for one in lengths if one is not None]
    if batch:
        if any(length != 1 for length, is_batch in found if not is_batch):
            raise Unproven("it combines the batch axis with something of another length")
        return next(length for length, is_batch in found if is_batch)
    known = {length for length, _ in found if length not in (None, 1)}
    if known:
        return known.pop()
    return None if any(length is None for length, _ in found) else 1


def same(value: Value) -> Value:
    """A tensor of the same shape and batch axis, with other elements."""
    return replace(value, numbers=None)
