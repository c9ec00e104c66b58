"""Requests in JSON and with binary tensors: what is read, and what is refused."""

import gzip
import json
import struct
from typing import Any

import numpy as np
import pytest

from tests.features.open_inference.replica import ENDPOINT, INFER, VARIANT, Replica, echo_table, typed_table
from tidegate.serving.contract.invocation import Answer, ModelFailed
from tidegate.serving.formats import npy, v2_messages, v2_rows
from tidegate.serving.formats.column_values import ColumnType, ValueKind
from tidegate.serving.formats.typed_rows import TypedInput

NAMES = ["a", "b", "c"]


def tensor(data: Any, shape: list[int], datatype: str = "FP32", name: str = "x", **more: Any) -> dict[str, Any]:
    return {"name": name, "shape": shape, "datatype": datatype, "data": data, **more}


def ask(replica: Replica, *inputs: dict[str, Any], **more: Any) -> Any:
    return replica.ask(INFER, json.dumps({"inputs": inputs, **more}).encode())


def test_a_matrix_is_answered_with_its_id_and_version() -> None:
    replica = Replica(echo_table(3))
    reply = ask(replica, tensor([1, 2, 3, 4, 5, 6.5], [2, 3]), id="q-7")
    assert reply.status == 200
    assert reply.json == {
        "model_name": ENDPOINT,
        "model_version": VARIANT,
        "id": "q-7",
        "outputs": [{"name": "predictions", "datatype": "FP32", "shape": [2, 3], "data": [1, 2, 3, 4, 5, 6.5]}],
    }
    assert "id" not in ask(replica, tensor([1, 2, 3], [1, 3])).json


def test_numbers_reach_the_model_as_an_array() -> None:
    replica = Replica(echo_table(3, NAMES))
    ask(replica, tensor([1, 2, 3], [1, 3]))
    ask(replica, *(tensor([1], [1], name=name) for name in NAMES))
    assert replica.engine is not None
    assert [call.content_type for call in replica.engine.calls] == ["application/x-npy"] * 2


def test_nested_lists_have_the_shape() -> None:
    replica = Replica(echo_table(2))
    assert ask(replica, tensor([[1, 2], [3, 4]], [2, 2])).json["outputs"][0]["data"] == [1, 2, 3, 4]
    for wrong in ([[1, 2, 3], [4]], [[1], [2], [3], [4]], [[1, 2], 3, 4]):
        assert ask(replica, tensor(wrong, [2, 2])).status == 400


def test_columns_are_matched_by_name() -> None:
    replica = Replica(echo_table(3, NAMES))
    given = {"c": 3, "a": 1, "b": 2}
    reply = ask(replica, *(tensor([value], [1, 1], name=name) for name, value in given.items()))
    assert reply.json["outputs"][0]["data"] == [1, 2, 3]
    wrong = ask(replica, *(tensor([1], [1], name=name) for name in ("a", "b", "d")))
    assert wrong.status == 400 and "no input 'd'" in wrong.json["error"]
    short = ask(replica, *(tensor([1], [1], name=name) for name in ("a", "b")))
    assert short.status == 400 and "no input 'c'" in short.json["error"]
    alone = ask(replica, tensor([1, 2], [2], name="a"))
    assert alone.status == 400 and "alone" in alone.json["error"]
    uneven = ask(replica, *(tensor([1] * (1 + at), [1 + at], name=name) for at, name in enumerate(NAMES)))
    assert uneven.status == 400 and "different numbers of rows" in uneven.json["error"]


def test_texts_and_large_whole_numbers_stay_exact() -> None:
    large = 2**53 + 1
    kinds = {"n": np.dtype(np.int64), "t": np.dtype(object), "f": np.dtype(np.float64)}
    inputs = [TypedInput(name, dtype) for name, dtype in kinds.items()]
    columns = [
        tensor([large, -large], [2], "INT64", "n"),
        tensor(["x", "ä"], [2, 1], "BYTES", "t"),
        tensor([0.5, None], [2], "FP64", "f"),
    ]
    whole = ask(Replica(typed_table(inputs, "n")), *columns)
    assert whole.json["outputs"] == [
        {"name": "predictions", "datatype": "INT64", "shape": [2], "data": [large, -large]}
    ]
    texts = ask(Replica(typed_table(inputs, "t")), *columns)
    assert texts.json["outputs"][0] == {
        "name": "predictions",
        "datatype": "BYTES",
        "shape": [2],
        "data": ["x", "ä"],
    }
    # A fraction beside the whole number does not round it, although no type of numbers holds both.
    both = ask(Replica(typed_table(inputs[::2], "n")), columns[0], columns[2])
    assert both.json["outputs"][0]["data"] == [large, -large]


