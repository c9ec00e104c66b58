"""All that the Kubernetes target supplies."""

import socket
from dataclasses import replace

from tidegate.domain.errors import StartupError, TidegateError
from tidegate.domain.evidence import OF_TRAFFIC
from tidegate.domain.observation import SAGEMAKER_CAPABILITIES, TIDEGATE_CAPABILITIES, Capabilities
from tidegate.ports.target import Options, Provider
from tidegate.settings import Settings
from tidegate.targets.collection.collector import Collector
from tidegate.targets.collection.coverage import CoverageTracker
from tidegate.targets.collection.sources import Usage
from tidegate.targets.collection.worker_evidence import WorkerEvidence
from tidegate.targets.collection.worker_http import WorkerConnections
from tidegate.targets.containers import file_roots
from tidegate.targets.context import TargetContext
from tidegate.targets.kubernetes.api import KubeApi, connect
from tidegate.targets.kubernetes.cluster_reports import ClusterReports
from tidegate.targets.kubernetes.cluster_view import ClusterView
from tidegate.targets.kubernetes.gateways import Gateways
from tidegate.targets.kubernetes.leader_lease import LeaderLease
from tidegate.targets.kubernetes.lifecycle import KubernetesLifecycle
from tidegate.targets.kubernetes.logs import PodLogs
from tidegate.targets.kubernetes.model_store import ModelStore
from tidegate.targets.kubernetes.on_demand import OnDemandFleets
from tidegate.targets.kubernetes.options import KubernetesOptions, read_options
from tidegate.targets.kubernetes.queue_routes import QueueRoutes
from tidegate.targets.kubernetes.route_objects import RouteObjects
from tidegate.targets.kubernetes.target import KubernetesTarget
from tidegate.targets.kubernetes.transform_jobs import KubernetesTransforms
from tidegate.targets.refused_jobs import RefusedRecommendations


def provide_kubernetes(context: TargetContext) -> Provider:
    """Nothing is asked of the cluster yet. Raises StartupError."""
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
    transforms = KubernetesTransforms(
        api, context.shards, settings, context.images, options, context.transform_file, target.model_store
    )
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
        cut_off=view.cut_off,
        trouble=lifecycle.trouble,
    )


def capabilities(settings: Settings, options: KubernetesOptions) -> Capabilities:
    """Those of the local target, whose router is the same, without what needs this machine; behind a Gateway of the
    cluster also without what needs that router."""
    own = options.http_route is None
    chosen = SAGEMAKER_CAPABILITIES if settings.fidelity == "aws" else TIDEGATE_CAPABILITIES
    chosen = replace(chosen, devices=False, keeps_models=False, compares=chosen.compares & set(OF_TRAFFIC))
    return replace(chosen, quotas=settings.quotas, serverless=own, shadow=own, admission=own)


def no_usage(pids: object) -> dict[int, Usage]:
    """Processor and memory of pods are the cluster's to measure."""
    return {}
