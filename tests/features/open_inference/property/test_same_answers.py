"""Answers are exactly those of the native API, whatever form the tensors come in."""

import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.features.open_inference.replica import ENDPOINT, INFER, Replica, Reply, echo_table, typed_table
from tidegate.serving.formats import npy, v2_messages, v2_protobuf
from tidegate.serving.formats.typed_rows import TypedInput
from tidegate.serving.formats.v2_messages import InferRequest, V2Tensor

NAMES = ["a", "b", "c"]
DATATYPES = st.sampled_from([*v2_messages.TYPES, v2_messages.BF16])
TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)


def values(datatype: str) -> st.SearchStrategy[Any]:
    if datatype == v2_messages.BYTES:
        return TEXTS
    if datatype == v2_messages.BF16:
        return st.integers(-256, 256).map(float)
    dtype = v2_messages.TYPES[datatype]
    if dtype.kind == "b":
        return st.booleans()
    if dtype.kind == "f":
        return {2: st.floats(width=16), 4: st.floats(width=32), 8: st.floats()}[dtype.itemsize]
    limits = np.iinfo(dtype)
    return st.integers(int(limits.min), int(limits.max))


def array_of(rows: Any, datatype: str) -> NDArray[Any]:
    if datatype == v2_messages.BYTES:
        found = np.empty(np.shape(rows), object)
        found[...] = rows
        return found
    return np.array(rows, np.float32 if datatype == v2_messages.BF16 else v2_messages.TYPES[datatype])


@st.composite
def matrices(draw: st.DrawFn) -> V2Tensor:
    datatype = draw(DATATYPES)
    count = draw(st.integers(1, 4))
    rows = draw(st.lists(st.lists(values(datatype), min_size=3, max_size=3), min_size=count, max_size=count))
    return V2Tensor("x", datatype, array_of(rows, datatype))


@st.composite
def mixed_columns(draw: st.DrawFn) -> list[V2Tensor]:
    count = draw(st.integers(1, 4))
    found = []
    for name in NAMES:
        datatype = draw(DATATYPES)
        cells = draw(st.lists(values(datatype), min_size=count, max_size=count))
        shape = draw(st.sampled_from([(count,), (count, 1)]))
        found.append(V2Tensor(name, datatype, array_of(cells, datatype).reshape(shape)))
    return found


def every_way(replica: Replica, inputs: list[V2Tensor]) -> Iterator[tuple[str, int, Any]]:
    """Ask in each form; yields its name, the status, and the rows of the answer or the error."""
    for binary in (False, True):
        body, length = v2_messages.write_request(InferRequest(tuple(inputs), binary=binary))
        headers = {} if length is None else {"Inference-Header-Content-Length": str(length)}
        yield f"REST, binary={binary}", *read_rest(replica.ask(INFER, body, headers))
    for raw in (False, True):
        message = v2_protobuf.write_infer_request(InferRequest(tuple(inputs), binary=raw, model=ENDPOINT))
        yield f"gRPC, raw={raw}", *read_grpc(replica.call("ModelInfer", message))


def read_rest(reply: Reply) -> tuple[int, Any]:
    if reply.status != 200:
        return reply.status, reply.json["error"]
    length = reply.headers.get("inference-header-content-length")
    response = v2_messages.read_response(reply.body, None if length is None else int(length))
    return 200, response.outputs[0].values


def read_grpc(reply: Reply) -> tuple[int, Any]:
    if reply.grpc_status:
        return {3: 400, 13: 500}[reply.grpc_status], reply.grpc_message
    return 200, v2_protobuf.read_infer_response(reply.message).outputs[0].values


def ask_natively(replica: Replica, body: bytes, kind: str) -> tuple[int, Any]:
    reply = replica.ask(
        f"/endpoints/{ENDPOINT}/invocations", body, {"content-type": kind, "accept": "application/x-npy"}
    )
    if reply.status != 200:
        return reply.json["OriginalStatusCode"], reply.json["OriginalMessage"]
    return 200, npy.read(reply.body)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, str) or isinstance(other, str):
        return isinstance(one, str) and isinstance(other, str)
    alike = one.dtype == other.dtype and one.shape == other.shape
    return bool(alike and (one.tobytes() == other.tobytes() if one.dtype.kind == "f" else (one == other).all()))


def canonical(rows: NDArray[Any]) -> NDArray[Any]:
    """One NaN instead of all: which of them a missing value becomes is nobody's business."""
    return np.where(np.isnan(rows), np.nan, rows).astype(rows.dtype) if rows.dtype.kind == "f" else rows


