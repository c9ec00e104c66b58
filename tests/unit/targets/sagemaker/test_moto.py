"""Native mode at moto, for what moto does: creation, tags, uploads, alarms, scaling, deletion. It has no updates."""

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from tests.fake_aws import FakeClock
from tests.unit.targets.sagemaker.aws_account import IMAGE
from tests.unit.targets.sagemaker.aws_specs import NOW, OPTIONS, options, wish
from tidegate.targets.aws.client import AwsClient
from tidegate.targets.sagemaker.commands import measure_local
from tidegate.targets.sagemaker.native import NativeDeployer
from tidegate.targets.sagemaker.outcome import UpdateOutcome

REGION = OPTIONS["region"]


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Iterator[boto3.Session]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        made = boto3.Session("test", "test", region_name=REGION)
        place = {"LocationConstraint": REGION}
        made.client("s3").create_bucket(Bucket=OPTIONS["bucket"], CreateBucketConfiguration=place)
        yield made


def test_a_first_version_lives_and_goes(session: boto3.Session, tmp_path: Path) -> None:
    large = tmp_path / "model.tar.gz"
    large.write_bytes(b"trees" * 2_000_000)  # is uploaded in parts
    spec = wish(
        model={"image": IMAGE, "data": f"file://{large}"},
        autoscaling={"min": 1, "max": 3, "target": 5, "rule": "aws"},
    )
    client = AwsClient(lambda service, config: session.client(service, config=config), FakeClock(), lambda: 0.5)
    deployer = NativeDeployer(client, options())
    for _ in range(2):
        done = deployer.deploy(spec, measure_local(spec), NOW)
        assert done.verdict.outcome is UpdateOutcome.SUCCEEDED
    assert not done.changed
    (upload,) = done.compiled.uploads
    stored = session.client("s3").head_object(Bucket=upload.bucket, Key=upload.key)
    assert stored["ContentLength"] == 10_000_000
    alarms = session.client("cloudwatch").describe_alarms()["MetricAlarms"]
    assert {one["AlarmName"] for one in alarms} >= set(done.compiled.guards)
    sagemaker = session.client("sagemaker")
    deployer.delete("fraud")
    assert sagemaker.list_endpoints()["Endpoints"] == [] and sagemaker.list_models()["Models"] == []
    assert sagemaker.list_endpoint_configs()["EndpointConfigs"] == []
