"""A fake: an API server, deployment controller and kubelet in memory, below lightkube's HTTP client.

It knows server-side apply with owners of fields, labels, and pods that follow their Deployment. It checks no schema:
the manifests are validated elsewhere, and a real cluster is in ``tests/kubernetes``.
"""

import copy
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx2

Object = dict[str, Any]
PATH = re.compile(
    r"/(?:api|apis/(?P<group>[^/]+))/(?P<version>[^/]+)/namespaces/(?P<namespace>[^/]+)/(?P<plural>[a-z]+)"
    r"(?:/(?P<name>[^/]+))?(?:/(?P<sub>[a-z]+))?"
)
PRECONDITIONS = ("uid", "resourceVersion")
GROUPS = ("apps/v1", "policy/v1beta1", "autoscaling/v2beta2", "networking.k8s.io/v1")


@dataclass
class Fault:
    """Answers ``times`` requests that ``match`` (method and path) with ``status``, or breaks their connections."""

    match: str
    status: int = 0
    answer: Object = field(default_factory=dict)
    times: int = 1
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class MemoryApiServer(httpx2.AsyncBaseTransport):
    """``start``: what becomes of a new pod; by default it is ready at once."""

    objects: dict[tuple[str, str], Object] = field(default_factory=dict)
    """(plural, name) -> object."""
    faults: list[Fault] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    start: Callable[[Object], None] = lambda pod: make_ready(pod)
    version: int = 0
    away: bool = False
    groups: tuple[str, ...] = GROUPS
    routed: Callable[[Object], None] = lambda route: None
    """What a gateway's controller makes of an HTTPRoute that was written."""
    forbidden: set[tuple[str, str]] = field(default_factory=set)
    """(verb, plural) that the credentials lack."""
    lacking: set[tuple[str, str]] = field(default_factory=set)
    """The same of the ServiceAccount that a SubjectAccessReview asks for."""
    reviewed: list[tuple[str, str, str]] = field(default_factory=list)
    """User, group and resource of each review."""
    logs: dict[str, str] = field(default_factory=dict)
    _addresses: Iterator[int] = field(default_factory=lambda: iter(range(2, 1_000_000)))

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        path, method = request.url.path, request.method
        self.requests.append(f"{method} {path}")
        if self.away:
            raise httpx2.ConnectError("connection refused", request=request)
        if (fault := self._fault(f"{method} {path}")) is not None:
            if not fault.status:
                raise httpx2.ReadError("connection lost", request=request)
            body = {"kind": "Status", "status": "Failure", "code": fault.status, "message": "", **fault.answer}
            return httpx2.Response(fault.status, json=body, headers=fault.headers, request=request)
        return self._serve(method, path, request)

    def _fault(self, what: str) -> Fault | None:
        for fault in self.faults:
            if fault.times and re.search(fault.match, what):
                fault.times -= 1
                return fault
        return None

    def _serve(self, method: str, path: str, request: httpx2.Request) -> httpx2.Response:
        if path == "/apis":
            versions = [{"versions": [{"groupVersion": name}]} for name in self.groups]
            return httpx2.Response(200, json={"groups": versions}, request=request)
        if path == "/version":
            return httpx2.Response(200, json={"gitVersion": "v1.20.2"}, request=request)
        if path.endswith("subjectaccessreviews"):
            if ("create", path.rpartition("/")[2]) in self.forbidden:
                message = 'subjectaccessreviews is forbidden: User "ann" cannot create resource'
                return self._refuse(request, 403, "Forbidden", message)
            review = json.loads(request.content)["spec"]
            asked = review["resourceAttributes"]
            resource = "/".join(filter(None, (asked["resource"], asked.get("subresource"))))
            lacking = self.lacking if "user" in review else self.forbidden
            allowed = (asked["verb"], resource) not in lacking
            self.reviewed.append((review.get("user", ""), asked.get("group", ""), resource))
            return httpx2.Response(201, json={"status": {"allowed": allowed}}, request=request)
        found = PATH.fullmatch(path)
        if found is None:
            return self._refuse(request, 404, "NotFound", "no such path")
        plural, name = found["plural"], found["name"] or ""
        verb = {"GET": "get" if name else "list", "PATCH": "patch", "POST": "create", "DELETE": "delete"}[method]
        resource = f"{plural}/{found['sub']}" if found["sub"] else plural
        if (verb, resource) in self.forbidden:
            message = f'{resource} is forbidden: User "system:serviceaccount:ml:tidegate" cannot {verb} {plural}'
            return self._refuse(request, 403, "Forbidden", message)
        if found["sub"] == "log":
            return httpx2.Response(200, text=self.logs.get(name, ""), request=request)
        if method == "GET":
            return self._get(request, plural, name)
        if found["sub"] == "status" or "merge-patch" in request.headers.get("content-type", ""):
            return self._patch(request, plural, name)
        if method == "DELETE":
            return self._delete(request, plural, name)
        return self._write(request, method, plural, name)

    def _get(self, request: httpx2.Request, plural: str, name: str) -> httpx2.Response:
        if name:
            found = self.objects.get((plural, name))
            if found is None:
                return self._refuse(request, 404, "NotFound", f'{plural} "{name}" not found')
            return httpx2.Response(200, json=found, request=request)
        wanted = dict(one.split("=") for one in request.url.params.get("labelSelector", "").split(",") if one)
        items = [
            one
            for (kind, _), one in sorted(self.objects.items())
            if kind == plural and wanted.items() <= (one["metadata"].get("labels") or {}).items()
        ]
        body = {"kind": "List", "metadata": {"resourceVersion": str(self.version)}, "items": items}
        return httpx2.Response(200, json=body, request=request)

    def _patch(self, request: httpx2.Request, plural: str, name: str) -> httpx2.Response:
        """A merge, or conditions of a Deployment's status."""
        found = self.objects.get((plural, name))
        if found is None:
            return self._refuse(request, 404, "NotFound", f'{plural} "{name}" not found')
        given: Object = json.loads(request.content)
        about, expected = found["metadata"], given.get("metadata") or {}
        compared = PRECONDITIONS if "status" not in given else PRECONDITIONS[1:]
        if any(expected.get(key, about.get(key)) != about.get(key) for key in compared):
            return self._refuse(
                request, 409, "Conflict", "the object has been modified; please apply your changes"
            )
        status = given.pop("status", None)
        if status is not None and "merge-patch" in request.headers.get("content-type", ""):
            _merge(found.setdefault("status", {}), status)
        elif status is not None:
            kinds = {one["type"] for one in status["conditions"]}
            known = found.setdefault("status", {}).get("conditions", [])
            found["status"]["conditions"] = [*(c for c in known if c["type"] not in kinds), *status["conditions"]]
        else:
            _merge(found, given)
        self.version += 1
        found["metadata"]["resourceVersion"] = str(self.version)
        if is_leaving(found) and found["metadata"].get("finalizers") == []:
            del self.objects[plural, name]
        return httpx2.Response(200, json=found, request=request)

    def _write(self, request: httpx2.Request, method: str, plural: str, name: str) -> httpx2.Response:
        given: Object = json.loads(request.content)
        name = name or given["metadata"]["name"]
        old = self.objects.get((plural, name))
        if method == "POST" and old is not None:
            return self._refuse(request, 409, "AlreadyExists", f'{plural} "{name}" already exists')
        if old is None and plural == "deployments" and "selector" not in given["spec"]:
            return self._refuse(request, 422, "Invalid", "spec.selector: Required value")
        manager = request.url.params.get("fieldManager", "unknown")
        if old is not None and request.url.params.get("force") != "true":
            for path, other in _conflicts(old, given, manager):
                message = f'Apply failed with 1 conflict: conflict with "{other}": {path}'
                return self._refuse(request, 409, "Conflict", message)
        fresh = self._store(plural, given, old, manager)
        return httpx2.Response(200, json=fresh, request=request)

    def _store(self, plural: str, given: Object, old: Object | None, manager: str) -> Object:
        self.version += 1
        fresh = copy.deepcopy(given) if old is None else _merge(copy.deepcopy(old), given)
        about = fresh["metadata"]
        about.setdefault("uid", f"uid-{self.version}")
        about.setdefault("creationTimestamp", "2026-01-01T00:00:00Z")
        about["resourceVersion"] = str(self.version)
        owners = fresh.setdefault("_owners", {})
        owners.update(dict.fromkeys(_leaves(given), manager))
        if old is None or old["spec" if "spec" in fresh else "metadata"] != fresh.get("spec", fresh["metadata"]):
            about["generation"] = about.get("generation", 0) + 1
        self.objects[plural, about["name"]] = fresh
        if plural == "httproutes":
            self.routed(fresh)
        if plural == "deployments":
            fresh["spec"].setdefault("replicas", 1)
            self._follow(fresh)
        return fresh

    def _delete(self, request: httpx2.Request, plural: str, name: str) -> httpx2.Response:
        if self.objects.pop((plural, name), None) is None:
            return self._refuse(request, 404, "NotFound", f'{plural} "{name}" not found')
        if plural == "deployments":
            self._let_go()
        return httpx2.Response(200, json={"kind": "Status", "status": "Success"}, request=request)

    def _refuse(self, request: httpx2.Request, status: int, reason: str, message: str) -> httpx2.Response:
        body = {"kind": "Status", "status": "Failure", "code": status, "reason": reason, "message": message}
        return httpx2.Response(status, json=body, request=request)

    # --- the cluster's own controllers ---

    def settle(self) -> None:
        """Make the pods that Deployments ask for, and mark those that are too many as leaving."""
        for deployment in [one for (plural, _), one in self.objects.items() if plural == "deployments"]:
            self._follow(deployment)
        self._let_go()

    def _follow(self, deployment: Object) -> None:
        name, labels = deployment["metadata"]["name"], deployment["spec"]["template"]["metadata"]["labels"]
        mine = [
            one
            for one in self.pods()
            if one["metadata"].get("of") == name and not is_leaving(one) and one["status"].get("phase") != "Failed"
        ]
        for _ in range(deployment["spec"].get("replicas", 1) - len(mine)):
            number = next(self._addresses)
            about = {"name": f"{name}-{number}", "uid": f"pod-{number}", "of": name, "labels": labels}
            spec = copy.deepcopy(deployment["spec"]["template"]["spec"])
            address = f"10.{number // 62_500}.{number // 250 % 250}.{number % 250}"
            pod = {"metadata": about, "spec": spec, "status": {"phase": "Running", "podIP": address}}
            self.start(pod)
            self.objects["pods", about["name"]] = pod
        for pod in mine[deployment["spec"].get("replicas", 1) :]:
            pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"

    def _let_go(self) -> None:
        """Pods whose Deployment is gone."""
        names = {name for plural, name in self.objects if plural == "deployments"}
        for pod in self.pods():
            if pod["metadata"].get("of") not in names:
                pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"

    def pods(self, component: str = "") -> list[Object]:
        found = [one for (plural, _), one in self.objects.items() if plural == "pods"]
        label = "app.kubernetes.io/component"
        return [one for one in found if not component or one["metadata"]["labels"].get(label) == component]

    def remove_leaving(self) -> None:
        for pod in self.pods():
            if is_leaving(pod):
                del self.objects["pods", pod["metadata"]["name"]]

    def edit(self, plural: str, name: str, change: Object, manager: str = "kubectl-edit") -> None:
        """What somebody else does."""
        self._store(plural, change, self.objects[plural, name], manager)


def is_leaving(pod: Object) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def make_ready(pod: Object) -> None:
    pod["status"]["conditions"] = [{"type": "Ready", "status": "True"}, {"type": "PodScheduled", "status": "True"}]


def _merge(old: Object, given: Object) -> Object:
    for key, value in given.items():
        if value is None:
            old.pop(key, None)
        elif isinstance(value, dict) and isinstance(old.get(key), dict):
            _merge(old[key], value)
        else:
            old[key] = value
    return old


def _leaves(node: Object, path: str = "") -> list[str]:
    found: list[str] = []
    for key, value in node.items():
        if isinstance(value, dict) and value:
            found += _leaves(value, f"{path}.{key}")
        else:
            found.append(f"{path}.{key}")
    return found


def _value(node: Any, path: str) -> Any:
    for key in path.strip(".").split("."):
        node = node.get(key) if isinstance(node, dict) else None
    return node


def _conflicts(old: Object, given: Object, manager: str) -> Iterator[tuple[str, str]]:
    """Fields that another manager owns and that would change. Keys with dots are compared as a whole elsewhere."""
    owners = old.get("_owners", {})
    for path in _leaves(given):
        other = owners.get(path)
        if other not in (None, manager) and _value(old, path) != _value(given, path):
            yield path, other
