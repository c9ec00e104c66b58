"""What people see with kubectl: the share in force, a condition, events, and who owns what."""

from datetime import UTC, datetime

import kubernetes_validate
import pytest

from tests.unit.targets.kubernetes.fleets import fleet_spec
from tests.unit.targets.kubernetes.memory_api_server import Object
from tests.unit.targets.kubernetes.target_harness import Cluster, run, table
from tidegate.targets.kubernetes.names import fleet_name

NAME = fleet_name(fleet_spec().id)


def events(cluster: Cluster) -> list[tuple[str, str, str]]:
    found = [one for (plural, _), one in cluster.server.objects.items() if plural == "events"]
    return [(one["involvedObject"]["name"], one["type"], one["reason"]) for one in found]


def condition(cluster: Cluster) -> Object:
    conditions = cluster.server.objects["deployments", NAME]["status"]["conditions"]
    return next(one for one in conditions if one["type"] == "TidegateHealthy")


async def look(cluster: Cluster) -> None:
    await cluster.turn()
    await cluster.target.observe("fraud")
    await cluster.lifecycle.show_fleets()


def test_share_condition_and_events_follow_what_is_observed() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        cluster.lifecycle.reports.now = lambda: datetime(2026, 1, 1, tzinfo=UTC)
        await cluster.deploy(fleet_spec())
        await look(cluster)
        deployment = cluster.server.objects["deployments", NAME]
        assert deployment["metadata"]["annotations"]["tidegate.io/traffic-share"] == "100%"
        assert (condition(cluster)["status"], condition(cluster)["reason"]) == ("True", "FleetHealthy")
        assert events(cluster) == [(NAME, "Normal", "TrafficShifted")]
        before = len(cluster.server.requests)
        await cluster.lifecycle.show_fleets()
        assert len(cluster.server.requests) == before, "nothing has changed"
        deployment["status"]["conditions"].append(
            {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: pods"}
        )
        await look(cluster)
        assert condition(cluster)["status"] == "False" and "exceeded quota" in condition(cluster)["message"]
        assert events(cluster)[-1] == (NAME, "Warning", "FleetUnhealthy")
        assert {one["type"] for one in deployment["status"]["conditions"]} == {"TidegateHealthy", "ReplicaFailure"}
        deployment["status"]["conditions"] = [condition(cluster)]
        await look(cluster)
        assert condition(cluster)["status"] == "True" and events(cluster)[-1] == (NAME, "Normal", "FleetHealthy")
        for (plural, _), one in cluster.server.objects.items():
            if plural == "events":
                event = {key: value for key, value in one.items() if not key.startswith("_")}
                event["metadata"] = {"name": event["metadata"]["name"]}
                kubernetes_validate.validate(event, "1.31", strict=True)

    run(scenario())


def test_next_controller_repeats_nothing() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        await cluster.deploy(fleet_spec())
        await look(cluster)
        before = events(cluster)
        cluster.restart(controller=2)
        await cluster.turn(2)
        await look(cluster)
        assert events(cluster) == before

    run(scenario())


def test_gateway_that_cannot_be_reached_is_an_event_of_the_gateways() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        await cluster.deploy(fleet_spec())
        await look(cluster)
        next(iter(cluster.agents.values())).away = True
        await look(cluster)
        assert events(cluster)[-1] == ("tidegate-gateway", "Warning", "GatewayUnreachable")
        next(iter(cluster.agents.values())).away = False
        await look(cluster)
        assert events(cluster)[-1] == ("tidegate-gateway", "Normal", "GatewaysReachable")

    run(scenario())


def test_role_of_an_earlier_version_shows_nothing_and_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        cluster = Cluster()
        cluster.server.forbidden = {("create", "events"), ("patch", "deployments/status"), ("patch", "pods")}
        await cluster.deploy(fleet_spec())
        for _ in range(3):
            await look(cluster)
        await cluster.target.set_traffic(table("fraud", 2, {1: 10_000}))
        assert (await cluster.target.observe("fraud")).routes == table("fraud", 2, {1: 10_000})

    run(scenario())
    said = [record.message for record in caplog.records if "what kubectl shows" in record.message]
    assert len(said) == len({"create events", "patch deployments/status"})


def test_what_serves_a_deployment_is_owned_by_it_and_its_secrets_are_not() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        await cluster.deploy(fleet_spec())
        uid = cluster.server.objects["deployments", NAME]["metadata"]["uid"]
        for plural in ("services", "poddisruptionbudgets"):
            [owner] = cluster.server.objects[plural, NAME]["metadata"]["ownerReferences"]
            assert (owner["kind"], owner["name"], owner["uid"]) == ("Deployment", NAME, uid)
        secrets = [one for (plural, name), one in cluster.server.objects.items() if plural == "secrets"]
        assert not any("ownerReferences" in one["metadata"] for one in secrets)

    run(scenario())
