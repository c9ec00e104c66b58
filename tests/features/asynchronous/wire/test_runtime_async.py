"""InvokeEndpointAsync by botocore: what is taken, what is kept of it, what is refused."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.served_wire import START, Served
from tidegate.domain.asynchronous import Item

VARIANT = {"VariantName": "AllTraffic", "ModelName": "m", "InitialInstanceCount": 1, "InstanceType": "ml.c5.large"}
OUTPUT = {
    "S3OutputPath": "s3://out/answers",
    "S3FailurePath": "s3://out/failed",
    "NotificationConfig": {
        "SuccessTopic": "arn:aws:sns:us-east-1:123456789012:good",
        "ErrorTopic": "arn:aws:sns:us-east-1:123456789012:bad",
        "IncludeInferenceResponseIn": ["SUCCESS_NOTIFICATION_TOPIC"],
    },
}
CONFIG = {"ClientConfig": {"MaxConcurrentInvocationsPerInstance": 7}, "OutputConfig": OUTPUT}


@pytest.fixture
def endpoint(wire: Served, sagemaker: Any) -> str:
    sagemaker.create_model(
        ModelName="m", PrimaryContainer={"Image": "tidegate/xgboost", "ModelDataUrl": "s3://b/m"}
    )
    sagemaker.create_endpoint_config(
        EndpointConfigName="c", ProductionVariants=[VARIANT], AsyncInferenceConfig=CONFIG
    )
    sagemaker.create_endpoint(EndpointName="fraud", EndpointConfigName="c")
    wire.settle("fraud")
    return "fraud"


def taken(wire: Served) -> list[Item]:
    assert wire.ctx.queue is not None
    return [row.item for row in wire.run(wire.ctx.queue.rows("fraud", 10))]


def test_an_asynchronous_request_keeps_every_member(wire: Served, endpoint: str) -> None:
    answer = wire.client("sagemaker-runtime").invoke_endpoint_async(
        EndpointName=endpoint,
        InputLocation="s3://in/rows.csv",
        ContentType="text/csv",
        Accept="application/json",
        CustomAttributes="a=b",
        InferenceId="mine/1",
        RequestTTLSeconds=60,
        InvocationTimeoutSeconds=3600,
        S3OutputPathExtension="2026/march",
    )
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert answer["InferenceId"] == "mine/1"
    (item,) = taken(wire)
    assert answer["OutputLocation"] == item.output == f"s3://out/answers/2026/march/mine_1-{item.id[-12:]}.out"
    assert (
        answer["FailureLocation"]
        == item.failure
        == item.output.replace("answers", "failed").replace(".out", "-error.out")
    )
    now = START.timestamp()
    assert (item.accepted_at, item.expires_at, item.timeout) == (now, now + 60, 3600.0)
    assert item.headers == {
        "content-type": "text/csv",
        "accept": "application/json",
        "x-amzn-sagemaker-custom-attributes": "a=b",
        "x-amzn-sagemaker-inference-id": "mine/1",
    }
    assert item.success == ("arn:aws:sns:us-east-1:123456789012:good",)
    assert item.include == ("success",)


def test_the_config_is_echoed(sagemaker: Any, endpoint: str) -> None:
    assert sagemaker.describe_endpoint_config(EndpointConfigName="c")["AsyncInferenceConfig"] == CONFIG


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({}, "either InputLocation or a body"),
        ({"InputLocation": "s3://in/k", "Body": b"x"}, "either InputLocation or a body"),
        ({"Body": b"x" * 128_001}, "less than or equal to 128000"),
        ({"InputLocation": "s3://in/../k"}, "a part . or .."),
        ({"InputLocation": "ftp://in/k"}, "regular expression"),
        ({"Body": b"x", "RequestTTLSeconds": 21_601}, "less than or equal to 21600"),
        ({"Body": b"x", "S3OutputPathExtension": "a/../../b"}, "must stay below"),
        ({"Body": b"x", "Filename": "a.b.c"}, "regular expression"),
    ],
)
def test_bad_requests_are_refused_and_nothing_is_kept(
    wire: Served, endpoint: str, members: dict[str, Any], why: str
) -> None:
    with pytest.raises(ClientError, match=why) as refused:
        wire.client("sagemaker-runtime").invoke_endpoint_async(EndpointName=endpoint, **members)
    assert refused.value.response["Error"]["Code"] == "ValidationError"
    assert taken(wire) == []


def test_invoke_endpoint_on_an_asynchronous_endpoint_names_the_call_to_use(wire: Served, endpoint: str) -> None:
    with pytest.raises(ClientError, match="is asynchronous: use InvokeEndpointAsync") as refused:
        wire.client("sagemaker-runtime").invoke_endpoint(EndpointName=endpoint, Body=b"x")
    assert refused.value.response["Error"]["Code"] == "ValidationError"
