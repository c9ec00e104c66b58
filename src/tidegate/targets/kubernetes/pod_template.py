"""The pod of a worker, and parts that all our pods share. Pure."""

import math
from collections.abc import Mapping

from tidegate.domain.fleet import FleetId, FleetSpec
from tidegate.serving.contract.beside import FRONT_CONTROL_PORT, FRONT_PORT
from tidegate.settings import Settings
from tidegate.targets.kubernetes.model_containers import (
    FRONT_RESOURCES,
    NumberedContainers,
    data_volume,
    model_container,
)
from tidegate.targets.kubernetes.names import (
    CONFIG,
    DIGEST,
    PREDICTIONS,
    QUEUED,
    STATISTICS,
    Manifest,
    fleet_labels,
    fleet_name,
)
from tidegate.targets.kubernetes.options import KubernetesOptions, Resources, Toleration
from tidegate.targets.kubernetes.start_data import (
    FOLDER,
    KEYS_FOLDER,
    SHARE_FOLDER,
    START_FILE,
    START_FOLDER,
    START_VOLUME,
)

PRE_STOP = 5
"""Seconds between a pod's end being decided and its SIGTERM: gateways take it out meanwhile."""
MARGIN = 10
PROBE, QUICK_PROBE = 2, 1
"""Seconds between two probes of a pod that starts or serves; the latter where a request may wait for it."""
SPOT_LABELS = {
    "eks.amazonaws.com/capacityType": "SPOT",
    "karpenter.sh/capacity-type": "spot",
    "cloud.google.com/gke-spot": "true",
    "cloud.google.com/gke-preemptible": "true",
    "kubernetes.azure.com/scalesetpriority": "spot",
    "node.kubernetes.io/lifecycle": "spot",
}
"""Labels by which clouds mark nodes that they may take away."""
ACCELERATORS = {"gpus": "nvidia.com/gpu", "neurons": "aws.amazon.com/neuron"}
MEBIBYTE = 2**20


def worker_template(
    fleet: FleetSpec,
    settings: Settings,
    options: KubernetesOptions,
    secret: str,
    digest: str,
    beside: NumberedContainers = (),
) -> Manifest:
    """Return the template of a fleet's pods. ``secret``: the one with the start file; ``digest``: of all that the
    worker is started with; ``beside``: containers of the user's that the worker is the front of."""
    labels = fleet_labels(options.installation, fleet.id)
    spec = pod_defaults(options, labels)
    resources = options.resources(fleet.variant.instance_type)
    spec |= {
        "terminationGracePeriodSeconds": PRE_STOP + settings.drain_timeout + MARGIN,
        "affinity": {} if options.spot else avoid_spot(),
        "containers": [worker_container(fleet, settings, options, resources)],
        "volumes": [
            {"name": START_VOLUME, "secret": {"secretName": secret}},
            {"name": "work", "emptyDir": {}},
            {"name": "tmp", "emptyDir": {}},
            *([keys_volume(options)] if settings.access_keys else []),
            *([{"name": "share", "secret": {"secretName": share_name(fleet.id)}}] if fleet.mirror else []),
            *({"name": one.name, **_volume_source(one.claim, one.host_path)} for one in options.volumes),
        ],
    }
    if beside:
        _add_containers(spec, fleet, options, secret, beside)
    if options.service_account:
        spec["serviceAccountName"] = options.service_account
    if resources.node_selector:
        spec["nodeSelector"] = dict(resources.node_selector)
    if tolerations := [*accelerator_tolerations(resources), *map(toleration, resources.tolerations)]:
        spec["tolerations"] = tolerations
    if not spec["affinity"]:
        del spec["affinity"]
    annotations = {DIGEST: digest, CONFIG: fleet.config_name}
    if fleet.variant.asynchronous is not None:
        labels = {**labels, QUEUED: "true"}
    return {"metadata": {"labels": {**options.labels, **labels}, "annotations": annotations}, "spec": spec}


