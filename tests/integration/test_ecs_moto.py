"""The weights of the target at ECS against moto's load balancer, through botocore and HTTP.

moto keeps what a rule forwards to and routes nothing by it; its services of ECS never become ready."""

import asyncio
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from moto.server import ThreadedMotoServer

from tests.unit.targets.ecs.test_target import OPTIONS, table
from tidegate.domain.errors import TargetRefused
from tidegate.domain.fleet import FleetId
from tidegate.serving.contract.images import ImageTable
from tidegate.targets.aws.client import Calls, open_calls
from tidegate.targets.aws.ownership import owner_tags
from tidegate.targets.ecs.options import EcsOptions, group_name
from tidegate.targets.ecs.target import EcsTarget
from tidegate.targets.ecs.target_groups import FLEET, fleet_text
from tidegate.targets.ecs.task_definition import target_group

pytestmark = pytest.mark.slow


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name, value in (("ACCESS_KEY_ID", "AKIAEXAMPLE"), ("SECRET_ACCESS_KEY", "secret")):
        monkeypatch.setenv(f"AWS_{name}", value)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


async def listener(calls: Calls) -> dict[str, Any]:
    """The settings that name what a user has: a network and a load balancer."""
    network = (await calls.call("ec2", "CreateVpc", {"CidrBlock": "10.0.0.0/16"}))["Vpc"]["VpcId"]
    subnets = []
    for number, zone in enumerate(("eu-central-1a", "eu-central-1b")):
        members = {"VpcId": network, "CidrBlock": f"10.0.{number}.0/24", "AvailabilityZone": zone}
        subnets.append((await calls.call("ec2", "CreateSubnet", members))["Subnet"]["SubnetId"])
    made = await calls.call("elbv2", "CreateLoadBalancer", {"Name": "models", "Subnets": subnets})
    answer = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}
    members = {
        "LoadBalancerArn": made["LoadBalancers"][0]["LoadBalancerArn"],
        "Protocol": "HTTP",
        "Port": 80,
        "DefaultActions": [answer],
    }
    found = await calls.call("elbv2", "CreateListener", members)
    return {"vpc": network, "subnets": subnets, "listener": found["Listeners"][0]["ListenerArn"]}


def test_weights_fences_and_foreign_changes_on_a_load_balancer(address: str) -> None:
    async def play() -> None:
        settings = {**msgspec.to_builtins(OPTIONS), "endpoint_url": address}
        calls = open_calls(msgspec.convert(settings, EcsOptions))
        options = msgspec.convert({**settings, **await listener(calls)}, EcsOptions)
        await calls.call("ecs", "CreateCluster", {"clusterName": options.cluster})
        target = EcsTarget(calls, options, "id", ImageTable(), lambda name: None)
        groups = {}
        for generation in (1, 2):
            fleet = FleetId("fraud", generation, "AllTraffic")
            tags = {**owner_tags("id", "fraud"), FLEET: fleet_text(fleet)}
            members = target_group(options, group_name(fleet, "id"), tags)
            made = await calls.call("elbv2", "CreateTargetGroup", members)
            groups[generation] = made["TargetGroups"][0]["TargetGroupArn"]
        await target.set_traffic(table(1, g1=10_000))
        await target.set_traffic(table(2, g1=9000, g2=1000))
        assert (await target.observe("fraud")).routes == table(2, g1=9000, g2=1000)
        await target.set_traffic(table(1, g1=10_000))
        assert (await target.observe("fraud")).routes == table(2, g1=9000, g2=1000)

        rule = await target.rules.find("fraud")
        assert rule is not None and rule.shares == {groups[1]: 9000, groups[2]: 1000}
        weights = [{"TargetGroupArn": groups[one], "Weight": 1} for one in (1, 2)]
        action = {"Type": "forward", "ForwardConfig": {"TargetGroups": weights}}
        await calls.call("elbv2", "ModifyRule", {"RuleArn": rule.arn, "Actions": [action]})
        with pytest.raises(TargetRefused, match="was changed by somebody else"):
            await target.set_traffic(table(3, g1=8000, g2=2000))

    asyncio.run(play())
