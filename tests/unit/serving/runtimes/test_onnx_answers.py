"""ONNX models: what an answer holds of several outputs, how many rows a model takes, and answers that change."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from tidegate.domain.errors import ArtifactError
from tidegate.serving.contract.invocation import Call
from tidegate.serving.runtimes.onnx import load
from tidegate.serving.runtimes.tabular_scorer import TabularScorer

ROWS = [[0.5, -1.0], [2.0, 0.25], [-3.0, 1.5]]
FLOATS = TensorProto.FLOAT


def value(name: str, *shape: int | str | None, kind: int = FLOATS) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def tensor(name: str, array: Any) -> Any:
    return onnx.numpy_helper.from_array(np.asarray(array), name)


def save(
    folder: Path, nodes: Sequence[Any], outputs: Sequence[Any], constants: Sequence[Any] = (), rows: Any = None
) -> Path:
    """A model of two columns in ``rows``."""
    graph = helper.make_graph(nodes, "g", [value("rows", rows, 2)], outputs, constants)
    opset = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 1)]
    path = folder / "model.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString())
    return path


def ask(model: TabularScorer, rows: object, accept: bytes = b"application/json") -> Any:
    call = Call(
        msgspec.json.encode({"instances": rows}), {b"content-type": b"application/json", b"accept": accept}
    )
    [found] = model.score([model.parse(call)])
    body = model.render(found, call).body
    return msgspec.json.decode(body)["predictions"] if accept == b"application/json" else body


def classifier(folder: Path, labels: Sequence[int] | Sequence[str], zipped: bool = True) -> Any:
    """What skl2onnx makes of a classifier; returns its probabilities for ROWS."""
    named: dict[str, Any] = (
        {"classlabels_strings": labels} if isinstance(labels[0], str) else {"classlabels_int64s": labels}
    )
    ints = {"classlabels_ints": labels} if "classlabels_int64s" in named else named
    kind = TensorProto.STRING if ints is named else TensorProto.INT64
    weights: dict[str, Any] = {"coefficients": [1.0, 0.5, -1.0, 2.0, 0.25, 0.75], "intercepts": [0.1, 0.2, 0.3]}
    nodes = [
        helper.make_node(
            "LinearClassifier",
            ["rows"],
            ["label", "scores"],
            domain="ai.onnx.ml",
            multi_class=1,
            post_transform="SOFTMAX",
            **ints,
            **weights,
        ),
        helper.make_node("ZipMap", ["scores"], ["probabilities"], domain="ai.onnx.ml", **named),
    ]
    key = TensorProto.STRING if ints is named else TensorProto.INT64
    maps = helper.make_value_info(
        "probabilities",
        helper.make_sequence_type_proto(
            helper.make_map_type_proto(key, helper.make_tensor_type_proto(FLOATS, []))
        ),
    )
    label = value("label", None, kind=kind)
    path = save(folder, nodes, [label, maps, *([] if zipped else [value("scores", None, 3)])])
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found = session.run(["probabilities"], {"rows": np.array(ROWS, np.float32)})[0]
    return [[row[label] for label in labels] for row in found]


@pytest.mark.parametrize("labels", [[0, 1, 2], [-3, -1, 1], ["a", "b", "é"], ["z", "a", "m"]])
def test_a_map_is_answered_as_the_probabilities_of_its_classes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], labels: Any
) -> None:
    """In the order of the model's classes, as the converter answers without the map."""
    expected = classifier(tmp_path, labels)
    model = load(tmp_path, {})
    assert ask(model, ROWS) == pytest.approx(np.array(expected))
    assert ask(model, ROWS[:1], b"text/csv").count(b",") == 2
    assert model.batches
    said = capsys.readouterr().out
    assert f"the classes {', '.join(map(repr, labels))}, in this order" in said
    assert "an answer holds output probabilities and not label; MODEL_OUTPUT names one" in said


@pytest.mark.parametrize("labels", [[0, 1, 2], ["a", "b", "é"]])
def test_an_output_may_be_named(tmp_path: Path, labels: Any) -> None:
    expected = classifier(tmp_path, labels)
    named = load(tmp_path, {"MODEL_OUTPUT": "label"})
    assert ask(named, ROWS) == [labels[int(np.argmax(row))] for row in expected]
    with pytest.raises(ArtifactError, match=r"MODEL_OUTPUT is 'score', which is no output of model\.onnx; it"):
        load(tmp_path, {"MODEL_OUTPUT": "score"})


def test_several_outputs_of_numbers_are_answered_side_by_side(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nodes = [
        helper.make_node("ReduceSum", ["rows", "axes"], ["sums"], keepdims=1),
        helper.make_node("ReduceMax", ["rows"], ["largest"], axes=[1], keepdims=0),
        helper.make_node("Abs", ["rows"], ["sizes"]),
    ]
    outputs = [value("sums", None, 1), value("largest", None), value("sizes", None, 2)]
    save(tmp_path, nodes, outputs, [tensor("axes", np.array([1]))])
    expected = [[sum(row), max(row), *map(abs, row)] for row in ROWS]
    assert ask(load(tmp_path, {}), ROWS) == pytest.approx(np.array(expected))
    assert "an answer holds output sums, largest, sizes; MODEL_OUTPUT names one" in capsys.readouterr().out
    assert ask(load(tmp_path, {"MODEL_OUTPUT": "largest"}), ROWS) == [max(row) for row in ROWS]


def normalized(folder: Path, **training: Any) -> None:
    outputs = ["out", "mean", "spread"] if training else ["out"]
    node = helper.make_node("BatchNormalization", ["rows", "s", "b", "m", "v"], outputs, momentum=0.5, **training)
    constants = [
        tensor(name, np.full(2, one, np.float32)) for name, one in (("s", 1), ("b", 0), ("m", 0), ("v", 1))
    ]
    save(folder, [node], [value("out", None, 2)], constants)


def test_a_model_exported_in_training_mode_is_refused(tmp_path: Path) -> None:
    normalized(tmp_path, training_mode=1)
    with pytest.raises(ArtifactError) as caught:
        load(tmp_path, {})
    assert "was exported in training mode (BatchNormalization)" in caught.value.message
    assert "model.eval()" in caught.value.message


def test_the_same_operator_in_inference_mode_is_served(tmp_path: Path) -> None:
    normalized(tmp_path)
    assert ask(load(tmp_path, {}), ROWS) == pytest.approx(np.array(ROWS), rel=1e-4)


@pytest.mark.parametrize("operator", ["RandomNormalLike", "RandomUniformLike", "Dropout"])
def test_a_model_that_answers_at_random_is_refused(tmp_path: Path, operator: str) -> None:
    given = ["rows", "half", "training"] if operator == "Dropout" else ["rows"]
    nodes = [
        helper.make_node(operator, given, ["noise"]),
        helper.make_node("Add", ["rows", "noise"], ["out"]),
    ]
    constants = [tensor("half", np.float32(0.5)), tensor("training", np.array(True))]
    save(tmp_path, nodes, [value("out", None, 2)], constants if operator == "Dropout" else [])
    with pytest.raises(ArtifactError, match=r"it answers the same rows differently each time .*tidegate/script"):
        load(tmp_path, {})


@pytest.mark.parametrize("declared", [1, None])
def test_the_rows_of_a_request_are_scored_one_by_one_if_the_model_takes_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], declared: int | None
) -> None:
    """As its input says, or as an operator in it does."""
    nodes = [
        helper.make_node("Reshape", ["rows", "shape"], ["flat"]),
        helper.make_node("ReduceSum", ["flat", "axes"], ["out"], keepdims=1),
    ]
    constants = [tensor("axes", np.array([1])), tensor("shape", np.array([1, 2]))]
    save(tmp_path, nodes, [value("out", 1, 1)], constants, rows=declared)
    model = load(tmp_path, {})
    assert ask(model, ROWS) == [sum(row) for row in ROWS]
    assert "the rows of a request are scored one by one" in capsys.readouterr().out
    assert not model.batches


def test_another_fixed_number_of_rows_is_refused_with_the_way_out(tmp_path: Path) -> None:
    save(tmp_path, [helper.make_node("Abs", ["rows"], ["out"])], [value("out", 4, 2)], rows=4)
    with pytest.raises(
        ArtifactError, match="takes 4 rows at a time, no more and no fewer; export it with a batch"
    ):
        load(tmp_path, {})
