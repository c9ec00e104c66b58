"""``cost`` and ``prices`` as a person runs them."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tidegate.cli.app import app
from tidegate.cli.sparklines import WIDTH, block_rows, load_duration_rows, year_rows
from tidegate.domain.errors import Invalid, NotFound, TidegateError

PAYROLL = (
    "cost",
    "estimate",
    "--min",
    "2",
    "--max",
    "10",
    "--traffic",
    "payroll",
    "--rps",
    "40",
    "--with",
    "year=2026",
)


def words(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "300", "TIDEGATE_PRICES": ""})
    assert result.exit_code == 0, result.output
    return result.output


def document(*arguments: str) -> Any:
    result = CliRunner().invoke(app, [*arguments, "--json"], env={"TIDEGATE_PRICES": ""})
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def fails(kind: type[TidegateError], *arguments: str, folder: str = "") -> str:
    result = CliRunner().invoke(app, list(arguments), env={"TIDEGATE_PRICES": folder})
    assert isinstance(result.exception, kind), result.exception
    return str(result.exception)


def test_payroll_fraud_is_explained_to_the_dollar() -> None:
    text = words(*PAYROLL)
    amounts = [float(found) for found in re.findall(r"hour +0\.204 +([0-9.]+)", text)]
    assert amounts[0] == 297.84
    assert 350 < sum(amounts) < 450
    assert "2 at all hours (the minimum)" in text
    assert "above the minimum, year end: up to 9 instances" in text
    assert "assumed for ml.c5.xlarge: 80 requests/s to an instance, 4 at a time and 50 ms each" in text
    assert "us-east-1, 2026-01-31: several agreeing public tables" in text


def test_the_documents_lines_add_up() -> None:
    found = document(*PAYROLL)["bills"]["ml.c5.xlarge"]
    assert sum(line["amount"] for line in found["lines"]) == pytest.approx(found["year"]["amount"])
    assert found["month"]["amount"] == pytest.approx(found["year"]["amount"] / 12)
    assert 350 <= found["month"]["amount"] <= 450
    assert all(line["source"] and line["date"] for line in found["lines"])


def test_savings_say_what_to_commit_and_what_may_go_wrong() -> None:
    found = document(*PAYROLL, "--savings", "1")["savings"]
    assert [one["case"] for one in found] == ["usual", "best"]
    usual = found[0]
    assert usual["hourly"] == pytest.approx(2 * 0.204 * 0.8)
    assert usual["saving"] == pytest.approx(2 * 0.204 * 0.2 * 8760)
    assert usual["break_even_utilisation"] == pytest.approx(0.8)
    assert usual["loss_if_load_falls"]["0.5"] > 0 > usual["loss_if_load_falls"]["0.25"] - 100
    text = words(*PAYROLL, "--savings", "1")
    assert "2.00 instances" in text
    assert "COVERED" in text


def test_serverless_against_real_time_has_a_break_even() -> None:
    asked = (
        "cost",
        "estimate",
        "--rps",
        "2",
        "--traffic",
        "steady",
        "--compare",
        "serverless:2GB",
        "--with",
        "year=2026",
    )
    found = document(*asked)["break_even"]
    # An instance's hour in GB-seconds of 2 GB for 50 ms each.
    assert found["rps"] == pytest.approx(0.204 / 3600 / (2 * 0.05 * 0.00002))
    assert found["cheaper_below"] == "serverless:2GB"
    assert [point["rps"] for point in found["curve"]] == sorted(point["rps"] for point in found["curve"])
    assert "serverless:2GB is cheaper below 28.33 requests/s" in words(*asked)


def test_a_thousand_models_cost_less_on_one_endpoint() -> None:
    many = ("--with", "models=1000", "--with", "model_size=50kB", "--rps", "50")
    found = document(
        "cost", "estimate", "--instance", "dedicated:ml.t2.medium", "--compare", "multi-model:ml.m5.xlarge", *many
    )
    each, one = (
        found["bills"][name]["month"]["amount"] for name in ("dedicated:ml.t2.medium", "multi-model:ml.m5.xlarge")
    )
    assert one < each / 10


def test_a_batch_job_needs_no_traffic() -> None:
    text = words(
        "cost", "estimate", "--instance", "batch:ml.m5.xlarge", "--with", "records=50000", "--with", "seconds=2ms"
    )
    assert "12 jobs a year of 50,000 records" in text
    assert "Traffic" not in text


SPEC = "endpoint: e\nmodel: {image: tidegate/xgboost, data: s3://models/e.tar.gz}\n"


@pytest.mark.parametrize(
    ("text", "way", "why"),
    [
        ("instances: 3\ninstance_type: ml.m5.large\n", "ml.m5.large", "3 at all hours (the minimum)"),
        ("serverless: {memory: 2GiB, max_concurrency: 5}\n", "serverless:2GB", "2 GB for 50 ms each"),
        (
            "instance_type: ml.m5.large\nasync: {output: s3://b/o, idle_after: 5m}\n",
            "async:ml.m5.large",
            "scaled in to 0",
        ),
        (
            "instance_type: ml.m5.large\nautoscaling: {min: 2, max: 9, rule: aws, target: 300}\n",
            "ml.m5.large",
            "above the minimum, ordinary days: up to 8 instances",
        ),
        (
            "instance_type: ml.m5.large\nautoscaling: {min: 2, max: 9, target: 0.5}\n",
            "ml.m5.large",
            "above the minimum, ordinary days: up to 4 instances",
        ),
    ],
)
def test_a_spec_says_how_it_is_served(tmp_path: Path, text: str, way: str, why: str) -> None:
    file = tmp_path / "e.yaml"
    file.write_text(SPEC + text)
    found = document("cost", "estimate", str(file), "--rps", "40", "--traffic", "diurnal", "--with", "waves=0")[
        "bills"
    ]
    assert list(found) == [way]
    assert why in "; ".join(line["why"] for line in found[way]["lines"])


def test_what_a_spec_does_not_say_is_assumed_and_said(tmp_path: Path) -> None:
    """As documented: ``tidegate cost estimate fraud.yaml --traffic payroll``."""
    file = tmp_path / "e.yaml"
    file.write_text(SPEC + "instances: 3\n")
    done = CliRunner().invoke(
        app, ["cost", "estimate", str(file), "--traffic", "payroll", "--with", "per_instance=100"]
    )
    assert done.exit_code == 0, done.output
    assert "assumed ml.c5.xlarge: " in done.stderr
    assert "has no instance_type; put one in, or say --instance" in done.stderr
    assert "assumed --rps 210: what the instances of" in done.stderr, "3 instances at 70 %"
    told = (
        CliRunner().invoke(app, ["cost", "estimate", str(file), "--instance", "ml.c5.large", "--rps", "1"]).stderr
    )
    assert "assumed ml." not in told and "assumed --rps" not in told


def test_what_is_said_goes_over_the_spec(tmp_path: Path) -> None:
    file = tmp_path / "e.yaml"
    file.write_text(SPEC + "instances: 3\n")
    found = document("cost", "estimate", str(file), "--rps", "1", "--instance", "ml.c5.large", "--min", "2")[
        "bills"
    ]
    assert found["ml.c5.large"]["lines"][0]["why"] == "2 at all hours (the minimum)"


def test_several_variants_are_to_be_priced_one_by_one(tmp_path: Path) -> None:
    file = tmp_path / "e.yaml"
    model = "model: {image: tidegate/xgboost, data: s3://models/e.tar.gz}"
    file.write_text(f"endpoint: e\nvariants:\n- {{name: a, {model}}}\n- {{name: b, {model}}}\n")
    assert "several variants (a, b)" in fails(Invalid, "cost", str(file), "--rps", "1")


def test_too_small_a_fleet_is_warned_of() -> None:
    assert "warning: 8760 hours need more than 1 instances" in words(
        "cost", "estimate", "--rps", "100", "--max", "1", "--with", "per_instance=10", "--with", "year=2026"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            (
                "cost",
                "estimate",
            ),
            "say how much traffic there is, such as --rps 40",
        ),
        (("cost", "estimate", "--rps", "-1"), "requests a second is -1"),
        (("cost", "estimate", "--rps", "1", "--traffic", "sawtooth"), "unknown shape of traffic 'sawtooth'"),
        (("cost", "estimate", "--rps", "1", "--min", "3", "--max", "2"), "instances at most is 2"),
        (("cost", "estimate", "--rps", "1", "--with", "secnds=1s"), "did you mean 'seconds'"),
        (("cost", "estimate", "--rps", "1", "--with", "alarms=many"), "--with alarms=many: not a value"),
        (("cost", "estimate", "--rps", "1", "--with", "seconds=5"), "add a unit"),
        (("cost", "estimate", "--rps", "1", "--instance", "moon:base"), "is no way of serving"),
        (
            ("cost", "estimate", "--rps", "1", "--instance", "serverless:2GB", "--savings", "1"),
            "no SageMaker instances to commit",
        ),
        (("cost", "estimate", "--rps", "1", "--instance", "batch:ml.m5.xlarge"), "records=50000"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(arguments: tuple[str, ...], message: str) -> None:
    text = fails(Invalid, *arguments)
    assert message in text
    assert "\n" not in text


def test_unknown_types_and_regions_are_told() -> None:
    assert "did you mean 'ml.c5.xlarge'" in fails(NotFound, "cost", "--rps", "1", "--instance", "ml.c5.xlrge")
    assert "us-east-1" in fails(NotFound, "cost", "--rps", "1", "--with", "region=mars-north-1")
    assert "1y, 3y" in fails(NotFound, "cost", "--rps", "1", "--savings", "2")


def test_prices_are_listed_with_sources_and_machines() -> None:
    text = words("cost", "prices", "c5")
    assert re.search(r"sagemaker-hosting/ml\.c5\.xlarge +us-east-1 +hour +0\.204 .*4 vCPU, 8 GiB", text)
    assert "ml.m5" not in text
    found = document("cost", "prices", "g5.12xlarge", "--region", "us-east-1")
    hosting = next(one for one in found if one["item"].startswith("sagemaker"))
    assert hosting["instance"]["accelerator"] == "NVIDIA A10G"
    assert hosting["low"] < hosting["high"]


def test_a_folder_of_ones_own_goes_over_the_prices(tmp_path: Path) -> None:
    row = "sagemaker-hosting/ml.c5.xlarge,us-east-1,hour,0.1,,,contract,2026-11-01,\n"
    (tmp_path / "own.csv").write_text("item,region,unit,amount,low,high,source,date,note\n" + row)
    result = CliRunner().invoke(
        app, ["cost", "prices", "ml.c5.xlarge"], env={"TIDEGATE_PRICES": str(tmp_path), "COLUMNS": "300"}
    )
    assert "contract" in result.output
    (tmp_path / "own.csv").write_text("item\n")
    assert "own.csv:1: the columns must be" in fails(Invalid, "cost", "--rps", "1", folder=str(tmp_path))


def test_plots_are_as_wide_as_they_say_and_show_the_line() -> None:
    rows = [row.plain for row in year_rows([1.0] * 8759 + [10.0])]
    assert rows[0].startswith("    10 │")
    assert rows[0][8:] == " " * (WIDTH - 1) + "█"
    assert rows[-1].split()[0] == "Jan" and rows[-1].split()[-1] == "Dec"
    marked = [row.plain[7] for row in load_duration_rows([2.0, 1.0] * 100, 1.0)]
    assert marked.count("┤") == 1 and marked.index("┤") == 4
    assert all(len(row.plain) == WIDTH + 8 for row in block_rows([1.0], 1.0))
