"""Which ONNX graphs keep rows apart, and which let them influence each other or the number of them matter."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.helper import make_node as node

from bench.architectures import save_onnx as save_onnx_network
from tests.batched_clients import save_onnx
from tidegate.serving.runtimes.onnx_rows import RULES, Unproven, elementwise, prove, read, table

RANDOM = np.random.default_rng(0)
W: dict[str, Any] = {
    "w": RANDOM.normal(size=(4, 4)).astype(np.float32),
    "v": RANDOM.normal(size=4).astype(np.float32),
    "k": RANDOM.normal(size=(3, 1, 2, 2)).astype(np.float32),
    "table": RANDOM.normal(size=(10, 4)).astype(np.float32),
    "one": np.array([1], np.int64),
    "zero": np.array([0], np.int64),
    "axes01": np.array([0, 1], np.int64),
    "image": np.array([-1, 1, 2, 2], np.int64),
    "steps": np.array([-1, 2, 2], np.int64),
    "flat": np.array([-1, 4], np.int64),
    "flat2": np.array([-1, 2], np.int64),
    "flat8": np.array([-1, 8], np.int64),
    "merged": np.array([1, -1], np.int64),
    "keep": np.array([0, -1], np.int64),
    "four": np.array([4], np.int64),
    "row": np.array([1, 4], np.int64),
    "two": np.array(2, np.int64),
    "half": np.array(0.5, np.float32),
    "point": np.array(128, np.uint8),
    "big": np.array(1e9, np.float32),
    "training": np.array(True),
    "head": np.array([0], np.int64),
    "tail": np.array([2], np.int64),
    "whole": np.array([2**63 - 1], np.int64),
    "minus": np.array([-1], np.int64),
    "minuses": np.array([-1, -1], np.int64),
    "ones": np.array([1, 1], np.int64),
}


def proven(folder: Path, *nodes: onnx.NodeProto, opset: int = 17, width: int = 4, output: str = "out") -> str:
    """Empty, or why not."""
    used = {name for one in nodes for name in one.input}
    path = save_onnx(folder / "m.onnx", nodes, {k: v for k, v in W.items() if k in used}, width, opset, output)
    try:
        prove(read(path), ["rows"], [output])
    except Unproven as why:
        return str(why)
    return ""


ROW = node("Shape", ["rows"], ["shape"])
COUNT = [ROW, node("Gather", ["shape", "zero"], ["count"], axis=0)]

CODES = [
    node("Cast", ["rows"], ["codes"], to=7),
    node("Gather", ["codes", "two"], ["code"], axis=1),
]
ORDERS = [
    node("Reshape", ["rows", "flat2"], ["a"]),
    node("Reshape", ["rows", "steps"], ["s"]),
    node("Transpose", ["s"], ["t"], perm=[1, 0, 2]),
    node("Reshape", ["t", "flat2"], ["b"]),
]
"""Two halves of each row: next to each other, and after the halves of all other rows."""

SAFE: dict[str, list[onnx.NodeProto]] = {
    "dense": [node("MatMul", ["rows", "w"], ["a"]), node("Add", ["a", "v"], ["b"]), node("Relu", ["b"], ["out"])],
    "gemm": [node("Gemm", ["rows", "w", "v"], ["out"], transB=1)],
    "from the left": [
        node("Transpose", ["rows"], ["t"]),
        node("MatMul", ["w", "t"], ["a"]),
        node("Transpose", ["a"], ["out"]),
    ],
    "softmax": [node("Softmax", ["rows"], ["out"])],
    "layer norm": [node("LayerNormalization", ["rows", "v", "v"], ["out"])],
    "batch norm": [node("BatchNormalization", ["rows", "v", "v", "v", "v"], ["out"])],
    "reduce": [node("ReduceSum", ["rows", "one"], ["out"])],
    "reduce, no axis left": [node("ReduceMax", ["rows"], ["out"], axes=[1], keepdims=0)],
    "conv": [
        node("Reshape", ["rows", "image"], ["x"]),
        node("Conv", ["x", "k"], ["c"]),
        node("GlobalAveragePool", ["c"], ["p"]),
        node("Flatten", ["p"], ["out"]),
    ],
    "attention": [
        node("Reshape", ["rows", "steps"], ["q"]),
        node("Transpose", ["q"], ["k_"], perm=[0, 2, 1]),
        node("MatMul", ["q", "k_"], ["s"]),
        node("Softmax", ["s"], ["p"], axis=-1),
        node("MatMul", ["p", "q"], ["o"]),
        node("Reshape", ["o", "flat"], ["out"]),
    ],
    "tokens side by side": [
        node("Reshape", ["rows", "steps"], ["a"]),
        node("Transpose", ["a"], ["b"], perm=[1, 0, 2]),
        node("Reshape", ["b", "flat2"], ["c"]),
        node("Relu", ["c"], ["d"]),
        *COUNT,
        node("Concat", ["tail", "count", "tail"], ["back"], axis=0),
        node("Reshape", ["d", "back"], ["e"]),
        node("Transpose", ["e"], ["f"], perm=[1, 0, 2]),
        node("Reshape", ["f", "keep"], ["out"]),
    ],
    "shape arithmetic": [
        *COUNT,
        node("Concat", ["count", "merged"], ["wrong"], axis=0),
        node("Slice", ["wrong", "zero", "one"], ["first"]),
        node("Concat", ["first", "tail", "tail"], ["target"], axis=0),
        node("Reshape", ["rows", "target"], ["a"]),
        node("Reshape", ["a", "flat"], ["out"]),
    ],
    "embedding": [
        node("Cast", ["rows"], ["codes"], to=7),
        node("Gather", ["table", "codes"], ["e"]),
        node("Flatten", ["e"], ["out"], axis=1),
    ],
    "static quantization": [
        node("QuantizeLinear", ["rows", "half", "point"], ["q"]),
        node("DequantizeLinear", ["q", "half", "point"], ["d"]),
        node("MatMul", ["d", "w"], ["out"]),
    ],
    "topk": [node("TopK", ["rows", "one"], ["out", "places"], axis=1)],
    "all rows of a slice": [node("Slice", ["rows", "zero", "whole", "zero"], ["out"])],
    "dropout": [node("Dropout", ["rows"], ["out"])],
    "scaler": [
        node("Scaler", ["rows"], ["s"], domain="ai.onnx.ml", offset=[0.0] * 4, scale=[1.0] * 4),
        node("Normalizer", ["s"], ["out"], domain="ai.onnx.ml", norm="L2"),
    ],
    "expand": [ROW, node("Expand", ["v", "shape"], ["x"]), node("Mul", ["x", "rows"], ["out"])],
    "the last state of steps": [
        node("Reshape", ["rows", "steps"], ["a"]),
        node("Transpose", ["a"], ["b"], perm=[1, 0, 2]),
        node("GRU", ["b", "w6", "w6"], ["", "h"], hidden_size=2),
        node("Squeeze", ["h", "zero"], ["out"]),
    ],
    "expanded with -1, as exporters write it": [
        *COUNT,
        node("Concat", ["count", "minus"], ["wish"], axis=0),
        node("Equal", ["wish", "minuses"], ["kept"]),
        node("Where", ["kept", "ones", "wish"], ["target"]),
        node("Expand", ["v", "target"], ["x"]),
        node("Mul", ["x", "rows"], ["out"]),
    ],
}

UNSAFE: dict[str, list[onnx.NodeProto]] = {
    "dynamic quantization": [
        node("DynamicQuantizeLinear", ["rows"], ["q", "s", "z"]),
        node("DequantizeLinear", ["q", "s", "z"], ["out"]),
    ],
    "mean of all": [node("ReduceMean", ["rows"], ["m"], keepdims=1), node("Sub", ["rows", "m"], ["out"])],
    "mean of rows": [node("ReduceMean", ["rows"], ["m"], axes=[0]), node("Sub", ["rows", "m"], ["out"])],
    "mean of rows from the back": [
        node("ReduceMean", ["rows"], ["m"], axes=[-2]),
        node("Sub", ["rows", "m"], ["out"]),
    ],
    "gate on the largest": [
        node("ReduceMax", ["rows"], ["m"], keepdims=0),
        node("Max", ["m", "big"], ["g"]),
        node("Div", ["rows", "g"], ["out"]),
    ],
    "softmax over rows": [node("Softmax", ["rows"], ["out"], axis=0)],
    "running sum": [node("CumSum", ["rows", "zero"], ["out"])],
    "sorted rows": [node("TopK", ["rows", "one"], ["t", "places"], axis=0), node("Add", ["rows", "t"], ["out"])],
    "training norm": [
        node("BatchNormalization", ["rows", "v", "v", "v", "v"], ["out", "m", "s"], training_mode=1)
    ],
    "norm over rows": [node("LayerNormalization", ["rows", "v"], ["out"], axis=0)],
    "gram": [node("Transpose", ["rows"], ["t"]), node("MatMul", ["rows", "t"], ["out"])],
    "gram of columns": [
        node("Transpose", ["rows"], ["t"]),
        node("MatMul", ["t", "rows"], ["g"]),
        node("MatMul", ["rows", "g"], ["out"]),
    ],
    "rows merged": [
        node("Reshape", ["rows", "merged"], ["m"]),
        node("ReduceSum", ["m", "one"], ["s"]),
        node("Add", ["rows", "s"], ["out"]),
    ],
    "pairs of rows": [
        node("Reshape", ["rows", "flat8"], ["p"]),
        node("Softmax", ["p"], ["s"]),
        node("Reshape", ["s", "flat"], ["out"]),
    ],
    "transposed reshape": [
        node("Transpose", ["rows"], ["t"]),
        node("Reshape", ["t", "flat"], ["out"]),
    ],
    "first row": [node("Gather", ["rows", "zero"], ["f"], axis=0), node("Add", ["rows", "f"], ["out"])],
    "some rows": [node("Slice", ["rows", "zero", "one", "zero"], ["f"]), node("Add", ["rows", "f"], ["out"])],
    "number of rows": [*COUNT, node("Cast", ["count"], ["c"], to=1), node("Div", ["rows", "c"], ["out"])],
    "number of rows, root": [
        node("Size", ["rows"], ["n"]),
        node("Cast", ["n"], ["c"], to=1),
        node("Mul", ["rows", "c"], ["out"]),
    ],
    "place of the row": [
        *COUNT,
        node("Squeeze", ["count"], ["c"]),
        node("Squeeze", ["zero"], ["from"]),
        node("Squeeze", ["one"], ["by"]),
        node("Range", ["from", "c", "by"], ["r"]),
        node("Cast", ["r"], ["f"], to=1),
        node("Unsqueeze", ["f", "one"], ["u"]),
        node("Add", ["rows", "u"], ["out"]),
    ],
    "noise": [node("RandomNormalLike", ["rows"], ["n"]), node("Add", ["rows", "n"], ["out"])],
    "noise without rows": [node("RandomNormal", [], ["n"], shape=[4]), node("Add", ["rows", "n"], ["out"])],
    "training dropout": [node("Dropout", ["rows", "half", "training"], ["out"])],
    "squeezed": [node("Squeeze", ["rows"], ["out"])],
    "custom domain": [node("Inverse", ["rows"], ["out"], domain="com.microsoft")],
    "unknown operator": [node("NonZero", ["rows"], ["n"]), node("Cast", ["n"], ["out"], to=1)],
    "no rows in the output": [node("ReduceSum", ["rows", "zero"], ["out"])],
    "columns for rows": [node("Transpose", ["rows"], ["out"])],
    "places in the whole batch": [
        node("Reshape", ["rows", "image"], ["x"]),
        node("MaxPool", ["x"], ["p", "places"], kernel_shape=[2, 2]),
        node("Cast", ["places"], ["c"], to=1),
        node("Flatten", ["c"], ["out"]),
    ],
    "one row for a vector": [
        node("Squeeze", ["rows", "one"], ["vector"]),
        node("Normalizer", ["vector"], ["out"], domain="ai.onnx.ml"),
    ],
    "rows as steps": [
        node("Unsqueeze", ["rows", "one"], ["x"]),
        node("RNN", ["x", "w3", "w3"], ["y", "h"], hidden_size=4),
        node("Flatten", ["y"], ["out"]),
    ],
    "einsum": [node("Einsum", ["rows", "w"], ["out"], equation="ni,ij->nj")],
    "added in another order": [*ORDERS, node("Add", ["a", "b"], ["c"]), node("Reshape", ["c", "flat"], ["out"])],
    "joined in another order": [
        *ORDERS,
        node("Concat", ["a", "b"], ["c"], axis=1),
        node("Reshape", ["c", "pairs"], ["d"]),
        node("ReduceSum", ["d", "one"], ["e"], keepdims=0),
        node("Flatten", ["e"], ["out"]),
    ],
    "multiplied in another order": [
        *ORDERS,
        node("Unsqueeze", ["a", "one"], ["p"]),
        node("Unsqueeze", ["b", "two_"], ["q"]),
        node("MatMul", ["p", "q"], ["m"]),
        node("Reshape", ["m", "flat2"], ["out"]),
    ],
    "rows at places from rows": [*CODES, node("Gather", ["rows", "code"], ["out"], axis=0)],
    "a constant by the row's place": [*CODES, node("GatherElements", ["table", "codes"], ["out"], axis=1)],
    "a slope for each place": [node("PRelu", ["rows", "column"], ["out"])],
    "a scale for each place": [node("LayerNormalization", ["rows", "column"], ["out"])],
    "training norm with one output": [
        node("BatchNormalization", ["rows", "v", "v", "v", "v"], ["out"], training_mode=1)
    ],
    "cropped": [
        node("Reshape", ["rows", "image"], ["x"]),
        node(
            "Resize",
            ["x", "v", "evenly"],
            ["y"],
            mode="linear",
            coordinate_transformation_mode="tf_crop_and_resize",
        ),
        node("Flatten", ["y"], ["out"]),
    ],
    "all steps, with rows as steps": [
        node("Unsqueeze", ["rows", "one"], ["u"]),
        node("LSTM", ["u", "w4", "w4"], ["y"], hidden_size=4),
        node("Flatten", ["y"], ["out"]),
    ],
    "parity of the number of rows": [
        *COUNT,
        node("Mod", ["count", "tail"], ["p"]),
        node("Cast", ["p"], ["c"], to=1),
        node("Add", ["rows", "c"], ["out"]),
    ],
    "a certain number of rows": [
        *COUNT,
        node("Equal", ["count", "tail"], ["p"]),
        node("Cast", ["p"], ["c"], to=1),
        node("Add", ["rows", "c"], ["out"]),
    ],
    "number of rows as a whole number": [
        *COUNT,
        node("Cast", ["rows"], ["i"], to=7),
        node("Add", ["i", "count"], ["j"]),
        node("Cast", ["j"], ["out"], to=1),
    ],
    "einsum over rows": [node("Einsum", ["rows", "rows"], ["out"], equation="ni,nj->ij")],
    "softmax of version 11 over rows": [node("Softmax", ["rows"], ["out"], axis=0)],
}
W |= {
    "pairs": np.array([-1, 2, 4], np.int64),
    "two_": np.array([2], np.int64),
    "column": np.ones((7, 1), np.float32),
    "evenly": np.ones(4, np.float32),
    "w6": RANDOM.normal(size=(1, 6, 2)).astype(np.float32),
    "w4": RANDOM.normal(size=(1, 16, 4)).astype(np.float32),
    "kq": np.ones((3, 1, 2, 2), np.uint8),
    "points": np.zeros(4, np.uint8),
    "bounds": np.array([0, 1], np.float32),
    "twice": np.array([2, 1], np.int64),
    "last": np.array([-1], np.int64),
    "before": np.array([-(2**40)], np.int64),
    "shift": np.array([1, 0, -1, 0], np.int64),
    "stretched": np.array([1.0000001, 1, 1, 1], np.float32),
    "stacked": np.array([1, 3, 4], np.int64),
    "row4": np.ones((1, 4), np.float32),
    "places": np.array([1, 0], np.int64),
    "places2": np.array([[1, 0]], np.int64),
}
W["w3"] = RANDOM.normal(size=(1, 4, 4)).astype(np.float32)


# --- each covered operator in a graph where it mixes rows ---

IMAGE = node("Reshape", ["rows", "image"], ["x"])
TURNED = node("Transpose", ["rows"], ["t"])
LAST = node("Transpose", ["x"], ["y"], perm=[1, 0, 2, 3])
"""The batch axis is the second, where convolutions have channels."""
BYTES = node("QuantizeLinear", ["y", "half", "point"], ["q"])
SCALE = ("half", "point")
SQUARES = [TURNED, node("QuantizeLinear", ["rows", *SCALE], ["q"]), node("QuantizeLinear", ["t", *SCALE], ["qt"])]
VECTOR = node("Gather", ["rows", "two"], ["vector"], axis=1)
POOLS: list[tuple[str, list[str], dict[str, Any]]] = [
    ("AveragePool", [], {"kernel_shape": [1, 1]}),
    ("MaxPool", [], {"kernel_shape": [1, 1]}),
    ("Conv", ["k"], {}),
    ("ConvTranspose", ["k"], {}),
    ("GlobalAveragePool", [], {}),
    ("GlobalMaxPool", [], {}),
    ("InstanceNormalization", ["v", "v"], {}),
    ("LRN", [], {"size": 3}),
    ("DepthToSpace", [], {"blocksize": 1}),
    ("SpaceToDepth", [], {"blocksize": 2}),
]
MEETING: dict[str, list[onnx.NodeProto]] = {
    **{op: [TURNED, node(op, ["t"], ["out"])] for op in ("Hardmax", "LogSoftmax", "LpNormalization", "Softmax")},
    "CumSum": [node("CumSum", ["rows", "zero"], ["out"])],
    "TopK": [TURNED, node("TopK", ["t", "one"], ["out", "places"])],
    "Trilu": [node("Trilu", ["rows"], ["out"])],
    "ArgMax": [node("ArgMax", ["rows"], ["out"])],
    "ArgMin": [node("ArgMin", ["rows"], ["out"])],
    "Split": [node("Split", ["rows"], ["out"], axis=0)],
    **{
        f"Reduce{op}": [node(f"Reduce{op}", ["rows"], ["m"], axes=[0]), node("Sub", ["rows", "m"], ["out"])]
        for op in ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "SumSquare")
    },
    "ReduceSum": [node("ReduceSum", ["rows", "zero"], ["m"]), node("Sub", ["rows", "m"], ["out"])],
    "LayerNormalization": [node("LayerNormalization", ["rows", "v"], ["out"], axis=0)],
    "RMSNormalization": [node("RMSNormalization", ["rows", "v"], ["out"], axis=0)],
    **{op: [IMAGE, LAST, node(op, ["y", *more], ["out"], **attributes)] for op, more, attributes in POOLS},
    "ConvInteger": [IMAGE, LAST, BYTES, node("ConvInteger", ["q", "kq"], ["out"])],
    "QLinearConv": [IMAGE, LAST, BYTES, node("QLinearConv", ["q", *SCALE, "kq", *SCALE, *SCALE], ["out"])],
    "BatchNormalization": UNSAFE["training norm"],
    "Dropout": [node("Dropout", ["rows", "half", "training"], ["out"])],
    "QuantizeLinear": [node("QuantizeLinear", ["rows", "v", "points"], ["out"], axis=0)],
    "DequantizeLinear": [
        node("QuantizeLinear", ["rows", *SCALE], ["q"]),
        node("DequantizeLinear", ["q", "v", "points"], ["out"], axis=0),
    ],
    "Tile": [node("Tile", ["rows", "twice"], ["t"]), node("Flatten", ["t"], ["out"])],
    "Slice": [node("Slice", ["rows", "last", "before", "zero", "minus"], ["out"])],
    "Pad": [node("Pad", ["rows", "shift"], ["out"])],
    "Resize": [IMAGE, node("Resize", ["x", "", "stretched"], ["out"], mode="linear")],
    "Upsample": [IMAGE, node("Upsample", ["x", "stretched"], ["out"])],
    "Reshape": [TURNED, node("Reshape", ["t", "flat"], ["out"])],
    "Flatten": [node("Unsqueeze", ["rows", "zero"], ["u"]), node("Flatten", ["u"], ["out"])],
    "Squeeze": [node("Squeeze", ["rows"], ["out"])],
    "Unsqueeze": [node("Unsqueeze", ["rows", "zero"], ["out"])],
    "Expand": [ROW, node("Unsqueeze", ["rows", "one"], ["u"]), node("Expand", ["u", "stacked"], ["out"])],
    "Not": [TURNED, node("Cast", ["t"], ["b"], to=9), node("Not", ["b"], ["out"])],
    "BitwiseNot": [TURNED, node("Cast", ["t"], ["i"], to=7), node("BitwiseNot", ["i"], ["out"])],
    "Transpose": [TURNED, node("Identity", ["t"], ["out"])],
    "ConstantOfShape": [
        *COUNT,
        node("Concat", ["count", "count"], ["square"], axis=0),
        node("ConstantOfShape", ["square"], ["out"]),
    ],
    "Concat": [node("Concat", ["rows", "row4"], ["out"], axis=0)],
    "Gather": [node("Gather", ["rows", "places"], ["out"], axis=0)],
    "GatherElements": [node("GatherElements", ["w", "places2"], ["out"], axis=1)],
    "MatMul": [TURNED, node("MatMul", ["rows", "t"], ["out"])],
    "MatMulInteger": [*SQUARES, node("MatMulInteger", ["q", "qt"], ["out"])],
    "QLinearMatMul": [*SQUARES, node("QLinearMatMul", ["q", *SCALE, "qt", *SCALE, *SCALE], ["out"])],
    "Gemm": [node("Gemm", ["rows", "rows"], ["out"], transB=1)],
    **{
        op: [
            node("Unsqueeze", ["rows", "one"], ["u"]),
            node(op, ["u", "w3", "w3"], ["y", "out"], hidden_size=4),
        ]
        for op in ("LSTM", "GRU", "RNN")
    },
    **{
        op: [VECTOR, node(op, ["vector"], ["out"], domain="ai.onnx.ml")]
        for _, op in (key for key, rule in RULES.items() if rule is table)
    },
    "ArrayFeatureExtractor": [
        VECTOR,
        node("ArrayFeatureExtractor", ["vector", "zero"], ["out"], domain="ai.onnx.ml"),
    ],
    "OneHot": [node("OneHot", ["rows", "two", "bounds"], ["out"], axis=0)],
    "OneHotEncoder": [TURNED, node("OneHotEncoder", ["t"], ["out"], domain="ai.onnx.ml", cats_int64s=[1, 2])],
}
NEWER = {"Upsample": 9, "BitwiseNot": 18, "Mish": 18, "Gelu": 20, "RMSNormalization": 23, "Swish": 24}
"""Operator sets that have the operator, if 17 has not."""
ATTRIBUTES: dict[str, dict[str, Any]] = {
    "Cast": {"to": 1},
    "LabelEncoder": {"keys_floats": [1.0], "values_floats": [2.0]},
}


@pytest.mark.parametrize(("domain", "op"), RULES)
def test_every_covered_operator_has_a_use_that_is_not_accepted(domain: str, op: str, tmp_path: Path) -> None:
    if RULES[domain, op] is elementwise:  # each row with the columns of all
        nodes = [TURNED, node(op, ["rows", "t", *(["rows"] if op == "Where" else [])], ["out"])]
    elif op in MEETING:
        nodes = MEETING[op]
    else:  # each number by itself: columns are still not rows
        nodes = [TURNED, node(op, ["t"], ["out"], domain=domain, **ATTRIBUTES.get(op, {}))]
    why = proven(tmp_path, *nodes, opset=NEWER.get(op, 17))
    assert why
    assert "Error" not in why or RULES[domain, op] is elementwise, why


@pytest.mark.parametrize("name", SAFE)
def test_graphs_that_keep_rows_apart_are_proven(name: str, tmp_path: Path) -> None:
    assert proven(tmp_path, *SAFE[name], opset=17) == ""


@pytest.mark.parametrize("name", UNSAFE)
def test_graphs_that_combine_rows_are_not(name: str, tmp_path: Path) -> None:
    assert proven(tmp_path, *UNSAFE[name], opset=11 if "version 11" in name else 17) != ""


@pytest.mark.parametrize(
    "name", ["ResNet", "EfficientNet", "U-Net", "ViT", "Swin", "LSTM", "Transformer encoder", "DLRM"]
)
def test_public_architectures_are_proven(name: str, tmp_path: Path) -> None:
    """As PyTorch's exporter writes them; ``python -m bench.architectures`` has all of them."""
    save_onnx_network(name, tmp_path / "m.onnx")
    prove(read(tmp_path / "m.onnx"), ["rows"], ["out"])


