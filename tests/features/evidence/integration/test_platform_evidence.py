"""Versions compared with real parts: a bad one is turned back by what its requests say, an equal one passes."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.scene import Scene, canary
from tidegate.cli.client import ApiClient
from tidegate.host.platform import Platform, wait_until
from tidegate.load import LoadGenerator

pytestmark = pytest.mark.e2e
STAND_IN = "test/stand-in"
ROWS = [b"0.9,0.2,0.3,0.4", b"-0.9,0.1,0.2,0.3", b"0.1,0.2,0.3,0.4", b"-0.2,0.5,0.1,0.1"]
CSV = {"Content-Type": "text/csv"}
RATE = 80.0


def spec(endpoint: str, model: dict[str, Any], **evidence: Any) -> dict[str, Any]:
    return {
        "endpoint": endpoint,
        "model": model,
        "rollout": {"strategy": "canary", "size": "50%", "wait": "5s"},
        "evidence": {"minimum": 60, "compare": ["errors", "predictions"], **evidence},
    }


def deploy(platform: Platform, wish: dict[str, Any]) -> None:
    with ApiClient({"TIDEGATE_URL": platform.url}) as server:
        server.deploy(wish, "ann", override=False, supersede=False)


def evidence(platform: Platform, endpoint: str) -> dict[str, Any]:
    with ApiClient({"TIDEGATE_URL": platform.url}) as server:
        return server.evidence(endpoint)


def kept(platform: Platform, endpoint: str, finding: str) -> dict[str, Any]:
    """The evidence, once it was written with this finding."""

    def written() -> dict[str, Any] | None:
        found = evidence(platform, endpoint)
        return found if found["verdict"]["finding"] == finding else None

    return wait_until(written, f"evidence of {endpoint} that says {finding}")


def load(platform: Platform, endpoint: str) -> LoadGenerator:
    return LoadGenerator(platform.url, f"/endpoints/{endpoint}/invocations", ROWS, CSV, RATE, connections=8)


def load_to(platform: Platform, path: str, bodies: list[bytes], rate: float) -> LoadGenerator:
    return LoadGenerator(platform.url, path, bodies, {"Content-Type": "application/json"}, rate, connections=8)


def verdict_of(document: dict[str, Any], comparison: str) -> dict[str, Any]:
    (found,) = [one for one in document["verdict"]["results"] if one["comparison"] == comparison]
    result: dict[str, Any] = found
    return result


def test_a_version_that_fails_requests_is_turned_back_and_anyone_can_recompute_why(
    platform: Platform, scene: Scene, models: tuple[str, str], tmp_path: Path
) -> None:
    deploy(platform, spec("failing", {"data": models[0]}))
    before = scene.settled("failing")["EndpointConfigName"]
    bad = {"image": STAND_IN, "environment": {"FAIL_EVERY": "3"}}
    with load(platform, "failing"):
        deploy(platform, spec("failing", bad, compare=["errors"]))
        ended = scene.settled("failing")
    assert ended["EndpointConfigName"] == before
    assert "differs: errors of variant AllTraffic: " in ended["FailureReason"]
    found = kept(platform, "failing", "fail")
    assert verdict_of(found, "errors")["evidence"] >= 1
    assert found["recomputed"] == found["verdict"]
    assert found["old_config"] == before
    file = tmp_path / "evidence.json"
    file.write_text(json.dumps(found))
    done = tidegate(platform, "rollout", "evidence", "verify", str(file))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("fail: errors of variant AllTraffic: ")
    found["blocks"] = {}
    file.write_text(json.dumps(found))
    forged = tidegate(platform, "rollout", "evidence", "verify", str(file))
    assert forged.returncode == 1
    assert "the verdict is fail, and no_data follows from its blocks" in forged.stderr
    shown = tidegate(platform, "rollout", "evidence", "show", "failing")
    assert "verdict: fail: errors of variant AllTraffic" in shown.stdout
    page = tmp_path / "evidence.html"
    assert tidegate(platform, "rollout", "evidence", "show", "failing", "--html", str(page)).returncode == 0
    assert "errors of AllTraffic" in page.read_text() and "RolledBack" in page.read_text()


def test_a_version_that_answers_fast_and_wrongly_is_turned_back(
    platform: Platform, scene: Scene, models: tuple[str, str]
) -> None:
    deploy(platform, spec("wrong", {"data": models[0]}))
    before = scene.settled("wrong")["EndpointConfigName"]
    with load(platform, "wrong"):
        deploy(platform, spec("wrong", {"image": STAND_IN}))
        ended = scene.settled("wrong")
    assert ended["EndpointConfigName"] == before
    assert "predictions of variant AllTraffic: 100.00% of " in ended["FailureReason"]
    assert verdict_of(kept(platform, "wrong", "fail"), "errors")["finding"] != "fail"


def test_an_equal_version_passes_with_the_evidence_that_it_needs(
    platform: Platform, scene: Scene, models: tuple[str, str]
) -> None:
    deploy(platform, spec("equal", {"data": models[0]}))
    scene.settled("equal")
    with load(platform, "equal"):
        same = {"data": models[0], "environment": {"NOTE": "the same"}}
        deploy(platform, spec("equal", same, compare=["errors"]))
        ended = scene.settled("equal")
    assert "FailureReason" not in ended
    found = evidence(platform, "equal")
    assert ended["EndpointConfigName"] == found["new_config"]
    assert all(one["counts"][2] >= 60 and one["finding"] != "fail" for one in found["verdict"]["results"])


def test_without_requests_a_version_is_turned_back_at_the_deadline(
    platform: Platform, scene: Scene, models: tuple[str, str]
) -> None:
    deploy(platform, spec("silent", {"data": models[0]}))
    before = scene.settled("silent")["EndpointConfigName"]
    deploy(platform, spec("silent", {"data": models[1]}, deadline="2s"))
    ended = scene.settled("silent")
    assert ended["EndpointConfigName"] == before
    assert "no evidence at the deadline: too little is known: " in ended["FailureReason"]


def test_an_ordinary_alarm_guards_a_plain_update_by_the_published_metric(
    platform: Platform, scene: Scene, models: tuple[str, str]
) -> None:
    good = scene.config(models[0])
    scene.create("plain", good)
    bad = scene.config(None, image=STAND_IN)
    dimensions = {"EndpointName": "plain", "VariantName": "AllTraffic", "EndpointConfigName": bad}
    scene.alarm(
        "plain-differs",
        "PredictionEvidence",
        1,
        Namespace="tidegate/Evidence",
        Statistic="Maximum",
        ComparisonOperator="GreaterThanOrEqualToThreshold",
        EvaluationPeriods=1,
        Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()],
    )
    with load(platform, "plain"):
        scene.update("plain", bad, canary(50, 600, alarms=["plain-differs"]))
        ended = scene.settled("plain")
    assert ended["EndpointConfigName"] == good
    assert "plain-differs" in ended["FailureReason"]


def tidegate(platform: Platform, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "tidegate.cli", *arguments],
        env={"TIDEGATE_URL": platform.url, "COLUMNS": "140", "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
