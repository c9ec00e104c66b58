"""An HTTPRoute of the Gateway API, in place of tidegate's own gateways. Pure."""

import msgspec

from tidegate.domain.decoding import prepare_type
from tidegate.domain.errors import TargetRefused, Transient
from tidegate.domain.fleet import FleetId
from tidegate.domain.traffic import Route, RouteTable
from tidegate.targets.kubernetes.names import (
    ENDPOINT,
    FENCE,
    FLEETS,
    GATEWAY,
    PREDICTIONS,
    Manifest,
    common_labels,
    endpoint_name,
    fence_of,
    fleet_name,
)
from tidegate.targets.kubernetes.options import KubernetesOptions

GATEWAY_API = "gateway.networking.k8s.io/v1"
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
        "apiVersion": GATEWAY_API,
        "kind": "HTTPRoute",
        "metadata": {
            "name": endpoint_name(table.endpoint),
            "labels": {**common_labels(options.installation, GATEWAY), ENDPOINT: table.endpoint},
            "annotations": {FENCE: str(table.fence), FLEETS: _names(table)},
        },
        "spec": spec,
    }


def _names(table: RouteTable) -> str:
    """Which fleets the backends are, as JSON: their names are digests."""
    every = (route for routes in (table.routes, *table.targets.values()) for route in routes)
    return msgspec.json.encode({fleet_name(one.fleet): str(one.fleet) for one in every}, order="sorted").decode()


def read_table(endpoint: str, route: Manifest) -> RouteTable:
    """The table that a live HTTPRoute stands for, with the weights that it has, whoever set them. Raises Transient
    where it is no longer one of ours."""
    about = route["metadata"]
    try:
        names = msgspec.json.decode(about["annotations"][FLEETS], type=prepare_type(dict[str, str]))
        found = {
            _variant(rule): tuple(Route(FleetId.parse(names[one["name"]]), int(one["weight"])) for one in backends)
            for rule in route["spec"]["rules"]
            for backends in (rule["backendRefs"],)
        }
        return RouteTable(endpoint, fence_of(route), found.pop(""), found)
    except (KeyError, ValueError, TypeError, msgspec.DecodeError):
        raise Transient(
            f"HTTPRoute {about['name']} was changed by somebody else, and is left as it is: undo that change"
        ) from None


def _variant(rule: Manifest) -> str:
    """The variant that requests must name for a rule; empty for all others."""
    [match] = rule["matches"]
    return next((str(one["value"]) for one in match.get("headers") or () if one["name"] == VARIANT_HEADER), "")


def find_problem(route: Manifest) -> str | None:
    """Why an HTTPRoute is not in force as it is; None if each of its Gateways has accepted this generation of it."""
    about, parents = route["metadata"], (route.get("status") or {}).get("parents") or ()
    for parent in route["spec"]["parentRefs"]:
        told = [one for one in parents if _is_same(one.get("parentRef") or {}, parent, about.get("namespace"))]
        if not told:
            return (
                f"Gateway {parent['name']} says nothing of HTTPRoute {about['name']}: is its controller running?"
            )
        for one in told:
            conditions = {condition.get("type"): condition for condition in one.get("conditions") or ()}
            for name in ("Accepted", "ResolvedRefs"):
                condition = conditions.get(name) or {}
                if condition.get("observedGeneration", 0) < about.get("generation", 0):
                    return f"Gateway {parent['name']} has not seen the last change of HTTPRoute {about['name']}"
                if condition.get("status") != "True":
                    why = condition.get("message") or condition.get("reason") or "no reason given"
                    return f"Gateway {parent['name']} does not take HTTPRoute {about['name']} ({name}): {why}"
    return None


def _is_same(one: Manifest, other: Manifest, own: str | None) -> bool:
    return (one.get("name"), one.get("namespace", own)) == (other["name"], other.get("namespace", own))


def _backends(table: RouteTable, routes: tuple[Route, ...]) -> list[Manifest]:
    if len(routes) > MOST_BACKENDS:
        raise TargetRefused(
            f"{table.endpoint}: an HTTPRoute has at most {MOST_BACKENDS} backends, not {len(routes)}"
        )
    return [
        {"kind": "Service", "name": fleet_name(one.fleet), "port": PREDICTIONS, "weight": one.share}
        for one in routes
    ]
