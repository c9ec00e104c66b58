"""What features check of the containers of a version before it is deployed."""

from collections.abc import Iterable

from tidegate.domain.errors import Invalid
from tidegate.domain.registry import ContainerDefinition
from tidegate.host.features import describe_switched_off, features
from tidegate.ports.store import Tx

PACKAGES = "packages"
"""The feature without which nobody can say whether a model package is approved."""


def check_containers(tx: Tx, containers: Iterable[ContainerDefinition]) -> None:
    """Raises Invalid if a feature refuses a container, or if the one that could approve it is off."""
    there = tuple(containers)
    packaged = next((one.package for one in there if one.package is not None), None)
    if packaged is not None and not features().is_on(PACKAGES):
        raise Invalid(f"model package {packaged} cannot be deployed: {describe_switched_off(PACKAGES)}")
    for _, check in features().hooks("check_containers"):
        check(tx, there)
