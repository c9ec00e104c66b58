"""Serverless fleets of the target, over an API server and gateways in memory."""

import asyncio
from dataclasses import replace

import pytest

from tests.unit.targets.kubernetes.fleets import fleet_spec
from tests.unit.targets.kubernetes.memory_api_server import Object
from tests.unit.targets.kubernetes.target_harness import OPTIONS, Cluster, run, table
from tidegate.domain.errors import TargetRefused, Transient
from tidegate.domain.fleet import FleetSpec, Serverless
from tidegate.domain.traffic import RouteTable
from tidegate.ports.gateway_agent import FleetDemand
from tidegate.serving.contract.images import ImageTable
from tidegate.settings import Settings
from tidegate.targets.kubernetes.api_errors import ForeignChange
from tidegate.targets.kubernetes.names import fleet_name
from tidegate.targets.kubernetes.on_demand import MOST_HASTENED
from tidegate.targets.kubernetes.options import AutoscalingOptions, HttpRoute
from tidegate.targets.kubernetes.start_data import start_data

BOUNDS = Serverless(memory=2**30, max_concurrency=30, idle_after=20.0, per_instance=10)


def serverless(bounds: Serverless = BOUNDS, generation: int = 1) -> FleetSpec:
    return fleet_spec(count=1, generation=generation, serverless=bounds)


def deployed(cluster: Cluster, fleet: FleetSpec) -> Object:
    return cluster.server.objects["deployments", fleet_name(fleet.id)]


def pods(cluster: Cluster, fleet: FleetSpec) -> int:
    """As many as the Deployment asks for."""
    return int(deployed(cluster, fleet)["spec"]["replicas"])


def demand(cluster: Cluster, fleet: FleetSpec, now: int, ever: int = 0, waits: float | None = None) -> None:
    """What the first gateway holds; the others have nothing."""
    agent = cluster.agents[sorted(cluster.agents)[0]]
    agent.demands[str(fleet.id)] = FleetDemand(now, ever, waits)


async def look(cluster: Cluster, seconds: float = 1.0) -> None:
    """Turns over so many seconds, and the end of pods that leave."""
    for _ in range(max(1, round(seconds))):
        await asyncio.sleep(1)
        await cluster.turn()
        cluster.server.remove_leaving()


async def asleep(cluster: Cluster, fleet: FleetSpec) -> None:
    await cluster.deploy(fleet)
    await look(cluster, BOUNDS.idle_after + 3)
    assert pods(cluster, fleet) == 0


