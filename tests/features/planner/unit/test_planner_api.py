"""The planner at the native door."""

import asyncio
from typing import Any

import httpx

from tests.gateway_harness import GatewayHarness
from tidegate.features.planner import planning as planner

API = "http://127.0.0.1:8471/tidegate/v1/plan"


def call(method: str, data: object = None) -> httpx.Response:
    async def ask() -> httpx.Response:
        house = GatewayHarness()
        try:
            async with house.client() as client:
                return await client.request(method, API, json=data)
        finally:
            await house.store.close()

    return asyncio.run(ask())


def refusal(answer: httpx.Response) -> tuple[int, str, str]:
    error = answer.json()["error"]
    return answer.status_code, error["code"], error["message"]


def test_planner_questions_are_listed() -> None:
    told: dict[str, Any] = call("GET").json()
    assert [one["name"] for one in told["examples"]] == list(planner.examples())
    assert told["questions"][0]["key"] == "name" and len(told["flowchart"]) == 4
    assert set(told) == {"questions", "flowchart", "modes", "peaks", "examples"}


def test_a_plan_by_answers_and_by_example() -> None:
    told = call("POST", {"answers": {"name": "fraud", "rate": 20, "latency": "100ms"}}).json()
    assert told["mode"] == "real_time" and told["spec"]["endpoint"] == "fraud"
    assert len(told["rows"]) == 6 and "endpoint: fraud" in told["file"]
    other = call("POST", {"example": "payroll-fraud", "answers": {"rate": 10}, "models": ["s3://m/x.ubj"]}).json()
    assert other["answers"]["rate"] == 10 and other["spec"]["model"]["data"] == "s3://m/x.ubj"
    assert "s3://m/x.ubj" in other["file"]


def test_a_refusal_has_the_changes_that_make_a_plan() -> None:
    answers = {"name": "fraud", "rate": 20, "latency": "100ms", "payload": "1GB"}
    error = call("POST", {"answers": answers}).json()["error"]
    assert error["message"].startswith("latency and payload: ")
    first, *_ = error["relaxations"]
    told = call("POST", {"answers": {**answers, **first["changes"]}}).json()
    assert f"about ${told['cost']['month']:,.0f} a month" in first["say"]


def test_impossible_plan_is_refused_with_a_reason() -> None:
    status, code, message = refusal(call("POST", {"answers": {"name": "fraud", "rate": 0}}))
    assert (status, code) == (400, "Invalid") and "rate: 0: must be above 0" in message
    assert refusal(call("POST", {"example": "nothing"}))[0] == 404
    assert refusal(call("POST", {"answers": []}))[2] == "'answers' must be an object"
    assert refusal(call("POST", {"models": "x"}))[2] == "'models' must be a list of addresses"
    assert (
        "no prices for region" in refusal(call("POST", {"example": "assist", "answers": {"region": "moon-1"}}))[2]
    )