def test_categories_are_texts() -> None:
    kinds = [ColumnType(ValueKind.CATEGORY, ("red", "blue")), ColumnType()]
    replica = Replica(echo_table(2, ["colour", "size"], kinds=kinds))
    described = replica.ask(f"/v2/models/{ENDPOINT}").json
    assert [(one["name"], one["datatype"]) for one in described["inputs"]] == [
        ("colour", "BYTES"),
        ("size", "FP32"),
    ]
    reply = ask(replica, tensor(["blue", "red"], [2], "BYTES", "colour"), tensor([4, 5], [2], name="size"))
    assert reply.json["outputs"][0]["data"] == [1, 4, 0, 5]
    unknown = ask(replica, tensor(["green"], [1], "BYTES", "colour"), tensor([4], [1], name="size"))
    assert unknown.status == 400 and "green" in unknown.json["error"]


def test_missing_and_infinite_values_are_those_of_the_native_api() -> None:
    replica = Replica(echo_table(2))
    assert ask(replica, tensor([1, None], [1, 2])).json["outputs"][0]["data"] == [1, None]
    body = b'{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[1,NaN]}]}'
    assert replica.ask(INFER, body).json["outputs"][0]["data"] == [1, None]
    infinite = replica.ask(INFER, body.replace(b"NaN", b"-Infinity"))
    assert infinite.status == 400 and "infinite" in infinite.json["error"]
    beyond = ask(replica, tensor([1, 1e39], [1, 2]))
    assert beyond.status == 400 and "too large" in beyond.json["error"]


def binary(
    data: bytes, shape: list[int], datatype: str = "FP32", size: int | None = None, **request: Any
) -> tuple[bytes, dict[str, str]]:
    about = {
        "inputs": [
            {
                "name": "x",
                "shape": shape,
                "datatype": datatype,
                "parameters": {"binary_data_size": len(data) if size is None else size},
            }
        ],
        **request,
    }
    text = json.dumps(about).encode()
    return text + data, {"Inference-Header-Content-Length": str(len(text))}


def test_binary_tensors_come_and_go() -> None:
    replica = Replica(echo_table(2))
    rows = np.array([[1, np.nan], [3, 4]], "<f4")
    body, headers = binary(rows.tobytes(), [2, 2], parameters={"binary_data_output": True})
    reply = replica.ask(INFER, body, headers)
    assert reply.headers["content-type"] == "application/octet-stream"
    length = int(reply.headers["inference-header-content-length"])
    assert json.loads(reply.body[:length])["outputs"][0]["parameters"] == {"binary_data_size": 16}
    assert reply.body[length:] == rows.tobytes()
    chosen = [{"name": "predictions", "parameters": {"binary_data": False}}]
    body, headers = binary(rows.tobytes(), [2, 2], parameters={"binary_data_output": True}, outputs=chosen)
    assert replica.ask(INFER, body, headers).json["outputs"][0]["data"] == [1, None, 3, 4]


def test_half_precision_is_read() -> None:
    replica = Replica(echo_table(2))
    rows = np.array([[1.5, -2]], "<f2")
    body, headers = binary(rows.tobytes(), [1, 2], "FP16")
    assert replica.ask(INFER, body, headers).json["outputs"][0]["data"] == [1.5, -2]
    brain = (np.array([[1.5, -2]], np.float32).view(np.uint32) >> 16).astype("<u2")
    body, headers = binary(brain.tobytes(), [1, 2], "BF16")
    assert replica.ask(INFER, body, headers).json["outputs"][0]["data"] == [1.5, -2]


