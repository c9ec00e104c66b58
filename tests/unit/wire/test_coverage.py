"""The page of what is served says what the code does."""

import ast
from pathlib import Path

import pytest

import tidegate
from tidegate.host.features import features
from tidegate.wire import coverage, sagemaker_models
from tidegate.wire.dispatch import load_service
from tidegate.wire.member_notes import Treatment, all_notes, find_treatment
from tidegate.wire.table import TABLE

SOURCE = Path(tidegate.__file__).parent
PAGE = SOURCE.parents[1] / "docs" / "api.md"
OPERATIONS = [(service, operation) for service, rows in TABLE.items() for operation in rows]
PREDICTIONS = ("InvokeEndpoint", "InvokeEndpointWithResponseStream")
"""Served by proxy and workers: their members are headers, which those name."""
OF_THE_ROUTER = {"EndpointName", "Body"}


def test_the_committed_page_is_what_is_generated() -> None:
    assert PAGE.read_text() == coverage.render_page(), "run: python -m tidegate.wire.coverage > docs/api.md"


def test_notes_name_existing_members() -> None:
    for (service, operation), notes in all_notes().items():
        known = {path for path, _ in coverage.paths(coverage.members(service, operation))}
        assert not notes.keys() - known, (service, operation)


MEMBER = "config_member"
"""Extension point of what features look at in CreateEndpointConfig."""
LATER = ("CreateModelPackage", "UpdateModelPackage")
"""Operations whose containers are looked at by CreateModel."""


@pytest.mark.parametrize(("service", "operation"), OPERATIONS)
def test_what_no_code_looks_at_is_not_called_served(service: str, operation: str) -> None:
    if operation in PREDICTIONS:
        return
    named = strings(TABLE[service][operation].translate.__module__, set())
    if operation in LATER:
        named |= strings(sagemaker_models.__name__, set())
    for one in features():
        if f"{service}:{operation}" in one.feature.members and MEMBER in one.feature.hooks:
            named |= strings(one.resolve(one.feature.hooks[MEMBER]).partition(":")[0], set())
    unnamed = [
        path
        for path, node in coverage.paths(coverage.members(service, operation))
        if node.name not in named
        and find_treatment(service, operation, path) is Treatment.SERVED
        and not node.below
    ]
    assert unnamed == []


@pytest.mark.parametrize("operation", PREDICTIONS)
def test_headers_of_predictions_that_are_called_served_are_known_to_proxy_or_worker(operation: str) -> None:
    shape = load_service("sagemaker-runtime").operation(operation).input_shape
    sources = [path for part in ("proxy", "serving") for path in (SOURCE / part).rglob("*.py")]
    sources.append(SOURCE / "domain" / "sessions.py")  # which both have the names from
    text = "".join(path.read_text().lower() for path in sources)
    for name, member in shape.members.items():
        wanted = find_treatment("sagemaker-runtime", operation, name)
        if wanted is not Treatment.IGNORED and name not in OF_THE_ROUTER:
            assert member.serialization["name"].lower() in text, name


def strings(module: str, seen: set[str]) -> set[str]:
    """The strings of a module of operations, and of those of the wire and of features that it imports."""
    path = SOURCE.parent / f"{module.replace('.', '/')}.py"
    if module in seen or not path.exists():
        return set()
    seen.add(module)
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
            ("tidegate.wire", "tidegate.features")
        ):
            names = [f"{node.module}.{each.name}" for each in node.names] + [str(node.module)]
            found |= {each for name in names for each in strings(name, seen)}
    return found


def test_a_note_holds_for_what_lies_below_and_a_longer_one_wins() -> None:
    of = ("cloudwatch", "PutMetricAlarm")
    assert find_treatment(*of, "EvaluationWindow.SlidingWindow") is Treatment.IGNORED
    assert find_treatment(*of, "EvaluationWindow.WallClockWindow.Timezone") is Treatment.REFUSED
    assert find_treatment(*of, "AlarmName") is Treatment.SERVED
