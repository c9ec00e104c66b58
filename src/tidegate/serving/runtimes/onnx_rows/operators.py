"""The operators that the proof knows; others count as combining rows."""

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
    """Operators on each element of the first input, with constant parameters."""
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


def _rules_by_name(rule: Rule, names: str, domain: str = "") -> dict[tuple[str, str], Rule]:
    return {(domain, name): rule for name in names.split()}


RULES: dict[tuple[str, str], Rule] = {
    **_rules_by_name(
        unary,
        "Abs Acos Acosh Asin Asinh Atan Atanh BitwiseNot Cast Ceil Celu Cos Cosh Elu Erf Exp Floor Gelu"
        " HardSigmoid HardSwish Identity IsInf IsNaN LeakyRelu Log Mish Neg Not Reciprocal RegexFullMatch Relu Round"
        " Selu Shrink Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Swish Tan Tanh ThresholdedRelu",
    ),
    **_rules_by_name(
        elementwise,
        "Add And BitShift BitwiseAnd BitwiseOr BitwiseXor Div Equal Greater GreaterOrEqual Less LessOrEqual Max Mean"
        " Min Mod Mul Or Pow PRelu StringConcat Sub Sum Where Xor",
    ),
    **_rules_by_name(parameterized, "Clip"),
    **_rules_by_name(cast_like, "CastLike"),
    **_rules_by_name(dropout, "Dropout"),
    **_rules_by_name(quantize, "QuantizeLinear DequantizeLinear"),
    **_rules_by_name(shapes.reshape, "Reshape"),
    **_rules_by_name(shapes.flatten, "Flatten"),
    **_rules_by_name(shapes.transpose, "Transpose"),
    **_rules_by_name(shapes.squeeze, "Squeeze"),
    **_rules_by_name(shapes.unsqueeze, "Unsqueeze"),
    **_rules_by_name(shapes.expand, "Expand"),
    **_rules_by_name(shapes.tile, "Tile"),
    **_rules_by_name(shapes.constant_of_shape, "ConstantOfShape"),
    **_rules_by_name(shapes.concat, "Concat"),
    **_rules_by_name(shapes.split, "Split"),
    **_rules_by_name(shapes.slices, "Slice"),
    **_rules_by_name(shapes.gather, "Gather"),
    **_rules_by_name(shapes.gather_elements, "GatherElements"),
    **_rules_by_name(shapes.pad, "Pad"),
    **_rules_by_name(shapes.resize, "Resize Upsample"),
    **_rules_by_name(shapes.one_hot, "OneHot"),
    **_rules_by_name(neural.matmul, "MatMul"),
    **_rules_by_name(neural.integer_matmul, "MatMulInteger"),
    **_rules_by_name(neural.quantized_matmul, "QLinearMatMul"),
    **_rules_by_name(neural.gemm, "Gemm"),
    **_rules_by_name(neural.einsum, "Einsum"),
    **_rules_by_name(neural.conv, "Conv ConvInteger"),
    **_rules_by_name(neural.quantized_conv, "QLinearConv"),
    **_rules_by_name(neural.conv_transpose, "ConvTranspose"),
    **_rules_by_name(neural.pool, "AveragePool MaxPool LpPool"),
    **_rules_by_name(neural.global_pool, "GlobalAveragePool GlobalMaxPool GlobalLpPool"),
    **_rules_by_name(neural.batch_norm, "BatchNormalization"),
    **_rules_by_name(neural.channel_norm, "InstanceNormalization GroupNormalization LRN"),
    **_rules_by_name(neural.layer_norm, "LayerNormalization RMSNormalization SimplifiedLayerNormalization"),
    **_rules_by_name(neural.mean_variance_norm, "MeanVarianceNormalization"),
    **_rules_by_name(neural.by_axis(-1), "LpNormalization"),
    **_rules_by_name(neural.softmax, "Softmax LogSoftmax Hardmax"),
    **_rules_by_name(
        neural.reduce,
        "ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum"
        " ReduceSumSquare",
    ),
    **_rules_by_name(neural.arg_reduce, "ArgMax ArgMin"),
    **_rules_by_name(neural.top_k, "TopK"),
    **_rules_by_name(neural.cumulative, "CumSum"),
    **_rules_by_name(neural.triangle, "Trilu"),
    **_rules_by_name(neural.recurrent, "LSTM GRU RNN"),
    **_rules_by_name(neural.space, "DepthToSpace SpaceToDepth"),
    **_rules_by_name(unary, "Binarizer CategoryMapper LabelEncoder", CLASSICAL),
    **_rules_by_name(tables.per_row, "Imputer Normalizer Scaler", CLASSICAL),
    **_rules_by_name(tables.scored("targets", 1), "LinearRegressor", CLASSICAL),
    **_rules_by_name(tables.scored("n_targets"), "TreeEnsembleRegressor TreeEnsemble", CLASSICAL),
    **_rules_by_name(tables.scored(default=1), "SVMRegressor", CLASSICAL),
    **_rules_by_name(tables.classified, "LinearClassifier SVMClassifier TreeEnsembleClassifier", CLASSICAL),
    **_rules_by_name(tables.joined, "FeatureVectorizer", CLASSICAL),
    **_rules_by_name(tables.encoded, "OneHotEncoder", CLASSICAL),
    **_rules_by_name(tables.extracted, "ArrayFeatureExtractor", CLASSICAL),
    **_rules_by_name(tables.vectorized, "TfIdfVectorizer"),
    **_rules_by_name(unary, "Gelu QuickGelu", MICROSOFT),
    **_rules_by_name(elementwise, "BiasGelu FastGelu", MICROSOFT),
    **_rules_by_name(neural.fused_matmul, "FusedMatMul", MICROSOFT),
    **_rules_by_name(neural.integer_matmul, "MatMulIntegerToFloat", MICROSOFT),
    **_rules_by_name(neural.quantized_gemm, "QGemm", MICROSOFT),
    **_rules_by_name(neural.skip_norm, "SkipLayerNormalization SkipSimplifiedLayerNormalization", MICROSOFT),
    **_rules_by_name(neural.quantized_softmax, "QLinearSoftmax", MICROSOFT),
    **_rules_by_name(quantize, "QuantizeLinear DequantizeLinear", MICROSOFT),
    **_rules_by_name(quantized_sum, "QLinearAdd QLinearMul", MICROSOFT),
    **_rules_by_name(parameterized, "QLinearSigmoid QLinearLeakyRelu", MICROSOFT),
    **_rules_by_name(neural.pool, "QLinearAveragePool", MICROSOFT),
    **_rules_by_name(neural.global_pool, "QLinearGlobalAveragePool", MICROSOFT),
}

RANDOM = frozenset(
    {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial"}
)
"""Operators whose results differ from call to call, even where their inputs do not."""
