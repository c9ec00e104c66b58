"""The targets there are: one row for each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tidegate.domain.targets import LOCAL
from tidegate.ports.target import Checker, Provider, Renderer
from tidegate.targets.context import TargetContext
from tidegate.targets.kubernetes.doctor import check_kubernetes
from tidegate.targets.kubernetes.provider import provide_kubernetes
from tidegate.targets.kubernetes.render import render_kubernetes
from tidegate.targets.local.provider import provide_local


@dataclass(frozen=True)
class TargetKind:
    """``renderers``: form -> what prints a deployment in it, the usual form first; empty where the platform itself
    runs what it deploys. Modules of a target import what needs an extra only once it is used."""

    provide: Callable[[TargetContext], Provider]
    renderers: Mapping[str, Renderer] = field(default_factory=dict)
    check: Checker | None = None


KINDS: Mapping[str, TargetKind] = {
    LOCAL: TargetKind(provide_local),
    "kubernetes": TargetKind(provide_kubernetes, {"manifests": render_kubernetes}, check_kubernetes),
}
