"""Models in a registry: addresses of MLflow, ARNs of SageMaker's model packages, and how an endpoint follows them."""

import re
from dataclasses import dataclass

_MLFLOW = re.compile(r"models:/(?P<name>[^/@:\s]+)(?:/(?P<version>[1-9][0-9]*)|@(?P<alias>[^/@:\s]+))")
_PACKAGE = re.compile(
    r"arn:aws[a-z-]*:sagemaker:[^:]*:[^:]*:model-package(?:-group/(?P<group>[^/:]+)|/(?P<name>[^/:]+)/(?P<version>[1-9][0-9]*))"
)
EXPECTED = (
    "models:/NAME@ALIAS, models:/NAME/VERSION, or the ARN of a model package group or of one of its versions"
)


@dataclass(frozen=True)
class RegistryAddress:
    """``version`` is empty for an address whose version may change: an alias of MLflow, or a group of SageMaker's
    model packages, which means its newest approved version."""

    text: str
    name: str
    version: str = ""
    alias: str = ""
    packages: bool = False

    def with_version(self, version: str | int) -> str:
        """The address of one version of this model."""
        if self.packages:
            head = self.text.partition(":model-package")[0]
            return f"{head}:model-package/{self.name}/{version}"
        return f"models:/{self.name}/{version}"


def parse_registry_address(text: str) -> RegistryAddress | None:
    """None for what is no such address."""
    if found := _MLFLOW.fullmatch(text):
        return RegistryAddress(text, found["name"], found["version"] or "", found["alias"] or "")
    if found := _PACKAGE.fullmatch(text):
        return RegistryAddress(text, found["group"] or found["name"], found["version"] or "", packages=True)
    return None


def is_registry_address(text: str) -> bool:
    """Whether it was meant as one, so that it is no path."""
    return text.startswith("models:/") or text.startswith("arn:")


# --- settings of an endpoint that follows a registry ---


FOLLOW = "model.follow"
"""Its key among the sections of a deployment."""


@dataclass(frozen=True)
class FollowSettings:
    """``address``: of an alias or a group. ``every``: seconds between two looks. ``restore``: whether the alias moves
    back after a rollback. ``version``: address of the version that is deployed. ``spec``: the spec as it was written,
    as JSON, which is deployed anew with each version."""

    address: str
    every: int
    restore: bool
    version: str
    spec: str
