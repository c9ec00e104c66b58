"""The commands of every day: list, events, open, init, validate, diff, logs, alarms, invoke."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.unit.cli.stub_server import API, AT, alarm_document, endpoint_document, fleet_document, found, stub
from tidegate import spec
from tidegate.cli.app import app
from tidegate.cli.draw import format_span
from tidegate.cli.init import suggest_name
from tidegate.cli.invoke import LANGUAGE_MODELS, TABLES, choose_type
from tidegate.cli.logs import shorten_ids
from tidegate.domain.errors import TidegateError
from tidegate.host.features import FeatureSet, choose, find_installed
from tidegate.serving.contract.catalogue import RuntimeKind

MINIMAL = "endpoint: fraud\nmodel: {image: tidegate/xgboost, data: ./model.ubj}\n"


def run(*arguments: str, text: str | None = None, **variables: str) -> Any:
    given = {"AWS_ACCESS_KEY_ID": None, "COLUMNS": "100", "BROWSER": "true", **variables}
    return CliRunner().invoke(app, arguments, input=text, env=given)


def words(*arguments: str, **variables: str) -> str:
    done = run(*arguments, **variables)
    assert done.exit_code == 0, (done.output, done.exception)
    return str(done.stdout)


def refusal(*arguments: str, text: str | None = None, **variables: str) -> str:
    """The one line that ``main`` prints."""
    done = run(*arguments, text=text, **variables)
    assert isinstance(done.exception, TidegateError), done.output
    return done.exception.message


# events


def event(seq: int, message: str, kind: str = "rollout.Baking", at: str = AT) -> dict[str, Any]:
    return {"seq": seq, "at": at, "kind": kind, "message": message, "data": {}}


def test_events_are_shown_with_their_dates() -> None:
    page = {"events": [event(1, "created"), event(2, "stage 1 of 4")], "next": 0}
    with stub({f"{API}/endpoints/fraud/events": found(page)}) as (url, _):
        shown = words("events", "fraud", "--tail", "1", TIDEGATE_URL=url)
        told = words("events", "fraud", "--json", TIDEGATE_URL=url)
    assert "created" not in shown
    assert shown.endswith("Baking             stage 1 of 4\n") and shown.startswith(("2025-12-31 ", "2026-01-01 "))
    assert [json.loads(line)["seq"] for line in told.splitlines()] == [1, 2]


def test_a_watch_in_a_pipe_prints_every_stage_also_those_before_it() -> None:
    """It begins with the first event of the rollout, wherever that is now."""
    before = event(3, "an earlier rollout", at="2025-12-31T00:00:00+00:00")
    stages = [event(4 + stage, f"stage {stage} of 4") for stage in range(1, 5)]

    document = endpoint_document("fraud")
    with stub(
        {
            f"{API}/endpoints/fraud": found(document),
            f"{API}/endpoints/fraud/events": found({"events": [before, *stages], "next": 0}),
        }
    ) as (url, seen):
        program = [sys.executable, "-m", "tidegate.cli", "rollout", "watch", "fraud"]
        process = subprocess.Popen(
            program, stdout=subprocess.PIPE, text=True, env={**os.environ, "TIDEGATE_URL": url, "COLUMNS": "80"}
        )
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(5)]
        process.terminate()
        process.wait()
        process.stdout.close()
    asked = [one["path"].partition("?")[2] for one in seen if "/events" in one["path"]]
    assert "after=4&wait=2" in asked
    assert [line.rstrip()[-12:] for line in lines[1:]] == [f"stage {stage} of 4" for stage in range(1, 5)]


# open


def test_open_prints_the_consoles_address_and_opens_it(tmp_path: Path) -> None:
    opened = tmp_path / "opened"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {opened}\n')
    browser.chmod(0o755)
    with stub({f"{API}/version": found({"version": "1"})}) as (url, _):
        done = subprocess.run(
            [sys.executable, "-m", "tidegate.cli", "open"],
            env={**os.environ, "TIDEGATE_URL": url, "BROWSER": str(browser)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert words("show", "console", "--no-browser", TIDEGATE_URL=url) == f"{url}/console\n"
        assert json.loads(words("show", "console", "--json", TIDEGATE_URL=url)) == {"url": f"{url}/console"}
    assert done.stdout == f"{url}/console\n"
    assert opened.read_text() == f"{url}/console\n"


# init


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("fraud_v2.tar.gz", "fraud-v2"),
        ("s3://b/models/fraud.tgz", "fraud"),
        ("models/claims/", "claims"),
        ("./x.y.ubj", "x-y"),
        ("___.onnx", "model"),
        ("a" * 80 + ".ubj", "a" * 63),
    ],
)
def test_an_endpoint_is_named_after_its_model(model: str, name: str) -> None:
    assert suggest_name(model) == name


def test_init_with_yes_writes_a_spec_that_is_valid(tmp_path: Path) -> None:
    (tmp_path / "fraud_v2.ubj").write_bytes(b"model")
    out = tmp_path / "specs" / "fraud.yaml"
    out.parent.mkdir()
    told = json.loads(words("spec", "init", str(tmp_path / "fraud_v2.ubj"), "--out", str(out), "--yes", "--json"))
    assert told == {"spec": str(out), "endpoint": "fraud-v2", "image": "tidegate/xgboost"}
    assert "data: ../fraud_v2.ubj" in out.read_text()
    assert "fraud-v2-" in words("spec", "validate", str(out))
    assert "is there already" in refusal(
        "spec", "init", str(tmp_path / "fraud_v2.ubj"), "--out", str(out), "--yes"
    )
    words("spec", "init", str(tmp_path / "fraud_v2.ubj"), "--out", str(out), "--yes", "--force")


def test_init_asks_and_takes_the_default_for_nothing(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"model")
    out = tmp_path / "s.yaml"
    done = run("spec", "init", str(tmp_path / "m.onnx"), "--out", str(out), text="claims\n\n3\nlinear\n80ms\n\n")
    assert done.exit_code == 0, done.output
    data = spec.load(out.read_text()).data
    assert isinstance(data, dict)
    assert (data["endpoint"], data["model"]["image"], data["instances"]) == ("claims", "tidegate/onnx", 3)
    assert data["rollout"]["strategy"] == "linear" and data["alarms"]["slow"]["above"] == "80ms"


def test_init_turns_what_would_hurt_into_an_assurance_that_the_traffic_can_show(tmp_path: Path) -> None:
    model, out = tmp_path / "m.onnx", tmp_path / "s.yaml"
    model.write_bytes(b"model")
    given = ("spec", "init", str(model), "--out", str(out))
    hurts = "one failed answer in 200, one missed fraud in a hundred"
    answers = f"\n\n\nlinear\n\n{hurts}\ns3://labels/old.csv\nfraud\n"
    told = refusal(*given, text=answers + "0.5\n")
    assert "errors of variant AllTraffic cannot be ruled out" in told and "a stage of 25% that bakes" in told
    assert not out.exists()
    done = run(*given, text=answers + "40\n")
    assert done.exit_code == 0, done.output
    data = spec.load(out.read_text()).data
    assert isinstance(data, dict)
    assert data["evidence"]["assure"] == {"harm": {"errors": "0.5%", "recall": "1%"}, "before": "25%"}
    assert data["evidence"]["replay"] == {"rows": "s3://labels/old.csv", "label": "fraud"}
    assert data["workload"] == {"rps": 40}
    assert "is not understood" in refusal(*given, "--force", text="\n\n\nlinear\n\nbad things\n")


def test_without_the_features_that_judge_init_asks_nothing_about_harm_and_validate_checks_plans_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = find_installed()
    without = FeatureSet(installed, choose(installed, "-evidence,-rehearse"))
    monkeypatch.setattr("tidegate.cli.init.features", lambda: without)
    monkeypatch.setattr("tidegate.cli.validate.features", lambda: without)
    model, out = tmp_path / "m.onnx", tmp_path / "s.yaml"
    model.write_bytes(b"model")
    done = run("spec", "init", str(model), "--out", str(out), text="\n\n\nlinear\n\n")
    assert done.exit_code == 0 and "hurt" not in done.output, done.output
    out.write_text(f"{MINIMAL}rollout: {{strategy: rolling, batch: 1, wait: 1m}}\n")
    assert "rollout: " in refusal("spec", "validate", str(out), "--no-data")


def test_init_says_what_is_wrong_with_an_answer_and_writes_nothing(tmp_path: Path) -> None:
    model, out = tmp_path / "m.onnx", tmp_path / "s.yaml"
    model.write_bytes(b"model")
    given = ("spec", "init", str(model), "--out", str(out))
    assert "expected one of canary, linear" in refusal(*given, text="\n\n\nfast\n\n")
    assert "instances" in refusal(*given, text="\n\nmany\n\n\n\n")
    assert "give --yes" in refusal(*given, text="")
    assert "no such file" in refusal("spec", "init", str(tmp_path / "none.ubj"), "--yes")
    assert not out.exists()


# validate and placeholders


def write(folder: Path, text: str = MINIMAL) -> str:
    (folder / "model.ubj").write_bytes(b"model")
    path = folder / "fraud.yaml"
    path.write_text(text)
    return str(path)


def test_validate_needs_no_server(tmp_path: Path) -> None:
    path = write(tmp_path)
    told = json.loads(words("spec", "validate", path, "--json", TIDEGATE_URL="http://127.0.0.1:9"))
    assert told["valid"] and told["endpoint"] == "fraud"
    assert told["variants"] == [{"name": "AllTraffic", "instances": 1, "type": "local"}]
    assert f"{path} is valid: endpoint fraud, version {told['config']}" in words("spec", "validate", path)


PAIRED = "rollout: {strategy: canary, size: 10%, wait: 1m}\nevidence: {compare: [errors, paired]"


@pytest.mark.parametrize(
    ("more", "noted"),
    [
        (
            PAIRED + "}\n",
            "if predictions are amounts (not scores from 0 to 1), paired by its default tolerances",
        ),
        (PAIRED + ", tolerance: {paired: {bias: 0.1}}}\n", ""),
        (PAIRED + ', replay: {rows: "file:///rows.csv", label: rent}}\n', ""),
        ("rollout: {strategy: canary, size: 10%, wait: 1m}\nevidence: {compare: [errors]}\n", ""),
    ],
)
def test_validate_notes_what_a_comparison_of_amounts_would_miss(tmp_path: Path, more: str, noted: str) -> None:
    path = write(tmp_path, MINIMAL + more)
    assert (
        "note: evidence" in words("spec", "validate", path)
        if noted
        else "note:" not in words("spec", "validate", path)
    )
    assert noted in " ".join(json.loads(words("spec", "validate", path, "--json")).get("notes", []))


def test_validate_notes_that_a_model_that_writes_has_no_numbers_to_compare(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    text = MINIMAL.replace("model.ubj", "model.gguf") + PAIRED + "}\n"
    (note,) = json.loads(words("spec", "validate", write(tmp_path, text), "--json", "--no-data"))["notes"]
    assert "writes text" in note and note.endswith("compare text instead")


@pytest.mark.parametrize(
    ("model", "more", "noted"),
    [
        ("url: http://fraud", "compare: [predictions]", "the first number is taken for the prediction"),
        ("url: http://fraud, prediction: '$.scores[0]'", "compare: [predictions]", ""),
        ("url: http://fraud", "compare: [errors]", ""),
        (
            "url: http://fraud, prediction: '$.scores[0]'",
            "compare: [paired], slices: [country]",
            "columns are read from",
        ),
        ("url: http://fraud, protocol: openai", "compare: [paired]", "writes text"),
    ],
)
def test_validate_notes_what_cannot_be_seen_of_a_service(
    tmp_path: Path, model: str, more: str, noted: str
) -> None:
    text = f"endpoint: fraud\nmodel: {{{model}}}\nrollout: {{strategy: canary, size: 10%, wait: 1m}}\n"
    path = write(tmp_path, f"{text}evidence: {{{more}}}\n")
    notes = [
        one
        for one in json.loads(words("spec", "validate", path, "--json")).get("notes", [])
        if "amounts" not in one
    ]
    assert len(notes) == bool(noted) and noted in " ".join(notes)


def test_validate_names_the_line_of_a_mistake_and_missing_data(tmp_path: Path) -> None:
    assert ":3: rollout.strategy: unknown strategy" in refusal(
        "spec", "validate", write(tmp_path, MINIMAL + "rollout: {strategy: cannary}\n")
    )
    path = write(tmp_path)
    (tmp_path / "model.ubj").unlink()
    assert ":2: model data" in refusal("spec", "validate", path)
    words("spec", "validate", path, "--no-data")


MISTAKES = """\
endpoint: fraud
model: {image: tidegate/xgboost, data: ./model.ubj, fingerprnt: x}
instances: many
rollout:
  strategy: canary
  size: 10 percent
  wait: 60s
  alarms: [errors, latency]
