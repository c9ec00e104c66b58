"""Requirements on answers of every protocol: no empty values, and consistent with the output shape."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tidegate.host.late_import import load
from tidegate.wire.validation import ALLOWANCES

if TYPE_CHECKING:  # it takes long to import, and a server without calls does without
    from botocore.model import Shape, StructureShape


def drop_empty(shape: StructureShape | None, members: dict[str, Any] | None) -> dict[str, Any]:
    """Drop members that are None and empty structures, since strict clients fail on ``{}``. A member that the shape
    lacks is a bug and raises LookupError."""
    return _drop_empty(shape, members) if shape and members else {}


def _drop_empty(shape: Shape, value: Any) -> Any:
    if shape.type_name == "structure":
        kept = {}
        for name, entry in value.items():
            if entry is None:
                continue
            if name not in shape.members:
                raise LookupError(f"{shape.name} has no member {name}")
            kept[name] = _drop_empty(shape.members[name], entry)
            if kept[name] == {} and shape.members[name].type_name == "structure":
                del kept[name]
        return kept
    if shape.type_name == "list":
        return [_drop_empty(shape.member, entry) for entry in value]
    if shape.type_name == "map":
        return {key: _drop_empty(shape.value, entry) for key, entry in value.items() if entry is not None}
    return value


def find_shape_error(service: str, shape: StructureShape | None, members: dict[str, Any]) -> str | None:
    """Describe what botocore's validator and the shape's enums find wrong with an answer; None if it is valid."""
    if shape is None:
        return f"members without an output shape: {sorted(members)}" if members else None
    report = load("botocore.validate", "ParamValidator")().validate(members, shape)
    if report.has_errors():
        return str(report.generate_report())
    return next(_unknown_values(service, shape, members), None)


def _unknown_values(service: str, shape: Shape, value: Any) -> Iterator[str]:
    if shape.type_name == "structure":
        for name, entry in value.items():
            if name not in shape.members:
                yield f"{shape.name} has no member {name}"
            else:
                yield from _unknown_values(service, shape.members[name], entry)
    elif shape.type_name == "list":
        for entry in value:
            yield from _unknown_values(service, shape.member, entry)
    elif shape.type_name == "map":
        for entry in value.values():
            yield from _unknown_values(service, shape.value, entry)
    elif (service, shape.name) in ALLOWANCES:
        return
    elif shape.metadata.get("enum") and value not in shape.metadata["enum"]:
        yield f"{value!r} is not one of the values of {shape.name}"
