"""Compiles a fleet into Kubernetes objects. Pure."""

import base64
from collections.abc import Sequence
from hashlib import sha256

import msgspec

from tidegate.domain.fleet import FleetId, FleetSpec, Mirroring
from tidegate.settings import Settings
from tidegate.targets.kubernetes.api_versions import ApiVersions
from tidegate.targets.kubernetes.autoscaling import autoscaler
from tidegate.targets.kubernetes.foreign_changes import Asked, asked_of, remember
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
from tidegate.targets.kubernetes.options import KubernetesOptions
from tidegate.targets.kubernetes.pod_template import share_name, worker_template
from tidegate.targets.kubernetes.start_data import ASKED_FILE, FLEET_FILE, SHARE_FILE, START_FILE, digest


def fleet_manifests(
    fleet: FleetSpec,
    fence: int,
    start: bytes,
    settings: Settings,
    options: KubernetesOptions,
    versions: ApiVersions,
    before: Sequence[Asked] = (),
) -> list[Manifest]:
    """In the order in which they are applied. ``start``: what ``start_data`` made of the fleet; ``before``: what was
    asked for of its pods earlier."""
    secret = start_secret(fleet, start, options)
    scaled = options.autoscaling.get(fleet.id.endpoint)
    name = secret["metadata"]["name"]
    workload = deployment(fleet, fence, name, digest(start), settings, options)
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
    """Never changed: other content has another name, so that a running fleet cannot be given other data."""
    found = _secret(fleet, options, f"{fleet_name(fleet.id)}-{digest(start)}", START_FILE, start)
    return {**found, "immutable": True}


def fleet_secret_name(fleet: FleetId) -> str:
    return f"{fleet_name(fleet)}-fleet"


def fleet_secret(fleet: FleetSpec, options: KubernetesOptions, asked: Sequence[Asked]) -> Manifest:
    """For a later controller, which knows the fleet by it, and what was asked for of its pods."""
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
    fleet: FleetSpec, fence: int, secret: str, data: str, settings: Settings, options: KubernetesOptions
) -> Manifest:
    """``data``: digest of the start data."""
    template = worker_template(fleet, settings, options, secret, data)
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
    """For what serves a fleet's Deployment and goes with it, whoever deletes it. Secrets do not: pods that are ending
    may need theirs."""
    about = deployment["metadata"]
    return {"apiVersion": "apps/v1", "kind": "Deployment", "name": about["name"], "uid": about["uid"]}


def scale_manifest(fleet: FleetId, pods: int, proven: bool) -> Manifest:
    """What ``SCALER`` sets of a serverless fleet's Deployment: nothing else of it is changed."""
    annotations = {REPLICAS: str(pods), PROVEN: "true" if proven else "false"}
    about = {"name": fleet_name(fleet), "annotations": annotations}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": about, "spec": {"replicas": pods}}


def first_size(fleet: FleetSpec) -> Manifest:
    """The size with which a fleet begins that the cluster scales from then on."""
    about = {"name": fleet_name(fleet.id)}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": about, "spec": {"replicas": fleet.count}}


def service(fleet: FleetSpec, options: KubernetesOptions) -> Manifest:
    """Without an address of its own: gateways know the pods. An HTTPRoute, and people, use its name."""
    ports = [{"name": "http", "port": PREDICTIONS, "targetPort": PREDICTIONS, "protocol": "TCP"}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(fleet, options),
        "spec": {"clusterIP": "None", "selector": fleet_labels(options.installation, fleet.id), "ports": ports},
    }


def disruption_budget(fleet: FleetSpec, options: KubernetesOptions, versions: ApiVersions) -> Manifest:
    """One pod at a time may be evicted, such as by a drain of its node."""
    return {
        "apiVersion": versions.disruption_budget,
        "kind": "PodDisruptionBudget",
        "metadata": metadata(fleet, options),
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": fleet_labels(options.installation, fleet.id)},
        },
    }
