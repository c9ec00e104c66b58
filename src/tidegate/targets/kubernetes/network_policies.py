"""Who may connect to workers and gateways. Pure."""

from collections.abc import Sequence

from tidegate.targets.kubernetes.names import (
    AGENT,
    CONTROLLER,
    COPIES,
    GATEWAY,
    PREDICTIONS,
    QUEUED,
    STATISTICS,
    WORKER,
    Manifest,
    common_labels,
)
from tidegate.targets.kubernetes.options import KubernetesOptions


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
    statistics, closed = _rule(STATISTICS, controller), _rule(PREDICTIONS, [gateway, *controller])
    if options.http_route is None:
        workers = [_policy(options, WORKER, worker, [closed, statistics])]
    else:
        queued, others = {**worker, QUEUED: "true"}, [{"key": QUEUED, "operator": "DoesNotExist"}]
        workers = [
            _policy(options, "queued", queued, [_rule(PREDICTIONS, controller), statistics]),
            _policy(options, WORKER, worker, [_rule(PREDICTIONS, []), statistics], others),
        ]
    gateways = [
        _rule(PREDICTIONS, []),
        _rule(AGENT, controller),
        _rule(COPIES, [{"podSelector": {"matchLabels": worker}}]),
    ]
    return [*workers, _policy(options, GATEWAY, common_labels(options.installation, GATEWAY), gateways)]


def _rule(port: int, sources: list[Manifest]) -> Manifest:
    """No sources: from anywhere."""
    rule: Manifest = {"ports": [{"port": port, "protocol": "TCP"}]}
    return {**rule, "from": sources} if sources else rule


def _policy(
    options: KubernetesOptions,
    name: str,
    labels: dict[str, str],
    ingress: list[Manifest],
    expressions: Sequence[Manifest] = (),
) -> Manifest:
    """For the pods with these labels that also meet ``expressions``."""
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
