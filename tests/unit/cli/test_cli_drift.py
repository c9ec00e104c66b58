"""``tidegate drift``: captures compared with a table, or with SageMaker's statistics of one."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tidegate.cli.app import app


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["drift", "check", "fraud", *arguments], env={"COLUMNS": "120"})


def rows(count: int, seed: int, factor: float = 1.0) -> list[str]:
    draw = random.Random(seed)

    def row() -> str:
        return f"{draw.gauss(100, 10) * factor:.3f},{draw.choice(('US', 'DE'))},{draw.random():.4f}"

    return [row() for _ in range(count)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A table of 500 rows with a label, and captures of 300 like it and of 300 whose amount is in cents."""
    table = ["amount,country,rate,label", *(f"{row},0" for row in rows(500, 1))]
    (tmp_path / "train.csv").write_text("\n".join(table))
    for name, factor in (("same", 1.0), ("cents", 100.0)):
        lines = []
        for row in rows(300, 2, factor):
            side = {"endpointInput": {"data": row + "\n", "encoding": "CSV"}}
            about = {"eventId": "e", "inferenceTime": "2026-03-01T12:00:00Z"}
            lines.append(json.dumps({"captureData": side, "eventMetadata": about}))
        (tmp_path / f"{name}.jsonl").write_text("\n".join([*lines, "half a li"]))
    return tmp_path


def test_what_has_not_changed_is_no_drift(folder: Path) -> None:
    table, same = str(folder / "train.csv"), str(folder / "same.jsonl")
    done = run("--baseline", table, "--captures", same, "--columns", "amount,country,rate", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["drifted"], found["rows"], found["baseline_rows"]) == (False, 300, 500)
    assert found["captures_skipped"] == {"broken line": 1}


def test_drift_is_named_and_is_a_failure(folder: Path) -> None:
    table, cents = str(folder / "train.csv"), str(folder / "cents.jsonl")
    more = ("--columns", "amount,country,rate", "--by", "country")
    done = run("--baseline", table, "--captures", cents, *more)
    assert done.exit_code == 1
    assert "drift: 3 columns, of 300 rows against 500" in done.stdout
    assert "country=DE" in done.stdout and "1 broken line" in done.stdout


def test_statistics_of_a_baseline_stand_for_its_table(folder: Path) -> None:
    same, out = str(folder / "same.jsonl"), folder / "out"
    named = ("--captures", same, "--columns", "amount,country,rate")
    run("--baseline", str(folder / "train.csv"), *named, "--write", str(out))
    assert {path.name for path in out.iterdir()} == {
        "statistics.json",
        "constraints.json",
        "constraint_violations.json",
    }
    assert json.loads((out / "constraint_violations.json").read_text()) == {"violations": []}
    done = run("--baseline", str(out / "statistics.json"), "--captures", str(folder / "cents.jsonl"), "--json")
    [violation] = json.loads(done.stdout)["violations"]
    assert (violation["feature_name"], violation["constraint_check_type"]) == ("amount", "baseline_drift_check")


def test_nothing_to_look_at_is_not_good_news(folder: Path) -> None:
    table, same = str(folder / "train.csv"), str(folder / "same.jsonl")
    done = run("--baseline", table, "--captures", same, "--columns", "amount,country,rate", "--last", "1s")
    assert done.exit_code == 1 and "nothing can be said" in done.stdout


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("gone.csv", None, "No such file"),
        ("bad.json", "{", "cannot be read"),
        ("bad.json", "{}", "this is no statistics.json"),
        ("table.csv", "a,b\n1,2\n", "the baseline has no such column"),
    ],
)
def test_a_baseline_that_cannot_be_used_is_refused(
    folder: Path, name: str, text: str | None, message: str
) -> None:
    if text is not None:
        (folder / name).write_text(text)
    done = run("--baseline", str(folder / name), "--captures", str(folder / "same.jsonl"), "--by", "country")
    assert done.exit_code != 0 and message in str(done.exception or done.output)
