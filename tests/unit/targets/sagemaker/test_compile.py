"""The compiler: names, uploads, images, and what is refused before any call."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.unit.targets.sagemaker.aws_specs import FILE, NOW, compiled, options, serving, wish
from tidegate.domain.errors import Invalid
from tidegate.targets.sagemaker import limits, service_model, transform_call
from tidegate.targets.sagemaker.calls import LocalData
from tidegate.targets.sagemaker.compile import compile_native
from tidegate.targets.sagemaker.model_data import measure
from tidegate.targets.sagemaker.options import parse_options

CANARY = {"strategy": "canary", "size": "50%", "wait": "10m", "final_bake": "5m"}


def params(found: Any, operation: str) -> dict[str, Any]:
    return next(call.params for call in found.calls if call.operation == operation)


def test_same_spec_has_the_same_names_whenever_it_is_compiled() -> None:
    first, later = compiled(), compiled(now=NOW + timedelta(days=1))
    assert (first.digest, first.config_name) == (later.digest, later.config_name)
    assert first.calls == later.calls


def test_names_change_with_content_and_fit_63_characters() -> None:
    names = {compiled(endpoint="x" * 63, instances=count).config_name for count in (2, 3)}
    assert len(names) == 2 and {len(name) for name in names} == {63}


def test_endpoints_whose_names_differ_by_case_have_different_configs() -> None:
    names = {compiled(endpoint=name).config_name.lower() for name in ("fraud", "Fraud")}
    assert len(names) == 2


def test_local_model_data_is_uploaded_to_a_key_with_its_digest(tmp_path: Path) -> None:
    model = tmp_path / "model.ubj"
    model.write_bytes(b"trees")
    address = f"file://{model}"
    found = compile_native(
        wish(model={"image": "tidegate/xgboost", "data": address}),
        options(),
        {address: measure(address)},
        None,
        NOW,
    )
    (upload,) = found.uploads
    assert upload.sha256[:32] in upload.key and upload.key.endswith("/model.ubj")
    source = params(found, "CreateModel")["PrimaryContainer"]["ModelDataSource"]["S3DataSource"]
    assert source == {
        "S3Uri": f"s3://models-bucket/{upload.key}",
        "S3DataType": "S3Object",
        "CompressionType": "None",
    }


def test_changed_content_has_another_key_and_model(tmp_path: Path) -> None:
    model = tmp_path / "model.tar.gz"
    found = []
    for content in (b"one", b"two"):
        model.write_bytes(content)
        address = f"file://{model}"
        spec = wish(model={"image": "tidegate/xgboost", "data": address})
        found.append(compile_native(spec, options(), {address: measure(address)}, None, NOW))
    assert found[0].uploads[0].key != found[1].uploads[0].key
    assert found[0].config_name != found[1].config_name


def test_local_model_data_without_a_bucket_is_refused() -> None:
    found = compiled(given=options(bucket=""))
    assert any("option bucket" in text for text in found.refusals)


def test_image_is_resolved_by_region_and_framework() -> None:
    assert params(compiled(), "CreateModel")["PrimaryContainer"]["Image"] == (
        "492215442770.dkr.ecr.eu-central-1.amazonaws.com/sagemaker-xgboost:1.7-1"
    )
    gpu = compiled(model={"image": "tidegate/pytorch", "data": FILE}, instance_type="ml.g5.xlarge")
    assert "pytorch-inference:2.6.0-gpu" in params(gpu, "CreateModel")["PrimaryContainer"]["Image"]


def test_an_image_of_the_options_wins() -> None:
    own = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/own@sha256:" + "1" * 64
    found = compiled(given=options(images={"tidegate/xgboost": own}))
    assert params(found, "CreateModel")["PrimaryContainer"]["Image"] == own


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"model": {"image": "tidegate/onnx", "data": FILE}}, "AWS has no container"),
        ({"model": {"image": "docker.example/x:1", "data": FILE}}, "from ECR only"),
        ({"instance_type": "ml.c6g.large"}, "ARM"),
        ({"instance_type": "local"}, "no instance type"),
        ({"instance_type": "ml.c5.huge"}, "not an instance type"),
        ({"quotas": {"rate": "5/s", "burst": 5}}, "rate limits per client"),
        ({"download_timeout": "2h"}, "3600 s at most"),
        ({"tags": {"aws:x": "1"}}, "AWS's own"),
        ({"tags": {"team": "a&b"}}, "letters, digits"),
        ({"rollout": {**CANARY, "wait": "2h"}}, "waits 3600 s at most"),
        ({"rollout": {**CANARY, "size": "5%"}}, "1 of 2 instances, 50% of the traffic and not 5%"),
        ({"rollout": CANARY, "instances": 1}, "a variant has one"),
        ({"rollout": {**CANARY, "timeout": "9h"}}, "takes 600 to 28800 s"),
        ({"rollout": {"strategy": "linear", "step": "10%", "wait": "1h"}, "instances": 10}, "within 28800 s"),
        ({"rollout": {"strategy": "linear", "step": "5%", "wait": "1m"}, "instances": 40}, "takes 10 to 50 %"),
        ({"rollout": {"strategy": "rolling", "batch": 1, "wait": "1m"}, "instances": 40}, "takes 5 to 50 %"),
        ({"instance_type": "ml.inf1.xlarge", "rollout": CANARY}, "ml.inf1"),
        ({"alarms": {"e": {"metric": "InFlightLatency", "statistic": "p99", "above": "1s"}}}, "no metric"),
        ({"async": {"output": "file:///srv"}}, "s3:// only"),
        ({"capture": {"to": "file:///srv"}}, "s3:// only"),
        ({"capture": {"to": "s3://out/x", "redact": {}}}, "SageMaker writes requests as they are"),
        (
            {"capture": {"to": "s3://out/x"}, "drift": {"baseline": "s3://out/b.json"}},
            "set up Model Monitor at SageMaker",
        ),
        ({"async": {"output": "s3://out/x", "success": ["https://x.example"]}}, "one SNS topic"),
        ({"async": {"output": "s3://out/x", "idle_after": "5m"}}, "min: 0"),
    ],
)
def test_what_sagemaker_cannot_do_is_refused_before_any_call(more: dict[str, Any], words: str) -> None:
    found = compiled(**more)
    assert any(words in text for text in found.refusals), found.refusals


def test_data_capture_is_handed_on() -> None:
    capture = {"to": "s3://out/x", "sample": "20%", "sides": ["input"], "kms_key": "alias/k"}
    [config] = [call for call in compiled(capture=capture).calls if call.operation == "CreateEndpointConfig"]
    assert config.params["DataCaptureConfig"] == {
        "EnableCapture": True,
        "InitialSamplingPercentage": 20,
        "DestinationS3Uri": "s3://out/x",
        "CaptureOptions": [{"CaptureMode": "Input"}],
        "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"], "JsonContentTypes": ["application/json"]},
        "KmsKeyId": "alias/k",
    }


def test_unchanged_spec_has_no_refusals() -> None:
    assert compiled().refusals == ()
    assert compiled(serving(), rollout=CANARY).refusals == ()


def test_uploads_that_were_not_measured_are_refused() -> None:
    found = compile_native(wish(), options(), {"file:///other": LocalData("/other", "0" * 64, 1)}, None, NOW)
    assert any("not measured" in text for text in found.refusals)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"region": "europe", "role_arn": "arn:aws:iam::123456789012:role/x"}, "region"),
        ({"region": "eu-central-1", "role_arn": "x"}, "role_arn"),
        ({"region": "eu-central-1"}, "role_arn"),
        ({"region": "eu-central-1", "role_arn": "arn:aws:iam::123456789012:role/x", "regoin": "x"}, "regoin"),
        ({"region": "eu-central-1", "role_arn": "arn:aws:iam::123456789012:role/x", "subnets": ["s"]}, "both"),
        ({"region": "eu-central-1", "role_arn": "arn:aws:iam::123456789012:role/x", "keep_versions": 0}, "keep"),
    ],
)
def test_wrong_options_are_named(given: dict[str, Any], words: str) -> None:
    with pytest.raises(Invalid, match=words):
        parse_options(given)


def test_peaks_become_scheduled_actions_that_begin_before_them() -> None:
    peak = {"name": "payday", "starts": "cron(0 8 L * ? *)", "lasts": "3h", "count": 6}
    found = compiled(autoscaling={"min": 2, "max": 9, "calendar": [peak]})
    actions = [call.params for call in found.scaling if call.operation == "PutScheduledAction"]
    assert [action["Schedule"] for action in actions[:2]] == ["at(2026-03-31T07:50:00)", "at(2026-03-31T11:00:00)"]
    assert actions[0]["ScalableTargetAction"] == {"MinCapacity": 6, "MaxCapacity": 9}
    assert actions[1]["ScalableTargetAction"] == {"MinCapacity": 2, "MaxCapacity": 9}


def test_compiled_requests_are_json() -> None:
    found = compiled(serving(), rollout=CANARY)
    assert json.loads(json.dumps([call.params for call in found.calls]))


# The compiler's limits are those of the botocore that is installed.


def shape(name: str, service: str = "sagemaker") -> Any:
    return service_model.service_model(service).shape_for(name).metadata


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("WaitIntervalInSeconds", (0, limits.GUARD_WAIT)),
        ("TerminationWaitInSeconds", (0, limits.GUARD_WAIT)),
        ("MaximumExecutionTimeoutInSeconds", limits.EXECUTION),
        ("AlarmList", (1, limits.GUARDS)),
        ("ProductionVariantList", (1, limits.VARIANTS)),
        ("ProductionVariantModelDataDownloadTimeoutInSeconds", limits.START_TIMEOUT),
        ("ProductionVariantContainerStartupHealthCheckTimeoutInSeconds", limits.START_TIMEOUT),
        ("ServerlessMemorySizeInMB", (limits.SERVERLESS_MEMORY[0], limits.SERVERLESS_MEMORY[-1])),
        ("ServerlessMaxConcurrency", (1, limits.SERVERLESS_CONCURRENCY)),
        ("MaxConcurrentInvocationsPerInstance", (1, limits.ASYNC_CONCURRENT)),
        ("EnvironmentMap", (0, limits.ENVIRONMENT_VARIABLES)),
        ("EnvironmentValue", (0, limits.ENVIRONMENT_TEXT)),
        ("ContainerDefinitionList", (0, limits.CONTAINERS)),
        ("TagList", (0, limits.TAGS)),
        ("TagKey", (1, limits.TAG_KEY)),
        ("TagValue", (0, limits.TAG_VALUE)),
        ("DestinationS3Uri", (0, limits.S3_PATH)),
        ("EndpointConfigName", (0, limits.NAME)),
        ("InvocationsTimeoutInSeconds", (1, transform_call.TIMEOUT)),
        ("InvocationsMaxRetries", (0, transform_call.RETRIES)),
    ],
)
def test_limits_are_those_of_botocores_model(name: str, ours: tuple[int, int]) -> None:
    found = shape(name)
    assert (found.get("min", 0), found["max"]) == ours


def test_names_of_alarms_fit_cloudwatch() -> None:
    assert shape("AlarmName", "cloudwatch")["max"] == limits.ALARM_NAME
