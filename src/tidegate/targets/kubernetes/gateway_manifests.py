"""The gateways: a Deployment of pods with a HAProxy and its agent, what they need, and who may connect to them and to
workers. Pure.
"""

import base64
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import msgspec

from tidegate.auth.keys import prediction_keys
from tidegate.domain.decoding import prepare_type
from tidegate.domain.errors import TargetRefused
from tidegate.ports.gateway_agent import AgentSettings
from tidegate.serving.contract.beside import FRONT_CONTROL_PORT, FRONT_PORT
from tidegate.settings import Settings
from tidegate.targets.kubernetes.api_versions import ApiVersions
from tidegate.targets.kubernetes.names import (
    AGENT,
    CONTROLLER,
    COPIES,
    DIGEST,
    GATEWAY,
    PREDICTIONS,
    PREFIX,
    QUEUED,
    STATISTICS,
    WORKER,
    Manifest,
    common_labels,
)
from tidegate.targets.kubernetes.options import KubernetesOptions
from tidegate.targets.kubernetes.pod_template import (
    MARGIN,
    PRE_STOP,
    avoid_spot,
    container_defaults,
    keys_name,
    pod_defaults,
)
from tidegate.targets.kubernetes.start_data import FOLDER, KEYS_FILE

FRONT_PORTS = {PREDICTIONS: FRONT_PORT, STATISTICS: FRONT_CONTROL_PORT}
"""The same ports of a worker that is the front of other containers. Those of these containers stay closed."""


def network_policies(options: KubernetesOptions) -> list[Manifest]:
    """In the order in which they are applied, over those that were there before. Workers answer gateways, and the
    controller: for statistics, and for requests from the queue. A gateway's agent answers the controller alone, and
    its port for copies of requests is for the workers. Probes come from the node, which network policies let
    through.

    A Gateway of the cluster is in a namespace that is not known here, so workers behind one are open. Those of
    asynchronous fleets verify no signatures and stay closed: policies add up, so the open one leaves them out, and
    their own one is there before it."""
    controller: list[Manifest] = [
        {"podSelector": {"matchLabels": common_labels(options.installation, CONTROLLER)}}
    ]
    if options.controller_cidr:
        controller = [*controller, {"ipBlock": {"cidr": options.controller_cidr}}]
    gateway: Manifest = {"podSelector": {"matchLabels": common_labels(options.installation, GATEWAY)}}
    worker = common_labels(options.installation, WORKER)
    statistics, closed = _worker_rule(STATISTICS, controller), _worker_rule(PREDICTIONS, [gateway, *controller])
    if options.http_route is None:
        workers = [_policy(options, WORKER, worker, [closed, statistics])]
    else:
        queued, others = {**worker, QUEUED: "true"}, [{"key": QUEUED, "operator": "DoesNotExist"}]
        workers = [
            _policy(options, "queued", queued, [_worker_rule(PREDICTIONS, controller), statistics]),
            _policy(options, WORKER, worker, [_worker_rule(PREDICTIONS, []), statistics], others),
        ]
    gateways = [
        _rule(PREDICTIONS, []),
        _rule(AGENT, controller),
        _rule(COPIES, [{"podSelector": {"matchLabels": worker}}]),
    ]
    return [*workers, _policy(options, GATEWAY, common_labels(options.installation, GATEWAY), gateways)]


def _worker_rule(port: int, sources: list[Manifest]) -> Manifest:
    rule = _rule(port, sources)
    return {**rule, "ports": [*rule["ports"], {"port": FRONT_PORTS[port], "protocol": "TCP"}]}


def _rule(port: int, sources: list[Manifest]) -> Manifest:
    """Return a rule that admits the sources to a port. Without sources it admits everybody."""
    rule: Manifest = {"ports": [{"port": port, "protocol": "TCP"}]}
    return {**rule, "from": sources} if sources else rule


def _policy(
    options: KubernetesOptions,
    name: str,
    labels: dict[str, str],
    ingress: list[Manifest],
    expressions: Sequence[Manifest] = (),
) -> Manifest:
    """Return a policy for the pods with these labels that also meet ``expressions``."""
    component = GATEWAY if name == GATEWAY else WORKER
    about = {"name": f"{options.installation}-{name}", "labels": common_labels(options.installation, component)}
    pods: Manifest = {"matchLabels": labels}
    if expressions:
        pods["matchExpressions"] = list(expressions)
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": about,
        "spec": {"podSelector": pods, "policyTypes": ["Ingress"], "ingress": ingress},
    }