alarms:
  errors: {metric: Invocation5XXErors, statistic: Average, period: 10s, periods: 1, above: 1%}
  latency: {metric: ModelLatency, statistic: p99, period: 10s, periods: 1, above: 1 parsec}
tags: {team: 5}
"""


def test_validate_reports_every_mistake_with_its_line(tmp_path: Path) -> None:
    path = write(tmp_path, MISTAKES)
    done = run("spec", "validate", path)
    lines = [*done.stderr.splitlines(), str(done.exception)]
    found = [line.partition("fraud.yaml:")[2] for line in lines]
    assert [one.split(": ")[0] for one in found] == ["2", "3", "12", "10", "11", "6"]
    for key in ("fingerprnt", "instances: expected", "tags.team", "Invocation5XXErors", "parsec", "rollout.size"):
        assert sum(key in one for one in found) == 1, key
    shown = run("spec", "validate", path, "--json")
    assert shown.exit_code == 1
    told = json.loads(shown.stdout)
    assert (told["valid"], len(told["problems"])) == (False, 6)


def test_validate_does_not_report_what_follows_from_a_mistake_alone(tmp_path: Path) -> None:
    path = write(tmp_path, MINIMAL.replace("endpoint: fraud", "endpoint: [fraud]"))
    line = refusal("spec", "validate", path)
    assert ":1: endpoint: expected text" in line


@pytest.mark.parametrize("image", ["sklearn", "tidegate/sklaern", "python:3.12"])
def test_validate_refuses_an_image_that_nothing_serves(tmp_path: Path, image: str) -> None:
    path = write(tmp_path, MINIMAL.replace("tidegate/xgboost", image))
    said = refusal("spec", "validate", path)
    assert f"fraud.yaml:2: model.image: image '{image}' is not in this server's table of images" in said
    words("spec", "validate", path, "--no-data")  # another server may have it in its table


def test_validate_knows_the_table_of_images(tmp_path: Path) -> None:
    path = write(tmp_path, MINIMAL.replace("tidegate/xgboost", "ours"))
    (tmp_path / "images.yaml").write_text("images: {ours: {runtime: xgboost}}")
    words("spec", "validate", path, TIDEGATE_IMAGES=str(tmp_path / "images.yaml"))


def test_validate_refuses_a_rollout_that_cannot_be_planned(tmp_path: Path) -> None:
    text = MINIMAL + "rollout: {strategy: canary, size: 10%, wait: 60s}\nevidence: {compare: [features]}\n"
    said = refusal("spec", "validate", write(tmp_path, text))
    assert "fraud.yaml:3: rollout: evidence: features compares the stages of pipelines" in said


@pytest.mark.parametrize("example", ["payroll-fraud", "monthly-attrition"])
@pytest.mark.parametrize("command", ["deploy", "validate"])
def test_a_plans_placeholder_is_refused_before_anything_starts(tmp_path: Path, example: str, command: str) -> None:
    plan = tmp_path / "plan.yaml"
    words("plan", "--example", example, "--out", str(plan))
    with stub({}) as (url, seen):
        said = refusal(command, str(plan), TIDEGATE_URL=url)
    assert "is a placeholder: put in where your model is" in said and f"{plan}:" in said
    assert seen == []


@pytest.mark.parametrize(
    "address", ["s3://models/...", "s3://<your-bucket>/model.tar.gz", "s3://bucket/.../m.ubj"]
)
def test_an_address_with_dots_or_brackets_is_a_placeholder(tmp_path: Path, address: str) -> None:
    path = write(tmp_path, MINIMAL.replace("./model.ubj", f'"{address}"'))
    assert f"{path}:2: model data {address} is a placeholder" in refusal("deploy", path)


def test_a_bucket_called_models_is_no_placeholder_in_a_spec_of_ones_own(tmp_path: Path) -> None:
    path = write(tmp_path, MINIMAL.replace("./model.ubj", "s3://models/fraud/model.tar.gz"))
    done = {"endpoint": "fraud", "config": "fraud-1", "change": "created", "message": "is being created"}
    with stub({f"{API}/deploy": found(done)}) as (url, _):
        assert "is being created" in words("deploy", path, TIDEGATE_URL=url)


def test_a_plan_with_its_model_data_is_deployed(tmp_path: Path) -> None:
    plan, model = tmp_path / "plan.yaml", tmp_path / "model.tar.gz"
    model.write_bytes(b"model")
    words("plan", "--example", "payroll-fraud", "--model", str(model), "--out", str(plan))
    assert "is valid" in words("spec", "validate", str(plan))


def test_batch_refuses_a_placeholder_as_well(tmp_path: Path) -> None:
    path = write(tmp_path, MINIMAL.replace("./model.ubj", "s3://models/..."))
    assert "is a placeholder" in refusal("batch", path, "rows.csv", "scores/")


# diff


def diff_document(**more: Any) -> dict[str, Any]:
    changes = [
        {"what": "instances", "before": "1", "after": "2"},
        {"what": "alarms.errors.above", "before": None, "after": "2%"},
    ]
    given = {"endpoint": "fraud", "exists": True, "serving": "fraud-old", "config": "fraud-new", "kept": []}
    return {**given, "changes": changes, **more}


def test_diff_sends_the_spec_as_deploy_does_and_shows_each_key(tmp_path: Path) -> None:
    path = write(tmp_path, MINIMAL + "instances: 2\n")
    with stub({f"{API}/diff": found(diff_document(kept=["tag team"]))}) as (url, seen):
        told = json.loads(words("spec", "diff", path, "--json", TIDEGATE_URL=url))
        shown = words("spec", "diff", path, TIDEGATE_URL=url)
    assert told == diff_document(kept=["tag team"])
    assert shown.splitlines() == [
        'endpoint "fraud" would be updated from fraud-old to fraud-new:',
        "KEY                  BEFORE  AFTER",
        "instances            1       2",
        "alarms.errors.above  -       2%",
        "not in the file, and kept: tag team",
    ]
    sent = json.loads(seen[0]["body"])["spec"]
    assert sent["model"]["data"] == f"file://{tmp_path}/model.ubj" and sent["model"]["fingerprint"]
    assert {one["method"] for one in seen} == {"POST"}


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"exists": False, "serving": None}, "would be created, with version fraud-new:"),
        ({"changes": [], "serving": "fraud-new"}, "would not change: fraud-new serves already"),
        (
            {"changes": [], "serving": "fraud-new", "rolling_out": "fraud-other"},
            "serves fraud-new, but is being updated to fraud-other",
        ),
        ({"serving": "fraud-new"}, "would keep version fraud-new, with other settings:"),
        ({"changes": []}, "would be updated from fraud-old to fraud-new, which has the same settings"),
    ],
)
def test_diff_says_what_would_happen(tmp_path: Path, document: dict[str, Any], said: str) -> None:
    with stub({f"{API}/diff": found(diff_document(**document))}) as (url, _):
        assert words("spec", "diff", write(tmp_path), TIDEGATE_URL=url).startswith(f'endpoint "fraud" {said}')


def test_diff_names_the_line_of_a_mistake(tmp_path: Path) -> None:
    with stub({}) as (url, seen):
        said = refusal("spec", "diff", write(tmp_path, MINIMAL + "instances: 0\n"), TIDEGATE_URL=url)
    assert ":3: instances: 0: must be at least 1" in said and seen == []


# logs


def test_ids_are_as_short_as_they_can_be() -> None:
    assert shorten_ids(["r-1"]) == {"r-1": "r-1"}
    assert shorten_ids(["r-12345678", "r-92345678"]) == {"r-12345678": "r-123456", "r-92345678": "r-923456"}
    assert shorten_ids(["r-123456-a", "r-123456-b"]) == {id: id for id in ("r-123456-a", "r-123456-b")}


def test_a_replica_is_named_by_the_beginning_of_its_id() -> None:
    replicas = {
        "replicas": [{"replica": f"r-{id}", "lines": [id]} for id in ("12345678-a", "12345678-b", "9999999-c")]
    }
    with stub({f"{API}/endpoints/e/logs": found(replicas)}) as (url, _):
        assert words("logs", "e", "--replica", "r-9", TIDEGATE_URL=url).endswith(" | 9999999-c\n")
        assert "several replicas begin with 'r-1'" in refusal("logs", "e", "--replica", "r-1", TIDEGATE_URL=url)


def test_followed_lines_have_the_time_and_a_short_id() -> None:
    replica = {"replica": "r-1234567890abcdef", "lines": ["started"]}
    other = {"replica": "r-abcdef1234567890", "lines": []}
    with stub({f"{API}/endpoints/e/logs": found({"replicas": [replica, other]})}) as (url, _):
        process = subprocess.Popen(
            [sys.executable, "-m", "tidegate.cli", "logs", "e", "--follow"],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "TIDEGATE_URL": url},
        )
        assert process.stdout is not None
        first = process.stdout.readline()
        process.terminate()
        process.wait()
        process.stdout.close()
    assert first == "         r-123456 | started\n"


# alarms


def test_alarms_of_versions_that_are_gone_are_hidden_unless_all_are_asked_for() -> None:
    def of(version: str) -> dict[str, Any]:
        return alarm_document(
            f"{version}-errors", dimensions={"EndpointName": "fraud", "EndpointConfigName": version}
        )

    known = [of("fraud-old"), of("fraud-1e6283f8"), of("fraud-8c2f11aa"), alarm_document("of-ones-own")]
    answers = {
        f"{API}/alarms": found({"alarms": known}),
        f"{API}/endpoints": found({"endpoints": [endpoint_document("fraud")]}),
    }
    with stub(answers) as (url, _):
        some = run("show", "alarms", "--json", TIDEGATE_URL=url)
        every = json.loads(words("show", "alarms", "--all", "--json", TIDEGATE_URL=url))["alarms"]
        note = run("show", "alarms", TIDEGATE_URL=url)
    names = [one["name"] for one in json.loads(some.stdout)["alarms"]]
    assert names == ["fraud-1e6283f8-errors", "fraud-8c2f11aa-errors", "of-ones-own"]
    assert len(every) == 4
    assert "1 of versions that are gone: --all shows them" in note.stderr
    assert "> 2 %, 2 of 3 x 10s" in note.stdout


# invoke


@pytest.mark.parametrize(
    ("content", "images", "kind"),
    [
        (b'{"prompt": "hello"}', ["tidegate/gguf"], "application/json"),
        (b'{"features": [1]}\n{"features": [2]}\n', ["tidegate/xgboost"], "application/jsonlines"),
        (b'{\n"instances": [[1]]\n}', ["tidegate/lightgbm:1"], "application/json"),
        (b'{"a": 1}', ["tidegate/script"], "text/csv"),
        (b'{"a": 1}', ["tidegate/gguf", "tidegate/xgboost"], "text/csv"),
        (b'{"a": 1}', [], "text/csv"),
    ],
)
def test_the_type_of_a_body_follows_the_runtime(content: bytes, images: list[str], kind: str) -> None:
    assert choose_type(content, images) == kind


def test_the_images_that_are_named_exist() -> None:
    shown = {image.shown.removeprefix("tidegate/") for kind in RuntimeKind for image in kind.descriptor.images}
    assert shown >= LANGUAGE_MODELS | TABLES


@pytest.mark.parametrize(
    ("image", "given", "sent"),
    [
        ("tidegate/gguf", (), "application/json"),
        ("tidegate/xgboost", ("--content-type", "text/plain"), "text/plain"),
        ("tidegate/auto", (), "text/csv"),
    ],
)
def test_invoke_asks_the_server_what_serves(image: str, given: tuple[str, ...], sent: str) -> None:
    made = {"mode": "single", "containers": [{"name": "primary", "image": image}]}
    endpoint = endpoint_document("e", fleets=[fleet_document("serving", "e-1", architecture=made)])
    answers = {"/endpoints/e/invocations": (200, b"1"), f"{API}/endpoints/e": found(endpoint)}
    with stub(answers) as (url, seen):
        words("invoke", "e", "--body", '{"a": 1}', *given, TIDEGATE_URL=url)
        words("invoke", "e", "--body", "1,2", TIDEGATE_URL=url)
    posts = [one["headers"]["Content-Type"] for one in seen if one["method"] == "POST"]
    assert posts == [sent, "text/csv"]


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (
            "TargetModel is required by a multi-model endpoint",
            "--target-model is required by a multi-model endpoint",
        ),
        ("Endpoint e does not support target model header.", "Endpoint e does not support --target-model."),
        ("TargetContainerHostname 'x' is not a container", "--target-container 'x' is not a container"),
        ("does not support target container hostname header", "does not support --target-container"),
        ("TargetVariant x is unknown", "--variant x is unknown"),
    ],
)
def test_errors_name_the_option_and_not_the_apis_member(message: str, said: str) -> None:
    body = json.dumps({"Message": message}).encode()
    with stub({"/endpoints/e/invocations": (400, body)}) as (url, _):
        assert refusal("invoke", "e", "--body", "1", TIDEGATE_URL=url) == f"400: {said}"


# spans


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(10, "10s"), (60, "1m"), (90, "1m 30s"), (3600, "1h"), (86_400 * 7, "7d"), (0.5, "0.5s"), (0, "0s")],
)
def test_spans_have_no_parts_of_zero(seconds: float, said: str) -> None:
    assert format_span(seconds) == said
