"""The cluster's present state of tidegate's fleets and gateways, kept up to date by listing them again and again."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from tidegate.domain.errors import TidegateError
from tidegate.domain.fleet import FleetId
from tidegate.targets.kubernetes.api import KubeApi
from tidegate.targets.kubernetes.names import GATEWAY, WORKER, Manifest, fleet_labels, fleet_of, selector
from tidegate.targets.kubernetes.options import KubernetesOptions
from tidegate.targets.kubernetes.pods import ProblemHistory, WorkerPod, describe_stuck, problems, worker_pod

log = logging.getLogger(__name__)

CUT_OFF = 20.0
"""Seconds after which a controller that does not see the cluster offers its lease."""
STALE = 10.0
"""Seconds after which what was seen last is no longer what is."""


@dataclass(frozen=True)
class FleetView:
    """A fleet in the cluster. ``deployment`` is None once it was deleted and only pods are left."""

    deployment: Manifest | None
    pods: Mapping[str, tuple[WorkerPod, Manifest]]
    failure: str | None = None
    problem: str | None = None
    """What keeps pods from starting or ending now."""


@dataclass(frozen=True)
class GatewayPod:
    """``uid`` distinguishes pods that had the same address after each other, and a pod whose sandbox was made anew,
    which has another address."""

    name: str
    uid: str
    address: str
    ready: bool
    leaving: bool


@dataclass
class ClusterView:
    """``changed`` is called with the endpoints that have news."""

    api: KubeApi
    options: KubernetesOptions
    changed: Callable[[str], None]
    fleets: dict[FleetId, FleetView] = field(default_factory=dict)
    gateways: dict[str, GatewayPod] = field(default_factory=dict)
    _history: dict[FleetId, ProblemHistory] = field(default_factory=dict)
    _pods: dict[str, tuple[WorkerPod, Manifest]] = field(default_factory=dict)
    """As read the last time."""
    _leaving: dict[str, float] = field(default_factory=dict)
    """Pod -> since when it is leaving."""
    _seen_at: float | None = None
    _began: float | None = None
    """When it was first asked whether the cluster is seen."""
    trouble: str = ""
    """Why the cluster could not be seen the last time."""
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def current(self) -> bool:
        """Whether the cluster was seen lately."""
        return self._seen_at is not None and asyncio.get_running_loop().time() - self._seen_at < STALE

    def cut_off(self) -> str | None:
        """Why the cluster has not been seen for so long that another controller should try, if it was not."""
        now = asyncio.get_running_loop().time()
        self._began = now if self._began is None else self._began
        last = self._began if self._seen_at is None else self._seen_at
        if now - last < CUT_OFF:
            return None
        return f"the API server has not answered this controller for {now - last:.0f} s ({self.trouble})"

    async def refresh(self) -> bool:
        """List everything once. False if it could not be seen; then the last view is kept."""
        installation = self.options.installation
        async with self._turn:
            try:
                deployments, pods, gateways = await asyncio.gather(
                    self.api.find("Deployment", selector(installation, WORKER)),
                    self.api.find("Pod", selector(installation, WORKER)),
                    self.api.find("Pod", selector(installation, GATEWAY)),
                )
            except TidegateError as error:
                if self.trouble != str(error):
                    log.warning("the cluster cannot be seen; what runs there goes on: %s", error)
                self.trouble = str(error)
                return False
            if self.trouble:
                log.info("the cluster is seen again")
            self.trouble = ""
            now = asyncio.get_running_loop().time()
            self._seen_at = now
            self._take(deployments, pods, now)
            self.gateways = {one.name: one for one in map(gateway_pod, gateways) if one.address}
        return True

    async def refresh_fleet(self, fleet: FleetId) -> bool:
        """List the pods of one fleet, so that a new one is known at once. Whether one is ready. Raises Transient."""
        labels = ",".join(
            f"{key}={value}" for key, value in fleet_labels(self.options.installation, fleet).items()
        )
        async with self._turn:
            pods = await self.api.find("Pod", labels, repeated=False)
            mine = {pod["metadata"]["name"]: (worker_pod(pod, self.options), pod) for pod in pods}
            if fleet in self.fleets:
                self.fleets[fleet] = replace(self.fleets[fleet], pods=mine)
        return any(pod.ready and not pod.leaving for pod, _ in mine.values())

    def _read_pod(self, pod: Manifest) -> WorkerPod:
        """A pod that has not changed is not read again."""
        name = pod["metadata"]["name"]
        known = self._pods.get(name)
        if known is None or known[1] is not pod:
            known = self._pods[name] = (worker_pod(pod, self.options), pod)
        return known[0]

    def note(self, deployment: Manifest) -> None:
        """Take a Deployment that was just applied, before the next turn lists it."""
        fleet = fleet_of(deployment)
        if fleet is not None:
            old = self.fleets.get(fleet)
            self.fleets[fleet] = replace(old, deployment=deployment) if old else FleetView(deployment, {})

    def _take(self, deployments: list[Manifest], pods: list[Manifest], now: float) -> None:
        grouped: defaultdict[FleetId, dict[str, tuple[WorkerPod, Manifest]]] = defaultdict(dict)
        for pod in pods:
            if (fleet := fleet_of(pod)) is not None:
                grouped[fleet][pod["metadata"]["name"]] = self._read_pod(pod), pod
        for name in self._pods.keys() - {pod["metadata"]["name"] for pod in pods}:
            del self._pods[name]
        known = {fleet: one for one in deployments if (fleet := fleet_of(one)) is not None}
        fresh: dict[FleetId, FleetView] = {}
        for fleet in known.keys() | grouped.keys():
            deployment, mine = known.get(fleet), grouped.get(fleet, {})
            found = problems((pod for pod, _ in mine.values()), deployment or {}, self.options)
            staying = [pod for pod, _ in mine.values() if not pod.leaving and not pod.ended]
            cured = bool(staying) and not found and all(pod.ready for pod in staying)
            history = self._history.get(fleet, ProblemHistory()).after(found, now, cured)
            self._history[fleet] = history
            words = [*(one.words for one in found), *self._describe_stuck(mine, now)]
            fresh[fleet] = FleetView(deployment, mine, history.failure(found, now), "; ".join(words) or None)
        for name in self._leaving.keys() - {name for name, (pod, _) in self._pods.items() if pod.leaving}:
            del self._leaving[name]
        news = {
            fleet.endpoint
            for fleet in fresh.keys() | self.fleets.keys()
            if _essence(fresh.get(fleet)) != _essence(self.fleets.get(fleet))
        }
        self.fleets = fresh
        for fleet in self._history.keys() - fresh.keys():
            del self._history[fleet]
        for endpoint in news:
            self.changed(endpoint)

    def _describe_stuck(self, pods: Mapping[str, tuple[WorkerPod, Manifest]], now: float) -> Iterator[str]:
        for name, (pod, _) in sorted(pods.items()):
            if pod.leaving and not pod.ended:
                words = describe_stuck(pod, self._leaving.setdefault(name, now), now)
                if words is not None:
                    yield words


def _essence(view: FleetView | None) -> object:
    """Return the part of a view that decisions depend on, to be compared with an earlier one."""
    if view is None:
        return None
    replicas = view.deployment["spec"].get("replicas") if view.deployment else None
    return replicas, view.failure, view.problem, frozenset(pod for pod, _ in view.pods.values())


def gateway_pod(pod: Manifest) -> GatewayPod:
    about, status = pod["metadata"], pod.get("status") or {}
    conditions = {one.get("type"): one.get("status") for one in status.get("conditions") or ()}
    return GatewayPod(
        name=about["name"],
        uid=f"{about.get('uid', '')} {status.get('podIP', '')}",
        address=(status.get("podIP") or "") if status.get("phase") == "Running" else "",
        ready=conditions.get("Ready") == "True",
        leaving="deletionTimestamp" in about,
    )
