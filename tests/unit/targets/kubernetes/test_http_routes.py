"""Rollouts behind a Gateway of the cluster, over an API server in memory; its controller is a function here."""

import json
from dataclasses import replace

import pytest

from tests.unit.targets.kubernetes.fleets import fleet_spec
from tests.unit.targets.kubernetes.memory_api_server import GROUPS, Object
from tests.unit.targets.kubernetes.memory_gateway import MemoryAgent
from tests.unit.targets.kubernetes.target_harness import OPTIONS, Cluster, run, table
from tidegate.domain.asynchronous import AsyncConfig
from tidegate.domain.errors import TargetRefused, Transient
from tidegate.domain.traffic import RouteTable
from tidegate.serving.contract.images import ImageTable
from tidegate.settings import Settings
from tidegate.targets.kubernetes.api_errors import ForeignChange
from tidegate.targets.kubernetes.gateway_manifests import network_policies
from tidegate.targets.kubernetes.http_route import GATEWAY_API
from tidegate.targets.kubernetes.names import PREDICTIONS, endpoint_name, fleet_name
from tidegate.targets.kubernetes.options import HttpRoute
from tidegate.targets.kubernetes.pod_template import worker_template
from tidegate.targets.kubernetes.start_data import start_data

NAME = endpoint_name("fraud")


def accept(route: Object, accepted: str = "True") -> None:
    """As a gateway's controller does once its proxies have the route."""
    conditions = [
        {"type": "Accepted", "status": accepted, "reason": "NoMatchingListener"},
        {"type": "ResolvedRefs", "status": "True"},
    ]
    told = [{**one, "observedGeneration": route["metadata"]["generation"]} for one in conditions]
    route["status"] = {"parents": [{"parentRef": dict(route["spec"]["parentRefs"][0]), "conditions": told}]}


def cluster_with_gateway() -> Cluster:
    cluster = Cluster(options=replace(OPTIONS, http_route=HttpRoute("public", "edge")))
    cluster.server.groups = (*GROUPS, GATEWAY_API)
    cluster.server.routed = accept
    return cluster


def weights(cluster: Cluster) -> dict[str, int]:
    rule = cluster.server.objects["httproutes", NAME]["spec"]["rules"][-1]
    return {backend["name"]: backend["weight"] for backend in rule["backendRefs"]}


async def both(cluster: Cluster) -> None:
    """Two versions, of which the first has all traffic."""
    await cluster.turn()
    for generation in (1, 2):
        await cluster.target.ensure_fleet(fleet_spec(generation=generation), generation)
    await cluster.turn(2)
    await cluster.target.set_traffic(table("fraud", 3, {1: 10_000}))


def test_weights_move_by_the_route_and_fleets_need_no_gateway_of_tidegate() -> None:
    async def scenario() -> None:
        cluster = cluster_with_gateway()
        await both(cluster)
        old, new = (fleet_name(fleet_spec(generation=each).id) for each in (1, 2))
        status = await cluster.status(fleet_spec(generation=2).id)
        assert status is not None and status.ready == 2 and cluster.server.pods("gateway") == []
        wanted = table("fraud", 4, {1: 9_000, 2: 1_000})
        await cluster.target.set_traffic(wanted)
        assert weights(cluster) == {old: 9_000, new: 1_000}
        assert (await cluster.target.observe("fraud")).routes == wanted
        await cluster.target.set_traffic(table("fraud", 3, {1: 10_000}))  # a late one
        assert (await cluster.target.observe("fraud")).routes == wanted
        with pytest.raises(Transient, match="still has routes"):
            await cluster.target.delete_fleet(fleet_spec(generation=1).id, 9)
        await cluster.target.set_traffic(table("fraud", 5, {2: 10_000}))
        await cluster.target.delete_fleet(fleet_spec(generation=1).id, 9)
        assert cluster.deployments() == [new]
        await cluster.target.set_traffic(RouteTable("fraud", 6))
        assert ("httproutes", NAME) not in cluster.server.objects
        assert (await cluster.target.observe("fraud")).routes == RouteTable("fraud", 0)

    run(scenario())


def test_route_is_in_force_only_once_its_gateway_has_accepted_the_last_change() -> None:
    async def scenario() -> None:
        cluster = cluster_with_gateway()
        await both(cluster)
        cluster.server.routed = lambda route: None
        with pytest.raises(Transient, match="public has not seen the last change"):
            await cluster.target.set_traffic(table("fraud", 4, {2: 10_000}))
        assert (await cluster.target.observe("fraud")).routes is None
        accept(cluster.server.objects["httproutes", NAME], "False")
        assert (await cluster.target.observe("fraud")).routes is None
        with pytest.raises(Transient, match=r"does not take HTTPRoute .* \(Accepted\): NoMatchingListener"):
            await cluster.target.set_traffic(table("fraud", 4, {2: 10_000}))
        accept(cluster.server.objects["httproutes", NAME])
        assert (await cluster.target.observe("fraud")).routes == table("fraud", 4, {2: 10_000})
        del cluster.server.objects["httproutes", NAME]["status"]
        assert (await cluster.target.observe("fraud")).routes is None

    run(scenario())


