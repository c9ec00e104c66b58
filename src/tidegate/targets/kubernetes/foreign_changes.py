"""What somebody else changed of a fleet's pods. Pure."""

from collections.abc import Mapping
from typing import Any

from tidegate.targets.kubernetes.names import REPLICAS, Manifest


def scaled_by_others(deployment: Manifest) -> str | None:
    """What somebody else made of the number of replicas, in words."""
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


def changed_fields(wanted: Manifest, found: Manifest) -> tuple[str, ...]:
    """Fields of a pod, or of a pod template, by which it would run something else than asked for. ``wanted`` is the
    pod's ``spec`` as compiled, ``found`` the one in the cluster. What the cluster adds, such as a container of a
    service mesh, is accepted."""
    there = {one.get("name"): one for one in found.get("containers") or ()}
    different = []
    for container in wanted["containers"]:
        other: Mapping[str, Any] = there.get(container["name"]) or {}
        for name in WATCHED:
            if name in container and other.get(name) != container[name]:
                different.append(f"{container['name']}.{name}")
    volumes = {one.get("name"): one for one in found.get("volumes") or ()}
    for volume in wanted.get("volumes", ()):
        if (source := volume.get("secret")) is not None:
            other = (volumes.get(volume["name"]) or {}).get("secret") or {}
            if other.get("secretName") != source["secretName"]:
                different.append(f"volume {volume['name']}")
    return tuple(different)
