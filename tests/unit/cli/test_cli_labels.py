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
    return CliRunner().invoke(app, ["labels", "measure", *arguments], env={"COLUMNS": "120", **environment})


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


COMPARED = {
    **{"name": "auc", "slice": "", "tolerance": 0.02, "evidence": 0.4},
    **{"old_compared": 200, "old_mean": 0.2, "new_compared": 300, "new_mean": 0.25},
}
KNOWN = {
    "endpoint": "fraud",
    "labels": {"joined": 400, "unknown id": 3, "too late": 0},
    "captures_skipped": {"broken line": 2},
    "versions": [
        {
            "config": "fraud-2",
            "variant": "AllTraffic",
            "quality": {
                **{"pairs": 400, "positives": 150, "auc": 0.81, "auc_low": 0.77, "auc_high": 0.85},
                **{"average_precision": 0.6, "precision_top": 1.0, "calibration_error": None},
            },
            "coverage": {"labelled": 400, "share": 0.2, "selective": True, "top": 0.9, "rest": 0.1, "weighted": 7},
            "delay_seconds": {"p50": 30 * 86_400},
            "weighted": False,
        },
        {
            "config": "",
            "variant": "AllTraffic",
            "quality": None,
            "coverage": {"labelled": 0, "share": None, "selective": False, "top": 0, "rest": 0, "weighted": 0},
            "delay_seconds": None,
            "weighted": True,
        },
    ],
    "comparisons": [
        {
            **{"old": "fraud-1", "new": "fraud-2", "variant": "AllTraffic"},
            **COMPARED,
            "tests": [COMPARED, {**COMPARED, "slice": "country=DE", "evidence": 0.1}],
        },
        {"old": "fraud-0", "new": "fraud-1", "variant": "AllTraffic", "evidence": 0.25, "old_wrong": 4},
    ],
}
PATH = "/tidegate/v1/endpoints/fraud/labels"


def test_without_files_it_says_what_the_server_knows_of_each_version() -> None:
    with stub({PATH: (200, json.dumps(KNOWN).encode())}) as (url, seen):
        done = run("fraud", TIDEGATE_URL=url)
        as_json = run("fraud", "--json", TIDEGATE_URL=url)
    assert done.exit_code == 0, done.output
    assert [one["method"] for one in seen] == ["GET", "GET"]
    for part in ("fraud-2", "(unknown)", "30.0 d", "20.0%", "0.77 to 0.85", "unknown id"):
        assert part in done.stdout, part
    words = " ".join(done.stdout.split())
    assert "labels are selective: 90% of the highest tenth of scores have one and 10% of the rest" in words
    assert "7 of 400 labels have a selection probability: as not all have one, none is weighted" in words
    found = "25.0% positives below a negative of 300, 20.0% positives below a negative of 200 before"
    assert f"fraud-2 compared with fraud-1: {found} (evidence 0.40 of 1 for more than 0.02 worse)" in words
    assert f"fraud-2 compared with fraud-1, country=DE: {found} (evidence 0.10 of 1" in words
    assert "fraud-1 compared with fraud-0: evidence 0.25 of 1" in words, "as 0.1.0 kept it"
    assert "2 captures were not used: 2 broken line" in words
    assert "too late" not in done.stdout
    assert json.loads(as_json.stdout) == KNOWN


def test_labels_are_posted_with_what_was_refused_counted(folder: Path) -> None:
    answer = {"received": 21, "outcomes": {"repeated": 2}}
    with stub({PATH: (200, json.dumps(answer).encode())}) as (url, seen):
        done = run("fraud", str(folder / "labels.jsonl"), "--post", "--score", "[0]", TIDEGATE_URL=url)
    assert done.exit_code == 0, done.output
    assert done.stdout == "21 labels are kept for endpoint fraud (1 broken line, 2 repeated)\n"
    [sent] = [json.loads(one["body"]) for one in seen]
    assert (len(sent["labels"]), sent["score"]) == (21, "[0]")
    assert sent["labels"][0] == {"id": "i0", "label": 0.0, "at": "2026-03-03T12:00:00+00:00"}


@pytest.mark.parametrize("arguments", [["--post"], ["--require", "auc=0.5"], ["--captures", "x"]])
def test_options_of_another_use_are_refused(arguments: list[str]) -> None:
    done = run("fraud", *arguments)
    assert done.exit_code != 0 and "--post needs LABELS" in str(done.exception or done.output)
