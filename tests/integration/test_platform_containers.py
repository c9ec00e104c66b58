"""Pipelines and containers side by side on a whole platform: boto3, the commands, a canary under load."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
import xgboost
from botocore.exceptions import ClientError
from sklearn.preprocessing import StandardScaler

from tests.scene import Scene, canary
from tidegate.host.platform import Platform, wait_until
from tidegate.load import LoadGenerator

pytestmark = [pytest.mark.slow, pytest.mark.e2e]
CHECKING = "test/checking"
NAMES = ["grade", "years", "city"]
ROW = [[3.0, 12.0, 40.0]]
SPEC = """\
endpoint: explained
containers:
- {{name: predictor, image: tidegate/xgboost, data: {folder}/trees-1.ubj}}
- {{name: explainer, image: tidegate/xgboost-shap, data: {folder}/trees-1.ubj}}
alarms:
  slow:
    metric: ContainerLatency
    statistic: p99
    above: 1h
    period: 1s
    periods: 1
    missing: ignore
    dimensions: {{ContainerName: explainer}}
"""


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    table = tmp_path_factory.mktemp("images") / "images.yaml"
    program = Path(__file__).with_name("checking_program.py")
    table.write_text(f"images:\n  {CHECKING}:\n    command: [{sys.executable}, {program}]\n")
    with Platform(environment={"TIDEGATE_IMAGES": str(table), "TIDEGATE_DRAIN_TIMEOUT": "5"}) as running:
        yield running


class Version:
    """The files of one version of the stages, and what they give for ROW: no other mix of them gives that."""

    def __init__(self, folder: Path, number: int) -> None:
        random = np.random.default_rng(number)
        rows = random.normal([3, 10, 50], [1, 6, 20], size=(300, 3))
        scaler = StandardScaler().fit(rows * number)
        self.scaler = folder / f"scaler-{number}.skops"
        self.trees = folder / f"trees-{number}.ubj"
        skops.io.dump(scaler, self.scaler)
        matrix = xgboost.DMatrix(scaler.transform(rows), rows @ [9, 2, 0.1] + 1000 * number, feature_names=NAMES)
        booster = xgboost.train({"max_depth": 3, "nthread": 1, "learning_rate": 0.5}, matrix, 10)
        booster.save_model(self.trees)
        scaled = scaler.transform(ROW).astype(np.float32)
        self.value = float(booster.inplace_predict(scaled, validate_features=False)[0])

    def pipeline(self) -> list[dict[str, Any]]:
        return [
            {"Image": "tidegate/sklearn", "ModelDataUrl": self.scaler.as_uri(), "ContainerHostname": "scaler"},
            {"Image": "tidegate/xgboost", "ModelDataUrl": self.trees.as_uri()},
            {"Image": CHECKING, "Environment": {"EXPECTED": str(self.value)}, "ContainerHostname": "checking"},
        ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("versions")


@pytest.fixture(scope="module")
def versions(folder: Path) -> tuple[Version, Version]:
    return Version(folder, 1), Version(folder, 2)


@pytest.fixture(scope="module")
def scene(platform: Platform) -> Scene:
    return Scene(platform)


def config(
    scene: Scene, name: str, containers: list[dict[str, Any]], mode: str = "Serial", instances: int = 1
) -> str:
    how = {"InferenceExecutionConfig": {"Mode": mode}}
    scene.sagemaker.create_model(ModelName=name, Containers=containers, **how)
    variant = {"VariantName": "AllTraffic", "ModelName": name, "InitialInstanceCount": instances}
    scene.sagemaker.create_endpoint_config(
        EndpointConfigName=name, ProductionVariants=[{**variant, "InstanceType": "ml.c5.large"}]
    )
    return name


def counted(scene: Scene, endpoint: str, container: str, metric: str) -> float:
    """Sum of a container's metric so far."""
    named = {"EndpointName": endpoint, "VariantName": "AllTraffic", "ContainerName": container}
    now = datetime.now(UTC)
    found = scene.cloudwatch.get_metric_statistics(
        Namespace="AWS/SageMaker",
        MetricName=metric,
        Dimensions=[{"Name": name, "Value": value} for name, value in named.items()],
        StartTime=now - timedelta(minutes=5),
        EndTime=now + timedelta(minutes=1),
        Period=60,
        Statistics=["Sum"],
    )
    total: float = sum(point["Sum"] for point in found["Datapoints"])
    return total


def test_a_pipeline_answers_and_its_errors_and_metrics_name_the_container(
    scene: Scene, versions: tuple[Version, Version]
) -> None:
    first, _ = versions
    scene.create("piped", config(scene, "piped-1", first.pipeline()))
    images = scene.describe("piped")["ProductionVariants"][0]["DeployedImages"]
    assert [each["SpecifiedImage"] for each in images] == ["tidegate/sklearn", "tidegate/xgboost", CHECKING]
    answer = scene.invoke("piped", ROW)
    assert json.loads(answer["Body"].read()) == {"value": pytest.approx(first.value, rel=1e-6)}
    with pytest.raises(ClientError) as short:
        scene.invoke("piped", [[1.0]])
    assert short.value.response["OriginalStatusCode"] == 400
    assert 'Received client error (400) from scaler with message "Row 1' in short.value.response["Message"]
    with pytest.raises(ClientError) as other:
        scene.invoke("piped", [[-90.0, 900.0, 0.0]])
    assert other.value.response["OriginalStatusCode"] == 500
    assert "Received server error (500) from checking" in other.value.response["Message"]
    with pytest.raises(ClientError, match="not a multi-container endpoint in Direct mode"):
        scene.invoke("piped", ROW, TargetContainerHostname="scaler")
    wait_until(lambda: counted(scene, "piped", "scaler", "Invocations") == 3, "the scaler was asked three times")
    assert counted(scene, "piped", "container-2", "Invocations") == 2
    assert counted(scene, "piped", "checking", "Invocation5XXErrors") == 1
    assert counted(scene, "piped", "scaler", "Invocation4XXErrors") == 1
    assert counted(scene, "piped", "container-2", "ContainerLatency") > 0
    scene.sagemaker.delete_endpoint(EndpointName="piped")


