"""Names, labels and annotations of what tidegate creates in a cluster. Pure."""

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from tidegate.domain.fleet import FleetId

Manifest = dict[str, Any]
"""A Kubernetes object as JSON."""

PREFIX = "tidegate.io"
MANAGED_BY, COMPONENT = "app.kubernetes.io/managed-by", "app.kubernetes.io/component"
MANAGER = "tidegate"
"""Value of the label, and name of the field manager."""
SCALER = "tidegate-scaler"
"""Field manager of the number of pods of serverless fleets, which is decided apart from all else."""
INSTALLATION, ENDPOINT = f"{PREFIX}/installation", f"{PREFIX}/endpoint"
GENERATION, VARIANT = f"{PREFIX}/generation", f"{PREFIX}/variant"
JOB = f"{PREFIX}/job"
LEADER = f"{PREFIX}/leader"
"""Label of the pod of the controller that leads, by which its Service selects it; its value is the installation."""
QUEUED = f"{PREFIX}/queued"
"""Label of the pods of asynchronous fleets, which take requests without signatures."""
FLEETS = f"{PREFIX}/fleets"
FENCE, DIGEST, CONFIG = f"{PREFIX}/fence", f"{PREFIX}/digest", f"{PREFIX}/config"

WORKER, GATEWAY, CONTROLLER, TRANSFORM = "worker", "gateway", "controller", "transform"
"""Values of the component label."""

PREDICTIONS, STATISTICS, AGENT, COPIES = 8080, 8081, 8082, 8083
"""Ports of a worker (and of a gateway, for predictions), of a worker's statistics, of a gateway's agent, and of a
gateway for copies of requests."""

SHARE = f"{PREFIX}/traffic-share"
"""Annotation of a Deployment: the share of its version's traffic that is in force, for people."""
REPLICAS = f"{PREFIX}/replicas"
"""Annotation of a Deployment: the number that tidegate set. Old versions of Kubernetes do not record who scaled."""
PROVEN = f"{PREFIX}/proven"
"""Annotation of a serverless fleet's Deployment: a pod of it has been ready, so that it may have none."""

_NOT_IN_NAMES = re.compile(r"[^a-z0-9]+")


def fleet_name(fleet: FleetId) -> str:
    """A DNS label of at most 52 characters, unique to the fleet. Kubernetes appends suffixes to names of pods."""
    digest = sha256(str(fleet).encode()).hexdigest()[:8]
    endpoint = _NOT_IN_NAMES.sub("-", fleet.endpoint.lower()).strip("-")[:20].rstrip("-")
    variant = _NOT_IN_NAMES.sub("-", fleet.variant.lower()).strip("-")[:12].rstrip("-")
    return "-".join(("tg", endpoint, variant, digest))


def endpoint_name(endpoint: str) -> str:
    """Return the name of an endpoint's objects. It has a digest, as names of endpoints may differ in case alone."""
    readable = _NOT_IN_NAMES.sub("-", endpoint.lower()).strip("-")[:32].rstrip("-")
    return f"tg-{readable}-{sha256(endpoint.encode()).hexdigest()[:8]}"


def transform_name(job: str) -> str:
    """Return the name of a transform job's objects. It has a digest, as names of jobs may differ in case alone."""
    readable = _NOT_IN_NAMES.sub("-", job.lower()).strip("-")[:28].rstrip("-")
    return f"tg-job-{readable}-{sha256(job.encode()).hexdigest()[:8]}"


def common_labels(installation: str, component: str) -> dict[str, str]:
    return {MANAGED_BY: MANAGER, INSTALLATION: installation, COMPONENT: component}


def fleet_labels(installation: str, fleet: FleetId) -> dict[str, str]:
    """Endpoint and variant names are valid values of labels."""
    own = {ENDPOINT: fleet.endpoint, GENERATION: str(fleet.generation), VARIANT: fleet.variant}
    return {**common_labels(installation, WORKER), **own}


def transform_labels(installation: str, job: str) -> dict[str, str]:
    """Names of jobs are valid values of labels."""
    return {**common_labels(installation, TRANSFORM), JOB: job}


def selector(installation: str, component: str) -> str:
    """Return a selector for lists that contain only what is ours."""
    return ",".join(f"{key}={value}" for key, value in common_labels(installation, component).items())


def is_ours(manifest: Mapping[str, Any], installation: str) -> bool:
    labels = (manifest.get("metadata") or {}).get("labels") or {}
    return labels.get(MANAGED_BY) == MANAGER and labels.get(INSTALLATION) == installation


def fleet_of(manifest: Mapping[str, Any]) -> FleetId | None:
    """The fleet that a Deployment or a pod belongs to, by its labels."""
    labels = (manifest.get("metadata") or {}).get("labels") or {}
    try:
        return FleetId(labels[ENDPOINT], int(labels[GENERATION]), labels[VARIANT])
    except (KeyError, ValueError, TypeError):
        return None


def fence_of(manifest: Mapping[str, Any]) -> int:
    annotations = (manifest.get("metadata") or {}).get("annotations") or {}
    text = annotations.get(FENCE, "")
    return int(text) if str(text).isdecimal() else 0
