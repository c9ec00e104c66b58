"""Native requests for a server of the Open Inference Protocol, and its answers."""

import json
from typing import Any

import pytest

from tidegate.domain.errors import Invalid, Transient
from tidegate.http1.messages import ConnectionBroken, HttpReply
from tidegate.serving.contract.invocation import Call, ModelFailed
from tidegate.serving.formats.v2_messages import HEADER_LENGTH
from tidegate.serving.runtimes.v2_dialect import INDEX, V2Dialect

MODEL = "/v2/models/fraud"
MATRIX = {"inputs": [{"name": "rows", "datatype": "FP32", "shape": [-1, 2]}]}
COLUMNS = {
    "inputs": [
        {"name": "amount", "datatype": "FP64", "shape": [-1, 1]},
        {"name": "country", "datatype": "BYTES", "shape": [-1, 1]},
    ]
}


class Server:
    """A fake server of the protocol: pages by path, or an error."""

    def __init__(self, pages: dict[str, Any]) -> None:
        self.pages = pages

    async def request(self, method: str, path: str, headers: Any = (), body: bytes = b"") -> HttpReply:
        found = self.pages.get(path, (404, {}))
        if isinstance(found, Exception):
            raise found
        status, page = found if isinstance(found, tuple) else (200, found)
        return HttpReply(status, {b"content-type": b"application/json"}, json.dumps(page).encode())

    async def stream(self, *_: Any) -> HttpReply:
        raise AssertionError("nothing streams here")


async def prepared(metadata: dict[str, Any], predict: str = f"{MODEL}/infer") -> V2Dialect:
    dialect = V2Dialect(predict)
    await dialect.prepare(Server({MODEL: metadata, INDEX: [{"name": "fraud"}]}))
    return dialect


def call(body: bytes, content_type: str = "application/json", accept: str = "") -> Call:
    headers = {b"content-type": content_type.encode()}
    return Call(body, headers | ({b"accept": accept.encode()} if accept else {}))


def sent(dialect: V2Dialect, one: Call) -> list[dict[str, Any]]:
    request = dialect.make_request(one)
    assert (request.method, request.path) == ("POST", f"{MODEL}/infer")
    assert isinstance(request.body, bytes)
    found: list[dict[str, Any]] = json.loads(request.body)["inputs"]
    return found


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'{"instances": [[1, 2], [3, 4]]}', "application/json"),
        (b"[[1, 2], [3, 4]]", "application/json"),
        (b"[1, 2]\n[3, 4]\n", "application/jsonlines"),
        (b"1,2\n3,4\n", "text/csv"),
    ],
)
async def test_rows_become_the_matrix_that_the_model_takes(body: bytes, content_type: str) -> None:
    [tensor] = sent(await prepared(MATRIX), call(body, content_type))
    assert tensor == {"name": "rows", "datatype": "FP32", "shape": [2, 2], "data": [1.0, 2.0, 3.0, 4.0]}


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'{"instances": [[1.5, "de"]]}', "application/json"),
        (b'{"dataframe_split": {"columns": ["country", "amount"], "data": [["de", 1.5]]}}', "application/json"),
        (b'1.5,"de"\n', "text/csv"),
        (b"country,amount\nde,1.5\n", "text/csv"),
    ],
)
async def test_columns_become_a_tensor_each_in_the_order_of_the_model(body: bytes, content_type: str) -> None:
    amount, country = sent(await prepared(COLUMNS), call(body, content_type))
    assert amount == {"name": "amount", "datatype": "FP64", "shape": [1, 1], "data": [1.5]}
    assert country == {"name": "country", "datatype": "BYTES", "shape": [1, 1], "data": ["de"]}


async def test_a_message_of_the_protocol_goes_through_unchanged() -> None:
    message = json.dumps({"inputs": [{**MATRIX["inputs"][0], "shape": [1, 2], "data": [1, 2]}]}).encode()
    dialect = await prepared(MATRIX)
    assert dialect.make_request(call(message)).body == message
    answer = dialect.read_answer(call(message), HttpReply(200, {b"content-type": b"application/json"}, b"{}"))
    assert answer.body == b"{}"


