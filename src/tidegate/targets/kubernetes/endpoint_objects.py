"""The ``EndpointResources`` port: objects of the kind Endpoint in the target's namespace.

Changes name the uid and the resourceVersion that was read, so that the API server refuses one of an object that is
another by now; the object is read again with the next list.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tidegate.ports.endpoint_resources import EndpointResource
from tidegate.targets.kubernetes.api import KubeApi
from tidegate.targets.kubernetes.names import PREFIX, Manifest

FINALIZER = f"{PREFIX}/endpoint"


@dataclass(frozen=True)
class EndpointObjects:
    api: KubeApi
    target: str

    async def find(self) -> Sequence[EndpointResource]:
        try:
            found = await self.api.find("Endpoint", "", repeated=False)
        except RecursionError:  # one is nested too deeply: the others are read all the same
            found = [await self._read_alone(one) for one in await self.api.find_metadata("Endpoint", "")]
        return [read_endpoint(one) for one in found]

    async def _read_alone(self, about: Manifest) -> Manifest:
        """The object, or its metadata if it cannot be read: it counts as one without a spec, which is refused."""
        try:
            return await self.api.get("Endpoint", about["metadata"]["name"]) or about
        except RecursionError:
            return about

    async def put_status(self, resource: EndpointResource, status: Mapping[str, Any]) -> None:
        fresh = dict.fromkeys(resource.status) | dict(status)  # None removes a member
        # Of a status the API server does not compare the uid alone.
        await self.api.patch("endpoints/status", resource.name, {"metadata": _as_read(resource), "status": fresh})

    async def hold(self, resource: EndpointResource) -> None:
        await self._change(resource, {"finalizers": [*resource.holders, FINALIZER]})

    async def release(self, resource: EndpointResource) -> None:
        await self._change(resource, {"finalizers": [one for one in resource.holders if one != FINALIZER]})

    async def remove_annotation(self, resource: EndpointResource, annotation: str) -> None:
        await self._change(resource, {"annotations": {annotation: None}})

    async def _change(self, resource: EndpointResource, metadata: Manifest) -> None:
        await self.api.patch("Endpoint", resource.name, {"metadata": {**_as_read(resource), **metadata}})


def _as_read(resource: EndpointResource) -> Manifest:
    return {"uid": resource.uid, "resourceVersion": resource.version}


def read_endpoint(found: Manifest) -> EndpointResource:
    about = found["metadata"]
    holders = tuple(about.get("finalizers") or ())
    return EndpointResource(
        about["name"],
        about["uid"],
        about.get("generation", 1),
        found.get("spec", {}),
        about.get("creationTimestamp", ""),
        about.get("resourceVersion", ""),
        about.get("annotations") or {},
        "deletionTimestamp" in about,
        FINALIZER in holders,
        holders,
        found.get("status") or {},
    )
