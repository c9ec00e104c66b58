"""Rules of products, convolutions, pools, norms, reductions and recurrent layers. Source: the ONNX operator
specification, and onnxruntime's for the operators of ``com.microsoft``."""

import math
from collections.abc import Sequence

from tidegate.serving.runtimes.onnx_rows.graph import Dims, Node
from tidegate.serving.runtimes.onnx_rows.shapes import Inputs, Rule, axes_of
from tidegate.serving.runtimes.onnx_rows.values import (
    Unproven,
    Value,
    all_fixed,
    along,
    broadcast,
    data,
    fixed,
    given,
    leading,
    place,
    same,
)

# --- products ---


def multiply(left: Value, right: Value) -> Value:
    """MatMul: the summed axes must not be batch axes, and rows are multiplied with themselves only."""
    if len(left.ranked) == 1:
        refuse_batch(left)
        return _without(multiply(Value((1, *left.ranked)), right), -2)
    if len(right.ranked) == 1:
        refuse_batch(right)
        return _without(multiply(left, Value((*right.ranked, 1))), -1)
    along(left, -1)
    along(right, -2)
    outer = broadcast([_outer(left), _outer(right)])
    rank = len(outer.ranked) + 2
    layouts = [(outer.axis, outer.layout)] if outer.axis is not None else []
    if left.axis == len(left.ranked) - 2:
        layouts.append((rank - 2, left.layout))
    if right.axis == len(right.ranked) - 1:
        layouts.append((rank - 1, right.layout))
    if len(layouts) > 1:
        raise Unproven("it multiplies rows by rows")
    axis, (repeats, _) = layouts[0] if layouts else (None, (1, 1))
    return Value((*outer.ranked, left.ranked[-2], right.ranked[-1]), axis, outer=repeats)


def refuse_batch(value: Value) -> None:
    if value.axis is not None:
        raise Unproven("it works along the batch axis")


def _outer(value: Value) -> Value:
    """The axes before the matrix."""
    dims = value.ranked[:-2]
    return value.with_dims(dims, value.axis if value.axis is not None and value.axis < len(dims) else None)


def _without(value: Value, axis: int) -> Value:
    gone = along(value, axis)
    dims = (*value.ranked[:gone], *value.ranked[gone + 1 :])
    return value.with_dims(dims, value.axis if value.axis is None or value.axis < gone else value.axis - 1)


def _transpose_last(value: Value) -> Value:
    """With the last two axes exchanged."""
    dims = value.ranked
    last, before = len(dims) - 1, len(dims) - 2
    axis = {last: before, before: last}.get(value.axis, value.axis) if value.axis is not None else None
    return value.with_dims((*dims[:-2], dims[-1], dims[-2]), axis)


def matmul(node: Node, inputs: Inputs) -> list[Value]:
    return [multiply(data(inputs), data(inputs, 1))]


def fused_matmul(node: Node, inputs: Inputs) -> list[Value]:
    if node.integer("transBatchA", 0) or node.integer("transBatchB", 0):
        raise Unproven("it moves the axes before the matrix")
    left, right = data(inputs), data(inputs, 1)
    left = _transpose_last(left) if node.integer("transA", 0) else left
    return [multiply(left, _transpose_last(right) if node.integer("transB", 0) else right)]


def integer_matmul(node: Node, inputs: Inputs) -> list[Value]:
    """MatMulInteger and MatMulIntegerToFloat: scales and zero points must be constants."""
    all_fixed(inputs, 2)
    return matmul(node, inputs)


def quantized_matmul(node: Node, inputs: Inputs) -> list[Value]:
    """QLinearMatMul: a, its scale and zero point, b, its own, and the result's."""
    for number in (1, 2, 4, 5, 6, 7):
        fixed(data(inputs, number))
    return [multiply(data(inputs), data(inputs, 3))]


def gemm(node: Node, inputs: Inputs) -> list[Value]:
    added = [data(inputs, 2)] if given(inputs, 2) is not None else []
    return [_gemm(node, data(inputs), data(inputs, 1), added)]


