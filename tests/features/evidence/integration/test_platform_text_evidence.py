"""Streamed texts of two versions, compared with real parts: one that refuses, repeats itself or says nothing is
turned back, one that writes as well is not. The rollouts run side by side, and take as long as a pass needs: half a
minute."""

from contextlib import ExitStack
from typing import Any

import pytest

from tests.features.evidence.integration.test_platform_evidence import deploy, evidence, load_to, verdict_of
from tests.fixtures import STAND_IN
from tests.scene import Scene
from tidegate.host.platform import Platform

pytestmark = [pytest.mark.slow, pytest.mark.e2e]
NAMED = {"refuses": "answers refuse (", "repeats": "answers repeat themselves (", "empty": "answers are empty ("}
RATE = 16.0


def spec(endpoint: str, talk: str) -> dict[str, Any]:
    return {
        "endpoint": endpoint,
        "model": {"image": STAND_IN, "environment": {"TALK": talk}},
        "rollout": {"strategy": "canary", "size": "50%", "wait": "5s"},
        # The pace of a loaded machine is no difference of versions.
        "evidence": {
            "compare": ["text"],
            "minimum": 60,
            "tolerance": {"text": {"first_token": "100%", "speed": "100%"}},
        },
    }


def test_a_version_that_refuses_repeats_itself_or_says_nothing_is_turned_back_and_an_equal_one_is_not(
    platform: Platform, scene: Scene
) -> None:
    endpoints = {"writes": "better", **{f"writes-{one}": one for one in NAMED}}
    for name in endpoints:
        deploy(platform, spec(name, "well"))
    before = {name: scene.settled(name)["EndpointConfigName"] for name in endpoints}
    with ExitStack() as stack:
        for name, talk in endpoints.items():
            stack.enter_context(load_to(platform, f"/endpoints/{name}/v1/chat/completions", [b"{}"], RATE))
            deploy(platform, spec(name, talk))
        ended = {name: scene.settled(name) for name in endpoints}
    for talk, said in NAMED.items():
        name = f"writes-{talk}"
        assert ended[name]["EndpointConfigName"] == before[name]
        assert "text of variant AllTraffic: " in ended[name]["FailureReason"]
        assert said in ended[name]["FailureReason"]
    assert "FailureReason" not in ended["writes"]
    found = evidence(platform, "writes")
    assert ended["writes"]["EndpointConfigName"] == found["new_config"] != before["writes"]
    compared = verdict_of(found, "text")
    assert compared["counts"][2] > 0
    assert compared["finding"] != "fail"
    assert found["recomputed"] == found["verdict"]