def test_a_canary_never_mixes_the_stages_of_two_versions(scene: Scene, versions: tuple[Version, Version]) -> None:
    old, new = (config(scene, f"canary-{n}", each.pipeline(), instances=2) for n, each in enumerate(versions, 1))
    scene.create("unmixed", old)
    body = ",".join(map(str, ROW[0])).encode()
    path = "/endpoints/unmixed/invocations"
    with LoadGenerator(scene.platform.url, path, body, {"Content-Type": "text/csv"}, 50, connections=8) as running:
        scene.update("unmixed", new, canary(50, 3))
        settled = scene.settled("unmixed")
        report = running.stop()
    assert settled["EndpointConfigName"] == new
    assert report.failed == 0, report.failures[:3]
    assert report.by_config[old].count > 0 and report.by_config[new].count > 0
    assert json.loads(scene.invoke("unmixed", ROW)["Body"].read())["value"] == pytest.approx(versions[1].value)
    scene.sagemaker.delete_endpoint(EndpointName="unmixed")


def side_by_side(version: Version, explained: Path) -> list[dict[str, Any]]:
    return [
        {"Image": "tidegate/xgboost", "ModelDataUrl": version.trees.as_uri(), "ContainerHostname": "salary"},
        {"Image": "tidegate/xgboost-shap", "ModelDataUrl": explained.as_uri(), "ContainerHostname": "explainer"},
    ]


def test_a_model_and_its_explainer(scene: Scene, versions: tuple[Version, Version], folder: Path) -> None:
    version = versions[0]
    good = config(scene, "direct-1", side_by_side(version, version.trees), "Direct")
    shown = scene.sagemaker.describe_model(ModelName=good)
    assert shown["InferenceExecutionConfig"] == {"Mode": "Direct"}
    assert [each["ContainerHostname"] for each in shown["Containers"]] == ["salary", "explainer"]
    scene.create("direct", good)
    [value] = [float(scene.invoke("direct", ROW, TargetContainerHostname="salary")["Body"].read())]
    told = scene.invoke("direct", ROW, TargetContainerHostname="explainer", Accept="application/json")
    [explanation] = json.loads(told["Body"].read())["explanations"]
    assert list(explanation["contributions"]) == NAMES
    assert explanation["base_value"] + sum(explanation["contributions"].values()) == pytest.approx(value, rel=1e-5)
    for target in ({}, {"TargetContainerHostname": "nobody"}):
        with pytest.raises(ClientError) as refused:
            scene.invoke("direct", ROW, **target)
        assert refused.value.response["Error"]["Code"] == "ValidationError"
    wait_until(lambda: counted(scene, "direct", "explainer", "Invocations") == 1, "the explainer was asked once")
    broken = folder / "broken.ubj"
    broken.write_bytes(version.trees.read_bytes()[:-40])
    scene.update("direct", config(scene, "direct-2", side_by_side(version, broken), "Direct"))
    settled = scene.settled("direct")
    assert settled["EndpointConfigName"] == good
    assert "container explainer: broken.ubj is not a whole XGBoost model" in settled["FailureReason"]
    scene.sagemaker.delete_endpoint(EndpointName="direct")


def test_the_same_by_spec_and_commands(scene: Scene, versions: tuple[Version, Version], folder: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TIDEGATE_", "AWS_"))}

    def tidegate(*arguments: str) -> str:
        environment = {**kept, "TIDEGATE_URL": scene.platform.url, "COLUMNS": "160"}
        command = [sys.executable, "-m", "tidegate.cli", *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    path = folder / "explained.yaml"
    path.write_text(SPEC.format(folder=folder))
    tidegate("deploy", str(path), "--wait")
    value = float(tidegate("invoke", "explained", "--target-container", "predictor", "--body", "3,12,40"))
    asked = ("--body", "3,12,40", "--accept", "application/json")
    told = tidegate("invoke", "explained", "--target-container", "explainer", *asked)
    [explanation] = json.loads(told)["explanations"]
    assert explanation["prediction"] == pytest.approx(value, rel=1e-6)
    shown = tidegate("status", "explained")
    assert "direct: predictor (tidegate/xgboost) | explainer (tidegate/xgboost-shap)" in shown

    def states() -> list[str]:
        return [alarm["state"] for alarm in json.loads(tidegate("show", "alarms", "--json"))["alarms"]]

    wait_until(lambda: states() == ["OK"], "the alarm on the explainer has data")
    assert "p99 ContainerLatency > 1h, 1 of 1 x 1s" in tidegate("show", "alarms")
    tidegate("delete", "explained", "--wait")
