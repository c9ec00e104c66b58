"""Data capture through boto3: what is accepted, what comes back, and what reaches the fleets."""

from typing import Any

import pytest

from tests.served_wire import Served
from tidegate.domain.capture import Capture
from tidegate.service.record_kinds import CONFIG, ENDPOINT

VARIANT = {"VariantName": "main", "ModelName": "fraud", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
CAPTURE = {
    "EnableCapture": True,
    "InitialSamplingPercentage": 30,
    "DestinationS3Uri": "s3://captures/fraud",
    "KmsKeyId": "alias/captures",
    "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
    "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"], "JsonContentTypes": ["application/json"]},
}
SUMMARY = {
    "EnableCapture": True,
    "CaptureStatus": "Started",
    "CurrentSamplingPercentage": 30,
    "DestinationS3Uri": "s3://captures/fraud",
    "KmsKeyId": "alias/captures",
}


@pytest.fixture(autouse=True)
def model(sagemaker: Any) -> None:
    sagemaker.create_model(ModelName="fraud", PrimaryContainer={"Image": "tidegate/xgboost"})


def parsed(sagemaker: Any, wire: Served, capture: dict[str, Any]) -> Capture:
    sagemaker.create_endpoint_config(
        EndpointConfigName="c", ProductionVariants=[VARIANT], DataCaptureConfig=capture
    )
    (saved,) = wire.run(wire.ctx.store.run(lambda tx: tx.find(CONFIG).items))
    assert saved.body.capture is not None
    return saved.body.capture


def test_a_config_is_described_as_it_was_given(sagemaker: Any, wire: Served) -> None:
    assert parsed(sagemaker, wire, CAPTURE) == Capture("s3://captures/fraud", 30, kms_key="alias/captures")
    assert sagemaker.describe_endpoint_config(EndpointConfigName="c")["DataCaptureConfig"] == CAPTURE


@pytest.mark.parametrize(
    ("modes", "sides"),
    [
        (["Input"], (True, False)),
        (["Output"], (False, True)),
        (["InputAndOutput"], (True, True)),
        (["Output", "Input"], (True, True)),
    ],
)
def test_modes_choose_the_sides(sagemaker: Any, wire: Served, modes: list[str], sides: tuple[bool, bool]) -> None:
    found = parsed(sagemaker, wire, {**CAPTURE, "CaptureOptions": [{"CaptureMode": mode} for mode in modes]})
    assert (found.inputs, found.outputs) == sides


def test_without_content_types_everything_is_base64_and_capture_is_on(sagemaker: Any, wire: Served) -> None:
    found = parsed(
        sagemaker,
        wire,
        {
            "InitialSamplingPercentage": 5,
            "DestinationS3Uri": "file:///srv/captures",
            "CaptureOptions": [{"CaptureMode": "Input"}],
        },
    )
    assert found == Capture("file:///srv/captures", 5, outputs=False, csv=(), json=())


def test_an_endpoint_tells_its_capture_and_its_fleets_have_it(sagemaker: Any, wire: Served) -> None:
    capture = parsed(sagemaker, wire, CAPTURE)
    sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="c")
    assert sagemaker.describe_endpoint(EndpointName="e")["DataCaptureConfig"] == SUMMARY
    (saved,) = wire.run(wire.ctx.store.run(lambda tx: tx.find(ENDPOINT).items))
    rollout = saved.body.rollout
    assert rollout is not None and [variant.capture for variant in rollout.new.variants] == [capture]


def test_capture_that_is_switched_off_is_stopped(sagemaker: Any, wire: Served) -> None:
    parsed(sagemaker, wire, {**CAPTURE, "EnableCapture": False})
    sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="c")
    stopped = {**SUMMARY, "EnableCapture": False, "CaptureStatus": "Stopped"}
    assert sagemaker.describe_endpoint(EndpointName="e")["DataCaptureConfig"] == stopped


@pytest.mark.parametrize(
    ("variant", "more"),
    [
        (
            {"VariantName": "main", "ModelName": "fraud"}
            | {"ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 2}},
            {},
        ),
        (VARIANT, {"AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": "s3://answers/all"}}}),
    ],
    ids=["serverless", "asynchronous"],
)
def test_serverless_and_asynchronous_endpoints_are_captured_too(
    sagemaker: Any, wire: Served, variant: dict[str, Any], more: dict[str, Any]
) -> None:
    sagemaker.create_endpoint_config(
        EndpointConfigName="c", ProductionVariants=[variant], DataCaptureConfig=CAPTURE, **more
    )
    sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="c")
    (saved,) = wire.run(wire.ctx.store.run(lambda tx: tx.find(ENDPOINT).items))
    assert saved.body.rollout is not None
    (fleet,) = saved.body.rollout.new.variants
    assert fleet.capture is not None and fleet.capture.destination == "s3://captures/fraud"
    assert sagemaker.describe_endpoint(EndpointName="e")["DataCaptureConfig"] == SUMMARY
