"""AWS's SDK for JavaScript v3, unmodified, by ``javascript_flow.cjs``: endpoints, answers, alarms, autoscaling."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.scene import train
from tidegate.host.platform import Platform

MODULES = Path(__file__).parents[2] / ".clients" / "js"
NODE = shutil.which("node")
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(300),
    pytest.mark.skipif(NODE is None, reason="needs node"),
    pytest.mark.skipif(
        not (MODULES / "node_modules").exists(), reason="needs the SDK for JavaScript: make .clients/js/.done"
    ),
]


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    with Platform(environment={"TIDEGATE_DRAIN_TIMEOUT": "5"}) as running:
        yield running


@pytest.fixture(scope="module")
def seen(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("models")
    models = [train(folder, seed, features=4, trees=5) for seed in (1, 2)]
    script = Path(__file__).with_name("javascript_flow.cjs")
    assert NODE is not None
    words = [NODE, str(script), platform.url, str(MODULES), *models]
    done = subprocess.run(words, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_an_endpoint_is_deployed_asked_and_updated(seen: Any) -> None:
    assert seen["deployed"] == "SUCCESS"
    assert (seen["before"]["variant"], len(seen["before"]["rows"])) == ("main", 2)
    assert all(0 < score < 1 for score in seen["before"]["rows"] + seen["after"]["rows"])
    assert seen["after"]["rows"] != seen["before"]["rows"]
    assert seen["updated"]["config"] == "two"
    routing = seen["updated"]["deployment"]["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]
    assert (routing["Type"], routing["CanarySize"]["Value"]) == ("CANARY", 50)


def test_lists_come_in_pages_and_times_as_dates(seen: Any) -> None:
    assert sorted(seen["listed"]["names"]) == ["one", "two"]
    assert seen["listed"]["dates"] is True
    assert seen["listed"]["weight"] == 0.5
    assert seen["listed"]["tags"] == [{"Key": "team", "Value": "risk"}]


def test_alarms_and_metrics(seen: Any) -> None:
    watched = seen["watched"]
    assert (watched["threshold"], watched["dated"], watched["left"]) == (1, True, 0)
    assert (watched["sum"], watched["count"]) == (4.5, 3)
    unknown = watched["unknown"]
    assert (unknown["name"], unknown["status"]) == ("ResourceNotFoundException", 404)
    assert unknown["typed"] == "ResourceNotFoundException"


def test_autoscaling(seen: Any) -> None:
    scaled = seen["scaled"]
    assert (scaled["alarms"], scaled["bounds"]) == (2, [1, 2])
    assert scaled["again"]["typed"] == scaled["again"]["name"] == "ObjectNotFoundException"


def test_what_is_gone_is_an_error_with_its_name(seen: Any) -> None:
    removed = seen["removed"]
    assert removed["state"] == "SUCCESS"
    assert removed["gone"]["name"] == "ValidationException"
    assert removed["gone"]["message"].startswith("Could not find endpoint")
    assert (removed["silent"]["name"], removed["silent"]["typed"]) == ("ValidationError", "ValidationError")
