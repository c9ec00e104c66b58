"""Compiles a transform job into a Kubernetes Job, whose pods share its work by leases in the database. Pure.

Each pod has a worker, which has the model, and a runner, which has the database. The model's code cannot reach the
database's credentials: they are in a volume of the runner's container alone, and the containers share no processes.
"""

import base64
from hashlib import sha256

from tidegate.domain.fleet import FleetSpec
from tidegate.domain.transform import TransformJob
from tidegate.settings import Settings
from tidegate.targets.kubernetes.job_start import (
    DATABASE_FILE,
    DATABASE_FOLDER,
    ENDED_FILE,
    LINK_FOLDER,
    RUNNER_FILE,
)
from tidegate.targets.kubernetes.names import (
    TRANSFORM,
    Manifest,
    common_labels,
    transform_labels,
    transform_name,
)
from tidegate.targets.kubernetes.options import JobOptions, KubernetesOptions, Volume
from tidegate.targets.kubernetes.pod_template import (
    accelerator_tolerations,
    avoid_spot,
    container_defaults,
    pod_defaults,
    toleration,
    worker_container,
)
from tidegate.targets.kubernetes.start_data import FOLDER, START_FILE, START_FOLDER

RETRIES = 2**31 - 1
"""Pods that may fail before the cluster gives the Job up: tidegate decides that, by what has been done."""
GRACE = 30
"""Seconds that a pod has to end: its runner gives its leases back."""


def job_manifests(
    job: TransformJob,
    fleet: FleetSpec,
    worker: bytes,
    runner: bytes,
    settings: Settings,
    options: KubernetesOptions,
    jobs: JobOptions,
) -> list[Manifest]:
    """Return the manifests of a job, in the order in which they are applied. ``worker`` and ``runner``: the start
    files."""
    secret = start_secret(job, worker, runner, options)
    found = [network_policy(options)] if options.network_policies else []
    return [*found, secret, job_manifest(job, fleet, secret["metadata"]["name"], settings, options, jobs)]


def _metadata(job: TransformJob, options: KubernetesOptions, name: str = "") -> Manifest:
    labels = transform_labels(options.installation, job.name)
    return {"name": name or transform_name(job.name), "labels": labels}


def start_secret(job: TransformJob, worker: bytes, runner: bytes, options: KubernetesOptions) -> Manifest:
    """Return the Secret with the start files. It is never changed: other content has another name."""
    digest = sha256(worker + b"\0" + runner).hexdigest()[:10]
    data = {
        name: base64.b64encode(content).decode() for name, content in ((START_FILE, worker), (RUNNER_FILE, runner))
    }
    about = _metadata(job, options, f"{transform_name(job.name)}-{digest}")
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": about,
        "type": "Opaque",
        "immutable": True,
        "data": data,
    }


def network_policy(options: KubernetesOptions) -> Manifest:
    """Return the policy by which nobody connects to the pods of jobs. Probes come from the node, which policies let
    through."""
    labels = common_labels(options.installation, TRANSFORM)
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": f"{options.installation}-{TRANSFORM}", "labels": labels},
        "spec": {"podSelector": {"matchLabels": labels}, "policyTypes": ["Ingress"], "ingress": []},
    }


def job_manifest(
    job: TransformJob,
    fleet: FleetSpec,
    secret: str,
    settings: Settings,
    options: KubernetesOptions,
    jobs: JobOptions,
) -> Manifest:
    """Return the Job of a transform job. It has no ``completions``: a pod ends with success only when nothing is left
    for any of them."""
    about = _metadata(job, options)
    spec = {
        "parallelism": job.instances,
        "backoffLimit": RETRIES,
        "template": {
            "metadata": {"labels": {**options.labels, **about["labels"]}},
            "spec": _pod(fleet, secret, settings, options, jobs),
        },
    }
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": about, "spec": spec}


