"""Removes what a tidegate leaves in a cluster once its controllers are gone: gateways, fleets, jobs, Secrets and
policies."""

import asyncio
from collections.abc import AsyncIterator

from tidegate.domain.errors import Conflict
from tidegate.ports.target import Options
from tidegate.targets.kubernetes.api import KubeApi, connect
from tidegate.targets.kubernetes.api_versions import ApiVersions, choose
from tidegate.targets.kubernetes.control_plane import NAME
from tidegate.targets.kubernetes.names import CONTROLLER, INSTALLATION, MANAGED_BY, MANAGER, Manifest, selector
from tidegate.targets.kubernetes.options import KubernetesOptions, read_options

LAST = ("Secret", "ConfigMap")
"""Kinds that pods need until they have ended."""


def uninstall_kubernetes(given: Options, remove: bool) -> list[str]:
    """Kind and name of each object, in the order of its removal; ``remove``: whether to do it. Raises Conflict while
    a controller runs, StartupError, TargetRefused, Transient."""
    options = read_options(given)
    return asyncio.run(_uninstall(connect(options), options, remove))


async def _uninstall(api: KubeApi, options: KubernetesOptions, remove: bool) -> list[str]:
    try:
        return await uninstall(api, options, remove)
    finally:
        await api.close()


async def uninstall(api: KubeApi, options: KubernetesOptions, remove: bool) -> list[str]:
    await _require_no_controller(api, options)
    versions = choose(await api.groups())
    found = [(kind, name, version) async for kind, name, version in _objects(api, options, versions)]
    if remove:
        for kind, name, version in found:
            if kind not in LAST:
                await api.delete(kind, name, version)
        for kind, name, version in found:
            if kind in LAST:
                await api.delete(kind, name, version)
    return [f"{kind} {name}" for kind, name, _ in found]


async def _require_no_controller(api: KubeApi, options: KubernetesOptions) -> None:
    """A controller would make the objects again."""
    pods = await api.find_metadata("Pod", selector(options.installation, CONTROLLER))
    if not pods and options.installation != MANAGER:  # the chart's controllers have the usual label
        pods = await api.find_metadata("Pod", selector(MANAGER, CONTROLLER))
    if pods:
        raise Conflict(
            f"a controller still runs in namespace {api.namespace} ({_name(pods[0])}), and would make all of it "
            f"again: helm uninstall it first, or kubectl -n {api.namespace} delete deployment {NAME}"
        )


def _kinds(versions: ApiVersions) -> dict[str, str]:
    """Return the kinds in the order of their removal, each with its version."""
    kinds = {
        "Deployment": "",
        "Job": "",
        "HorizontalPodAutoscaler": versions.autoscaler,
        "PodDisruptionBudget": versions.disruption_budget,
        "Service": "",
        "NetworkPolicy": "",
        "Lease": "",
    }
    if versions.keda:
        kinds["ScaledObject"] = ""
    if versions.gateway_api:
        kinds["HTTPRoute"] = ""
    return {**kinds, **dict.fromkeys(LAST, "")}


async def _objects(
    api: KubeApi, options: KubernetesOptions, versions: ApiVersions
) -> AsyncIterator[tuple[str, str, str]]:
    labels = f"{MANAGED_BY}={MANAGER},{INSTALLATION}={options.installation}"
    for kind, version in _kinds(versions).items():
        for one in sorted(await api.find_metadata(kind, labels, version), key=_name):
            if _name(one) != NAME or kind == "Lease":  # the rest of that name is the chart's
                yield kind, _name(one), version


def _name(manifest: Manifest) -> str:
    return str(manifest["metadata"]["name"])
