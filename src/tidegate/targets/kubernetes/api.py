"""The API server, by lightkube: objects as JSON, repeated while that may help, and errors of our own kinds.

Lists are cached by object: the controller lists the same objects each second, and hardly any of them has changed. An
object as it came over the wire is compared with the one that came last: that costs about 1 % of decoding it.
"""

from __future__ import annotations  # names of an extra that may not be installed

import asyncio
import contextlib
import json
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
from msgspec import DecodeError

from tidegate.domain.decoding import prepare_type
from tidegate.domain.errors import StartupError, Transient
from tidegate.targets.kubernetes.api_errors import CONFLICT, GONE, NOT_FOUND, ApiRequest, error_of, is_retried
from tidegate.targets.kubernetes.names import MANAGER, Manifest
from tidegate.targets.kubernetes.options import KubernetesOptions


class _Metadata(msgspec.Struct, rename={"next": "continue"}):
    next: str = ""


class _ListPage(msgspec.Struct):
    """One page of a list. ``metadata.next``: the token of the next page."""

    items: list[msgspec.Raw] | None = None
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)


_pages = msgspec.json.Decoder(prepare_type(_ListPage))


def read_page(body: bytes) -> _ListPage:
    """Decode a page of a list. Raises msgspec.DecodeError."""
    return _pages.decode(body)


@dataclass
class ObjectCache:
    """The objects that each list had the last time."""

    _known: dict[object, dict[bytes, Manifest]] = field(default_factory=dict)

    def read(self, of: object, pages: Iterable[_ListPage], owners: bool = True) -> list[Manifest]:
        """Return the objects of a list. One that has not changed is the same object as before, which nobody may
        change. ``of``: which list. ``owners``: whether it is of interest who set which field; that is a third of an
        object. Raises msgspec.DecodeError."""
        known = self._known.get(of, {})
        fresh: dict[bytes, Manifest] = {}
        for page in pages:
            for raw in page.items or ():
                content = bytes(raw)
                found: Any = known.get(content)
                fresh[content] = _decode(content, owners) if found is None else found
        self._known[of] = fresh
        return list(fresh.values())


def _decode(content: bytes, owners: bool) -> Manifest:
    found: Manifest = msgspec.json.decode(content)
    if not owners and isinstance(about := found.get("metadata"), dict):
        about.pop("managedFields", None)
    return found


try:
    import httpx2
    from lightkube import AsyncClient
    from lightkube.config import client_adapter
    from lightkube.config.kubeconfig import KubeConfig, SingleConfig
    from lightkube.core.exceptions import ApiError, ConfigError
    from lightkube.generic_resource import GenericNamespacedResource, create_api_info
    from lightkube.types import CascadeType
except ImportError as missing:
    MISSING: str | None = missing.name
else:
    MISSING = None

R = TypeVar("R")

DEADLINE = 8.0
"""Seconds that one call takes at most, with its repetitions."""
TIMEOUT = 5.0
"""Seconds of one try."""
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 2.0
CHUNK = 500
"""Objects of one page of a list."""
DEFAULT_NAMESPACE = "default"
LOG = "pods/log"
METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
REPORTED = {"fieldManager": "tidegate-report", "force": "true"}
"""Of what is shown to people: nobody else sets it."""
REPEATED = ("Deployment", "Pod")
"""Kinds that are listed again and again, with the same labels."""

KINDS: Mapping[str, tuple[str, str]] = {
    "Deployment": ("apps/v1", "deployments"),
    "Job": ("batch/v1", "jobs"),
    "Lease": ("coordination.k8s.io/v1", "leases"),
    "Pod": ("v1", "pods"),
    "pods/log": ("v1", "pods/log"),
    "deployments/status": ("apps/v1", "deployments/status"),
    "Endpoint": ("tidegate.io/v1alpha1", "endpoints"),
    "endpoints/status": ("tidegate.io/v1alpha1", "endpoints/status"),
    "Event": ("v1", "events"),
    "ServiceAccount": ("v1", "serviceaccounts"),
    "Secret": ("v1", "secrets"),
    "ConfigMap": ("v1", "configmaps"),
    "Service": ("v1", "services"),
    "PodDisruptionBudget": ("policy/v1", "poddisruptionbudgets"),
    "HorizontalPodAutoscaler": ("autoscaling/v2", "horizontalpodautoscalers"),
    "ScaledObject": ("keda.sh/v1alpha1", "scaledobjects"),
    "NetworkPolicy": ("networking.k8s.io/v1", "networkpolicies"),
    "HTTPRoute": ("gateway.networking.k8s.io/v1", "httproutes"),
    "ResourceQuota": ("v1", "resourcequotas"),
}
"""Kind -> its version, where a manifest does not say, and its name in paths and rights."""


