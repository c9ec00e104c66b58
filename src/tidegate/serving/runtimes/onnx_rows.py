"""Proof from an ONNX file that each row of a model's output depends on the same row of its inputs alone.

The batch axis is followed from the inputs to the output, operator by operator. ``RULES`` lists the operators that are
covered; any other ends the proof. A prime, ``ROWS``, stands for the number of rows: ``onnx``'s shape inference then
shows the batch axis of a tensor as the one length that is a multiple of it, and a rule only has to say whether the
operator combines values along that axis, or moves them across it. Weights are not looked at.

Source: the ONNX operator specification.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import defs, helper, numpy_helper, shape_inference

ROWS = 1_000_003
"""The number of rows in the proof."""
WIDTH = 999_983
"""A number of columns that the file does not declare: another prime, so that nothing relies on its value."""
SMALL = 64
"""Elements up to which the values of a constant are known: enough for shapes, axes and scales."""
CLASSICAL = "ai.onnx.ml"

Shape = tuple[int, ...]


class Unproven(Exception):
    """The message says which operator may let rows influence each other."""


@dataclass(frozen=True)
class _Tensor:
    """``shape``: None if unknown, which excludes a batch axis. Along the batch axis are ``outer`` times all rows,
    each with consecutive entries that depend on that row alone. ``values``: the elements, if few and known."""

    shape: Shape | None
    outer: int = 1
    values: NDArray[Any] | None = None

    @property
    def axis(self) -> int | None:
        """The batch axis; None if the tensor is independent of the rows."""
        return next((at for at, length in enumerate(self.shape or ()) if _is_multiple(length)), None)

    @property
    def counts(self) -> bool:
        """Whether it contains the number of rows: a shape, not data."""
        return self.values is not None and bool(_find_varying(self.values).any())

    @property
    def layout(self) -> tuple[int, int] | None:
        """Position of the batch axis from the back, and the order of rows along it."""
        return None if self.axis is None else (self.axis - self.rank, self.outer)

    @property
    def known(self) -> Shape:
        if self.shape is None:
            raise Unproven("a tensor of unknown shape")
        return self.shape

    @property
    def rank(self) -> int:
        return len(self.known)


def _is_multiple(length: int) -> bool:
    return length != 0 and length % ROWS == 0


def _find_varying(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which elements are the number of rows, or a multiple of it."""
    if values.dtype not in (np.int64, np.int32):
        return np.zeros(values.shape, np.bool_)
    return np.asarray((values != 0) & (values % ROWS == 0))


@dataclass
class _OperatorCall:
    """An operator, what is known of its inputs (None: not given), and the shapes of its outputs."""

    node: onnx.NodeProto
    version: int
    inputs: list[_Tensor | None]
    shapes: list[Shape | None] = field(default_factory=list)

    def attribute(self, name: str, default: Any = None) -> Any:
        found = next((one for one in self.node.attribute if one.name == name), None)
        return default if found is None else helper.get_attribute_value(found)

    def given(self, number: int) -> _Tensor | None:
        return self.inputs[number] if number < len(self.inputs) else None

    def data(self, number: int = 0) -> _Tensor:
        value = self.given(number)
        if value is None:
            raise Unproven("an input is missing")
        return value

    def numbers(self, name: str, number: int) -> list[int] | None:
        """An attribute of older versions that is an input of newer ones; None if it is absent."""
        value = self.given(number)
        if value is None:
            found = self.attribute(name)
            return None if found is None else [int(one) for one in np.atleast_1d(found)]
        if value.values is None or value.counts:
            raise Unproven("axes or sizes that are not constant")
        return [int(one) for one in value.values.reshape(-1)]

    def fix_others(self, *data: int) -> None:
        """Raises Unproven unless all inputs but these are independent of the rows."""
        for number, value in enumerate(self.inputs):
            if number not in data and value is not None and (value.axis is not None or value.counts):
                raise Unproven("a parameter that depends on the rows")

    @property
    def result(self) -> Shape:
        shape = self.shapes[0]
        if shape is None:
            raise Unproven("its result has an unknown shape")
        return shape

    @property
    def result_axis(self) -> int:
        axis = _Tensor(self.result).axis
        if axis is None:
            raise Unproven("it works along the batch axis")
        return axis


# --- rules ---

Rule = Callable[[_OperatorCall], int]
"""Returns ``outer`` of the outputs. Raises Unproven if the operator may combine rows."""
Axes = Callable[[_OperatorCall, _Tensor], Iterable[int]]
"""The axes of the first input along which an operator combines values, or moves, adds or removes them."""