def test_a_compressed_body_is_read_within_the_limit() -> None:
    replica = Replica(echo_table(2), max_body=10_000)
    body = json.dumps({"inputs": [tensor([1, 2], [1, 2])]}).encode()
    good = replica.ask(INFER, gzip.compress(body), {"Content-Encoding": "gzip"})
    assert good.json["outputs"][0]["data"] == [1, 2]
    for wrong, status in (
        (gzip.compress(body)[:-9], 400),
        (b"no gzip", 400),
        (gzip.compress(b" " * 1_000_000 + body), 413),
    ):
        assert replica.ask(INFER, wrong, {"Content-Encoding": "gzip"}).status == status
    assert replica.ask(INFER, body, {"Content-Encoding": "br"}).status == 415


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ([], "no inputs"),
        ([tensor([1, 2], [1, 3])], "has 2 values; its shape [1, 3] holds 3"),
        ([tensor([1, 2], [2, -1])], "no tensor can have"),
        ([tensor([], [2**40, 2**40])], "no tensor can have"),
        ([tensor([], [2**30, 2**30])], "has 0 values"),
        ([tensor([1], [1] * 40)], "no tensor can have"),
        ([tensor([1, 2], [1, 2], "FP8")], "datatype 'FP8'"),
        ([tensor([1, 2], [1, 2], "BF16")], "in binary form"),
        ([tensor([1, 2.5], [1, 2], "INT32")], "Value 2 of The tensor 'x' is 2.5"),
        ([tensor([1, 300], [1, 2], "UINT8")], "a whole number of UINT8"),
        ([tensor([1, 2**63], [1, 2], "INT64")], "a whole number of INT64"),
        ([tensor([1, True], [1, 2])], "a number or null"),
        ([tensor([1, "2"], [1, 2])], "a number or null"),
        ([tensor([True, 1], [1, 2], "BOOL")], "true or false"),
        ([tensor(["a", 1], [1, 2], "BYTES")], "a text"),
        ([tensor("1,2", [1, 2])], "must be a list"),
        ([tensor([1, 10**400], [1, 2])], "too large"),
        ([tensor([1], [1]), tensor([1], [1])], "given twice"),
        ([tensor([1, 2], [1, 2], parameters={"shared_memory_region": "r"})], "not supported"),
        ([tensor([1, 2], [1, 2], parameters={"binary_data_size": 8})], "data beside it"),
    ],
)
def test_a_wrong_tensor_is_refused(inputs: list[dict[str, Any]], said: str) -> None:
    reply = ask(Replica(echo_table(2)), *inputs)
    assert reply.status == 400
    assert said in reply.json["error"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "empty"),
        (b"[]", "no message of the protocol"),
        (b'{"inputs":', "cut off"),
        (b'{"inputs": 1}', "no message"),
        (b'{"inputs":[],"inputs":[]}', "twice"),
        (b"[" * 100_000, ""),
        (
            b'{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1]}],"parameters":{"sequence_id":7}}',
            "not",
        ),
        (b'{"inputs":[{"name":"x","shape":[1.5],"datatype":"FP32","data":[1]}]}', "no message"),
    ],
)
def test_a_body_that_is_no_message_is_refused(body: bytes, said: str) -> None:
    reply = Replica(echo_table(1)).ask(INFER, body, method="POST")
    assert reply.status == 400 and said in reply.json["error"]


@pytest.mark.parametrize(
    ("data", "shape", "datatype", "size"),
    [
        (b"\0" * 7, [1, 2], "FP32", None),
        (b"\0" * 9, [1, 2], "FP32", None),
        (b"\0" * 8, [1, 2], "FP32", 4),
        (b"\0" * 8, [1, 2], "FP32", 12),
        (b"\0" * 8, [1, 2], "FP32", -8),
        (b"\0" * 8, [2**31 - 1, 2**31 - 1], "FP64", None),
        (b"\2\1", [1, 2], "BOOL", None),
        (struct.pack("<I", 2**32 - 1) + b"ab", [1], "BYTES", None),
        (struct.pack("<I", 2) + b"a", [1], "BYTES", None),
        (b"\1\0", [1], "BYTES", None),
        (struct.pack("<I", 1) + b"\xff", [1], "BYTES", None),
        (struct.pack("<I", 1) + b"a", [2], "BYTES", None),
    ],
)
def test_bytes_that_are_missing_or_left_over_are_refused(
    data: bytes, shape: list[int], datatype: str, size: int | None
) -> None:
    body, headers = binary(data, shape, datatype, size)
    reply = Replica(echo_table(2)).ask(INFER, body, headers)
    assert reply.status == 400 and reply.json["error"]


