"""The protocol at the platform's address: with keys, through the proxy, without a client of the protocol."""

import http.client
import json
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.scene import Scene
from tidegate.host.platform import Platform, free_port
from tidegate.serving.formats import v2_messages, v2_protobuf
from tidegate.serving.formats.v2_messages import InferRequest, make_tensor

pytestmark = pytest.mark.e2e
KEY, SECRET = "AKIDEXAMPLE", "a-long-enough-secret"
BEARER = {"Authorization": f"Bearer {KEY}:{SECRET}"}
ROWS = np.array([[0.1, 0.2, 0.3, 0.4], [np.nan, 1, 2, 3]], np.float32)
SERVICE = "/inference.GRPCInferenceService/"


@pytest.fixture(scope="module")
def scene(models: tuple[str, str]) -> Iterator[Scene]:
    folder = str(Path(models[0].removeprefix("file://")).parent)
    environment = {
        "TIDEGATE_ACCESS_KEYS": f"{KEY}:{SECRET}",
        "TIDEGATE_FILE_ROOTS": folder,
        "TIDEGATE_GRPC_PORT": str(free_port()),
        "TIDEGATE_MAX_BODY": "100000",
    }
    with Platform(environment=environment) as platform:
        made = Scene(platform, keys=(KEY, SECRET))
        made.create("fraud", made.config(models[0]))
        yield made


def ask(scene: Scene, path: str, body: Any = None, headers: dict[str, str] | None = None) -> httpx.Response:
    url, told = scene.platform.url + path, BEARER if headers is None else headers
    if body is None:
        return httpx.get(url, headers=told)
    return httpx.post(url, content=body if isinstance(body, bytes) else json.dumps(body), headers=told)


def native_answer(scene: Scene) -> list[float]:
    rows = [[None if cell != cell else cell for cell in row] for row in ROWS.tolist()]
    found = scene.runtime.invoke_endpoint(
        EndpointName="fraud", ContentType="application/json", Body=json.dumps({"instances": rows})
    )
    answer: list[float] = json.loads(found["Body"].read())["predictions"]
    return answer


def request() -> dict[str, Any]:
    data = [None if cell != cell else cell for cell in ROWS.ravel().tolist()]
    return {"inputs": [{"name": "x", "shape": list(ROWS.shape), "datatype": "FP32", "data": data}]}


@pytest.mark.parametrize("base", ["/v2", "/endpoints/fraud/v2"])
@pytest.mark.parametrize("version", ["", "/versions/AllTraffic"])
def test_answers_are_those_of_the_native_api(scene: Scene, base: str, version: str) -> None:
    found = ask(scene, f"{base}/models/fraud{version}/infer", request())
    assert found.status_code == 200, found.text
    assert found.json()["outputs"][0]["data"] == native_answer(scene)
    assert found.json()["model_version"] == "AllTraffic"
    assert found.headers["x-amzn-invoked-production-variant"] == "AllTraffic"
    body, length = v2_messages.write_request(InferRequest((make_tensor("x", ROWS),), binary=True))
    headers = {**BEARER, "Inference-Header-Content-Length": str(length)}
    packed = ask(scene, f"{base}/models/fraud{version}/infer", body, headers)
    size = int(packed.headers["inference-header-content-length"])
    assert np.frombuffer(packed.content[size:], "<f4").tolist() == native_answer(scene)


def test_the_server_and_its_models_are_described(scene: Scene) -> None:
    for path, member in (("/v2/health/live", "live"), ("/v2/health/ready", "ready")):
        assert ask(scene, path, headers={}).json() == {member: True}
        assert ask(scene, f"/endpoints/fraud{path}").json() == {member: True}
    assert ask(scene, "/v2", headers={}).json()["name"] == "tidegate"
    model = ask(scene, "/v2/models/fraud").json()
    assert model["inputs"] == [{"name": "input", "datatype": "FP32", "shape": [-1, 4]}]
    assert model["outputs"] == [{"name": "predictions", "datatype": "FP32", "shape": [-1]}]
    assert ask(scene, "/v2/models/fraud/versions/AllTraffic/ready").json() == {"name": "fraud", "ready": True}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v2/models/nobody/infer", 404),
        ("/v2/models/fraud/versions/7/infer", 404),
        ("/endpoints/nobody/v2/models/nobody/infer", 404),
        ("/endpoints/fraud/v2/models/other/infer", 404),
        ("/v2/models/fraud/predict", 404),
        ("/v2/models/fraud", 405),
        ("/v2/models/..%2f..%2f/infer", 404),
        ("/v2/models/%0d%0aX:y/infer", 404),
    ],
)
def test_an_error_is_a_text(scene: Scene, path: str, status: int) -> None:
    found = ask(scene, path, request())
    assert (found.status_code, isinstance(found.json()["error"], str)) == (status, True), found.text


