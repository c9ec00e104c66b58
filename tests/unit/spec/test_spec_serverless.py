"""A serverless variant in a spec."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tidegate.domain.errors import Invalid
from tidegate.domain.fleet import Serverless
from tidegate.spec.build import parse

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BOUNDS = {"memory": "2GiB", "max_concurrency": 20}


def spec(**more: Any) -> dict[str, Any]:
    return {"endpoint": "fraud", "model": {"image": "tidegate/xgboost"}, "serverless": BOUNDS, **more}


def test_what_is_not_said_has_a_default() -> None:
    (variant,) = parse(spec(), NOW).config.variants
    assert variant.serverless == Serverless(2 * 2**30, 20, 0, 300.0, 10)


def test_everything_can_be_said() -> None:
    given = {**BOUNDS, "provisioned": 2, "idle_after": "1.5s", "per_instance": 1}
    (variant,) = parse(spec(serverless=given), NOW).config.variants
    assert variant.serverless == Serverless(2 * 2**30, 20, 2, 1.5, 1)


def test_other_bounds_are_another_config() -> None:
    names = {parse(spec(serverless={**BOUNDS, "max_concurrency": most}), NOW).config.name for most in (1, 2)}
    assert len(names) == 2


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"instances": 2}, "instances: cannot be combined with serverless"),
        ({"memory": "1GiB"}, "memory: cannot be combined with serverless"),
        ({"routing": "least_outstanding_requests"}, "routing: cannot be combined with serverless"),
        ({"shadow": {"model": {"image": "tidegate/xgboost"}}}, "shadow: cannot be combined with serverless"),
        (
            {"rollout": {"strategy": "rolling", "batch": "50%"}},
            "rollout.strategy: rolling cannot be combined with serverless",
        ),
        (
            {"model": {"image": "tidegate/xgboost", "data": "s3://b/c/", "multi_model": {}}},
            "model.multi_model: cannot be combined with serverless",
        ),
        ({"serverless": {**BOUNDS, "provisioned": 21}}, "serverless.provisioned: 21: more than max_concurrency"),
        ({"serverless": {**BOUNDS, "max_concurrency": 0}}, "serverless.max_concurrency: 0: must be at least 1"),
        ({"serverless": {**BOUNDS, "per_instance": 0}}, "serverless.per_instance: 0: must be at least 1"),
        ({"serverless": {**BOUNDS, "idle_after": "0"}}, "serverless.idle_after: must be above 0"),
        ({"serverless": {**BOUNDS, "memory": "0"}}, "serverless.memory: must be above 0"),
    ],
)
def test_what_makes_no_sense_is_refused(more: dict[str, Any], message: str) -> None:
    with pytest.raises(Invalid, match=message):
        parse(spec(**more), NOW)
