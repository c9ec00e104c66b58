"""The objects that belong to a fleet beside its Deployment: which of them somebody removed, and which nobody needs.

Somebody who deletes one by hand must not stop an endpoint: what is missing is reported, and the engine requests the
fleet again, whose record has all that is needed to restore it.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from tidegate.domain.fleet import FleetId
from tidegate.targets.kubernetes.api import KubeApi
from tidegate.targets.kubernetes.api_errors import MissingRight
from tidegate.targets.kubernetes.api_versions import ApiVersions
from tidegate.targets.kubernetes.cluster_view import ClusterView
from tidegate.targets.kubernetes.fleet_manifests import fleet_secret_name
from tidegate.targets.kubernetes.names import WORKER, Manifest, fleet_labels, fleet_name, fleet_of, selector
from tidegate.targets.kubernetes.options import KubernetesOptions

log = logging.getLogger(__name__)

ObjectName = tuple[str, str]
"""Kind and name."""
SECRET = "Secret"


def object_kinds(options: KubernetesOptions, versions: ApiVersions) -> dict[str, str]:
    """Kinds of the objects of fleets -> their versions, where the cluster's may differ from ours."""
    kinds = {SECRET: "", "Service": "", "PodDisruptionBudget": versions.disruption_budget}
    scaled = {one.kind for one in options.autoscaling.values()}
    if "hpa" in scaled:
        kinds["HorizontalPodAutoscaler"] = versions.autoscaler
    if "keda" in scaled:
        kinds["ScaledObject"] = ""
    return kinds


def needed_objects(fleet: FleetId, deployment: Manifest, options: KubernetesOptions) -> set[ObjectName]:
    """Return the names of the objects that a fleet needs by its present Deployment: pods that run may mount Secrets
    of an earlier version of tidegate."""
    name = fleet_name(fleet)
    found = {(SECRET, fleet_secret_name(fleet)), ("Service", name), ("PodDisruptionBudget", name)}
    for volume in deployment["spec"]["template"]["spec"].get("volumes") or ():
        mounted = (volume.get("secret") or {}).get("secretName") or ""
        if mounted.startswith(f"{name}-"):
            found.add((SECRET, mounted))
    if (scaled := options.autoscaling.get(fleet.endpoint)) is not None:
        found.add(("ScaledObject" if scaled.kind == "keda" else "HorizontalPodAutoscaler", name))
    return found


def unneeded_secrets(secrets: Iterable[Manifest], kept: Iterable[FleetId]) -> Iterator[tuple[FleetId, str]]:
    """Secrets of fleets of which nothing else is left. Pods that are still ending may need theirs to start again."""
    there = set(kept)
    for secret in secrets:
        fleet = fleet_of(secret)
        if fleet is not None and fleet not in there:
            yield fleet, secret["metadata"]["name"]


@dataclass
class FleetObjects:
    """``stays``: whether a fleet is known and not being deleted. ``changed`` is called with endpoints that have
    news."""

    api: KubeApi
    view: ClusterView
    options: KubernetesOptions
    stays: Callable[[FleetId], bool]
    changed: Callable[[str], None]
    missing: dict[FleetId, tuple[str, ...]] = field(default_factory=dict)
    """As found by the last check."""
    requested: set[FleetId] = field(default_factory=set)
    """Fleets that are being created or restored just now."""
    _refused: set[str] = field(default_factory=set)
    """Kinds that may not be listed; logged once."""

    def note_missing(self, fleet: FleetId, what: Iterable[str]) -> None:
        found = tuple(sorted(what))
        if found == self.missing.get(fleet, ()):
            return
        if found:
            log.warning("fleet %s: missing %s: it is requested again", fleet, ", ".join(found))
            self.missing[fleet] = found
        else:
            self.missing.pop(fleet, None)
        self.changed(fleet.endpoint)

    async def check(self, versions: ApiVersions) -> None:
        """Find what is missing, and delete Secrets that nobody needs. Raises Transient."""
        there: dict[str, list[Manifest]] = {}
        for kind, version in object_kinds(self.options, versions).items():
            try:
                there[kind] = await self.api.find_metadata(
                    kind, selector(self.options.installation, WORKER), version
                )
            except MissingRight as error:
                if kind not in self._refused:
                    log.warning("what is missing of fleets is not looked for: %s", error)
                self._refused.add(kind)
        if not await self.view.refresh():
            return
        self._compare({kind: {one["metadata"]["name"] for one in found} for kind, found in there.items()})
        for fleet, name in list(unneeded_secrets(there.get(SECRET, ()), self.view.fleets)):
            if fleet not in self.requested:
                await self.api.delete(SECRET, name)

    async def remove_secrets(self, fleet: FleetId) -> None:
        labels = fleet_labels(self.options.installation, fleet)
        for secret in await self.api.find_metadata(SECRET, ",".join(map("=".join, labels.items()))):
            await self.api.delete(SECRET, secret["metadata"]["name"])

    def _compare(self, there: Mapping[str, set[str]]) -> None:
        for fleet, view in self.view.fleets.items():
            if view.deployment is None or not self.stays(fleet) or fleet in self.requested:
                continue
            needed = needed_objects(fleet, view.deployment, self.options)
            self.note_missing(
                fleet, (f"{kind} {name}" for kind, name in needed if name not in there.get(kind, {name}))
            )

    def keep(self, fleets: Iterable[FleetId]) -> None:
        """Forget all fleets but these."""
        for fleet in self.missing.keys() - set(fleets):
            del self.missing[fleet]
