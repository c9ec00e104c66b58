"""Recommendation jobs as pages: progress, configurations, results."""

from datetime import UTC, datetime, timedelta
from typing import Any

from tidegate.domain.recommendation import (
    ConfigurationTrial,
    RecommendationJob,
    RecommendationLimits,
    RecommendationStatus,
    RecommendedInstance,
)
from tidegate.domain.registry import MULTI_MODEL, ContainerDefinition, Model
from tidegate.features.recommender.native import job_view
from tidegate.features.recommender.page import is_measurable, job_page, job_row

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MODEL = Model("fraud", (ContainerDefinition("tidegate/xgboost", "s3://m/fraud.tar.gz"),), NOW)
STEPS = (
    ConfigurationTrial({"MAX_BATCH_ROWS": "1"}, 1, 200.0, 0.01),
    ConfigurationTrial({"MAX_BATCH_ROWS": "16"}, 2, 400.0, 0.02),
    ConfigurationTrial({"MAX_BATCH_ROWS": "64"}, 2),
)
FOUND = (
    RecommendedInstance("ml.c5.large", 0.102, 12_000, 0.02, 60.0, 20.0, {"MAX_BATCH_ROWS": "16"}),
    RecommendedInstance("ml.m5.large", 0.115, 12_000, 0.02, 60.0, 10.0, {"MAX_BATCH_ROWS": "16"}),
)


def page(**more: Any) -> dict[str, Any]:
    limits = RecommendationLimits(seconds=600.0, latency=0.05)
    job = RecommendationJob("sizes", MODEL, "s3://m/rows.csv", NOW - timedelta(minutes=5), limits=limits, **more)
    return {**job_row(job_view(job), NOW), **job_page(job_view(job), NOW)}


def test_a_job_that_waits_says_for_what() -> None:
    waiting = page()
    assert (waiting["state"], waiting["part"], waiting["took"], waiting["trials"]) == ("waiting", 0, "", [])
    assert waiting["limit"] == "95 % of the answers within 50 ms" and waiting["can_stop"]


def test_a_running_job_shows_its_time_and_the_best_so_far() -> None:
    running = page(started_at=NOW - timedelta(minutes=5), steps=STEPS)
    assert (running["part"], running["took"], running["most"]) == (50.0, "5:00", "10:00")
    assert [one["part"] for one in running["trials"]] == [50.0, 100.0, 0.0]
    assert [one["best"] for one in running["trials"]] == [False, True, False]
    assert [one["now"] for one in running["trials"]] == [False, False, True]
    assert running["trials"][1]["settings"] == "2 workers, MAX_BATCH_ROWS 16"


def test_time_that_is_over_is_not_taken_for_the_end() -> None:
    assert page(started_at=NOW - timedelta(hours=1), steps=STEPS)["part"] == 99.0


def test_a_job_that_has_ended_shows_what_to_run_it_on() -> None:
    ended = page(
        started_at=NOW - timedelta(minutes=4),
        ended_at=NOW - timedelta(minutes=1),
        outcome=RecommendationStatus.COMPLETED,
        steps=STEPS,
        found=FOUND,
    )
    assert (ended["state"], ended["part"], ended["took"], ended["can_stop"]) == ("completed", 100, "3:00", False)
    cheapest = ended["found"][0]
    # 0.102 dollars an hour for 720,000 requests.
    assert (cheapest["type"], cheapest["per_million"], cheapest["rate"]) == ("ml.c5.large", "$0.14", "200/s")
    assert ended["best"] == "ml.c5.large, $0.14 a million requests"
    assert not any(one["now"] for one in ended["trials"])


def test_a_failed_job_says_why_and_a_limit_that_nothing_met_is_no_best() -> None:
    steps = (ConfigurationTrial({}, 1, 0.0, 0.3),)
    failed = page(outcome=RecommendationStatus.FAILED, ended_at=NOW, reason="no configuration", steps=steps)
    assert (failed["reason"], failed["tone"]) == ("no configuration", "bad")
    assert (failed["trials"][0]["rate"], failed["trials"][0]["best"]) == ("none within the limit", False)


def test_models_that_a_job_would_refuse_are_not_offered() -> None:
    many = Model("many", (ContainerDefinition("tidegate/xgboost", "s3://m/", mode=MULTI_MODEL),), NOW)
    pipeline = Model("two", (ContainerDefinition("a"), ContainerDefinition("b")), NOW)
    assert [is_measurable(model) for model in (MODEL, many, pipeline)] == [True, False, False]
