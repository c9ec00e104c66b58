"""What a pod of a fleet can do, and why fleets fail to start. Pure."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tidegate.targets.kubernetes.names import Manifest
from tidegate.targets.kubernetes.options import KubernetesOptions

PULLS = frozenset({"ErrImagePull", "ImagePullBackOff", "RegistryUnavailable", "ImageInspectError"})
HOPELESS = frozenset(
    {
        "InvalidImageName",
        "ErrImageNeverPull",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
    }
)
CRASHES = 3
"""Restarts of a container that never became ready, after which its fleet has failed."""


@dataclass(frozen=True)
class WorkerPod:
    """``address`` is its IP."""

    name: str
    address: str
    ready: bool
    leaving: bool
    ended: bool
    problem: str | None = None
    """What keeps it from starting."""
    patience: float = 0.0
    """Seconds for which the problem may still pass by itself."""


def worker_pod(pod: Manifest, options: KubernetesOptions) -> WorkerPod:
    about, status = pod["metadata"], pod.get("status") or {}
    conditions = {one.get("type"): one for one in status.get("conditions") or ()}
    problem, patience = _problem(status, conditions, options)
    return WorkerPod(
        name=about["name"],
        address=status.get("podIP") or "",
        ready=conditions.get("Ready", {}).get("status") == "True",
        leaving="deletionTimestamp" in about,
        ended=status.get("phase") in ("Succeeded", "Failed"),
        problem=problem,
        patience=patience,
    )


def _problem(
    status: Mapping[str, Any], conditions: Mapping[Any, Mapping[str, Any]], options: KubernetesOptions
) -> tuple[str | None, float]:
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False":
        return f"no node for it: {scheduled.get('message', 'Unschedulable')}", options.scheduling_patience
    for container in status.get("containerStatuses") or ():
        found = _container_problem(container, options)
        if found is not None:
            return found
    if status.get("phase") == "Failed":
        return f"it failed: {status.get('message') or status.get('reason') or 'no reason given'}", 0.0
    return None, 0.0


def _container_problem(container: Mapping[str, Any], options: KubernetesOptions) -> tuple[str, float] | None:
    state = container.get("state") or {}
    waiting = state.get("waiting") or {}
    reason, message = waiting.get("reason", ""), waiting.get("message") or ""
    if reason in PULLS:
        return f"image {container.get('image')} cannot be pulled ({reason}): {message}".rstrip(
            ": "
        ), options.pull_patience
    if reason in HOPELESS:
        return f"{reason}: {message}".rstrip(": "), 0.0
    ended = state.get("terminated") or (container.get("lastState") or {}).get("terminated")
    if not ended or not ended.get("exitCode") or container.get("ready"):
        return None
    words, permanent = _report(ended)
    if permanent or int(container.get("restartCount") or 0) >= CRASHES:
        return words, 0.0
    return None


def _report(ended: Mapping[str, Any]) -> tuple[str, bool]:
    """What a worker that ended wrote, and whether another start would repeat it."""
    code, message = ended.get("exitCode"), (ended.get("message") or "").strip()
    if ended.get("reason") == "OOMKilled":
        return "it needs more memory than its limit (OOMKilled): raise the variant's memory", False
    try:
        told = json.loads(message)
        return str(told["message"]), bool(told.get("permanent"))
    except (ValueError, KeyError, TypeError):
        last = message.splitlines()[-1] if message else ended.get("reason") or ""
        return f"its container ended with exit code {code}: {last}".rstrip(": "), False


def problems(
    pods: Iterable[WorkerPod], deployment: Manifest, options: KubernetesOptions
) -> list[tuple[str, float]]:
    """What keeps a fleet's replicas from starting, and for how many seconds that may still pass by itself."""
    found = [
        (f"replica {pod.name}: {pod.problem}", pod.patience)
        for pod in sorted(pods, key=lambda one: one.name)
        if pod.problem and not pod.leaving
    ]
    for condition in (deployment.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True":
            words = condition.get("message") or condition.get("reason") or "no reason given"
            found.append((f"pods cannot be created: {words}", options.scheduling_patience))
    return found


@dataclass(frozen=True)
class ProblemHistory:
    """Since when each problem of a fleet has been seen, by the clock of this machine: that of the API server may
    differ."""

    since: Mapping[str, float] = field(default_factory=dict)

    def after(self, found: Iterable[tuple[str, float]], now: float) -> "ProblemHistory":
        return ProblemHistory({what: self.since.get(what, now) for what, _ in found})

    def failure(self, found: Iterable[tuple[str, float]], now: float) -> str | None:
        """The first problem that did not pass in time."""
        return next((what for what, patience in found if now - self.since.get(what, now) >= patience), None)
