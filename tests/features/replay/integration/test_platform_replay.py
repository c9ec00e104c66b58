"""Labelled rows are replayed by both versions before a rollout shifts any traffic, on a real platform."""

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost

from tests.scene import Scene
from tidegate.cli.client import ApiClient
from tidegate.host.platform import Platform

pytestmark = [pytest.mark.slow, pytest.mark.e2e]
ROWS = 1_500


def train(folder: Path, name: str, x: Any, y: Any, seed: int) -> str:
    terms = {"objective": "binary:logistic", "max_depth": 3, "seed": seed, "subsample": 0.8, "nthread": 1}
    model = folder / name
    model.mkdir()
    xgboost.train(terms, xgboost.DMatrix(x, y), 20).save_model(model / "model.ubj")
    return model.as_uri() + "/"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Rows with labels, and models: two honest ones, and one that was trained with two columns swapped."""
    folder, chance = tmp_path_factory.mktemp("replay"), np.random.default_rng(3)
    x = chance.normal(size=(2 * ROWS, 4)).astype(np.float32)
    y = chance.random(2 * ROWS) < 1 / (1 + np.exp(-2 * x[:, 0] + x[:, 1]))
    with (folder / "rows.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["a", "b", "c", "d", "country", "fraud"])
        for place in range(ROWS):
            writer.writerow([*(f"{v:.6g}" for v in x[place]), "DE" if place % 3 else "US", int(y[place])])
    train_x, train_y = x[ROWS:], y[ROWS:]
    return {
        "rows": (folder / "rows.csv").as_uri(),
        "old": train(folder, "old", train_x, train_y, 1),
        "honest": train(folder, "honest", train_x, train_y, 2),
        "swapped": train(folder, "swapped", train_x[:, [1, 0, 2, 3]], train_y, 3),
    }


def spec(endpoint: str, data: str, rows: str, **more: Any) -> dict[str, Any]:
    replay = {"rows": rows, "label": "fraud", "leave_out": ["country"], "by": "country", **more}
    return {
        "endpoint": endpoint,
        "model": {"image": "tidegate/xgboost", "data": data},
        "rollout": {"strategy": "canary", "size": "50%", "wait": "1s"},
        "evidence": {"compare": ["errors"], "on_no_data": "advance", "deadline": "1s", "replay": replay},
    }


def deploy(platform: Platform, wish: dict[str, Any]) -> None:
    with ApiClient({"TIDEGATE_URL": platform.url}) as server:
        server.deploy(wish, "ann", override=False, supersede=False)


def replay(platform: Platform, endpoint: str) -> dict[str, Any]:
    with ApiClient({"TIDEGATE_URL": platform.url}) as server:
        found: dict[str, Any] = server.evidence(endpoint)["replay"]
        return found


def phases(platform: Platform, endpoint: str) -> list[str]:
    with ApiClient({"TIDEGATE_URL": platform.url}) as server:
        return [one["kind"] for one in server.events(endpoint, 0)["events"]]


def test_a_harmful_version_is_rolled_back_before_any_traffic_and_an_honest_one_passes(
    platform: Platform, scene: Scene, trained: dict[str, str]
) -> None:
    deploy(platform, spec("replayed", trained["old"], trained["rows"]))
    before = scene.settled("replayed")["EndpointConfigName"]
    deploy(platform, spec("replayed", trained["swapped"], trained["rows"]))
    ended = scene.settled("replayed")
    assert ended["EndpointConfigName"] == before
    assert "is worse on labelled rows: variant AllTraffic: AUC lost 0." in ended["FailureReason"]
    kinds = phases(platform, "replayed")
    assert kinds.count("rollout.Baking") == 1, "only the first version ever got traffic"
    found = replay(platform, "replayed")["results"]["AllTraffic"]
    assert (found["finding"], found["rows"], found["labelled"]) == ("fail", ROWS, ROWS)
    assert {one["slice"] for one in found["statistics"] if one["name"] == "slice"} == {"DE", "US"}
    shown = tidegate(platform, "rollout", "evidence", "show", "replayed")
    assert f"replay of {ROWS:,} rows ({ROWS:,} labelled" in shown and "fail: AUC lost 0." in shown

    deploy(platform, spec("replayed", trained["honest"], trained["rows"]))
    ended = scene.settled("replayed")
    assert ended["EndpointConfigName"] != before, ended.get("FailureReason")
    assert replay(platform, "replayed")["results"]["AllTraffic"]["finding"] == "pass"


def test_too_few_labels_and_missing_rows_never_pass(
    platform: Platform, scene: Scene, trained: dict[str, str], tmp_path: Path
) -> None:
    deploy(platform, spec("unlabelled", trained["old"], trained["rows"]))
    before = scene.settled("unlabelled")["EndpointConfigName"]
    few = tmp_path / "few.csv"
    few.write_text("a,b,c,d,country,fraud\n" + "0.1,0.2,0.3,0.4,DE,1\n" * 30)
    for rows, why in ((few.as_uri(), "30 labels of 1 and 0 of 0 are too few"), ("file:///nowhere.csv", "nowhere")):
        wish = spec("unlabelled", trained["honest"], rows)
        wish["evidence"]["on_no_data"] = "rollback"
        deploy(platform, wish)
        ended = scene.settled("unlabelled")
        assert ended["EndpointConfigName"] == before
        assert "labelled rows say nothing: " in ended["FailureReason"] and why in ended["FailureReason"]
    assert json.loads(json.dumps(replay(platform, "unlabelled")))["results"]["AllTraffic"]["finding"] == "no_data"


def tidegate(platform: Platform, *arguments: str) -> str:
    environment = {"PATH": "", "TIDEGATE_URL": platform.url, "COLUMNS": "200"}
    command = [sys.executable, "-m", "tidegate.cli", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout
