"""Endpoints of many models on a whole platform: boto3, the commands, metrics, a canary under load."""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from botocore.exceptions import ClientError

from tests.scene import XGBOOST, Scene, canary, train
from tidegate.host.platform import Platform, wait_until
from tidegate.load import LoadGenerator

pytestmark = pytest.mark.e2e
ROW = [[0.1, 0.2, 0.3, 0.4]]
CLIENTS = 12
NAMES = [f"c{number}.tar.gz" for number in range(CLIENTS)]
SPEC = """\
endpoint: by-spec
model:
  image: tidegate/xgboost
  data: ./clients/
  multi_model: {memory: 512MiB, pin: [c0.tar.gz], minimum_stay: 1s}
"""


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    with Platform(environment={"TIDEGATE_DRAIN_TIMEOUT": "5"}) as running:
        yield running


@pytest.fixture(scope="module")
def scene(platform: Platform) -> Scene:
    return Scene(platform)


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with twelve models, two kinds by turns."""
    folder = tmp_path_factory.mktemp("clients")
    kinds = [Path(unquote(train(folder / "trained", seed, features=4, trees=5)[7:])) for seed in (1, 2)]
    for number, name in enumerate(NAMES):
        shutil.copy(kinds[number % 2], folder / name)
    return folder


def config(scene: Scene, name: str, folder: Path, *, instances: int = 1, **more: Any) -> str:
    container = {"Image": XGBOOST, "Mode": "MultiModel", "ModelDataUrl": f"{folder.as_uri()}/", **more}
    scene.sagemaker.create_model(ModelName=name, PrimaryContainer=container)
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": name,
        "InitialInstanceCount": instances,
        "InstanceType": "ml.c5.large",
    }
    scene.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    return name


def tidegate(scene: Scene, *arguments: str) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TIDEGATE_", "AWS_"))}
    done = subprocess.run(
        [sys.executable, "-m", "tidegate.cli", *arguments],
        env={**kept, "TIDEGATE_URL": scene.platform.url, "COLUMNS": "160"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def loaded(scene: Scene, endpoint: str) -> dict[str, list[str]]:
    """Instance -> the models that it has."""
    found = json.loads(tidegate(scene, "show", "models", endpoint, "--json"))["replicas"]
    return {one["replica"]: [model["name"] for model in one["models"]] for one in found}


def statistic(scene: Scene, metric: str, name: str, endpoint: str, **more: str) -> float | None:
    """Of the last minutes; None without data."""
    named = {"EndpointName": endpoint, "VariantName": "AllTraffic"} | {
        key: value for key, value in more.items() if key != "Namespace"
    }
    now = datetime.now(UTC)
    found = scene.cloudwatch.get_metric_statistics(
        Namespace=more.get("Namespace", "AWS/SageMaker"),
        MetricName=metric,
        Dimensions=[{"Name": key, "Value": value} for key, value in named.items()],
        StartTime=now - timedelta(minutes=5),
        EndTime=now + timedelta(minutes=1),
        Period=600,
        Statistics=[name],
    )["Datapoints"]
    return float(found[0][name]) if found else None


def test_each_model_answers_from_the_instance_that_holds_it(scene: Scene, clients: Path) -> None:
    scene.create("many", config(scene, "many-1", clients, instances=2))
    answers = {name: float(scene.invoke("many", ROW, TargetModel=name)["Body"].read()) for name in NAMES}
    assert len(set(answers.values())) == 2
    assert {name: answers[name] for name in NAMES[::2]} == dict.fromkeys(NAMES[::2], answers["c0.tar.gz"])
    for _ in range(5):
        for name in NAMES:
            assert float(scene.invoke("many", ROW, TargetModel=name)["Body"].read()) == answers[name]
    found = loaded(scene, "many")
    assert len(found) == 2
    assert Counter(name for names in found.values() for name in names) == Counter(NAMES), "each on one instance"
    assert all(found.values()), "and every instance has some"
    # A model that comes later needs no deployment.
    shutil.copy(clients / NAMES[0], clients / "late.tar.gz")
    assert float(scene.invoke("many", ROW, TargetModel="late.tar.gz")["Body"].read()) == answers[NAMES[0]]


def test_a_request_must_name_a_model_that_is_there(scene: Scene) -> None:
    for target, status in (({}, 400), ({"TargetModel": "nobody.tar.gz"}, 400), ({"TargetModel": "../x"}, 400)):
        with pytest.raises(ClientError) as refused:
            scene.invoke("many", ROW, **target)
        answer = refused.value.response
        assert answer["Error"]["Code"] == "ValidationError"
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == status


def test_metrics_tell_of_the_models_and_of_each_client(scene: Scene) -> None:
    asked = 6 * CLIENTS + 1
    wait_until(
        lambda: (statistic(scene, "ModelCacheHit", "SampleCount", "many") or 0) >= asked, "every request counted"
    )
    hits = statistic(scene, "ModelCacheHit", "Average", "many")
    assert hits is not None and 0.75 < hits < 0.95  # each model once cold, five times warm
    assert statistic(scene, "ModelLoadingTime", "SampleCount", "many") == CLIENTS + 1
    assert (statistic(scene, "ModelLoadingWaitTime", "Minimum", "many") or 0) > 0

    def loaded() -> float:
        """Told once in each second with requests, by the first of them."""
        nonlocal asked
        scene.invoke("many", ROW, TargetModel=NAMES[0])
        asked += 1
        return statistic(scene, "LoadedModelCount", "Maximum", "many", Namespace="/aws/sagemaker/Endpoints") or 0

    assert 1 <= wait_until(lambda: loaded() >= 1 and loaded(), "loaded models are told", every=0.5) <= CLIENTS + 1
    wait_until(lambda: statistic(scene, "Invocations", "Sum", "many") == asked, "these requests are counted, too")
    pages = scene.cloudwatch.get_paginator("list_metrics").paginate(
        Namespace="AWS/SageMaker",
        MetricName="Invocations",
        Dimensions=[{"Name": "EndpointName", "Value": "many"}, {"Name": "TargetModel"}],
    )
    names = {
        dimension["Value"]
        for page in pages
        for series in page["Metrics"]
        for dimension in series["Dimensions"]
        if dimension["Name"] == "TargetModel"
    }
    assert names <= {*NAMES, "late.tar.gz", "(other)"}
    total = sum(statistic(scene, "Invocations", "Sum", "many", TargetModel=name) or 0 for name in names)
    assert total == asked


def test_an_alarm_on_the_hit_rate_fires(scene: Scene) -> None:
    scene.alarm(
        "hits-low",
        "ModelCacheHit",
        2.0,
        ComparisonOperator="LessThanThreshold",
        EvaluationPeriods=1,
        Dimensions=[{"Name": "EndpointName", "Value": "many"}, {"Name": "VariantName", "Value": "AllTraffic"}],
    )

    def state() -> bool:
        scene.invoke("many", ROW, TargetModel=NAMES[0])
        found = scene.cloudwatch.describe_alarms(AlarmNames=["hits-low"])["MetricAlarms"]
        return bool(found[0]["StateValue"] == "ALARM")

    wait_until(state, "the alarm fires")
    scene.cloudwatch.delete_alarms(AlarmNames=["hits-low"])


def test_a_canary_takes_an_endpoint_of_many_models_to_another_prefix(
    scene: Scene, clients: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for old, new in zip(NAMES, [*NAMES[1:], NAMES[0]], strict=True):  # the two kinds change places
        shutil.copy(clients / old, other / new)
    before = float(scene.invoke("many", ROW, TargetModel=NAMES[0])["Body"].read())
    new = config(scene, "many-2", other, instances=2)
    headers = {"Content-Type": "text/csv", "X-Amzn-SageMaker-Target-Model": NAMES[0]}
    path = "/endpoints/many/invocations"
    with LoadGenerator(scene.platform.url, path, b"0.1,0.2,0.3,0.4", headers, 50, connections=8) as running:
        scene.update("many", new, canary(50, 3))
        settled = scene.settled("many")
        report = running.stop()
    assert settled["EndpointConfigName"] == new
    assert "FailureReason" not in settled
    assert report.failed == 0, report.failures[:3]
    assert report.by_config["many-1"].count > 0 and report.by_config["many-2"].count > 0
    assert float(scene.invoke("many", ROW, TargetModel=NAMES[0])["Body"].read()) != before
    scene.sagemaker.delete_endpoint(EndpointName="many")


def test_one_clients_corrupt_model_is_no_other_clients_trouble(
    scene: Scene, clients: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "some"
    folder.mkdir()
    shutil.copy(clients / NAMES[0], folder / "good.tar.gz")
    (folder / "bad.tar.gz").write_bytes((clients / NAMES[0]).read_bytes()[:200])
    disabled: dict[str, Any] = {"MultiModelConfig": {"ModelCacheSetting": "Disabled"}}
    scene.create("corrupt", config(scene, "corrupt-1", folder, **disabled))
    with pytest.raises(ClientError):
        scene.invoke("corrupt", ROW, TargetModel="bad.tar.gz")
    assert 0 <= float(scene.invoke("corrupt", ROW, TargetModel="good.tar.gz")["Body"].read()) <= 1
    assert "good.tar.gz" not in [name for names in loaded(scene, "corrupt").values() for name in names]
    scene.sagemaker.delete_endpoint(EndpointName="corrupt")


def test_settings_that_cannot_be_are_told_when_the_model_is_created(scene: Scene, clients: Path) -> None:
    bad: dict[str, Any] = {"Environment": {"MULTI_MODEL_MEMORY_MB": "lots"}}
    with pytest.raises(ClientError, match="MULTI_MODEL_MEMORY_MB must be a number"):
        config(scene, "bad", clients, **bad)


def test_the_same_by_spec_and_commands(scene: Scene, clients: Path, tmp_path: Path) -> None:
    shutil.copytree(clients, tmp_path / "clients")
    file = tmp_path / "by-spec.yaml"
    file.write_text(SPEC)
    tidegate(scene, "deploy", str(file), "--wait")
    wait_until(lambda: loaded(scene, "by-spec").popitem()[1] == ["c0.tar.gz"], "the pinned model is there")
    body = ("--body", "0.1,0.2,0.3,0.4")
    answer = tidegate(scene, "invoke", "by-spec", "--target-model", "c3.tar.gz", *body)
    assert 0 <= float(answer) <= 1
    table = tidegate(scene, "show", "models", "by-spec")
    assert "c3.tar.gz" in table and "pinned" in table and "/512.0 MiB" in table
    shutil.copy(clients / NAMES[1], tmp_path / "clients" / "new.tar.gz")
    assert "runs this already" in tidegate(scene, "deploy", str(file)), "a model that comes is no new version"
    assert 0 <= float(tidegate(scene, "invoke", "by-spec", "--target-model", "new.tar.gz", *body)) <= 1
    tidegate(scene, "delete", "by-spec", "--wait")
