"""The part of AWS's rest-json protocol that the runtime API needs: members in path and headers, and a raw body."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tidegate.wire.codec_json import check_integer_range
from tidegate.wire.validation import WrongType, abbreviate, member_path

if TYPE_CHECKING:  # it takes long to import, and a server without calls does without
    from botocore.model import Shape, StructureShape


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
            members[name] = _parse_header(member, headers[key.lower()], name)
        elif name == shape.serialization.get("payload"):
            members[name] = body
    return members


def _parse_header(shape: Shape, text: str, name: str) -> Any:
    """Parse a header's value. Raises WrongType."""
    if shape.type_name not in ("integer", "long"):
        return text
    if not text.removeprefix("-").isdecimal() or not text.isascii():
        raise WrongType(f"'{abbreviate(text)}' at '{member_path('', name)}' is not an integer")
    return check_integer_range(shape, int(text), member_path("", name))


def split_headers(
    shape: StructureShape | None, members: Mapping[str, Any]
) -> tuple[dict[str, str], dict[str, Any]]:
    """Split the members of an answer into headers and the rest."""
    headers: dict[str, str] = {}
    rest = dict(members)
    for name, member in shape.members.items() if shape else ():
        if member.serialization.get("location") == "header" and rest.get(name) is not None:
            headers[member.serialization.get("name", name)] = str(rest.pop(name))
    return headers, rest
