"""AWS's JSON protocols, 1.0, 1.1 and the part of rest-json that the runtime API needs: bytes to members by an
input shape, members to bytes by an output shape."""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from tidegate.wire.validation import WrongType, abbreviate, describe_unknown_member, item_path, member_path

if TYPE_CHECKING:  # it takes long to import, and a server without calls does without
    from botocore.model import Shape, StructureShape

INTEGER_BITS = {"integer": 31, "long": 63}


def parse(shape: StructureShape | None, body: bytes, unknown: list[str]) -> dict[str, Any]:
    """Parse the members, without nulls. Appends errors about unknown members to ``unknown``. Raises WrongType."""
    try:
        raw = json.loads(body or b"{}", parse_constant=_reject_constant)
    except (ValueError, RecursionError) as error:
        raise WrongType(f"the body is not JSON: {error}") from None
    if not isinstance(raw, dict):
        raise WrongType(f"the body is {_json_type(raw)}, expected an object")
    return parse_structure(shape, raw, "", unknown) if shape else {}


def _reject_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def parse_structure(shape: StructureShape, raw: Any, path: str, unknown: list[str]) -> dict[str, Any]:
    """Parse members of decoded data: JSON's, or CBOR's, where a blob is bytes instead of base64."""
    _expect(raw, dict, "an object", path)
    members = shape.members
    for name in raw:
        if name not in members:
            unknown.append(describe_unknown_member(path, name, members))
    return {
        name: _parse_value(member, raw[name], member_path(path, name), unknown)
        for name, member in members.items()
        if raw.get(name) is not None
    }


def _parse_value(shape: Shape, raw: Any, path: str, unknown: list[str]) -> Any:
    if shape.type_name == "structure":
        return parse_structure(shape, raw, path, unknown)
    if shape.type_name == "list":
        _expect(raw, list, "a list", path)
        return [
            _parse_value(shape.member, entry, item_path(path, index), unknown) for index, entry in enumerate(raw)
        ]
    if shape.type_name == "map":
        _expect(raw, dict, "an object", path)
        return {
            key: _parse_value(shape.value, entry, f"{path}.{abbreviate(key)}", unknown)
            for key, entry in raw.items()
        }
    return _SCALARS[shape.type_name](shape, raw, path)


def _parse_string(shape: Shape, raw: Any, path: str) -> str:
    _expect(raw, str, "a string", path)
    return str(raw)


def _parse_boolean(shape: Shape, raw: Any, path: str) -> bool:
    _expect(raw, bool, "true or false", path)
    return bool(raw)


def _parse_integer(shape: Shape, raw: Any, path: str) -> int:
    if isinstance(raw, float) and raw.is_integer():
        raw = int(raw)
    if isinstance(raw, bool) or not isinstance(raw, int):
        raise _make_wrong_type(raw, "an integer", path)
    return check_integer_range(shape, raw, path)


def check_integer_range(shape: Shape, raw: int, path: str) -> int:
    """Check that a number fits the shape's integer type."""
    if not -(2 ** INTEGER_BITS[shape.type_name]) <= raw < 2 ** INTEGER_BITS[shape.type_name]:
        raise _make_wrong_type(raw, f"an integer of {INTEGER_BITS[shape.type_name] + 1} bits", path)
    return raw


def _parse_float(shape: Shape, raw: Any, path: str) -> float:
    if raw in ("NaN", "Infinity", "-Infinity"):
        return float(raw)
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        raise _make_wrong_type(raw, "a number", path)
    try:
        return float(raw)
    except OverflowError:
        raise _make_wrong_type(raw, "a number of 64 bits", path) from None


def _parse_timestamp(shape: Shape, raw: Any, path: str) -> datetime:
    try:
        return parse_timestamp(raw)
    except (ValueError, OverflowError, OSError, TypeError):
        raise _make_wrong_type(raw, "a time (epoch seconds or ISO 8601)", path) from None


def _parse_blob(shape: Shape, raw: Any, path: str) -> bytes:
    if isinstance(raw, bytes):
        return raw
    _expect(raw, str, "base64", path)
    try:
        return base64.b64decode(raw, validate=True)
    except (binascii.Error, ValueError):
        raise _make_wrong_type(raw, "base64", path) from None


_SCALARS: dict[str, Callable[[Shape, Any, str], Any]] = {
    "string": _parse_string,
    "boolean": _parse_boolean,
    "integer": _parse_integer,
    "long": _parse_integer,
    "float": _parse_float,
    "double": _parse_float,
    "timestamp": _parse_timestamp,
    "blob": _parse_blob,
}


def parse_timestamp(raw: Any) -> datetime:
    """Parse epoch seconds (a number or text), ISO 8601 or RFC 822; UTC without a zone. Raises ValueError,
    OverflowError or OSError."""
    if isinstance(raw, bool) or not isinstance(raw, int | float | str):
        raise ValueError("not a time")
    try:
        return datetime.fromtimestamp(float(raw), UTC)
    except ValueError:
        pass
    text = str(raw)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = parsedate_to_datetime(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _expect(raw: Any, kind: type, name: str, path: str) -> None:
    if not isinstance(raw, kind):
        raise _make_wrong_type(raw, name, path)


def _make_wrong_type(raw: Any, expected: str, path: str) -> WrongType:
    return WrongType(
        f"Value '{abbreviate(raw)}' at '{path or 'the request'}' is {_json_type(raw)}, expected {expected}"
    )


def _json_type(raw: Any) -> str:
    if raw is None:
        return "null"
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", bytes: "bytes"}
    return kinds.get(type(raw), "a number")


def render(shape: StructureShape | None, members: dict[str, Any]) -> bytes:
    """``members`` must have passed ``output_shapes.drop_empty``."""
    return json.dumps(to_json_data(shape, members) if shape else {}, separators=(",", ":")).encode()


def to_json_data(shape: Shape, value: Any) -> Any:
    """Convert a value to JSON data: times become epoch seconds, bytes base64."""
    if shape.type_name == "structure":
        return {name: to_json_data(shape.members[name], entry) for name, entry in value.items()}
    if shape.type_name == "list":
        return [to_json_data(shape.member, entry) for entry in value]
    if shape.type_name == "map":
        return {key: to_json_data(shape.value, entry) for key, entry in value.items()}
    if isinstance(value, datetime):
        return round(value.timestamp(), 3)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


# The part of AWS's rest-json protocol that the runtime API needs: members in path and headers, and a raw body.


if TYPE_CHECKING:  # it takes long to import, and a server without calls does without
    from botocore.model import Shape, StructureShape


def parse_rest(
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
