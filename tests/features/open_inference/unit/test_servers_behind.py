"""Requests of the protocol for a server of the protocol behind the front: it gets the client's message, and the
client gets its outputs by their names."""

import json
from dataclasses import replace
from typing import Any, cast

import pytest

from tests.features.open_inference.replica import INFER, AtOnce, Replica
from tests.features.open_inference.unit.test_records import Kept
from tidegate.domain.registry import Protocol, Upstream
from tidegate.serving.contract.catalogue import RuntimeChoice, RuntimeKind
from tidegate.serving.contract.invocation import Answer, Call, Done
from tidegate.serving.formats import v2_messages, v2_protobuf

ROWS = {"name": "rows", "shape": [2, 2], "datatype": "FP32", "data": [0.5, 1, 2, 3]}
OUTPUTS = [{"name": "score", "shape": [2, 1], "datatype": "FP64", "data": [0.25, 0.5]}]


class ServerOfTheProtocol:
    """An engine that answers with a message, as a server behind a front does."""

    healthy = True

    def __init__(self) -> None:
        self.got: list[Any] = []

    def submit(self, call: Call, done: Done) -> None:
        self.got.append(json.loads(call.body))
        done(Answer(json.dumps({"model_name": "theirs", "outputs": OUTPUTS}).encode(), "application/json"))

    async def close(self) -> None: ...


@pytest.fixture
def behind() -> ServerOfTheProtocol:
    return ServerOfTheProtocol()


@pytest.fixture
def replica(behind: ServerOfTheProtocol) -> Replica:
    made = Replica(None, runtime=RuntimeChoice(RuntimeKind.SERVICE, upstream=Upstream(protocol=Protocol.V2)))
    made.server.engine = cast(AtOnce, behind)
    return made


def asked(**more: Any) -> bytes:
    return json.dumps({"id": "a-1", "inputs": [ROWS], **more}).encode()


def test_names_go_through_both_ways(replica: Replica, behind: ServerOfTheProtocol) -> None:
    reply = replica.ask(INFER, asked()).json
    assert behind.got == [{"id": "a-1", "inputs": [ROWS]}]
    assert (reply["model_name"], reply["id"], reply["outputs"]) == ("fraud", "a-1", OUTPUTS)


def test_grpc_goes_through_as_json(replica: Replica, behind: ServerOfTheProtocol) -> None:
    request = replace(v2_messages.read_request(asked()), model="fraud")
    replica.call("ModelInfer", v2_protobuf.write_infer_request(request))
    assert behind.got[0]["inputs"] == [ROWS]


def test_the_outputs_that_are_asked_for_go_through(replica: Replica, behind: ServerOfTheProtocol) -> None:
    captures = Kept()
    replica.server._captures = captures  # type: ignore[assignment]
    wanted = [{"name": "score", "parameters": {"binary_data": True}}]
    assert replica.ask(INFER, asked(outputs=wanted)).status == 200
    message = {"id": "a-1", "inputs": [ROWS], "outputs": [{"name": "score", "parameters": {"binary_data": False}}]}
    assert behind.got == [message]
    [(request, answer)] = captures.found
    assert json.loads(request.body) == message, "rows have no names of outputs"
    assert isinstance(answer, Answer) and json.loads(answer.body)["outputs"] == OUTPUTS


def test_captures_and_copies_have_rows(replica: Replica) -> None:
    captures = Kept()
    replica.server._captures = captures  # type: ignore[assignment]
    replica.ask(INFER, asked())
    [(request, answer)] = captures.found
    assert json.loads(request.body) == [[0.5, 1], [2, 3]]
    assert isinstance(answer, Answer) and json.loads(answer.body) == {"predictions": [0.25, 0.5]}
