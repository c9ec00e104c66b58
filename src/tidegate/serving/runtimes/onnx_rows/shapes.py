"""Rules of operators that move, slice and concatenate axes. Source: the ONNX operator specification."""

import math
from collections.abc import Callable, Sequence

from tidegate.serving.runtimes.onnx_rows.graph import Node
from tidegate.serving.runtimes.onnx_rows.values import (
    Number,
    RowMultiple,
    Unproven,
    Value,
    all_fixed,
    along,
    broadcast,
    data,
    fixed,
    given,
    place,
    product,
    same,
)

Inputs = Sequence[Value | None]
"""None: an optional input that is not given."""
Rule = Callable[[Node, Inputs], list[Value]]
"""Returns what is known of an operator's outputs; outputs that are missing may depend on other rows. Raises
Unproven."""


def axes_of(node: Node, inputs: Inputs, number: int = 1) -> tuple[int, ...] | None:
    """The axes, from the attribute of older versions or the input of newer ones."""
    value = given(inputs, number)
    return value.whole_numbers() if value is not None else node.integers("axes")


def numbers_of(inputs: Inputs, number: int = 1) -> tuple[Number, ...]:
    """A shape, which may contain the number of rows."""
    value = given(inputs, number)
    if value is None or value.numbers is None or value.axis is not None:
        raise Unproven("a shape that is not known")
    return value.numbers


def reshape(node: Node, inputs: Inputs) -> list[Value]:
    value = data(inputs)
    target: tuple[Number, ...] = node.integers("shape") or () if len(inputs) < 2 else numbers_of(inputs)
    if not node.integer("allowzero", 0):
        target = tuple(_keep_dimension(value, at) if number == 0 else number for at, number in enumerate(target))
    return [reshaped(value, target)]


def _keep_dimension(value: Value, at: int) -> Number:
    if at >= len(value.ranked):
        raise Unproven("it keeps an axis beyond the rank")
    return value.length if at == value.axis else value.ranked[at]


def reshaped(value: Value, target: Sequence[Number]) -> Value:
    """Reshape a value. Elements keep their order: so many before the rows (``ahead``), and those of each row in
    blocks (``block``, None if unknown). Rows stay separate if the new shape has the same boundaries."""
    if value.axis is None:
        return _filled_in(value, target)
    before, after = product(value.ranked[: value.axis]), product(value.ranked[value.axis + 1 :])
    if before is None:
        raise Unproven("lengths that are not known")
    block = None if after is None else value.factor * after
    axis, outer = _batch_place(before * value.outer, target)
    found, rest = target[axis], list(target[axis + 1 :])
    sizes = product(one if isinstance(one, int) and one >= 0 else None for one in rest if one != -1)
    if isinstance(found, RowMultiple):
        factor = found.factor // outer if found.factor % outer == 0 else 0
        # A shape that does not fit is an error by the specification, but onnxruntime may rewrite it to one that does.
        fits = rest == [-1] or _fits(block, sizes, factor, rest)
    else:
        factor = block // sizes if block is not None and sizes else 0
        fits = -1 not in rest and _fits(block, sizes, factor, rest)
    if factor < 1 or not fits:
        raise Unproven("it may cut between rows at other places than before")
    dims: list[int | None] = [one if isinstance(one, int) and one >= 0 else None for one in target]
    dims[axis] = factor
    _fill_open(dims, target, axis, block)
    return Value(tuple(dims), axis, outer=outer)


def _fits(block: int | None, sizes: int | None, factor: int, rest: Sequence[Number]) -> bool:
    """Whether the new shape divides a row's block evenly."""
    if block is None or not sizes or factor < 1:
        return False
    return block % (factor * sizes) == 0 if -1 in rest else block == factor * sizes