async def test_the_length_of_the_json_goes_through_with_binary_tensors() -> None:
    one = Call(b'{"inputs": []}....', {b"content-type": b"application/octet-stream", HEADER_LENGTH: b"14"})
    dialect = await prepared(MATRIX)
    assert (HEADER_LENGTH, b"14") in dialect.make_request(one).headers
    reply = HttpReply(200, {b"content-type": b"application/octet-stream", HEADER_LENGTH: b"2"}, b"{}.")
    assert (HEADER_LENGTH, b"2") in dialect.read_answer(one, reply).headers


@pytest.mark.parametrize("metadata", [{"inputs": []}, {"inputs": None}, {}])
async def test_a_model_whose_inputs_are_not_declared_gets_a_matrix(metadata: dict[str, Any]) -> None:
    [tensor] = sent(await prepared(metadata), call(b"1,2\n3,4\n", "text/csv"))
    assert tensor == {"name": "input", "datatype": "FP64", "shape": [2, 2], "data": [1.0, 2.0, 3.0, 4.0]}


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b'{"instances": [[1, 2, 3]]}', "application/json", 400),
        (b'{"instances": [[1, "x"]]}', "application/json", 400),
        (b'{"instances": []}', "application/json", 400),
        (b"1,x\n", "text/csv", 400),
        (b"1,2,3\n", "text/csv", 400),
        (b"", "text/csv", 400),
        (b"not json", "application/json", 400),
        (b"\x00", "image/png", 415),
    ],
)
async def test_rows_that_do_not_fit_are_the_clients_error(body: bytes, content_type: str, status: int) -> None:
    dialect = await prepared(MATRIX)
    with pytest.raises(ModelFailed) as caught:
        dialect.make_request(call(body, content_type))
    assert caught.value.status == status


@pytest.mark.parametrize("body", [b"5", b'"text"', b"null", b"[" * 100_000, b'{"instances": 5}'])
async def test_a_model_that_says_nothing_of_its_width_refuses_what_holds_no_rows(body: bytes) -> None:
    dialect = await prepared({"inputs": [{"name": "rows", "datatype": "FP32", "shape": [-1, -1]}]})
    with pytest.raises(ModelFailed) as caught:
        dialect.make_request(call(body))
    assert caught.value.status == 400


async def test_answers_are_native_and_csv_where_that_is_asked_for() -> None:
    dialect = await prepared(MATRIX)
    output = {"name": "score", "datatype": "FP64", "shape": [2], "data": [0.25, 0.5]}
    reply = HttpReply(200, {}, json.dumps({"model_name": "fraud", "outputs": [output]}).encode())
    one = call(b'{"instances": [[1, 2], [3, 4]]}')
    assert json.loads(dialect.read_answer(one, reply).body) == {"predictions": [0.25, 0.5]}
    asked = call(b"1,2\n3,4\n", "text/csv", accept="text/csv")
    assert dialect.read_answer(asked, reply).body == b"0.25\n0.5\n"
    with pytest.raises(ValueError, match="JSON"):
        dialect.read_answer(one, HttpReply(200, {}, b"oops"))


async def test_the_only_model_of_a_server_is_found_and_others_are_to_be_named() -> None:
    request = (await prepared(MATRIX, predict="")).make_request(call(b"[[1, 2]]"))
    assert request.path == f"{MODEL}/infer"
    two = Server({INDEX: [{"name": "a"}, {"name": "b"}, {"name": "c", "state": "UNAVAILABLE"}]})
    with pytest.raises(Invalid, match=r"2 models \(a, b\): name one by predict"):
        await V2Dialect().prepare(two)
    with pytest.raises(Invalid, match="name the model by predict"):
        await V2Dialect().prepare(Server({}))


@pytest.mark.parametrize(
    ("page", "error"),
    [
        ((503, {}), Transient),
        (ConnectionBroken("gone"), Transient),
        ((200, {"inputs": "x"}), Invalid),
        ((404, {}), Invalid),
    ],
)
async def test_a_server_that_does_not_describe_its_model_is_an_error(page: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        await V2Dialect(f"{MODEL}/infer").prepare(Server({MODEL: page}))
    with pytest.raises(Invalid, match="with protocol v2 it is"):
        await V2Dialect("/predict").prepare(Server({}))