def quantized_gemm(node: Node, inputs: Inputs) -> list[Value]:
    """com.microsoft's QGemm."""
    for number in (1, 2, 4, 5, 7, 8):
        if given(inputs, number) is not None:
            fixed(inputs[number])
    added = [fixed(inputs[6])] if given(inputs, 6) is not None else []
    return [_gemm(node, data(inputs), data(inputs, 3), added)]


def _gemm(node: Node, left: Value, right: Value, added: list[Value]) -> Value:
    if len(left.ranked) != 2 or len(right.ranked) != 2:
        raise Unproven("it is no product of two matrices")
    left = _transpose_last(left) if node.integer("transA", 0) else left
    right = _transpose_last(right) if node.integer("transB", 0) else right
    found = multiply(left, right)
    if not added:
        return found
    joined = broadcast([found, *added])
    if joined.axis != found.axis or len(joined.ranked) != 2:
        raise Unproven("it adds rows to something else")
    return found


def einsum(node: Node, inputs: Inputs) -> list[Value]:
    terms, _, result = node.text("equation", "").replace(" ", "").partition("->")
    parts = terms.split(",")
    values = [data(inputs, number) for number in range(len(inputs))]
    if not result.isalpha() or len(parts) != len(values) or not all(part.isalpha() for part in parts):
        raise Unproven("an equation that is not covered")
    lengths: dict[str, int | None] = {}
    batch: set[str] = set()
    for part, value in zip(parts, values, strict=True):
        if len(part) != len(value.ranked):
            raise Unproven("an equation of another rank")
        for letter, length in zip(part, value.ranked, strict=True):
            lengths[letter] = length if lengths.get(letter, length) == length else None
        if value.axis is not None:
            batch.add(part[value.axis])
            if part.count(part[value.axis]) > 1:
                raise Unproven("it takes a diagonal of rows")
    if not batch:
        return [Value(tuple(lengths[letter] for letter in result))]
    letter = next(iter(batch))
    meets = [
        value.axis is not None and part[value.axis] == letter for part, value in zip(parts, values, strict=True)
    ]
    strays = any(letter in part and not meet for part, meet in zip(parts, meets, strict=True))
    layouts = {value.layout for value in values if value.axis is not None}
    if len(batch) > 1 or strays or result.count(letter) != 1 or len(layouts) > 1:
        raise Unproven("it sums over rows or combines them")
    outer, factor = layouts.pop()
    dims = [factor if one == letter else lengths[one] for one in result]
    return [Value(tuple(dims), result.index(letter), outer=outer)]


# --- convolutions and pools ---


def conv(node: Node, inputs: Inputs) -> list[Value]:
    all_fixed(inputs)
    return [_convolve(node, leading(data(inputs)), data(inputs, 1))]


def quantized_conv(node: Node, inputs: Inputs) -> list[Value]:
    """QLinearConv: x, its scale and zero point, w, ..."""
    all_fixed(inputs)
    return [_convolve(node, leading(data(inputs)), data(inputs, 3))]


def _convolve(node: Node, value: Value, weights: Value) -> Value:
    kernel = node.integers("kernel_shape") or weights.ranked[2:]
    return value.with_dims((value.ranked[0], weights.ranked[0], *_windows(node, value.ranked, kernel)), value.axis)


def conv_transpose(node: Node, inputs: Inputs) -> list[Value]:
    all_fixed(inputs)
    value = leading(data(inputs))
    return [value.with_dims((value.ranked[0], *[None] * (len(value.ranked) - 1)), value.axis)]


def pool(node: Node, inputs: Inputs) -> list[Value]:
    """Pooling, without MaxPool's second output, which has positions within the whole batch."""
    all_fixed(inputs)
    value = leading(data(inputs))
    kernel = node.integers("kernel_shape") or ()
    return [value.with_dims((*value.ranked[:2], *_windows(node, value.ranked, kernel)), value.axis)]


