"""Checks by features of the containers of a version, before it is deployed."""

from collections.abc import Iterable

from tidegate.domain.registry import ContainerDefinition
from tidegate.host.features import features
from tidegate.ports.store import Tx


def check_containers(tx: Tx, containers: Iterable[ContainerDefinition]) -> None:
    """Check containers by the features. Raises Invalid if a feature refuses a container, or if the one that could
    approve it is off."""
    there = tuple(containers)
    packaged = next((one.package for one in there if one.package is not None), None)
    if packaged is not None:  # else nobody can say whether it is approved
        features().require_hook("package_containers", f"model package {packaged} cannot be deployed")
    for _, check in features().hooks("check_containers"):
        check(tx, there)
