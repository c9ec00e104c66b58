"""Stages that budgets choose, with real parts: a budget turns a bad version back, and an equal one passes."""

from typing import Any

import pytest

from tests.features.evidence.integration.test_platform_evidence import STAND_IN, deploy, evidence, load
from tests.scene import Scene
from tidegate.host.platform import Platform, wait_until

pytestmark = pytest.mark.e2e


def chosen(endpoint: str, model: dict[str, Any]) -> dict[str, Any]:
    """Differences are only reported here, so that the budget alone turns a version back."""
    assure = {"harm": {"errors": "20%"}, "before": "30%", "missed": "10%", "failed": 40, "ramp": "auto"}
    return {
        "endpoint": endpoint,
        "model": model,
        "rollout": {"strategy": "linear", "step": "10%", "wait": "5s"},
        "evidence": {"compare": ["errors"], "minimum": 20, "action": "report", "assure": assure},
    }


def spent(platform: Platform) -> dict[str, Any] | None:
    found = evidence(platform, "chosen")
    return found if found["verdict"]["failed"] >= 40 else None


def test_budgets_turn_a_bad_version_back_and_let_an_equal_one_pass_in_larger_steps(
    platform: Platform, scene: Scene, models: tuple[str, str]
) -> None:
    deploy(platform, chosen("chosen", {"data": models[0]}))
    before = scene.settled("chosen")["EndpointConfigName"]
    with load(platform, "chosen"):
        deploy(platform, chosen("chosen", {"image": STAND_IN, "environment": {"FAIL_EVERY": "2"}}))
        turned = scene.settled("chosen")
        assert turned["EndpointConfigName"] == before
        bad = wait_until(lambda: spent(platform), "the last write of the evidence")
        deploy(platform, chosen("chosen", {"data": models[0], "environment": {"NOTE": "the same"}}))
        passed = scene.settled("chosen")
    assert all((block["share"] or 0) <= 3000 for block in bad["blocks"].values())
    assert bad["recomputed"] == bad["verdict"]
    good = evidence(platform, "chosen")
    assert passed["EndpointConfigName"] == good["new_config"] and "FailureReason" not in passed
    assert good["recomputed"] == good["verdict"] and not good["uncounted"]["lost"]
    assert len({block["stage"] for block in good["blocks"].values()}) < 10