def test_rows_are_not_cut_in_the_middle(tmp_path: Path) -> None:
    cut = node("Reshape", ["rows", "flat"], ["out"])
    assert proven(tmp_path, cut, width=4) == ""
    assert "incompatible shapes" in proven(tmp_path, cut, width=6)


def test_a_shape_that_does_not_fit_is_no_proof(tmp_path: Path) -> None:
    """onnxruntime rewrites the shape (rows, 4) of eight columns to one that gives two rows for each."""
    nodes = [
        *COUNT,
        node("Concat", ["count", "four"], ["shape_"], axis=0),
        node("Reshape", ["rows", "shape_"], ["out"]),
    ]
    assert proven(tmp_path, *nodes, width=4) == ""
    assert "it may cut between rows" in proven(tmp_path, *nodes, width=8)


def test_noise_in_a_parameter_is_seen(tmp_path: Path) -> None:
    nodes = [
        node("RandomNormal", [], ["n"], shape=[1, 4]),
        node("Reshape", ["n", "row"], ["r"]),
        node("Add", ["rows", "r"], ["out"]),
    ]
    assert "it draws numbers at random" in proven(tmp_path, *nodes)


def test_only_what_the_output_is_computed_from_matters(tmp_path: Path) -> None:
    """Of two outputs one mixes; the other is the prediction."""
    mixing = node("ReduceMean", ["rows"], ["mean"], axes=[0])
    assert proven(tmp_path, mixing, node("Relu", ["rows"], ["out"])) == ""
    assert "ReduceMean" in proven(tmp_path, mixing, node("Sub", ["rows", "mean"], ["out"]))


