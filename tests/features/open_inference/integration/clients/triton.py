"""Asks a server by NVIDIA's client, over HTTP and gRPC, and compares the answers with those in a file. Runs in an
environment of its own: ``triton.py FILE``, where the file is the JSON of ``test_clients.py``."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.grpc as grpc_client
import tritonclient.http as http_client
from tritonclient.utils import InferenceServerException


def check_client(client: Any, kind: Any, asked: dict[str, Any]) -> None:
    rows = np.array(asked["rows"], np.float32)
    model, wanted = asked["model"], np.array(asked["predictions"])
    headers = asked["headers"]  # the client adds to what it is given, so it gets copies
    assert client.is_server_live(headers=dict(headers)) and client.is_server_ready(headers=dict(headers))
    assert client.is_model_ready(model, headers=dict(headers))
    assert client.is_model_ready(model, asked["version"], headers=dict(headers))
    over_http = kind is http_client
    about = client.get_server_metadata(headers=dict(headers))
    described = client.get_model_metadata(model, headers=dict(headers))
    assert (about["name"] if over_http else about.name) == "tidegate"
    inputs = described["inputs"] if over_http else described.inputs
    assert len(inputs) == 1
    tensor = kind.InferInput("x", list(rows.shape), "FP32")
    tensor.set_data_from_numpy(rows)
    outputs: list[Any] = [None, [kind.InferRequestedOutput("predictions")]]
    packed = "request_compression_algorithm" if over_http else "compression_algorithm"
    for chosen in outputs:
        for compression in (None, "gzip", "deflate"):
            told = {packed: compression, "headers": dict(headers)}
            found = client.infer(model, [tensor], outputs=chosen, request_id="q-1", **told)
            compare(found.as_numpy("predictions"), wanted)
    if over_http:
        tensor.set_data_from_numpy(rows, binary_data=False)
        for binary in (False, True):
            chosen = [kind.InferRequestedOutput("predictions", binary_data=binary)]
            compare(
                client.infer(model, [tensor], outputs=chosen, headers=dict(headers)).as_numpy("predictions"),
                wanted,
            )
    expect_error(lambda: client.infer("nobody", [tensor], headers=dict(headers)), "no such model")
    expect_error(
        lambda: client.infer(model, [tensor], model_version="7", headers=dict(headers)), "no such version"
    )
    narrow = kind.InferInput("x", [1, 2], "FP32")
    narrow.set_data_from_numpy(np.ones((1, 2), np.float32))
    expect_error(lambda: client.infer(model, [narrow], headers=dict(headers)), "2 columns")


def compare(found: Any, wanted: Any) -> None:
    assert found.dtype == np.float32 and found.astype(float).tolist() == wanted.tolist(), (found, wanted)


def expect_error(ask: Any, said: str) -> None:
    try:
        ask()
    except InferenceServerException as error:
        assert said in str(error), error
    else:
        raise AssertionError(f"there was no error: {said}")


asked = json.loads(Path(sys.argv[1]).read_text())
check_client(http_client.InferenceServerClient(asked["http"]), http_client, asked)
check_client(grpc_client.InferenceServerClient(asked["grpc"]), grpc_client, asked)
print("good")