def _pod(
    fleet: FleetSpec, secret: str, settings: Settings, options: KubernetesOptions, jobs: JobOptions
) -> Manifest:
    resources = options.resources(fleet.variant.instance_type)
    spec = pod_defaults(options, common_labels(options.installation, TRANSFORM))
    spec |= {
        "restartPolicy": "OnFailure",
        "terminationGracePeriodSeconds": GRACE,
        "containers": [_worker(fleet, settings, options), _runner(options, jobs)],
        "volumes": [
            _secret_volume("start", secret, {START_FILE: START_FILE}),
            _secret_volume("runner-start", secret, {RUNNER_FILE: RUNNER_FILE}),
            _secret_volume("database", jobs.database_secret, {jobs.database_key: DATABASE_FILE}),
            *({"name": name, "emptyDir": {}} for name in ("link", "work", "tmp", "runner-work", "runner-tmp")),
            *map(_volume, options.volumes),
        ],
    }
    if not options.spot:
        spec["affinity"] = avoid_spot()
    if options.service_account:
        spec["serviceAccountName"] = options.service_account
    if resources.node_selector:
        spec["nodeSelector"] = dict(resources.node_selector)
    if tolerations := [*accelerator_tolerations(resources), *map(toleration, resources.tolerations)]:
        spec["tolerations"] = tolerations
    return spec


def _secret_volume(name: str, secret: str, files: dict[str, str]) -> Manifest:
    """``files``: key -> name of the file; the container sees no other keys."""
    items = [{"key": key, "path": path} for key, path in files.items()]
    return {"name": name, "secret": {"secretName": secret, "items": items, "defaultMode": 0o440}}


def _volume(volume: Volume) -> Manifest:
    if volume.claim:
        source: Manifest = {"persistentVolumeClaim": {"claimName": volume.claim, "readOnly": not volume.writable}}
    else:
        source = {"hostPath": {"path": volume.host_path}}
    return {"name": volume.name, **source}


def _worker(fleet: FleetSpec, settings: Settings, options: KubernetesOptions) -> Manifest:
    """Return the container of an endpoint's worker, changed to end with the runner beside it, and to take requests
    from it alone."""
    container = worker_container(fleet, settings, options, options.resources(fleet.variant.instance_type))
    container["env"] = [*container["env"], {"name": "TIDEGATE_UNTIL", "value": ENDED_FILE}]
    container["ports"] = [port for port in container["ports"] if port["name"] == "stats"]
    container["volumeMounts"] = [
        *(mount for mount in container["volumeMounts"] if mount["name"] != "keys"),
        {"name": "link", "mountPath": LINK_FOLDER, "readOnly": True},
    ]
    del container["lifecycle"]  # it waits for gateways, which know nothing of it
    return container


def _runner(options: KubernetesOptions, jobs: JobOptions) -> Manifest:
    container: Manifest = {
        "name": "runner",
        **container_defaults(options),
        "command": ["python", "-m", "tidegate.features.batch.pod", f"{START_FOLDER}/{RUNNER_FILE}"],
        "env": [
            {
                "name": "TIDEGATE_REPLICA",
                "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}},
            },
            {"name": "TIDEGATE_WORK", "value": FOLDER},
            {"name": "HOME", "value": FOLDER},
        ],
        "resources": {
            "requests": {"cpu": jobs.cpu, "memory": jobs.memory},
            "limits": {"memory": jobs.memory},
        },
        "volumeMounts": [
            {"name": "runner-start", "mountPath": START_FOLDER, "readOnly": True},
            {"name": "database", "mountPath": DATABASE_FOLDER, "readOnly": True},
            {"name": "link", "mountPath": LINK_FOLDER},
            {"name": "runner-work", "mountPath": FOLDER},
            {"name": "runner-tmp", "mountPath": "/tmp"},
            *({"name": one.name, "mountPath": one.path, "readOnly": not one.writable} for one in options.volumes),
        ],
    }
    if options.environment_secret:
        container["envFrom"] = [{"secretRef": {"name": options.environment_secret}}]
    return container
