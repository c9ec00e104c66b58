"""Both versions on the same requests, with real parts: faults of a pipeline's stage and of a model are found before
the new version has any traffic, and an honest version passes."""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
import xgboost
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.preprocessing import StandardScaler

from tests.scene import Scene
from tidegate.cli.client import ApiClient
from tidegate.host.platform import Platform, wait_until
from tidegate.load import LoadGenerator

pytestmark = [pytest.mark.slow, pytest.mark.e2e]
CSV = {"Content-Type": "text/csv"}
RATE = 60.0
Rows = NDArray[np.float64]


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    with Platform(environment={"TIDEGATE_DRAIN_TIMEOUT": "5"}) as running:
        yield running


@pytest.fixture(scope="module")
def scene(platform: Platform) -> Scene:
    return Scene(platform)


def draw(seed: int, count: int) -> Rows:
    return np.random.default_rng(seed).normal([3, 10, 50], [1, 6, 20], size=(count, 3))


TRAINED_ON = 30_000
"""So many rows that two trainings clearly agree: 1 to 2 % of the requests are moved by more than one unit, where 15 %
are tolerated. After 3,000 rows it is 18 %, which more requests, on a slower machine, prove to be too many."""
REQUESTS = [",".join(f"{value:.6f}" for value in row).encode() for row in draw(0, 4_000)]


class Version:
    """A scaler, and trees for a score, trained on rows of its own. ``columns``: the order in which the scaler gives
    them; the trees were trained with the right one."""

    def __init__(
        self, folder: Path, seed: int, columns: tuple[int, ...] = (0, 1, 2), constant: bool = False
    ) -> None:
        rows = draw(seed, TRAINED_ON)
        odds = 1.5 * (rows[:, 0] - 3) + 0.2 * (rows[:, 1] - 10) - 0.05 * (rows[:, 2] - 50) - 1
        labels = np.random.default_rng(seed).random(len(rows)) < 1 / (1 + np.exp(-odds))
        right = StandardScaler().fit(rows)
        given = ColumnTransformer([("scaled", StandardScaler(), list(columns))]).fit(rows)
        self.scaler, self.trees = folder / f"scaler-{seed}.skops", folder / f"trees-{seed}.ubj"
        skops.io.dump(given, self.scaler)
        terms = {"objective": "binary:logistic", "max_depth": 3, "nthread": 1, "seed": seed}
        terms |= {"min_child_weight": 1e9} if constant else {}
        xgboost.train(terms, xgboost.DMatrix(right.transform(rows), labels), 40).save_model(self.trees)

    def spec(self, endpoint: str, **evidence: Any) -> dict[str, Any]:
        return {
            "endpoint": endpoint,
            "pipeline": [
                {"name": "prepare", "image": "tidegate/sklearn", "data": self.scaler.as_uri()},
                {"name": "trees", "image": "tidegate/xgboost", "data": self.trees.as_uri()},
            ],
            "rollout": {"strategy": "canary", "size": "50%", "wait": "3s"},
            "evidence": {"minimum": 60, "copies": "10s", **evidence},
        }


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Version:
    return Version(tmp_path_factory.mktemp("old"), 1)


def deploy(platform: Platform, wish: dict[str, Any]) -> None:
    with ApiClient({"TIDEGATE_URL": platform.url}) as server:
        server.deploy(wish, "ann", override=False, supersede=False)


def load(platform: Platform, endpoint: str) -> LoadGenerator:
    return LoadGenerator(platform.url, f"/endpoints/{endpoint}/invocations", REQUESTS, CSV, RATE, connections=8)


def evidence(platform: Platform, endpoint: str, finding: str) -> dict[str, Any]:
    """The evidence, once it was written with this finding."""

    def written() -> dict[str, Any] | None:
        with ApiClient({"TIDEGATE_URL": platform.url}) as server:
            found = server.evidence(endpoint)
        return found if found["verdict"]["finding"] == finding else None

    return wait_until(written, f"evidence of {endpoint} that says {finding}")


def test_swapped_columns_of_a_stage_are_found_before_any_traffic_moves_and_named(
    platform: Platform, scene: Scene, old: Version, tmp_path: Path
) -> None:
    # Not with pairs of predictions, which are sometimes sure sooner and would give the reason then.
    wish = {"compare": ["errors", "features"], "on_features": "rollback"}
    deploy(platform, old.spec("swapped", **wish))
    before = scene.settled("swapped")["EndpointConfigName"]
    new = Version(tmp_path, 2, columns=(1, 0, 2))
    with load(platform, "swapped") as running:
        deploy(platform, new.spec("swapped", **wish))
        ended = scene.settled("swapped")
        report = running.stop()
    assert ended["EndpointConfigName"] == before
    assert "differs: " in ended["FailureReason"]
    assert "features of variant AllTraffic: column prepare[" in ended["FailureReason"]
    found = evidence(platform, "swapped", "fail")
    features = next(one for one in found["verdict"]["results"] if one["comparison"] == "features")
    assert {features["test"], *features["also"]} & {"prepare[0]", "prepare[1]"}
    assert found["verdict"]["stage"] == 0
    assert found["recomputed"] == found["verdict"]
    assert report.failed == 0
    for path in ("/_tidegate/pair", "/endpoints/swapped/_tidegate/pair"):
        asked = urllib.request.Request(platform.url + path, REQUESTS[0], CSV, method="POST")
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(asked)
        assert refused.value.code in (400, 403, 404), "clients do not reach it"
        refused.value.close()


