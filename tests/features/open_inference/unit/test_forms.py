"""What each kind of runtime gets of a request, read by the runtime's own code."""

import json
from typing import Any

import numpy as np
import pytest

from tidegate.serving.contract.invocation import Answer, Call, ModelFailed
from tidegate.serving.contract.signature import Form, ModelSignature, TensorSpec, describe_columns, find_signature
from tidegate.serving.engines.assembly import FallbackEngine
from tidegate.serving.engines.bounded import Bounded
from tidegate.serving.engines.pipeline import Pipeline, PipelineStage
from tidegate.serving.formats import dataframes, v2_rows
from tidegate.serving.formats.tensors import TensorInput, Tensors
from tidegate.serving.formats.v2_messages import InferRequest, V2Tensor, make_tensor


def ask(handler: Any, *inputs: V2Tensor) -> dict[str, Any]:
    """The outputs of a handler's answer, by name."""
    native = v2_rows.native_request(InferRequest(inputs), find_signature(handler))
    headers = {b"content-type": native.content_type.encode(), b"accept": native.accept.encode()}
    answer = handler.answer(Call(native.body, headers))
    return {one.name: one.values.tolist() for one in v2_rows.outputs_of(answer)}


def test_a_model_of_one_tensor_gets_it_in_any_shape() -> None:
    images = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    handler = Tensors(lambda x: x * 2, [TensorInput("image", "float32", (None, 3, 4))], None)
    assert ask(handler, make_tensor("anything", images)) == {"predictions": (images * 2).tolist()}
    with pytest.raises(ModelFailed, match="the model takes anyx3x4"):
        ask(handler, make_tensor("image", images[:, :2]))


def test_a_model_of_several_tensors_gets_them_by_name() -> None:
    inputs = [TensorInput("ids", "int64", (None, 2)), TensorInput("x", "float32", (None,))]
    handler = Tensors(lambda ids, x: {"ids": ids, "x": x}, inputs, None)
    ids, x = np.array([[2**53 + 1, 0]]), np.array([np.nan], np.float32)
    found = ask(handler, make_tensor("x", x), make_tensor("ids", ids))
    assert found["ids"] == ids.tolist() and np.isnan(found["x"]).all()
    with pytest.raises(ModelFailed, match="no input 'y'"):
        ask(handler, make_tensor("ids", ids), make_tensor("y", x))
    with pytest.raises(ModelFailed, match="infinite"):
        ask(handler, make_tensor("ids", ids), make_tensor("x", np.array([np.inf], np.float32)))
    with pytest.raises(ModelFailed, match="takes numbers"):
        ask(handler, make_tensor("ids", ids), make_tensor("x", np.array(["a"], object)))


def frame_of(signature: dataframes.Signature, *inputs: V2Tensor) -> Any:
    native = v2_rows.native_request(InferRequest(inputs), signature.described)
    return signature.read(native.body, native.content_type)[0]


def test_an_mlflow_model_gets_its_columns() -> None:
    columns = (dataframes.SchemaColumn("n", "long"), dataframes.SchemaColumn("t", "string"))
    signature = dataframes.Signature(columns, ())
    described = signature.described
    assert described.form is Form.FRAME
    assert described.inputs == (TensorSpec("n", "int64", (-1, 1)), TensorSpec("t", "object", (-1, 1)))
    given = make_tensor("t", np.array([["ä"], ["b"]], object)), make_tensor("n", np.array([2**53 + 1, 2]))
    frame = frame_of(signature, *given)
    assert frame["n"].tolist() == [2**53 + 1, 2] and frame["t"].tolist() == ["ä", "b"]
    numbers = dataframes.Signature(tuple(dataframes.SchemaColumn(name, "double") for name in "ab"), ())
    matrix = frame_of(numbers, make_tensor("x", np.array([[0.1, np.nan]])))
    assert matrix["a"].tolist() == [0.1] and np.isnan(matrix["b"]).all()
    with pytest.raises(ModelFailed, match="'t' is missing"):
        frame_of(signature, given[1])


def test_an_mlflow_model_gets_its_tensors() -> None:
    both = dataframes.Tensor("a", np.float32, (-1, 2)), dataframes.Tensor("b", np.int64, (-1,))
    several = dataframes.Signature((), both)
    found = frame_of(several, make_tensor("b", np.array([7])), make_tensor("a", np.array([[1, 2]], np.float32)))
    assert found["a"].tolist() == [[1, 2]] and found["b"].tolist() == [7]
    only = dataframes.Signature((), (dataframes.Tensor("", np.float32, (-1, 2)),))
    assert frame_of(only, make_tensor("x", np.array([[1, 2]], np.float32))).tolist() == [[1, 2]]
    unknown = dataframes.Signature((), ())
    assert frame_of(unknown, make_tensor("x", np.array([[1, 2]]))).tolist() == [[1, 2]]
    named = frame_of(unknown, make_tensor("a", np.array([1])), make_tensor("b", np.array(["x"], object)))
    assert named["a"].tolist() == [1] and named["b"].tolist() == ["x"]


def test_a_program_gets_lists_or_objects() -> None:
    matrix = v2_rows.native_request(InferRequest((make_tensor("x", np.array([[1, np.nan]])),)), None)
    assert (json.loads(matrix.body), matrix.accept) == ([[1, None]], "application/json")
    columns = make_tensor("a", np.array([1, 2])), make_tensor("t", np.array(["x", "y"], object))
    objects = v2_rows.native_request(InferRequest(columns), None)
    assert json.loads(objects.body) == [{"a": 1, "t": "x"}, {"a": 2, "t": "y"}]
    plain = v2_rows.outputs_of(Answer(b"no numbers", "text/plain"))
    assert (plain[0].datatype, plain[0].values.tolist()) == ("BYTES", ["no numbers"])


class Knowing:
    healthy = True

    def __init__(self, signature: ModelSignature | None) -> None:
        self.signature = signature

    def submit(self, call: Any, done: Any) -> None: ...

    async def close(self) -> None: ...


async def test_engines_know_what_is_within() -> None:
    import asyncio  # noqa: PLC0415

    table = describe_columns(None, ["float32"] * 3)
    tensors = ModelSignature(Form.TENSORS, table.inputs, arrays=True)
    loop = asyncio.get_running_loop()
    assert find_signature(Bounded(Knowing(table), 1, 1.0, loop)) == table
    assert find_signature(FallbackEngine(Knowing(None), Knowing(tensors))) == tensors
    for last, arrays in ((table, True), (tensors, False), (None, False)):
        pipeline = Pipeline([PipelineStage("a", Knowing(tensors)), PipelineStage("b", Knowing(last))], 1, 1.0)
        assert find_signature(pipeline) == tensors._replace(arrays=arrays)
    assert (
        find_signature(Pipeline([PipelineStage("a", Knowing(None)), PipelineStage("b", Knowing(table))], 1, 1.0))
        is None
    )
    assert find_signature(object()) is None