GATEWAY_FOLDER, GATEWAY_FILE = "/etc/tidegate/gateway", "agent.json"
ADDRESS = f"{PREFIX}/service-address"
TOKEN_DIGEST = f"{PREFIX}/token"
TOKEN_FOLDER, TOKEN_FILE = "/etc/tidegate/token", "token"


def gateway_name(options: KubernetesOptions) -> str:
    return f"{options.installation}-gateway"


def token_name(options: KubernetesOptions) -> str:
    return f"{options.installation}-gateway-token"


def gateway_manifests(
    settings: Settings, options: KubernetesOptions, versions: ApiVersions, namespace: str, token: str = ""
) -> list[Manifest]:
    """Return the manifests of the gateways, in the order in which they are applied, without the Secret of the token,
    which is made once. Another token makes other gateways, one at a time, so that each of them gets it."""
    config = agent_config(settings, options, namespace)
    found = [access_keys(settings, options)] if settings.access_keys else []
    found += network_policies(options) if options.network_policies else []
    if options.http_route is None:
        found += [
            config,
            service(options),
            disruption_budget(options, versions),
            deployment(settings, options, config, token),
        ]
    return found


def _metadata(options: KubernetesOptions, name: str) -> Manifest:
    return {"name": name, "labels": common_labels(options.installation, GATEWAY)}


def access_keys(settings: Settings, options: KubernetesOptions) -> Manifest:
    """Workers verify signatures themselves."""
    keys = base64.b64encode(msgspec.json.encode(prediction_keys(settings), order="sorted")).decode()
    about = _metadata(options, keys_name(options))
    return {"apiVersion": "v1", "kind": "Secret", "metadata": about, "type": "Opaque", "data": {KEYS_FILE: keys}}


def token_secret(options: KubernetesOptions, token: str) -> Manifest:
    """Created once; never applied again, so that a running gateway keeps its token."""
    encoded = base64.b64encode(token.encode()).decode()
    about = _metadata(options, token_name(options))
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": about,
        "type": "Opaque",
        "data": {TOKEN_FILE: encoded},
    }


def read_token(secret: Manifest) -> str:
    """Read the token from its Secret. Raises TargetRefused if it has none."""
    try:
        token = base64.b64decode(secret["data"][TOKEN_FILE]).decode().strip()
    except (KeyError, ValueError, TypeError):
        token = ""
    if not token:
        raise TargetRefused(f"Secret {secret['metadata']['name']} has no token: delete it, and it is made anew")
    return token


def agent_config(settings: Settings, options: KubernetesOptions, namespace: str) -> Manifest:
    name = gateway_name(options)
    proxy = {
        "host": "0.0.0.0",
        "port": PREDICTIONS,
        "region": settings.region,
        "account": settings.account,
        "max_body": settings.max_body,
        "invocation_timeout": settings.invocation_timeout,
        "queue_timeout": settings.queue_timeout,
        "stream_timeout": settings.stream_timeout,
        "drain_timeout": settings.drain_timeout,
        "allowed_hosts": [
            name,
            f"{name}.{namespace}",
            f"{name}.{namespace}.svc",
            f"{name}.{namespace}.svc.cluster.local",
            *options.gateway.hosts,
        ],
    }
    agent = AgentSettings(
        port=AGENT,
        token_file=f"{TOKEN_FOLDER}/{TOKEN_FILE}",
        state=FOLDER,
        proxy=proxy,
        signed=bool(settings.access_keys),
        own_hosts=("POD_IP", f"{name.upper().replace('-', '_')}_SERVICE_HOST"),
        leave_after=float(PRE_STOP),
        copies_port=COPIES,
    )
    text = msgspec.json.encode(agent, order="sorted").decode()
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _metadata(options, name),
        "data": {GATEWAY_FILE: text},
    }


def service(options: KubernetesOptions) -> Manifest:
    port = {"name": "http", "port": 80, "targetPort": PREDICTIONS, "protocol": "TCP"}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(options, gateway_name(options)),
        "spec": {
            "type": options.gateway.service_type,
            "selector": common_labels(options.installation, GATEWAY),
            "ports": [port],
        },
    }