def test_weights_that_somebody_else_set_are_seen_reported_and_left() -> None:
    async def scenario() -> None:
        cluster = cluster_with_gateway()
        await both(cluster)
        await cluster.target.set_traffic(table("fraud", 4, {1: 5_000, 2: 5_000}))
        spec: Object = cluster.server.objects["httproutes", NAME]["spec"]
        rules = [{**one, "backendRefs": [dict(each) for each in one["backendRefs"]]} for one in spec["rules"]]
        for backend, weight in zip(rules[-1]["backendRefs"], (9_000, 1_000), strict=True):
            backend["weight"] = weight
        cluster.server.edit("httproutes", NAME, {"metadata": {}, "spec": {"rules": rules}})
        seen = (await cluster.target.observe("fraud")).routes
        assert seen is not None and [route.share for route in seen.routes] == [9_000, 1_000]
        with pytest.raises(ForeignChange, match="was changed by somebody else"):
            await cluster.target.set_traffic(table("fraud", 5, {2: 10_000}))
        assert [one["weight"] for one in rules[-1]["backendRefs"]] == list(weights(cluster).values())
        cluster.server.edit("httproutes", NAME, {"metadata": {}, "spec": {"rules": [{"matches": [{}]}]}})
        assert (await cluster.target.observe("fraud")).routes is None

    run(scenario())


def test_later_controller_goes_on_from_the_route_and_removes_what_has_no_record() -> None:
    async def scenario() -> None:
        cluster = cluster_with_gateway()
        await both(cluster)
        cluster.restart(controller=2)
        await cluster.begin()
        assert (await cluster.target.observe("fraud")).routes == table("fraud", 3, {1: 10_000})
        cluster.restart(controller=3)
        await cluster.lifecycle.retire_unknown({"other"})
        await cluster.begin()
        assert cluster.deployments() == [] and ("httproutes", NAME) not in cluster.server.objects

    run(scenario())


def test_cluster_without_the_api_and_a_route_of_somebody_else_are_refused() -> None:
    async def scenario() -> None:
        cluster = cluster_with_gateway()
        cluster.server.groups = GROUPS
        with pytest.raises(TargetRefused, match="has no Gateway API"):
            await cluster.target.set_traffic(table("fraud", 1, {1: 10_000}))
        cluster.server.objects["httproutes", NAME] = {"metadata": {"name": NAME, "labels": {}}, "spec": {}}
        with pytest.raises(TargetRefused, match="is not this tidegate's"):
            await cluster.target.set_traffic(table("fraud", 1, {1: 10_000}))

    run(scenario())


def admitted(policies: list[Object], labels: dict[str, str]) -> list[Object] | None:
    """Who may send predictions to a pod with these labels; None: everybody."""
    found: list[Object] = []
    selecting = [one for one in policies if selects(one["spec"]["podSelector"], labels)]
    for rule in (rule for one in selecting for rule in one["spec"]["ingress"]):
        if all(port["port"] != PREDICTIONS for port in rule["ports"]):
            continue
        if not rule.get("from"):
            return None
        found += rule["from"]
    return found if selecting else None


def selects(selector: Object, labels: dict[str, str]) -> bool:
    absent = [one["key"] for one in selector.get("matchExpressions", ()) if one["operator"] == "DoesNotExist"]
    assert len(absent) == len(selector.get("matchExpressions", ())), "an operator that this does not know"
    return selector["matchLabels"].items() <= labels.items() and not labels.keys() & set(absent)


@pytest.mark.parametrize("routed", [True, False])
def test_workers_of_the_queue_are_closed_to_everybody_but_the_controller_also_behind_a_gateway_of_the_cluster(
    routed: bool,
) -> None:
    options = replace(OPTIONS, network_policies=True, http_route=HttpRoute("public") if routed else None)
    settings, spec = Settings(access_keys={"AKIA": "secret"}), fleet_spec()
    queued = replace(spec, variant=replace(spec.variant, asynchronous=AsyncConfig("s3://data/out")))
    assert json.loads(start_data(queued, settings, ImageTable(), options))["keys_file"] is None
    policies = network_policies(options)
    labels = worker_template(queued, settings, options, "s", "d")["metadata"]["labels"]
    callers = admitted(policies, labels)
    assert callers is not None
    names = {one["podSelector"]["matchLabels"]["app.kubernetes.io/component"] for one in callers}
    assert names <= {"controller", "gateway"} and "controller" in names
    labels = worker_template(spec, settings, options, "s", "d")["metadata"]["labels"]
    assert (admitted(policies, labels) is None) is routed  # these verify signatures themselves


