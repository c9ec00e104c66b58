"""Operators on shapes: small integer vectors, some of whose elements may be the number of rows times a constant.

What cannot be represented so (rows plus one, a root of the number of rows) ends the proof: an answer that depends on
the number of rows is different in a batch.
"""

import math
from collections.abc import Callable, Sequence
from itertools import islice

from tidegate.serving.runtimes.onnx_rows.graph import SMALL, Constant, Node
from tidegate.serving.runtimes.onnx_rows.values import Number, RowMultiple, Unproven, Value

_INTEGERS = (6, 7, 9)
"""TensorProto's int32, int64 and bool."""
Numbers = tuple[Number, ...]


def compute(node: Node, inputs: Sequence[Value | None]) -> Value | None:
    """The result if all inputs are known numbers; None if the operator is not supported here."""
    rule = _RULES.get(node.op) if node.domain == "" else None
    if rule is None:
        return None
    given = [value for value in inputs if value is not None]
    if any(value.numbers is None or value.dims is None or len(value.dims) > 1 for value in given):
        return None
    return rule(node, inputs)


def from_constant(constant: Constant) -> Value:
    vector = len(constant.dims) <= 1
    return Value(constant.dims, None, constant.numbers if vector else None)


def shape_of(node: Node, value: Value) -> Value:
    dims = value.ranked
    numbers = [value.length if axis == value.axis else length for axis, length in enumerate(dims)]
    begin, end = node.integer("start", 0), node.integer("end", len(dims))
    return _vector(tuple(numbers[begin:end]))


def _vector(numbers: Numbers) -> Value:
    return Value((len(numbers),), None, numbers)


def _numbers(inputs: Sequence[Value | None], number: int) -> Numbers:
    value = inputs[number] if number < len(inputs) else None
    assert value is None or value.numbers is not None
    return () if value is None or value.numbers is None else value.numbers


def _integers(inputs: Sequence[Value | None], number: int) -> tuple[int, ...]:
    found = _numbers(inputs, number)
    if not all(isinstance(one, int) for one in found):
        raise Unproven("it picks from a shape by something that is not constant")
    return tuple(one for one in found if isinstance(one, int))


def _same(node: Node, inputs: Sequence[Value | None]) -> Value | None:
    return inputs[0]


def _cast(node: Node, inputs: Sequence[Value | None]) -> Value | None:
    value = inputs[0]
    if node.integer("to", 0) in _INTEGERS:
        return value if value is None or all(not isinstance(one, float) for one in value.numbers or ()) else None
    return None


def _gather(node: Node, inputs: Sequence[Value | None]) -> Value | None:
    data, picked = _numbers(inputs, 0), _integers(inputs, 1)
    if any(not -len(data) <= one < len(data) for one in picked) or node.integer("axis", 0) not in (0, -1):
        raise Unproven("it picks from a shape beyond its length")
    indices = inputs[1]
    assert indices is not None
    return Value(indices.dims, None, tuple(data[one] for one in picked))


def _slice(node: Node, inputs: Sequence[Value | None]) -> Value | None:
    data = _numbers(inputs, 0)
    if len(inputs) > 1:
        starts, ends, steps = _integers(inputs, 1), _integers(inputs, 2), _integers(inputs, 4) or (1,)
    else:
        starts, ends, steps = node.integers("starts") or (), node.integers("ends") or (), (1,)
    if len(starts) != 1 or len(ends) != 1 or steps[0] == 0:
        raise Unproven("it cuts a shape in an unusual way")
    return _vector(data[slice(_limit(starts[0]), _limit(ends[0]), steps[0])])


def _limit(index: int) -> int:
    return max(-(1 << 31), min(1 << 31, index))


def _concat(node: Node, inputs: Sequence[Value | None]) -> Value | None:
    return _vector(sum((_numbers(inputs, number) for number in range(len(inputs))), ()))


def _unsqueeze(node: Node, inputs: Sequence[Value | None]) -> Value | None:
    value = inputs[0]
    return _vector(value.numbers or ()) if value is not None and value.dims == () else None


def _squeeze(node: Node, inputs: Sequence[Value | None]) -> Value | None:
    value = inputs[0]
    assert value is not None
    return Value((), None, value.numbers) if len(value.numbers or ()) == 1 else None


def _reshape(node: Node, inputs: Sequence[Value | None]) -> Value | None:
    target = _integers(inputs, 1)
    value = inputs[0]
    assert value is not None
    return (
        Value((), None, value.numbers)
        if not target
        else _vector(value.numbers or ())
        if len(target) == 1
        else None
    )