def test_fleet_is_ready_once_a_pod_was_and_stays_so_at_zero() -> None:
    async def scenario() -> None:
        cluster, fleet = Cluster(), serverless()
        await cluster.begin()
        cluster.server.start = lambda pod: None
        await cluster.target.ensure_fleet(fleet, 1)
        await look(cluster, 30)
        status = await cluster.status(fleet.id)
        assert status is not None and (status.desired, status.ready, pods(cluster, fleet)) == (1, 0, 1)
        for pod in cluster.server.pods("worker"):
            pod["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
        await look(cluster, 3)
        status = await cluster.status(fleet.id)
        assert status is not None and (status.ready, status.serverless) == (1, BOUNDS)
        await look(cluster, BOUNDS.idle_after)
        status = await cluster.status(fleet.id)
        assert pods(cluster, fleet) == 0 and cluster.server.pods("worker") == []
        assert status is not None and (status.desired, status.ready, status.failure) == (1, 1, None)

    run(scenario())


def test_request_that_waits_gets_a_pod_at_once() -> None:
    async def scenario() -> None:
        cluster, fleet = Cluster(), serverless()
        await asleep(cluster, fleet)
        waking = asyncio.create_task(cluster.target.on_demand.run())
        await asyncio.sleep(3)
        assert pods(cluster, fleet) == 0
        demand(cluster, fleet, 1, 1, 100.0)
        await asyncio.sleep(0.5)
        assert pods(cluster, fleet) == 1
        assert all(len(agent.servers(fleet.id)) == 1 for agent in cluster.agents.values())
        waking.cancel()

    run(scenario())


def test_pods_follow_the_requests_of_all_gateways_up_to_the_limit() -> None:
    async def scenario() -> None:
        cluster, fleet = Cluster(), serverless()
        await cluster.deploy(fleet)
        first, second = cluster.agents.values()
        first.demands[str(fleet.id)], second.demands[str(fleet.id)] = FleetDemand(8, 8), FleetDemand(8, 8)
        await look(cluster, 3)
        assert pods(cluster, fleet) == 2
        first.demands[str(fleet.id)] = FleetDemand(500, 500)
        await look(cluster, 3)
        assert pods(cluster, fleet) == 3
        limits = first.plans["fraud"].fleets[0].limits
        assert sorted(limits.values()) == [10, 10, 10]
        first.demands.clear()
        second.demands.clear()
        await look(cluster, BOUNDS.idle_after + 3)
        assert pods(cluster, fleet) == 0

    run(scenario())


def test_short_requests_between_two_looks_keep_a_pod() -> None:
    async def scenario() -> None:
        cluster, fleet = Cluster(), serverless()
        await cluster.deploy(fleet)
        for second in range(int(2 * BOUNDS.idle_after)):
            demand(cluster, fleet, 0, ever=second // 5)
            await look(cluster)
        assert pods(cluster, fleet) == 1

    run(scenario())


def test_gateway_that_is_replaced_or_reloaded_wakes_nobody() -> None:
    async def scenario() -> None:
        cluster, fleet = Cluster(), serverless()
        await cluster.deploy(fleet)
        demand(cluster, fleet, 0, ever=7)
        await look(cluster, BOUNDS.idle_after + 3)
        assert pods(cluster, fleet) == 0
        demand(cluster, fleet, 0, ever=2)  # its counters begin anew
        await look(cluster, 2)
        assert pods(cluster, fleet) == 0
        first = cluster.agents[sorted(cluster.agents)[0]]
        first.boot = "boot-2"
        demand(cluster, fleet, 0, ever=9)
        await look(cluster, 2)
        assert pods(cluster, fleet) == 0
        demand(cluster, fleet, 0, ever=10)
        await look(cluster, 2)
        assert pods(cluster, fleet) == 1

    run(scenario())


def test_fleets_that_wake_up_in_crowds_all_get_their_pods() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        fleets = [fleet_spec(f"e{number}", count=1, serverless=BOUNDS) for number in range(2 * MOST_HASTENED)]
        await cluster.begin()
        for fleet in fleets:
            await cluster.target.ensure_fleet(fleet, 1)
        await look(cluster, BOUNDS.idle_after + 5)
        assert {pods(cluster, fleet) for fleet in fleets} == {0}
        for fleet in fleets:
            demand(cluster, fleet, 1, 1, 5.0)
        await look(cluster, 3)
        assert {pods(cluster, fleet) for fleet in fleets} == {1}
        first = cluster.agents[sorted(cluster.agents)[0]]
        assert all(len(first.servers(fleet.id)) == 1 for fleet in fleets)

    run(scenario())


def test_provisioned_concurrency_is_a_floor_of_pods() -> None:
    async def scenario() -> None:
        cluster, fleet = Cluster(), serverless(replace(BOUNDS, provisioned=15))
        await cluster.deploy(fleet)
        await look(cluster, BOUNDS.idle_after + 3)
        assert pods(cluster, fleet) == 2
        assert cluster.target.provisioned() == [fleet]
        status = await cluster.status(fleet.id)
        assert status is not None and status.ready == 1
        less = replace(fleet, variant=replace(fleet.variant, serverless=BOUNDS))
        await cluster.target.ensure_fleet(less, 2)
        await look(cluster, BOUNDS.idle_after + 3)
        status = await cluster.status(fleet.id)
        assert pods(cluster, fleet) == 0 and status is not None and status.serverless == BOUNDS

    run(scenario())


def test_gateway_that_a_new_controller_has_not_reached_yet_takes_no_pod_away_and_hides_no_count() -> None:
    """It takes traffic, and what it holds is unknown."""

    async def scenario() -> None:
        cluster, fleet = Cluster(), serverless()
        await cluster.deploy(fleet)
        await look(cluster, 3)
        unheard = cluster.agents[sorted(cluster.agents)[1]]
        unheard.demands[str(fleet.id)] = FleetDemand(8, 8)
        unheard.away = True
        cluster.restart(controller=2)
        await look(cluster, BOUNDS.idle_after + 5)
        assert [one.state is None for one in cluster.target.gateways.known.values()].count(True) == 1
        assert pods(cluster, fleet) == 1
        with pytest.raises(Transient, match="has not told yet what it holds"):
            await cluster.target.gateways.passed()
        unheard.away = False
        unheard.demands.clear()
        await look(cluster, BOUNDS.idle_after + 5)
        assert pods(cluster, fleet) == 0 and await cluster.target.gateways.passed() is not None

    run(scenario())


def test_gateway_that_does_not_tell_takes_no_pod_away() -> None:
    async def scenario() -> None:
        cluster, fleet = Cluster(), serverless()
        await cluster.deploy(fleet)
        demand(cluster, fleet, 15)
        await look(cluster, 3)
        assert pods(cluster, fleet) == 2
        demand(cluster, fleet, 0)
        cluster.agents[sorted(cluster.agents)[1]].away = True
        await look(cluster, 3 * BOUNDS.idle_after)
        assert pods(cluster, fleet) == 2
        cluster.agents[sorted(cluster.agents)[1]].away = False
        await look(cluster, BOUNDS.idle_after + 3)
        assert pods(cluster, fleet) == 0

    run(scenario())


def test_controller_that_starts_knows_that_the_fleet_may_sleep() -> None:
    async def scenario() -> None:
        cluster, fleet = Cluster(), serverless()
        await asleep(cluster, fleet)
        cluster.restart(controller=2)
        await cluster.turn(2)
        status = await cluster.status(fleet.id)
        assert status is not None and (status.desired, status.ready, pods(cluster, fleet)) == (1, 1, 0)
        demand(cluster, fleet, 1, 1, 5.0)
        await look(cluster)
        assert pods(cluster, fleet) == 1

    run(scenario())


def test_fleet_that_goes_still_answers_what_waits_for_it() -> None:
    async def scenario() -> None:
        cluster, fleet = Cluster(), serverless()
        await asleep(cluster, fleet)
        demand(cluster, fleet, 1, 1, 5.0)
        await cluster.target.ensure_fleet(serverless(generation=2), 2)
        await cluster.target.set_traffic(table("fraud", 2, {2: 10_000}))
        with pytest.raises(Transient, match="requests still wait"):
            await cluster.target.delete_fleet(fleet.id, 3)
        await look(cluster)
        assert pods(cluster, fleet) == 1
        assert all(len(agent.servers(fleet.id)) == 1 for agent in cluster.agents.values())
        demand(cluster, fleet, 0, 1)
        await cluster.target.delete_fleet(fleet.id, 3)
        assert cluster.deployments() == [fleet_name(serverless(generation=2).id)]

    run(scenario())


def test_fleet_that_goes_waits_no_longer_than_the_drain_timeout() -> None:
    async def scenario() -> None:
        cluster, fleet = Cluster(), serverless()
        await cluster.deploy(fleet)
        demand(cluster, fleet, 1, 1)
        await cluster.target.set_traffic(RouteTable("fraud", 2))
        with pytest.raises(Transient, match="requests still wait"):
            await cluster.target.delete_fleet(fleet.id, 3)
        await look(cluster, Settings().drain_timeout + 1)
        await cluster.target.delete_fleet(fleet.id, 3)
        assert cluster.deployments() == []

    run(scenario())


def test_controller_that_starts_lets_what_waits_for_a_fleet_be_answered_before_it_goes() -> None:
    async def scenario() -> None:
        cluster, fleet = Cluster(), serverless()
        await asleep(cluster, fleet)
        demand(cluster, fleet, 1, 1, 5.0)
        cluster.restart(controller=2)
        await cluster.target.view.refresh()
        cluster.target.gateways.take(cluster.target.view.gateways.values())
        await cluster.target.read_specs()
        await cluster.target.gateways.sync()
        await cluster.target.set_traffic(RouteTable("fraud", 2))
        with pytest.raises(Transient, match="requests still wait"):
            await cluster.target.delete_fleet(fleet.id, 3)

    run(scenario())


def test_fleet_without_a_record_goes_whatever_waits_for_it() -> None:
    async def scenario() -> None:
        cluster, fleet = Cluster(), serverless()
        await cluster.deploy(fleet)
        demand(cluster, fleet, 1, 1)
        cluster.restart(controller=2)
        await cluster.lifecycle.retire_unknown({"other"})
        await look(cluster, 3)
        assert cluster.deployments() == []

    run(scenario())


def test_gateway_that_cannot_hold_requests_serves_all_other_endpoints() -> None:
    async def scenario() -> None:
        cluster, other = Cluster(), fleet_spec(endpoint="zebra")
        await cluster.deploy(other)
        for agent in cluster.agents.values():
            agent.refuses = "fraud"
        await cluster.target.ensure_fleet(serverless(), 1)
        await cluster.target.ensure_fleet(replace(other, count=5), 2)
        await look(cluster, 3)
        assert [len(agent.servers(other.id)) for agent in cluster.agents.values()] == [5, 5]
        status = await cluster.status(serverless().id)
        assert status is not None and status.ready == 0

    run(scenario())


def test_number_that_somebody_else_set_is_reported_and_left() -> None:
    async def scenario() -> None:
        cluster, fleet = Cluster(), serverless()
        await asleep(cluster, fleet)
        cluster.server.edit("deployments", fleet_name(fleet.id), {"metadata": {}, "spec": {"replicas": 5}})
        demand(cluster, fleet, 1, 1, 5.0)
        await look(cluster, 3)
        assert pods(cluster, fleet) == 5
        status = await cluster.status(fleet.id)
        assert status is not None and status.serverless is None  # so the platform asks again, and is told
        with pytest.raises(ForeignChange, match=r"replicas is 5, tidegate had set 0"):
            await cluster.target.ensure_fleet(fleet, 2)

    run(scenario())


def test_count_of_zero_is_none_at_all() -> None:
    async def scenario() -> None:
        cluster, fleet = Cluster(), serverless()
        await cluster.deploy(fleet)
        await cluster.target.ensure_fleet(replace(fleet, count=0), 2)
        await look(cluster)
        status = await cluster.status(fleet.id)
        assert pods(cluster, fleet) == 0 and status is not None and status.desired == 0

    run(scenario())


def test_options_that_do_not_go_with_it_are_refused() -> None:
    route = replace(OPTIONS, http_route=HttpRoute("public"))
    scaled = replace(OPTIONS, autoscaling={"fraud": AutoscalingOptions("hpa", 1, 3)})
    for options, reason in ((route, "http_route"), (scaled, "autoscaling")):
        with pytest.raises(TargetRefused, match=reason):
            start_data(serverless(), Settings(), ImageTable(), options)