@pytest.mark.parametrize("length", ["-1", "x", "99999", "9" * 30])
def test_the_length_of_the_json_is_checked(length: str) -> None:
    body, _ = binary(b"\0" * 8, [1, 2])
    reply = Replica(echo_table(2)).ask(INFER, body, {"Inference-Header-Content-Length": length})
    assert reply.status == 400


def test_an_output_that_there_is_not_is_refused() -> None:
    reply = ask(Replica(echo_table(1)), tensor([1], [1, 1]), outputs=[{"name": "scores"}])
    assert reply.status == 400 and "its outputs are: predictions" in reply.json["error"]


@pytest.mark.parametrize(
    ("body", "outputs"),
    [
        (b'{"predictions": [1, 2]}', {"predictions": ("INT64", [2], [1, 2])}),
        (
            b'{"predictions": [[0.5, null], [1, "Infinity"]]}',
            {"predictions": ("FP64", [2, 2], [0.5, None, 1, "Infinity"])},
        ),
        (b'{"predictions": ["a", "b"]}', {"predictions": ("BYTES", [2], ["a", "b"])}),
        (b'{"predictions": [true, false]}', {"predictions": ("BOOL", [2], [True, False])}),
        (
            b'{"predictions": [{"score": 0.5, "label": "a"}]}',
            {"score": ("FP64", [1], [0.5]), "label": ("BYTES", [1], ["a"])},
        ),
        (b'{"a": [1], "b": 0.5}', {"a": ("INT64", [1], [1]), "b": ("FP64", [1], [0.5])}),
        (b"[[1], [2, 3]]", {"predictions": ("BYTES", [1], ["[[1], [2, 3]]"])}),
        (b'{"predictions": [18446744073709551615]}', {"predictions": ("UINT64", [1], [2**64 - 1])}),
    ],
)
def test_native_answers_become_outputs(body: bytes, outputs: dict[str, Any]) -> None:
    found = v2_rows.outputs_of(Answer(body, "application/json"))
    assert {
        one.name: (one.datatype, list(one.values.shape), v2_messages.write_values(one)) for one in found
    } == outputs


def test_rows_become_a_request_of_a_server_of_the_protocol() -> None:
    matrix = [v2_messages.TensorMetadata("x", "FP32", (-1, 2))]
    [one] = v2_rows.tensors_of_rows([[1, None], [3, 4]], matrix)
    assert one.values.shape == (2, 2) and np.isnan(one.values[0, 1])
    columns = [v2_messages.TensorMetadata("n", "INT64", (-1, 1)), v2_messages.TensorMetadata("t", "BYTES", (-1,))]
    n, t = v2_rows.tensors_of_rows([[2**53 + 1, "a"], [2, "b"]], columns)
    assert n.values.tolist() == [[2**53 + 1], [2]] and t.values.tolist() == ["a", "b"]
    with pytest.raises(ModelFailed, match="2 values"):
        v2_rows.tensors_of_rows([[1]], columns)
    assert v2_rows.answer_of([n]).body == b'{"predictions":[9007199254740993,2]}', "one number for each row"
    assert v2_rows.answer_of([n, t]).body == b'{"predictions":{"n":[9007199254740993,2],"t":["a","b"]}}'


def test_an_exchange_in_arrays_is_captured_as_json() -> None:
    native = v2_rows.NativeRequest(npy.encode(np.array([[1, np.nan]])), v2_rows.NPY, v2_rows.NPY, ("a", "b"))
    assert json.loads(v2_rows.readable_request(native).body) == {
        "dataframe_split": {"columns": ["a", "b"], "data": [[1.0, None]]}
    }
    answer = Answer(npy.encode(np.array([0.5, 0.25])), v2_rows.NPY)
    assert v2_rows.readable_answer(answer).body == b'{"predictions":[0.5,0.25]}'
    assert v2_rows.readable_answer(answer, 1).body == b'{"predictions":[0.5]}'
