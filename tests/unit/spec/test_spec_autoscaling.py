"""A spec's autoscaling: what it comes to, and what is refused where."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tidegate import spec
from tidegate.domain.desired import DesiredScaling
from tidegate.domain.metric import SAGEMAKER, MetricId
from tidegate.domain.scaling import (
    CalendarPeak,
    CalendarPolicy,
    CustomMetric,
    Dimension,
    FastPolicy,
    ForecastPolicy,
    PredefinedMetricType,
    TargetTracking,
)
from tidegate.monitoring.metric_math import evaluate
from tidegate.spec.problem import SpecError

NOW = datetime(2026, 11, 24, tzinfo=UTC)
MODEL = {"image": "tidegate/xgboost", "data": "s3://m/x.tar.gz"}
ASYNC = {"output": "s3://answers/fraud"}
SERVERLESS = {"memory": "2GiB", "max_concurrency": 20}


def wish(scaling: dict[str, Any] | None, **more: Any) -> DesiredScaling | None:
    given = {"endpoint": "fraud", **({} if "variants" in more else {"model": MODEL}), **more}
    if scaling is not None:
        given["autoscaling"] = {"min": 1, "max": 8, **scaling}
    return spec.parse(given, NOW).autoscaling


def asked(scaling: dict[str, Any], **more: Any) -> DesiredScaling:
    found = wish(scaling, **more)
    assert found is not None
    return found


def test_without_it_nothing_is_scaled() -> None:
    assert wish(None) is None


def test_the_fast_rule_looks_at_requests_at_one_time() -> None:
    found = asked({"target": 4, "queue_time": "50ms", "scale_in_after": "2m"})
    assert (found.variant, found.dimension, found.minimum, found.maximum) == (
        "AllTraffic",
        Dimension.INSTANCES,
        1,
        8,
    )
    assert found.policies == (FastPolicy("fast", 4.0, 0.05, scale_in_window=120.0),)
    assert not found.from_zero


@pytest.mark.parametrize(
    ("given", "more", "metric"),
    [
        ({}, {}, PredefinedMetricType.INVOCATIONS),
        ({"metric": "concurrency"}, {}, PredefinedMetricType.CONCURRENT),
        ({}, {"serverless": SERVERLESS}, PredefinedMetricType.UTILIZATION),
    ],
)
def test_the_rule_of_aws_tracks_a_metric(
    given: dict[str, Any], more: dict[str, Any], metric: PredefinedMetricType
) -> None:
    found = asked({"rule": "aws", "target": 70, "scale_in_after": "10m", **given}, **more)
    assert found.policies == (TargetTracking("tracking", 70.0, metric, scale_in_cooldown=600),)


def test_tokens_in_flight_are_tracked_and_are_none_where_no_request_is() -> None:
    (policy,) = asked({"rule": "aws", "metric": "tokens", "target": 4000}).policies
    assert isinstance(policy, TargetTracking) and isinstance(policy.metric, tuple)
    assert [line.metric and line.metric.name for line in policy.metric] == [
        "TokensInFlight",
        "ConcurrentRequestsPerModel",
        None,
    ]
    # Requests without tokens, none at all, and a minute of which nothing is known.
    read = {"tokens": [3000.0, None, None], "requests": [2.0, 0.0, None]}
    assert evaluate(policy.metric, read, range(0, 180, 60))["all"] == [3000.0, 0.0, None]


def test_the_backlog_of_an_asynchronous_endpoint_may_take_it_to_zero_and_back() -> None:
    found = asked({"rule": "aws", "target": 5, "min": 0}, **{"async": ASYNC})
    (policy,) = found.policies
    assert isinstance(policy, TargetTracking)
    backlog = MetricId.of(SAGEMAKER, "ApproximateBacklogSizePerInstance", {"EndpointName": "fraud"})
    assert policy.metric == CustomMetric(backlog, "Average")
    assert found.from_zero


def test_peaks_and_a_forecast_beside_the_rule() -> None:
    peak = {
        "name": "payday",
        "starts": "cron(0 8 LW * ? *)",
        "lasts": "4h",
        "count": 6,
        "timezone": "Europe/Vienna",
    }
    found = asked({"calendar": [peak], "forecast": {"per_instance": 20}})
    calendar, forecast = found.policies
    assert calendar == CalendarPolicy(
        "calendar", (CalendarPeak("payday", "cron(0 8 LW * ? *)", 14_400.0, 6, "Europe/Vienna"),)
    )
    assert forecast == ForecastPolicy("forecast", 20.0, 7 * 86_400.0)


def test_a_peak_keeps_the_holidays_of_its_country() -> None:
    starts = "cron(0 8 LW * ? *)"
    peak = {"name": "payday", "starts": starts, "lasts": "4h", "count": 6, "holidays": "CH-ZH"}
    (calendar,) = asked({"calendar": [peak]}).policies
    assert calendar == CalendarPolicy("calendar", (CalendarPeak("payday", starts, 14_400.0, 6, holidays="CH-ZH"),))


def test_bounds_are_no_part_of_the_config() -> None:
    given = {"endpoint": "fraud", "model": MODEL}
    one = spec.parse({**given, "autoscaling": {"min": 1, "max": 2, "target": 4}}, NOW)
    assert one.config.name == spec.parse(given, NOW).config.name


VARIANTS = [{"name": "a", "model": MODEL}, {"name": "b", "model": MODEL}]


@pytest.mark.parametrize(
    ("given", "more", "path"),
    [
        ({"min": 0}, {}, ("autoscaling", "min")),
        ({"max": 0}, {}, ("autoscaling", "max")),
        ({"min": 5, "max": 4}, {}, ("autoscaling", "max")),
        ({"max": 21}, {"serverless": SERVERLESS}, ("autoscaling", "max")),
        ({"target": 0}, {}, ("autoscaling", "target")),
        ({"rule": "quick"}, {}, ("autoscaling", "rule")),
        ({"target": 1, "metric": "invocations"}, {}, ("autoscaling", "metric")),
        ({"target": 1, "rule": "aws", "metric": "backlog"}, {}, ("autoscaling", "metric")),
        ({"target": 1, "rule": "aws", "queue_time": "1s"}, {}, ("autoscaling", "queue_time")),
        ({"target": 1}, {"async": {**ASYNC, "idle_after": "5m"}}, ("async", "idle_after")),
        ({"target": 1}, {"variants": VARIANTS}, ("autoscaling",)),
        ({"target": 1, "variant": "c"}, {"variants": VARIANTS}, ("autoscaling", "variant")),
        (
            {"calendar": [{"name": "p", "starts": "cron(x)", "lasts": "1h", "count": 2}]},
            {},
            ("autoscaling", "calendar", 0, "starts"),
        ),
        (
            {"calendar": [{"name": "p", "starts": "rate(1 day)", "lasts": "1h", "count": 2, "holidays": "CH"}]},
            {},
            ("autoscaling", "calendar", 0, "holidays"),
        ),
        (
            {"calendar": [{"name": "p", "starts": "rate(1 day)", "lasts": "1h", "count": 9}]},
            {},
            ("autoscaling", "calendar", 0, "count"),
        ),
        (
            {"calendar": [{"name": "p", "starts": "rate(1 day)", "lasts": "0", "count": 2}]},
            {},
            ("autoscaling", "calendar", 0, "lasts"),
        ),
        ({"forecast": {"per_instance": 0}}, {}, ("autoscaling", "forecast", "per_instance")),
    ],
)
def test_what_cannot_be_is_refused_where_it_stands(
    given: dict[str, Any], more: dict[str, Any], path: tuple[str | int, ...]
) -> None:
    with pytest.raises(SpecError) as refused:
        wish(given, **more)
    assert refused.value.path == path


def test_one_of_several_variants_is_named() -> None:
    assert asked({"target": 1, "variant": "b"}, variants=VARIANTS).variant == "b"
