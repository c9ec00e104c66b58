"""``explain`` and ``schema --output-of``."""

import json

import jsonschema
import pytest

from tests.unit.cli.test_cli_everyday import refusal, words
from tidegate.cli.documents import DOCUMENTS, output_schema


def test_a_key_is_explained_with_its_values() -> None:
    shown = words("spec", "explain", "rollout.strategy")
    assert shown.startswith("rollout.strategy  (text, optional)\n  How traffic moves to the new version.\n")
    assert "default:  all_at_once" in shown and "one of:   all_at_once, canary, linear, rolling" in shown


def test_a_section_lists_its_keys_and_marks_the_required_ones() -> None:
    shown = words("spec", "explain", "quotas")
    assert "rate *" in shown and "burst  " in shown and "burst *" not in shown
    assert shown.endswith("* required\n")


def test_a_section_of_named_ones_lists_the_keys_of_each() -> None:
    shown = words("spec", "explain", "alarms")
    assert "metric" in shown and "above" in shown
    assert not any(line.startswith("NAME") for line in shown.splitlines())


def test_the_top_is_listed() -> None:
    assert words("spec", "explain").startswith("KEY")


@pytest.mark.parametrize("key", ["", "rollout", "alarms.slow.above", "name"])
def test_the_document_has_its_schema(key: str) -> None:
    document = json.loads(words("spec", "explain", key, "--json"))
    jsonschema.validate(document, output_schema("explain"))
    assert document["keys"]


def test_an_unknown_key_and_an_unknown_document_are_refused() -> None:
    assert "did you mean 'rollout.wait'?" in refusal("spec", "explain", "rollout.wiat")
    assert "did you mean 'status'?" in refusal("spec", "schema", "--output-of", "staus")


@pytest.mark.parametrize("command", DOCUMENTS)
def test_schemas_are_printed(command: str) -> None:
    found = json.loads(words("spec", "schema", "--output-of", command))
    jsonschema.Draft202012Validator.check_schema(found)
    assert found["title"] == f"tidegate {command} --json"
