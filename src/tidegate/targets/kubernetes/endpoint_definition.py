"""Definition of the resource Endpoint: a CustomResourceDefinition whose spec is the spec file. Pure.

The JSON Schema of spec files becomes a structural schema, as apiextensions.k8s.io/v1 demands: without references and
with one type for each value. What has several types is an int-or-string or not checked by the cluster, and then by
tidegate alone. There are no defaults, so that an object stays as it was written.
"""

from typing import Any

from tidegate import spec
from tidegate.targets.kubernetes.api import KINDS
from tidegate.targets.kubernetes.names import Manifest

_LEFT_OUT = ("title", "examples", "default", "$schema", "$defs")
_SOURCES = ("model", "pipeline", "containers", "variants")
_ONE_SOURCE = f"[{', '.join(f'has(self.{one})' for one in _SOURCES)}].filter(x, x).size() == 1"
_TEXT: Manifest = {"type": "string"}
_NUMBER: Manifest = {"type": "integer", "format": "int64"}
_CONDITION: Manifest = {
    "type": "object",
    "required": ["type", "status", "reason", "lastTransitionTime"],
    "properties": {
        "type": _TEXT,
        "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
        "reason": _TEXT,
        "message": _TEXT,
        "observedGeneration": _NUMBER,
        "lastTransitionTime": {"type": "string", "format": "date-time"},
    },
}
_STATUS: Manifest = {
    "type": "object",
    "properties": {
        "observedGeneration": _NUMBER,
        "phase": _TEXT,
        "reason": _TEXT,
        "message": _TEXT,
        "version": _TEXT,
        "share": {"type": "string", "description": "Share of the traffic that the version has, in force."},
        "conditions": {
            "type": "array",
            "items": _CONDITION,
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
        },
    },
}


def endpoint_definition() -> Manifest:
    group, _, version = KINDS["Endpoint"][0].partition("/")
    plural = KINDS["Endpoint"][1]
    schema = {
        "type": "object",
        "required": ["spec"],
        "properties": {"spec": spec_schema(), "status": _STATUS},
        "x-kubernetes-validations": [
            {
                "rule": "!has(self.spec.endpoint) || self.spec.endpoint == self.metadata.name",
                "message": "spec.endpoint must be the name of the resource, or be left out",
            },
            {
                "rule": "self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')"
                " && self.metadata.name.size() <= 63",
                "message": "the name must be 1 to 63 letters, digits and hyphens",
            },
        ],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {
                "kind": "Endpoint",
                "listKind": "EndpointList",
                "plural": plural,
                "singular": "endpoint",
                "shortNames": ["tge"],
                "categories": ["tidegate"],
            },
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": _columns(),
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }


def _columns() -> list[Manifest]:
    return [
        {
            "name": "Ready",
            "type": "string",
            "jsonPath": '.status.conditions[?(@.type=="Ready")].status',
        },
        {"name": "Version", "type": "string", "jsonPath": ".status.version"},
        {"name": "Share", "type": "string", "jsonPath": ".status.share"},
        {"name": "Status", "type": "string", "jsonPath": ".status.phase"},
        {"name": "Reason", "type": "string", "jsonPath": ".status.reason", "priority": 1},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]


def spec_schema() -> Manifest:
    """The structural schema of ``spec``; the endpoint's name is that of the resource."""
    whole = spec.schema()
    found = _make_structural(whole, whole["$defs"])
    required = [one for one in found.pop("required", ()) if one != "endpoint"]
    rule = {"rule": _ONE_SOURCE, "message": f"exactly one of {', '.join(_SOURCES)} is needed"}
    return {**found, **({"required": required} if required else {}), "x-kubernetes-validations": [rule]}


def _make_structural(node: Manifest, definitions: Manifest) -> Manifest:
    if (reference := node.get("$ref")) is not None:
        own = {key: value for key, value in node.items() if key != "$ref"}
        return _make_structural({**definitions[reference.rpartition("/")[2]], **own}, definitions)
    if (choices := node.get("anyOf")) is not None:
        return _make_one_type(node, [one for one in choices if one.get("type") != "null"], definitions)
    made: Manifest = {}
    for key, value in node.items():
        if (
            key in _LEFT_OUT
            or (key == "additionalProperties" and value is False)
            or (key == "required" and not value)
        ):
            continue
        made |= _convert(key, value, definitions)
    return made


def _convert(key: str, value: Any, definitions: Manifest) -> Manifest:
    if key == "description":
        return {key: " ".join(value.split())}
    if key == "properties":
        return {key: {name: _make_structural(one, definitions) for name, one in value.items()}}
    if key in ("items", "additionalProperties"):
        return {key: _make_structural(value, definitions)}
    if key in ("exclusiveMinimum", "exclusiveMaximum"):
        return {key.removeprefix("exclusive").lower(): value, key: True}
    return {key: value}


def _make_one_type(node: Manifest, choices: list[Manifest], definitions: Manifest) -> Manifest:
    """A value of several types; None among them is pruned by the API server."""
    own = {key: value for key, value in node.items() if key != "anyOf"}
    if len(choices) == 1:
        return _make_structural({**own, **choices[0]}, definitions)
    number_or_text = {one.get("type") for one in choices} == {"integer", "string"}
    kind = "int-or-string" if number_or_text else "preserve-unknown-fields"
    described = {"description": " ".join(own["description"].split())} if "description" in own else {}
    return {**described, f"x-kubernetes-{kind}": True}
