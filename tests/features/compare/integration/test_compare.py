"""``tidegate compare`` with real models: one that was trained again, and one whose columns are swapped."""

import json
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost

from tests.scene import Scene
from tidegate.host.platform import Platform

TIDEGATE = Path(sys.executable).with_name("tidegate")
COLUMNS = ("amount", "tenure", "hours", "noise")


def draw(rows: int, seed: int) -> tuple[Any, Any]:
    chance = np.random.default_rng(seed)
    found = chance.random((rows, len(COLUMNS)))
    odds = np.exp(6 * found[:, 0] - 4 * found[:, 1] + 2 * found[:, 2] - 2)
    return found, chance.random(rows) < odds / (1 + odds)


def train(path: Path, rows: Any, labels: Any, seed: int) -> None:
    terms = {"objective": "binary:logistic", "max_depth": 3, "subsample": 0.8, "nthread": 1, "seed": seed}
    xgboost.train(terms, xgboost.DMatrix(rows, labels), 25).save_model(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("compare")
    rows, labels = draw(3_000, 1)
    train(made / "old.ubj", rows, labels, 1)
    train(made / "again.ubj", rows, labels, 2)
    train(made / "swapped.ubj", rows[:, [1, 0, 2, 3]], labels, 2)
    rows, labels = draw(1_000, 2)
    lines = [",".join((*COLUMNS, "country", "fraud"))]
    for number, (row, label) in enumerate(zip(rows, labels, strict=True)):
        lines.append(
            ",".join((*(f"{value:.4f}" for value in row), ("US", "DE", "IN")[number % 3], str(int(label))))
        )
    (made / "rows.csv").write_text("\n".join(lines))
    return made


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    given = {"PATH": "/usr/bin:/bin", "HOME": str(folder), **environment}
    return subprocess.run([TIDEGATE, "compare", *arguments], cwd=folder, env=given, capture_output=True, text=True)


LABELLED = ("--rows", "rows.csv", "--label", "fraud", "--by", "country", "--leave-out", "country")


def test_a_model_that_was_trained_again_passes(folder: Path) -> None:
    done = run(folder, "old.ubj", "again.ubj", *LABELLED, "--json")
    document = json.loads(done.stdout)
    assert (done.returncode, document["verdict"]) == (0, "pass"), done.stdout + done.stderr
    assert document["overall"]["rows"] == 1_000 and document["overall"]["rank_correlation"] > 0.95
    assert set(document["slices"]) == {"US", "DE", "IN"}


def test_swapped_columns_are_found_with_labels_and_without(folder: Path) -> None:
    done = run(folder, "old.ubj", "swapped.ubj", *LABELLED, "--html", "report.html")
    assert done.returncode == 1 and "verdict: harm" in done.stdout and "AUC lost" in done.stdout
    assert "<svg" in (folder / "report.html").read_text()
    plain = run(folder, "old.ubj", "swapped.ubj", "--rows", "rows.csv", "--leave-out", "country,fraud")
    assert plain.returncode == 1 and "1 - rank correlation" in plain.stdout


def test_what_the_runtime_answers_is_what_xgboost_answers(folder: Path) -> None:
    done = run(folder, "old.ubj", "again.ubj", *LABELLED, "--json")
    rows = np.loadtxt(folder / "rows.csv", delimiter=",", skiprows=1, usecols=range(4), dtype=np.float32)
    for side in ("old", "again"):
        model = xgboost.Booster(model_file=folder / f"{side}.ubj")
        key = "mean_old" if side == "old" else "mean_new"
        mean = float(model.predict(xgboost.DMatrix(rows)).astype(float).mean())
        assert json.loads(done.stdout)["overall"][key] == pytest.approx(mean, abs=1e-6)


def test_a_pickle_is_not_read_without_trust(folder: Path) -> None:
    (folder / "model.pkl").write_bytes(pickle.dumps({"a": 1}))
    done = run(folder, "old.ubj", "model.pkl", *LABELLED)
    assert done.returncode != 0 and "the new version, model.pkl" in done.stderr
    assert "pickle" in done.stderr


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    with Platform(environment={"TIDEGATE_DRAIN_TIMEOUT": "5"}) as running:
        yield running


@pytest.mark.e2e
def test_what_an_endpoint_serves_is_the_old_version(folder: Path, platform: Platform) -> None:
    """Its model data is what it was deployed with, although the file is another one by now."""
    served = folder / "served.ubj"
    served.write_bytes((folder / "old.ubj").read_bytes())
    scene = Scene(platform)
    scene.create("fraud", scene.config(served.as_uri()))
    plain = ("--rows", "rows.csv", "--leave-out", "country,fraud")
    same = run(folder, "--endpoint", "fraud", "old.ubj", *plain, "--json", TIDEGATE_URL=platform.url)
    assert json.loads(same.stdout)["overall"]["largest"] == 0, same.stderr
    served.write_bytes((folder / "swapped.ubj").read_bytes())
    other = run(folder, "--endpoint", "fraud", "served.ubj", *plain, TIDEGATE_URL=platform.url)
    assert other.returncode == 1 and "verdict: harm" in other.stdout
