"""An HTTPRoute of the Gateway API, in place of tidegate's own gateways. Pure."""

from tidegate.domain.errors import TargetRefused
from tidegate.domain.traffic import Route, RouteTable
from tidegate.targets.kubernetes.names import (
    ENDPOINT,
    FENCE,
    GATEWAY,
    PREDICTIONS,
    Manifest,
    common_labels,
    endpoint_name,
    fleet_name,
)
from tidegate.targets.kubernetes.options import KubernetesOptions

MOST_BACKENDS = 16
"""Backends of one rule that the Gateway API allows."""
VARIANT_HEADER = "X-Amzn-SageMaker-Target-Variant"


def http_route(table: RouteTable, options: KubernetesOptions) -> Manifest:
    """A route with a rule for each variant that a request may name, and one for all others. Weights are the table's
    basis points. Raises TargetRefused for a table with too many fleets."""
    assert options.http_route is not None
    chosen = options.http_route
    parent = {"name": chosen.gateway, **({"namespace": chosen.namespace} if chosen.namespace else {})}
    path = {"type": "PathPrefix", "value": f"/endpoints/{table.endpoint}"}
    rules = [
        {
            "matches": [{"path": path, "headers": [{"type": "Exact", "name": VARIANT_HEADER, "value": variant}]}],
            "backendRefs": _backends(table, routes),
        }
        for variant, routes in sorted(table.targets.items())
    ]
    rules.append({"matches": [{"path": path}], "backendRefs": _backends(table, table.routes)})
    spec: Manifest = {"parentRefs": [parent], "rules": rules}
    if chosen.hostnames:
        spec["hostnames"] = list(chosen.hostnames)
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {
            "name": endpoint_name(table.endpoint),
            "labels": {**common_labels(options.installation, GATEWAY), ENDPOINT: table.endpoint},
            "annotations": {FENCE: str(table.fence)},
        },
        "spec": spec,
    }


def _backends(table: RouteTable, routes: tuple[Route, ...]) -> list[Manifest]:
    if len(routes) > MOST_BACKENDS:
        raise TargetRefused(
            f"{table.endpoint}: an HTTPRoute has at most {MOST_BACKENDS} backends, not {len(routes)}"
        )
    return [
        {"kind": "Service", "name": fleet_name(one.fleet), "port": PREDICTIONS, "weight": one.share}
        for one in routes
    ]
