"""The target at ECS. moto has the state of ECS and of the load balancer; tasks and the listener are a simulator's."""

import contextlib
import http.client
import itertools
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import yaml
from moto.server import ThreadedMotoServer

from tests.conformance.aws_credentials import ENVIRONMENT, KEY, REGION, SECRET
from tests.conformance.aws_edge import AwsEdge
from tests.conformance.ecs_tasks import EcsTasks
from tests.conformance.front_door import Forwarder, Reply, Request, front_door
from tests.conformance.lab import Load
from tests.conformance.local_lab import http_load
from tests.conformance.model_package import IMAGE, environment, write_package
from tidegate.host.platform import Platform

logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for every call
BALANCER = "AWS/ApplicationELB"
RULES_AGE = 0.05
"""Seconds for which the listener may use old rules."""
PLACE = (
    "moto's ECS and load balancer, with a simulator of ours for the tasks (worker processes in place of containers),"
    " for the listener's routing by weight and for CloudWatch"
)


@dataclass
class Listener:
    """Routes requests by moto's rules to healthy tasks, and counts them as a load balancer does."""

    balancer: Any
    arn: str
    tasks: EcsTasks
    edge: AwsEdge
    forward: Forwarder
    _turn: Iterator[int] = field(default_factory=itertools.count)
    _rules: list[dict[str, Any]] = field(default_factory=list)
    _read_at: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, request: Request) -> Reply:
        group = self._choose(request.path)
        addresses = self.tasks.healthy.get(group, ())
        if not addresses:
            return Reply(503, {}, b"no healthy target")
        began = time.monotonic()
        path = "/" + request.path.split("/", 3)[3]
        asked = Request(request.method, path, request.headers, request.body)
        try:
            reply = self.forward.send(addresses[next(self._turn) % len(addresses)], asked)
        except (OSError, http.client.HTTPException) as error:
            self.tasks.troubles.append(f"{addresses}: {error!r}")
            return Reply(502, {}, repr(error).encode())
        self._count(group, reply.status, time.monotonic() - began)
        return reply

    def _choose(self, path: str) -> str:
        """ARN of a target group; empty if no rule forwards the path."""
        with self._lock:
            if time.monotonic() - self._read_at > RULES_AGE:
                self._rules = self.balancer.describe_rules(ListenerArn=self.arn)["Rules"]
                self._read_at = time.monotonic()
            rules = self._rules
        pattern = "/".join([*path.split("/")[:3], "*"])
        for rule in rules:
            if any(one["PathPatternConfig"]["Values"] == [pattern] for one in rule["Conditions"]):
                groups = rule["Actions"][0]["ForwardConfig"]["TargetGroups"]
                weights = [int(group["Weight"]) for group in groups]
                return str(random.choices(groups, weights)[0]["TargetGroupArn"]) if any(weights) else ""
        return ""

    def _count(self, group: str, status: int, seconds: float) -> None:
        balancer = "/".join(self.arn.partition(":listener/")[2].split("/")[:-1])
        dimensions = {"LoadBalancer": balancer, "TargetGroup": group.rpartition(":")[2]}
        self.edge.metrics.put(BALANCER, "RequestCount", dimensions, 1)
        self.edge.metrics.put(BALANCER, "TargetResponseTime", dimensions, seconds)
        if status >= 400:
            self.edge.metrics.put(BALANCER, f"HTTPCode_Target_{status // 100}XX_Count", dimensions, 1)


def _packaged_model(version: str) -> dict[str, Any]:
    return {"image": IMAGE, "data": "s3://models/model.tar.gz", "environment": dict(environment(version))}


@dataclass
class EcsLab:
    platform: Platform
    edge: AwsEdge
    tasks: EcsTasks
    clients: Mapping[str, Any]
    door: str
    target: str = "ecs"
    patience: float = 120.0
    differences: Mapping[str, str] = field(default_factory=dict)
    make_model: Callable[[str], dict[str, Any]] = _packaged_model

    def model(self, version: str) -> dict[str, Any]:
        return self.make_model(version)

    def load(self, endpoint: str) -> contextlib.AbstractContextManager[Load]:
        return http_load(self.door, endpoint)

    def away(self) -> contextlib.AbstractContextManager[None]:
        return self.edge.cut_off()

    def left(self, endpoint: str) -> list[str]:
        ecs, balancer = self.clients["ecs"], self.clients["elbv2"]
        services = ecs.describe_services(cluster="models", services=_services(ecs, endpoint))["services"]
        found = [one["serviceName"] for one in services if one["status"] != "INACTIVE"]
        return found + [one["TargetGroupName"] for one in balancer.describe_target_groups()["TargetGroups"]]


