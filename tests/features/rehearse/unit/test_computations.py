"""Rehearsals over the native API, in processes of their own."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tests.gateway_harness import OPEN, SIGNED, GatewayHarness
from tidegate.console.computed_pages import ComputePool
from tidegate.domain.errors import Invalid, Unavailable
from tidegate.features.rehearse.computations import MAX_RUNS, promise, rehearse, simulate

NOW = datetime(2030, 1, 1, tzinfo=UTC)
SPEC = {
    "endpoint": "fraud",
    "model": {"image": "tidegate/xgboost", "data": "file:///m/model.tar.gz"},
    "rollout": {"strategy": "canary", "size": "10%", "wait": "10m", "final_bake": "1m"},
    "alarms": {
        "errors": {
            "metric": "Invocation5XXErrors",
            "statistic": "Average",
            "above": "2%",
            "period": "1m",
            "periods": 2,
        }
    },
}


def ask(house: GatewayHarness, path: str, body: Mapping[str, object]) -> httpx.Response:
    async def work() -> httpx.Response:
        async with house.client() as client:
            found = await client.post(f"http://127.0.0.1:8471/tidegate/v1/{path}", json=body)
        await house.store.close()
        return found

    return asyncio.run(work())


def test_what_guards_detect_over_the_wire() -> None:
    body = {"spec": SPEC, "rps": 40, "wanted": ["error-rate=5%"], "only": "detection"}
    found = ask(GatewayHarness(settings=OPEN), "rehearse", body)
    assert found.status_code == 200
    assert found.json()["kept"] is True
    assert found.json()["wanted"][0]["seen"] is True


def test_invalid_computation_is_refused_with_its_reason() -> None:
    found = ask(GatewayHarness(settings=OPEN), "rehearse", {"spec": SPEC, "rps": 40, "faults": ["eror-rate=5%"]})
    assert found.status_code == 400
    assert "did you mean" in found.json()["error"]["message"]
    assert ask(GatewayHarness(settings=OPEN), "rehearse", {"spec": SPEC, "bogus": 1}).status_code == 400


def test_unsigned_computation_is_refused_with_keys() -> None:
    assert ask(GatewayHarness(settings=SIGNED), "rehearse", {"spec": SPEC, "rps": 40}).status_code == 403


def rehearsed(body: Mapping[str, object]) -> dict[str, Any]:
    return rehearse({"spec": SPEC, "rps": 40, **body}, NOW)


def test_a_rehearsal() -> None:
    found = rehearsed({"faults": ["error-rate=30%"], "runs": 10})
    assert found["timeline"]["run"]["outcome"] == "rolled back" and found["detection"]["wanted"][0]["seen"]
    assert found["faulty"]["back"]["count"] == 10
    assert found["healthy"]["back"]["count"] == 0


@pytest.mark.parametrize("body", [{"runs": MAX_RUNS + 1}, {"runs": 0}, {"rps": 0}, {"rps": "many"}, {"spec": {}}])
def test_invalid_computations_are_refused(body: Mapping[str, object]) -> None:
    with pytest.raises(Invalid):
        rehearsed(body)


def test_one_rollout_with_its_timeline() -> None:
    """The bad version is seen, at ten percent, and turned back by the alarm that the drawn requests set off."""
    found: dict[str, Any] = rehearsed({"faults": ["error-rate=30%"], "only": "timeline"})
    assert found["run"]["outcome"] == "rolled back"
    assert found["run"]["requests"] > 0
    assert [moment["phase"] for moment in found["moments"]][-2:] == ["RollingBack", "RolledBack"]
    assert {moment["share"] for moment in found["moments"]} == {0, 1000}


def test_simulation_fires_the_given_alarms() -> None:
    found: dict[str, Any] = rehearse({"spec": SPEC, "alarms": ["errors@stage=1"]}, NOW)
    assert found["timeline"]["phase"] == "RolledBack"
    with pytest.raises(Invalid, match="rps"):
        rehearsed({"alarms": ["errors@stage=1"]})


def test_the_former_operations_are_parts_of_a_rehearsal() -> None:
    body = {"spec": SPEC, "rps": 40}
    assert simulate({"spec": SPEC}, NOW)["phase"] == "Succeeded"
    assert promise(body, NOW) == rehearse({**body, "only": "detection"}, NOW)


BODY = {"spec": SPEC, "rps": 40, "runs": MAX_RUNS}


async def test_computation_over_the_time_limit_is_aborted() -> None:
    with pytest.raises(Invalid, match=r"not finished within 0\.01 s"):
        await ComputePool(longest=0.01).compute(rehearse, BODY, NOW)


async def test_too_many_computations_are_refused() -> None:
    desk = ComputePool(longest=0.01)
    asked = (desk.compute(rehearse, BODY, NOW) for _ in range(12))
    kinds = [type(one) for one in await asyncio.gather(*asked, return_exceptions=True)]
    assert kinds.count(Unavailable) == 4
    assert kinds.count(Invalid) == 8
