"""Pods that run something else than tidegate asked for: they get no requests, and are reported."""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from tidegate.domain.fleet import FleetId
from tidegate.targets.kubernetes.cluster_view import FleetView
from tidegate.targets.kubernetes.foreign_changes import Asked, changed_fields
from tidegate.targets.kubernetes.names import Manifest

log = logging.getLogger(__name__)


@dataclass
class ForeignPods:
    _asked: dict[FleetId, tuple[Asked, ...]] = field(default_factory=dict)
    """What was asked for of each fleet, the newest first."""
    _told: dict[str, str] = field(default_factory=dict)
    """Replica -> what somebody else changed of it; logged once."""
    _compared: dict[str, tuple[tuple[Asked, ...], Manifest, tuple[str, ...]]] = field(default_factory=dict)
    """Replica -> what was asked for, the pod, and in which fields they differ."""

    def asked(self, fleet: FleetId) -> tuple[Asked, ...]:
        return self._asked.get(fleet, ())

    def note(self, fleet: FleetId, asked: Sequence[Asked]) -> None:
        if self.asked(fleet) != (fresh := tuple(asked)):
            self._asked[fleet] = fresh

    def find(self, fleet: FleetId, view: FleetView) -> set[str]:
        found = set()
        for name, (_, pod) in view.pods.items():
            if fields := self._changed_fields(self.asked(fleet), pod):
                found.add(name)
                text = ", ".join(fields)
                if self._told.get(name) != text:
                    log.error(
                        "fleet %s: pod %s runs something else than tidegate asked for (%s): somebody changed its "
                        "Deployment; it gets no requests. Undo the change",
                        *(fleet, name, text),
                    )
                self._told[name] = text
        return found

    def _changed_fields(self, asked: tuple[Asked, ...], pod: Manifest) -> tuple[str, ...]:
        """Compared again only if one of them is another object than the last time."""
        name = pod["metadata"]["name"]
        known = self._compared.get(name)
        if known is None or known[0] is not asked or known[1] is not pod:
            known = self._compared[name] = (asked, pod, changed_fields(asked, pod["spec"]))
        return known[2]

    def keep(self, fleets: Collection[FleetId], pods: Collection[str]) -> None:
        """Forget all others."""
        for fleet in self._asked.keys() - set(fleets):
            del self._asked[fleet]
        alive = set(pods)
        for known in (self._told, self._compared):
            for name in known.keys() - alive:
                del known[name]