def test_who_is_told_of_a_rollback_gets_the_numbers_three_rows_and_a_command_that_runs(
    platform: Platform, scene: Scene, old: Version, tmp_path: Path
) -> None:
    """The requests are captured without their first column, and so they are shown."""
    redact = {"columns": ["a", "b", "c"], "fields": {"a": "mask"}}
    captured = {"capture": {"to": (tmp_path / "captures").as_uri(), "redact": redact}}
    deploy(platform, old.spec("told", compare=["paired"]) | captured)
    scene.settled("told")
    new = Version(tmp_path, 2, constant=True)
    with load(platform, "told") as running:
        deploy(platform, new.spec("told", compare=["paired"]) | captured)
        ended = scene.settled("told")
        running.stop()
    assert "differs: paired of variant AllTraffic: " in ended["FailureReason"]
    with ApiClient({"TIDEGATE_URL": platform.url}) as server:
        last = server.endpoint("told")["last"]
        (entry, *_) = server.history("told")
    assert entry["explanation"] == last["explanation"] and entry["reason"] == last["reason"]
    rows = last["explanation"]["rows"]
    assert len(rows) == 3 and all(abs(one["new"] - one["old"]) > 0.3 for one in rows)
    assert all(one["request"].startswith("[redacted],") for one in rows)
    evidence(platform, "told", "fail")
    program = f"{sys.executable} -m tidegate.cli"
    ran = subprocess.run(
        ["bash", "-c", last["explanation"]["reproduce"].replace("tidegate rollout", f"{program} rollout")],
        cwd=tmp_path,
        env=os.environ | {"TIDEGATE_URL": platform.url},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("fail: paired of variant AllTraffic: ")
    assert ran.stdout.rstrip().endswith("the same as in the file")


def test_an_honest_training_passes(platform: Platform, scene: Scene, old: Version, tmp_path: Path) -> None:
    compare = ["errors", "paired", "features"]
    deploy(platform, old.spec("honest", compare=compare))
    scene.settled("honest")
    new = Version(tmp_path, 3)
    with load(platform, "honest"):
        deploy(platform, new.spec("honest", compare=compare))
        ended = scene.settled("honest")
    assert "FailureReason" not in ended
    with ApiClient({"TIDEGATE_URL": platform.url}) as server:
        found = server.evidence("honest")
    assert found["new_config"] == ended["EndpointConfigName"]
    results = {one["comparison"]: one for one in found["verdict"]["results"]}
    assert all(one["finding"] != "fail" for one in results.values())
    # Those of the test that found the most, which may be of a slice; the rollout itself asked for 60 of each stage.
    assert results["paired"]["pairs"][0] > 0 and results["features"]["pairs"][0] > 0


def test_a_constant_score_is_found_by_its_pairs(
    platform: Platform, scene: Scene, old: Version, tmp_path: Path
) -> None:
    deploy(platform, old.spec("constant", compare=["paired"]))
    before = scene.settled("constant")["EndpointConfigName"]
    new = Version(tmp_path, 4, constant=True)
    with load(platform, "constant"):
        deploy(platform, new.spec("constant", compare=["paired"]))
        ended = scene.settled("constant")
    assert ended["EndpointConfigName"] == before
    assert "paired of variant AllTraffic: " in ended["FailureReason"]
    found = evidence(platform, "constant", "fail")
    file = tmp_path / "evidence.json"
    file.write_text(json.dumps(found))
    command = [sys.executable, "-m", "tidegate.cli", "evidence", "verify", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("fail: paired of variant AllTraffic: ")


def test_an_endpoint_that_is_asked_three_things_only_is_judged_by_these(
    platform: Platform, scene: Scene, old: Version, tmp_path: Path
) -> None:
    """A version that answers them much alike finishes; the comparison does not wait for requests that never come."""
    deploy(platform, old.spec("few", compare=["paired"], minimum=20))
    scene.settled("few")
    new = Version(tmp_path, 5)
    few = REQUESTS[:3]
    path = "/endpoints/few/invocations"
    with LoadGenerator(platform.url, path, few, CSV, RATE, connections=4):
        deploy(platform, new.spec("few", compare=["paired"], minimum=20))
        ended = scene.settled("few")
    assert "FailureReason" not in ended
    with ApiClient({"TIDEGATE_URL": platform.url}) as server:
        found = server.evidence("few")
    assert found["new_config"] == ended["EndpointConfigName"]
    (result,) = found["verdict"]["results"]
    assert result["pairs"][0] <= len(few)
    assert sum(block["sums"].get("AllTraffic/paired/repeated", [0])[0] for block in found["blocks"].values()) > 40
