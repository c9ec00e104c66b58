"""AWS's rest-json protocol as far as the runtime API needs it: members in path, headers and a raw body."""

from collections.abc import Mapping
from typing import Any

from botocore.model import StructureShape


def parse(
    shape: StructureShape, labels: Mapping[str, str], headers: Mapping[str, str], body: bytes
) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, member in shape.members.items():
        place = member.serialization.get("location")
        key = member.serialization.get("name", name)
        if place == "uri" and key in labels:
            members[name] = labels[key]
        elif place == "header" and key.lower() in headers:
            members[name] = headers[key.lower()]
        elif name == shape.serialization.get("payload"):
            members[name] = body
    return members
