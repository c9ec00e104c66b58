"""Asynchronous endpoints of a whole platform, with files as storage: boto3 asks, the dispatcher answers."""

import hashlib
import hmac
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from botocore.exceptions import ClientError

from tests.fixtures import STAND_IN, images
from tests.scene import Scene
from tidegate.cli.client import ApiClient
from tidegate.host.platform import Platform, wait_until
from tidegate.host.webhooks import EVENT, SIGNATURE, TIMESTAMP, signature

pytestmark = pytest.mark.e2e
ROW = [0.1, 0.2, 0.3, 0.4]
SECRET = "webhook-secret"


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, out: Path) -> Iterator[Platform]:
    environment = {
        "TIDEGATE_IMAGES": str(images(tmp_path_factory.mktemp("images"))),
        "TIDEGATE_DRAIN_TIMEOUT": "5",
        "TIDEGATE_OUTPUT_ROOTS": str(out),
        "TIDEGATE_WEBHOOK_SECRET": SECRET,
        "TIDEGATE_WEBHOOK_HOSTS": "127.0.0.1",
    }
    with Platform(environment=environment) as running:
        yield running


@pytest.fixture(scope="module")
def endpoint(scene: Scene, models: tuple[str, str], out: Path) -> str:
    queued(scene, "queued", scene.model(models[0]), out)
    return "queued"


def queued(scene: Scene, name: str, model: str, out: Path, **more: Any) -> None:
    scene.sagemaker.create_endpoint_config(
        EndpointConfigName=name,
        ProductionVariants=[
            {
                "VariantName": "AllTraffic",
                "ModelName": model,
                "InitialInstanceCount": 1,
                "InstanceType": "ml.c5.large",
            }
        ],
        AsyncInferenceConfig={
            "ClientConfig": {"MaxConcurrentInvocationsPerInstance": 2},
            "OutputConfig": {
                "S3OutputPath": (out / "good").as_uri(),
                "S3FailurePath": (out / "bad").as_uri(),
                **more,
            },
        },
    )
    scene.create(name, name)


def path(address: str) -> Path:
    assert address.startswith("file://")
    return Path(address.removeprefix("file://"))


def ask(scene: Scene, endpoint: str, **members: Any) -> dict[str, Any]:
    given = {"ContentType": "text/csv", "Body": ",".join(map(str, ROW)).encode(), **members}
    answer: dict[str, Any] = scene.runtime.invoke_endpoint_async(EndpointName=endpoint, **given)
    return answer


def answered(location: str) -> bytes:
    file = path(location)
    wait_until(file.exists, f"{file} there")
    return file.read_bytes()


def from_file(scene: Scene, endpoint: str, file: Path, **members: Any) -> dict[str, Any]:
    answer: dict[str, Any] = scene.runtime.invoke_endpoint_async(
        EndpointName=endpoint, InputLocation=file.as_uri(), ContentType="text/csv", **members
    )
    return answer


