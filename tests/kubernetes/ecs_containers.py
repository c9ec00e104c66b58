"""The target at ECS with real containers: ministack is ECS, and podman runs its tasks, each from tidegate's image.

Simulated are the network that the containers of a task share (``ecs_network``), the load balancer (moto has its
state; the test process looks for healthy tasks, as their target group would, and routes by weights), CloudWatch,
and the circuit breaker of a service's first deployment. ministack and podman run on a machine of their own, so that
nothing of the containers or their network is left."""

import contextlib
import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml
from moto.server import ThreadedMotoServer

from tests.conformance.aws_credentials import ENVIRONMENT, REGION
from tests.conformance.aws_edge import AwsEdge
from tests.conformance.ecs_lab import EcsLab, Listener, connect, set_up
from tests.conformance.front_door import Forwarder, Reply, Request, front_door
from tests.integration.ministack import CLIENT, PROGRAM
from tests.kubernetes import image as images
from tests.kubernetes.cluster import network
from tests.kubernetes.cluster.control_plane import wait_for
from tests.kubernetes.cluster.machine import Machine
from tidegate.host.platform import Platform

GATEWAY = 4566
IMAGE = "localhost/tidegate:ecs"
PLACE = (
    "ministack's ECS, whose tasks podman runs as containers of tidegate's image, with moto's load balancer and a"
    " simulator of ours for its health checks, its routing by weight, CloudWatch and the circuit breaker of a new"
    " service"
)
LOOK_EVERY = 0.2
FAILURES = 3
"""Tasks of a service that ended before one was healthy, after which its circuit breaker opens."""
STARTING = 60.0
"""Seconds until ministack and podman must answer."""


