"""Samples of requests: the runtimes accept them, and what is not known about a model is not made up."""

import asyncio
import shlex
from typing import Any

import numpy as np
import pytest

from tests.gateway_harness import GatewayHarness
from tidegate.console import sample_payload
from tidegate.console.sample_payload import (
    MOST_VALUES,
    ModelInputs,
    SampleRequest,
    describe_inputs,
    parse_signature,
    read_inputs,
)
from tidegate.serving.contract.invocation import Call
from tidegate.serving.contract.signature import ANY, TEXT, Form, ModelSignature, TensorSpec, describe_columns
from tidegate.serving.formats import dataframes
from tidegate.serving.formats.dataframes import SchemaColumn
from tidegate.serving.formats.row_decoder import Features
from tidegate.serving.formats.tensors import TensorInput, Tensors

PAGE = {"form": "table", "inputs": [{"name": "input", "dtype": "float32", "shape": [-1, 3]}]}


def declare(**other: object) -> dict[str, object]:
    """Return a page whose input differs in one member, as code of a model may write it."""
    return {"form": "tensors", "inputs": [{"name": "input", "dtype": "float32", "shape": [-1, 3], **other}]}


def describe(signature: ModelSignature) -> ModelInputs:
    found = describe_inputs(signature)
    assert found is not None
    return found


def sample(signature: ModelSignature) -> SampleRequest:
    found = describe(signature).sample
    assert found is not None
    return found


def test_a_table_without_names_gets_a_row_of_its_width() -> None:
    found = describe(describe_columns(None, ["float32"] * 3))
    assert found == ModelInputs("rows of 3 columns without names", SampleRequest.quote("text/csv", "1,1,1"))
    assert Features(3).read(b"1,1,1", "text/csv").shape == (1, 3)


def test_a_table_with_names_names_them_and_keeps_text_apart() -> None:
    found = describe(describe_columns(["amount", "country"], ["float32", TEXT]))
    assert found == ModelInputs("rows of 2 columns: amount, country", SampleRequest.quote("text/csv", "1,text"))


def test_a_frame_of_mlflow_is_read_by_its_own_signature() -> None:
    kinds = ("double", "long", "boolean", "string")
    signature = dataframes.Signature(tuple(SchemaColumn(f"of {kind}", kind) for kind in kinds), ())
    found = sample(signature.described)
    frame, _ = signature.read(found.body.encode(), found.content_type)
    assert frame.iloc[0].tolist() == [1.0, 1, True, "text"]


@pytest.mark.parametrize(
    "inputs",
    [
        (TensorInput("x", "float32", (None, 2, 3)),),
        (TensorInput("x", "int64", (2,)), TensorInput("mask", "bool", (None, 2))),
    ],
)
def test_tensors_have_the_shapes_that_the_model_declares(inputs: tuple[TensorInput, ...]) -> None:
    got = list[Any]()

    def run(*given: Any) -> Any:
        got.extend(given)
        return np.zeros((1, 1), np.float32)

    model = Tensors(run, inputs, None)
    found = sample(model.signature)
    model.answer(Call(found.body.encode(), {b"content-type": found.content_type.encode()}))
    assert [one.shape for one in got] == [tuple(side or 1 for side in given.shape or ()) for given in inputs]


def test_a_shape_that_no_runtime_declares_is_not_guessed() -> None:
    assert describe_inputs(Tensors(np.asarray, [TensorInput("x")], None).signature) is None


def test_a_large_input_is_described_without_a_sample() -> None:
    image = ModelSignature(Form.NESTED, (TensorSpec("image", "uint8", (ANY, 224, 224)),))
    assert describe_inputs(image) == ModelInputs("image (uint8, any x 224 x 224)", None)
    many = [f"c{number}" for number in range(MOST_VALUES + 1)]
    wide = describe(describe_columns(many, ["float32"] * len(many)))
    assert wide.sample is None and wide.described.endswith(f"c{MOST_VALUES - 1}, ...")


@pytest.mark.parametrize(
    "page",
    [
        None,
        "table",
        {},
        {**PAGE, "inputs": []},
        {**PAGE, "form": "of the future"},
        {**PAGE, "inputs": [{"name": "a"}]},
        declare(name=1),
        declare(name="a" * 1_000_000),
        declare(dtype=1),
        declare(dtype=""),
        declare(shape="ab"),
        declare(shape=["any", 3]),
        declare(shape=[0, 1_000_000_000]),
        declare(shape=[-1_000, 300]),
        declare(shape=[1] * 5_000),
    ],
)
def test_what_a_worker_does_not_know_is_unknown(page: object) -> None:
    assert parse_signature(page) is None


def test_a_body_is_quoted_for_a_shell_and_for_python() -> None:
    found = sample(ModelSignature(Form.FRAME, (TensorSpec("it's", "float64", (ANY, 1)),)))
    assert shlex.split(found.shell) == [found.body]
    assert eval(found.python).decode() == found.body


def test_the_version_that_serves_is_described() -> None:
    wide = {**PAGE, "inputs": [{"name": "input", "dtype": "float32", "shape": [-1, 4]}]}
    listed: list[dict[str, object]] = [
        {"replica": "a", "config": "new", "signature": wide},
        {"replica": "b", "config": "old", "signature": None},
        {"replica": "c", "config": "old", "signature": PAGE},
    ]
    house = GatewayHarness(listed=listed)
    found = asyncio.run(read_inputs(house.gateway, "fraud", "old"))
    assert found is not None and found.described == "rows of 3 columns without names"


def test_instances_that_do_not_answer_do_not_hold_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent(GatewayHarness):
        async def _models(self, endpoint: str, most: int) -> list[dict[str, object]]:
            await asyncio.Event().wait()
            return []

    monkeypatch.setattr(sample_payload, "PATIENCE", 0.0)
    assert asyncio.run(read_inputs(Silent().gateway, "fraud", None)) is None
