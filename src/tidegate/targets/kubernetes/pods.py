"""Determine which pods of a fleet can serve, and why fleets fail to start. Pure."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from tidegate.targets.kubernetes.names import PREDICTIONS, STATISTICS, WORKER, Manifest
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
TAKEN = frozenset(
    {"Evicted", "Preempting", "Preempted", "NodeLost", "NodeShutdown", "Shutdown", "Terminated", "NodeAffinity"}
)
"""Reasons of pods that the cluster ended, which says nothing about what they ran."""
UNBOUNDED = math.inf
FORGOTTEN_AFTER = 15.0
"""Seconds that a problem is away after which one of its kind is a new one."""
LATE = 10.0
"""Seconds past its time after which a pod that is still ending is reported."""


@dataclass(frozen=True)
class StartProblem:
    """A reason why replicas do not start. ``kind`` stays the same while ``words`` change, such as between two tries
    of a pull. ``patience``: seconds for which it may still pass by itself."""

    kind: Literal["schedule", "pull", "start", "create", "taken"]
    words: str
    patience: float = 0.0


@dataclass(frozen=True)
class WorkerPod:
    """``address`` is its IP."""

    name: str
    address: str
    ready: bool
    leaving: bool
    ended: bool
    problem: StartProblem | None = None
    node: str = ""
    grace: float = 0.0
    """Seconds that it has to end, once it is leaving."""
    ports: tuple[int, int] = (PREDICTIONS, STATISTICS)
    """Of the worker: for predictions and for statistics."""


def worker_pod(pod: Manifest, options: KubernetesOptions) -> WorkerPod:
    about, status = pod["metadata"], pod.get("status") or {}
    conditions = {one.get("type"): one for one in status.get("conditions") or ()}
    return WorkerPod(
        name=about["name"],
        address=status.get("podIP") or "",
        ready=conditions.get("Ready", {}).get("status") == "True",
        leaving="deletionTimestamp" in about,
        ended=status.get("phase") in ("Succeeded", "Failed"),
        problem=_problem(status, conditions, options),
        node=(pod.get("spec") or {}).get("nodeName") or "",
        grace=float(about.get("deletionGracePeriodSeconds") or 0),
        ports=_worker_ports(pod.get("spec") or {}),
    )


def _worker_ports(spec: Manifest) -> tuple[int, int]:
    """Return the ports of the worker in a pod. They differ where it is the front of other containers."""
    ports = {
        port.get("name"): int(port["containerPort"])
        for container in spec.get("containers") or ()
        if container.get("name") == WORKER
        for port in container.get("ports") or ()
    }
    return ports.get("http", PREDICTIONS), ports.get("stats", STATISTICS)


def _problem(
    status: Mapping[str, Any], conditions: Mapping[Any, Mapping[str, Any]], options: KubernetesOptions
) -> StartProblem | None:
    if status.get("phase") == "Failed" and (
        status.get("reason") in TAKEN or conditions.get("DisruptionTarget", {}).get("status") == "True"
    ):
        why = status.get("message") or conditions.get("DisruptionTarget", {}).get("message") or "no message"
        words = (
            f"the cluster ended it ({status.get('reason') or 'DisruptionTarget'}): {why}; another one replaces it"
        )
        return StartProblem("taken", words, UNBOUNDED)
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False":
        words = f"no node for it: {scheduled.get('message', 'Unschedulable')}"
        return StartProblem("schedule", words, options.scheduling_patience)
    for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        found = _container_problem(container, options)
        if found is not None:
            return found
    if status.get("phase") == "Failed":
        return StartProblem(
            "start", f"it failed: {status.get('message') or status.get('reason') or 'no reason given'}"
        )
    return None


def _container_problem(container: Mapping[str, Any], options: KubernetesOptions) -> StartProblem | None:
    state = container.get("state") or {}
    waiting = state.get("waiting") or {}
    reason, message = waiting.get("reason", ""), waiting.get("message") or ""
    if reason in PULLS:
        words = f"image {container.get('image')} cannot be pulled ({reason}): {message}".rstrip(": ")
        return StartProblem("pull", words, options.pull_patience)
    if reason in HOPELESS:
        return StartProblem("start", f"{reason}: {message}".rstrip(": "))
    ended = state.get("terminated") or (container.get("lastState") or {}).get("terminated")
    if not ended or not ended.get("exitCode") or container.get("ready"):
        return None
    words, permanent = _report(ended)
    if permanent or int(container.get("restartCount") or 0) >= CRASHES:
        return StartProblem("start", words)
    return StartProblem("start", f"{words}; it is started again", UNBOUNDED)


def _report(ended: Mapping[str, Any]) -> tuple[str, bool]:
    """Return the message of a worker that ended, and whether another start would fail the same way."""
    code, message = ended.get("exitCode"), (ended.get("message") or "").strip()
    if ended.get("reason") == "OOMKilled":
        return "it needs more memory than its limit (OOMKilled): raise the variant's memory", False
    try:
        told = json.loads(message)
        return str(told["message"]), bool(told.get("permanent"))
    except (ValueError, KeyError, TypeError):
        last = message.splitlines()[-1] if message else ended.get("reason") or ""
        return f"its container ended with exit code {code}: {last}".rstrip(": "), False


def problems(pods: Iterable[WorkerPod], deployment: Manifest, options: KubernetesOptions) -> list[StartProblem]:
    """Find the problems that keep a fleet's replicas from starting. A pod that the cluster ended is one until another
    one is ready in its place; it stays in the list for long after that."""
    ordered = sorted(pods, key=lambda one: one.name)
    whole = sum(pod.ready and not pod.leaving for pod in ordered) >= (deployment.get("spec") or {}).get(
        "replicas", 0
    )
    found = [
        replace(pod.problem, words=f"replica {pod.name}: {pod.problem.words}")
        for pod in ordered
        if pod.problem and not pod.leaving and not (whole and pod.problem.kind == "taken")
    ]
    for condition in (deployment.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True":
            words = condition.get("message") or condition.get("reason") or "no reason given"
            found.append(StartProblem("create", f"pods cannot be created: {words}", options.scheduling_patience))
    return found


def describe_stuck(pod: WorkerPod, since: float, now: float) -> str | None:
    """Why a pod that has been leaving ``since`` is still there, once its time is up. Its node ends it, so the node is
    the usual reason. Which pods are stuck is judged by this machine's clock."""
    if now - since < pod.grace + LATE:
        return None
    where = f" on node {pod.node}, which may be down: kubectl describe node {pod.node}" if pod.node else ""
    return f"replica {pod.name} has not ended within {pod.grace:.0f} s{where}"


@dataclass(frozen=True)
class ProblemHistory:
    """Since when each kind of problem of a fleet has been observed, and since when it is away again, by the clock of
    this machine: that of the API server may differ. A problem that is away for a moment, or in other words, or of
    another pod, goes on."""

    spans: Mapping[str, tuple[float, float | None]] = field(default_factory=dict)

    def after(self, found: Iterable[StartProblem], now: float, cured: bool = False) -> "ProblemHistory":
        """``cured``: all replicas are well."""
        if cured:
            return ProblemHistory()
        kinds = {one.kind for one in found}
        spans: dict[str, tuple[float, float | None]] = {}
        for kind, (first, away) in self.spans.items():
            away = None if kind in kinds else now if away is None else away
            if away is None or now - away < FORGOTTEN_AFTER:
                spans[kind] = first, away
        return ProblemHistory({**dict.fromkeys(kinds, (now, None)), **spans})

    def failure(self, found: Iterable[StartProblem], now: float) -> str | None:
        """The first problem that did not pass in time."""
        return next((one.words for one in found if now - self.spans[one.kind][0] >= one.patience), None)
