"""Which versions of an API a cluster serves. Pure."""

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True)
class ApiVersions:
    """The newest version of each kind that the cluster has. The defaults are those of every maintained Kubernetes."""

    disruption_budget: str = "policy/v1"
    autoscaler: str = "autoscaling/v2"
    keda: bool = False
    gateway_api: bool = False


def choose(groups: Collection[str]) -> ApiVersions:
    """``groups``: the group versions that API discovery shows, such as ``apps/v1``."""
    return ApiVersions(
        disruption_budget="policy/v1" if "policy/v1" in groups else "policy/v1beta1",
        autoscaler="autoscaling/v2" if "autoscaling/v2" in groups else "autoscaling/v2beta2",
        keda="keda.sh/v1alpha1" in groups,
        gateway_api="gateway.networking.k8s.io/v1" in groups,
    )
