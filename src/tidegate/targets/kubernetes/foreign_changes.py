"""Changes of a fleet's pods that somebody else made. Pods that run something else than tidegate asked for get no
requests, and are reported."""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tidegate.domain.fleet import FleetId
from tidegate.targets.kubernetes.cluster_view import FleetView
from tidegate.targets.kubernetes.names import REPLICAS, Manifest


def scaled_by_others(deployment: Manifest) -> str | None:
    """Describe a change of the number of replicas that somebody else made. None: there is none."""
    about = deployment["metadata"]
    set_by_us = (about.get("annotations") or {}).get(REPLICAS)
    there = deployment["spec"].get("replicas")
    if set_by_us is None or str(there) == set_by_us:
        return None
    return (
        f"deployment {about['name']} was changed by somebody else, and is left as it is: .spec.replicas is {there}, "
        f"tidegate had set {set_by_us}; undo that change"
    )


WATCHED = ("image", "command", "args", "env", "envFrom")
"""Fields of a container that decide which program runs. Others are filled in by the cluster."""
REMEMBERED = 4
"""Pod templates of one fleet that are remembered."""

Asked = Mapping[str, Any]
"""What was asked for of a fleet's pods: their containers' watched fields, and the Secrets that they mount."""


def asked_of(template: Manifest) -> Asked:
    """``template``: the ``spec`` of pods as compiled."""
    containers = {
        container["name"]: {name: container[name] for name in WATCHED if name in container}
        for container in template["containers"]
    }
    volumes = template.get("volumes", ())
    secrets = {volume["name"]: volume["secret"]["secretName"] for volume in volumes if "secret" in volume}
    return {"containers": containers, "secrets": secrets}


def remember(before: Sequence[Asked], asked: Asked) -> tuple[Asked, ...]:
    """The newest first. Earlier ones stay right: pods of an earlier image, or of an earlier version of tidegate,
    serve until those that replace them are ready."""
    return (asked, *(one for one in before if one != asked))[:REMEMBERED]


def changed_fields(asked: Sequence[Asked], found: Manifest) -> tuple[str, ...]:
    """Fields of a pod by which it runs something else than was ever asked for; compared with what was asked last.
    ``found``: its ``spec``. What the cluster adds, such as a container of a service mesh, is accepted. Nothing where
    it is not known what was asked for: an earlier version of tidegate did not note it."""
    differences = [_differences(one, found) for one in asked]
    return differences[0] if differences and all(differences) else ()


IDENTITY = frozenset(
    {
        *("AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_STS_REGIONAL_ENDPOINTS", "AWS_REGION"),
        *("AWS_DEFAULT_REGION", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
        *("AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_AUTHORITY_HOST"),
    }
)
"""Variables that clouds add to pods whose ServiceAccount has an identity there."""


def _value(container: Mapping[str, Any], name: str) -> Any:
    """A field as it is, but for variables of a cloud's identity, which say nothing about the program."""
    found = container.get(name)
    if name != "env" or not isinstance(found, list):
        return found
    return [one for one in found if one.get("name") not in IDENTITY]


def _differences(asked: Asked, found: Manifest) -> tuple[str, ...]:
    there = {one.get("name"): one for one in found.get("containers") or ()}
    different = []
    for container, fields in asked["containers"].items():
        other: Mapping[str, Any] = there.get(container) or {}
        different += [f"{container}.{name}" for name, value in fields.items() if _value(other, name) != value]
    volumes = {one.get("name"): one for one in found.get("volumes") or ()}
    for volume, secret in asked["secrets"].items():
        other = (volumes.get(volume) or {}).get("secret") or {}
        if other.get("secretName") != secret:
            different.append(f"volume {volume}")
    return tuple(different)


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
            if fields := self._compare_fields(self.asked(fleet), pod):
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

    def _compare_fields(self, asked: tuple[Asked, ...], pod: Manifest) -> tuple[str, ...]:
        """Compared again only if one of them is another object than the last time."""
        name = pod["metadata"]["name"]
        known = self._compared.get(name)
        if known is None or known[0] is not asked or known[1] is not pod:
            known = self._compared[name] = (asked, pod, changed_fields(asked, pod["spec"]))
        return known[2]

    def keep(self, fleets: Collection[FleetId], pods: Collection[str]) -> None:
        """Forget all fleets and pods but these."""
        for fleet in self._asked.keys() - set(fleets):
            del self._asked[fleet]
        alive = set(pods)
        for known in (self._told, self._compared):
            for name in known.keys() - alive:
                del known[name]
