"""The manifest of the feature endpoint_resources."""

from tidegate.domain.feature import Feature, Loop

FEATURE = Feature(
    name="endpoint_resources",
    summary="Endpoints declared as resources of a Kubernetes cluster.",
    page="how-to/kubernetes-resources.md",
    kinds=".kinds:KINDS",
    loops=(Loop(".loop:make_loop", seconds=2.0),),
)
