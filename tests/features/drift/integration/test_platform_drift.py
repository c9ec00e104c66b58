"""A drift schedule on a whole platform: captures, looks, an ordinary alarm, the command."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.features.capture.integration.test_platform_capture import capture, create
from tests.scene import Scene
from tidegate.cli.app import app
from tidegate.host.platform import Platform, wait_until

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    with Platform(environment={"TIDEGATE_CAPTURE_SECONDS": "1", "TIDEGATE_DRAIN_TIMEOUT": "5"}) as running:
        yield running


def ask(scene: Scene, draw: random.Random, shift: float, requests: int = 120) -> None:
    for _ in range(requests):
        row = [draw.gauss(shift, 1), draw.random(), draw.random(), draw.random()]
        country = "DE" if draw.random() < 0.5 else "US"
        scene.invoke("drifting", [row], CustomAttributes=f"country={country}")


def test_drift_is_found_shown_and_alarms(
    platform: Platform, scene: Scene, models: tuple[str, str], tmp_path: Path
) -> None:
    def monitor(*arguments: str) -> Any:
        environment = {"TIDEGATE_URL": platform.url, "COLUMNS": "140"}
        return CliRunner().invoke(app, ["drift", "schedule", *arguments], env=environment)

    def last() -> dict[str, Any]:
        found = json.loads(monitor("show", "drifting", "--json").stdout)["last"]
        return found or {"verdict": None, "rows": 0}

    draw = random.Random(1)
    table = [
        ",".join(f"{draw.gauss(0, 1) if n == 0 else draw.random():.4f}" for n in range(4)) for _ in range(800)
    ]
    (tmp_path / "train.csv").write_text("\n".join(["amount,b,c,d", *table]))
    create(scene, "drifting", models[0], capture((platform.state / "outputs" / "drift").as_uri()))
    done = monitor(
        "set", "drifting", "--baseline", str(tmp_path / "train.csv"), "--every", "10s", "--by", "country"
    )
    assert done.exit_code == 0, done.output
    ask(scene, draw, 0.0)
    wait_until(lambda: last()["rows"] >= 100 and last()["verdict"] == "no_drift", "a look without drift", 90)
    scene.cloudwatch.put_metric_alarm(
        AlarmName="drift",
        Namespace="tidegate/Drift",
        MetricName="Drift",
        Dimensions=[{"Name": "EndpointName", "Value": "drifting"}],
        Statistic="Maximum",
        Period=10,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanOrEqualToThreshold",
        TreatMissingData="ignore",
    )
    ask(scene, draw, 3.0)
    wait_until(lambda: last()["verdict"] == "drift", "drift", 90)
    shown = monitor("show", "drifting")
    assert shown.exit_code == 1 and "amount  baseline_drift_check" in shown.stdout

    def state() -> str:
        [alarm] = scene.cloudwatch.describe_alarms(AlarmNames=["drift"])["MetricAlarms"]
        return str(alarm["StateValue"])

    wait_until(lambda: state() == "ALARM", "the alarm", 60)
    assert monitor("remove", "drifting").exit_code == 0
    assert "no drift schedule" in str(monitor("show", "drifting").exception)
