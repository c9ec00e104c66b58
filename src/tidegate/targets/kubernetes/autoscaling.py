"""Scaling by the cluster: a HorizontalPodAutoscaler, or KEDA's ScaledObject. Pure."""

from tidegate.domain.errors import TargetRefused
from tidegate.domain.fleet import FleetSpec
from tidegate.targets.kubernetes.api_versions import ApiVersions
from tidegate.targets.kubernetes.names import Manifest, fleet_labels, fleet_name
from tidegate.targets.kubernetes.options import Autoscaling, KubernetesOptions


def autoscaler(
    fleet: FleetSpec, scaling: Autoscaling, options: KubernetesOptions, versions: ApiVersions
) -> Manifest:
    """Raises TargetRefused where the cluster lacks what was chosen."""
    if scaling.kind == "keda":
        if not versions.keda:
            raise TargetRefused(f"{fleet.id}: the cluster has no KEDA (keda.sh/v1alpha1); install it, or use hpa")
        return scaled_object(fleet, scaling, options)
    return horizontal(fleet, scaling, options, versions)


def horizontal(
    fleet: FleetSpec, scaling: Autoscaling, options: KubernetesOptions, versions: ApiVersions
) -> Manifest:
    utilization = {"type": "Utilization", "averageUtilization": scaling.cpu_percent}
    return {
        "apiVersion": versions.autoscaler,
        "kind": "HorizontalPodAutoscaler",
        "metadata": _metadata(fleet, options),
        "spec": {
            "scaleTargetRef": _deployment(fleet),
            "minReplicas": max(1, scaling.least),
            "maxReplicas": scaling.most,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": utilization}}],
        },
    }


def scaled_object(fleet: FleetSpec, scaling: Autoscaling, options: KubernetesOptions) -> Manifest:
    """By the concurrent requests that tidegate itself counts."""
    query = f'sum(tidegate_in_flight_requests{{endpoint="{fleet.id.endpoint}",variant="{fleet.id.variant}"}})'
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": _metadata(fleet, options),
        "spec": {
            "scaleTargetRef": _deployment(fleet),
            "minReplicaCount": scaling.least,
            "maxReplicaCount": scaling.most,
            "triggers": [
                {
                    "type": "prometheus",
                    "metadata": {
                        "serverAddress": scaling.prometheus,
                        "query": query,
                        "threshold": str(scaling.requests_per_replica),
                    },
                }
            ],
        },
    }


def _metadata(fleet: FleetSpec, options: KubernetesOptions) -> Manifest:
    return {"name": fleet_name(fleet.id), "labels": fleet_labels(options.installation, fleet.id)}


def _deployment(fleet: FleetSpec) -> Manifest:
    return {"apiVersion": "apps/v1", "kind": "Deployment", "name": fleet_name(fleet.id)}
