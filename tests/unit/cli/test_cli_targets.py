"""``render``, ``doctor`` and ``deploy --target``: which target they are about, and what they print."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from tests.unit.cli.stub_server import API, found, stub
from tidegate.cli.app import app
from tidegate.cli.target_options import complete_target
from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.errors import TidegateError
from tidegate.ports.target import CheckFinding, Document, Level, Options, Rendering
from tidegate.targets import registry
from tidegate.targets.kind import TargetKind
from tidegate.targets.local.provider import provide_local

SPEC = "endpoint: fraud\nmodel: {data: file:///models/fraud.ubj}\n"


def manifests(desired: DesiredDeployment, options: Options) -> Rendering:
    body = {"kind": "Deployment", "name": desired.endpoint, "space": options.get("namespace", "default")}
    return Rendering((Document("fraud", body), Document("second", {"kind": "Service"})), ("two documents",))


def template(desired: DesiredDeployment, options: Options) -> Rendering:
    return Rendering((Document("template", {"Resources": {}}),))


def findings(options: Options, desired: DesiredDeployment | None) -> Sequence[CheckFinding]:
    level = Level.OK if options.get("namespace") else Level.ERROR
    about = "no deployment" if desired is None else desired.endpoint
    return [CheckFinding("namespace", level, about, "set it"), CheckFinding("quota", Level.WARNING, "unlimited")]


@pytest.fixture(autouse=True)
def cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry with one more row."""
    row = TargetKind(provide_local, {"manifests": manifests, "template": template}, findings)
    monkeypatch.setattr(registry, "KINDS", {**registry.KINDS, "cluster": row})
    monkeypatch.delenv("TIDEGATE_TARGETS", raising=False)


@pytest.fixture
def spec_file(tmp_path: Path) -> str:
    path = tmp_path / "fraud.yaml"
    path.write_text(SPEC)
    return str(path)


@pytest.fixture
def targets_file(tmp_path: Path) -> str:
    path = tmp_path / "targets.yaml"
    path.write_text("default: cluster\ncluster: {namespace: models}\n")
    return str(path)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def refusal(*arguments: str) -> str:
    """The one line that ``main`` prints."""
    done = run(*arguments)
    assert isinstance(done.exception, TidegateError), done.output
    return done.exception.message


def test_render_prints_a_stream_of_documents_and_its_notes_apart(spec_file: str) -> None:
    done = run("spec", "render", spec_file, "--target", "cluster")
    assert done.exit_code == 0
    assert list(yaml.safe_load_all(done.stdout)) == [
        {"kind": "Deployment", "name": "fraud", "space": "default"},
        {"kind": "Service"},
    ]
    assert "note: two documents" in done.stderr


def test_render_takes_target_and_settings_from_the_file(spec_file: str, targets_file: str) -> None:
    document = json.loads(run("spec", "render", spec_file, "--targets", targets_file, "--json").stdout)
    assert document["target"] == "cluster"
    assert document["documents"][0]["body"]["space"] == "models"
    assert document["notes"] == ["two documents"]


def test_settings_file_comes_from_the_environment_too(
    spec_file: str, targets_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEGATE_TARGETS", targets_file)
    assert "space: models" in run("spec", "render", spec_file).stdout


def test_target_of_the_spec_goes_over_the_default(tmp_path: Path, targets_file: str) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(SPEC + "target: local\n")
    assert "target local has nothing to print" in refusal("spec", "render", str(path), "--targets", targets_file)


def test_render_has_other_forms(spec_file: str) -> None:
    assert "Resources" in run("spec", "render", spec_file, "--target", "cluster", "--as", "template").stdout
    refused = refusal("spec", "render", spec_file, "--target", "cluster", "--as", "templete")
    assert refused.startswith("target cluster prints no 'templete', did you mean 'template'?")


@pytest.mark.parametrize("command", ["render", "doctor"])
def test_unknown_target_gets_a_suggestion(command: str, spec_file: str) -> None:
    refused = refusal(command, spec_file, "--target", "clutser")
    assert refused == "there is no target 'clutser', did you mean 'cluster'?"


def test_doctor_fails_when_something_is_missing(spec_file: str) -> None:
    done = run("target", "doctor", spec_file, "--target", "cluster")
    assert done.exit_code == 1
    assert "namespace" in done.stdout
    assert "fraud: set it" in done.stdout


def test_doctor_passes_with_warnings(targets_file: str) -> None:
    done = run("target", "doctor", "--targets", targets_file, "--json")
    assert done.exit_code == 0
    document = json.loads(done.stdout)
    assert document["ok"] is True
    assert [one["level"] for one in document["findings"]] == ["ok", "warning"]
    assert document["findings"][0]["message"] == "no deployment"


def test_doctor_checks_the_server_of_this_machine() -> None:
    answers = {f"{API}/version": found({"version": "1.2"}), "/healthz": found({"status": "ok"})}
    for level, good in (("ok", True), ("warning", True), ("error", False)):
        checked = {"what": "container engine", "level": level, "message": "podman", "remedy": ""}
        with stub(answers | {f"{API}/checks": found({"findings": [checked]})}) as (url, _):
            done = CliRunner().invoke(app, ["target", "doctor", "--json"], env={"TIDEGATE_URL": url})
        assert done.exit_code == (0 if good else 1), done.output
        told = json.loads(done.stdout)
        assert (told["ok"], [one["what"] for one in told["findings"]]) == (good, ["server", "container engine"])
    away = CliRunner().invoke(app, ["target", "doctor"], env={"TIDEGATE_URL": "http://127.0.0.1:9"})
    assert away.exit_code == 1
    assert "start it with 'tidegate up'" in " ".join(away.stdout.split())


def test_the_shell_completes_names_of_targets() -> None:
    assert complete_target("sa") == ["sagemaker"]
    assert complete_target("none") == []