def _services(ecs: Any, endpoint: str) -> list[str]:
    arns = ecs.list_services(cluster="models")["serviceArns"]
    mine = [arn for arn in arns if arn.rpartition("/")[2].startswith(f"tidegate-{endpoint}-")]
    return mine or [f"tidegate-{endpoint}-0-none"]


def connect(places: Mapping[str, str]) -> dict[str, Any]:
    """A client for each service, by its name; ``places``: HOST:PORT of what stands in for it."""
    return {
        name: boto3.client(
            name,
            endpoint_url=f"http://{place}",
            region_name=REGION,
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
        )
        for name, place in places.items()
    }


@contextlib.contextmanager
def ecs_lab(folder: Path) -> Iterator[EcsLab]:
    with contextlib.ExitStack() as stack:
        server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        server.start()
        stack.callback(server.stop)
        moto = "{}:{}".format(*server.get_host_and_port())
        clients = connect(dict.fromkeys(("ec2", "ecs", "elbv2", "s3", "logs"), moto))
        settings = set_up(clients, folder)
        variables = {"AWS_ENDPOINT_URL_S3": f"http://{moto}", "AWS_REGION": REGION}
        tasks = EcsTasks(clients["elbv2"], folder, variables)
        tasks.start()
        stack.callback(tasks.end)
        forward = stack.enter_context(Forwarder())
        edge = AwsEdge(moto, forward)
        url = stack.enter_context(front_door(edge.answer))
        targets = folder / "targets.yaml"
        targets.write_text(yaml.safe_dump({"ecs": {**settings, "endpoint_url": url}}))
        own = {
            "TIDEGATE_TARGETS": str(targets),
            "TIDEGATE_TRUST": "code",
            "TIDEGATE_REGION": REGION,
            "TIDEGATE_S3_ENDPOINT": f"http://{moto}",
            **ENVIRONMENT,
        }
        platform = stack.enter_context(Platform(environment=own))
        listener = Listener(clients["elbv2"], settings["listener"], tasks, edge, forward)
        door = stack.enter_context(front_door(listener.answer))
        yield EcsLab(platform, edge, tasks, clients, door)
        assert tasks.troubles == []


def set_up(clients: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """What a user has before: a network, a load balancer, a cluster, a bucket. Returns the settings that name it."""
    ec2, balancer = clients["ec2"], clients["elbv2"]
    network = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=network, CidrBlock=f"10.0.{number}.0/24", AvailabilityZone=f"{REGION}{zone}")
        for number, zone in enumerate("ab")
    ]
    names = [one["Subnet"]["SubnetId"] for one in subnets]
    group = ec2.create_security_group(GroupName="tasks", Description="tasks", VpcId=network)["GroupId"]
    made = balancer.create_load_balancer(Name="models", Subnets=names)["LoadBalancers"][0]
    answer = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}
    listener = balancer.create_listener(
        LoadBalancerArn=made["LoadBalancerArn"], Protocol="HTTP", Port=80, DefaultActions=[answer]
    )["Listeners"][0]["ListenerArn"]
    clients["ecs"].create_cluster(clusterName="models")
    clients["logs"].create_log_group(logGroupName="/tidegate/ecs")
    place = {"LocationConstraint": REGION}
    clients["s3"].create_bucket(Bucket="models", CreateBucketConfiguration=place)
    clients["s3"].upload_file(str(write_package(folder)), "models", "model.tar.gz")
    return {
        "region": REGION,
        "cluster": "models",
        "image": f"123456789012.dkr.ecr.{REGION}.amazonaws.com/tidegate:1",
        "execution_role": "arn:aws:iam::123456789012:role/execution",
        "listener": listener,
        "vpc": network,
        "subnets": names,
        "security_groups": [group],
        "metric_period": 1,
        "metric_delay": 2,
        "deadline": 5.0,
    }
