"""MLflow's own client and command line with tidegate's plugin, on a whole platform."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

from tidegate.host.platform import Platform

mlflow = pytest.importorskip("mlflow")
interface = pytest.importorskip("mlflow.deployments.interface")
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400), pytest.mark.filterwarnings("ignore")]
ROOT = Path(__file__).parents[2]
ROWS = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [0.5, -1.0, 2.5]})
TRUST = "model.environment.TIDEGATE_TRUST=pickle"
ALARMS = "alarms={errors: {metric: Invocation5XXErrors, statistic: Average, above: 2%, period: 1s, periods: 1}}"


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    with Platform(environment={"TIDEGATE_TRUST": "pickle", "TIDEGATE_DRAIN_TIMEOUT": "5"}) as running:
        yield running


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder that makes the entry points of ``pyproject.toml`` known, as an installation does."""
    entries = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    folder = tmp_path_factory.mktemp("installed")
    about = folder / "tidegate_entry_points-0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: tidegate-entry-points\nVersion: 0\n")
    lines = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in each.items()) for group, each in entries.items()]
    (about / "entry_points.txt").write_text("\n".join(lines))
    return str(folder)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    for name, factor in (("v1", 2.0), ("v2", 3.0)):
        trained = LinearRegression().fit(ROWS, ROWS["a"] * factor - ROWS["b"] + 1)
        signature = mlflow.models.infer_signature(ROWS, trained.predict(ROWS))
        mlflow.sklearn.save_model(trained, folder / name, signature=signature, pip_requirements=["scikit-learn"])
    shutil.copytree(folder / "v2", folder / "broken")
    (data,) = (folder / "broken").glob("model.*")
    data.write_bytes(b"this is no model")
    return {name: folder / name for name in ("v1", "v2", "broken")}


def command(platform: Platform, installed: str, *words: str) -> "subprocess.CompletedProcess[str]":
    paths = os.pathsep.join([installed, str(ROOT / "src")])
    given = {**os.environ, "PYTHONPATH": paths, "TIDEGATE_URL": platform.url, "PYTHONWARNINGS": "ignore"}
    program = [sys.executable, "-m", "mlflow", "deployments", *words]
    return subprocess.run(program, env=given, capture_output=True, text=True, timeout=200)


def update(platform: Platform, installed: str, model: Path) -> "subprocess.CompletedProcess[str]":
    config = ["-C", TRUST, "-C", "strategy=canary", "-C", "size=50%", "-C", "wait=1s", "-C", "instances=2"]
    named = ["-t", "tidegate", "--name", "scores", "-m", str(model)]
    return command(platform, installed, "update", *named, *config, "-C", ALARMS)


def test_a_model_is_created_updated_and_asked_and_a_broken_one_leaves_all_as_it_was(
    platform: Platform, installed: str, models: dict[str, Path], tmp_path: Path
) -> None:
    named = ["-t", "tidegate", "--name", "scores"]
    made = command(
        platform, installed, "create", *named, "-m", str(models["v1"]), "-C", TRUST, "-C", "instances=2"
    )
    assert made.returncode == 0, made.stderr
    assert "python_function deployment scores is created" in made.stdout

    done = update(platform, installed, models["v2"])
    assert done.returncode == 0, done.stderr
    (tmp_path / "rows.json").write_text(ROWS.to_json())
    asked = command(platform, installed, "predict", *named, "-I", str(tmp_path / "rows.json"))
    found = json.loads(asked.stdout)["predictions"]
    np.testing.assert_allclose(found, ROWS["a"] * 3 - ROWS["b"] + 1)

    refused = update(platform, installed, models["broken"])
    assert refused.returncode != 0
    assert "MlflowException" in refused.stderr

    interface.plugin_store.register("tidegate", "tidegate.cli.mlflow_deployments")
    client = interface.get_deploy_client(f"tidegate://{platform.url.removeprefix('http://')}")
    shown = client.get_deployment("scores")
    assert (shown["status"], shown["last"]["outcome"]) == ("InService", "RolledBack")
    assert [one["name"] for one in client.list_deployments()] == ["scores"]
    again = client.predict("scores", ROWS).get_predictions("ndarray")
    np.testing.assert_allclose(again, found)
    with pytest.raises(mlflow.exceptions.MlflowException, match="update it"):
        client.create_deployment("scores", str(models["v1"]))
    kept = client.update_deployment("scores", config={"instances": 1})
    assert client.get_deployment("scores")["config"] == kept["config"]
    client.delete_deployment("scores")
    with pytest.raises(mlflow.exceptions.MlflowException, match="create it"):
        client.update_deployment("absent", str(models["v1"]))
    client.delete_deployment("absent")


def test_the_help_of_the_target_names_its_config(platform: Platform, installed: str) -> None:
    shown = command(platform, installed, "help", "-t", "tidegate").stdout
    assert "strategy=canary" in shown and "follow=false" in shown
