"""Calls of gRPC, as HAProxy passes them on; messages are compared with those of Google's own library."""

import gzip
import struct
from typing import Any

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from tests.features.open_inference.replica import ENDPOINT, GRPC, VARIANT, Replica, echo_table, typed_table
from tidegate.serving.formats import protobuf, v2_messages, v2_protobuf
from tidegate.serving.formats.typed_rows import TypedInput
from tidegate.serving.formats.v2_messages import InferRequest, InferResponse, WantedOutput, make_tensor

STRING, INT64, MESSAGE, BYTES, BOOL = 9, 3, 11, 12, 8
CONTENTS = [
    ("bool", BOOL),
    ("int", 5),
    ("int64", INT64),
    ("uint", 13),
    ("uint64", 4),
    ("fp32", 2),
    ("fp64", 1),
    ("bytes", BYTES),
]
MESSAGES: dict[str, list[tuple[str, int, int, str]]] = {
    "Contents": [(f"{name}_contents", at + 1, kind, "*") for at, (name, kind) in enumerate(CONTENTS)],
    "Tensor": [
        ("name", 1, STRING, ""),
        ("datatype", 2, STRING, ""),
        ("shape", 3, INT64, "*"),
        ("contents", 5, MESSAGE, "Contents"),
    ],
    "Wanted": [("name", 1, STRING, "")],
    "Request": [
        ("model_name", 1, STRING, ""),
        ("model_version", 2, STRING, ""),
        ("id", 3, STRING, ""),
        ("inputs", 5, MESSAGE, "*Tensor"),
        ("outputs", 6, MESSAGE, "*Wanted"),
        ("raw_input_contents", 7, BYTES, "*"),
    ],
    "Response": [
        ("model_name", 1, STRING, ""),
        ("model_version", 2, STRING, ""),
        ("id", 3, STRING, ""),
        ("outputs", 5, MESSAGE, "*Tensor"),
        ("raw_output_contents", 6, BYTES, "*"),
    ],
    "Metadata": [
        ("name", 1, STRING, ""),
        ("versions", 2, STRING, "*"),
        ("platform", 3, STRING, ""),
        ("inputs", 4, MESSAGE, "*Tensor"),
        ("outputs", 5, MESSAGE, "*Tensor"),
    ],
    "Model": [("name", 1, STRING, ""), ("version", 2, STRING, "")],
    "Flag": [("value", 1, BOOL, "")],
}
"""The protocol's messages by their fields: name, number, type, and the message it holds; ``*``: repeated."""


def build() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="test_v2.proto", package="t", syntax="proto3")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind, more in fields:
            inner = more.lstrip("*")
            message.field.add(
                name=field,
                number=number,
                type=kind,
                label=3 if more.startswith("*") else 1,
                type_name=f".t.{inner}" if inner else None,
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"t.{name}")) for name in MESSAGES}


THEIRS = build()
COLUMNS = {
    "BOOL": (np.array([True, False]), "bool_contents"),
    "INT8": (np.array([-128, 127], np.int8), "int_contents"),
    "INT32": (np.array([-(2**31), 5], np.int32), "int_contents"),
    "INT64": (np.array([-(2**63), 2**53 + 1], np.int64), "int64_contents"),
    "UINT16": (np.array([0, 65535], np.uint16), "uint_contents"),
    "UINT64": (np.array([2**64 - 1, 0], np.uint64), "uint64_contents"),
    "FP32": (np.array([0.1, -0.0], np.float32), "fp32_contents"),
    "FP64": (np.array([0.1, 1e300]), "fp64_contents"),
}


@pytest.mark.parametrize("datatype", COLUMNS)
def test_typed_contents_are_those_of_the_library(datatype: str) -> None:
    values, member = COLUMNS[datatype]
    ours = v2_protobuf.write_infer_request(InferRequest((make_tensor("x", values),), "q", model="m", version="v"))
    theirs = THEIRS["Request"].FromString(ours)
    assert (theirs.model_name, theirs.model_version, theirs.id) == ("m", "v", "q")
    [one] = theirs.inputs
    assert (one.name, one.datatype, list(one.shape)) == ("x", datatype, [2])
    assert list(getattr(one.contents, member)) == values.tolist()
    [back] = v2_protobuf.read_infer_request(theirs.SerializeToString()).inputs
    assert back.datatype == datatype and back.values.tolist() == values.tolist()


