"""``python -m tidegate.compose.openapi`` prints ``docs/openapi.json``: the operations of the native API as the routes
have them, in OpenAPI 3.1."""

import json
import re
import sys
from collections.abc import Iterable
from typing import Any

import msgspec

from tidegate import spec
from tidegate.compose.reference import error_kinds, list_operations
from tidegate.domain.access import Access
from tidegate.gateway.error_responses import MethodNotAllowed, status_of
from tidegate.gateway.native_body import OperationTypes, list_members
from tidegate.gateway.paths import NATIVE

OTHER_BODIES = {
    ("PUT", "/uploads/{name}"): ("application/octet-stream", "A file of model data."),
    ("POST", "/endpoints/{name}/invoke"): ("*/*", "What the model takes."),
    ("POST", "/registry/webhook"): ("application/json", "MLflow's message, of which the signature alone is used."),
}
"""Operations whose body has no members of tidegate's: its type, and what it is."""


def make_document() -> dict[str, Any]:
    """The document as plain data."""
    operations = sorted(list_operations(), key=lambda one: (one[1], one[0]))
    schemas, components = _describe_types([one[-1] for one in operations])
    paths: dict[str, dict[str, Any]] = {}
    for method, path, access, feature, summary, types in operations:
        made = paths.setdefault(path, {})[method.lower()] = _operation(method, path, access, feature, summary)
        if body := _describe_body(method, path, types, schemas):
            made["requestBody"] = body
        if types.answer is not None:
            made["responses"]["200"] |= _json(schemas[types.answer])
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "tidegate's native API",
            "version": "v1",
            "summary": "JSON both ways. AWS's APIs at the same address are described by AWS's own models.",
        },
        "servers": [{"url": f"http://127.0.0.1:8471{NATIVE}", "description": "a server on this machine"}],
        "security": [{"bearer": []}, {}],
        "paths": paths,
        "components": {
            "schemas": {**components, "Error": _error(), "Spec": _spec()},
            "responses": {
                "Error": {"description": "What is wrong, where, and what to do.", **_json(_ref("Error"))}
            },
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "An API token (`tidegate access`)."}
            },
        },
    }


def _operation(method: str, path: str, access: Access, feature: str, summary: str) -> dict[str, Any]:
    names = re.findall(r"{(\w+)}", path)
    made: dict[str, Any] = {
        "operationId": f"{method.lower()}{re.sub(r'[^a-zA-Z0-9]+', '_', path)}".rstrip("_"),
        "summary": summary,
        "tags": [feature or "core"],
        "description": f"Least role: {access.role or 'none'}."
        + (" Recorded in the audit." if access.is_recorded else ""),
        "responses": {
            "200": {"description": "Done." if method != "GET" else "What is asked for."},
            "default": {"$ref": "#/components/responses/Error"},
        },
    }
    if names:
        made["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
        ]
    return made


def _describe_types(operations: Iterable[OperationTypes]) -> tuple[dict[Any, dict[str, Any]], dict[str, Any]]:
    """Describe each type of a body or an answer, and the types that they name."""
    types = list(dict.fromkeys(kind for one in operations for kind in (one.body, one.answer) if kind is not None))
    described, components = msgspec.json.schema_components(
        types,
        schema_hook=lambda _: {"description": "Any JSON value."},
        ref_template="#/components/schemas/{name}",
    )
    # As JSON has them: defaults may be tuples.
    described, components = json.loads(json.dumps([described, components]))
    return dict(zip(types, described, strict=True)), components


def _describe_body(
    method: str, path: str, types: OperationTypes, schemas: dict[Any, dict[str, Any]]
) -> dict[str, Any]:
    if (method, path) in OTHER_BODIES:
        kind, description = OTHER_BODIES[method, path]
        return {"description": description, "content": {kind: {}}}
    if types.body is None or not list_members(types.body):
        return {}
    return _json(schemas[types.body]) | ({"required": True} if path == "/deploy" else {})


def _spec() -> dict[str, Any]:
    """Refer to the schema of the spec file, which is published as its own document."""
    return {"type": "object", "title": spec.schema()["title"], "externalDocs": {"url": "spec.schema.json"}}


def _error() -> dict[str, Any]:
    codes = sorted(kind.code for kind in error_kinds())
    statuses = sorted({405 if one is MethodNotAllowed else status_of(one.__new__(one)) for one in error_kinds()})
    inner = {
        "type": "object",
        "required": ["code", "message"],
        "properties": {"code": {"type": "string", "enum": codes}, "message": {"type": "string"}},
    }
    return {
        "type": "object",
        "description": f"Statuses: {', '.join(map(str, statuses))}.",
        "required": ["error"],
        "properties": {"error": inner},
    }


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": schema}}}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(make_document(), indent=1, sort_keys=True) + "\n")
