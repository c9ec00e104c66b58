"""The rights that the controller needs in its namespace: the one list for doctor and for the Helm chart."""

from collections.abc import Mapping

from tidegate.targets.kubernetes.options import KubernetesOptions

RIGHTS: Mapping[str, Mapping[str, str]] = {
    "Deployment": {
        "get": "compare the fence of a fleet before it is changed",
        "list": "see which fleets there are, twice a second at most",
        "create": "start the first apply of a fleet",
        "patch": "server-side apply of fleets and gateways",
        "delete": "remove a fleet whose traffic has moved away",
    },
    "deployments/status": {"patch": "show kubectl's users the state of a fleet as a condition"},
    "Event": {"create": "show them what happened to it"},
    "Job": {
        "get": "see whether the pods of a transform job are there",
        "list": "find those of jobs that have no record",
        "create": "start the first apply of a transform job",
        "patch": "server-side apply of it",
        "delete": "end it",
    },
    "Pod": {
        "list": "see which replicas are ready, and why others are not",
        "patch": "label the pod of the controller that leads, for its Service",
    },
    "pods/log": {"get": "tidegate logs"},
    "Secret": {
        "get": "read the gateways' token, and the fleets of an earlier controller",
        "list": "find the Secrets of a fleet that is removed, and those that somebody deleted",
        "create": "make the token, and a fleet's start data",
        "patch": "server-side apply of a fleet's start data",
        "delete": "remove them with their fleet",
    },
    "ConfigMap": {"create": "the gateways' settings", "patch": "server-side apply of them"},
    "Service": {
        "get": "keep the address of the gateways' one",
        "list": "find those of fleets that somebody deleted",
        "create": "a name for each fleet and for the gateways",
        "patch": "server-side apply of them",
        "delete": "remove a fleet's",
    },
    "PodDisruptionBudget": {
        "list": "find those of fleets that somebody deleted",
        "create": "let a node's drain take one replica at a time",
        "patch": "server-side apply of it",
        "delete": "remove a fleet's",
    },
    "Lease": {
        "get": "see whether a later controller shows that it leads",
        "create": "show which controller leads",
        "patch": "server-side apply of that",
    },
    "NetworkPolicy": {"create": "close workers and agents to others", "patch": "server-side apply of them"},
}
"""Kind (or ``plural/subresource``) -> verb -> what it is for."""

_SCALER = {
    "list": "find those that somebody deleted",
    "create": "let the cluster choose the number of a fleet's replicas",
    "patch": "server-side apply of it",
    "delete": "remove it with its fleet",
}
OPTIONAL_RIGHTS: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    "endpoint_resources": {
        "Endpoint": {
            "list": "see which endpoints are declared",
            "get": "read them one by one, if one of them cannot be read",
            "patch": "keep one until its endpoint is gone, and remove annotations that were carried out",
        },
        "endpoints/status": {"patch": "show what became of it"},
    },
    "autoscaling": {"HorizontalPodAutoscaler": _SCALER, "ScaledObject": _SCALER},
    "http_route": {
        "HTTPRoute": {
            "get": "see which routes the Gateway has in force",
            "list": "find the routes of an earlier controller",
            "create": "route an endpoint by the Gateway",
            "patch": "server-side apply of its routes",
            "delete": "take it off the Gateway",
        }
    },
}
"""Option of the target -> rights that it needs besides."""


def needed_rights(options: KubernetesOptions) -> list[tuple[str, str]]:
    """Verb and kind of all that a controller with these options does."""
    found = dict(RIGHTS)
    if options.http_route is not None:
        found |= OPTIONAL_RIGHTS["http_route"]
    if options.endpoint_resources:
        found |= OPTIONAL_RIGHTS["endpoint_resources"]
    kinds = {"hpa": "HorizontalPodAutoscaler", "keda": "ScaledObject"}
    found |= {kinds[one.kind]: _SCALER for one in options.autoscaling.values()}
    return [(verb, kind) for kind, verbs in found.items() for verb in verbs]
