"""AWS's query protocol: a form (``A.member.1.B=x``) to members by an input shape, members to XML."""

from __future__ import annotations

import base64
import math
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from tidegate.wire import codec_json
from tidegate.wire.validation import WrongType, abbreviate, describe_unknown_member, item_path, member_path

if TYPE_CHECKING:  # it takes long to import, and a server without calls does without
    from botocore.model import Shape, StructureShape

MAX_FIELDS = 100_000
"""Maximum number of fields in a form; PutMetricData with 1,000 metrics of 30 dimensions stays below it."""

Tree = dict[str, Any]
"""A form's fields, nested by the dots in their names: part -> text or tree."""


def parse_form(body: bytes) -> dict[str, str]:
    """Parse a form into fields. Raises WrongType for an unreadable form and for a duplicate field, because signatures
    do not cover the order of duplicates."""
    try:
        pairs = parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
    except ValueError as error:
        raise WrongType(f"the form cannot be read: {error}") from None
    form = dict(pairs)
    if len(form) < len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise WrongType(f"the form gives '{abbreviate(twice)}' more than once")
    return form


def parse(shape: StructureShape | None, form: dict[str, str], unknown: list[str]) -> dict[str, Any]:
    """Like ``codec_json.parse``."""
    tree: Tree = {}
    for name, text in form.items():
        if name not in ("Action", "Version"):
            _insert(tree, name, text)
    return _parse_structure(shape, tree, "", unknown) if shape else {}


def _insert(tree: Tree, name: str, text: str) -> None:
    *parents, last = name.split(".")
    for part in parents:
        child = tree.setdefault(part, {})
        if child == "":
            child = tree[part] = {}
        if not isinstance(child, dict):
            raise WrongType(f"'{abbreviate(name)}' is nested below a field that has a value")
        tree = child
    if tree.setdefault(last, text) != text:
        raise WrongType(f"'{abbreviate(name)}' has both a value and nested fields")


def _parse_structure(shape: StructureShape, tree: Any, path: str, unknown: list[str]) -> dict[str, Any]:
    if not isinstance(tree, dict):
        raise WrongType(f"Value '{abbreviate(tree)}' at '{path}' is a value, expected nested fields")
    members = {member.serialization.get("name", name): (name, member) for name, member in shape.members.items()}
    unknown += [describe_unknown_member(path, name, members) for name in tree if name not in members]
    found = {}
    for key, (name, member) in members.items():
        if key in tree:
            found[name] = _parse_value(member, tree[key], member_path(path, name), unknown)
    return found


def _parse_value(shape: Shape, tree: Any, path: str, unknown: list[str]) -> Any:
    if shape.type_name == "structure":
        return _parse_structure(shape, tree, path, unknown)
    if shape.type_name == "list":
        entries = _parse_entries(tree, shape.member.serialization.get("name", "member"), path)
        return [
            _parse_value(shape.member, entry, item_path(path, index), unknown)
            for index, entry in enumerate(entries)
        ]
    if shape.type_name == "map":
        pairs = {}
        for entry in _parse_entries(tree, "entry", path):
            if not isinstance(entry, dict) or not isinstance(entry.get("key"), str) or "value" not in entry:
                raise WrongType(f"an entry at '{path}' needs a key and a value")
            pairs[entry["key"]] = _parse_value(shape.value, entry["value"], path, unknown)
        return pairs
    return _parse_scalar(shape, tree, path)


def _parse_entries(tree: Any, part: str, path: str) -> list[Any]:
    """Entries in numerical order. Clients write ``Name=`` for an empty list."""
    if tree == "":
        return []
    if not isinstance(tree, dict) or set(tree) != {part} or not isinstance(tree[part], dict):
        raise WrongType(f"'{path}' is not a list: expected fields named {part}.1, {part}.2, ...")
    if not all(number.isascii() and number.isdigit() and len(number) < 10 for number in tree[part]):
        raise WrongType(f"'{path}' has entries that are not numbered: {abbreviate(', '.join(tree[part]))}")
    return [tree[part][number] for number in sorted(tree[part], key=int)]


_KINDS = {
    "boolean": "true or false",
    "integer": "an integer",
    "long": "an integer",
    "float": "a number",
    "double": "a number",
    "timestamp": "a time (ISO 8601 or epoch seconds)",
    "blob": "base64",
}


def _parse_scalar(shape: Shape, text: Any, path: str) -> Any:
    if not isinstance(text, str):
        raise WrongType(f"'{path}' has nested fields, expected {_KINDS.get(shape.type_name, 'a string')}")
    try:
        match shape.type_name:
            case "boolean":
                return {"true": True, "false": False}[text.lower()]
            case "integer" | "long":
                return codec_json.check_integer_range(shape, int(text), path)
            case "float" | "double":
                return float(text)
            case "timestamp":
                return codec_json.parse_timestamp(text)
            case "blob":
                return base64.b64decode(text, validate=True)
            case _:
                return text
    except WrongType:
        raise
    except (ValueError, KeyError, OverflowError, OSError, TypeError):
        raise WrongType(f"Value '{abbreviate(text)}' at '{path}' is not {_KINDS[shape.type_name]}") from None


def render(
    operation: str, shape: StructureShape | None, members: dict[str, Any], namespace: str, request_id: str
) -> bytes:
    """``members`` must have passed ``output_shapes.drop_empty``."""
    result = f"<{operation}Result>{_render_content(shape, members)}</{operation}Result>" if shape else ""
    return (
        f'<{operation}Response xmlns="{namespace}">{result}'
        f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{operation}Response>"
    ).encode()


def render_error(code: str, message: str, fault: str, namespace: str, request_id: str) -> bytes:
    """``fault`` is Sender or Receiver."""
    return (
        f'<ErrorResponse xmlns="{namespace}"><Error><Type>{fault}</Type><Code>{escape(code)}</Code>'
        f"<Message>{_escape(message)}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>"
    ).encode()


def _render_content(shape: Shape, value: Any) -> str:
    if shape.type_name == "structure":
        return "".join(_render_element(name, shape.members[name], entry) for name, entry in value.items())
    if shape.type_name == "list":
        name = shape.member.serialization.get("name", "member")
        return "".join(f"<{name}>{_render_content(shape.member, entry)}</{name}>" for entry in value)
    if shape.type_name == "map":
        return "".join(
            f"<entry><key>{_escape(key)}</key><value>{_render_content(shape.value, entry)}</value></entry>"
            for key, entry in value.items()
        )
    return _escape(_render_scalar(value))


def _render_element(name: str, shape: Shape, value: Any) -> str:
    name = shape.serialization.get("name", name)
    return f"<{name}>{_render_content(shape, value)}</{name}>"


def _render_scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return str(value)


def _escape(value: str) -> str:
    """Escape for XML, without the characters that XML 1.0 cannot carry."""
    allowed = "".join(char for char in value if char in "\t\n\r" or (char >= " " and char not in "\ufffe\uffff"))
    return escape(allowed)
