"""Overload, quotas and a replay on a whole platform, by a spec and the commands."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.config
import httpx
import pytest

from tidegate.host.platform import Platform, wait_until

pytestmark = pytest.mark.e2e
BURST, ROOM = 50, 2
CODE = """\
import time


class Slow:
    def predict(self, row: bytes) -> str:
        time.sleep(0.2)
        return "0.5"
"""
SPEC = """\
endpoint: fraud
model:
  image: tidegate/python
  data: ./model/
  environment: {MODEL_HANDLER: "slow:Slow"}
max_in_flight: %d
queue_time: 20ms
quotas: {by: header X-Client, rate: 1/m, burst: 3, clients: {payroll: 100/m}}
"""


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("spec")
    (folder / "model" / "code").mkdir(parents=True)
    (folder / "model" / "code" / "slow.py").write_text(CODE)
    (folder / "fraud.yaml").write_text(SPEC % ROOM)
    roots = {"TIDEGATE_FILE_ROOTS": str(folder)}
    with Platform(environment={"TIDEGATE_TRUST": "code", "TIDEGATE_DRAIN_TIMEOUT": "5", **roots}) as running:
        deployed = tidegate(running, "deploy", str(folder / "fraud.yaml"), "--wait")
        assert deployed.returncode == 0, deployed.stderr
        yield running


def tidegate(platform: Platform, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "TIDEGATE_URL": platform.url}
    command = [sys.executable, "-m", "tidegate.cli", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)


def replayed(platform: Platform, folder: Path, requests: int, *more: str) -> dict[str, Any]:
    """Many requests in one moment."""
    (folder / "trace.csv").write_text("at\n" + "0\n" * requests)
    (folder / "rows.csv").write_text("1,2\n")
    words = ("--endpoint", "fraud", "--payloads", str(folder / "rows.csv"), "--json", *more)
    done = tidegate(platform, "replay", "run", str(folder / "trace.csv"), *words)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def total(platform: Platform, name: str) -> float:
    page = httpx.get(f"{platform.url}/metrics").text
    return sum(float(line.rpartition(" ")[2]) for line in page.splitlines() if line.startswith(f"{name}{{"))


def test_a_burst_is_answered_in_part_and_refused_for_the_rest(platform: Platform, tmp_path: Path) -> None:
    told = replayed(platform, tmp_path, BURST, "--header", "X-Client:payroll", "--plot", str(tmp_path / "out.png"))
    assert set(told["statuses"]) == {"200", "503"}
    assert told["answered"] + told["refused"] == BURST and told["answered"] >= ROOM
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")
    name = "tidegate_refused_requests_total"
    wait_until(lambda: total(platform, name) == told["refused"], f"{told['refused']} refused requests are counted")


def test_a_client_beyond_its_quota_is_told_so_by_boto3(platform: Platform, tmp_path: Path) -> None:
    told = replayed(platform, tmp_path, 5, "--header", "X-Client:small")
    assert told["throttled"] == 2, "the bucket holds three"
    wait_until(
        lambda: total(platform, "tidegate_throttled_requests_total") == 2, "two throttled requests are counted"
    )
    runtime = boto3.client(
        "sagemaker-runtime",
        endpoint_url=platform.url,
        region_name="us-east-1",
        aws_access_key_id="a",
        aws_secret_access_key="b",
        config=botocore.config.Config(retries={"total_max_attempts": 1}),
    )
    runtime.meta.events.register(
        "before-send.sagemaker-runtime", lambda request, **_: request.headers.update({"X-Client": "small"})
    )
    with pytest.raises(runtime.exceptions.ClientError) as caught:
        runtime.invoke_endpoint(EndpointName="fraud", ContentType="text/csv", Body="1,2")
    assert caught.value.response["Error"]["Code"] == "ThrottlingException"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429
