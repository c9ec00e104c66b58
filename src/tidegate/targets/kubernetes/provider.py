"""All that the Kubernetes target supplies, the logs of pods among it: of pods that are there, and as much as a node
has not rotated away.
"""

import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from tidegate.domain.errors import StartupError, TidegateError
from tidegate.domain.evidence import OF_TRAFFIC
from tidegate.domain.fleet import FleetId
from tidegate.domain.observation import SAGEMAKER_CAPABILITIES, TIDEGATE_CAPABILITIES, Capabilities
from tidegate.ports.logs import LogLines, LogStream, ReplicaLog
from tidegate.ports.target import Options, Provider
from tidegate.settings import Settings
from tidegate.targets.collection.collector import Collector
from tidegate.targets.collection.coverage import CoverageTracker
from tidegate.targets.collection.sources import ReplicaUsage
from tidegate.targets.collection.worker_evidence import WorkerEvidence
from tidegate.targets.collection.worker_http import WorkerConnections
from tidegate.targets.containers import file_roots
from tidegate.targets.context import TargetContext
from tidegate.targets.kubernetes.api import KubeApi, connect
from tidegate.targets.kubernetes.cluster_reports import ClusterReports
from tidegate.targets.kubernetes.cluster_view import ClusterView
from tidegate.targets.kubernetes.endpoint_objects import EndpointObjects
from tidegate.targets.kubernetes.gateways import Gateways
from tidegate.targets.kubernetes.leader_lease import LeaderLease
from tidegate.targets.kubernetes.lifecycle import KubernetesLifecycle
from tidegate.targets.kubernetes.model_store import ModelStore
from tidegate.targets.kubernetes.on_demand import OnDemandFleets
from tidegate.targets.kubernetes.options import KubernetesOptions, read_options
from tidegate.targets.kubernetes.route_objects import QueueRoutes, RouteObjects
from tidegate.targets.kubernetes.target import KubernetesTarget
from tidegate.targets.kubernetes.transform_jobs import KubernetesTransforms
from tidegate.targets.refused_jobs import RefusedRecommendations

ENDPOINTS = "/aws/sagemaker/Endpoints/"
MOST_LINES = 10_000
"""Lines of one pod that are read."""


@dataclass
class PodLogs:
    """The ``Logs`` port. A stream is a pod; its offsets are numbers of lines, and so is its size."""

    api: KubeApi
    view: ClusterView
    _sizes: dict[str, int] = field(default_factory=dict)
    """Lines of each stream when it was read last."""
    _created: dict[str, float] = field(default_factory=dict)

    async def tail(self, endpoint: str, lines: int) -> Sequence[ReplicaLog]:
        return [
            ReplicaLog(fleet.generation, fleet.variant, pod, tuple(await self.api.log(pod, lines)))
            for fleet, pod in self._pods()
            if fleet.endpoint == endpoint
        ]

    async def groups(self) -> Sequence[str]:
        return sorted({ENDPOINTS + fleet.endpoint for fleet, _ in self._pods()})

    async def streams(self, group: str) -> Sequence[LogStream]:
        return sorted(
            (self._stream(fleet, pod) for fleet, pod in self._pods() if ENDPOINTS + fleet.endpoint == group),
            key=lambda stream: stream.name,
        )

    async def read(self, group: str, stream: str, offset: int | None, limit: int) -> LogLines | None:
        found = next((pod for fleet, pod in self._pods() if self._is(fleet, pod, group, stream)), None)
        if found is None:
            return None
        lines = await self.api.log(found, MOST_LINES)
        self._sizes[found] = len(lines)
        begin = max(0, len(lines) - limit) if offset is None else offset if offset <= len(lines) else 0
        shown = tuple(lines[begin : begin + limit])
        shape = next(one for one in await self.streams(group) if one.name == stream)
        return LogLines(shape, shown, begin + len(shown))

    def _is(self, fleet: FleetId, pod: str, group: str, stream: str) -> bool:
        return ENDPOINTS + fleet.endpoint == group and f"{fleet.variant}/{pod}" == stream

    def _stream(self, fleet: FleetId, pod: str) -> LogStream:
        created = self._created.setdefault(pod, time.time())
        return LogStream(f"{fleet.variant}/{pod}", created, time.time(), self._sizes.get(pod, 0))

    def _pods(self) -> list[tuple[FleetId, str]]:
        """Return the pods of all fleets by generation, the newest last."""
        found = [(fleet, pod) for fleet, view in self.view.fleets.items() for pod in view.pods]
        return sorted(found, key=lambda one: (one[0].generation, one[1]))


def provide_kubernetes(context: TargetContext) -> Provider:
    """Assemble the target ``kubernetes`` from its settings. It does not call the cluster yet. Raises StartupError."""
    options = read_options(context.options)
    return join(context, options, connect(options))


async def reaches_kubernetes(given: Options) -> bool:
    """Whether the API server answers here."""
    try:
        api = connect(read_options(given))
    except StartupError:
        return False
    try:
        await api.version()
    except TidegateError:
        return False
    finally:
        await api.close()
    return True


def join(context: TargetContext, options: KubernetesOptions, api: KubeApi) -> Provider:
    settings = context.settings
    view = ClusterView(api, options, context.changed)
    target = KubernetesTarget(
        *(api, view, settings, context.images, options, capabilities(settings, options), context.changed)
    )
    lease = LeaderLease(api, options.installation, context.fence, socket.gethostname())
    lifecycle = KubernetesLifecycle(target, lease, ClusterReports(api))
    target.gateways = Gateways(
        controller=context.fence,
        token=lambda: lifecycle.token,
        plan=target.plan,
        endpoints=target.endpoints,
        adopted=target.adopt,
    )
    target.model_store = ModelStore(options, file_roots(settings), settings.s3_endpoint, settings.region)
    target.queue = QueueRoutes(context.data_plane, target.plan)
    target.routes = RouteObjects(api, options) if options.http_route is not None else None
    target.on_demand = OnDemandFleets(
        api, view, target.gateways, target.specs, target.ready_count, float(settings.drain_timeout)
    )
    coverage = CoverageTracker(context.state / "coverage-kubernetes.json")
    passed = target.gateways.passed
    transforms = KubernetesTransforms(api, context.shards, settings, context.images, options, target.model_store)
    collector = Collector(target, context.history, passed, WorkerConnections().get, no_usage, coverage)
    return Provider(
        target=target,
        fleets=transforms,
        lifecycle=lifecycle,
        evidence=WorkerEvidence(target, collector),
        logs=PodLogs(api, view),
        runners=transforms,
        runs_transforms=options.jobs is not None,
        recommenders=RefusedRecommendations(target.name),
        resources=EndpointObjects(api, target.name) if options.endpoint_resources else None,
        cut_off=view.cut_off,
        trouble=lifecycle.trouble,
    )


def capabilities(settings: Settings, options: KubernetesOptions) -> Capabilities:
    """Return the capabilities of the local target, whose router is the same, without those that need this machine.
    Behind a Gateway of the cluster, those that need that router are missing, too."""
    own = options.http_route is None
    chosen = SAGEMAKER_CAPABILITIES if settings.fidelity == "aws" else TIDEGATE_CAPABILITIES
    chosen = replace(chosen, devices=False, keeps_models=False, compares=chosen.compares & set(OF_TRAFFIC))
    return replace(chosen, quotas=settings.quotas, serverless=own, shadow=own, admission=own, sticks=False)


def no_usage(pids: object) -> dict[int, ReplicaUsage]:
    """Processor and memory of pods are the cluster's to measure."""
    return {}
