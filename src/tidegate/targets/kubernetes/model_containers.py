"""Containers of the user's in the pod of a worker, which is their front. Pure."""

import math
from collections.abc import Sequence

from tidegate.domain.registry import Upstream
from tidegate.serving.contract.beside import (
    DATA_FOLDER,
    DRAINED_PATH,
    FRONT_CONTROL_PORT,
    container_arguments,
    container_port,
    health_path,
)
from tidegate.serving.contract.beside import container_environment as declared_environment
from tidegate.serving.contract.replica_spec import ContainerSpec
from tidegate.targets.kubernetes.names import Manifest
from tidegate.targets.kubernetes.options import KubernetesOptions

FRONT_RESOURCES: Manifest = {
    "requests": {"cpu": "100m", "memory": "128Mi"},
    "limits": {"memory": "512Mi"},
}
"""Resources of a worker that only forwards: the model's own are its container's."""
ROOT_CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID")
"""Capabilities that an image which starts as root uses to become another user, as nginx does. They are within what
the Pod Security Standard "baseline" allows."""

NumberedContainers = Sequence[tuple[int, ContainerSpec]]
"""Containers beside the worker, with their numbers in the start file."""


def variable_key(number: int, name: str) -> str:
    """Return the key of a variable in the start Secret, which keeps values out of the pod's manifest."""
    return f"variable.{number}.{name}"


def container_environment(container: ContainerSpec) -> dict[str, str]:
    return declared_environment(_upstream(container), container.environment)


def _upstream(container: ContainerSpec) -> Upstream:
    upstream = container.runtime.upstream
    assert upstream is not None
    return upstream


def model_container(
    number: int,
    container: ContainerSpec,
    options: KubernetesOptions,
    secret: str,
    resources: Manifest,
    seconds: float,
) -> Manifest:
    """Return the user's container. ``secret``: the start Secret, which has its variables; ``seconds``: what it may
    take until it answers."""
    upstream = _upstream(container)
    probe = {"httpGet": {"path": health_path(upstream), "port": container_port(upstream), "scheme": "HTTP"}}
    made: Manifest = {
        "name": f"model-{number}",
        "image": container.runtime.image,
        "securityContext": _security(options),
        "env": [
            {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": variable_key(number, name)}}}
            for name in container_environment(container)
        ],
        "ports": [{"name": f"model-{number}", "containerPort": container_port(upstream), "protocol": "TCP"}],
        "resources": resources,
        # The worker asks it, too, and takes no requests meanwhile. These probes restart a container that hangs.
        "startupProbe": {**_probe(probe, 2, 2), "failureThreshold": math.ceil(seconds / 2)},
        "livenessProbe": {**_probe(probe, 10, 10), "failureThreshold": 6},
        # It ends after the worker, whose requests it still answers.
        "lifecycle": {"preStop": {"httpGet": {"path": DRAINED_PATH, "port": FRONT_CONTROL_PORT}}},
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    if arguments := container_arguments(upstream):
        made["args"] = list(arguments)
    if options.image_pull_policy:
        made["imagePullPolicy"] = options.image_pull_policy
    mounts = [{"name": one.name, "mountPath": one.path, "readOnly": True} for one in options.volumes]
    if container.data_url is not None:
        data = {"name": data_volume(number), "mountPath": DATA_FOLDER, "subPath": "model", "readOnly": True}
        mounts = [data, *mounts]
    return {**made, "volumeMounts": mounts} if mounts else made


def _probe(probe: Manifest, period: int, timeout: int) -> Manifest:
    return {**probe, "periodSeconds": period, "timeoutSeconds": timeout}


def _security(options: KubernetesOptions) -> Manifest:
    if not options.model_user:
        capabilities: Manifest = {"drop": ["ALL"], "add": list(ROOT_CAPABILITIES)}
        return {"allowPrivilegeEscalation": False, "capabilities": capabilities}
    return {
        "allowPrivilegeEscalation": False,
        "runAsNonRoot": True,
        "runAsUser": options.model_user,
        "capabilities": {"drop": ["ALL"]},
    }


def data_volume(number: int) -> str:
    return f"data-{number}"
