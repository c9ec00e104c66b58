"""A monitoring schedule on a whole platform: captures, executions and reports, by boto3."""

import json
import random
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.features.capture.integration.test_platform_capture import capture, create
from tests.scene import Scene
from tidegate.cli.app import app
from tidegate.host.platform import Platform, wait_until

pytestmark = pytest.mark.e2e

ROLE = "arn:aws:iam::123456789012:role/monitor"
COLUMNS = ("amount", "b", "c", "d")


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    with Platform(environment={"TIDEGATE_CAPTURE_SECONDS": "1", "TIDEGATE_DRAIN_TIMEOUT": "5"}) as running:
        yield running


def rows(draw: random.Random, count: int, shift: float = 0.0) -> list[list[float]]:
    return [[draw.gauss(shift, 1), draw.random(), draw.random(), draw.random()] for _ in range(count)]


def write_baseline(folder: Path, draw: random.Random) -> None:
    """By the documented command, which compares a table with no captures at all."""
    table = [",".join(f"{value:.4f}" for value in row) for row in rows(draw, 800)]
    (folder / "train.csv").write_text("\n".join([",".join(COLUMNS), *table]))
    (folder / "none.jsonl").write_text("")
    arguments = ["drift", "check", "watched", "--baseline", str(folder / "train.csv"), "--write", str(folder)]
    CliRunner().invoke(app, [*arguments, "--captures", str(folder / "none.jsonl")])
    assert (folder / "statistics.json").exists() and (folder / "constraints.json").exists()


def define(client: Any, folder: Path, output: Path, name: str = "quality") -> None:
    client.create_data_quality_job_definition(
        JobDefinitionName=name,
        DataQualityBaselineConfig={
            "StatisticsResource": {"S3Uri": (folder / "statistics.json").as_uri()},
            "ConstraintsResource": {"S3Uri": (folder / "constraints.json").as_uri()},
        },
        DataQualityAppSpecification={"ImageUri": "tidegate/model-monitor"},
        DataQualityJobInput={"EndpointInput": {"EndpointName": "watched", "LocalPath": "/opt/ml/in"}},
        DataQualityJobOutputConfig={
            "MonitoringOutputs": [{"S3Output": {"S3Uri": output.as_uri(), "LocalPath": "/opt/ml/out"}}]
        },
        JobResources={"ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}},
        RoleArn=ROLE,
    )


def execute(client: Any, name: str) -> Any:
    """One execution over the last hour."""
    times = {"DataAnalysisStartTime": "-PT1H", "DataAnalysisEndTime": "-PT0H"}
    client.create_monitoring_schedule(
        MonitoringScheduleName=name,
        MonitoringScheduleConfig={
            "ScheduleConfig": {"ScheduleExpression": "NOW", **times},
            "MonitoringJobDefinitionName": "quality",
            "MonitoringType": "DataQuality",
        },
    )

    def last() -> Any:
        found = client.describe_monitoring_schedule(MonitoringScheduleName=name)
        return found.get("LastMonitoringExecutionSummary")

    wait_until(lambda: last() is not None, f"an execution of {name}", 60)
    return last()


def captured(folder: Path) -> int:
    return sum(len(path.read_text().splitlines()) for path in folder.rglob("*.jsonl"))


def report(output: Path, schedule: str, at: datetime) -> dict[str, Any]:
    minute = f"/{at:%M}" if at.minute else ""
    folder = output / "watched" / schedule / f"{at:%Y/%m/%d/%H}{minute}"
    return {path.stem: json.loads(path.read_text()) for path in folder.iterdir()}


def test_executions_find_what_has_changed(
    platform: Platform, scene: Scene, models: tuple[str, str], tmp_path: Path
) -> None:
    draw, output = random.Random(1), platform.state / "outputs" / "reports"
    place = platform.state / "outputs" / "captured"
    write_baseline(tmp_path, draw)
    create(scene, "watched", models[0], capture(place.as_uri()))
    define(scene.sagemaker, tmp_path, output)
    empty = execute(scene.sagemaker, "empty")
    assert (empty["MonitoringExecutionStatus"], empty["FailureReason"]) == (
        "Failed",
        "no captured row in this window",
    )
    for row in rows(draw, 100):
        scene.invoke("watched", [row])
    wait_until(lambda: captured(place) >= 100, "captures", 60)
    usual = execute(scene.sagemaker, "usual")
    assert usual["MonitoringExecutionStatus"] == "Completed", usual
    found = report(output, "usual", usual["ScheduledTime"])
    assert found["constraint_violations"] == {"violations": []}
    assert found["statistics"]["dataset"]["item_count"] == 100
    for row in rows(draw, 150, shift=4.0):
        scene.invoke("watched", [row])
    wait_until(lambda: captured(place) >= 250, "captures", 60)
    changed = execute(scene.sagemaker, "changed")
    assert changed["MonitoringExecutionStatus"] == "CompletedWithViolations", changed
    [violation] = report(output, "changed", changed["ScheduledTime"])["constraint_violations"]["violations"]
    assert (violation["feature_name"], violation["constraint_check_type"]) == ("amount", "baseline_drift_check")
