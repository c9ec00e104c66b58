"""Data capture through boto3: what is accepted, what comes back, and what reaches the fleets."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.served_wire import Served
from tidegate.domain.capture import Capture, Detector, Redaction, RedactionMethod
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


def parsed(sagemaker: Any, wire: Served, capture: dict[str, Any], **tags: str) -> Capture:
    named = [
        {"Key": name.replace("_", "-").replace("tidegate-", "tidegate:"), "Value": tags[name]} for name in tags
    ]
    sagemaker.create_endpoint_config(
        EndpointConfigName="c", ProductionVariants=[VARIANT], DataCaptureConfig=capture, Tags=named
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


def test_tags_of_the_config_say_what_is_removed(sagemaker: Any, wire: Served) -> None:
    tags = {
        "tidegate_redact": "ssn email",
        "tidegate_redact_fields": "employee_id=hash .employee.note=drop",
        "tidegate_redact_columns": "employee_id amount",
        "tidegate_redact_key": "payroll",
    }
    assert parsed(sagemaker, wire, CAPTURE, **tags).redaction == Redaction(
        {"employee_id": RedactionMethod.HASH, "$.employee.note": RedactionMethod.DROP},
        (Detector.SSN, Detector.EMAIL),
        ("employee_id", "amount"),
        "payroll",
    )
    assert sagemaker.describe_endpoint_config(EndpointConfigName="c")["DataCaptureConfig"] == CAPTURE
    sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="c")
    (saved,) = wire.run(wire.ctx.store.run(lambda tx: tx.find(ENDPOINT).items))
    assert saved.body.rollout is not None
    (fleet,) = saved.body.rollout.new.variants
    assert fleet.capture is not None and fleet.capture.redaction is not None
    assert fleet.capture.redaction.key == "payroll"


@pytest.mark.parametrize(("value", "detect"), [("all", tuple(Detector)), ("none", ())])
def test_all_detectors_have_a_word(sagemaker: Any, wire: Served, value: str, detect: tuple[Detector, ...]) -> None:
    assert parsed(sagemaker, wire, CAPTURE, tidegate_redact=value).redaction == Redaction(detect=detect)


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({"tidegate_redact": "snn"}, "has 'snn': expected one of ssn, iban"),
        ({"tidegate_redact": ""}, "is empty"),
        ({"tidegate_redact_field": "a=drop"}, "tidegate:redact-field means nothing"),
        ({"tidegate_redact_fields": "a=drop"}, "needs tidegate:redact beside it"),
        ({"tidegate_redact": "all", "tidegate_redact_fields": "a"}, "expected NAME=ACTION"),
        ({"tidegate_redact": "all", "tidegate_redact_fields": "a=hide"}, "has 'hide'"),
        ({"tidegate_redact": "all", "tidegate_redact_fields": "a=hash"}, "redaction by hash needs a key"),
        ({"tidegate_redact": "all", "tidegate_redact_key": "../keys"}, "is no name of a key"),
    ],
)
def test_a_tag_that_would_remove_nothing_is_refused(
    sagemaker: Any, wire: Served, tags: dict[str, str], message: str
) -> None:
    with pytest.raises(ClientError, match=message):
        parsed(sagemaker, wire, CAPTURE, **tags)


def test_a_tag_without_capture_is_refused(sagemaker: Any) -> None:
    with pytest.raises(ClientError, match="has no DataCaptureConfig"):
        sagemaker.create_endpoint_config(
            EndpointConfigName="c",
            ProductionVariants=[VARIANT],
            Tags=[{"Key": "tidegate:redact", "Value": "all"}],
        )


def test_a_tag_of_the_endpoint_is_refused(sagemaker: Any, wire: Served) -> None:
    parsed(sagemaker, wire, CAPTURE)
    with pytest.raises(ClientError, match="belongs to the endpoint config"):
        sagemaker.create_endpoint(
            EndpointName="e", EndpointConfigName="c", Tags=[{"Key": "tidegate:redact", "Value": "all"}]
        )
