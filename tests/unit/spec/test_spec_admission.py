"""Overload and quotas in a spec."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.samples import version
from tidegate.domain.admission import DEFAULT_ADMISSION, Admission, Quotas, TokenBucket
from tidegate.domain.errors import Invalid
from tidegate.domain.fleet import RoutingStrategy
from tidegate.spec.build import parse

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def spec(**more: Any) -> dict[str, Any]:
    return {"endpoint": "fraud", "model": {"image": "tidegate/xgboost"}, **more}


def admission(**more: Any) -> Admission:
    (variant,) = parse(spec(**more), NOW).config.variants
    return variant.admission


def test_what_is_not_said_is_usual_and_leaves_the_config_s_name_alone() -> None:
    assert admission() == DEFAULT_ADMISSION
    assert parse(spec(max_in_flight=1000, queue_time="1s"), NOW).config.name == parse(spec(), NOW).config.name
    assert parse(spec(max_in_flight=4), NOW).config.name != parse(spec(), NOW).config.name


def test_bounds() -> None:
    assert admission(max_in_flight=4, queue_time="50ms") == Admission(4, 0.05)


def test_each_variant_has_its_bounds_and_all_have_the_quotas() -> None:
    variants = [
        {"name": name, "model": {"image": "tidegate/xgboost"}, "max_in_flight": most}
        for name, most in (("a", 4), ("b", 5))
    ]
    wish = parse({"endpoint": "fraud", "variants": variants, "quotas": {"rate": "50/s"}}, NOW)
    quotas = Quotas(TokenBucket(50, 50))
    assert [v.admission for v in wish.config.variants] == [
        Admission(4, quotas=quotas),
        Admission(5, quotas=quotas),
    ]


def test_quotas() -> None:
    given = {"by": "header X-Client", "rate": "50/s", "burst": 100, "clients": {"acme": "200/s", "slow": "30/m"}}
    assert admission(quotas=given).quotas == Quotas(
        TokenBucket(50, 100), "X-Client", {"acme": TokenBucket(200, 400), "slow": TokenBucket(0.5, 1)}
    )


def test_a_bucket_holds_a_second_s_worth_unless_told() -> None:
    given = {"rate": "2.5/s", "clients": {"slow": "6/m"}}
    assert admission(quotas=given).quotas == Quotas(TokenBucket(2.5, 3), "", {"slow": TokenBucket(0.1, 1)})


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"max_in_flight": 0}, "max_in_flight: 0: must be 1 to 20000"),
        ({"queue_time": "0"}, "queue_time: '0': must be 1ms to 60s"),
        ({"queue_time": "61s"}, "queue_time: '61s': must be 1ms to 60s"),
        ({"quotas": {}}, "quotas: 'rate' is missing"),
        ({"quotas": {"rate": "50"}}, "quotas.rate: '50': expected a rate such as 50/s or 600/m"),
        ({"quotas": {"rate": "0/s"}}, "quotas.rate: '0/s': must be above 0"),
        (
            {"quotas": {"rate": "1/h"}},
            "quotas.rate: a bucket of 1 would take 3600 s to fill; the maximum is 600 s",
        ),
        ({"quotas": {"rate": "50/s", "by": "X-Client"}}, "quotas.by: 'X-Client': expected key, or header"),
        ({"quotas": {"rate": "50/s", "by": "header X Client"}}, "quotas.by: 'header X Client': expected key"),
        ({"quotas": {"rate": "50/s", "burst": 0.5}}, "quotas.burst: 0.5: must be 1 to 1000000"),
        ({"quotas": {"rate": "50/s", "clients": {"a b": "1/s"}}}, "quotas.clients.a b: a client's name has"),
        ({"quotas": {"rate": "50/s"}, "async": {"output": "file:///a"}}, "quotas: cannot be combined with async"),
        (
            {"max_in_flight": 4, "serverless": {"memory": "2GiB", "max_concurrency": 20}},
            "max_in_flight: cannot be combined with serverless",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(more: dict[str, Any], message: str) -> None:
    with pytest.raises(Invalid, match=message):
        parse(spec(**more), NOW)


def test_a_bound_is_not_left_to_chance() -> None:
    (plain,) = version("v1").variants
    assert plain.effective_routing is RoutingStrategy.RANDOM
    assert replace(plain, admission=Admission(4)).effective_routing is RoutingStrategy.LEAST_OUTSTANDING_REQUESTS
