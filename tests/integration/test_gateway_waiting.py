"""Requests that wait in a gateway for the first pod of a serverless fleet: a real HAProxy behind its agent."""

import asyncio
from pathlib import Path

import httpx

from tests.integration.test_gateway_agent import PATIENCE, Worker, gateway, scenario, until
from tidegate.domain.fleet import FleetId, RoutingStrategy
from tidegate.domain.traffic import build_route_table
from tidegate.ports.gateway_agent import EndpointPlan, FleetPlan
from tidegate.ports.router import TcpAddress


def asleep(endpoint: str = "fraud", *workers: Worker) -> EndpointPlan:
    fleet = FleetId(endpoint, 1, "AllTraffic")
    servers = {worker.name: str(TcpAddress("127.0.0.1", worker.port)) for worker in workers}
    part = FleetPlan(fleet, RoutingStrategy.ON_DEMAND, servers, dict.fromkeys(servers, 10))
    table = build_route_table(endpoint, 1, [(1, 10_000, {"AllTraffic": 1.0})])
    return EndpointPlan(1, table, (part,))


FLEET = str(FleetId("fraud", 1, "AllTraffic"))


@scenario
async def test_request_without_a_server_is_held_told_of_at_once_and_answered(tmp_path: Path) -> None:
    worker = Worker("w")
    async with gateway(tmp_path) as one, httpx.AsyncClient(timeout=PATIENCE) as http:
        server = await worker.start()
        await one.client.put("fraud", asleep())
        await one.client.mark_synced(1)
        await until(one.ready)
        told = asyncio.create_task(one.client.demand(PATIENCE))
        held = [asyncio.create_task(one.predict(http)) for _ in range(3)]
        report = await told
        assert report.waits and report.fleets[FLEET].now >= 1
        await until(lambda: holds(one.client.demand, 3))
        await one.client.put("fraud", asleep("fraud", worker))
        assert [(await each).text for each in held] == ["w"] * 3

        async def nobody_waits() -> bool:
            return not (await one.client.demand()).waits

        await until(nobody_waits)
        last = (await one.client.demand()).fleets[FLEET]
        assert (last.now, last.ever) == (0, 3)
        server.close()


async def holds(demand: object, count: int) -> bool:
    return bool((await demand()).fleets[FLEET].now == count)  # type: ignore[operator]


@scenario
async def test_request_that_waits_survives_a_reload_of_the_proxy(tmp_path: Path) -> None:
    """More serverless fleets than there are slots: HAProxy is reloaded, and the old process holds the request."""
    worker = Worker("w")
    async with gateway(tmp_path) as one, httpx.AsyncClient(timeout=PATIENCE) as http:
        server = await worker.start()
        await one.client.put("fraud", asleep())
        held = asyncio.create_task(one.predict(http))
        await until(lambda: holds(one.client.demand, 1))
        for number in range(10):
            await one.client.put(f"other-{number}", asleep(f"other-{number}"))
        assert (await one.client.demand()).waits
        await one.client.put("fraud", asleep("fraud", worker))
        assert (await held).text == "w"
        server.close()


@scenario
async def test_wait_without_an_end_is_answered_with_the_apis_own_error(tmp_path: Path) -> None:
    async with gateway(tmp_path, invocation_timeout=1) as one, httpx.AsyncClient(timeout=PATIENCE) as http:
        await one.client.put("fraud", asleep())
        refused = await one.predict(http)
        assert refused.status_code == 429
        assert refused.headers["x-amzn-errortype"] == "ModelNotReadyException"
        assert "is ready yet" in refused.json()["Message"] and refused.headers["retry-after"] == "1"
