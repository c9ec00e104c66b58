"""What the target prints and checks for a spec."""

import asyncio
import json
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import pytest
from cfnlint.api import lint_all

from tests.unit.targets.aws.shapes import shape_errors
from tests.unit.targets.aws_lambda.lambda_simulator import LambdaSimulator
from tidegate import spec
from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.errors import Invalid, TargetRefused
from tidegate.ports.target import Level
from tidegate.targets.aws.options import parse_options
from tidegate.targets.aws_lambda.distributions import PROVIDED, collect
from tidegate.targets.aws_lambda.doctor import check, check_lambda
from tidegate.targets.aws_lambda.options import AwsLambdaOptions
from tidegate.targets.aws_lambda.render import render_calls, render_image, render_template

OPTIONS = {"region": "eu-central-1", "role": "arn:aws:iam::123456789012:role/fraud", "code_bucket": "packages"}
SPEC = """
endpoint: fraud
model: {data: s3://models/fraud.ubj, image: tidegate/xgboost}
"""
SERVERLESS = SPEC + "serverless: {memory: 3GiB, max_concurrency: 20, provisioned: 2}\n"


def desired(text: str = SPEC) -> DesiredDeployment:
    loaded = spec.load(text, "fraud.yaml")
    return loaded.wish(datetime(2026, 1, 1, tzinfo=UTC), spec.resolve(loaded.data, "/somewhere"))


def test_the_calls_fit_botocores_shapes_and_come_in_order() -> None:
    rendering = render_calls(desired(SERVERLESS), OPTIONS)
    operations = [str(one.body["operation"]) for one in rendering.documents]
    assert operations == [
        "CreateFunction",
        "PublishVersion",
        "PutProvisionedConcurrencyConfig",
        "CreateAlias",
        "CreateAlias",
    ]
    for one in rendering.documents:
        members = one.body["members"]
        assert isinstance(members, dict)
        assert shape_errors("lambda", str(one.body["operation"]), "input", members) == ""
    created = rendering.documents[0].body["members"]
    assert isinstance(created, dict)
    assert created["MemorySize"] == 3072
    assert created["Tags"]["tidegate:endpoint"] == "fraud"
    assert "unpacked of 250.0 MB" in rendering.notes[0]


@pytest.mark.parametrize("text", [SPEC, SERVERLESS])
def test_the_template_is_valid_for_cloudformation(text: str) -> None:
    (document,) = render_template(desired(text), OPTIONS).documents
    assert [one for one in map(str, lint_all(json.dumps(document.body))) if not one.startswith("[I")] == []


def test_an_image_is_described_for_a_build() -> None:
    (document,) = render_image(desired(), OPTIONS).documents
    lines = document.body["lines"]
    assert isinstance(lines, list)
    assert lines[0].startswith("FROM public.ecr.aws/lambda/python:3.")
    assert "RUN pip install --no-cache-dir 'tidegate[xgboost]'" in lines


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (SPEC + "serverless: {memory: 3GiB, max_concurrency: 20}\n", ""),
        (SPEC.replace("tidegate/xgboost", "tidegate/auto"), "name the runtime"),
        (SPEC + "async: {output: s3://answers/}\n", "a trigger of SQS"),
        (SPEC + "quotas: {rate: 5/s}\n", "quotas"),
        (SPEC + "max_in_flight: 4\n", "max_in_flight"),
        (SPEC + "capture: {to: s3://captures/}\n", "data capture"),
    ],
)
def test_what_a_function_cannot_be_is_refused(text: str, told: str) -> None:
    if told:
        with pytest.raises(TargetRefused, match=told):
            render_calls(desired(text), OPTIONS)
    else:
        assert render_calls(desired(text), OPTIONS).documents


def test_a_template_without_a_bucket_for_its_package_is_refused() -> None:
    with pytest.raises(Invalid, match="set `code_bucket`"):
        render_template(desired(), {**OPTIONS, "code_bucket": ""})


def test_a_name_that_is_too_long_is_refused() -> None:
    long = {**OPTIONS, "prefix": "p" * 60}
    with pytest.raises(Invalid, match="has 65 characters, and Lambda allows 64"):
        render_calls(desired(), long)


@pytest.mark.parametrize(("name", "value"), [("memory", 64), ("timeout", 901), ("package", "jar"), ("rol", "x")])
def test_wrong_settings_are_named(name: str, value: object) -> None:
    with pytest.raises(Invalid, match=name):
        render_calls(desired(), {**OPTIONS, name: value})
    (finding,) = check_lambda({**OPTIONS, name: value}, None)
    assert finding.level is Level.ERROR and name in finding.message


def test_the_doctor_names_each_right_that_is_missing_and_prints_the_policy() -> None:
    calls = LambdaSimulator()
    settings = parse_options(OPTIONS, AwsLambdaOptions, "lambda")

    class Denied:
        def call(self, service: str, operation: str, members: object = None) -> dict[str, object]:
            if service == "logs":
                raise TargetRefused("DescribeLogStreams: the credentials lack the right logs:DescribeLogStreams")
            if service in ("sts", "cloudwatch", "s3"):
                return {"Account": "123456789012", "Arn": "arn:aws:iam::123456789012:user/ada"}
            if operation == "GetAccountSettings":
                return {"AccountLimit": {"TotalCodeSize": 10**9, "UnreservedConcurrentExecutions": 5}}
            if operation == "GetResources":
                return {}
            return asyncio.run(calls.call(service, operation, members))  # type: ignore[arg-type]

    found = {one.what: one for one in check(Denied(), settings, OPTIONS, desired())}
    assert found["credentials"].level is Level.OK and "user/ada" in found["credentials"].message
    assert found["functions"].level is Level.OK
    assert found["logs"].level is Level.ERROR and "logs:DescribeLogStreams" in found["logs"].message
    assert found["quotas"].level is Level.WARNING
    assert found["spec"].level is Level.OK
    policy = json.loads(found["least policy"].message)
    (passing,) = [one for one in policy["Statement"] if one["Action"] == ["iam:PassRole"]]
    assert passing["Resource"] == [OPTIONS["role"]]
    assert all("*" not in action for one in policy["Statement"] for action in one["Action"])


# What a function's package holds is all that its runtime imports.


@pytest.mark.parametrize(("extra", "module"), [("", "python"), ("script", "script")])
def test_a_runtime_finds_every_library_in_the_package(tmp_path: Path, extra: str, module: str) -> None:
    files = {name: path for one in collect(extra) for name, path in one.files.items()}
    for distribution in map(metadata.distribution, PROVIDED):  # by Lambda
        files |= {file.as_posix(): Path(str(file.locate())) for file in distribution.files or ()}
    for name, path in files.items():
        if ".." not in name:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).symlink_to(path)
    # -S: no library of this environment, -I: no path but the package's
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import tidegate.serving.runtimes.{module}"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_no_bytecode_and_no_list_of_files_is_packed() -> None:
    names = [name for one in collect("xgboost") for name in one.files]
    assert "numpy/testing/__init__.py" in names
    assert [name for name in names if name.endswith((".pyc", "/RECORD"))] == []
