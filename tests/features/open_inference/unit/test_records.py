"""Requests of the protocol are counted, captured and copied like those of the native API."""

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from tests.features.open_inference.replica import ENDPOINT, INFER, Replica, echo_table
from tidegate.domain.worker_stats import PREDICTION, UNUSABLE_PREDICTION
from tidegate.serving.contract.invocation import Answer, ModelFailed, Outcome
from tidegate.serving.front.connection import Request

BODY = json.dumps(
    {"inputs": [{"name": "x", "shape": [2, 2], "datatype": "FP32", "data": [0.5, 1, 2, 3]}]}
).encode()


class Kept:
    """Takes what captures and copies are offered."""

    wanted = True

    def __init__(self) -> None:
        self.found: list[tuple[Request, Outcome]] = []

    def offer(self, request: Request, outcome: Outcome, *rest: Any) -> None:
        self.found.append((request, outcome))

    def answer(self, *asked: Any) -> bool:
        return False


def counted(replica: Replica) -> list[dict[str, Any]]:
    page = msgspec.json.decode(replica.server.statistics(0, 2**40, over=False))
    return [second for second in page["seconds"] if second["invocations"]]


def test_predictions_are_counted_with_their_first_number() -> None:
    replica = Replica(echo_table(2))
    for _ in range(3):
        assert replica.ask(INFER, BODY).status == 200
    seconds = counted(replica)
    assert sum(second["invocations"] for second in seconds) == 3
    names = {series["name"] for second in seconds for series in second["series"]}
    assert PREDICTION in names and UNUSABLE_PREDICTION not in names


def test_what_cannot_be_read_counts_like_a_refusal_of_the_model() -> None:
    replica = Replica(echo_table(2))
    assert replica.ask(INFER, b'{"inputs": []}').status == 400
    assert replica.ask(f"/endpoints/{ENDPOINT}/invocations", b"x", {"content-type": "text/csv"}).status == 424
    page = msgspec.json.decode(replica.server.statistics(0, 2**40, over=False))
    series = {name: sum(second[name] for second in page["seconds"]) for name in ("invocations", "4xx")}
    assert series == {"invocations": 2, "4xx": 2}


def test_what_is_no_prediction_is_not_counted() -> None:
    replica = Replica(echo_table(2))
    for path in (f"/v2/models/{ENDPOINT}", f"/v2/models/{ENDPOINT}/ready", "/v2", "/v2/nothing"):
        replica.ask(path)
    assert counted(replica) == []


def test_captures_and_copies_are_the_request_of_the_native_api() -> None:
    replica = Replica(echo_table(2, ["a", "b"]))
    captures, copies = Kept(), Kept()
    replica.server._captures, replica.server._copies = captures, copies  # type: ignore[assignment]
    headers = {"Content-Type": "application/json", "Inference-Id": "7", "X-Amzn-SageMaker-Inference-Id": "i-1"}
    assert replica.ask(INFER, BODY, headers).status == 200
    for [(request, answer)] in ([*captures.found], [*copies.found]):
        assert request.url == b"/endpoints/fraud/invocations" and request.method == b"POST"
        assert json.loads(request.body) == {
            "dataframe_split": {"columns": ["a", "b"], "data": [[0.5, 1.0], [2.0, 3.0]]}
        }
        assert request.fields[b"content-type"] == b"application/json"
        assert request.fields[b"x-amzn-sagemaker-inference-id"] == b"i-1"
        assert isinstance(answer, Answer) and json.loads(answer.body) == {"predictions": [[0.5, 1.0], [2.0, 3.0]]}
        # What was copied is asked again in the native API, and answered alike.
        again = replica.ask(request.url.decode(), request.body, {"content-type": "application/json"})
        assert again.body == answer.body


def test_a_refused_request_is_copied_with_its_failure() -> None:
    replica = Replica(echo_table(3))
    copies = Kept()
    replica.server._copies = copies  # type: ignore[assignment]
    assert replica.ask(INFER, BODY).status == 400
    [(request, failed)] = copies.found
    assert isinstance(failed, ModelFailed) and failed.status == 400
    assert json.loads(request.body)["instances"] == [[0.5, 1.0], [2.0, 3.0]]


def test_the_key_of_a_client_does_not_reach_the_model(tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    keys.write_text('{"me": "a-long-secret"}')
    keys.chmod(0o600)
    replica = Replica(echo_table(2), keys_file=str(keys))
    assert replica.ask(INFER, BODY).status == 401
    assert replica.ask(INFER, BODY, {"Authorization": "Bearer wrong"}).status == 401
    assert replica.ask(f"/endpoints/{ENDPOINT}/v2/models/{ENDPOINT}").status == 401
    assert replica.call("ModelReady", b"\x0a\x05fraud").grpc_status == 16
    good = {"Authorization": "Bearer me:a-long-secret"}
    assert replica.ask(INFER, BODY, good).status == 200
    assert replica.call("ModelReady", b"\x0a\x05fraud", good).message == b"\x08\x01"
    native = f"/endpoints/{ENDPOINT}/invocations"
    csv = {"content-type": "text/csv"}
    assert replica.ask(native, b"0.5,1", {**csv, **good}).status == 403
    assert replica.engine is not None
    assert all(b"authorization" not in call.headers for call in replica.engine.calls)


def test_answers_are_the_same_in_arrays_of_any_order() -> None:
    found = np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3))
    scorer = echo_table(2)
    scorer._predict = lambda rows: found
    reply = Replica(scorer).ask(INFER, BODY)
    assert reply.json["outputs"][0]["data"] == [0, 1, 2, 3, 4, 5]


def test_a_shadow_takes_copies_of_requests_with_a_key(tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    keys.write_text('{"me": "a-long-secret"}')
    keys.chmod(0o600)
    replica, copies = Replica(echo_table(2), keys_file=str(keys)), Kept()
    replica.server._copies = copies  # type: ignore[assignment]
    good = {"Authorization": "Bearer me:a-long-secret"}
    assert replica.ask(INFER, BODY, good).status == 200
    [(request, answer)] = copies.found
    headers = {name.decode(): value.decode() for name, value in request.headers}
    shadow = Replica(echo_table(2), keys_file=str(keys)).ask(request.url.decode(), request.body, headers)
    assert isinstance(answer, Answer)
    assert (shadow.status, shadow.body) == (200, answer.body)
