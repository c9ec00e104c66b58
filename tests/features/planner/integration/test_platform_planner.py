"""A plan is deployed as it was written, on a whole platform."""

import json
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from tidegate.cli.app import app
from tidegate.host.platform import Platform, wait_until


def run(platform: Platform, *arguments: str) -> str:
    done = CliRunner().invoke(
        app, list(arguments), env={"TIDEGATE_URL": platform.url, "COLUMNS": "200"}, catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.e2e
@pytest.mark.parametrize("example", ["payroll-fraud", "salary-benchmarking"])
def test_a_plan_is_deployed_at_once(
    platform: Platform, models: tuple[str, str], tmp_path: Path, example: str
) -> None:
    plan = tmp_path / "plan.yaml"
    changes = ["--set", "frameworks=xgboost", "--set", f"name={example}"]
    run(platform, "plan", "--example", example, *changes, "--model", models[0], "--out", str(plan))
    run(platform, "deploy", str(plan), "--wait")
    told = json.loads(run(platform, "invoke", example, "--body", "1,2,3,4", "--json"))
    assert told["status"] == 200
    assert json.loads(run(platform, "status", example, "--json"))["status"] == "InService"
    if example == "payroll-fraud":
        target = json.loads(run(platform, "show", "scaling", example, "--json"))["targets"][0]
        assert (target["min"], target["max"]) == (2, 10)
    answer = f"{platform.url}/tidegate/v1/endpoints/{example}/measured"
    wait_until(lambda: httpx.get(answer).status_code == 200, "the request is measured")
    again = ["--from", example, "--example", example, *changes, "--set", "latency=", "--json"]
    measured = json.loads(run(platform, "plan", *again))["measured"]
    assert measured["requests"] >= 1 and "processing_time" in measured["answers"]
    assert any(line["metered"] is not None for line in measured["bill"])
    run(platform, "delete", example, "--wait")


@pytest.mark.e2e
def test_a_planned_job_runs(platform: Platform, models: tuple[str, str], tmp_path: Path) -> None:
    plan, rows = tmp_path / "plan.yaml", tmp_path / "rows.csv"
    rows.write_text("1,2,3,4\n" * 50)
    run(platform, "plan", "--example", "monthly-attrition", "--model", models[0], "--out", str(plan))
    job = json.loads(run(platform, "batch", str(plan), str(rows), f"{platform.state}/outputs/scores/", "--json"))
    assert (job["status"], job["records"]) == ("Completed", 50)
