"""``examples``: what is listed, and what is refused before anything is done."""

import json
from pathlib import Path

import pytest

from tests.unit.cli.stub_server import API, endpoint_document, found, stub
from tests.unit.cli.test_cli_everyday import refusal, words
from tidegate.cli.output import complete_endpoint
from tidegate.features.examples.catalogue import EXAMPLES, Example
from tidegate.features.examples.command import complete_example


def test_the_examples_are_listed() -> None:
    shown = words("examples", "list", COLUMNS="80")
    assert all(one.name in shown for one in EXAMPLES)
    listed = json.loads(words("examples", "list", "--json"))["examples"]
    assert {one["name"] for one in listed} == {one.name for one in EXAMPLES}


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    place = ("--folder", str(tmp_path))
    assert "did you mean 'hr-intents'?" in refusal("examples", "up", "hr-intent", *place)
    assert "expected one of v1, better, worse" in refusal(
        "examples", "up", "hr-intents", "--version", "v9", *place
    )
    assert "scale 2" in refusal("examples", "up", "hr-intents", "--scale", "2", *place)
    assert "is not trained" in refusal("examples", "traffic", "hr-intents", *place)
    assert list(tmp_path.iterdir()) == []


def test_an_endpoint_of_somebody_else_with_the_name_of_an_example_is_left_alone(tmp_path: Path) -> None:
    described = {"EndpointArn": "arn:aws:sagemaker:us-east-1:000000000000:endpoint/hr-intents"}
    answers = {
        f"{API}/endpoints/hr-intents": found(endpoint_document("hr-intents")),
        "SageMaker.DescribeEndpoint": found(described),
        "SageMaker.ListTags": found({"Tags": [{"Key": "team", "Value": "hr"}]}),
    }
    with stub(answers) as (url, seen):
        place = ("--folder", str(tmp_path))
        assert "nothing is done" in refusal("examples", "down", "hr-intents", *place, TIDEGATE_URL=url)
    assert {one["method"] for one in seen} == {"GET", "POST"}


def test_only_the_folder_of_an_example_is_removed(tmp_path: Path) -> None:
    mine = tmp_path / "hr-intents"
    mine.mkdir()
    (mine / "thesis.txt").write_text("mine")
    gone = (404, json.dumps({"error": {"code": "NotFound", "message": "none"}}).encode())
    with stub({f"{API}/endpoints/hr-intents": gone, f"{API}/endpoints": found({"endpoints": []})}) as (url, _):
        place = ("--files", "--folder", str(tmp_path))
        assert "nothing is removed" in refusal("examples", "down", "hr-intents", *place, TIDEGATE_URL=url)
        (mine / "example.json").write_text('{"name": "hr-intents"}')
        shown = words("examples", "down", "hr-intents", *place, TIDEGATE_URL=url)
    assert shown == 'there is no endpoint "hr-intents"\n'
    assert list(tmp_path.iterdir()) == []


NONE = (404, json.dumps({"error": {"code": "NotFound", "message": "none"}}).encode())


def test_nothing_is_trained_for_a_server_that_would_refuse_the_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "tidegate.features.examples.command.make_example", lambda *_, **__: pytest.fail("it was trained")
    )
    monkeypatch.setattr("shutil.which", lambda program: f"/usr/bin/{program}")
    answers = {
        f"{API}/version": found({"version": "1", "trust": ["pickle"]}),
        f"{API}/endpoints/document-ocr": NONE,
    }
    place = ("--folder", str(tmp_path))
    with stub(answers) as (url, _):
        said = refusal("examples", "up", "document-ocr", *place, TIDEGATE_URL=url)
    assert said.endswith("start it with TIDEGATE_TRUST=code")


def test_nothing_is_trained_without_a_server_or_over_another_endpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "tidegate.features.examples.command.make_example", lambda *_, **__: pytest.fail("it was trained")
    )
    place = ("--folder", str(tmp_path))
    assert "127.0.0.1:9" in refusal("examples", "up", "hr-intents", *place, TIDEGATE_URL="http://127.0.0.1:9")
    answers = {
        f"{API}/version": found({"version": "1"}),
        f"{API}/endpoints/hr-intents": found(endpoint_document("hr-intents")),
        "SageMaker.DescribeEndpoint": found({"EndpointArn": "arn:aws:sagemaker:x:1:endpoint/hr-intents"}),
        "SageMaker.ListTags": found({"Tags": []}),
    }
    with stub(answers) as (url, _):
        assert "nothing is done" in refusal("examples", "up", "hr-intents", *place, TIDEGATE_URL=url)


@pytest.mark.parametrize("example", [one for one in EXAMPLES if one.programs], ids=lambda one: one.name)
def test_a_program_that_is_missing_is_named_before_anything_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, example: Example
) -> None:
    monkeypatch.setattr("shutil.which", lambda program: None)
    said = refusal("examples", "up", example.name, "--folder", str(tmp_path), "--train-only")
    assert all(program in said and install in said for program, install in example.programs.items())
    assert list(tmp_path.iterdir()) == []


def test_the_shell_completes_names_of_endpoints_and_examples() -> None:
    answers = {f"{API}/endpoints": found({"endpoints": [{"name": "fraud"}, {"name": "churn"}]})}
    with stub(answers) as (url, _), pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIDEGATE_URL", url)
        assert complete_endpoint("fr") == ["fraud"]
        patch.setenv("TIDEGATE_URL", "http://127.0.0.1:9")
        assert complete_endpoint("fr") == [], "without a server nothing is offered, and nothing is said"
    assert complete_example("hr") == ["hr-intents"]
