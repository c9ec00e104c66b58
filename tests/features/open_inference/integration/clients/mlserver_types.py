"""Asks a server with the types and codecs of MLServer, over HTTP and gRPC, and compares the answers with those in a
file. Runs in an environment of its own: ``mlserver_types.py FILE``, where the file is the JSON of
``test_clients.py``."""

import json
import sys
import urllib.request
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from mlserver.codecs import NumpyCodec
from mlserver.grpc.converters import ModelInferRequestConverter, ModelInferResponseConverter
from mlserver.grpc.dataplane_pb2_grpc import GRPCInferenceServiceStub
from mlserver.types import InferenceRequest, InferenceResponse, MetadataModelResponse, MetadataServerResponse


def fetch(asked: dict[str, Any], path: str, body: str | None = None) -> bytes:
    data = None if body is None else body.encode()
    headers = {**asked["headers"], "Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(f"http://{asked['http']}{path}", data, headers)) as reply:
        found: bytes = reply.read()
    return found


def check(asked: dict[str, Any]) -> None:
    rows, wanted, model = np.array(asked["rows"], np.float32), asked["predictions"], asked["model"]
    request = InferenceRequest(id="m-1", inputs=[NumpyCodec.encode_input("x", rows)])
    reply = InferenceResponse.model_validate_json(
        fetch(asked, f"/v2/models/{model}/infer", request.model_dump_json())
    )
    assert reply.id == "m-1"
    assert NumpyCodec.decode_output(reply.outputs[0]).astype(float).tolist() == wanted
    MetadataServerResponse.model_validate_json(fetch(asked, "/v2"))
    assert MetadataModelResponse.model_validate_json(fetch(asked, f"/v2/models/{model}")).name == model
    stub = GRPCInferenceServiceStub(grpc.insecure_channel(asked["grpc"]))
    metadata = [(name.lower(), value) for name, value in asked["headers"].items()]
    for raw in (False, True):
        call = ModelInferRequestConverter.from_types(request, model_name=model, model_version="", use_raw=raw)
        found = ModelInferResponseConverter.to_types(stub.ModelInfer(call, metadata=metadata))
        assert NumpyCodec.decode_output(found.outputs[0]).astype(float).tolist() == wanted


check(json.loads(Path(sys.argv[1]).read_text()))
print("good")
