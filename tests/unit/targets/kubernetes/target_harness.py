"""The real target over an API server and gateways in memory, on virtual time."""

import asyncio
import base64
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, TypeVar, cast

from lightkube import AsyncClient
from lightkube.config import client_adapter
from lightkube.config.kubeconfig import KubeConfig
from lightkube.config.models import Cluster as ApiServerAddress
from lightkube.config.models import User

from tests.loops.virtual_loop import VirtualLoop
from tests.memory_metrics import MemoryMetrics
from tests.unit.targets.kubernetes.memory_api_server import MemoryApiServer
from tests.unit.targets.kubernetes.memory_gateway import MemoryAgent
from tidegate.domain.fleet import FleetId, FleetSpec
from tidegate.domain.observation import FleetStatus
from tidegate.domain.traffic import RouteTable, build_route_table
from tidegate.host.installation import Installation
from tidegate.ports.router import DataPlane
from tidegate.ports.target import Provider
from tidegate.serving.contract.images import ImageTable
from tidegate.settings import Settings
from tidegate.targets.context import TargetContext
from tidegate.targets.kubernetes.agent_client import AgentClient
from tidegate.targets.kubernetes.api import KubeApi
from tidegate.targets.kubernetes.cluster_view import GatewayPod
from tidegate.targets.kubernetes.gateways import PROPAGATION, SETTLE
from tidegate.targets.kubernetes.lifecycle import KubernetesLifecycle
from tidegate.targets.kubernetes.options import KubernetesOptions
from tidegate.targets.kubernetes.provider import join
from tidegate.targets.kubernetes.target import KubernetesTarget

R = TypeVar("R")

OPTIONS = KubernetesOptions(image="tidegate:test", allow_unsigned=True, network_policies=False)
LONGEST = 3_600.0
"""Virtual seconds that a scenario may take."""


def run(scenario: Coroutine[Any, Any, R]) -> R:
    """Run to its end on virtual time."""
    loop = VirtualLoop(Random(1))
    try:
        task = loop.create_task(scenario)
        loop.run(LONGEST)
        assert task.done(), "the scenario did not come to an end"
        assert loop.errors == []
        return task.result()
    finally:
        loop.kill()
        loop.close()


def memory_api(server: MemoryApiServer) -> KubeApi:
    cluster, user = ApiServerAddress(server="http://cluster.example"), User(token="t")
    config = KubeConfig.from_one(cluster=cluster, user=user, namespace="ml").get()
    assert config is not None
    raw = client_adapter.AsyncClient(config, client_adapter.ConnectionParams(transport=server))  # type: ignore[arg-type]
    return KubeApi(AsyncClient(config, transport=server), raw, "ml", jitter=lambda: 0.5)


@dataclass
class Cluster:
    """``agents``: of the gateways' pods, by name; each is made when it is first asked."""

    server: MemoryApiServer = field(default_factory=MemoryApiServer)
    options: KubernetesOptions = OPTIONS
    agents: dict[str, MemoryAgent] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)
    state: Path = Path("/nonexistent")
    provider: Provider = field(init=False)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self, controller: int = 1) -> None:
        """Another controller, which knows nothing."""
        context = TargetContext(
            settings=Settings(),
            state=self.state,
            sockets=self.state,
            former_sockets=(),
            installation=Installation(self.state, "id"),
            data_plane=cast(DataPlane, None),
            history=MemoryMetrics(),
            images=ImageTable(),
            environment={},
            new_id=lambda kind: kind,
            changed=self.changed.append,
            fence=controller,
        )
        self.provider = join(context, self.options, memory_api(self.server))
        self.target.gateways.connect = self._connect

    def _connect(self, pod: GatewayPod, token: str) -> AgentClient:
        agent = self.agents.setdefault(pod.name, MemoryAgent())
        agent.token, agent.former = token, ()
        return cast(AgentClient, agent)

    def start_gateways(self) -> None:
        """Those that have just been made read their token as a pod does when it starts."""
        secret = self.server.objects["secrets", "tidegate-gateway-token"]
        for pod in self.server.pods("gateway"):
            agent = self.agents.setdefault(pod["metadata"]["name"], MemoryAgent())
            agent.known = agent.known or base64.b64decode(secret["data"]["token"]).decode()

    @property
    def target(self) -> KubernetesTarget:
        assert isinstance(self.provider.target, KubernetesTarget)
        return self.provider.target

    @property
    def lifecycle(self) -> KubernetesLifecycle:
        assert isinstance(self.provider.lifecycle, KubernetesLifecycle)
        return self.provider.lifecycle

    async def begin(self) -> None:
        """Until the first gateways take traffic."""
        await self.turn()
        await asyncio.sleep(SETTLE)
        await self.turn(2)
        await asyncio.sleep(PROPAGATION)

    async def turn(self, times: int = 1) -> None:
        """Looks at the cluster. Gateways are ready as soon as they have everything."""
        for _ in range(times):
            await self.lifecycle.turn()
            self.mark_gateways()

    def mark_gateways(self) -> None:
        for pod in self.server.pods("gateway"):
            agent = self.agents.get(pod["metadata"]["name"])
            ready = "True" if agent is not None and agent.synced else "False"
            pod["status"]["conditions"] = [{"type": "Ready", "status": ready}]

    async def deploy(self, fleet: FleetSpec, fence: int = 1, share: int = 10_000) -> None:
        """A fleet that serves alone."""
        await self.begin()
        await self.target.ensure_fleet(fleet, fence)
        await self.turn(3)
        await self.target.set_traffic(table(fleet.id.endpoint, fence, {fleet.id.generation: share}))

    async def status(self, fleet: FleetId) -> FleetStatus | None:
        fleets = (await self.target.observe(fleet.endpoint)).fleets
        assert fleets is not None
        return fleets.get(fleet)

    def deployments(self) -> list[str]:
        return sorted(
            name for plural, name in self.server.objects if plural == "deployments" and name[:3] == "tg-"
        )


def table(endpoint: str, fence: int, shares: dict[int, int]) -> RouteTable:
    """Generation -> basis points."""
    return build_route_table(
        endpoint, fence, [(generation, share, {"AllTraffic": 1.0}) for generation, share in shares.items()]
    )


async def until(condition: Callable[[], Awaitable[bool]], cluster: Cluster, turns: int = 60) -> None:
    for _ in range(turns):
        if await condition():
            return
        await cluster.turn()
    raise AssertionError("it did not come to pass")
