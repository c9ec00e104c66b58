"""The reference of settings, metrics, errors and operations is current and complete."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from openapi_spec_validator import validate

from tests.gateway_harness import GatewayHarness, late_pages
from tidegate.compose import openapi, reference
from tidegate.gateway import native
from tidegate.gateway.error_responses import MethodNotAllowed
from tidegate.gateway.native_body import RequesterBody, check_described, derive_body, list_members
from tidegate.gateway.paths import NATIVE
from tidegate.service.prometheus import families, render, render_storage
from tidegate.settings import VARIABLES, Settings
from tidegate.wire.errors import TABLE

PAGE = Path(__file__).parents[2] / "docs" / "reference.md"
FIXES = PAGE.with_name("troubleshooting.md")


def test_the_page_is_what_the_code_would_generate_now() -> None:
    command = "python -m tidegate.compose.reference > docs/reference.md"
    assert PAGE.read_text() == reference.render_page(), f"run: {command}"


def test_every_setting_has_a_meaning() -> None:
    meanings = reference.read_docstrings(Settings)
    assert [name for name, _ in VARIABLES.values() if len(meanings.get(name, "")) < 10] == []


def test_every_error_code_has_a_fix_and_its_name_in_sagemaker() -> None:
    listed = re.findall(
        r"^\| `(\w+)` \| (?:`(\w+)` )?\| [^|]*\w[^|]* \| [^|]*\w[^|]* \|$", FIXES.read_text(), re.MULTILINE
    )
    names = TABLE["sagemaker"]
    expected = {
        kind.code: "" if kind is MethodNotAllowed else next(names[one][0] for one in kind.__mro__ if one in names)
        for kind in reference.error_kinds()
    }
    assert {code: name for code, name in listed if code in expected} == expected


def test_metrics_of_the_page_are_listed() -> None:
    text = render({}, [], []) + render_storage(0, 0)
    shown = {line.split()[2] for line in text.splitlines() if line.startswith("# HELP")}
    assert shown and shown <= {name for name, _, _ in families()}


def test_every_operation_of_the_native_api_is_listed() -> None:
    gateway, page = GatewayHarness().gateway, PAGE.read_text()
    served = [route for route in (*native.routes(gateway), *late_pages(gateway)) if route.path.startswith(NATIVE)]
    names = [
        f"| `{method} {route.path.removeprefix(NATIVE)}` |"
        for route in served
        for method in sorted((route.methods or set()) - {"HEAD"})
    ]
    assert len(names) > 50
    assert [name for name in names if name not in page] == []


def test_the_openapi_document_is_valid_current_and_says_what_each_operation_does() -> None:
    made = openapi.make_document()
    command = "python -m tidegate.compose.openapi > docs/openapi.json"
    assert json.loads(PAGE.with_name("openapi.json").read_text()) == made, f"run: {command}"
    validate(made)
    operations = [one for path in made["paths"].values() for one in path.values()]
    assert len(operations) == len(list(reference.list_operations()))
    assert [one["operationId"] for one in operations if not one["summary"][:1].isupper()] == []
    assert len({one["operationId"] for one in operations}) == len(operations)


def test_each_operation_with_a_body_describes_its_members() -> None:
    described = {(method, path): types for method, path, *_, types in reference.list_operations()}
    lacking = {
        operation
        for operation, types in described.items()
        if operation[0] in ("POST", "PUT") and types.body is None and operation not in openapi.OTHER_BODIES
    }
    assert lacking == set()
    assert openapi.OTHER_BODIES.keys() <= described.keys()
    assert len([types for types in described.values() if types.body is not None]) > 30


def test_the_document_has_the_members_of_each_body_and_the_types_of_answers() -> None:
    made = openapi.make_document()
    schemas = made["components"]["schemas"]
    for method, path, *_, types in reference.list_operations():
        operation = made["paths"][path][method.lower()]
        if types.body is not None and (members := list_members(types.body)):
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            assert set(schemas[schema["$ref"].rpartition("/")[2]]["properties"]) == set(members), path
        if types.answer is not None:
            assert "content" in operation["responses"]["200"], path
    assert schemas["DeployBody"]["required"] == ["spec"]


def test_a_body_that_is_not_as_described_is_found_where_answers_are_checked() -> None:
    check_described({"by": "ann"}, RequesterBody)
    with pytest.raises(AssertionError, match="RequesterBody does not describe what was accepted"):
        check_described({"by": 1}, RequesterBody)


def test_a_derived_body_leaves_out_what_does_not_come_from_the_caller() -> None:
    @dataclass(frozen=True)
    class Kept:
        endpoint: str
        baseline: str
        every: int = 60

    assert list_members(derive_body("Body", Kept, ("endpoint",))) == ("baseline", "every")
    check_described({"baseline": "s3://a/b"}, derive_body("Body", Kept, ("endpoint",)))
