"""Checks parsed members against an input shape, with AWS's messages.

Clients check required members, types and minimums; maximums, patterns and enums are checked only here.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tidegate.domain.errors import Invalid
from tidegate.wire import schema
from tidegate.wire.java_patterns import matches

# Values that are accepted beyond the service models. These are the only exceptions on the wire.


@dataclass(frozen=True)
class _PatternOverride:
    """Replaces the pattern of a shape; for an enum, also accepts values that match the pattern."""

    pattern: str
    reason: str


ALLOWANCES: dict[tuple[str, str], _PatternOverride] = {
    ("sagemaker", "ProductionVariantInstanceType"): _PatternOverride(
        r"local([._-][A-Za-z0-9._-]{1,58})?",
        "local, or a user-defined size such as local.small, is an instance of this machine",
    ),
    ("sagemaker", "Url"): _PatternOverride(
        r"(https|s3|file)://([^/]*)/?(.*)", "model data may lie on this machine"
    ),
    ("sagemaker", "S3Uri"): _PatternOverride(
        r"(https|s3|file)://([^/]*)/?(.*)", "what a job reads and writes may lie on this machine"
    ),
    ("sagemaker", "MonitoringS3Uri"): _PatternOverride(
        r"(https|s3|file)://([^/]*)/?(.*)", "reports may be put on this machine"
    ),
    ("sagemaker", "S3ModelUri"): _PatternOverride(
        r"(https|s3|file)://([^/]*)/?(.*)", "model data may lie on this machine"
    ),
    ("sagemaker", "DestinationS3Uri"): _PatternOverride(
        r"(https|s3|file)://([^/]*)/?(.*)", "answers may be put on this machine"
    ),
    ("sagemaker-runtime", "InputLocationHeader"): _PatternOverride(
        r"(https|s3|file)://([^/]*)/?(.*)", "inputs may lie on this machine"
    ),
}


if TYPE_CHECKING:  # it takes long to import, and a server without calls does without
    from botocore.model import Shape, StructureShape

_ORDERS: dict[tuple[str, str], Sequence[str]] = {
    ("application-autoscaling", "PolicyType"): ("PredictiveScaling", "StepScaling", "TargetTrackingScaling"),
    ("cloudwatch", "StateValue"): ("INSUFFICIENT_DATA", "ALARM", "OK"),
}
"""The order in which AWS's messages list an enum's values, if it differs from the service model: clients compare
messages literally."""


def enum_order(service: str, shape: Shape) -> Sequence[str]:
    """Values of an enum in AWS's order; in the model's order if the model has values that are not listed here."""
    values: list[str] = shape.metadata["enum"]
    known = _ORDERS.get((service, shape.name), values)
    return known if set(known) == set(values) else values


MAX_VALUE_SHOWN = 256
"""Maximum length of an invalid value in a message."""

MAX_VIOLATIONS = 10
"""Maximum number of violations in a message."""


class Violation(Invalid):
    """Members that violate the constraints of their shapes."""


class WrongType(Invalid):
    """A value of the wrong type; AWS calls it SerializationException."""


def check(service: str, shape: StructureShape, params: dict[str, Any], unknown: Iterable[str]) -> None:
    """Raises Violation with all errors; ``unknown`` are the parser's errors about unknown members."""
    failures = [*unknown, *_structure(service, shape, params, "")]
    if failures:
        errors = "1 validation error" if len(failures) == 1 else f"{len(failures)} validation errors"
        more = ["..."] if len(failures) > MAX_VIOLATIONS else []
        raise Violation(f"{errors} detected: {'; '.join(failures[:MAX_VIOLATIONS] + more)}")


def member_path(path: str, name: str) -> str:
    """Path of a member, spelled as AWS does: ``productionVariants.1.member.variantName``."""
    name = name[:1].lower() + name[1:]
    return f"{path}.{name}" if path else name


def item_path(path: str, index: int) -> str:
    return f"{path}.{index + 1}.member"