def test_texts_and_raw_contents_are_those_of_the_library() -> None:
    texts = make_tensor("t", np.array(["a", "", "ä"], object))
    numbers = make_tensor("f", np.array([[1.5, 2]], np.float16))
    wanted = (WantedOutput("predictions", False),)
    ours = v2_protobuf.write_infer_request(InferRequest((texts, numbers), outputs=wanted, model="m"))
    theirs = THEIRS["Request"].FromString(ours)
    assert list(theirs.raw_input_contents) == [v2_messages.write_binary(texts), v2_messages.write_binary(numbers)]
    assert [one.name for one in theirs.outputs] == ["predictions"]
    alone = v2_protobuf.write_infer_request(InferRequest((texts,), model="m"))
    assert list(THEIRS["Request"].FromString(alone).inputs[0].contents.bytes_contents) == [b"a", b"", "ä".encode()]
    for body in (ours, alone):
        read = v2_protobuf.read_infer_request(body)
        assert read.inputs[0].values.tolist() == ["a", "", "ä"]
    # What a field of a later edition of the protocol holds is skipped.
    later = alone + protobuf.message(90, b"x") + protobuf.varint(91 << 3) + protobuf.varint(7)
    assert v2_protobuf.read_infer_request(later).inputs[0].values.tolist() == ["a", "", "ä"]


def test_a_call_is_answered_in_the_form_of_its_contents() -> None:
    replica = Replica(echo_table(2))
    rows = make_tensor("x", np.array([[1, 2]], np.float32))
    for raw in (True, False):
        message = v2_protobuf.write_infer_request(InferRequest((rows,), "q", binary=raw, model=ENDPOINT))
        reply = replica.call("ModelInfer", message)
        assert reply.headers["content-type"] == "application/grpc"
        response = THEIRS["Response"].FromString(reply.message)
        assert (response.model_name, response.model_version, response.id) == (ENDPOINT, VARIANT, "q")
        [one] = response.outputs
        assert (one.name, one.datatype, list(one.shape)) == ("predictions", "FP32", [1, 2])
        assert list(one.contents.fp32_contents) == ([] if raw else [1, 2])
        assert list(response.raw_output_contents) == ([rows.values.tobytes()] if raw else [])


def test_a_model_is_described() -> None:
    kinds = {"n": np.dtype(np.int64), "t": np.dtype(object)}
    replica = Replica(typed_table([TypedInput(name, dtype) for name, dtype in kinds.items()], "n"))
    asked = THEIRS["Model"](name=ENDPOINT).SerializeToString()
    body = replica.call("ModelMetadata", asked).message
    found = THEIRS["Metadata"].FromString(body)
    assert (found.name, list(found.versions), found.platform) == (ENDPOINT, [VARIANT], "tidegate_xgboost")
    assert [(one.name, one.datatype, list(one.shape)) for one in found.inputs] == [
        ("n", "INT64", [-1, 1]),
        ("t", "BYTES", [-1, 1]),
    ]
    assert v2_protobuf.read_model_metadata(body).inputs[1].shape == (-1, 1)
    matrix = THEIRS["Metadata"].FromString(Replica(echo_table(3)).call("ModelMetadata", asked).message)
    assert [(one.name, one.datatype, list(one.shape)) for one in matrix.outputs] == [
        ("predictions", "FP32", [-1, 3])
    ]


@pytest.mark.parametrize("loaded", [True, False])
def test_a_model_is_ready_once_it_is_loaded(loaded: bool) -> None:
    replica = Replica(echo_table(1) if loaded else None)
    for method in ("ModelReady", "ServerReady"):
        found = replica.call(method, THEIRS["Model"](name=ENDPOINT).SerializeToString()).message
        assert THEIRS["Flag"].FromString(found).value is loaded
    assert THEIRS["Flag"].FromString(replica.call("ServerLive", b"").message).value is True
    below = f"/endpoints/{ENDPOINT}/v2"
    for path in (f"{below}/models/{ENDPOINT}/ready", f"{below}/health/ready"):
        reply = replica.ask(path)
        assert (reply.status, reply.json["ready"]) == ((200, True) if loaded else (503, False))
    assert replica.ask(f"{below}/health/live").json == {"live": True}
    if not loaded:
        assert replica.call("ModelInfer", b"\x0a\x05fraud").grpc_status == 14
        assert replica.ask(f"{below}/models/{ENDPOINT}").status == 503


def test_responses_of_a_server_are_read() -> None:
    response = InferResponse("m", "1", (make_tensor("y", np.array([0.5])),), "q")
    for binary in (True, False):
        body = v2_protobuf.write_infer_response(response, InferRequest((), binary=binary))
        found = v2_protobuf.read_infer_response(body)
        assert (found.model, found.version, found.id) == ("m", "1", "q")
        assert found.outputs[0].values.tolist() == [0.5]


def test_a_compressed_message_is_read() -> None:
    replica = Replica(echo_table(2), max_body=10_000)
    rows = make_tensor("x", np.array([[1, 2]], np.float32))
    message = v2_protobuf.write_infer_request(InferRequest((rows,), model=ENDPOINT))
    for packed, status in ((gzip.compress(message), 0), (gzip.compress(b"\0" * 1_000_000), 8), (b"x", 3)):
        body = b"\1" + struct.pack(">I", len(packed)) + packed
        headers = {"content-type": "application/grpc", "grpc-encoding": "gzip"}
        reply = replica.ask(GRPC + "ModelInfer", body, headers)
        assert reply.grpc_status == status