def test_a_key_is_asked_for(scene: Scene) -> None:
    for headers in ({}, {"Authorization": f"Bearer {KEY}:wrong-secret"}):
        for path, body in (("/v2/models/fraud/infer", request()), ("/v2/models/fraud", None)):
            found = ask(scene, path, body, headers)
            assert (found.status_code, isinstance(found.json()["error"], str)) == (401, True)
    # Nobody learns without one which endpoints there are.
    assert ask(scene, "/v2/models/nobody", headers={}).status_code == 401


def test_an_error_of_the_proxy_is_a_text(scene: Scene) -> None:
    found = ask(scene, "/v2/models/fraud/infer", b"x" * 200_000)
    assert found.status_code == 413 and isinstance(found.json()["error"], str)
    assert "100000 bytes" in found.json()["detail"]["message"]


def call(scene: Scene, method: str, message: bytes, headers: dict[str, str] | None = None) -> tuple[bytes, str]:
    """A call of gRPC by HTTP/1.1, as HAProxy passes it on; returns the message, and the status after it."""
    connection = http.client.HTTPConnection("127.0.0.1", scene.platform.port)
    body = b"\0" + struct.pack(">I", len(message)) + message
    told = {"Content-Type": "application/grpc", **(BEARER if headers is None else headers)}
    connection.putrequest("POST", SERVICE + method)
    for name, value in {**told, "Content-Length": str(len(body))}.items():
        connection.putheader(name, value)
    connection.endheaders(body)
    assert isinstance(connection.sock, socket.socket)
    data = b""
    while b"grpc-status: " not in data or not data.endswith(b"\r\n\r\n"):
        part = connection.sock.recv(65536)
        assert part, data
        data += part
    connection.close()
    head, _, rest = data.partition(b"\r\n\r\n")
    status = data.rpartition(b"grpc-status: ")[2].partition(b"\r\n")[0].decode()
    size, _, chunk = rest.partition(b"\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    return chunk[5 : int(size or b"0", 16)], status


def test_calls_of_grpc_are_answered(scene: Scene) -> None:
    message = v2_protobuf.write_infer_request(InferRequest((make_tensor("x", ROWS),), model="fraud", binary=True))
    answer, status = call(scene, "ModelInfer", message)
    assert status == "0"
    [found] = v2_protobuf.read_infer_response(answer).outputs
    assert found.values.tolist() == native_answer(scene)
    assert call(scene, "ServerLive", b"") == (b"\x08\x01", "0")
    assert call(scene, "ServerReady", b"", {}) == (b"\x08\x01", "0")
    assert b"tidegate" in call(scene, "ServerMetadata", b"")[0]
    assert call(scene, "ModelReady", b"\x0a\x05fraud\x12\x0aAllTraffic") == (b"\x08\x01", "0")


@pytest.mark.parametrize(
    ("method", "message", "headers", "status"),
    [
        ("ModelReady", b"\x0a\x06nobody", None, "5"),
        ("ModelReady", b"\x0a\x05fraud\x12\x01x", None, "5"),
        ("ModelReady", b"\x0a\x05fra d", None, "5"),
        ("ModelReady", b"\x0a\x09a\r\nb: c\r\n", None, "5"),
        ("ModelReady", b"", None, "5"),
        ("ModelReady", b"\x0a\x05fraud", {}, "16"),
        ("ModelReady", b"\x0a\x05fraud", {"Authorization": "Bearer a:b"}, "16"),
        ("ModelInfer", b"\x0a\x05fraud\x2a\x01", None, "3"),
    ],
)
def test_a_wrong_call_gets_a_status(
    scene: Scene, method: str, message: bytes, headers: dict[str, str] | None, status: str
) -> None:
    assert call(scene, method, message, headers)[1] == status