def describe_unknown_member(path: str, name: str, known: Iterable[str]) -> str:
    names = list(known)
    near = difflib.get_close_matches(name, names, 1) or difflib.get_close_matches(
        name.lower(), [known_name.lower() for known_name in names], 1
    )
    spelled = next((n for n in names if near and n.lower() == near[0].lower()), None)
    hint = f"did you mean '{spelled}'?" if spelled else f"known are {', '.join(sorted(names)) or 'none'}"
    return f"Unknown member '{abbreviate(name)}' at '{path or 'the request'}': {hint}"


def abbreviate(value: Any) -> str:
    text = value.isoformat() if isinstance(value, datetime) else str(value)
    return text if len(text) <= MAX_VALUE_SHOWN else text[:MAX_VALUE_SHOWN] + "..."


def _walk(service: str, shape: Shape, value: Any, path: str) -> Iterator[str]:
    if shape.type_name == "structure":
        yield from _structure(service, shape, value, path)
    elif shape.type_name == "list":
        yield from _length(shape, value, path)
        for index, entry in enumerate(value):
            yield from _walk(service, shape.member, entry, item_path(path, index))
    elif shape.type_name == "map":
        yield from _length(shape, value, path)
        for key, entry in value.items():
            yield from _walk(service, shape.key, key, f"{path}.key")
            yield from _walk(service, shape.value, entry, f"{path}.{abbreviate(key)}.member")
    elif shape.type_name == "string":
        yield from _string(service, shape, value, path)
    elif shape.type_name in ("integer", "long", "float", "double"):
        yield from _number(shape, value, path)
    elif shape.type_name == "blob":
        yield from _length(shape, value, path)


def _structure(service: str, shape: StructureShape, value: dict[str, Any], path: str) -> Iterator[str]:
    for name in shape.required_members:
        if value.get(name) is None:
            yield _describe_violation("null", member_path(path, name), "Member must not be null", quote=False)
    if getattr(shape, "is_tagged_union", False) and len(value) != 1:
        yield _describe_violation(sorted(value), path, f"Exactly one of [{', '.join(shape.members)}] must be set")
    for name, member in shape.members.items():
        if value.get(name) is not None:
            yield from _walk(service, member, value[name], member_path(path, name))


def _string(service: str, shape: Shape, value: str, path: str) -> Iterator[str]:
    wrong = list(_length(shape, value, path))
    yield from wrong
    allowance = ALLOWANCES.get((service, shape.name))
    source = allowance.pattern if allowance else schema.shape_limit(shape, "pattern")
    if shape.metadata.get("enum"):
        allowed = allowance is not None and matches(value, allowance.pattern)
        if value not in shape.metadata["enum"] and not allowed:
            yield describe_enum_violation(value, path, enum_order(service, shape))
    elif source and not wrong and not matches(value, source):
        yield _describe_violation(value, path, f"Member must satisfy regular expression pattern: {source}")


def describe_enum_violation(value: Any, path: str, values: Iterable[object]) -> str:
    """The error for a value that is not in an enum."""
    return _describe_violation(value, path, f"Member must satisfy enum value set: [{', '.join(map(str, values))}]")


def _number(shape: Shape, value: float, path: str) -> Iterator[str]:
    low, high = schema.shape_limit(shape, "min"), schema.shape_limit(shape, "max")
    if low is not None and not value >= low:
        yield _describe_violation(value, path, f"Member must have value greater than or equal to {low}")
    if high is not None and not value <= high:
        yield _describe_violation(value, path, f"Member must have value less than or equal to {high}")


def _length(shape: Shape, value: Any, path: str) -> Iterator[str]:
    low, high = schema.shape_limit(shape, "min"), schema.shape_limit(shape, "max")
    if low is not None and len(value) < low:
        yield _describe_violation(value, path, f"Member must have length greater than or equal to {low}")
    if high is not None and len(value) > high:
        yield _describe_violation(value, path, f"Member must have length less than or equal to {high}")


def _describe_violation(value: Any, path: str, constraint: str, *, quote: bool = True) -> str:
    said = f"'{abbreviate(value)}'" if quote else abbreviate(value)
    return f"Value {said} at '{path}' failed to satisfy constraint: {constraint}"
