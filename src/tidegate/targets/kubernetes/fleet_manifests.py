"""Compiles a fleet into Kubernetes objects, with its scaling by the cluster: a HorizontalPodAutoscaler, or KEDA's
ScaledObject. Pure.
"""

import base64
from collections.abc import Sequence
from hashlib import sha256

import msgspec

from tidegate.domain.errors import TargetRefused
from tidegate.domain.fleet import FleetId, FleetSpec, Mirroring
from tidegate.settings import Settings
from tidegate.targets.kubernetes.api_versions import ApiVersions
from tidegate.targets.kubernetes.foreign_changes import Asked, asked_of, remember
from tidegate.targets.kubernetes.model_containers import container_environment, variable_key
from tidegate.targets.kubernetes.names import (
    CONFIG,
    DIGEST,
    FENCE,
    PREDICTIONS,
    PROVEN,
    REPLICAS,
    Manifest,
    fleet_labels,
    fleet_name,
)
from tidegate.targets.kubernetes.options import AutoscalingOptions, KubernetesOptions
from tidegate.targets.kubernetes.pod_template import share_name, worker_template
from tidegate.targets.kubernetes.start_data import (
    ASKED_FILE,
    FLEET_FILE,
    SHARE_FILE,
    START_FILE,
    digest,
    read_beside,
)


def autoscaler(
    fleet: FleetSpec, scaling: AutoscalingOptions, options: KubernetesOptions, versions: ApiVersions
) -> Manifest:
    """Return the object that scales a fleet. Raises TargetRefused where the cluster lacks the autoscaler that was
    chosen."""
    if scaling.kind == "keda":
        if not versions.keda:
            raise TargetRefused(f"{fleet.id}: the cluster has no KEDA (keda.sh/v1alpha1); install it, or use hpa")
        return scaled_object(fleet, scaling, options)
    return horizontal(fleet, scaling, options, versions)


def horizontal(
    fleet: FleetSpec, scaling: AutoscalingOptions, options: KubernetesOptions, versions: ApiVersions
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


def scaled_object(fleet: FleetSpec, scaling: AutoscalingOptions, options: KubernetesOptions) -> Manifest:
    """Return the ScaledObject of a fleet, which scales it by the concurrent requests that tidegate itself counts."""
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


def fleet_manifests(
    fleet: FleetSpec,
    fence: int,
    start: bytes,
    settings: Settings,
    options: KubernetesOptions,
    versions: ApiVersions,
    before: Sequence[Asked] = (),
) -> list[Manifest]:
    """Return the manifests of a fleet, in the order in which they are applied. ``start``: what ``start_data`` made of
    the fleet; ``before``: what was asked for of its pods earlier."""
    secret = start_secret(fleet, start, options)
    scaled = options.autoscaling.get(fleet.id.endpoint)
    name = secret["metadata"]["name"]
    workload = deployment(fleet, fence, name, start, settings, options)
    found = [
        secret,
        fleet_secret(fleet, options, remember(before, asked_of(workload["spec"]["template"]["spec"]))),
    ]
    if fleet.mirror is not None:
        found.append(share_secret(fleet, fleet.mirror, options))
    found.append(workload)
    found += [service(fleet, options), disruption_budget(fleet, options, versions)]
    if scaled is not None:
        found.append(autoscaler(fleet, scaled, options, versions))
    return found


def metadata(fleet: FleetSpec, options: KubernetesOptions, name: str | None = None) -> Manifest:
    return {"name": name or fleet_name(fleet.id), "labels": fleet_labels(options.installation, fleet.id)}


def start_secret(fleet: FleetSpec, start: bytes, options: KubernetesOptions) -> Manifest:
    """Return the Secret with the start file. It is never changed: other content has another name, so that a running
    fleet cannot be given other data."""
    found = _secret(fleet, options, f"{fleet_name(fleet.id)}-{digest(start)}", START_FILE, start)
    for number, container in read_beside(start):
        for name, value in container_environment(container).items():
            found["data"][variable_key(number, name)] = base64.b64encode(value.encode()).decode()
    return {**found, "immutable": True}


def fleet_secret_name(fleet: FleetId) -> str:
    return f"{fleet_name(fleet)}-fleet"


def fleet_secret(fleet: FleetSpec, options: KubernetesOptions, asked: Sequence[Asked]) -> Manifest:
    """Return the Secret from which a later controller reads the fleet, and what was asked for of its pods."""
    content = msgspec.json.encode(fleet, order="sorted")
    secret = _secret(fleet, options, fleet_secret_name(fleet.id), FLEET_FILE, content)
    secret["data"][ASKED_FILE] = base64.b64encode(msgspec.json.encode(asked, order="sorted")).decode()
    return secret


def share_secret(fleet: FleetSpec, mirror: Mirroring, options: KubernetesOptions) -> Manifest:
    """Workers read it again and again. A Secret, though it is none: the fleet's other files are Secrets, too."""
    return _secret(fleet, options, share_name(fleet.id), SHARE_FILE, str(mirror.share).encode())


def _secret(fleet: FleetSpec, options: KubernetesOptions, name: str, file: str, content: bytes) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata(fleet, options, name),
        "type": "Opaque",
        "data": {file: base64.b64encode(content).decode()},
    }


