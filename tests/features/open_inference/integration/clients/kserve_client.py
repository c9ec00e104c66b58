"""Asks a server by KServe's client, over HTTP and gRPC, and compares the answers with those in a file. Runs in an
environment of its own: ``kserve_client.py FILE``, where the file is the JSON of ``test_clients.py``."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig


async def check(asked: dict[str, Any]) -> None:
    rows, wanted, model = np.array(asked["rows"], np.float32), asked["predictions"], asked["model"]
    headers = asked["headers"]  # the client adds to what it is given, so it gets copies
    rest = InferenceRESTClient(RESTConfig(protocol="v2"))
    for base in (f"http://{asked['http']}", f"http://{asked['http']}/endpoints/{model}"):
        assert await rest.is_server_live(base, headers=dict(headers)) and await rest.is_server_ready(
            base, headers=dict(headers)
        )
        assert await rest.is_model_ready(base, model, headers=dict(headers))
        for request in requests(model, rows):
            found = await rest.infer(base, request, model_name=model, headers=dict(headers))
            assert found.outputs[0].as_numpy().astype(float).tolist() == wanted
    metadata = [(name.lower(), value) for name, value in headers.items()]
    grpc = InferenceGRPCClient(url=asked["grpc"])
    assert await grpc.is_server_live(headers=metadata) and await grpc.is_server_ready(headers=metadata)
    assert await grpc.is_model_ready(model, headers=metadata)
    for request in requests(model, rows):
        found = await grpc.infer(request, headers=metadata)
        assert found.outputs[0].as_numpy().astype(float).tolist() == wanted


def requests(model: str, rows: Any) -> list[Any]:
    made = []
    for binary in (True, False):
        tensor = InferInput(name="x", shape=list(rows.shape), datatype="FP32")
        tensor.set_data_from_numpy(rows, binary_data=binary)
        made.append(InferRequest(model_name=model, infer_inputs=[tensor]))
    return made


asyncio.run(check(json.loads(Path(sys.argv[1]).read_text())))
print("good")
