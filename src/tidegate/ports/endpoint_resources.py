"""Endpoints that are declared as resources of the place where a target runs, such as objects of a Kubernetes cluster.

Errors of every call: ``Transient`` (retry), ``TargetRefused``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True)
class EndpointResource:
    """One resource as it was read. ``generation`` rises with each change of ``spec``; ``version`` with every change.
    ``created``: time in ISO 8601, UTC, to the second. ``held``: whether it is kept until ``release``.
    ``deleting``: it goes once nobody holds it."""

    name: str
    uid: str
    generation: int
    spec: Mapping[str, Any]
    created: str = ""
    version: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)
    deleting: bool = False
    held: bool = False
    holders: tuple[str, ...] = ()
    """All who hold it, of which tidegate may be one."""
    status: Mapping[str, Any] = field(default_factory=dict)


class EndpointResources(Protocol):
    """What is asked of them is not done for a resource that is gone, or was changed since it was read."""

    target: str
    """Name of the target that has them, where endpoints run whose spec names none."""

    async def find(self) -> Sequence[EndpointResource]: ...

    async def put_status(self, resource: EndpointResource, status: Mapping[str, Any]) -> None:
        """Members that ``status`` leaves out stay."""
        ...

    async def hold(self, resource: EndpointResource) -> None:
        """Keep it, when it is deleted, until ``release``."""
        ...

    async def release(self, resource: EndpointResource) -> None: ...

    async def remove_annotation(self, resource: EndpointResource, annotation: str) -> None: ...
