"""The definition of the resource Endpoint: a structural schema that takes every spec file."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.spec_changes import BASES, CHANGES, GONE
from tidegate.targets.kubernetes.endpoint_definition import endpoint_definition, spec_schema

DEPLOY = Path(__file__).parents[4] / "deploy"
ANY, EITHER = "x-kubernetes-preserve-unknown-fields", "x-kubernetes-int-or-string"
ALLOWED = {
    *(
        "type",
        "description",
        "properties",
        "additionalProperties",
        "items",
        "required",
        "enum",
        "pattern",
        "format",
    ),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minItems", "maxItems", "minLength"),
    *(
        "maxLength",
        ANY,
        EITHER,
        "x-kubernetes-validations",
        "x-kubernetes-list-type",
        "x-kubernetes-list-map-keys",
    ),
}
"""Of apiextensions.k8s.io/v1, as far as they are used; $ref, uniqueItems and the like are forbidden there."""


def find_faults(node: dict[str, Any], path: str = "") -> Iterator[str]:
    """What the API server would refuse: the rules of structural schemas."""
    yield from (f"{path}: {key}" for key in node.keys() - ALLOWED)
    if ("type" in node) == bool(node.get(ANY) or node.get(EITHER)):
        yield f"{path}: exactly one type"
    if "properties" in node and "additionalProperties" in node:
        yield f"{path}: properties and additionalProperties"
    if not isinstance(node.get("additionalProperties", {}), dict) or not isinstance(node.get("items", {}), dict):
        yield f"{path}: not a schema"
    if any(not isinstance(node.get(f"exclusive{one}", True), bool) for one in ("Minimum", "Maximum")):
        yield f"{path}: exclusive bounds are yes or no"
    if re.search(r"\(\?[=!<]|\\[1-9]", node.get("pattern", "")):
        yield f"{path}: a pattern that RE2 does not know"
    for name, one in node.get("properties", {}).items():
        yield from find_faults(one, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), dict):
            yield from find_faults(node[key], f"{path}.{key}")


def read_as_draft_4(node: Any) -> Any:
    """The dialect of structural schemas, with the API server's own rule for numbers or texts and no unknown keys."""
    if isinstance(node, list):
        return [read_as_draft_4(one) for one in node]
    if not isinstance(node, dict):
        return node
    made = {key: read_as_draft_4(value) for key, value in node.items()}
    if node.get(EITHER):
        made["type"] = ["integer", "string"]
    return {**made, "additionalProperties": False} if isinstance(node.get("properties"), dict) else made


PLAIN_KEYS = [key for key, (_, path, value) in CHANGES.items() if value is not GONE and "." not in path]
CHECKED = jsonschema.Draft4Validator(read_as_draft_4(spec_schema()))


def test_the_schema_is_structural() -> None:
    schema = endpoint_definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert list(find_faults(schema)) == []
    assert list(find_faults({"$ref": "#/a", "type": "object"})) == [": $ref"]
    assert list(find_faults({"properties": {"a": {}}, "type": "object"})) == [".a: exactly one type"]


def test_the_definition_fits_into_an_annotation() -> None:
    """``kubectl apply`` keeps what was applied in one, which takes 256 KiB."""
    assert len((DEPLOY / "helm" / "tidegate" / "crds" / "endpoints.yaml").read_bytes()) < 200_000


@pytest.mark.parametrize("name", BASES)
def test_every_spec_is_valid(name: str) -> None:
    CHECKED.validate(BASES[name])


@pytest.mark.parametrize("key", PLAIN_KEYS)
def test_every_changed_key_is_valid(key: str) -> None:
    base, path, value = CHANGES[key]
    CHECKED.validate({**BASES[base], path: value})


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"instances": 0}, "minimum"),
        ({"instances": "two"}, "type"),
        ({"replicas": 2}, "additionalProperties"),
        ({"routing": "nearest"}, "enum"),
    ],
)
def test_what_is_wrong_is_refused(change: dict[str, Any], why: str) -> None:
    (error,) = CHECKED.iter_errors({**BASES["plain"], **change})
    assert error.validator == why


def test_the_health_check_of_flux_reads_conditions_of_the_resource() -> None:
    """Its CEL is not run: no interpreter of it is among the dependencies."""
    (flux,) = yaml.safe_load_all((DEPLOY / "flux" / "endpoints.yaml").read_text())
    (check,) = flux["spec"]["healthCheckExprs"]
    definition = endpoint_definition()["spec"]
    assert check["apiVersion"] == f"{definition['group']}/{definition['versions'][0]['name']}"
    assert check["kind"] == definition["names"]["kind"]
    assert {one for key in ("current", "inProgress", "failed") for one in re.findall(r"'(\w+)'", check[key])} <= {
        *("Ready", "Stalled", "Reconciling", "True"),
    }
