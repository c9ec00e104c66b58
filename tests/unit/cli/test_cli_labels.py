"""``tidegate labels``: captures joined with ground truth, from files, folders and what the endpoint says."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.unit.cli.stub_server import stub
from tidegate.cli.app import app

AT = "2026-03-01T12:00:00Z"


def run(*arguments: str, **environment: str) -> Any:
    return CliRunner().invoke(app, ["labels", *arguments], env={"COLUMNS": "120", **environment})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Forty captured answers in two files, the positives in the upper half but for one, and labels of a half."""
    below = tmp_path / "captures" / "fraud" / "AllTraffic" / "2026" / "03" / "01" / "12"
    below.mkdir(parents=True)
    labels = []
    for number in range(40):
        side = {"data": f"{number / 40}\n", "encoding": "CSV"}
        known = {"eventId": f"e{number}", "inferenceId": f"i{number}", "inferenceTime": AT}
        line = {"captureData": {"endpointOutput": side}, "eventMetadata": known}
        with (below / f"{number % 2}.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
        if number % 2 == 0:
            value = str(int(number >= 20 or number == 4))
            about = {"eventId": f"i{number}", "labelTime": "2026-03-03T12:00:00Z"}
            labels.append(json.dumps({"groundTruthData": {"data": value}, "eventMetadata": about}))
    labels += ['{"groundTruthData": {"data": "1"}, "eventMetadata": {"eventId": "nobody"}}', "half a li"]
    (tmp_path / "labels.jsonl").write_text("\n".join(labels))
    return tmp_path


def test_it_says_how_good_predictions_were_and_what_that_rests_on(folder: Path) -> None:
    done = run("fraud", str(folder / "labels.jsonl"), "--captures", str(folder / "captures"), "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["kind"] == "binary" and found["quality"]["pairs"] == 20
    assert found["quality"]["accuracy"] == 0.95 and 0.9 < found["quality"]["auc"] < 1
    assert (found["coverage"]["share"], found["coverage"]["selective"]) == (0.5, False)
    assert found["delay_seconds"]["p50"] == 2 * 86_400
    assert {name: count for name, count in found["labels"].items() if count} == {
        "joined": 20,
        "unknown id": 1,
        "broken line": 1,
    }


def test_people_read_it_in_words(folder: Path) -> None:
    done = run("fraud", str(folder / "labels.jsonl"), "--captures", str(folder / "captures"))
    assert "20 of 40 predictions have a label (50.0%)" in done.stdout
    assert "delay in days: p50 2.0, p90 2.0, longest 2.0" in done.stdout


@pytest.mark.parametrize(("least", "status"), [("auc=0.9", 0), ("auc=0.99", 1), ("accuracy=0.95", 0)])
def test_a_measure_that_is_not_reached_is_a_failure(folder: Path, least: str, status: int) -> None:
    done = run("fraud", str(folder / "labels.jsonl"), "--captures", str(folder / "captures"), "--require", least)
    assert done.exit_code == status
    assert ("not reached: auc" in done.stdout) == bool(status)


def test_what_cannot_be_said_is_not_reached(folder: Path) -> None:
    (folder / "labels.jsonl").write_text('{"groundTruthData": {"data": "1"}, "eventMetadata": {"eventId": "i3"}}')
    done = run(
        "fraud", str(folder / "labels.jsonl"), "--captures", str(folder / "captures"), "--require", "auc=0.1"
    )
    assert done.exit_code == 1 and "not reached: auc" in done.stdout


def test_captures_are_where_the_endpoint_says(folder: Path) -> None:
    one = {"destination": (folder / "captures").as_uri(), "variant": "AllTraffic"}
    answers = {"/tidegate/v1/endpoints/fraud/capture": (200, json.dumps({"captures": [one]}).encode())}
    with stub(answers) as (url, _):
        done = run("fraud", str(folder / "labels.jsonl"), "--json", TIDEGATE_URL=url)
    assert json.loads(done.stdout)["coverage"]["predictions"] == 40


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--require", "auc"), "expected MEASURE=LEAST"),
        (("--require", "speed=1"), "expected MEASURE=LEAST"),
        (("--score", "p[x]"), "is no place of a score"),
        (("--top", "2"), "expected a share"),
    ],
)
def test_bad_options_are_refused(folder: Path, arguments: tuple[str, ...], message: str) -> None:
    done = run("fraud", str(folder / "labels.jsonl"), "--captures", str(folder), *arguments)
    assert done.exit_code != 0 and message in str(done.exception or done.output)


def test_an_address_without_files_is_an_error(folder: Path) -> None:
    done = run("fraud", str(folder / "labels.jsonl"), "--captures", str(folder / "nothing"))
    assert done.exit_code != 0 and "there is nothing" in str(done.exception or done.output)
