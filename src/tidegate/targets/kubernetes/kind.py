"""The target ``kubernetes`` in the registry."""

from tidegate.targets.kind import TargetKind
from tidegate.targets.kubernetes.doctor import check_kubernetes
from tidegate.targets.kubernetes.provider import provide_kubernetes, reaches_kubernetes
from tidegate.targets.kubernetes.render import render_kubernetes
from tidegate.targets.kubernetes.uninstall import uninstall_kubernetes

KIND = TargetKind(
    provide_kubernetes,
    {"manifests": render_kubernetes},
    check_kubernetes,
    uninstall=uninstall_kubernetes,
    reaches=reaches_kubernetes,
)