@pytest.mark.parametrize(
    ("method", "message", "status"),
    [
        ("ModelInfer", b"", 5),
        ("ModelInfer", b"\x0a\x03oth", 5),
        ("ModelReady", b"\x0a\x03oth", 5),
        ("ModelReady", b"\x0a\x05fraud\x12\x01x", 5),
        ("ModelReady", b"", 5),
        ("ModelMetadata", b"\x0a\xff", 3),
        ("ModelStatistics", b"", 12),
        ("ModelInfer", b"\x0a\x05fraud\x2a\x02\x08\x01", 3),
        ("ModelInfer", b"\x0a\x05fraud\x28\x01", 3),
        ("ModelInfer", b"\xff" * 12, 3),
    ],
)
def test_a_wrong_call_gets_a_status(method: str, message: bytes, status: int) -> None:
    reply = Replica(echo_table(2)).call(method, message)
    assert (reply.status, reply.grpc_status) == (200, status)
    assert reply.grpc_message


@pytest.mark.parametrize("body", [b"", b"\0\0\0\0", b"\0\0\0\0\5abc", b"\0\0\0\0\0\0\0\0\0\0"])
def test_a_body_without_one_whole_message_is_refused(body: bytes) -> None:
    reply = Replica(echo_table(2)).ask(GRPC + "ModelInfer", body, method="POST")
    assert reply.grpc_status == 3


def test_values_of_another_type_than_the_tensor_are_refused() -> None:
    replica = Replica(echo_table(2))
    for datatype, member, given in (
        ("FP32", "int_contents", [1, 2]),
        ("INT8", "int_contents", [1, 300]),
        ("FP16", "fp32_contents", [1, 2]),
        ("FP32", "fp32_contents", [1, 2, 3]),
        ("BYTES", "bytes_contents", [b"a", b"\xff"]),
    ):
        message = THEIRS["Request"](model_name=ENDPOINT)
        one = message.inputs.add(name="x", datatype=datatype, shape=[1, 2])
        getattr(one.contents, member).extend(given)
        assert replica.call("ModelInfer", message.SerializeToString()).grpc_status == 3, datatype
    both = THEIRS["Request"](model_name=ENDPOINT, raw_input_contents=[b"\0" * 8])
    both.inputs.add(name="x", datatype="FP32", shape=[1, 2]).contents.fp32_contents.extend([1, 2])
    assert replica.call("ModelInfer", both.SerializeToString()).grpc_status == 3
    extra = THEIRS["Request"](model_name=ENDPOINT, raw_input_contents=[b"\0" * 8, b""])
    extra.inputs.add(name="x", datatype="FP32", shape=[1, 2])
    assert replica.call("ModelInfer", extra.SerializeToString()).grpc_status == 3


def test_numbers_may_come_one_by_one() -> None:
    """Packed is how they are written, but either form may be read, and several pieces of them."""
    rows = protobuf.string(1, "x") + protobuf.string(2, "INT32") + protobuf.message(3, b"\1\2")
    loose = protobuf.varint(2 << 3) + protobuf.varint(7)
    packed = protobuf.message(2, protobuf.varint(2**64 - 1))
    floats = protobuf.string(1, "x") + protobuf.string(2, "FP32") + protobuf.message(3, b"\1\2")
    alone = protobuf.varint(6 << 3 | protobuf.FIXED32) + struct.pack("<f", 1.5)
    for tensor in (
        rows + protobuf.message(5, loose + packed),
        rows + protobuf.message(5, loose) + protobuf.message(5, packed),
    ):
        [one] = v2_protobuf.read_infer_request(protobuf.message(5, tensor)).inputs
        assert one.values.tolist() == [[7, -1]]
    [one] = v2_protobuf.read_infer_request(protobuf.message(5, floats + protobuf.message(5, alone + alone))).inputs
    assert one.values.tolist() == [[1.5, 1.5]]


@pytest.mark.parametrize(
    "message",
    [
        protobuf.message(5, b"", empty=True) * 20_000,
        protobuf.message(5, protobuf.message(3, b"\1" * 100_000)),
        protobuf.message(5, protobuf.message(3, b"\x80" * 100_000)),
        protobuf.message(5, protobuf.string(2, "FP32") + protobuf.message(3, b"\xff" * 9 + b"\1")),
    ],
)
def test_hostile_sizes_are_refused(message: bytes) -> None:
    assert Replica(echo_table(1)).call("ModelInfer", protobuf.string(1, ENDPOINT) + message).grpc_status == 3
