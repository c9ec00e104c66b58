"""Checks requests and answers of a fake AWS against botocore's shapes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import botocore.session
from botocore.validate import ParamValidator

from tidegate.targets.aws.client import Calls


@cache
def _model(service: str) -> Any:
    return botocore.session.get_session().get_service_model(service)


def shape_errors(service: str, operation: str, side: str, members: Mapping[str, object]) -> str:
    """``side``: ``input`` or ``output``. Empty where the members fit."""
    model = _model(service).operation_model(operation)
    shape = model.input_shape if side == "input" else model.output_shape
    if shape is None:
        return "" if not members else f"{operation} has no {side}"
    unknown = sorted(set(members) - set(shape.members))
    if unknown:
        return f"{operation} has no {side} member {unknown[0]}"
    return str(ParamValidator().validate(dict(members), shape).generate_report())


@dataclass
class ShapeChecked:
    """Passes calls on to ``calls``; ``made`` lists them."""

    calls: Calls
    made: list[tuple[str, str, dict[str, object]]] = field(default_factory=list)

    async def call(self, service: str, operation: str, members: Mapping[str, object]) -> dict[str, Any]:
        assert shape_errors(service, operation, "input", members) == ""
        self.made.append((service, operation, dict(members)))
        answer = await self.calls.call(service, operation, members)
        assert shape_errors(service, operation, "output", answer) == ""
        return answer

    def named(self, operation: str) -> list[dict[str, object]]:
        return [members for _, name, members in self.made if name == operation]