def deployment(
    fleet: FleetSpec, fence: int, secret: str, start: bytes, settings: Settings, options: KubernetesOptions
) -> Manifest:
    """``start``: the start file, which ``secret`` has."""
    template = worker_template(fleet, settings, options, secret, digest(start), read_beside(start))
    whole = sha256(msgspec.json.encode(template, order="sorted")).hexdigest()[:16]
    spec: Manifest = {
        "selector": {"matchLabels": fleet_labels(options.installation, fleet.id)},
        "revisionHistoryLimit": 1,
        "progressDeadlineSeconds": int(fleet.variant.download_timeout + fleet.variant.startup_timeout) + 60,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "template": template,
    }
    if fleet.id.endpoint not in options.autoscaling and fleet.variant.serverless is None:
        spec["replicas"] = fleet.count
    about = metadata(fleet, options)
    about["annotations"] = {FENCE: str(fence), DIGEST: whole, CONFIG: fleet.config_name}
    if "replicas" in spec:
        about["annotations"][REPLICAS] = str(fleet.count)
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": about, "spec": spec}


def owner_reference(deployment: Manifest) -> Manifest:
    """Return a reference to a fleet's Deployment, for objects that serve it and are deleted with it, whoever deletes
    it. Secrets do not have it: pods that are ending may need theirs."""
    about = deployment["metadata"]
    return {"apiVersion": "apps/v1", "kind": "Deployment", "name": about["name"], "uid": about["uid"]}


def scale_manifest(fleet: FleetId, pods: int, proven: bool) -> Manifest:
    """Return the fields of a serverless fleet's Deployment that ``SCALER`` sets. Nothing else of the Deployment is
    changed."""
    annotations = {REPLICAS: str(pods), PROVEN: "true" if proven else "false"}
    about = {"name": fleet_name(fleet), "annotations": annotations}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": about, "spec": {"replicas": pods}}


def first_size(fleet: FleetSpec) -> Manifest:
    """The size with which a fleet begins that the cluster scales from then on."""
    about = {"name": fleet_name(fleet.id)}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": about, "spec": {"replicas": fleet.count}}


def service(fleet: FleetSpec, options: KubernetesOptions) -> Manifest:
    """Return the fleet's Service, which has no address of its own, as gateways know the pods. Its name is for
    HTTPRoutes and for people."""
    ports = [{"name": "http", "port": PREDICTIONS, "targetPort": "http", "protocol": "TCP"}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(fleet, options),
        "spec": {"clusterIP": "None", "selector": fleet_labels(options.installation, fleet.id), "ports": ports},
    }


def disruption_budget(fleet: FleetSpec, options: KubernetesOptions, versions: ApiVersions) -> Manifest:
    """Return the fleet's budget, by which one pod at a time may be evicted, such as by a drain of its node."""
    return {
        "apiVersion": versions.disruption_budget,
        "kind": "PodDisruptionBudget",
        "metadata": metadata(fleet, options),
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": fleet_labels(options.installation, fleet.id)},
        },
    }
