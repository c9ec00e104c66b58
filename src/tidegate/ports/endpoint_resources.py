"""Endpoints that are declared as resources of the place where a target runs, such as objects of a Kubernetes cluster.

Errors of every call: ``Transient`` (retry), ``TargetRefused``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True)
class EndpointResource:
    """A resource that declares an endpoint, as last read.

    ``generation`` rises with each change of ``spec``, and ``version`` with every change. ``created`` is a time in ISO
    8601, UTC, to the second. A resource that is ``held`` stays until ``release``; one that is ``deleting`` goes once
    nobody holds it."""

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
    """The resources of one place. No call changes a resource that was changed since it was read; nothing happens to
    one that is gone."""

    @property
    def target(self) -> str:
        """Name of the target that has them, where endpoints run whose spec names none."""
        ...

    async def find(self) -> Sequence[EndpointResource]: ...

    async def put_status(self, resource: EndpointResource, status: Mapping[str, Any]) -> None:
        """Members of the status as read that ``status`` leaves out go."""
        ...

    async def hold(self, resource: EndpointResource) -> None:
        """Keep it, when it is deleted, until ``release``."""
        ...

    async def release(self, resource: EndpointResource) -> None: ...

    async def remove_annotation(self, resource: EndpointResource, annotation: str) -> None: ...