def _elementwise(operate: Callable[[Number, Number], Number]) -> Callable[[Node, Sequence[Value | None]], Value]:
    def rule(node: Node, inputs: Sequence[Value | None]) -> Value:
        left, right = _numbers(inputs, 0), _numbers(inputs, 1)
        length = max(len(left), len(right))
        if len(left) not in (1, length) or len(right) not in (1, length):
            raise Unproven("shapes of different length")
        pairs = zip(left * (length // len(left)), right * (length // len(right)), strict=True)
        found = tuple(operate(one, other) for one, other in pairs)
        vector = any(value is not None and value.dims != () for value in inputs)
        return Value((length,) if vector else (), None, found)

    return rule


def _known(operate: Callable[[int, int], Number]) -> Callable[[Number, Number], Number]:
    """Lift an operation on integers: unknown if an operand is, and an error for the number of rows."""

    def apply(one: Number, other: Number) -> Number:
        if isinstance(one, RowMultiple) or isinstance(other, RowMultiple):
            raise Unproven("it computes with the number of rows")
        if isinstance(one, int) and isinstance(other, int):
            return operate(one, other)
        return None

    return apply


def _multiply(one: Number, other: Number) -> Number:
    if isinstance(other, RowMultiple):
        one, other = other, one
    if isinstance(one, RowMultiple) and isinstance(other, int) and other > 0:
        return RowMultiple(one.factor * other)
    return _known(lambda a, b: a * b)(one, other)


def _divide(one: Number, other: Number) -> Number:
    if isinstance(one, RowMultiple):
        by = other.factor if isinstance(other, RowMultiple) else other
        if isinstance(by, int) and by > 0 and one.factor % by == 0:
            return one.factor // by if isinstance(other, RowMultiple) else RowMultiple(one.factor // by)
    return _known(lambda a, b: math.trunc(a / b) if b and abs(a) < 1 << 50 else None)(one, other)


def _equal(one: Number, other: Number) -> Number:
    for rows, number in ((one, other), (other, one)):
        if isinstance(rows, RowMultiple) and isinstance(number, int) and number < 1:
            return 0
    return _known(lambda a, b: int(a == b))(one, other)


def _where(node: Node, inputs: Sequence[Value | None]) -> Value | None:
    asked, one, other = (_numbers(inputs, number) for number in range(3))
    length = max(len(asked), len(one), len(other))
    if not asked or None in asked or any(len(part) not in (1, length) for part in (asked, one, other)):
        raise Unproven("it chooses a shape by something that is not constant")
    parts = (part * (length // len(part)) for part in (asked, one, other))
    return _vector(tuple(yes if choice else no for choice, yes, no in zip(*parts, strict=True)))


def _fill(node: Node, inputs: Sequence[Value | None]) -> Value | None:
    """ConstantOfShape of a short vector; larger ones are data."""
    shape = _numbers(inputs, 0)
    fill = node.attributes.get("value")
    number: Number = 0
    if isinstance(fill, Constant):
        number = fill.numbers[0] if fill.numbers else None
    if len(shape) == 1 and isinstance(shape[0], int) and 0 <= shape[0] <= SMALL:
        return _vector((number,) * shape[0])
    return None


def _product(node: Node, inputs: Sequence[Value | None]) -> Value | None:
    total: Number = 1
    for number in _numbers(inputs, 0):
        total = _multiply(total, number)
    return Value((1,) if node.integer("keepdims", 1) else (), None, (total,))


def _range(node: Node, inputs: Sequence[Value | None]) -> Value | None:
    start, limit, step = (_integers(inputs, number)[0] for number in range(3))
    numbers = tuple(islice(range(start, limit, step or 1), SMALL + 1))
    return _vector(numbers) if len(numbers) <= SMALL else None


_RULES: dict[str, Callable[[Node, Sequence[Value | None]], Value | None]] = {
    "Identity": _same,
    "Cast": _cast,
    "Gather": _gather,
    "Slice": _slice,
    "Concat": _concat,
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    "Reshape": _reshape,
    "Add": _elementwise(_known(lambda a, b: a + b)),
    "Sub": _elementwise(_known(lambda a, b: a - b)),
    "Mul": _elementwise(_multiply),
    "Div": _elementwise(_divide),
    "Mod": _elementwise(_known(lambda a, b: a % b if a >= 0 and b > 0 else None)),
    "Equal": _elementwise(_equal),
    "Where": _where,
    "ConstantOfShape": _fill,
    "ReduceProd": _product,
    "Range": _range,
}
