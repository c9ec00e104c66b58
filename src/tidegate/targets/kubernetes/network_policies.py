"""Who may connect to workers and gateways. Pure."""

from tidegate.targets.kubernetes.names import (
    AGENT,
    CONTROLLER,
    COPIES,
    GATEWAY,
    PREDICTIONS,
    STATISTICS,
    WORKER,
    Manifest,
    common_labels,
)
from tidegate.targets.kubernetes.options import KubernetesOptions


def network_policies(options: KubernetesOptions) -> list[Manifest]:
    """Workers answer gateways, and the controller: for statistics, and for requests from the queue. A gateway's agent
    answers the controller alone, and its port for copies of requests is for the workers. Probes come from the node,
    which network policies let through."""
    controller: list[Manifest] = [
        {"podSelector": {"matchLabels": common_labels(options.installation, CONTROLLER)}}
    ]
    if options.controller_cidr:
        controller = [*controller, {"ipBlock": {"cidr": options.controller_cidr}}]
    gateway: list[Manifest] = [{"podSelector": {"matchLabels": common_labels(options.installation, GATEWAY)}}]
    if options.http_route is not None:
        gateway = []  # the cluster's own gateway is in a namespace that is not known here
    workers: list[Manifest] = [{"podSelector": {"matchLabels": common_labels(options.installation, WORKER)}}]
    callers = [*gateway, *controller] if gateway else []
    return [
        _policy(options, WORKER, [_rule(PREDICTIONS, callers), _rule(STATISTICS, controller)]),
        _policy(options, GATEWAY, [_rule(PREDICTIONS, []), _rule(AGENT, controller), _rule(COPIES, workers)]),
    ]


def _rule(port: int, sources: list[Manifest]) -> Manifest:
    """No sources: from anywhere."""
    rule: Manifest = {"ports": [{"port": port, "protocol": "TCP"}]}
    return {**rule, "from": sources} if sources else rule


def _policy(options: KubernetesOptions, component: str, ingress: list[Manifest]) -> Manifest:
    labels = common_labels(options.installation, component)
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": f"{options.installation}-{component}", "labels": labels},
        "spec": {"podSelector": {"matchLabels": labels}, "policyTypes": ["Ingress"], "ingress": ingress},
    }
