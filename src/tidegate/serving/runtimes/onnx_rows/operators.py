"""The operators that the proof knows: what is not listed here is taken to combine rows."""

from tidegate.serving.runtimes.onnx_rows import neural, shapes, tables
from tidegate.serving.runtimes.onnx_rows.graph import CLASSICAL, Node
from tidegate.serving.runtimes.onnx_rows.shapes import Inputs, Rule
from tidegate.serving.runtimes.onnx_rows.values import (
    Unproven,
    Value,
    all_fixed,
    along,
    broadcast,
    data,
    fixed,
    given,
    same,
)

MICROSOFT = "com.microsoft"


def unary(node: Node, inputs: Inputs) -> list[Value]:
    return [same(data(inputs))]


def parameterized(node: Node, inputs: Inputs) -> list[Value]:
    """Element by element of the first input, by constants."""
    all_fixed(inputs)
    return unary(node, inputs)


def elementwise(node: Node, inputs: Inputs) -> list[Value]:
    return [broadcast([data(inputs, number) for number in range(len(inputs))])]


def cast_like(node: Node, inputs: Inputs) -> list[Value]:
    """Only the type of the second input matters."""
    return unary(node, inputs)


def dropout(node: Node, inputs: Inputs) -> list[Value]:
    training = given(inputs, 2)
    off = training is None or not any(fixed(training).whole_numbers())
    if not off or (node.version < 7 and not node.integer("is_test", 0)):
        raise Unproven("it drops values at random")
    return unary(node, inputs)


def quantize(node: Node, inputs: Inputs) -> list[Value]:
    """QuantizeLinear and DequantizeLinear, with one scale or one for each entry of an axis."""
    all_fixed(inputs)
    value, scale = data(inputs), data(inputs, 1)
    if value.axis is not None and scale.ranked not in ((), (1,)):
        if len(scale.ranked) != 1 or node.integer("block_size", 0):
            raise Unproven("scales in blocks")
        along(value, node.integer("axis", 1))
    return [same(value)]


def quantized_sum(node: Node, inputs: Inputs) -> list[Value]:
    """com.microsoft's QLinearAdd and QLinearMul: a, its scale and zero point, b, its own, and the result's."""
    for number in (1, 2, 4, 5, 6, 7):
        if given(inputs, number) is not None:
            fixed(inputs[number])
    return [broadcast([data(inputs), data(inputs, 3)])]


def _named(rule: Rule, names: str, domain: str = "") -> dict[tuple[str, str], Rule]:
    return {(domain, name): rule for name in names.split()}