def test_a_body_and_an_object_are_answered_in_the_output_path(scene: Scene, endpoint: str, tmp_path: Path) -> None:
    body = ask(scene, endpoint)
    assert body["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert path(body["OutputLocation"]).name == f"{body['InferenceId']}.out"
    assert path(body["FailureLocation"]).name == f"{body['InferenceId']}-error.out"
    rows = tmp_path / "rows.csv"
    rows.write_text("\n".join(",".join(map(str, ROW)) for _ in range(3)))
    file = from_file(scene, endpoint, rows, InferenceId="mine", S3OutputPathExtension="a/b", Filename="answer.csv")
    assert file["InferenceId"] == "mine"
    assert file["OutputLocation"].endswith("/good/a/b/answer.csv")
    one = answered(body["OutputLocation"])
    assert answered(file["OutputLocation"]).split() == one.split() * 3


def test_what_the_model_refuses_is_told_under_the_failure_path(scene: Scene, endpoint: str) -> None:
    answer = ask(scene, endpoint, Body=b"no,numbers,at,all")
    assert b"Received client error (4" in answered(answer["FailureLocation"])
    assert not path(answer["OutputLocation"]).exists()


def test_an_input_that_is_not_there_fails(scene: Scene, endpoint: str, tmp_path: Path) -> None:
    answer = from_file(scene, endpoint, tmp_path / "absent")
    assert b"there is no such file" in answered(answer["FailureLocation"])


def test_the_plain_call_is_refused_and_so_is_an_asynchronous_one_of_a_real_time_endpoint(
    scene: Scene, endpoint: str, models: tuple[str, str]
) -> None:
    with pytest.raises(ClientError) as refused:
        scene.invoke(endpoint, [ROW])
    assert refused.value.response["Error"]["Code"] == "ValidationError"
    scene.create("plain", scene.config(models[0]))
    with pytest.raises(ClientError, match="not asynchronous"):
        ask(scene, "plain")
    with pytest.raises(ClientError, match="cannot change between"):
        scene.update("plain", endpoint)


def test_it_is_described_as_it_was_asked_for(scene: Scene, endpoint: str, out: Path) -> None:
    config = scene.sagemaker.describe_endpoint_config(EndpointConfigName=endpoint)["AsyncInferenceConfig"]
    assert config["OutputConfig"]["S3OutputPath"] == (out / "good").as_uri()
    assert config["ClientConfig"] == {"MaxConcurrentInvocationsPerInstance": 2}


class Receiver(http.server.BaseHTTPRequestHandler):
    seen: ClassVar[list[tuple[dict[str, str], bytes]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append((dict(self.headers.items()), body))
        self.send_response(500 if len(self.seen) == 1 else 204)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


def test_webhooks_and_files_are_told_and_a_webhook_is_signed(
    scene: Scene, platform: Platform, models: tuple[str, str], out: Path
) -> None:
    seen = Receiver.seen
    server = http.server.HTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    hook, told = f"http://127.0.0.1:{server.server_address[1]}/done", out / "told.jsonl"
    spec = {
        "endpoint": "telling",
        "model": {"image": "tidegate/xgboost", "data": models[0]},
        "async": {
            "output": (out / "told").as_uri(),
            "success": [hook, told.as_uri()],
            "error": [told.as_uri()],
            "include_response": True,
        },
    }
    try:
        deploy(platform, spec)
        scene.settled("telling")
        answer = ask(scene, "telling")
        wait_until(lambda: len(seen) >= 2 and told.exists() and told.read_bytes(), "told", 30)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    headers, body = seen[1]
    assert headers[SIGNATURE] == signature(SECRET, headers[TIMESTAMP], body)
    digest = hmac.new(SECRET.encode(), f"{headers[TIMESTAMP]}.".encode() + body, hashlib.sha256)
    assert headers[SIGNATURE] == f"sha256={digest.hexdigest()}"
    notice = json.loads(body)
    assert seen[0][1] == body, "a second try is the same notification"
    assert headers[EVENT] == notice["eventId"]
    assert notice["invocationStatus"] == "Completed"
    assert notice["responseParameters"]["outputLocation"] == answer["OutputLocation"]
    assert notice["inferenceResponse"] == answered(answer["OutputLocation"]).decode()
    assert json.loads(told.read_text()) == notice


def deploy(platform: Platform, spec: dict[str, Any]) -> None:
    with ApiClient({"TIDEGATE_URL": platform.url}) as server:
        server.deploy(spec, "test", override=False, supersede=False)


def test_metrics_of_the_queue(scene: Scene, endpoint: str, tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text(",".join(map(str, ROW)))
    good = ask(scene, endpoint), from_file(scene, endpoint, rows)
    bad = ask(scene, endpoint, Body=b"no,numbers,at,all"), from_file(scene, endpoint, tmp_path / "absent")
    for one in good:
        answered(one["OutputLocation"])
    for one in bad:
        answered(one["FailureLocation"])

    def total(name: str, **dimensions: str) -> float:
        found = scene.cloudwatch.get_metric_statistics(
            Namespace="AWS/SageMaker",
            MetricName=name,
            Dimensions=[{"Name": key, "Value": value} for key, value in dimensions.items()],
            StartTime=time.time() - 600,
            EndTime=time.time() + 60,
            Period=60,
            Statistics=["Sum", "SampleCount"],
        )["Datapoints"]
        return float(sum(point["Sum"] for point in found)) if found else -1.0

    both = {"EndpointName": endpoint, "VariantName": "AllTraffic"}
    least = {"InvocationsProcesssed": 4, "InvocationFailures": 2, "Invocation4XXErrors": 1, "ExpiredRequests": 0}
    for name, number in least.items():
        wait_until(lambda name=name, number=number: total(name, **both) >= number, f"{name} counted")  # type: ignore[misc]
    for name in ("TimeInBacklog", "TotalProcessingTime", "RequestDownloadLatency", "ResponseUploadLatency"):
        wait_until(lambda name=name: total(name, **both) > 0, f"{name} measured")  # type: ignore[misc]
    for name in ("ApproximateBacklogSize", "HasBacklogWithoutCapacity"):
        wait_until(lambda name=name: total(name, EndpointName=endpoint) >= 0, f"{name} measured")  # type: ignore[misc]
    assert total("ExpiredRequests", **both) == 0
    assert total("Invocations", **both) == -1, "not published of an asynchronous endpoint"


def test_a_killed_dispatcher_is_replaced_and_loses_nothing(
    scene: Scene, platform: Platform, endpoint: str
) -> None:
    answered(ask(scene, endpoint)["OutputLocation"])
    before = dispatcher(platform)
    os.kill(before, signal.SIGKILL)
    answer = ask(scene, endpoint)
    answered(answer["OutputLocation"])
    assert dispatcher(platform) != before


def dispatcher(platform: Platform) -> int:
    lines = {one.pid: one.info["cmdline"] or () for one in platform.processes()}
    found = [pid for pid, line in lines.items() if "tidegate.features.asynchronous.dispatcher_main" in line]
    assert len(found) == 1
    return found[0]


def test_an_idle_endpoint_sleeps_and_wakes_with_the_next_request(
    scene: Scene, platform: Platform, models: tuple[str, str], out: Path
) -> None:
    spec = {
        "endpoint": "sleepy",
        "model": {"image": "tidegate/xgboost", "data": models[0]},
        "async": {"output": (out / "sleepy").as_uri(), "idle_after": "1s"},
    }
    deploy(platform, spec)
    scene.settled("sleepy")

    def count() -> dict[str, int]:
        variant = scene.settled("sleepy")["ProductionVariants"][0]
        return {"desired": variant["DesiredInstanceCount"], "current": variant["CurrentInstanceCount"]}

    wait_until(lambda: count() == {"desired": 0, "current": 0}, "asleep", 30)
    assert answered(ask(scene, "sleepy")["OutputLocation"])
    wait_until(lambda: count() == {"desired": 0, "current": 0}, "asleep again", 30)


def test_an_update_is_carried_out_while_requests_wait(scene: Scene, models: tuple[str, str], out: Path) -> None:
    model = scene.model(None, image=STAND_IN)
    queued(scene, "rolled", model, out)
    answers = [ask(scene, "rolled") for _ in range(5)]  # whichever version takes them can answer
    queued_config = scene.model(models[0])
    scene.sagemaker.create_endpoint_config(
        EndpointConfigName="rolled-2",
        ProductionVariants=[
            {
                "VariantName": "AllTraffic",
                "ModelName": queued_config,
                "InitialInstanceCount": 1,
                "InstanceType": "local.x",
            }
        ],
        AsyncInferenceConfig={"OutputConfig": {"S3OutputPath": (out / "two").as_uri()}},
    )
    scene.update("rolled", "rolled-2")
    scene.settled("rolled")
    for answer in answers:
        assert answered(answer["OutputLocation"])
    assert answered(ask(scene, "rolled")["OutputLocation"])


def command(platform: Platform, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tidegate.cli", *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "TIDEGATE_URL": platform.url},
    )


def test_the_commands_queue_wait_and_show(scene: Scene, platform: Platform, endpoint: str, tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("\n".join(",".join(map(str, ROW)) for _ in range(2)))
    done = command(platform, "queue", "send", endpoint, str(rows), "--wait", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["outcome"]["end"] == "Completed"
    assert len(path(document["output"]).read_bytes().split()) == 2
    rows.write_text("no,numbers,at,all")
    failed = command(platform, "queue", "send", endpoint, rows.as_uri(), "--wait")
    assert failed.returncode == 1
    assert "Received client error (4" in failed.stderr
    shown = json.loads(command(platform, "queue", "show", endpoint, "--json").stdout)
    assert shown["backlog"]["waiting"] == 0
    assert document["inference_id"] in {row["inference_id"] for row in shown["requests"]}
    assert document["inference_id"] in command(platform, "queue", "show", endpoint).stdout
    assert command(platform, "queue", "show", "absent").returncode == 1
