"""A plan fits one screen: forty lines of eighty columns, with the six rows and why others were not taken."""

from datetime import date
from functools import cache
from typing import Any

import pytest
from typer.testing import CliRunner

from tidegate.cli.app import app
from tidegate.features.planner import planning as planner
from tidegate.features.planner.card import MOST_LINES, card
from tidegate.features.planner.rows import NAMES
from tidegate.prices import Catalogue

CATALOGUE = Catalogue.load()
TODAY = date(2026, 11, 26)
CROWDED: dict[str, Any] = {
    **{"name": "crowded", "rate": 30, "model_kind": "llm", "model_size": "26 GB", "frameworks": ["pytorch"]},
    **{"hardware": "inferentia", "criticality": "medium", "user_facing": True, "latency": "9s", "budget": 10},
    **{"region": "ap-southeast-2", "spot": True, "spot_override": "a drill", "consistent_latency": True},
}
ANSWERS = {**{name: planner.answers_of(name) for name in planner.examples()}, "crowded": CROWDED}


@cache
def planned(name: str) -> planner.Plan:
    """Once for all widths: what its rollout can promise takes a second."""
    return planner.plan(planner.read(ANSWERS[name]), CATALOGUE)


@pytest.mark.parametrize("width", [80, 100, 160])
@pytest.mark.parametrize("name", ANSWERS)
def test_a_plan_is_one_screen(name: str, width: int) -> None:
    lines = card(planned(name), width, TODAY)
    assert len(lines) <= MOST_LINES and max(map(len, lines)) <= min(width, 100)
    starts = [next(row for row in NAMES if line.startswith(row)) for line in lines if line.startswith(NAMES)]
    assert tuple(starts) == NAMES
    assert lines[-1].startswith("--why shows the reasons")


def test_what_does_not_fit_is_counted() -> None:
    assert "more notes" in " ".join(card(planned("crowded"), 80, TODAY))


def test_the_age_of_the_prices_is_said_with_how_to_renew_them() -> None:
    plan = planned("payroll-fraud")
    (line,) = (one for one in card(plan, 100, TODAY) if one.startswith("Prices"))
    assert f"{plan.prices.oldest} to {plan.prices.newest}, the oldest 35 months old" in line
    told = plan.prices.describe(plan.prices.oldest)
    assert "this month's" in told and "update" not in told


def test_serverless_of_the_fraud_model_says_why_it_is_no_choice() -> None:
    shown = CliRunner().invoke(app, ["plan", "--example", "payroll-fraud"], env={"COLUMNS": "80"}).stdout
    assert "Not taken:" in shown and "a start from zero takes seconds" in " ".join(shown.split())
    assert "Is a response needed" not in shown, "the reasons are for --why"
    assert max(map(len, shown.splitlines())) <= 80


def test_why_has_the_reasons_and_every_price_with_its_source() -> None:
    shown = CliRunner().invoke(app, ["plan", "--example", "payroll-fraud", "--why"], env={"COLUMNS": "80"}).stdout
    text = " ".join(shown.split())
    assert "Is a response needed for each individual request? yes" in text
    assert "sagemaker-hosting/ml.c5.xlarge $0.204 an hour, 2026-01-31: several agreeing public tables" in text
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize("columns", ["80", "100", "160"])
@pytest.mark.parametrize(
    ("arguments", "figure"),
    [
        (["cost", "prices", "ml.c5.xlarge", "--region", "us-east-1"], "0.204"),
        (["cost", "estimate", "--rps", "40"], "ml.c5.xlarge"),
    ],
)
def test_prices_and_bills_keep_their_figures_on_a_narrow_screen(
    arguments: list[str], figure: str, columns: str
) -> None:
    shown = CliRunner().invoke(app, arguments, env={"COLUMNS": columns, "TIDEGATE_PRICES": ""}).stdout
    assert figure in shown and "…" not in shown
    assert max(map(len, shown.splitlines())) <= int(columns)