RULES: dict[tuple[str, str], Rule] = {
    **_named(
        unary,
        "Abs Acos Acosh Asin Asinh Atan Atanh BitwiseNot Cast Ceil Celu Cos Cosh Elu Erf Exp Floor Gelu"
        " HardSigmoid HardSwish Identity IsInf IsNaN LeakyRelu Log Mish Neg Not Reciprocal RegexFullMatch Relu Round"
        " Selu Shrink Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Swish Tan Tanh ThresholdedRelu",
    ),
    **_named(
        elementwise,
        "Add And BitShift BitwiseAnd BitwiseOr BitwiseXor Div Equal Greater GreaterOrEqual Less LessOrEqual Max Mean"
        " Min Mod Mul Or Pow PRelu StringConcat Sub Sum Where Xor",
    ),
    **_named(parameterized, "Clip"),
    **_named(cast_like, "CastLike"),
    **_named(dropout, "Dropout"),
    **_named(quantize, "QuantizeLinear DequantizeLinear"),
    **_named(shapes.reshape, "Reshape"),
    **_named(shapes.flatten, "Flatten"),
    **_named(shapes.transpose, "Transpose"),
    **_named(shapes.squeeze, "Squeeze"),
    **_named(shapes.unsqueeze, "Unsqueeze"),
    **_named(shapes.expand, "Expand"),
    **_named(shapes.tile, "Tile"),
    **_named(shapes.constant_of_shape, "ConstantOfShape"),
    **_named(shapes.concat, "Concat"),
    **_named(shapes.split, "Split"),
    **_named(shapes.slices, "Slice"),
    **_named(shapes.gather, "Gather"),
    **_named(shapes.gather_elements, "GatherElements"),
    **_named(shapes.pad, "Pad"),
    **_named(shapes.resize, "Resize Upsample"),
    **_named(shapes.one_hot, "OneHot"),
    **_named(neural.matmul, "MatMul"),
    **_named(neural.integer_matmul, "MatMulInteger"),
    **_named(neural.quantized_matmul, "QLinearMatMul"),
    **_named(neural.gemm, "Gemm"),
    **_named(neural.einsum, "Einsum"),
    **_named(neural.conv, "Conv ConvInteger"),
    **_named(neural.quantized_conv, "QLinearConv"),
    **_named(neural.conv_transpose, "ConvTranspose"),
    **_named(neural.pool, "AveragePool MaxPool LpPool"),
    **_named(neural.global_pool, "GlobalAveragePool GlobalMaxPool GlobalLpPool"),
    **_named(neural.batch_norm, "BatchNormalization"),
    **_named(neural.channel_norm, "InstanceNormalization GroupNormalization LRN"),
    **_named(neural.layer_norm, "LayerNormalization RMSNormalization SimplifiedLayerNormalization"),
    **_named(neural.mean_variance_norm, "MeanVarianceNormalization"),
    **_named(neural.by_axis(-1), "LpNormalization"),
    **_named(neural.softmax, "Softmax LogSoftmax Hardmax"),
    **_named(
        neural.reduce,
        "ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum"
        " ReduceSumSquare",
    ),
    **_named(neural.arg_reduce, "ArgMax ArgMin"),
    **_named(neural.top_k, "TopK"),
    **_named(neural.cumulative, "CumSum"),
    **_named(neural.triangle, "Trilu"),
    **_named(neural.recurrent, "LSTM GRU RNN"),
    **_named(neural.space, "DepthToSpace SpaceToDepth"),
    **_named(unary, "Binarizer CategoryMapper LabelEncoder", CLASSICAL),
    **_named(tables.per_row, "Imputer Normalizer Scaler", CLASSICAL),
    **_named(tables.scored("targets", 1), "LinearRegressor", CLASSICAL),
    **_named(tables.scored("n_targets"), "TreeEnsembleRegressor TreeEnsemble", CLASSICAL),
    **_named(tables.scored(default=1), "SVMRegressor", CLASSICAL),
    **_named(tables.classified, "LinearClassifier SVMClassifier TreeEnsembleClassifier", CLASSICAL),
    **_named(tables.joined, "FeatureVectorizer", CLASSICAL),
    **_named(tables.encoded, "OneHotEncoder", CLASSICAL),
    **_named(tables.extracted, "ArrayFeatureExtractor", CLASSICAL),
    **_named(tables.vectorized, "TfIdfVectorizer"),
    **_named(unary, "Gelu QuickGelu", MICROSOFT),
    **_named(elementwise, "BiasGelu FastGelu", MICROSOFT),
    **_named(neural.fused_matmul, "FusedMatMul", MICROSOFT),
    **_named(neural.integer_matmul, "MatMulIntegerToFloat", MICROSOFT),
    **_named(neural.quantized_gemm, "QGemm", MICROSOFT),
    **_named(neural.skip_norm, "SkipLayerNormalization SkipSimplifiedLayerNormalization", MICROSOFT),
    **_named(neural.quantized_softmax, "QLinearSoftmax", MICROSOFT),
    **_named(quantize, "QuantizeLinear DequantizeLinear", MICROSOFT),
    **_named(quantized_sum, "QLinearAdd QLinearMul", MICROSOFT),
    **_named(parameterized, "QLinearSigmoid QLinearLeakyRelu", MICROSOFT),
    **_named(neural.pool, "QLinearAveragePool", MICROSOFT),
    **_named(neural.global_pool, "QLinearGlobalAveragePool", MICROSOFT),
}

RANDOM = frozenset(
    {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial"}
)
"""Operators whose results differ from call to call, even where their inputs do not."""
