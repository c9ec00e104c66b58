"""Read botocore's service models: instance types, and whether a request fits its shape."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator


@cache
def service_model(service: str) -> ServiceModel:
    """Reading the largest takes some tenths of a second; once per process."""
    return ServiceModel(Loader().load_service_model(service, "service-2"), service)


@cache
def _enumeration(shape: str) -> frozenset[str]:
    return frozenset(service_model("sagemaker").shape_for(shape).enum)


def hosting_types() -> frozenset[str]:
    """Return the instance types of endpoints."""
    return _enumeration("ProductionVariantInstanceType")


def transform_types() -> frozenset[str]:
    """Return the instance types of batch transform jobs, which are not those of endpoints."""
    return _enumeration("TransformInstanceType")


def find_shape_error(service: str, operation: str, params: Mapping[str, Any]) -> str | None:
    """Validate a request by botocore's validator, and by the lengths, ranges and enumerations that the validator
    leaves out. Returns the error; None: the request is valid."""
    shape = service_model(service).operation_model(operation).input_shape
    if shape is None:
        return f"{operation} takes no parameters" if params else None
    report = ParamValidator().validate(params, shape)
    if report.has_errors():
        return str(report.generate_report())
    return next(_violations(shape, params, operation), None)


def _violations(shape: Any, value: Any, path: str) -> Iterator[str]:
    limits = shape.metadata
    if shape.type_name == "structure":
        for name, member in value.items():
            yield from _violations(shape.members[name], member, f"{path}.{name}")
    elif shape.type_name == "list":
        if not limits.get("min", 0) <= len(value) <= limits.get("max", len(value)):
            yield f"{path}: {len(value)} entries"
        for index, entry in enumerate(value):
            yield from _violations(shape.member, entry, f"{path}[{index}]")
    elif shape.type_name == "map":
        for key, entry in value.items():
            yield from _violations(shape.key, key, f"{path}.{key}")
            yield from _violations(shape.value, entry, f"{path}.{key}")
    else:
        yield from _scalar_violations(shape, value, path)


def _scalar_violations(shape: Any, value: Any, path: str) -> Iterator[str]:
    limits = shape.metadata
    if shape.type_name == "string":
        if shape.enum and value not in shape.enum:
            yield f"{path}: {value!r} is not one of {', '.join(shape.enum[:5])}, ..."
        if not limits.get("min", 0) <= len(value) <= limits.get("max", len(value)):
            yield f"{path}: {len(value)} characters"
    numbers = shape.type_name in ("integer", "float", "long", "double")
    if numbers and not limits.get("min", value) <= value <= limits.get("max", value):
        yield f"{path}: {value}"
