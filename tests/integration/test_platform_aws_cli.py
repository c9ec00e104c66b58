"""The AWS CLI, versions 1 and 2, unmodified: commands deploy a model, ask, watch, scale, update and delete it."""

import base64
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.scene import XGBOOST, train
from tests.system_packages import lacks
from tidegate.host.platform import Platform, wait_until

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
NEEDS = {
    1: "needs the AWS CLI v1: make .clients/cli/.done",
    2: lacks("awscli"),
}
FAILED = {1: 255, 2: 254}
"""Exit codes for an error that the service answered."""
VARIANT = "VariantName=main,ModelName={},InitialInstanceCount=1,InstanceType=ml.m5.large,InitialVariantWeight=1"
RESOURCE = ["--service-namespace", "sagemaker", "--scalable-dimension", "sagemaker:variant:DesiredInstanceCount"]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(
    scope="module", params=[pytest.param(1, id="v1", marks=pytest.mark.slow), pytest.param(2, id="v2")]
)
def major(request: pytest.FixtureRequest) -> int:
    """The CLI's major version. Skips where it is not installed."""
    version: int = request.param
    if find_cli(version) is None:
        pytest.skip(NEEDS[version])
    return version


def find_cli(major: int) -> Path | None:
    """The first ``aws`` of this major version: the tests' own, then those in PATH."""
    folders = [ROOT / ".clients" / "cli" / "bin", *map(Path, os.get_exec_path())]
    for program in (folder / "aws" for folder in folders):
        if program.is_file():
            done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=60, check=False)
            if done.stdout.startswith(f"aws-cli/{major}."):
                return program
    return None


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture(scope="module")
def platform(major: int, outputs: Path) -> Iterator[Platform]:
    """One for each version: both use the same names."""
    with Platform(environment={"TIDEGATE_DRAIN_TIMEOUT": "5", "TIDEGATE_OUTPUT_ROOTS": str(outputs)}) as running:
        yield running


@pytest.fixture
def run(major: int, platform: Platform, tmp_path: Path) -> Run:
    """One command, with nothing of this machine's settings."""
    program = find_cli(major)
    assert program is not None
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test-secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": platform.url,
    }

    def of(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program, *words],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return of


@pytest.fixture
def aws(run: Run) -> Callable[..., Any]:
    """The answer of a command that must succeed, as JSON or as what ``--query`` makes of it."""

    def of(*words: str) -> Any:
        done = run(*words)
        assert done.returncode == 0, done.stderr
        text = done.stdout.strip()
        return json.loads(text) if text.startswith(("{", "[", '"')) else text

    return of