def address_of(service: Manifest) -> dict[str, Any]:
    """Return the fields of a Service that clients may know: the cluster chose them when the Service was made."""
    spec = service["spec"]
    found = {"clusterIP": spec.get("clusterIP"), "nodePort": (spec.get("ports") or [{}])[0].get("nodePort")}
    return {name: value for name, value in found.items() if value}


def noted_address(deployment: Manifest) -> dict[str, Any]:
    """The Service's address as an earlier controller noted it beside the gateways; empty if it did not."""
    text = (deployment["metadata"].get("annotations") or {}).get(ADDRESS, "{}")
    try:
        return msgspec.json.decode(text, type=prepare_type(dict[str, Any]))
    except msgspec.DecodeError:
        return {}


def with_address(service: Manifest, address: Mapping[str, Any]) -> Manifest:
    """A Service without ports on the nodes gets none."""
    spec = dict(service["spec"])
    if address.get("clusterIP"):
        spec["clusterIP"] = address["clusterIP"]
    if address.get("nodePort") and spec["type"] != "ClusterIP":
        spec["ports"] = [{**spec["ports"][0], "nodePort": address["nodePort"]}]
    return {**service, "spec": spec}


def disruption_budget(options: KubernetesOptions, versions: ApiVersions) -> Manifest:
    return {
        "apiVersion": versions.disruption_budget,
        "kind": "PodDisruptionBudget",
        "metadata": _metadata(options, gateway_name(options)),
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": common_labels(options.installation, GATEWAY)},
        },
    }


def deployment(settings: Settings, options: KubernetesOptions, config: Manifest, token: str) -> Manifest:
    """Return the Deployment of the gateways. Another configuration or token makes other pods, one at a time."""
    labels = common_labels(options.installation, GATEWAY)
    annotations = {DIGEST: sha256(config["data"][GATEWAY_FILE].encode()).hexdigest()[:16]}
    if token:
        annotations[TOKEN_DIGEST] = sha256(token.encode()).hexdigest()[:16]
    spec = pod_defaults(options, labels)
    spec |= {
        "enableServiceLinks": True,  # the gateway learns the address of its own Service, which clients may use
        "terminationGracePeriodSeconds": PRE_STOP + settings.drain_timeout + MARGIN,
        "containers": [gateway_container(options)],
        "volumes": [
            {"name": "gateway", "configMap": {"name": gateway_name(options)}},
            {"name": "token", "secret": {"secretName": token_name(options)}},
            {"name": "work", "emptyDir": {}},
            {"name": "tmp", "emptyDir": {}},
        ],
    }
    if not options.spot:
        spec["affinity"] = avoid_spot()
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(options, gateway_name(options)),
        "spec": {
            "replicas": options.gateway.replicas,
            "selector": {"matchLabels": labels},
            "revisionHistoryLimit": 1,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": {
                "metadata": {"labels": {**options.labels, **labels}, "annotations": annotations},
                "spec": spec,
            },
        },
    }


def gateway_container(options: KubernetesOptions) -> Manifest:
    """Ready once it has all tables. Its end is announced by the agent, which stops being ready first."""
    ready = {"path": "/ready", "port": AGENT, "scheme": "HTTP"}
    return {
        "name": "gateway",
        **container_defaults(options),
        "command": ["python", "-m", "tidegate.proxy.agent_main", f"{GATEWAY_FOLDER}/{GATEWAY_FILE}"],
        "env": [
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}}},
            {"name": "HOME", "value": FOLDER},
        ],
        "ports": [
            {"name": "http", "containerPort": PREDICTIONS, "protocol": "TCP"},
            {"name": "agent", "containerPort": AGENT, "protocol": "TCP"},
            {"name": "copies", "containerPort": COPIES, "protocol": "TCP"},
        ],
        "resources": {
            "requests": {"cpu": options.gateway.cpu, "memory": options.gateway.memory},
            "limits": {"memory": options.gateway.memory},
        },
        "readinessProbe": {"httpGet": ready, "periodSeconds": 1, "timeoutSeconds": 2, "failureThreshold": 2},
        "livenessProbe": {
            "tcpSocket": {"port": AGENT},
            "initialDelaySeconds": 10,
            "periodSeconds": 10,
            "timeoutSeconds": 5,
            "failureThreshold": 6,
        },
        "volumeMounts": [
            {"name": "gateway", "mountPath": GATEWAY_FOLDER, "readOnly": True},
            {"name": "token", "mountPath": TOKEN_FOLDER, "readOnly": True},
            {"name": "work", "mountPath": FOLDER},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
    }