def works_along(axes: Axes, *data: int) -> Rule:
    """Make a rule for operators with constant parameters, which leave the order of rows as it is. ``data``: more
    inputs that may depend on the rows, which ``axes`` checks."""

    def rule(call: _OperatorCall) -> int:
        call.fix_others(0, *data)
        value = call.data()
        if any(_place(axis, value.rank) == value.axis for axis in axes(call, value)):
            raise Unproven("it works along the batch axis")
        return value.outer

    return rule


def _place(axis: int, rank: int) -> int:
    """An axis counted from the front."""
    found = axis + rank if axis < 0 else axis
    if not 0 <= found < rank:
        raise Unproven("an axis beyond the rank")
    return found


def _no_axis(call: _OperatorCall, value: _Tensor) -> Iterable[int]:
    return ()


def _one_axis(default: int) -> Axes:
    return lambda call, value: [call.attribute("axis", default)]


def _from_axis(default: int) -> Axes:
    """Return all axes from one on. Parameters may not reach beyond them."""

    def axes(call: _OperatorCall, value: _Tensor) -> Iterable[int]:
        first = _place(call.attribute("axis", default), value.rank)
        if any(one is not None and one.rank > value.rank - first for one in call.inputs[1:]):
            raise Unproven("a parameter beyond the axes that it works over")
        return range(first, value.rank)

    return axes


def _softmax_axes(call: _OperatorCall, value: _Tensor) -> Iterable[int]:
    return (_one_axis(-1) if call.version >= 13 else _from_axis(1))(call, value)


def _reduced_axes(call: _OperatorCall, value: _Tensor) -> Iterable[int]:
    axes = call.numbers("axes", 1)
    return () if not axes and call.attribute("noop_with_empty_axes", 0) else axes or range(value.rank)


def _after_first(least: int) -> Axes:
    """Return all but the first axis of a value of at least ``least`` axes: convolutions, pools and norms of each
    example."""

    def axes(call: _OperatorCall, value: _Tensor) -> Iterable[int]:
        if value.rank < least:
            raise Unproven("the batch axis is not the first of several")
        return range(1, value.rank)

    return axes


def _batch_norm_axes(call: _OperatorCall, value: _Tensor) -> Iterable[int]:
    if call.attribute("training_mode", 0) or sum(map(bool, call.node.output)) > 1 or call.version < 7:
        raise Unproven("it takes mean and variance from the batch")
    return _after_first(2)(call, value)


def _dropout_axes(call: _OperatorCall, value: _Tensor) -> Iterable[int]:
    if any(call.numbers("", 2) or ()) or (call.version < 7 and not call.attribute("is_test", 0)):
        raise Unproven("it drops values at random")
    return ()


def _scaled_axes(call: _OperatorCall, value: _Tensor) -> Iterable[int]:
    """Return the axes of QuantizeLinear and DequantizeLinear, with one scale or one for each entry of an axis."""
    if call.data(1).known in ((), (1,)):
        return ()
    if call.data(1).rank != 1 or call.attribute("block_size", 0):
        raise Unproven("scales in blocks")
    return [call.attribute("axis", 1)]


def _repeated_axes(call: _OperatorCall, value: _Tensor) -> Iterable[int]:
    pairs = zip(value.known, call.result, strict=True)
    return [axis for axis, (before, after) in enumerate(pairs) if before != after]


_END = (1 << 31) - 1
"""An end from here on means that of the axis."""


def _cut_axes(call: _OperatorCall, value: _Tensor) -> Iterable[int]:
    starts, ends = call.numbers("starts", 1) or [], call.numbers("ends", 2) or []
    steps = call.numbers("", 4) or [1] * len(starts)
    axes = call.numbers("axes", 3) or range(len(starts))
    bounds = zip(axes, starts, ends, steps, strict=True)
    return [axis for axis, start, end, step in bounds if start or end < _END or step != 1]