def _fill_open(dims: list[int | None], target: Sequence[Number], axis: int, block: int | None) -> None:
    """The length that a -1 after the batch axis stands for."""
    open_ = [at for at in range(axis + 1, len(target)) if target[at] == -1]
    others = product(dims[at] for at in range(axis, len(target)) if at not in open_)
    if len(open_) == 1 and block is not None and others and block % others == 0:
        dims[open_[0]] = block // others


def _batch_place(ahead: int, target: Sequence[Number]) -> tuple[int, int]:
    """Position of the batch axis, and its ``outer``, with as many elements before the rows as before."""
    rows = [at for at, one in enumerate(target) if isinstance(one, RowMultiple)]
    candidates = rows or [at for at, one in enumerate(target) if one == -1]
    if len(candidates) != 1:
        raise Unproven("its new shape does not say where the rows are")
    [axis] = candidates
    known = [one for one in target[:axis] if isinstance(one, int) and one > 0]
    if len(known) != axis or ahead % math.prod(known):
        raise Unproven("it moves elements across the batch axis")
    return axis, ahead // math.prod(known)


def _filled_in(value: Value, target: Sequence[Number]) -> Value:
    if not all(isinstance(one, int) or one is None for one in target):
        raise Unproven("a parameter takes the shape of the rows")
    dims = [one if isinstance(one, int) and one >= 0 else None for one in target]
    size, rest = product(value.ranked), product(one for one in target if isinstance(one, int) and one >= 0)
    if list(target).count(-1) == 1 and None not in target and size is not None and rest:
        dims[list(target).index(-1)] = size // rest
    return value.with_dims(dims, None)


def flatten(node: Node, inputs: Inputs) -> list[Value]:
    value = data(inputs)
    dims = value.ranked
    cut = node.integer("axis", 1)
    cut = cut + len(dims) if cut < 0 else cut
    if value.axis is None:
        return [value.with_dims((product(dims[:cut]), product(dims[cut:])), None)]
    before = product(dims[:cut]) if value.axis >= cut else None
    after = product(dims[cut:]) if value.axis < cut else None
    return [reshaped(value, (-1, after) if value.axis < cut else (before, -1))]


def transpose(node: Node, inputs: Inputs) -> list[Value]:
    value = data(inputs)
    rank = len(value.ranked)
    order = node.integers("perm") or tuple(reversed(range(rank)))
    if sorted(order) != list(range(rank)):
        raise Unproven("an order of other axes")
    axis = None if value.axis is None else order.index(value.axis)
    return [value.with_dims((value.ranked[at] for at in order), axis)]


def squeeze(node: Node, inputs: Inputs) -> list[Value]:
    value = data(inputs)
    rank = len(value.ranked)
    axes = axes_of(node, inputs)
    if axes is None:
        if value.axis is not None or None in value.ranked:
            raise Unproven("it removes the batch axis of a single row")
        axes = tuple(at for at, length in enumerate(value.ranked) if length == 1)
    gone = {along(value, axis) for axis in axes}
    kept = [at for at in range(rank) if at not in gone]
    axis = None if value.axis is None else kept.index(value.axis)
    return [value.with_dims((value.ranked[at] for at in kept), axis)]


def unsqueeze(node: Node, inputs: Inputs) -> list[Value]:
    value = data(inputs)
    axes = axes_of(node, inputs)
    if not axes:
        raise Unproven("axes that are not known")
    rank = len(value.ranked) + len(axes)
    new = {place(axis, rank) for axis in axes}
    old = [at for at in range(rank) if at not in new]
    dims: list[int | None] = [1] * rank
    for at, length in zip(old, value.ranked, strict=True):
        dims[at] = length
    return [value.with_dims(dims, None if value.axis is None else old[value.axis])]


def expand(node: Node, inputs: Inputs) -> list[Value]:
    """Copies along axes of length 1; a parameter may be copied along the rows."""
    value, target = data(inputs), numbers_of(inputs)
    if any(isinstance(one, int) and one < 0 for one in target):
        raise Unproven("a shape with negative lengths")
    shape = _of_shape(target)
    if value.axis is not None and shape.axis is not None and value.length == shape.length:
        dims = list(shape.ranked)
        dims[shape.axis] = value.factor
        shape = value.with_dims(dims, shape.axis)
    return [broadcast([value, shape])]


