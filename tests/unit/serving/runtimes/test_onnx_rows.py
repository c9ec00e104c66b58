"""Which ONNX graphs keep rows apart, and which let them influence each other or the number of them matter."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.helper import make_node as node

from tests.batched_clients import save_onnx
from tidegate.serving.runtimes.onnx_rows.analysis import Unproven, prove_file

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
}


def proven(folder: Path, *nodes: onnx.NodeProto, opset: int = 17, width: int = 4, output: str = "out") -> str:
    """Empty, or why not."""
    used = {name for one in nodes for name in one.input}
    path = save_onnx(folder / "m.onnx", nodes, {k: v for k, v in W.items() if k in used}, width, opset, output)
    try:
        prove_file(path, ["rows"], output)
    except Unproven as why:
        return str(why)
    return ""


ROW = node("Shape", ["rows"], ["shape"])
COUNT = [ROW, node("Gather", ["shape", "zero"], ["count"], axis=0)]

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
    "einsum": [node("Einsum", ["rows", "w"], ["out"], equation="ni,ij->nj")],
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
    "einsum over rows": [node("Einsum", ["rows", "rows"], ["out"], equation="ni,nj->ij")],
    "softmax of version 11 over rows": [node("Softmax", ["rows"], ["out"], axis=0)],
}
W["w3"] = RANDOM.normal(size=(1, 4, 4)).astype(np.float32)


@pytest.mark.parametrize("name", SAFE)
def test_graphs_that_keep_rows_apart_are_proven(name: str, tmp_path: Path) -> None:
    assert proven(tmp_path, *SAFE[name], opset=17) == ""


@pytest.mark.parametrize("name", UNSAFE)
def test_graphs_that_combine_rows_are_not(name: str, tmp_path: Path) -> None:
    assert proven(tmp_path, *UNSAFE[name], opset=11 if "version 11" in name else 17) != ""


def test_rows_are_not_cut_in_the_middle(tmp_path: Path) -> None:
    cut = node("Reshape", ["rows", "flat"], ["out"])
    assert proven(tmp_path, cut, width=4) == ""
    assert "it may cut between rows at other places than before" in proven(tmp_path, cut, width=6)


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
        prove_file(path, ["rows"], "out")


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
        prove_file(tmp_path / "m.onnx", ["rows"], "out")


@pytest.mark.parametrize("cut", range(0, 200, 7))
def test_a_damaged_file_is_no_proof(cut: int, tmp_path: Path) -> None:
    path = save_onnx(tmp_path / "m.onnx", SAFE["dense"], {k: W[k] for k in "wv"}, 4)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) - 1 - cut])
    with pytest.raises(Unproven):
        prove_file(path, ["rows"], "out")


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
        with pytest.raises(Unproven, match="batch axis"):
            prove_file(tmp_path / "m.onnx", ["rows"], "out")
