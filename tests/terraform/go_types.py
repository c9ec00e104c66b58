"""How strictly the AWS SDK for Go, on which Terraform's provider stands, reads an answer in JSON.

Python's client takes 1.0 for a whole number and text for a number; Go's decoder fails on both.
"""

import json
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

_KINDS: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "blob": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "timestamp": (int, float),
}


def check_answers(client: Any) -> Any:
    """The client, with every good answer of it checked."""
    client.meta.events.register("after-call", _check)
    return client


def _check(http_response: Any, model: Any, **_: Any) -> None:
    content = http_response.headers.get("Content-Type", "")
    if http_response.status_code < 300 and model.output_shape is not None and "json" in content:
        _check_value(model.output_shape, json.loads(http_response.content), model.name)


def _check_value(shape: Shape, value: Any, place: str) -> None:
    if value is None:
        return
    if isinstance(shape, StructureShape):
        assert isinstance(value, dict), place
        for name, entry in value.items():
            if name in shape.members:
                _check_value(shape.members[name], entry, f"{place}.{name}")
    elif isinstance(shape, ListShape):
        assert isinstance(value, list), place
        for entry in value:
            _check_value(shape.member, entry, f"{place}[]")
    elif isinstance(shape, MapShape):
        assert isinstance(value, dict), place
        for entry in value.values():
            _check_value(shape.value, entry, f"{place}{{}}")
    else:
        kinds = _KINDS[shape.type_name]
        assert isinstance(value, kinds), f"{place} is {value!r}, not {shape.type_name}"
        assert bool in kinds or not isinstance(value, bool), f"{place} is {value!r}, not {shape.type_name}"