def connect(options: KubernetesOptions, transport: httpx2.AsyncBaseTransport | None = None) -> KubeApi:
    """Credentials from the kubeconfig or the pod's service account. Raises StartupError."""
    if MISSING is not None:
        raise StartupError(
            f"kubernetes: a package is not installed ({MISSING}): pip install 'tidegate[kubernetes]'"
        )
    try:
        config = _configuration(options)
        timeout = httpx2.Timeout(TIMEOUT)
        client = AsyncClient(config, timeout=timeout, transport=transport, trust_env=False)
        parameters = client_adapter.ConnectionParams(timeout=timeout, transport=transport, trust_env=False)  # type: ignore[arg-type]
        raw = client_adapter.AsyncClient(config, parameters)
    except (ConfigError, KeyError, OSError, ValueError, TypeError) as error:
        raise StartupError(f"kubernetes: no usable credentials: {error}; set kubeconfig or KUBECONFIG") from None
    return KubeApi(client, raw, options.namespace or config.namespace or DEFAULT_NAMESPACE)


def _configuration(options: KubernetesOptions) -> SingleConfig:
    found = KubeConfig.from_file(options.kubeconfig) if options.kubeconfig else KubeConfig.from_env()
    chosen = found.get(options.context or None)
    assert chosen is not None
    return chosen


