"""The four challenges on live endpoints of a whole platform, by the routes that the console uses."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tidegate.host.platform import Platform, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.e2e]

NAMES = ("update", "incident", "peak", "drift")


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    with Platform(environment={"TIDEGATE_CAPTURE_SECONDS": "1", "TIDEGATE_DRAIN_TIMEOUT": "5"}) as running:
        yield running


def ask(platform: Platform, method: str, path: str, **given: Any) -> httpx.Response:
    return httpx.request(method, f"{platform.url}/tidegate/v1{path}", timeout=30, **given)


def start(platform: Platform, name: str) -> dict[str, Any]:
    answer = ask(platform, "POST", f"/lessons/{name}/start", json={"by": "dana", "reason": "to see it"})
    assert answer.status_code == 201, answer.text
    told: dict[str, Any] = answer.json()
    return told


def show(platform: Platform, name: str) -> dict[str, Any]:
    told: dict[str, Any] = ask(platform, "GET", f"/lessons/{name}").json()
    return told


def await_end(platform: Platform, name: str, seconds: float = 150) -> dict[str, Any]:
    return wait_until(lambda: (it := show(platform, name))["verdict"] and it, f"the end of {name}", seconds, 0.3)


def await_nothing_left(platform: Platform, name: str) -> None:
    wait_until(lambda: not show(platform, name)["removing"], f"nothing is left of {name}", 60, 0.2)
    assert ask(platform, "GET", "/endpoints").json()["endpoints"] == []
    assert ask(platform, "GET", "/alarms").json()["alarms"] == []
    assert list((platform.state / "live-runs").glob("*")) == []
    assert list((platform.state / "outputs").glob("*")) == []


@pytest.mark.parametrize("name", NAMES)
def test_each_challenge_is_shown_by_the_real_system_and_leaves_nothing(platform: Platform, name: str) -> None:
    begun = start(platform, name)
    assert begun["verdict"] is None and begun["endpoint"].startswith(f"tidegate-live-{name}-")
    twice = ask(platform, "POST", "/challenges/drift", json={})
    assert twice.status_code == 409 and "one at a time" in twice.text
    told = await_end(platform, name)
    picture = told["picture"]
    assert told["verdict"] == "shown", json.dumps(told)[-3000:]
    assert picture["answered"] + picture["failed"] == picture["sent"] > 100
    assert any("asked for by dana" in one["said"] for one in picture["journal"])
    globals()[f"check_{name}"](platform, told)
    await_nothing_left(platform, name)


def check_update(platform: Platform, told: dict[str, Any]) -> None:
    picture = told["picture"]
    assert picture["failed"] == 0
    assert len(picture["answered_by"]) == 2 and sum(picture["answered_by"].values()) == picture["sent"]
    assert {point[6] for point in picture["points"]} >= {50.0, 100.0}


def check_incident(platform: Platform, told: dict[str, Any]) -> None:
    picture = told["picture"]
    [bad] = [config for config, version in picture["versions"].items() if version == "bad"]
    assert 0 < picture["failed_by"][bad] < picture["sent"] / 4
    assert "-errors" in picture["marks"]["cause"] and picture["marks"]["refused"]
    entries = ask(platform, "GET", f"/audit?about={told['endpoint']}").json()["entries"]
    acts = {entry["action"]: (entry["outcome"], entry["who"]) for entry in entries}
    assert acts["challenge incident: deploy bad"] == ("done", "dana")
    assert acts["challenge incident: retry"] == ("failed", "dana")


def check_peak(platform: Platform, told: dict[str, Any]) -> None:
    picture = told["picture"]
    ready = [point[5] for point in picture["points"] if point[5] is not None]
    assert max(ready) > picture["marks"]["before"] and picture["failed"] == 0
    rates = [point[1] for point in picture["points"]]
    assert max(rates) >= 60 and picture["activities"]


def check_drift(platform: Platform, told: dict[str, Any]) -> None:
    marks = told["picture"]["marks"]
    assert marks["found"] <= marks["alarm"]
    assert marks["findings"][0].startswith("amount") and "Threshold Crossed" in marks["alarm_reason"]


def test_one_that_is_stopped_or_whose_server_dies_leaves_nothing_either(platform: Platform) -> None:
    start(platform, "peak")
    stopped = ask(platform, "POST", "/lessons/peak/stop", json={"by": "alex"}).json()
    assert (stopped["verdict"], stopped["said"]) == ("stopped", "stopped by alex")
    await_nothing_left(platform, "peak")
    start(platform, "update")
    wait_until(lambda: show(platform, "update")["picture"].get("answered", 0) > 20, "answers", 60)
    platform.kill_controller()
    platform.start()
    told = await_end(platform, "update")
    assert told["verdict"] == "interrupted" and "started again" in told["said"]
    await_nothing_left(platform, "update")