def _add_containers(
    spec: Manifest, fleet: FleetSpec, options: KubernetesOptions, secret: str, beside: NumberedContainers
) -> None:
    """Add containers of the user's to a pod. They have the replica's resources, and the worker little. Each image
    runs as its own user, so the worker's user is its container's and not the pod's."""
    pod = spec["securityContext"]
    (worker,) = spec["containers"]
    own = {name: pod.pop(name) for name in ("runAsNonRoot", "runAsUser", "runAsGroup")}
    worker["securityContext"] |= own
    whole, worker["resources"] = worker["resources"], FRONT_RESOURCES
    ports = {"http": FRONT_PORT, "stats": FRONT_CONTROL_PORT}
    worker["ports"] = [{**port, "containerPort": ports[port["name"]]} for port in worker["ports"]]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        worker[probe]["httpGet"] = {**worker[probe]["httpGet"], "port": FRONT_CONTROL_PORT}
    seconds = fleet.variant.startup_timeout
    for place, (number, container) in enumerate(beside):
        resources = whole if place == 0 else FRONT_RESOURCES
        spec["containers"].append(model_container(number, container, options, secret, resources, seconds))
        if container.data_url is not None:
            spec["volumes"].append({"name": data_volume(number), "emptyDir": {}})
            spec.setdefault("initContainers", []).append(_fetching_container(number, worker))


def _fetching_container(number: int, worker: Manifest) -> Manifest:
    """Return the container that fetches the model data of another one before it starts."""
    taken = ("image", "imagePullPolicy", "securityContext", "terminationMessagePolicy", "env", "envFrom")
    kept = {name: worker[name] for name in taken if name in worker}
    folder = f"{FOLDER}/data"
    return {
        "name": f"fetch-{number}",
        **kept,
        "command": ["serve", "--fetch", str(number), folder, f"{START_FOLDER}/{START_FILE}"],
        "resources": FRONT_RESOURCES,
        "volumeMounts": [*worker["volumeMounts"], {"name": data_volume(number), "mountPath": folder}],
    }


def takes_queue(deployment: Manifest) -> bool:
    """Whether it is of an asynchronous fleet."""
    labels: Mapping[str, str] = deployment["spec"]["template"]["metadata"].get("labels") or {}
    return labels.get(QUEUED) == "true"


def keys_volume(options: KubernetesOptions) -> Manifest:
    """A worker takes no keys that others may read. Kubernetes lets the pod's group read it besides."""
    return {"name": "keys", "secret": {"secretName": keys_name(options), "defaultMode": 0o400}}


def _volume_source(claim: str, host_path: str) -> Manifest:
    if claim:
        return {"persistentVolumeClaim": {"claimName": claim, "readOnly": True}}
    return {"hostPath": {"path": host_path}}


def share_name(fleet: FleetId) -> str:
    return f"{fleet_name(fleet)}-share"


def keys_name(options: KubernetesOptions) -> str:
    return f"{options.installation}-keys"


def pod_defaults(options: KubernetesOptions, labels: dict[str, str]) -> Manifest:
    """Return the fields that worker and gateway share: no rights in the cluster or on the node; pods on different
    nodes."""
    spec: Manifest = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": options.run_as,
            "runAsGroup": options.run_as,
            "fsGroup": options.run_as,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": key,
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": labels},
            }
            for key in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
        ],
    }
    if options.priority_class:
        spec["priorityClassName"] = options.priority_class
    if options.image_pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in options.image_pull_secrets]
    return spec