@dataclass
class KubeApi:
    """Raises Transient, ForeignChange and TargetRefused (``MissingRight``)."""

    client: AsyncClient
    raw: httpx2.AsyncClient
    namespace: str
    jitter: Callable[[], float] = random.random
    _resources: dict[tuple[str, str], Any] = field(default_factory=dict)
    _lists: ObjectCache = field(default_factory=ObjectCache)

    async def get(self, kind: str, name: str) -> Manifest | None:
        resource = self._resource(kind)
        with contextlib.suppress(_Absent):
            found = await self._call(
                "get", kind, name, lambda: self.client.get(resource, name, namespace=self.namespace)
            )
            return dict(found)
        return None

    async def find(self, kind: str, labels: str, repeated: bool = True) -> list[Manifest]:
        """Complete, or an error: a list whose next page has expired is begun again. An object that has not changed
        is the same one as the last time: nobody may change it. ``repeated``: whether to keep what is needed for
        that."""
        path = self._path(kind)

        async def pages() -> list[Manifest]:
            found = [await self._page(path, labels, "")]
            while found[-1].metadata.next:
                found.append(await self._page(path, labels, found[-1].metadata.next))
            lists = self._lists if repeated and kind in REPEATED else ObjectCache()
            return lists.read((kind, labels), found, owners=kind != "Pod")

        return await self._call("list", kind, "", pages)

    async def find_metadata(self, kind: str, labels: str, version: str = "") -> list[Manifest]:
        """List objects as ``find`` does, but with their metadata alone: the contents of Secrets stay where they
        are."""
        path = self._path(kind, version)

        async def pages() -> list[Manifest]:
            found = [await self._page(path, labels, "", METADATA_ONLY)]
            while found[-1].metadata.next:
                found.append(await self._page(path, labels, found[-1].metadata.next, METADATA_ONLY))
            return ObjectCache().read((kind, labels), found, owners=False)

        return await self._call("list", kind, "", pages)

    def _path(self, kind: str, version: str = "") -> str:
        known, plural = KINDS[kind]
        version = version or known
        return f"/{'apis' if '/' in version else 'api'}/{version}/namespaces/{self.namespace}/{plural}"

    async def _page(self, path: str, labels: str, after: str, accept: str = "application/json") -> _ListPage:
        asked = {"labelSelector": labels, "limit": str(CHUNK), "continue": after}
        given = {name: value for name, value in asked.items() if value}
        answer = await self.raw.get(path, params=given, headers={"accept": accept})
        answer.raise_for_status()
        return read_page(answer.content)

    async def apply(self, manifest: Manifest, force: bool = False, manager: str = MANAGER) -> Manifest:
        """Server-side apply. Without ``force``, raises ForeignChange for a field that somebody else has set. What a
        manager set and leaves out the next time goes; others' fields stay."""
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        resource = self._resource(kind, manifest["apiVersion"])

        def send() -> Awaitable[Any]:
            return self.client.apply(
                resource(manifest), name, namespace=self.namespace, field_manager=manager, force=force
            )

        return dict(await self._call("patch", kind, name, send))

    async def patch(self, kind: str, name: str, change: Manifest) -> bool:
        """Merge ``change`` into an object; None removes a key. False if the object is absent. Raises Transient if
        ``change`` names another uid or resourceVersion than it has."""
        return await self._patch(kind, name, change, "application/merge-patch+json", {})

    async def set_condition(self, name: str, condition: Manifest) -> bool:
        """Set one condition of a Deployment, whose own controller keeps those of others. False if it is absent."""
        status = {"conditions": [condition]}
        body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "status": status}
        return await self._patch("deployments/status", name, body, "application/apply-patch+yaml", REPORTED)

    async def _patch(self, kind: str, name: str, body: Manifest, form: str, query: Mapping[str, str]) -> bool:
        sub = KINDS[kind][1].partition("/")[2]
        path = f"{self._path(kind).removesuffix(f'/{sub}')}/{name}" + (f"/{sub}" if sub else "")

        async def send() -> None:
            headers = {"content-type": form}
            answer = await self.raw.patch(path, content=json.dumps(body), params=dict(query), headers=headers)
            if answer.status_code == CONFLICT and "uid" in body.get("metadata", {}):
                raise Transient(f"{kind} {name} was changed by somebody else since it was read")
            answer.raise_for_status()

        with contextlib.suppress(_Absent):
            await self._call("patch", kind, name, send)
            return True
        return False

    async def create(self, manifest: Manifest) -> bool:
        """Create an object. Returns False if it exists already."""
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        object = self._resource(kind, manifest["apiVersion"])(manifest)
        with contextlib.suppress(_Exists):
            await self._call("create", kind, name, lambda: self._create(object))
            return True
        return False

    async def _create(self, object: Any) -> Any:
        create: Callable[..., Awaitable[Any]] = self.client.create
        return await create(object, namespace=self.namespace)

    async def delete(self, kind: str, name: str, version: str = "") -> None:
        """Delete an object and its dependents. An absent object is a success."""
        resource = self._resource(kind, version)
        with contextlib.suppress(_Absent):
            await self._call(
                "delete",
                kind,
                name,
                lambda: self.client.delete(
                    resource, name, namespace=self.namespace, cascade=CascadeType.BACKGROUND
                ),
            )

    async def log(self, pod: str, lines: int) -> list[str]:
        async def read() -> list[str]:
            found = self.client.log(pod, namespace=self.namespace, tail_lines=lines, newlines=False)
            return [line async for line in found]

        with contextlib.suppress(_Absent):
            return await self._call("get", LOG, pod, read)
        return []

    async def groups(self) -> set[str]:
        """Group versions that the cluster serves; those of the core are not among them."""

        async def read() -> set[str]:
            answer = await self.raw.get("/apis")
            answer.raise_for_status()
            return {version["groupVersion"] for group in answer.json()["groups"] for version in group["versions"]}

        return await self._call("get", "apis", "", read)

    async def version(self) -> str:
        async def read() -> str:
            answer = await self.raw.get("/version")
            answer.raise_for_status()
            return str(answer.json()["gitVersion"])

        return await self._call("get", "version", "", read)

    async def may(self, verb: str, kind: str, account: str = "") -> bool:
        """Whether a ServiceAccount of the namespace may do it, by the cluster's own judgement; without one, whether
        these credentials may."""
        version, plural = KINDS[kind]
        group = version.rpartition("/")[0]
        plural, _, sub = plural.partition("/")
        attributes = {
            "namespace": self.namespace,
            "verb": verb,
            "group": group,
            "resource": plural,
            "subresource": sub,
        }
        review = "SubjectAccessReview" if account else "SelfSubjectAccessReview"
        spec: Manifest = {"resourceAttributes": {name: value for name, value in attributes.items() if value}}
        if account:
            accounts = "system:serviceaccounts"
            spec["user"] = f"system:serviceaccount:{self.namespace}:{account}"
            spec["groups"] = [accounts, f"{accounts}:{self.namespace}", "system:authenticated"]
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": review, "metadata": {}, "spec": spec}

        async def ask() -> bool:
            answer = await self.raw.post(f"/apis/authorization.k8s.io/v1/{review.lower()}s", json=body)
            answer.raise_for_status()
            status = answer.json()["status"]
            return bool(status["allowed"]) and not status.get("denied")

        return await self._call("create", f"{review.lower()}s", "", ask)

    async def close(self) -> None:
        await self.client.close()
        await self.raw.aclose()

    def _resource(self, kind: str, version: str = "") -> Any:
        known, plural = KINDS[kind]
        key = (kind, version or known)
        if key not in self._resources:
            group, _, number = key[1].rpartition("/")
            # lightkube's registry would refuse kinds for which it has classes with fixed fields.
            info = {"_api_info": create_api_info(group, number, kind, plural)}
            self._resources[key] = type(kind, (GenericNamespacedResource,), info)
        return self._resources[key]

    async def _call(self, verb: str, kind: str, name: str, send: Callable[[], Awaitable[R]]) -> R:
        """Repeat ``send`` until it works, cannot work, or the deadline has passed."""
        asked = ApiRequest(verb, KINDS.get(kind, ("", kind))[1].lower(), name, self.namespace)
        clock, pause = asyncio.get_running_loop().time, FIRST_PAUSE
        deadline = clock() + DEADLINE
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    return await send()
            except httpx2.HTTPStatusError as error:
                status, answer = _answer(error)
                if status == NOT_FOUND and (kind in KINDS or kind == LOG):
                    lacks = f"kubernetes has no resource {asked.resource}: install its definition ({asked})"
                    raise _Absent(lacks if verb == "list" else str(asked)) from None
                if status == 409 and answer.get("reason") == "AlreadyExists":
                    raise _Exists(str(asked)) from None
                problem = error_of(asked, status, answer)
                retried = is_retried(status, asked, answer) or (status == GONE and verb == "list")
                after = _retry_after(error)
            except (
                httpx2.HTTPError,
                OSError,
                ConfigError,
                TimeoutError,
                json.JSONDecodeError,
                DecodeError,
            ) as error:
                what = str(error) or type(error).__name__
                problem, retried, after = Transient(f"kubernetes cannot be reached for {asked}: {what}"), True, 0.0
            wait = max(after, pause * (0.5 + self.jitter()))
            if not retried or clock() + wait >= deadline:
                raise problem
            await asyncio.sleep(wait)
            pause = min(2 * pause, LONGEST_PAUSE)


class _Absent(Transient):
    """There is no such object."""


class _Exists(Transient):
    """There is one already."""


def _answer(error: httpx2.HTTPStatusError) -> tuple[int, Mapping[str, Any]]:
    if isinstance(error, ApiError) and error.status is not None:
        status = error.status.to_dict()
        return int(status.get("code") or (error.response.status_code if error.response else 500)), status
    if error.response is None:
        return 500, {}
    with contextlib.suppress(ValueError):
        body = error.response.json()
        if isinstance(body, dict):
            return error.response.status_code, body
    return error.response.status_code, {"message": error.response.reason_phrase}


def _retry_after(error: httpx2.HTTPStatusError) -> float:
    try:
        return min(float(error.response.headers.get("retry-after", "0")), DEADLINE)
    except (ValueError, AttributeError):
        return 0.0