def test_the_reason_names_the_operator(tmp_path: Path) -> None:
    why = proven(tmp_path, node("DynamicQuantizeLinear", ["rows"], ["out", "s", "z"], name="scale_of_all"))
    assert why == "DynamicQuantizeLinear (scale_of_all): it may let rows influence each other"


def test_a_branch_or_a_loop_is_not_followed(tmp_path: Path) -> None:
    value = onnx.helper.make_tensor_value_info("then", onnx.TensorProto.FLOAT, [None, 4])
    body = onnx.helper.make_graph([node("Relu", ["rows"], ["then"])], "b", [], [value])
    branch = node("If", ["training"], ["out"], then_branch=body, else_branch=body)
    assert "it has a graph of its own" in proven(tmp_path, branch)


def test_an_operator_that_the_file_defines_is_not_taken_for_the_one_of_that_name(tmp_path: Path) -> None:
    path = save_onnx(tmp_path / "m.onnx", [node("Scaler", ["rows"], ["out"], domain="ai.onnx.ml")], {}, 4)
    model = onnx.load(path)
    mixing = node("ReduceSum", ["x"], ["y"], keepdims=1)
    model.functions.append(
        onnx.helper.make_function(
            "ai.onnx.ml", "Scaler", ["x"], ["y"], [mixing], [onnx.helper.make_opsetid("", 17)]
        )
    )
    path.write_bytes(model.SerializeToString())
    with pytest.raises(Unproven, match="the file defines it itself"):
        prove(read(path), ["rows"], ["out"])


