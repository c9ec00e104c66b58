"""The platform itself as a workload of the cluster. Pure.

``control_plane_files.py`` writes it as the Helm chart and as plain manifests.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tidegate.targets.kubernetes.api import KINDS
from tidegate.targets.kubernetes.names import CONTROLLER, LEADER, WORKER, Manifest, common_labels
from tidegate.targets.kubernetes.rights import RIGHTS
from tidegate.targets.kubernetes.start_data import FOLDER

API = 8471
NAME = "tidegate-controller"
WORKER_ACCOUNT = "tidegate-worker"
TARGETS_FOLDER, TARGETS_FILE = "/etc/tidegate/targets", "targets.yaml"


@dataclass(frozen=True)
class ControlPlane:
    """``secret``: name of a Secret with ``database-url`` (PostgreSQL) and ``access-keys`` (ID:SECRET), which whoever
    installs it makes. Values may be placeholders of a template."""

    image: str
    secret: str
    namespace: str
    controllers: Any = 2
    cpu: str = "250m"
    memory: str = "1Gi"
    installation: str = "tidegate"
    budget_version: str = "policy/v1"


def control_plane(given: ControlPlane) -> list[Manifest]:
    """Return the manifests of the control plane, in the order in which they are applied."""
    return [
        _object("v1", "ServiceAccount", {"automountServiceAccountToken": False}),
        _object("rbac.authorization.k8s.io/v1", "Role", {"rules": rules()}),
        role_binding(given),
        _object("v1", "ConfigMap", {"data": {TARGETS_FILE: targets_file(given)}}),
        _object("v1", "Service", {"spec": _service(given)}),
        _object("networking.k8s.io/v1", "NetworkPolicy", {"spec": _network_policy()}),
        _object(given.budget_version, "PodDisruptionBudget", {"spec": _disruption_budget()}),
        _object("apps/v1", "Deployment", {"spec": _deployment(given)}),
        _worker_account(),
    ]


def _object(version: str, kind: str, more: Mapping[str, Any]) -> Manifest:
    labels = common_labels("tidegate", CONTROLLER)
    return {"apiVersion": version, "kind": kind, "metadata": {"name": NAME, "labels": labels}, **more}


def _worker_account() -> Manifest:
    """Return the service account of workers and of jobs' pods. It has no rights in the cluster, and no token of it is
    mounted. Annotations can give it an identity of the cloud, such as to read model data."""
    labels = common_labels("tidegate", WORKER)
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": WORKER_ACCOUNT, "labels": labels},
        "automountServiceAccountToken": False,
    }


def rules(rights: Mapping[str, Mapping[str, str]] = RIGHTS) -> list[Manifest]:
    """Return the rules of a role, one for each kind, so that each verb can have its reason beside it."""
    found = []
    for kind, verbs in rights.items():
        version, plural = KINDS[kind]
        group = version.rpartition("/")[0]
        found.append({"apiGroups": [group], "resources": [plural], "verbs": list(verbs)})
    return found


def role_binding(given: ControlPlane) -> Manifest:
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": NAME}
    subjects = [{"kind": "ServiceAccount", "name": NAME, "namespace": given.namespace}]
    return _object("rbac.authorization.k8s.io/v1", "RoleBinding", {"roleRef": role, "subjects": subjects})


def targets_file(given: ControlPlane) -> str:
    """``namespace`` is that of the controller's own pod."""
    account = f"  service_account: {WORKER_ACCOUNT}\n"
    return f"default: kubernetes\nkubernetes:\n  image: {given.image}\n  namespace: {given.namespace}\n{account}"


def _service(given: ControlPlane) -> Manifest:
    """Return the Service for the API and for Prometheus (/metrics). The controller that leads labels its own pod, and
    no other."""
    ports = [{"name": "http", "port": 80, "targetPort": API, "protocol": "TCP"}]
    return {"selector": {**common_labels("tidegate", CONTROLLER), LEADER: given.installation}, "ports": ports}


def _disruption_budget() -> Manifest:
    labels = common_labels("tidegate", CONTROLLER)
    return {"maxUnavailable": 1, "selector": {"matchLabels": labels}}


def _network_policy() -> Manifest:
    labels = common_labels("tidegate", CONTROLLER)
    ingress = [{"ports": [{"port": API, "protocol": "TCP"}]}]
    return {"podSelector": {"matchLabels": labels}, "policyTypes": ["Ingress"], "ingress": ingress}


def _deployment(given: ControlPlane) -> Manifest:
    """Replaced one at a time: one that stands by is ready, too, and one that cannot start takes no other's place."""
    labels = common_labels("tidegate", CONTROLLER)
    return {
        "replicas": given.controllers,
        "selector": {"matchLabels": labels},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "template": {"metadata": {"labels": labels}, "spec": _pod(given, labels)},
    }


def _pod(given: ControlPlane, labels: dict[str, str]) -> Manifest:
    return {
        "serviceAccountName": NAME,
        "automountServiceAccountToken": True,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 30,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 10_001,
            "runAsGroup": 10_001,
            "fsGroup": 10_001,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": labels},
            }
        ],
        "containers": [_container(given)],
        "volumes": [
            {"name": "state", "emptyDir": {}},
            {"name": "tmp", "emptyDir": {}},
            {"name": "targets", "configMap": {"name": NAME}},
        ],
    }


def _container(given: ControlPlane) -> Manifest:
    return {
        "name": "controller",
        "image": given.image,
        "command": [
            *("python", "-m", "tidegate.cli.controller"),
            *("--host", "0.0.0.0", "--port", str(API), "--state", FOLDER),
        ],
        "env": [
            _from_secret("TIDEGATE_DATABASE_URL", given.secret, "database-url"),
            _from_secret("TIDEGATE_ACCESS_KEYS", given.secret, "access-keys"),
            # The one that does not lead waits for the lease in the database.
            {"name": "TIDEGATE_STANDBY", "value": "1"},
            {"name": "TIDEGATE_TARGETS", "value": f"{TARGETS_FOLDER}/{TARGETS_FILE}"},
        ],
        "ports": [{"name": "http", "containerPort": API, "protocol": "TCP"}],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": API}, "periodSeconds": 2, "timeoutSeconds": 5},
        "resources": {"requests": {"cpu": given.cpu, "memory": given.memory}, "limits": {"memory": given.memory}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "state", "mountPath": FOLDER},
            {"name": "tmp", "mountPath": "/tmp"},
            {"name": "targets", "mountPath": TARGETS_FOLDER, "readOnly": True},
        ],
    }


def _from_secret(variable: str, secret: str, key: str) -> Manifest:
    return {"name": variable, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}
