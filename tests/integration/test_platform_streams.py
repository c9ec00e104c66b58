"""Streams through the whole platform, by plain boto3 and in OpenAI's manner."""

import json
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError, EventStreamError

from tests.fixtures import STAND_IN
from tests.scene import Scene, canary
from tidegate.host.platform import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.e2e]


@pytest.fixture(scope="module")
def served(scene: Scene) -> str:
    """The config of the endpoint ``streams``."""
    config = scene.config(None, image=STAND_IN)
    scene.create("streams", config)
    return config


def stream(scene: Scene, asked: dict[str, Any], endpoint: str = "streams", **more: str) -> Any:
    return scene.runtime.invoke_endpoint_with_response_stream(
        EndpointName=endpoint, Body=json.dumps(asked).encode(), ContentType="application/json", **more
    )


def parts(answer: Any) -> list[bytes]:
    return [event["PayloadPart"]["Bytes"] for event in answer["Body"]]


def test_boto3_gets_one_part_for_each_chunk(scene: Scene, served: str) -> None:
    answer = stream(scene, {"parts": 5}, TargetVariant="AllTraffic")
    assert answer["InvokedProductionVariant"] == "AllTraffic"
    assert answer["ContentType"] == "text/plain"
    assert answer["ResponseMetadata"]["HTTPHeaders"]["x-tidegate-config"] == served
    assert parts(answer) == [b"0,", b"1,", b"2,", b"3,", b"4,"]


def test_a_stream_that_breaks_off_is_an_error_for_boto3(scene: Scene, served: str) -> None:
    found = []
    body = stream(scene, {"parts": 2, "break": 1})["Body"]
    with pytest.raises(EventStreamError, match="ended too early") as caught, closing(body):
        for event in body:
            found.append(event["PayloadPart"]["Bytes"])
    assert found == [b"0,", b"1,"]
    assert caught.value.response["Error"]["Code"] == "ModelStreamError"


def test_an_endpoint_that_is_not_there_refuses_a_stream(scene: Scene, served: str) -> None:
    with pytest.raises(ClientError, match="nobody") as caught:
        stream(scene, {"parts": 1}, endpoint="nobody")
    assert caught.value.response["Error"]["Code"] == "ValidationError"
    chat = httpx.post(f"{scene.platform.url}/endpoints/nobody/v1/chat/completions", content=b"{}")
    assert chat.status_code == 404
    assert "nobody" in chat.json()["error"]["message"]


def total(scene: Scene, metric: str, endpoint: str) -> float:
    now = datetime.now(UTC)
    variant = {"EndpointName": endpoint, "VariantName": "AllTraffic"}
    found = scene.cloudwatch.get_metric_statistics(
        Namespace="AWS/SageMaker",
        MetricName=metric,
        Dimensions=[{"Name": name, "Value": value} for name, value in variant.items()],
        StartTime=now - timedelta(hours=1),
        EndTime=now + timedelta(hours=1),
        Period=3600,
        Statistics=["Sum"],
    )["Datapoints"]
    return float(sum(point["Sum"] for point in found))


def test_clients_that_leave_are_no_errors_and_others_are_served(scene: Scene) -> None:
    scene.create("leavers", scene.config(None, image=STAND_IN))
    url = f"{scene.platform.url}/endpoints/leavers/invocations-response-stream"
    asked = b'{"parts": 10000, "pause_ms": 2}'
    for _ in range(5):
        with httpx.stream("POST", url, content=asked, timeout=30) as answer:
            assert b"0," in next(answer.iter_raw())
    assert parts(stream(scene, {"parts": 2}, endpoint="leavers")) == [b"0,", b"1,"]
    wait_until(lambda: total(scene, "Invocations", "leavers") == 6, "all six are counted")
    assert total(scene, "Invocation5XXErrors", "leavers") == 0


def test_streams_that_run_while_a_version_is_replaced_all_come_to_their_end(scene: Scene) -> None:
    scene.create("replaced", scene.config(None, image=STAND_IN))
    found: list[list[bytes]] = []
    started = threading.Barrier(5)

    def follow() -> None:
        answer = stream(scene, {"parts": 300, "pause_ms": 15}, endpoint="replaced")
        started.wait(30)
        found.append(parts(answer))

    followers = [threading.Thread(target=follow) for _ in range(4)]
    for follower in followers:
        follower.start()
    started.wait(30)
    new = scene.config(None, image=STAND_IN)
    scene.update("replaced", new, canary(50, 0))
    settled = scene.settled("replaced")
    for follower in followers:
        follower.join(60)
    assert settled["EndpointConfigName"] == new
    assert [len(one) for one in found] == [300] * 4
    assert {b"".join(one) for one in found} == {b"".join(b"%d," % n for n in range(300))}


def test_openai_clients_read_server_sent_events_through_the_proxy(scene: Scene, served: str) -> None:
    url = f"{scene.platform.url}/endpoints/streams/v1/chat/completions"
    with httpx.stream("POST", url, content=b'{"parts": 3}', timeout=30) as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        lines = [line for line in answer.iter_lines() if line]
    assert lines == ['data: {"n": 0}', 'data: {"n": 1}', 'data: {"n": 2}']
    with httpx.stream("POST", url, content=b'{"parts": 1, "break": 1}', timeout=30) as answer:
        *_, last = [line for line in answer.iter_lines() if line]
    assert json.loads(last.removeprefix("data: "))["error"]["code"] == "model_error"
    models = httpx.get(f"{scene.platform.url}/endpoints/streams/v1/models", timeout=30)
    assert models.status_code == 200


def test_the_time_to_the_first_part_is_a_metric(scene: Scene, served: str) -> None:
    parts(stream(scene, {"parts": 1}))
    wait_until(
        lambda: scene.cloudwatch.list_metrics(MetricName="FirstChunkLatency")["Metrics"],
        "FirstChunkLatency is published",
    )