def test_no_moment_of_a_switch_leaves_workers_of_the_queue_open() -> None:
    """Policies are applied one by one, over those of the other mode, and none is removed."""
    options = replace(OPTIONS, network_policies=True)
    spec = fleet_spec()
    queued = replace(spec, variant=replace(spec.variant, asynchronous=AsyncConfig("s3://data/out")))
    labels = worker_template(queued, Settings(), options, "s", "d")["metadata"]["labels"]
    there = {one["metadata"]["name"]: one for one in network_policies(options)}
    for following in (replace(options, http_route=HttpRoute("public")), options):
        for policy in network_policies(following):
            there[policy["metadata"]["name"]] = policy
            assert admitted(list(there.values()), labels) is not None


async def switched() -> tuple[Cluster, list[MemoryAgent]]:
    """A version serves through tidegate's own gateways, which are left there by a controller with ``http_route``."""
    cluster = Cluster()
    await cluster.deploy(fleet_spec(generation=1))
    assert len(cluster.agents) == 2
    cluster.options = replace(OPTIONS, http_route=HttpRoute("public", "edge"))
    cluster.server.groups = (*GROUPS, GATEWAY_API)
    cluster.server.routed = accept
    cluster.restart(controller=2)
    await cluster.turn(3)
    return cluster, list(cluster.agents.values())


def test_gateways_that_are_left_after_a_switch_follow_the_routes_of_the_cluster() -> None:
    async def scenario() -> None:
        cluster, agents = await switched()
        await cluster.target.set_traffic(table("fraud", 1, {1: 10_000}))
        await cluster.target.ensure_fleet(fleet_spec(generation=2), 2)
        await cluster.turn(2)
        wanted = table("fraud", 3, {2: 10_000})
        await cluster.target.set_traffic(wanted)
        assert [agent.plans["fraud"].table for agent in agents] == [wanted, wanted]
        assert (await cluster.target.observe("fraud")).routes == wanted
        await cluster.target.delete_fleet(fleet_spec(generation=1).id, 4)
        assert [agent.servers(fleet_spec(generation=1).id) for agent in agents] == [set(), set()]
        await cluster.target.set_traffic(RouteTable("fraud", 5))
        assert all("fraud" not in agent.plans or not agent.plans["fraud"].table.routes for agent in agents)
        assert (await cluster.target.observe("fraud")).routes == RouteTable("fraud", 0)

    run(scenario())


def test_version_that_a_left_gateway_still_routes_to_is_not_deleted() -> None:
    async def scenario() -> None:
        cluster, agents = await switched()
        await cluster.target.ensure_fleet(fleet_spec(generation=2), 2)
        await cluster.turn(2)
        agents[1].away = True
        with pytest.raises(Transient):
            await cluster.target.set_traffic(table("fraud", 3, {2: 10_000}))
        assert weights(cluster)[fleet_name(fleet_spec(generation=2).id)] == 10_000
        assert (await cluster.target.observe("fraud")).routes is None  # the one that is away may have the old ones
        with pytest.raises(Transient):
            await cluster.target.delete_fleet(fleet_spec(generation=1).id, 4)
        cluster.restart(controller=3)
        await cluster.turn(3)
        with pytest.raises(Transient):
            await cluster.target.delete_fleet(fleet_spec(generation=1).id, 4)
        agents[1].away = False
        await cluster.turn(2)
        assert len(cluster.deployments()) == 2

        await cluster.target.set_traffic(table("fraud", 3, {2: 10_000}))
        await cluster.target.delete_fleet(fleet_spec(generation=1).id, 4)
        assert cluster.deployments() == [fleet_name(fleet_spec(generation=2).id)]

    run(scenario())


def test_gateways_that_were_removed_after_a_switch_hold_nothing_up() -> None:
    async def scenario() -> None:
        cluster, _ = await switched()
        await cluster.target.set_traffic(table("fraud", 1, {1: 10_000}))
        for kind, name in list(cluster.server.objects):
            if "gateway" in name and kind in ("deployments", "pods"):
                del cluster.server.objects[kind, name]
        await cluster.target.ensure_fleet(fleet_spec(generation=2), 2)
        await cluster.turn(2)
        assert cluster.target.gateways.known == {}
        wanted = table("fraud", 3, {2: 10_000})
        await cluster.target.set_traffic(wanted)
        assert (await cluster.target.observe("fraud")).routes == wanted
        await cluster.target.delete_fleet(fleet_spec(generation=1).id, 4)
        assert cluster.deployments() == [fleet_name(fleet_spec(generation=2).id)]

    run(scenario())