def test_a_declared_number_of_rows_is_no_batch(tmp_path: Path) -> None:
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [node("Relu", ["rows"], ["out"])],
        "g",
        [value("rows", onnx.TensorProto.FLOAT, [1, 4])],
        [value("out", onnx.TensorProto.FLOAT, [1, 4])],
    )
    (tmp_path / "m.onnx").write_bytes(onnx.helper.make_model(graph).SerializeToString())
    with pytest.raises(Unproven, match="no axis of any length"):
        prove(read(tmp_path / "m.onnx"), ["rows"], ["out"])


@pytest.mark.parametrize("cut", range(0, 200, 7))
def test_a_damaged_file_is_no_proof(cut: int, tmp_path: Path) -> None:
    path = save_onnx(tmp_path / "m.onnx", SAFE["dense"], {k: W[k] for k in "wv"}, 4)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) - 1 - cut])
    with pytest.raises(Unproven):
        prove(read(path), ["rows"], ["out"])


def test_weights_are_found_in_whatever_form_they_lie(tmp_path: Path) -> None:
    """A vector as long as the batch would be added row by row: only its length says so."""
    for raw in (True, False):
        weights: Any = onnx.helper.make_tensor(
            "b", 1, [5, 1], np.zeros(5, np.float32).tobytes() if raw else [0.0] * 5, raw
        )
        value = onnx.helper.make_tensor_value_info
        graph = onnx.helper.make_graph(
            [node("Add", ["rows", "b"], ["out"])],
            "g",
            [value("rows", onnx.TensorProto.FLOAT, [None, 4])],
            [value("out", onnx.TensorProto.FLOAT, None)],
            [weights],
        )
        (tmp_path / "m.onnx").write_bytes(onnx.helper.make_model(graph).SerializeToString())
        with pytest.raises(Unproven, match="Incompatible dimensions"):
            prove(read(tmp_path / "m.onnx"), ["rows"], ["out"])