def _of_shape(target: Sequence[Number]) -> Value:
    rows = [at for at, one in enumerate(target) if isinstance(one, RowMultiple)]
    if len(rows) > 1:
        raise Unproven("a tensor of rows by rows")
    dims = [
        one.factor if isinstance(one, RowMultiple) else one if isinstance(one, int) else None for one in target
    ]
    return Value(tuple(dims), rows[0] if rows else None)


def tile(node: Node, inputs: Inputs) -> list[Value]:
    value, repeats = data(inputs), numbers_of(inputs)
    dims: list[int | None] = []
    axis = value.axis
    for at, (length, times) in enumerate(zip(value.ranked, repeats, strict=True)):
        if isinstance(times, RowMultiple):
            if axis is not None or length is None:
                raise Unproven("it repeats rows")
            axis = at
            dims.append(length * times.factor)
        elif at == value.axis and times != 1:
            raise Unproven("it repeats rows")
        else:
            dims.append(length * times if isinstance(times, int) and length is not None else None)
    return [value.with_dims(dims, axis)]


def constant_of_shape(node: Node, inputs: Inputs) -> list[Value]:
    return [_of_shape(numbers_of(inputs, 0))]


def concat(node: Node, inputs: Inputs) -> list[Value]:
    values = [data(inputs, number) for number in range(len(inputs))]
    rank = len(values[0].ranked)
    axis = place(node.integer("axis", 1 if node.version < 4 else 0), rank)
    batch = {value.axis for value in values}
    layouts = {value.layout for value in values if value.axis is not None}
    if axis in batch or len(batch) > 1 or len(layouts) > 1 or any(len(value.ranked) != rank for value in values):
        raise Unproven("it joins rows with something else")
    lengths = [value.ranked[axis] for value in values]
    dims = list(values[0].ranked)
    dims[axis] = None if None in lengths else sum(one for one in lengths if one is not None)
    return [values[0].with_dims(dims, values[0].axis)]


def split(node: Node, inputs: Inputs) -> list[Value]:
    value = data(inputs)
    axis = along(value, node.integer("axis", 0))
    if given(inputs, 1) is not None:
        sizes: Sequence[int | None] = fixed(inputs[1]).whole_numbers()
    else:
        sizes = node.integers("split") or _even(value.ranked[axis], len(node.outputs))
    found = []
    for size in sizes:
        dims = list(value.ranked)
        dims[axis] = size
        found.append(value.with_dims(dims, value.axis))
    return found


