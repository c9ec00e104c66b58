"""The service models that parse, validate and serialise everything on the wire: botocore's own, read at run time.
Only what the served operations use is kept, without the documentation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from tidegate.domain.errors import StartupError
from tidegate.host.late_import import load as load_late

if TYPE_CHECKING:  # they take long to import, and a server without calls does without
    from botocore.model import OperationModel, Shape

Json = dict[str, Any]


class ServedService:
    """One service: its served operations by name, and the names of the others."""

    def __init__(self, name: str, operations: Iterable[str]) -> None:
        raw = load_late("botocore.loaders", "Loader")().load_service_model(name, "service-2")
        self.name = name
        self.all_operations = frozenset(raw["operations"])
        self.model = load_late("botocore.model", "ServiceModel")(_reduce(raw, [op for op in operations]), name)
        self.errors: Mapping[str, Json] = {
            shape: spec.get("error", {}) for shape, spec in raw["shapes"].items() if spec.get("exception")
        }
        """Exception shape -> its ``code`` and ``httpStatusCode``, if the model has them."""
        self.errors_of: Mapping[str, frozenset[str]] = {
            op: frozenset(one["shape"] for one in spec.get("errors", ())) for op, spec in raw["operations"].items()
        }
        """Operation -> the exception shapes that the model lists for it."""
        self.namespace = str(raw["metadata"].get("xmlNamespace", ""))

    def operation(self, name: str) -> OperationModel:
        found: OperationModel = self.model.operation_model(name)
        return found


@cache
def load(name: str, operations: tuple[str, ...]) -> ServedService:
    """Read once per process; takes a few hundredths of a second for the largest model."""
    return ServedService(name, operations)


def _reduce(raw: Json, operations: list[str]) -> Json:
    missing = [name for name in operations if name not in raw["operations"]]
    if missing:
        raise StartupError(f"botocore is too old or too new: its service model has no {', '.join(missing)}")
    kept = {name: _without_docs(raw["operations"][name]) for name in operations}
    waiting = [spec[side]["shape"] for spec in kept.values() for side in ("input", "output") if side in spec]
    shapes: Json = {}
    while waiting:
        name = waiting.pop()
        if name not in shapes:
            shapes[name] = shape = _without_docs(raw["shapes"][name])
            waiting += [member["shape"] for member in shape.get("members", {}).values()]
            waiting += [shape[part]["shape"] for part in ("member", "key", "value") if part in shape]
    for spec in kept.values():
        spec.pop("errors", None)
    return {"metadata": raw["metadata"], "operations": kept, "shapes": shapes}


def _without_docs(node: Any) -> Any:
    """A copy without documentation."""
    if isinstance(node, dict):
        return {
            key: _without_docs(value)
            for key, value in node.items()
            if not (key == "documentation" and isinstance(value, str))
        }
    return [_without_docs(item) for item in node] if isinstance(node, list) else node


def shape_limit(shape: Shape, name: str) -> Any:
    """``min``, ``max`` or ``pattern`` of a shape; None if it has none."""
    return shape.metadata.get(name)