def global_pool(node: Node, inputs: Inputs) -> list[Value]:
    all_fixed(inputs)
    value = leading(data(inputs))
    if len(value.ranked) < 3:
        raise Unproven("no axes to pool over")
    ones = [1] * (len(value.ranked) - 2)
    last = node.integer("channels_last", 0)
    dims = (value.ranked[0], *ones, value.ranked[-1]) if last else (*value.ranked[:2], *ones)
    return [value.with_dims(dims, value.axis)]


def _windows(node: Node, dims: Dims, kernel: Sequence[int | None]) -> list[int | None]:
    """Lengths of the axes after the first two, after a window of this size."""
    count = len(dims) - 2
    if len(kernel) != count or count < 1 or node.integer("channels_last", 0):
        raise Unproven("a window of another rank")
    strides = node.integers("strides") or (1,) * count
    dilations = node.integers("dilations") or (1,) * count
    pads = node.integers("pads") or (0,) * 2 * count
    mode = node.text("auto_pad", "NOTSET")
    found: list[int | None] = []
    for at, (length, size) in enumerate(zip(dims[2:], kernel, strict=True)):
        if length is None or size is None:
            found.append(None)
        elif mode in ("SAME_UPPER", "SAME_LOWER"):
            found.append(math.ceil(length / strides[at]))
        else:
            padded = length if mode == "VALID" else length + pads[at] + pads[at + count]
            room = (padded - dilations[at] * (size - 1) - 1) / strides[at]
            # Implementations differ on the last window in ceil mode.
            found.append(None if node.integer("ceil_mode", 0) and room % 1 else math.floor(room) + 1)
    return found


# --- norms ---


def batch_norm(node: Node, inputs: Inputs) -> list[Value]:
    """BatchNormalization, with the statistics of training and not of the batch."""
    all_fixed(inputs)
    training = node.integer("training_mode", 0) or sum(map(bool, node.outputs)) > 1
    if training or node.version < 7:
        raise Unproven("it takes mean and variance from the batch")
    value = leading(data(inputs))
    if len(value.ranked) < 2:
        raise Unproven("no channels beside the batch axis")
    return [same(value)]


def channel_norm(node: Node, inputs: Inputs) -> list[Value]:
    """Norms of each entry's own channels, such as InstanceNormalization, GroupNormalization and LRN."""
    all_fixed(inputs)
    value = leading(data(inputs))
    if len(value.ranked) < 3:
        raise Unproven("no axes to normalize over")
    return [same(value)]


def layer_norm(node: Node, inputs: Inputs) -> list[Value]:
    """Over all axes from one on."""
    all_fixed(inputs)
    value = data(inputs)
    first = place(node.integer("axis", -1), len(value.ranked))
    return [_normalize(value, first, inputs[1:])]


def skip_norm(node: Node, inputs: Inputs) -> list[Value]:
    """com.microsoft's SkipLayerNormalization: the norm of a sum."""
    all_fixed(inputs, 2)
    value = broadcast([data(inputs), data(inputs, 1)])
    return [_normalize(value, len(value.ranked) - 1, inputs[2:])]


def _normalize(value: Value, first: int, parameters: Inputs) -> Value:
    if value.axis is not None and value.axis >= first:
        raise Unproven("it normalizes over the batch axis")
    for parameter in parameters:
        if parameter is not None and len(parameter.ranked) > len(value.ranked) - first:
            raise Unproven("a parameter beyond the axes that it normalizes over")
    return same(value)


def mean_variance_norm(node: Node, inputs: Inputs) -> list[Value]:
    value = data(inputs)
    for axis in node.integers("axes") or (0, 2, 3):
        along(value, axis)
    return [same(value)]


def by_axis(default: int, outputs: int = 1) -> Rule:
    """Operators along one axis that keep the shape."""

    def rule(node: Node, inputs: Inputs) -> list[Value]:
        all_fixed(inputs)
        value = data(inputs)
        along(value, node.integer("axis", default))
        return [same(value)] * outputs

    return rule


