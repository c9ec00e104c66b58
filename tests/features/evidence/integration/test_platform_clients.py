"""With real parts: clients that stay on one version count once each, and a holdback serves and goes back at once."""

import urllib.request
from collections import defaultdict
from typing import Any

import pytest

from tests.features.evidence.integration.test_platform_evidence import ROWS, deploy, evidence, spec, verdict_of
from tests.scene import Scene
from tidegate.cli.client import ApiClient, ServerError
from tidegate.cli.follow_rollout import follow_silently
from tidegate.host.platform import Platform, wait_until

pytestmark = pytest.mark.e2e
CLIENTS = [f"client-{number}" for number in range(24)]


def ask(platform: Platform, client: str) -> str:
    """The config that answers a client."""
    asked = urllib.request.Request(
        f"{platform.url}/endpoints/sticky/invocations", ROWS[0], {"Content-Type": "text/csv", "X-Client": client}
    )
    with urllib.request.urlopen(asked, timeout=30) as answer:
        return str(answer.headers["x-tidegate-config"])


def test_clients_stay_and_count_once_and_a_holdback_goes_back(
    platform: Platform, scene: Scene, models: tuple[str, str]
) -> None:
    wish = spec("sticky", {"data": models[0]}, action="report")
    deploy(platform, wish)
    old = scene.settled("sticky")["EndpointConfigName"]
    wish["rollout"] |= {"stick": {"header": "X-Client"}, "holdback": {"share": "10%", "for": "1h"}}
    deploy(platform, {**wish, "model": {"data": models[1]}})
    seen: dict[str, list[str]] = defaultdict(list)

    def held() -> dict[str, Any] | None:
        for client in CLIENTS:
            seen[client].append(ask(platform, client))
        found = scene.describe("sticky")
        return found if found["EndpointStatus"] == "InService" else None

    found = wait_until(held, "the holdback of sticky", 120)
    new = found["EndpointConfigName"]
    assert new != old and "PendingDeploymentSummary" not in found
    for versions in seen.values():
        assert versions == sorted(versions, key=[old, new].index), "nobody goes back to the old version"
    # Whoever counted on the new version is below the next floor.
    counted = wait_until(
        lambda: verdict_of(evidence(platform, "sticky"), "errors")["counts"][2], "what was counted"
    )
    assert counted <= len(CLIENTS) < sum(versions.count(new) for versions in seen.values())
    with ApiClient({"TIDEGATE_URL": platform.url}) as server:
        told = follow_silently(server, "sticky", new)
    assert (told["config"], told["rollout"]["holdback"]) == (new, True)
    assert told["why"].startswith(f"holdback: {new} has passed and serves; {old} keeps 10 % of the traffic")
    with ApiClient({"TIDEGATE_URL": platform.url}) as server:
        with pytest.raises(ServerError, match="abort the rollout to go back"):
            server.rollout("sticky", "undo", "ann")
        server.rollout("sticky", "abort", "ann")

    def back() -> dict[str, Any] | None:
        answer = scene.describe("sticky")
        return answer if answer["EndpointConfigName"] == old and answer["EndpointStatus"] == "InService" else None

    assert "aborted by ann" in wait_until(back, "the way back of sticky", 60)["FailureReason"]