def _even(length: int | None, parts: int) -> list[int | None]:
    return [length // parts if length is not None and length % parts == 0 else None] * parts


_END = (1 << 31) - 1
"""An end from here on means that of the axis."""


def slices(node: Node, inputs: Inputs) -> list[Value]:
    value = data(inputs)
    all_fixed(inputs)
    if len(inputs) > 1:
        starts, ends, axes, steps = (_bounds(given(inputs, number)) for number in range(1, 5))
        count = product(fixed(inputs[1]).ranked)
    else:
        starts, ends, axes, steps = node.integers("starts"), node.integers("ends"), node.integers("axes"), None
        count = len(starts or ())
    if count is None or (axes is None and given(inputs, 3) is not None):
        raise Unproven("axes that are not known")
    dims = list(value.ranked)
    for number, axis in enumerate(axes or range(count)):
        at = place(axis, len(dims))
        bounds = tuple(None if some is None else some[number] for some in (starts, ends, steps or (1,) * count))
        if at != value.axis:
            dims[at] = _slice_length(dims[at], *bounds)
        elif bounds[0] != 0 or bounds[2] != 1 or bounds[1] is None or bounds[1] < _END:
            raise Unproven("it takes some of the rows")
    return [value.with_dims(dims, value.axis)]


def _bounds(value: Value | None) -> tuple[int, ...] | None:
    """The bounds of a slice; None if they are absent or unknown."""
    return None if value is None or value.numbers is None else fixed(value).whole_numbers()


def _slice_length(length: int | None, start: int | None, end: int | None, step: int | None) -> int | None:
    if length is None or start is None or end is None or step is None or step < 1:
        return None
    return len(range(length)[start:end:step])


def gather(node: Node, inputs: Inputs) -> list[Value]:
    """Gather: the entries at the indices replace one axis."""
    value, indices = data(inputs), data(inputs, 1)
    if value.axis is not None and indices.axis is not None:
        raise Unproven("it picks from rows by rows")
    axis = along(value, node.integer("axis", 0))
    dims = (*value.ranked[:axis], *indices.ranked, *value.ranked[axis + 1 :])
    batch = None
    if indices.axis is not None:
        batch = axis + indices.axis
    elif value.axis is not None:
        batch = value.axis if value.axis < axis else value.axis + len(indices.ranked) - 1
    return [(value if indices.axis is None else indices).with_dims(dims, batch)]


def gather_elements(node: Node, inputs: Inputs) -> list[Value]:
    value, indices = data(inputs), data(inputs, 1)
    along(value, node.integer("axis", 0))
    same_rank = len(value.ranked) == len(indices.ranked)
    if value.axis != indices.axis or not same_rank or (value.axis is not None and value.layout != indices.layout):
        raise Unproven("it picks from other rows")
    return [same(indices)]


def pad(node: Node, inputs: Inputs) -> list[Value]:
    value = data(inputs)
    all_fixed(inputs)
    rank = len(value.ranked)
    axes: Sequence[int] = range(rank)
    if len(inputs) < 2:
        pads = node.integers("pads") or node.integers("paddings") or ()
    else:
        pads = fixed(inputs[1]).whole_numbers()
        if given(inputs, 3) is not None:
            axes = [place(axis, rank) for axis in fixed(inputs[3]).whole_numbers()]
    if len(pads) != 2 * len(axes):
        raise Unproven("pads of another rank")
    dims = list(value.ranked)
    for number, axis in enumerate(axes):
        added = pads[number], pads[number + len(axes)]
        if axis == value.axis and added != (0, 0):
            raise Unproven("it adds rows or takes them away")
        length = dims[axis]
        dims[axis] = None if length is None else length + sum(added)
    return [value.with_dims(dims, value.axis)]


def resize(node: Node, inputs: Inputs) -> list[Value]:
    """Upsample, and Resize by scales or sizes; they must not change the batch axis."""
    value = data(inputs)
    rank = len(value.ranked)
    if any(one is not None and one.axis is not None for one in inputs[1:]):
        raise Unproven("a size that depends on the rows")
    named = node.integers("axes")
    axes = [place(axis, rank) for axis in named] if named is not None else list(range(rank))
    scales = given(inputs, 2 if node.op == "Resize" and node.version > 10 else 1)
    sizes = given(inputs, 3)
    if value.axis in axes:
        at = axes.index(value.axis)
        sides = scales if scales is not None and scales.numbers else sizes
        wanted: Number = value.length if sides is sizes else 1
        if (
            sides is None
            or sides.numbers is None
            or len(sides.numbers) != len(axes)
            or sides.numbers[at] != wanted
        ):
            raise Unproven("it may scale along the batch axis")
    dims = [None if at in axes and at != value.axis else length for at, length in enumerate(value.ranked)]
    return [value.with_dims(dims, value.axis)]


def one_hot(node: Node, inputs: Inputs) -> list[Value]:
    value = data(inputs)
    all_fixed(inputs)
    new = place(node.integer("axis", -1), len(value.ranked) + 1)
    dims: list[int | None] = list(value.ranked)
    dims.insert(new, None)
    batch = value.axis
    if batch is not None and new <= batch:
        batch += 1
    return [value.with_dims(dims, batch)]