@given(matrices(), st.sampled_from([np.float32, np.float64]))
def test_a_matrix(x: V2Tensor, dtype: Any) -> None:
    replica = Replica(echo_table(3, dtype=dtype))
    want = ask_natively(replica, npy.encode(x.values), "application/x-npy")
    for way, status, found in every_way(replica, [x]):
        assert status == want[0], (way, found, want)
        assert same(
            canonical(found) if status == 200 else found, canonical(want[1]) if status == 200 else want[1]
        ), way


@given(matrices())
def test_a_matrix_as_json(x: V2Tensor) -> None:
    """The same rows in JSON, where this has a number for each."""
    if x.values.dtype.kind == "b" or (x.values.dtype.kind == "f" and np.isinf(x.values).any()):
        return
    replica = Replica(echo_table(3, dtype=np.float64))
    rows = [[None if cell != cell else cell for cell in row] for row in x.values.tolist()]
    want = ask_natively(replica, json.dumps(rows).encode(), "application/json")
    for way, status, found in every_way(replica, [x]):
        assert (status, 200) == (want[0], 200) and same(canonical(found), canonical(want[1])), way


@given(mixed_columns())
def test_columns_of_any_types(columns: list[V2Tensor]) -> None:
    replica = Replica(echo_table(3, NAMES, np.float64))
    cells = [column.values.ravel().tolist() for column in columns]
    rows = [list(row) for row in zip(*cells, strict=True)]
    if any(isinstance(cell, float) and math.isinf(cell) for row in rows for cell in row):
        assert all(status == 400 for _, status, _ in every_way(replica, columns))
        return
    plain = [
        [None if cell != cell else int(cell) if isinstance(cell, bool) else cell for cell in row] for row in rows
    ]
    want = ask_natively(replica, json.dumps(plain).encode(), "application/json")
    if any(isinstance(cell, bool) for row in rows for cell in row):
        # Beside whole numbers that are not exact in an array, truths stay what they are, and a table of numbers
        # refuses them as in the native API's JSON.
        for way, status, found in every_way(replica, columns):
            assert status == 400 or same(canonical(found), canonical(want[1])), way
        return
    for way, status, found in every_way(replica, columns):
        assert status == want[0] == 200 and same(canonical(found), canonical(want[1])), (way, found, want)


@given(
    st.lists(
        st.tuples(st.integers(-(2**63), 2**63 - 1), TEXTS, st.floats(allow_infinity=False)), min_size=1, max_size=4
    ),
    st.sampled_from(NAMES),
)
def test_whole_numbers_and_texts_keep_every_digit_and_character(rows: list[Any], answer: str) -> None:
    """Text may be of any characters, and a whole number of any that 64 bits hold."""
    types = dict(zip(NAMES, (np.int64, object, np.float64), strict=True))
    replica = Replica(typed_table([TypedInput(name, np.dtype(kind)) for name, kind in types.items()], answer))
    datatypes = ("INT64", v2_messages.BYTES, "FP64")
    columns = [
        V2Tensor(name, datatype, array_of([row[at] for row in rows], datatype))
        for at, (name, datatype) in enumerate(zip(NAMES, datatypes, strict=True))
    ]
    want = columns[NAMES.index(answer)].values
    for way, status, found in every_way(replica, columns):
        assert status == 200, (way, found)
        if want.dtype.kind == "f":
            assert same(canonical(found), canonical(want)), way
        else:
            assert found.tolist() == [
                text.rstrip("\0") if isinstance(text, str) else text for text in want.tolist()
            ], way


@given(st.binary(max_size=200), st.integers(0, 250))
def test_any_bytes_are_answered(data: bytes, length: int) -> None:
    replica = Replica(echo_table(2))
    text = b'{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","parameters":{"binary_data_size":8}}]}'
    for body in (data, text + data):
        reply = replica.ask(INFER, body, {"Inference-Header-Content-Length": str(length)}, "POST")
        assert reply.status in (200, 400)
    framed = replica.call("ModelInfer", data)
    assert framed.status == 200 and framed.grpc_status in (3, 5)


@given(st.data())
def test_a_message_that_ends_early_is_refused(data: st.DataObject) -> None:
    rows = np.array([[1, 2]], np.float32)
    raw = data.draw(st.booleans())
    tensor = V2Tensor("x", "FP32", rows)
    whole = v2_protobuf.write_infer_request(InferRequest((tensor,), "id", model=ENDPOINT, binary=raw))
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    assert Replica(echo_table(2)).call("ModelInfer", cut).grpc_status in (3, 5)
