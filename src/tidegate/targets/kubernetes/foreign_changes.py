"""What somebody else changed of a fleet's pods. Pure."""

from collections.abc import Mapping, Sequence
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
