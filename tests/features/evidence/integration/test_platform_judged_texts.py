"""Texts of two versions that a language model judges, with real parts: llama.cpp's server with a tiny model of random
weights is both versions and their judge. It judges badly, and that fails no equal version; a judge that is down gives
no evidence. The rollouts run side by side."""

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.features.evidence.integration.test_platform_evidence import deploy, evidence, load_to, verdict_of
from tests.integration.openai_engines import llama_cpp
from tests.scene import Scene
from tidegate.cli.client import ApiClient
from tidegate.host.platform import Platform, free_port, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.e2e]
MINIMUM, ASKS, RATE = 25, 30, 6.0
LABELLED = {"asks": 300, "labels": 75}
"""Settings of a judge that people correct."""


def spec(endpoint: str, url: str, judge: str, **more: int) -> dict[str, Any]:
    return {
        "endpoint": endpoint,
        "model": {"url": url, "protocol": "openai", "health": "/health"},
        "rollout": {"strategy": "canary", "size": "50%", "wait": "2s"},
        "evidence": {
            "compare": ["judge"],
            "judge": {"url": judge, "model": "tiny-1", "asks": ASKS, **more},
            "minimum": MINIMUM,
            "copies": "5s",
        },
    }


def prompts(endpoint: str) -> list[bytes]:
    """Different requests: equal ones are judged once."""
    asked = {"model": endpoint, "max_tokens": 12, "ignore_eos": True}
    return [
        json.dumps({**asked, "messages": [{"role": "user", "content": f"say {number}"}]}).encode()
        for number in range(500)
    ]


def label_one(platform: Platform, endpoint: str) -> dict[str, Any]:
    """Label the first pair that a person is shown. Returns it."""
    with ApiClient({"TIDEGATE_URL": platform.url}) as server:

        def shown() -> dict[str, Any] | None:
            pair: dict[str, Any] | None = server.judged_pair(endpoint)["pair"]
            return pair

        pair = wait_until(shown, "a judged pair", every=0.5)
        assert server.label_judged_pair(endpoint, pair["id"], "A")["labelled"] >= 1
        return pair


def test_a_bad_judge_fails_no_equal_version_and_one_that_is_down_lets_none_pass(
    platform: Platform, scene: Scene, tmp_path: Path
) -> None:
    with llama_cpp(tmp_path) as engine, ExitStack() as stack:
        judges = {"judged": engine.urls[0], "unjudged": f"http://127.0.0.1:{free_port()}"}
        for name, judge in judges.items():
            deploy(platform, spec(name, engine.urls[0], judge))
        before = {name: scene.settled(name)["EndpointConfigName"] for name in judges}
        for name, judge in judges.items():
            stack.enter_context(load_to(platform, f"/endpoints/{name}/invocations", prompts(name), RATE))
            deploy(platform, spec(name, engine.urls[1], judge, **(LABELLED if name == "judged" else {})))
        pair = label_one(platform, "judged")
        ended = {name: scene.settled(name) for name in judges}
        found = {name: evidence(platform, name) for name in judges}
    assert "say " in pair["request"] and pair["A"] != pair["B"]
    labels = [one for block in found["judged"]["blocks"].values() for one in block["preferences"]]
    assert [one["id"] for one in labels][-1:] == [pair["id"]], "a label is part of the evidence"
    assert not list(platform.state.glob("judged/*/*")), "no text outlives its rollout"
    assert "FailureReason" not in ended["judged"], ended["judged"]["FailureReason"]
    assert ended["judged"]["EndpointConfigName"] != before["judged"]
    assert ended["unjudged"]["EndpointConfigName"] == before["unjudged"]
    assert f"all {ASKS} questions (evidence.judge.asks) are spent" in ended["unjudged"]["FailureReason"]
    for name, document in found.items():
        assert document["recomputed"] == document["verdict"]
        result = verdict_of(document, "judge")
        assert 0 < result["questions"][0] <= (LABELLED["asks"] if name == "judged" else ASKS)
        assert (result["stage_requests"][0] >= MINIMUM) is (name == "judged")
        assert "say " not in json.dumps(document), "only measures are kept"