def _padded_axes(call: _OperatorCall, value: _Tensor) -> Iterable[int]:
    axes, pads = call.numbers("", 3) or range(value.rank), call.numbers("pads", 1) or []
    pairs = zip(axes, pads[: len(pads) // 2], pads[len(pads) // 2 :], strict=True)
    return [axis for axis, before, after in pairs if before or after]


def _scaled_sides(call: _OperatorCall, value: _Tensor) -> Iterable[int]:
    """Return the axes that Resize or Upsample scales. A length that stays the same may have been scaled and
    rounded."""
    policy = call.attribute("keep_aspect_ratio_policy", b"stretch")
    cropped = call.attribute("coordinate_transformation_mode", b"") == b"tf_crop_and_resize"
    if value.axis != 0 or cropped or policy != b"stretch" or call.attribute("axes") is not None:
        raise Unproven("it may scale along the batch axis")
    scales = call.given(2 if call.node.op_type == "Resize" and call.version > 10 else 1)
    if scales is not None and scales.known != (0,):
        factors = [1.0] * value.rank if scales.values is None else scales.values.tolist()
        return [axis for axis, factor in enumerate(factors) if factor != 1 or scales.values is None]
    return _repeated_axes(call, value)


def elementwise(call: _OperatorCall) -> int:
    return _align(call, *range(len(call.inputs)))


def _align(call: _OperatorCall, *data: int) -> int:
    """Check broadcasting: batch axes must meet, and no input may have another length there."""
    values = [value for number in data if (value := call.given(number)) is not None]
    for value in values:
        pairs = zip(reversed(value.known), reversed(call.result), strict=False)
        if value.rank > len(call.result) or any(one not in (1, other) for one, other in pairs):
            raise Unproven("it combines the batch axis with something of another length")
    layouts = {layout for value in values if (layout := value.layout) is not None}
    if len(layouts) > 1 or (layouts and call.result_axis - len(call.result) != min(layouts)[0]):
        raise Unproven("it combines rows with rows")
    return min(layouts)[1] if layouts else 1


def expand(call: _OperatorCall) -> int:
    """Check copying along axes of length 1; a parameter may be copied along the rows."""
    return _align(call, 0)


def fill(call: _OperatorCall) -> int:
    """Accept ConstantOfShape: every row is the same."""
    return 1


def reshape(call: _OperatorCall) -> int:
    """Check that a new shape has the same boundaries of rows. Elements keep their order: so many before the rows, and
    those of each row in blocks."""
    value = call.data()
    call.fix_others(0, 1)
    if value.axis is None:
        raise Unproven("a parameter takes the shape of the rows")
    if call.node.op_type == "Squeeze" and call.numbers("axes", 1) is None:
        raise Unproven("it removes the batch axis of a single row")
    before, found = math.prod(value.known[: value.axis]) * value.outer, math.prod(call.result[: call.result_axis])
    if not found or before % found:
        raise Unproven("it moves elements across the batch axis")
    outer = before // found
    block = _block(value.known, value.axis, value.outer)
    if not block or block != _block(call.result, call.result_axis, outer):
        raise Unproven("it may cut between rows at other places than before")
    return outer


def _block(shape: Shape, axis: int, outer: int) -> int | None:
    """Return the number of elements of a row that are adjacent; None if the rows do not fill the axis evenly."""
    factor, rest = divmod(shape[axis] // ROWS, outer)
    return None if rest else factor * math.prod(shape[axis + 1 :])


def concat(call: _OperatorCall) -> int:
    """Check that every part has the rows, along the same axis."""
    values = [call.data(number) for number in range(len(call.inputs))]
    if len({(value.axis, value.outer, value.rank) for value in values}) > 1:
        raise Unproven("it joins rows with something else")
    return works_along(_one_axis(1), *range(len(values)))(call)


def gather(call: _OperatorCall) -> int:
    """The entries at the indices replace one axis."""
    value, indices = call.data(), call.data(1)
    if indices.axis is None:
        return works_along(_one_axis(0))(call)
    if value.axis is not None:
        raise Unproven("it picks from rows by rows")
    return indices.outer


def gather_elements(call: _OperatorCall) -> int:
    value, indices = call.data(), call.data(1)
    if (value.axis, value.outer, value.rank) != (indices.axis, indices.outer, indices.rank):
        raise Unproven("it picks from other rows")
    return works_along(_one_axis(0), 1)(call)


def _multiply(left: _Tensor, right: _Tensor, call: _OperatorCall) -> int:
    """The summed axes are not batch axes, and rows are multiplied with themselves only."""
    if left.axis == left.rank - 1 or (right.axis is not None and right.axis == max(right.rank - 2, 0)):
        raise Unproven("it works along the batch axis")
    if left.axis is not None and right.axis is not None:
        matrices = left.axis >= left.rank - 2 or right.axis >= right.rank - 2
        if matrices or left.layout != right.layout:
            raise Unproven("it multiplies rows by rows")
    for one, other in zip(reversed(left.known[:-2]), reversed(right.known[:-2]), strict=False):
        if one != other and 1 not in (one, other):
            raise Unproven("it combines the batch axis with something of another length")
    return (right if left.axis is None else left).outer


def matmul(call: _OperatorCall) -> int:
    call.fix_others(0, 1)
    return _multiply(call.data(), call.data(1), call)


def quantized_matmul(call: _OperatorCall) -> int:
    """Check QLinearMatMul, whose inputs are a, its scale and zero point, b, its own, and the result's."""
    call.fix_others(0, 3)
    return _multiply(call.data(), call.data(3), call)


def gemm(call: _OperatorCall) -> int:
    left, right = (
        _Tensor(value.known[::-1], value.outer) if call.attribute(flag, 0) else value
        for value, flag in ((call.data(), "transA"), (call.data(1), "transB"))
    )
    outer = _multiply(left, right, call)
    added = call.given(2)
    if added is not None and _align(call, 2) != outer and added.axis is not None:
        raise Unproven("it adds rows to something else")
    return outer


def recurrent(call: _OperatorCall) -> int:
    """Check LSTM, GRU and RNN: X is (steps, batch, features), the initial states (directions, batch, hidden)."""
    value = call.data()
    call.fix_others(0, 4, 5, 6)
    if call.attribute("layout", 0) or value.rank != 3 or value.axis != 1:
        raise Unproven("the batch axis is where it has the steps, or nowhere")
    for number, axis in ((4, 0), (5, 1), (6, 1)):
        state = call.given(number)
        if state is not None and (state.axis != axis or state.outer != value.outer):
            raise Unproven("lengths or states that are not the rows' own")
    return value.outer


def table(call: _OperatorCall) -> int:
    """Check operators of ``ai.onnx.ml``. onnxruntime takes a tensor of rank 1 for one row, so rows lie along the
    first of two axes."""
    values = [call.data(number) for number in range(len(call.inputs))]
    if any(value.rank != 2 or value.axis != 0 for value in values) or len({value.outer for value in values}) > 1:
        raise Unproven("its input is no table of rows")
    return values[0].outer


def extract(call: _OperatorCall) -> int:
    """Check ArrayFeatureExtractor, which takes columns at constant positions."""
    if call.data().rank < 2:
        raise Unproven("it picks from rows")
    return works_along(lambda call, value: [-1])(call)


def _name_rules(rule: Rule, names: str, domain: str = "") -> dict[tuple[str, str], Rule]:
    return {(domain, name): rule for name in names.split()}


RULES: dict[tuple[str, str], Rule] = {
    **_name_rules(
        works_along(_no_axis),
        "Abs Acos Acosh Asin Asinh Atan Atanh BitwiseNot Cast Ceil Celu Clip Cos Cosh Elu Erf Exp Floor Gelu"
        " HardSigmoid HardSwish Identity IsInf IsNaN LeakyRelu Log Mish Neg Not OneHot Reciprocal Relu Round Selu"
        " Shrink Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Swish Tan Tanh ThresholdedRelu Transpose",
    ),
    **_name_rules(
        elementwise,
        "Add And BitShift BitwiseAnd BitwiseOr BitwiseXor Div Equal Greater GreaterOrEqual Less LessOrEqual Max Mean"
        " Min Mod Mul Or Pow PRelu Sub Sum Where Xor",
    ),
    **_name_rules(works_along(_one_axis(0)), "Split ArgMax ArgMin"),
    **_name_rules(works_along(_one_axis(-1)), "LpNormalization TopK"),
    **_name_rules(works_along(_softmax_axes), "Softmax LogSoftmax Hardmax"),
    **_name_rules(works_along(_from_axis(-1)), "LayerNormalization RMSNormalization"),
    **_name_rules(
        works_along(_reduced_axes),
        "ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum"
        " ReduceSumSquare",
    ),
    **_name_rules(works_along(lambda call, value: call.numbers("", 1) or ()), "CumSum"),
    **_name_rules(works_along(lambda call, value: (-1, -2)), "Trilu"),
    **_name_rules(
        works_along(_after_first(3)),
        "AveragePool Conv ConvInteger ConvTranspose DepthToSpace GlobalAveragePool GlobalMaxPool"
        " InstanceNormalization LRN MaxPool QLinearConv SpaceToDepth",
    ),
    **_name_rules(works_along(_batch_norm_axes), "BatchNormalization"),
    **_name_rules(works_along(_dropout_axes), "Dropout"),
    **_name_rules(works_along(_scaled_axes), "QuantizeLinear DequantizeLinear"),
    **_name_rules(works_along(_repeated_axes), "Tile"),
    **_name_rules(works_along(_cut_axes), "Slice"),
    **_name_rules(works_along(_padded_axes), "Pad"),
    **_name_rules(works_along(_scaled_sides, 3), "Resize Upsample"),
    **_name_rules(reshape, "Reshape Flatten Squeeze Unsqueeze"),
    **_name_rules(expand, "Expand"),
    **_name_rules(fill, "ConstantOfShape"),
    **_name_rules(concat, "Concat"),
    **_name_rules(gather, "Gather"),
    **_name_rules(gather_elements, "GatherElements"),
    **_name_rules(matmul, "MatMul MatMulInteger"),
    **_name_rules(quantized_matmul, "QLinearMatMul"),
    **_name_rules(gemm, "Gemm"),
    **_name_rules(recurrent, "LSTM GRU RNN"),
    **_name_rules(works_along(_no_axis), "Binarizer LabelEncoder OneHotEncoder", CLASSICAL),
    **_name_rules(
        table,
        "FeatureVectorizer Imputer LinearClassifier LinearRegressor Normalizer SVMClassifier SVMRegressor Scaler"
        " TreeEnsemble TreeEnsembleClassifier TreeEnsembleRegressor",
        CLASSICAL,
    ),
    **_name_rules(extract, "ArrayFeatureExtractor", CLASSICAL),
}
"""The operators that are covered, as (domain, name)."""

_FIRST_ONLY = ("MaxPool", "Dropout")
"""Operators of whose outputs only the first is known: MaxPool's second has positions within the whole batch."""
_SHAPE_INPUTS = {"Reshape": 1, "Expand": 1, "ConstantOfShape": 0, "Resize": 3}
"""Operators with an input that may contain the number of rows."""
_RANDOM = ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial")
"""Operators whose results differ from call to call, even if their inputs do not."""


# --- shapes that are computed ---


def _slice(call: _OperatorCall, value: NDArray[Any], *_: Any) -> NDArray[Any]:
    starts, ends = call.numbers("starts", 1) or [], call.numbers("ends", 2) or []
    steps = call.numbers("", 4) or [1] * len(starts)
    whole = [slice(None)] * value.ndim
    for axis, *bounds in zip(call.numbers("axes", 3) or range(len(starts)), starts, ends, steps, strict=True):
        whole[axis] = slice(*bounds)
    return np.asarray(value[tuple(whole)])


def _squeeze(call: _OperatorCall, value: NDArray[Any], *_: Any) -> NDArray[Any]:
    axes = call.numbers("axes", 1)
    return np.squeeze(value, None if axes is None else tuple(axes))


def _fill(call: _OperatorCall, shape: NDArray[Any]) -> NDArray[Any] | None:
    fill = call.attribute("value")
    if math.prod(shape.tolist()) > SMALL:
        return None
    return np.asarray(np.full(shape, np.float32(0) if fill is None else numpy_helper.to_array(fill).reshape(())))


def _divide(call: _OperatorCall, one: NDArray[Any], other: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(np.trunc(one / other).astype(one.dtype) if one.dtype.kind in "iu" else one / other)


_COMPUTED: dict[str, Callable[..., Any]] = {
    "Identity": lambda call, value: value,
    "Cast": lambda call, value: value.astype(helper.tensor_dtype_to_np_dtype(call.attribute("to"))),
    "Gather": lambda call, value, at: np.take(value, at, call.attribute("axis", 0)),
    "Slice": _slice,
    "Concat": lambda call, *values: np.concatenate(values, call.attribute("axis", 0)),
    "Squeeze": _squeeze,
    "Unsqueeze": lambda call, value, *_: np.expand_dims(value, tuple(call.numbers("axes", 1) or ())),
    "Reshape": lambda call, value, shape: value.reshape(shape),
    "Transpose": lambda call, value: np.transpose(value, call.attribute("perm")),
    "Where": lambda call, *values: np.where(*values),
    "Mul": lambda call, one, other: one * other,
    "ReduceProd": lambda call, value, *_: (
        np.prod(value, keepdims=bool(call.attribute("keepdims", 1))) if value.ndim == 1 else None
    ),
    "Add": lambda call, one, other: one + other,
    "Sub": lambda call, one, other: one - other,
    "Div": _divide,
    "Mod": lambda call, one, other: (np.fmod if call.attribute("fmod", 0) else np.mod)(one, other),
    "Equal": lambda call, one, other: one == other,
    "ConstantOfShape": _fill,
}
"""Operators on shapes, as functions of a call and arrays."""
_PRODUCTS = ("Mul", "Concat", "Where", "ReduceProd")
_LINEAR = (*_PRODUCTS, "Identity", "Cast", "Gather", "Slice", "Squeeze", "Unsqueeze", "Reshape", "Transpose")
"""Operators whose results are elements of the first input (or, of those before, any), or products: a multiple of the
number of rows stays one."""


def compute(call: _OperatorCall) -> _Tensor | None:
    """The result if all inputs are known numbers; None if the operator is not supported here. Raises Unproven for a
    number that depends on the number of rows, unless it is a multiple."""
    name, known = call.node.op_type, [value.values for value in call.inputs if value is not None]
    values = [value for value in known if value is not None]
    if name not in _COMPUTED or len(values) < max(len(known), 1):
        return None
    counting = [bool(_find_varying(value).any()) for value in values]
    if any(counting) and name in ("ConstantOfShape", "Reshape") and not (name == "Reshape" and counting[0]):
        return None
    if any(counting) and name == "Equal":
        _refuse_lengths(*values)
    elif any(counting) and (name not in _LINEAR or (any(counting[1:]) and name not in _PRODUCTS)):
        raise Unproven("it computes with the number of rows")
    with np.errstate(all="ignore"):
        found = _COMPUTED[name](call, *values)
    if found is None:
        return None
    found = np.asarray(found)
    if (
        any(counting)
        and name != "Equal"
        and (found.dtype != np.int64 or (_find_varying(found) & _find_varying(found // ROWS)).any())
    ):
        raise Unproven("it computes with the number of rows")
    return _constant(found, any(counting))


def _refuse_lengths(one: NDArray[Any], other: NDArray[Any]) -> None:
    """Raises Unproven unless numbers of rows are compared with -1 or 0 only, which none equals."""
    for rows, number in ((one, other), (other, one)):
        places, _ = np.broadcast_arrays(_find_varying(rows), number)
        if (np.broadcast_to(rows, places.shape)[places] < 1).any() or (
            np.broadcast_to(number, places.shape)[places] > 0
        ).any():
            raise Unproven("it computes with the number of rows")


def _constant(values: NDArray[Any], counting: bool = False) -> _Tensor:
    """Make the tensor of a constant. ``counting``: elements may be numbers of rows. Others that happen to be the
    prime count as unknown."""
    known = values.size <= SMALL and values.dtype.kind in "iufb" and (counting or not _find_varying(values).any())
    return _Tensor(values.shape, values=values if known else None)


# --- the proof ---


def read(path: Path) -> onnx.ModelProto | None:
    """The graph of a file, without weights in other files; None if it cannot be read."""
    try:
        return onnx.load(str(path), load_external_data=False)
    except Exception:  # protobuf's error has no class that is typed
        return None


def find_training(model: onnx.ModelProto | None) -> str:
    """The operator that shows that a model was exported in training mode; empty if there is none. onnxruntime writes
    the running mean and variance of such a BatchNormalization into the model, for all later requests."""
    for node in model.graph.node if model is not None else ():
        training = any(one.name == "training_mode" and one.i for one in node.attribute)
        if training and node.op_type == "BatchNormalization" and not _domain(node.domain):
            return describe(node)
    return ""


def describe(node: onnx.NodeProto) -> str:
    operator = f"{node.domain}.{node.op_type}" if _domain(node.domain) else node.op_type
    return f"{operator} ({node.name})" if node.name else operator


def _domain(name: str) -> str:
    return "" if name == "ai.onnx" else name


def prove(model: onnx.ModelProto | None, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Raises Unproven unless each row of ``outputs`` depends on the same row of ``inputs`` alone."""
    if model is None:
        raise Unproven("the graph cannot be read")
    if model.graph.sparse_initializer:
        raise Unproven("sparse weights")
    proof = _Proof(model)
    for value in model.graph.input:
        if value.name in inputs:
            proof.known[value.name] = _entry(value)
    for node in _find_needed(model.graph.node, outputs):
        proof.follow(node)
    for name in outputs:
        found = proof.known.get(name)
        if found is None or found.axis != 0 or found.known[0] != ROWS or found.outer != 1 or found.rank > 2:
            raise Unproven(f"output {name} does not have the rows along its first axis")


def _entry(value: onnx.ValueInfoProto) -> _Tensor:
    dims = value.type.tensor_type.shape.dim
    if not dims or dims[0].HasField("dim_value"):
        raise Unproven(f"input {value.name} has no axis of any length for the rows")
    widths = [dim.dim_value or WIDTH for dim in dims[1:]]
    return _Tensor((ROWS, *(WIDTH if _is_multiple(width) else width for width in widths)))


def _find_needed(nodes: Sequence[onnx.NodeProto], outputs: Sequence[str]) -> list[onnx.NodeProto]:
    """The operators that the outputs depend on, in the file's order, which is an order of evaluation."""
    wanted, found = set(outputs), []
    for node in reversed(nodes):
        if wanted.intersection(filter(None, node.output)):
            wanted.update(filter(None, node.input))
            found.append(node)
    return found[::-1]


class _Proof:
    def __init__(self, model: onnx.ModelProto) -> None:
        self._opsets = list(model.opset_import)
        self._versions = {_domain(one.domain): one.version for one in model.opset_import}
        self._functions = {(_domain(one.domain), one.name) for one in model.functions}
        self._types: dict[str, int] = {value.name: value.type.tensor_type.elem_type for value in model.graph.input}
        self.known: dict[str, _Tensor] = {}
        for tensor in model.graph.initializer:
            self.known[tensor.name] = _weight(tensor)
            self._types[tensor.name] = tensor.data_type

    def follow(self, node: onnx.NodeProto) -> None:
        """Raises Unproven."""
        try:
            found = self._outputs(node)
        except Unproven as why:
            raise Unproven(f"{describe(node)}: {why}") from None
        except Exception as error:  # the errors of onnx's shape inference have no class of their own
            said = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise Unproven(f"{describe(node)}: {said}") from None
        self.known.update((name, value) for name, value in zip(node.output, found, strict=False) if name)

    def _outputs(self, node: onnx.NodeProto) -> list[_Tensor]:
        key = (_domain(node.domain), node.op_type)
        self._check(node, key)
        call = _OperatorCall(node, self._versions.get(key[0], 0), [self.known.get(name) for name in node.input])
        computed = self._compute(call) if not key[0] else None
        if computed is not None:
            return [computed]
        depends = any(value is not None and (value.axis is not None or value.counts) for value in call.inputs)
        rule = RULES.get(key)
        if rule is None and (depends or key[0] not in ("", CLASSICAL)):
            raise Unproven("it may let rows influence each other")
        call.shapes = self._infer(call, key, depends)
        if rule is not None and (depends or call.node.op_type == "Dropout"):
            for number, value in enumerate(call.inputs):
                if value is not None and value.counts and _SHAPE_INPUTS.get(call.node.op_type) != number:
                    raise Unproven("it computes with the number of rows")
            outer = rule(call)
            for name, shape in zip(node.output, call.shapes, strict=False):
                if name and depends:
                    _check_rows(shape, outer)
            return [_Tensor(shape, outer) for shape in call.shapes]
        return [_parameter(shape) for shape in call.shapes]

    def _check(self, node: onnx.NodeProto, key: tuple[str, str]) -> None:
        for name in node.input:
            if name and name not in self.known:
                raise Unproven(f"{name} is not known row by row")
        if key in self._functions:
            raise Unproven("the file defines it itself")
        if any(one.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS) for one in node.attribute):
            raise Unproven("it has a graph of its own")
        if node.op_type in _RANDOM:
            raise Unproven("it draws numbers at random")

    def _compute(self, call: _OperatorCall) -> _Tensor | None:
        """Compute numbers that follow from others, or from shapes; None for any other operator."""
        if call.node.op_type == "Constant":
            found = _constant_of(call)
        elif call.node.op_type in ("Shape", "Size"):
            found = _measure(call)
        elif (computed := compute(call)) is None:
            return None
        else:
            found = computed
        if found.values is not None:
            self._types[call.node.output[0]] = helper.np_dtype_to_tensor_dtype(found.values.dtype)
        return found

    def _infer(self, call: _OperatorCall, key: tuple[str, str], depends: bool) -> list[Shape | None]:
        """Infer the shapes of the outputs, row by row where that is known; None where a shape is unknown."""
        if depends and key in _SHAPES:
            return _SHAPES[key](call)
        names = [name for name in call.node.input if name]
        shapes = {name: self.known[name] for name in names}
        types = {n: helper.make_tensor_type_proto(self._types.get(n) or _FLOAT, shapes[n].shape) for n in names}
        data = {n: numpy_helper.from_array(one.values, n) for n, one in shapes.items() if one.values is not None}
        found: Mapping[str, onnx.TypeProto] = {}
        try:
            schema = defs.get_schema(call.node.op_type, call.version, key[0])
            found = shape_inference.infer_node_outputs(schema, call.node, types, data, opset_imports=self._opsets)
        except Exception:  # its errors have no class of their own
            if depends:
                raise
        self._types.update((name, kind.tensor_type.elem_type) for name, kind in found.items())
        outputs = call.node.output[:1] if call.node.op_type in _FIRST_ONLY else call.node.output
        return [_declared_shape(found.get(name)) for name in outputs]


_FLOAT = onnx.TensorProto.FLOAT


def _check_rows(shape: Shape | None, outer: int) -> None:
    """Raises Unproven unless the shape has one axis with so many times all rows."""
    varying = [length for length in shape or () if _is_multiple(length)]
    if shape is None or len(varying) != 1 or min(shape) < 1:
        raise Unproven("its result has the rows nowhere, or twice")
    times = varying[0] // ROWS
    if times >= ROWS or times % outer:
        raise Unproven("its result has the rows nowhere, or twice")


def _parameter(shape: Shape | None) -> _Tensor:
    """A tensor that is independent of the rows. If a length happens to be the prime, the shape counts as unknown."""
    return _Tensor(None if any(map(_is_multiple, shape or ())) else shape)


def _declared_shape(kind: onnx.TypeProto | None) -> Shape | None:
    """Return the declared shape; None if a length is unknown."""
    if kind is None or not kind.tensor_type.HasField("shape"):
        return None
    dims = kind.tensor_type.shape.dim
    return tuple(dim.dim_value for dim in dims) if all(dim.HasField("dim_value") for dim in dims) else None


def _weight(tensor: onnx.TensorProto) -> _Tensor:
    shape = tuple(tensor.dims)
    kind = tensor.data_type
    small = math.prod(shape) <= SMALL and not tensor.external_data and kind != onnx.TensorProto.STRING
    return _constant(numpy_helper.to_array(tensor)) if small else _parameter(shape)


def _constant_of(call: _OperatorCall) -> _Tensor:
    for one in call.node.attribute:
        value = helper.get_attribute_value(one)
        if one.name == "value":
            return _weight(value)
        if one.name in ("value_int", "value_ints", "value_float", "value_floats"):
            return _constant(np.array(value, np.int64 if "int" in one.name else np.float32))
        if one.name in ("value_string", "value_strings"):
            return _Tensor(np.shape(value))
    return _Tensor(None)


def _measure(call: _OperatorCall) -> _Tensor:
    """Compute Shape or Size."""
    shape = np.array(call.data().known, np.int64)
    if call.node.op_type == "Size":
        return _constant(np.asarray(np.prod(shape)), True)
    return _constant(shape[call.attribute("start", 0) : call.attribute("end", len(shape))], True)


# --- shapes that onnx does not infer ---


def _keep_shape(call: _OperatorCall) -> list[Shape | None]:
    return [call.data().known for _ in call.node.output]


def _columns(width: str = "", default: int = WIDTH) -> Callable[[_OperatorCall], list[Shape | None]]:
    """Make a shape rule for an operator that outputs as many columns as its attribute named ``width`` gives, or
    ``default``."""
    return lambda call: [(call.data().known[0], call.attribute(width) or default)]


def _classes(call: _OperatorCall) -> list[Shape | None]:
    """A label and a row of scores. Two classes of a linear model may have one score or two."""
    rows = call.data().known[0]
    labels = (
        call.attribute(name) or () for name in ("classlabels_int64s", "classlabels_ints", "classlabels_strings")
    )
    count = max(map(len, labels))
    known = count > 2 or (count == 2 and call.node.op_type == "TreeEnsembleClassifier")
    return [(rows,), (rows, count if known else WIDTH)]


_SHAPES: dict[tuple[str, str], Callable[[_OperatorCall], list[Shape | None]]] = {
    **{(CLASSICAL, name): _keep_shape for name in ("Imputer", "Normalizer", "Scaler")},
    (CLASSICAL, "LinearRegressor"): _columns("targets", 1),
    (CLASSICAL, "SVMRegressor"): _columns("", 1),
    (CLASSICAL, "TreeEnsemble"): _columns("n_targets"),
    (CLASSICAL, "TreeEnsembleRegressor"): _columns("n_targets"),
    (CLASSICAL, "FeatureVectorizer"): _columns(),
    **{(CLASSICAL, f"{name}Classifier"): _classes for name in ("Linear", "SVM", "TreeEnsemble")},
}
