"""Nodes without containers: a pod is ready as soon as it is placed, and gone as soon as it is deleted.

For counting what one controller carries: everything above the nodes is real.
"""

import ipaddress
import json
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import httpx

_MERGE = {"content-type": "application/merge-patch+json"}
_ROOM = {"cpu": "1000", "memory": "1000Gi", "pods": "10000", "ephemeral-storage": "1000Gi"}
_ADDRESSES = ipaddress.ip_network("100.64.0.0/10")
"""Of pods; nothing answers there."""
_PAUSE = 0.2
"""Seconds until the API is asked again after an error."""


class FakeKubelet:
    """Plays kubelet for ``nodes`` nodes, in a thread of its own. ``client``: with every right; closed at the end."""

    def __init__(self, client: httpx.Client, nodes: int) -> None:
        self._client = client
        self._nodes = [f"fake{number}" for number in range(1, nodes + 1)]
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fake kubelet", daemon=True)
        self._addresses = _ADDRESSES.hosts()

    def start(self) -> None:
        """Register the nodes and start. Raises HTTPStatusError."""
        for name in self._nodes:
            self._client.post("/api/v1/nodes", json=_node(name)).raise_for_status()
            status = {"status": {"conditions": _conditions("Ready"), "capacity": _ROOM, "allocatable": _ROOM}}
            self._patch(f"/api/v1/nodes/{name}/status", status)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._client.close()  # which ends its watch
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._follow()
            except (httpx.HTTPError, json.JSONDecodeError, RuntimeError):  # also of a client that was closed
                self._stopping.wait(_PAUSE)

    def _follow(self) -> None:
        """Handle every pod there is, then every change until the watch ends."""
        listed = self._client.get("/api/v1/pods").raise_for_status().json()
        for pod in listed["items"]:
            self._handle(pod)
        query = {"watch": "1", "resourceVersion": listed["metadata"]["resourceVersion"], "timeoutSeconds": "5"}
        with self._client.stream("GET", "/api/v1/pods", params=query) as answer:
            for line in answer.raise_for_status().iter_lines():
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return  # the version is too old: list again
                if event["type"] != "DELETED":
                    self._handle(event["object"])

    def _handle(self, pod: dict[str, Any]) -> None:
        meta = pod["metadata"]
        path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"
        if pod["spec"].get("nodeName") not in self._nodes:
            return
        if "deletionTimestamp" in meta:
            self._client.request(
                "DELETE", path, json={"gracePeriodSeconds": 0, "preconditions": {"uid": meta["uid"]}}
            )
        elif pod["status"].get("phase") == "Pending":
            self._patch(f"{path}/status", {"status": self._running(pod)})

    def _running(self, pod: dict[str, Any]) -> dict[str, object]:
        now, address = _now(), str(next(self._addresses))
        return {
            "phase": "Running",
            "conditions": _conditions("Initialized", "PodScheduled", "ContainersReady", "Ready"),
            "podIP": address,
            "podIPs": [{"ip": address}],
            "startTime": now,
            "containerStatuses": [
                {
                    "name": container["name"],
                    "image": container["image"],
                    "imageID": "",
                    "ready": True,
                    "started": True,
                    "restartCount": 0,
                    "state": {"running": {"startedAt": now}},
                }
                for container in pod["spec"]["containers"]
            ],
        }

    def _patch(self, path: str, change: Mapping[str, object]) -> None:
        answer = self._client.patch(path, content=json.dumps(change), headers=_MERGE)
        if answer.status_code != httpx.codes.NOT_FOUND:  # deleted meanwhile
            answer.raise_for_status()


def _node(name: str) -> dict[str, object]:
    return {"kind": "Node", "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}}


def _conditions(*names: str) -> list[dict[str, str]]:
    now = _now()
    return [
        {"type": name, "status": "True", "reason": "Fake", "lastTransitionTime": now, "lastHeartbeatTime": now}
        if name == "Ready" and len(names) == 1
        else {"type": name, "status": "True", "lastTransitionTime": now}
        for name in names
    ]


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