def softmax(node: Node, inputs: Inputs) -> list[Value]:
    """Before version 13 over all axes from one on, then along one."""
    value = data(inputs)
    if node.version < 13:
        first = place(node.integer("axis", 1), len(value.ranked))
        return [_normalize(value, first, ())]
    along(value, node.integer("axis", -1))
    return [same(value)]


def quantized_softmax(node: Node, inputs: Inputs) -> list[Value]:
    """com.microsoft's QLinearSoftmax, whose attribute ``opset`` says which softmax it is."""
    all_fixed(inputs)
    value = data(inputs)
    axis = place(node.integer("axis", -1), len(value.ranked))
    if value.axis is not None and value.axis >= axis:
        raise Unproven("it works along the batch axis")
    return [same(value)]


# --- reductions ---


def reduce(node: Node, inputs: Inputs) -> list[Value]:
    value = data(inputs)
    all_fixed(inputs)
    axes = axes_of(node, inputs)
    if not axes:
        if node.integer("noop_with_empty_axes", 0):
            return [same(value)]
        refuse_batch(value)
        axes = tuple(range(len(value.ranked)))
    return [_reduce(value, {along(value, axis) for axis in axes}, node.integer("keepdims", 1))]


def arg_reduce(node: Node, inputs: Inputs) -> list[Value]:
    value = data(inputs)
    return [_reduce(value, {along(value, node.integer("axis", 0))}, node.integer("keepdims", 1))]


def _reduce(value: Value, axes: set[int], keep: int) -> Value:
    if keep:
        return value.with_dims((1 if at in axes else n for at, n in enumerate(value.ranked)), value.axis)
    left = [at for at in range(len(value.ranked)) if at not in axes]
    axis = None if value.axis is None else left.index(value.axis)
    return value.with_dims((value.ranked[at] for at in left), axis)


def top_k(node: Node, inputs: Inputs) -> list[Value]:
    all_fixed(inputs)
    value = data(inputs)
    axis = along(value, node.integer("axis", -1))
    dims = list(value.ranked)
    dims[axis] = None
    return [value.with_dims(dims, value.axis)] * 2


def cumulative(node: Node, inputs: Inputs) -> list[Value]:
    value = data(inputs)
    [axis] = fixed(data(inputs, 1)).whole_numbers()
    along(value, axis)
    return [same(value)]


def triangle(node: Node, inputs: Inputs) -> list[Value]:
    all_fixed(inputs)
    value = data(inputs)
    for axis in (-1, -2):
        along(value, axis)
    return [same(value)]


# --- recurrent layers ---


def recurrent(node: Node, inputs: Inputs) -> list[Value]:
    """LSTM, GRU and RNN: X is (steps, batch, features), the initial states (directions, batch, hidden)."""
    value = data(inputs)
    if node.integer("layout", 0) or len(value.ranked) != 3 or value.axis != 1:
        raise Unproven("the batch axis is where it has the steps, or nowhere")
    for number in (1, 2, 3, 7):
        if given(inputs, number) is not None:
            fixed(inputs[number])
    for number, axis in ((4, 0), (5, 1), (6, 1)):
        state = given(inputs, number)
        if state is not None and (state.axis != axis or state.layout != value.layout):
            raise Unproven("lengths or states that are not the rows' own")
    steps, hidden = value.ranked[0], node.integer("hidden_size", 0) or None
    directions = 2 if node.text("direction", "forward") == "bidirectional" else 1
    all_steps = value.with_dims((steps, directions, value.factor, hidden), 2)
    last = value.with_dims((directions, value.factor, hidden), 1)
    return [all_steps, last, last]


def space(node: Node, inputs: Inputs) -> list[Value]:
    """DepthToSpace and SpaceToDepth."""
    value = leading(data(inputs))
    return [value.with_dims((value.ranked[0], *[None] * (len(value.ranked) - 1)), value.axis)]
