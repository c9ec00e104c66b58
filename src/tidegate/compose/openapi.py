"""``python -m tidegate.compose.openapi`` prints ``docs/openapi.json``: the operations of the native API as the routes
have them, in OpenAPI 3.1."""

import json
import re
import sys
from typing import Any

import msgspec

from tidegate import spec
from tidegate.compose.reference import error_kinds, list_operations
from tidegate.domain.access import Access
from tidegate.gateway.error_responses import MethodNotAllowed, status_of
from tidegate.gateway.paths import NATIVE
from tidegate.service.views import EndpointDocument

RESULTS = {"/endpoints/{name}": EndpointDocument}
"""Paths whose GET answers a structure."""


def make_document() -> dict[str, Any]:
    """The document as plain data."""
    paths: dict[str, dict[str, Any]] = {}
    for method, path, access, feature, summary in sorted(list_operations(), key=lambda one: (one[1], one[0])):
        paths.setdefault(path, {})[method.lower()] = _operation(method, path, access, feature, summary)
    (result,), components = msgspec.json.schema_components(
        list(RESULTS.values()),
        schema_hook=lambda _: {"description": "Any JSON value."},
        ref_template="#/components/schemas/{name}",
    )
    paths["/endpoints/{name}"]["get"]["responses"]["200"] |= _json(result)
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
    if path == "/deploy":
        made["requestBody"] = {"required": True, **_json({"type": "object", "properties": {"spec": _ref("Spec")}})}
    elif method in ("POST", "PUT"):
        made["requestBody"] = _json({"type": "object"})
    return made


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
