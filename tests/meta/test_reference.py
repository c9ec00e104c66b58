"""The reference of settings, metrics, errors and operations is current and complete."""

import json
import re
from pathlib import Path

from openapi_spec_validator import validate

from tests.gateway_harness import GatewayHarness, late_pages
from tidegate.compose import openapi, reference
from tidegate.gateway import native
from tidegate.gateway.error_responses import MethodNotAllowed
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