class EcsMachine:
    """podman's Docker-compatible socket, and ministack that uses it."""

    def __init__(self, folder: Path, archive: Path) -> None:
        self.machine = Machine("ecs", folder / "ecs")
        self.addresses = network.connect_control_plane(self.machine)
        store = self.machine.folder
        settings = store / "containers.conf"
        settings.write_text(
            f"""
            [containers]
            default_ulimits = ["nofile=1024:4096", "nproc=4096:8192"]
            [engine]
            runtime = "runc"
            cgroup_manager = "cgroupfs"
            [network]
            firewall_driver = "none"
            default_subnet = "{self.addresses.pods(0)}"
            """
        )
        own = {"CONTAINERS_CONF": str(settings), "PODMAN_IGNORE_CGROUPSV1_WARNING": "1"}
        self.podman = (
            *("env", *(f"{name}={value}" for name, value in own.items())),
            *("podman", "--root", f"{store}/store", "--runroot", f"{store}/run"),
        )
        self.machine.do(*self.podman, "load", "--quiet", "--input", str(archive))
        self._make_image()
        subprocess.run(
            ["ip", "route", "add", self.addresses.pods(0), "via", self.addresses.control_plane], check=True
        )
        socket = f"unix://{store}/podman.sock"
        self.machine.start("podman", *self.podman, "system", "service", "--time", "0", socket)
        variables = {
            "DOCKER_HOST": socket,
            "BIND_HOST": "0.0.0.0",  # of a network of its own
            "GATEWAY_PORT": str(GATEWAY),
            "PATH": f"{CLIENT / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": str(Path(__file__).with_name("ecs_network")),
        }
        wait_for((store / "podman.sock").exists, "podman's socket", lambda: self.machine.log("podman"), STARTING)
        self.machine.start(
            "ministack", "env", *(f"{name}={value}" for name, value in variables.items()), str(PROGRAM)
        )
        wait_for(self._answers, "ministack", lambda: self.machine.log("ministack"), STARTING)

    def _make_image(self) -> None:
        """tidegate's image with the address of S3 and credentials, as a network and a role have them at AWS."""
        variables = {
            **ENVIRONMENT,
            "AWS_ENDPOINT_URL_S3": f"http://{self.address}",
            "AWS_REGION": REGION,
            "TIDEGATE_REPLICA": "task",
        }
        lines = [f"FROM {images.NAME}", *(f"ENV {name}={json.dumps(value)}" for name, value in variables.items())]
        with tempfile.TemporaryDirectory(prefix="tg-ecs-") as name:
            (Path(name) / "Containerfile").write_text("\n".join(lines))
            self.machine.do(*self.podman, "build", "--quiet", "--tag", IMAGE, name)

    def _answers(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"http://{self.address}/_ministack/health", timeout=1).status_code < 500
        return False

    @property
    def address(self) -> str:
        return f"{self.addresses.control_plane}:{GATEWAY}"

    def containers(self) -> list[str]:
        """Names of those that run."""
        listed = subprocess.run(
            self.machine.inside(*self.podman, "ps", "--format", "{{.Names}} {{.Image}}"),
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        return listed.splitlines()

    def close(self) -> None:
        with contextlib.suppress(subprocess.CalledProcessError):
            self.machine.do(*self.podman, "rm", "--all", "--force", "--time", "0")
        self.machine.kill()
        network.disconnect(self.addresses)


@dataclass
class ContainerTasks:
    """What a load balancer does with the tasks of a service: their addresses are ECS's, and whether their ping passes
    is asked here."""

    clients: Mapping[str, Any]
    healthy: dict[str, tuple[str, ...]] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    """Services whose circuit breaker is open."""
    troubles: list[str] = field(default_factory=list)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def end(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(LOOK_EVERY):
            try:
                self._look()
            except Exception as error:  # a thread's failure would be seen by nobody
                self.troubles.append(repr(error))

    def _look(self) -> None:
        ecs, balancer = self.clients["ecs"], self.clients["elbv2"]
        found: dict[str, tuple[str, ...]] = {}
        arns = ecs.list_services(cluster="models")["serviceArns"]
        for one in ecs.describe_services(cluster="models", services=arns)["services"] if arns else ():
            balanced, name = one["loadBalancers"][0], one["serviceName"]
            group, port = balanced["targetGroupArn"], balanced["containerPort"]
            places = [f"{ip}:{port}" for ip in self._addresses(name)]
            found[group] = tuple(place for place in places if _pings(place))
            if not found[group] and group not in self.healthy:
                stopped = ecs.list_tasks(cluster="models", serviceName=name, desiredStatus="STOPPED")["taskArns"]
                self.broken |= {name} if len(stopped) >= FAILURES else set()
        groups = {one["TargetGroupArn"] for one in balancer.describe_target_groups()["TargetGroups"]}
        for group in groups:
            before, now = set(self.healthy.get(group, ())), set(found.get(group, ()))
            for change, method in ((now - before, "register_targets"), (before - now, "deregister_targets")):
                if change:
                    targets = [{"Id": one.partition(":")[0], "Port": int(one.partition(":")[2])} for one in change]
                    getattr(balancer, method)(TargetGroupArn=group, Targets=targets)
        self.healthy = {
            group: addresses for group, addresses in found.items() if addresses or group in self.healthy
        }

    def _addresses(self, service: str) -> list[str]:
        ecs = self.clients["ecs"]
        arns = ecs.list_tasks(cluster="models", serviceName=service, desiredStatus="RUNNING")["taskArns"]
        tasks = ecs.describe_tasks(cluster="models", tasks=arns)["tasks"] if arns else []
        details = [part for one in tasks for each in one["attachments"] for part in each["details"]]
        return [str(part["value"]) for part in details if part["name"] == "privateIPv4Address"]

    def open_breakers(self, reply: Reply) -> Reply:
        """An answer of DescribeServices. ministack looks at no service's first deployment; here each has no other."""
        told = json.loads(reply.body)
        for one in [one for one in told.get("services", ()) if one["serviceName"] in self.broken]:
            reason = "ECS deployment circuit breaker: tasks failed to start."
            one["deployments"][0] |= {"rolloutState": "FAILED", "rolloutStateReason": reason}
        return Reply(reply.status, reply.headers, json.dumps(told).encode())


def _pings(place: str) -> bool:
    try:
        return httpx.get(f"http://{place}/ping", timeout=1).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


@contextlib.contextmanager
def container_lab(machine: EcsMachine, folder: Path) -> Iterator[EcsLab]:
    with contextlib.ExitStack() as stack:
        server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        server.start()
        stack.callback(server.stop)
        moto = "{}:{}".format(*server.get_host_and_port())
        places = {"ec2": moto, "elbv2": moto, **dict.fromkeys(("ecs", "s3", "logs"), machine.address)}
        clients = connect(places)
        settings = {**set_up(clients, folder), "image": IMAGE, "deadline": 60.0}
        tasks = ContainerTasks(clients)
        tasks.start()
        stack.callback(tasks.end)
        forward = stack.enter_context(Forwarder())

        def ask_ecs(request: Request) -> Reply | None:
            if not request.headers.get("x-amz-target", "").endswith(".DescribeServices"):
                return None
            return tasks.open_breakers(forward.send(machine.address, request))

        places_of_services = {"elasticloadbalancing": lambda one: forward.send(moto, one), "ecs": ask_ecs}
        edge = AwsEdge(machine.address, forward, places_of_services)
        url = stack.enter_context(front_door(edge.answer))
        targets = folder / "targets.yaml"
        targets.write_text(yaml.safe_dump({"ecs": {**settings, "endpoint_url": url}}))
        own = {
            "TIDEGATE_TARGETS": str(targets),
            "TIDEGATE_TRUST": "code",
            "TIDEGATE_CONTAINERS": "localhost/*",
            "TIDEGATE_REGION": REGION,
            **ENVIRONMENT,
        }
        platform = stack.enter_context(Platform(environment=own))
        listener = Listener(clients["elbv2"], settings["listener"], tasks, edge, forward)  # type: ignore[arg-type]
        door = stack.enter_context(front_door(listener.answer))
        yield EcsLab(platform, edge, tasks, clients, door)  # type: ignore[arg-type]
        assert tasks.troubles == []