def test_a_model_lives_by_the_command_line(aws: Callable[..., Any], run: Run, major: int, tmp_path: Path) -> None:
    for name, seed in (("one", 1), ("two", 2)):
        url = train(tmp_path, seed, features=4, trees=5)
        aws(
            "sagemaker",
            "create-model",
            "--model-name",
            name,
            "--primary-container",
            f"Image={XGBOOST},ModelDataUrl={url}",
        )
        aws(
            "sagemaker",
            "create-endpoint-config",
            "--endpoint-config-name",
            name,
            "--production-variants",
            VARIANT.format(name),
            "--tags",
            "Key=team,Value=risk",
        )
    arn = aws("sagemaker", "create-endpoint", "--endpoint-name", "e", "--endpoint-config-name", "one")[
        "EndpointArn"
    ]
    status = (
        "sagemaker",
        "describe-endpoint",
        "--endpoint-name",
        "e",
        "--query",
        "EndpointStatus",
        "--output",
        "text",
    )
    wait_until(lambda: aws(*status) == "InService", "in service", every=1.0)
    aws("sagemaker", "wait", "endpoint-in-service", "--endpoint-name", "e")
    check_answers(aws, tmp_path)
    check_body_formats(aws, major, tmp_path)
    check_output_formats(aws, run, major)
    check_lists_and_tags(aws, arn)
    check_alarms(aws)
    check_scaling(aws, tmp_path)
    aws(
        "sagemaker",
        "update-endpoint",
        "--endpoint-name",
        "e",
        "--endpoint-config-name",
        "two",
        "--deployment-config",
        "BlueGreenUpdatePolicy={TrafficRoutingConfiguration={Type=ALL_AT_ONCE,WaitIntervalInSeconds=0}}",
    )
    wait_until(lambda: aws(*status) == "InService", "updated", every=1.0)
    found = aws("sagemaker", "describe-endpoint", "--endpoint-name", "e")
    assert found["EndpointConfigName"] == "two"
    assert (
        found["LastDeploymentConfig"]["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]["Type"]
        == "ALL_AT_ONCE"
    )
    aws("sagemaker", "delete-endpoint", "--endpoint-name", "e")
    wait_until(lambda: aws("sagemaker", "list-endpoints")["Endpoints"] == [], "gone", every=1.0)
    aws("sagemaker", "wait", "endpoint-deleted", "--endpoint-name", "e")
    failed = run(*status)
    assert failed.returncode == FAILED[major]
    assert (
        "An error occurred (ValidationException) when calling the DescribeEndpoint operation: "
        f'Could not find endpoint "{arn}".'
    ) in failed.stderr


def check_answers(aws: Callable[..., Any], folder: Path) -> None:
    (folder / "rows.csv").write_text("0.1,0.2,0.3,0.4\n1,2,3,4\n")
    answer = aws(
        "sagemaker-runtime",
        "invoke-endpoint",
        "--endpoint-name",
        "e",
        "--content-type",
        "text/csv",
        "--accept",
        "text/csv",
        "--body",
        "fileb://rows.csv",
        "answer.csv",
    )
    assert answer["InvokedProductionVariant"] == "main"
    assert len((folder / "answer.csv").read_text().splitlines()) == 2


def check_body_formats(aws: Callable[..., Any], major: int, folder: Path) -> None:
    """Version 1 sends a body as it is typed. Version 2 expects base64, unless it is told otherwise."""
    row = "0.1,0.2,0.3,0.4"
    asked = ("sagemaker-runtime", "invoke-endpoint", "--endpoint-name", "e", "--content-type", "text/csv")
    encoded = base64.b64encode(row.encode()).decode()
    forms: list[tuple[str, ...]] = [("--body", "fileb://row.csv"), ("--body", row)]
    if major == 2:
        raw = ("--cli-binary-format", "raw-in-base64-out")
        forms = [
            ("--body", "fileb://row.csv"),
            ("--body", encoded),
            ("--body", row, *raw),
            ("--body", "file://row.csv", *raw),
        ]
    (folder / "row.csv").write_text(row)
    scores = []
    for form in forms:
        aws(*asked, *form, "one.csv")
        scores.append((folder / "one.csv").read_bytes())
    first = (folder / "answer.csv").read_bytes().splitlines()[0]
    assert [score.split() for score in scores] == [[first]] * len(forms)


def check_output_formats(aws: Callable[..., Any], run: Run, major: int) -> None:
    """Times are seconds since 1970 or, with version 2, ISO 8601. YAML is version 2's."""
    created = aws("sagemaker", "describe-model", "--model-name", "one", "--query", "CreationTime")
    assert (float(created) > 1e9) if major == 1 else created.startswith("20")
    if major == 2:
        pages = run("sagemaker", "list-models", "--page-size", "1", "--output", "yaml-stream")
        assert pages.returncode == 0, pages.stderr
        assert pages.stdout.count("- Models:") == 2
        skeleton = aws("sagemaker", "create-endpoint", "--generate-cli-skeleton", "input")
        assert {"EndpointName", "EndpointConfigName"} <= set(skeleton)


def check_lists_and_tags(aws: Callable[..., Any], arn: str) -> None:
    """The CLI pages by itself: one entry to a page, and all of them come."""
    names = aws("sagemaker", "list-models", "--page-size", "1", "--query", "sort(Models[].ModelName)")
    assert names == ["one", "two"]
    first = aws("sagemaker", "list-models", "--max-items", "1")
    assert len(first["Models"]) == 1
    rest = aws("sagemaker", "list-models", "--max-items", "1", "--starting-token", first["NextToken"])
    assert rest["Models"] != first["Models"]
    aws("sagemaker", "add-tags", "--resource-arn", arn, "--tags", "Key=a,Value=1", "Key=b,Value=x y")
    aws("sagemaker", "delete-tags", "--resource-arn", arn, "--tag-keys", "a")
    assert aws("sagemaker", "list-tags", "--resource-arn", arn)["Tags"] == [{"Key": "b", "Value": "x y"}]


def check_alarms(aws: Callable[..., Any]) -> None:
    aws(
        "cloudwatch",
        "put-metric-alarm",
        *("--alarm-name", "errors", "--namespace", "AWS/SageMaker", "--metric-name", "Invocation5XXErrors"),
        *("--dimensions", "Name=EndpointName,Value=e", "Name=VariantName,Value=main"),
        *("--statistic", "Sum", "--period", "60", "--evaluation-periods", "1", "--threshold", "1.5"),
        *("--comparison-operator", "GreaterThanThreshold", "--treat-missing-data", "notBreaching"),
    )
    query = "MetricAlarms[0].[AlarmName, Threshold, Period]"
    assert aws("cloudwatch", "describe-alarms", "--alarm-names", "errors", "--query", query) == ["errors", 1.5, 60]
    aws(
        "cloudwatch",
        "put-metric-data",
        "--namespace",
        "Mine",
        "--metric-name",
        "Depth",
        "--value",
        "7",
        "--unit",
        "Count",
    )
    listed = aws("cloudwatch", "list-metrics", "--namespace", "Mine", "--query", "Metrics[].MetricName")
    assert listed == ["Depth"]
    aws("cloudwatch", "delete-alarms", "--alarm-names", "errors", "none")
    assert aws("cloudwatch", "describe-alarms")["MetricAlarms"] == []


def check_scaling(aws: Callable[..., Any], folder: Path) -> None:
    which = (*RESOURCE, "--resource-id", "endpoint/e/variant/main")
    metric = {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}
    config = {"TargetValue": 1000.0, "PredefinedMetricSpecification": metric}
    (folder / "tracking.json").write_text(json.dumps(config))
    service = "application-autoscaling"
    aws(service, "register-scalable-target", *which, "--min-capacity", "1", "--max-capacity", "2")
    put = aws(
        service,
        "put-scaling-policy",
        *which,
        *("--policy-name", "load", "--policy-type", "TargetTrackingScaling"),
        *("--target-tracking-scaling-policy-configuration", "file://tracking.json"),
    )
    assert len(put["Alarms"]) == 2
    (policy,) = aws(service, "describe-scaling-policies", "--service-namespace", "sagemaker")["ScalingPolicies"]
    assert policy["TargetTrackingScalingPolicyConfiguration"] == config
    aws(service, "delete-scaling-policy", *which, "--policy-name", "load")
    aws(service, "deregister-scalable-target", *which)
    assert aws(service, "describe-scalable-targets", "--service-namespace", "sagemaker")["ScalableTargets"] == []


def test_what_is_wrong_is_said_as_the_cli_says_it(run: Run, major: int) -> None:
    words = ("sagemaker", "create-endpoint", "--endpoint-name", "x", "--endpoint-config-name", "none")
    failed = run(*words)
    assert failed.returncode == FAILED[major]
    assert (
        "(ValidationException) when calling the CreateEndpoint operation: Could not find endpoint configuration"
        in (failed.stderr)
    )
    scaling = run(
        "application-autoscaling", "deregister-scalable-target", *RESOURCE, "--resource-id", "endpoint/x/variant/y"
    )
    assert "(ObjectNotFoundException) when calling the DeregisterScalableTarget operation" in scaling.stderr


def test_a_request_is_queued_and_its_answer_is_written(
    aws: Callable[..., Any], outputs: Path, tmp_path: Path
) -> None:
    image = f"Image={XGBOOST},ModelDataUrl={train(tmp_path, 3, features=4, trees=5)}"
    aws("sagemaker", "create-model", "--model-name", "queued", "--primary-container", image)
    config = {
        "EndpointConfigName": "queued",
        "ProductionVariants": [
            {
                "VariantName": "main",
                "ModelName": "queued",
                "InitialInstanceCount": 1,
                "InstanceType": "ml.m5.large",
            }
        ],
        "AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": outputs.as_uri()}},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    aws("sagemaker", "create-endpoint-config", "--cli-input-json", "file://config.json")
    aws("sagemaker", "create-endpoint", "--endpoint-name", "queued", "--endpoint-config-name", "queued")
    status = ("describe-endpoint", "--endpoint-name", "queued", "--query", "EndpointStatus", "--output", "text")
    wait_until(lambda: aws("sagemaker", *status) == "InService", "in service", every=1.0)
    rows = tmp_path / "rows.csv"
    rows.write_text("0.1,0.2,0.3,0.4\n1,2,3,4\n")
    # As a file: the CLI would read what a parameter names by file:// itself.
    asked = {"EndpointName": "queued", "InputLocation": rows.as_uri(), "ContentType": "text/csv"}
    (tmp_path / "asked.json").write_text(json.dumps(asked))
    taken = aws("sagemaker-runtime", "invoke-endpoint-async", "--cli-input-json", "file://asked.json")
    written = Path(taken["OutputLocation"].removeprefix("file://"))
    wait_until(written.exists, "the answer written")
    assert len(written.read_text().splitlines()) == 2
    aws("sagemaker", "delete-endpoint", "--endpoint-name", "queued")