def container_defaults(options: KubernetesOptions) -> Manifest:
    container: Manifest = {
        "image": options.image,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    if options.image_pull_policy:
        container["imagePullPolicy"] = options.image_pull_policy
    return container


def worker_container(
    fleet: FleetSpec, settings: Settings, options: KubernetesOptions, resources: Resources
) -> Manifest:
    ping = {"httpGet": {"path": "/ping", "port": STATISTICS, "scheme": "HTTP"}}
    # Answers as long as the worker's loop runs, also while the model works on a long prediction.
    alive = {"httpGet": {"path": "/live", "port": STATISTICS, "scheme": "HTTP"}}
    variant = fleet.variant
    start = variant.download_timeout + variant.startup_timeout
    period = PROBE if variant.serverless is None else QUICK_PROBE
    container: Manifest = {
        "name": "worker",
        **container_defaults(options),
        "command": ["serve", f"{START_FOLDER}/{START_FILE}"],
        "env": [
            {
                "name": "TIDEGATE_REPLICA",
                "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}},
            },
            {"name": "TIDEGATE_WORK", "value": FOLDER},
            {"name": "HOME", "value": FOLDER},
        ],
        "ports": [
            {"name": "http", "containerPort": PREDICTIONS, "protocol": "TCP"},
            {"name": "stats", "containerPort": STATISTICS, "protocol": "TCP"},
        ],
        "resources": worker_resources(variant.memory_limit, resources),
        "startupProbe": {
            **ping,
            "periodSeconds": period,
            "timeoutSeconds": 2,
            "failureThreshold": max(1, math.ceil(start / period)),
        },
        "readinessProbe": {**ping, "periodSeconds": period, "timeoutSeconds": 2, "failureThreshold": 3},
        "livenessProbe": {
            **alive,
            "periodSeconds": 10,
            "timeoutSeconds": 5,
            "failureThreshold": max(3, math.ceil((settings.invocation_timeout + 15) / 10)),
        },
        "lifecycle": {"preStop": {"exec": {"command": ["sleep", str(PRE_STOP)]}}},
        "volumeMounts": worker_mounts(fleet, settings, options),
    }
    if options.environment_secret:
        container["envFrom"] = [{"secretRef": {"name": options.environment_secret}}]
    return container


def worker_mounts(fleet: FleetSpec, settings: Settings, options: KubernetesOptions) -> list[Manifest]:
    return [
        {"name": START_VOLUME, "mountPath": START_FOLDER, "readOnly": True},
        {"name": "work", "mountPath": FOLDER},
        {"name": "tmp", "mountPath": "/tmp"},
        *([{"name": "keys", "mountPath": KEYS_FOLDER, "readOnly": True}] if settings.access_keys else []),
        *([{"name": "share", "mountPath": SHARE_FOLDER, "readOnly": True}] if fleet.mirror else []),
        *({"name": one.name, "mountPath": one.path, "readOnly": True} for one in options.volumes),
    ]


def worker_resources(measured: int | None, resources: Resources) -> Manifest:
    """``measured``: the variant's memory limit in bytes. The kernel's limit lies above the worker's own, at which it
    finishes its requests and is replaced."""
    memory = f"{math.ceil(measured * 1.25 / MEBIBYTE)}Mi" if measured else resources.memory
    accelerators = {
        name: str(count) for field, name in ACCELERATORS.items() if (count := getattr(resources, field))
    }
    storage = {"ephemeral-storage": resources.ephemeral_storage} if resources.ephemeral_storage else {}
    processor = {"cpu": resources.cpu_limit} if resources.cpu_limit else {}
    return {
        "requests": {"cpu": resources.cpu, "memory": memory, **storage, **accelerators},
        "limits": {**processor, "memory": memory, **storage, **accelerators},
    }


def accelerator_tolerations(resources: Resources) -> list[Manifest]:
    """Clouds keep other pods off nodes with accelerators by these taints."""
    return [
        {"key": name, "operator": "Exists", "effect": "NoSchedule"}
        for field, name in ACCELERATORS.items()
        if getattr(resources, field)
    ]


def toleration(one: Toleration) -> Manifest:
    found: Manifest = {"key": one.key, "operator": one.operator}
    if one.operator == "Equal":
        found["value"] = one.value
    if one.effect:
        found["effect"] = one.effect
    return found


def avoid_spot() -> Manifest:
    """A node that lacks the labels is accepted."""
    return {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [
                    {
                        "matchExpressions": [
                            {"key": key, "operator": "NotIn", "values": [value]}
                            for key, value in SPOT_LABELS.items()
                        ]
                    }
                ]
            }
        }
    }
