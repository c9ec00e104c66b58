"""What an endpoint has cost so far."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.samples import version
from tidegate.domain.rollout import Version
from tidegate.domain.usage import Usage, follow, seconds_until
from tidegate.features.cost.bill import Tariff
from tidegate.features.cost.endpoint_cost import EndpointUsage, cost_view, estimate_month, price
from tidegate.prices import Catalogue

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def tariff() -> Tariff:
    return Tariff(Catalogue.load(), "us-east-1")


def used(hours: dict[str, float], **more: object) -> EndpointUsage:
    return EndpointUsage(**{"created": BEGAN, "since": BEGAN, "until": BEGAN + 10 * HOUR, "hours": hours, **more})  # type: ignore[arg-type]


def test_hours_add_up_over_changes_of_counts_and_of_types() -> None:
    usage = follow(Usage(BEGAN, BEGAN), {"ml.c5.large": 2}, BEGAN)
    usage = follow(usage, {"ml.c5.large": 2, "ml.m5.large": 1}, BEGAN + HOUR)
    usage = follow(usage, {"ml.m5.large": 1}, BEGAN + 3 * HOUR)
    usage = follow(usage, {}, BEGAN + 4 * HOUR)
    assert seconds_until(usage, BEGAN + 100 * HOUR) == {"ml.c5.large": 6 * 3600, "ml.m5.large": 3 * 3600}


def test_the_same_counts_change_nothing_and_a_clock_that_was_set_back_takes_nothing_away() -> None:
    usage = follow(Usage(BEGAN, BEGAN), {"a": 1, "b": 0}, BEGAN)
    assert follow(usage, {"a": 1}, BEGAN + HOUR) is usage
    back = follow(usage, {"a": 2}, BEGAN - HOUR)
    assert back.at == BEGAN and seconds_until(back, BEGAN - HOUR) == {}


def test_hours_are_priced_by_type_and_a_small_type_stands_in_for_this_machine(tariff: Tariff) -> None:
    told = price(used({"local": 10.0, "ml.m5.xlarge": 2.0}), tariff)
    expected = 10 * tariff.hosting("ml.c5.large").amount + 2 * tariff.hosting("ml.m5.xlarge").amount
    assert told["dollars"] == pytest.approx(expected) and told["complete"]
    assert [line["priced_as"] for line in told["lines"]] == ["ml.c5.large", None]
    view = cost_view(told)
    assert view["stands_in"] == "as if" and "stands in" in view["about"] and "from when" not in view["since"]


def test_what_has_no_price_is_named_and_alone_it_is_no_zero(tariff: Tariff) -> None:
    alone = price(used({"ml.unheard.of": 5.0}), tariff)
    assert alone["dollars"] is None and cost_view(alone)["dollars"] not in ("$0.00", "")
    assert price(used({}), tariff)["dollars"] == 0
    both = price(used({"ml.unheard.of": 5.0, "ml.c5.large": 1.0}), tariff)
    assert both["left_out"] == ["ml.unheard.of"] and "left out" in cost_view(both)["about"]


@pytest.mark.parametrize(
    ("hours", "dollars", "about"),
    [
        (0.01, "< $0.01", "0.6 instance-minutes of ml.c5.large at $0.102 an hour"),
        (0.5, "$0.05", "30.0 instance-minutes of ml.c5.large"),
        (20_000.0, "$2,040.00", "20,000.0 instance-hours of ml.c5.large"),
    ],
)
def test_a_first_minute_reads_neither_as_zero_nor_as_a_row_of_digits(
    tariff: Tariff, hours: float, dollars: str, about: str
) -> None:
    view = cost_view(price(used({"ml.c5.large": hours}), tariff))
    assert view["dollars"] == dollars and view["about"].startswith(about)


def test_a_beginning_that_is_not_known_is_said(tariff: Tariff) -> None:
    late = price(used({"ml.c5.large": 1.0}, since=BEGAN + HOUR), tariff)
    assert (
        not late["complete"] and cost_view(late)["since"] == "since 2026-01-01 01:00 UTC, from when on it is known"
    )


def test_serverless_is_priced_by_what_it_used(tariff: Tariff) -> None:
    told = price(used({}, gb_seconds=1e6, requests_since=BEGAN + HOUR), tariff)
    assert told["dollars"] == pytest.approx(1e6 * tariff.rate("sagemaker-serverless/gb-second").amount)
    assert not told["complete"] and "1,000,000 GB-seconds" in cost_view(told)["about"]


CATALOGUE = Catalogue.load()


def typed(made: Version, *types: str) -> Version:
    variants = (replace(one, instance_type=type) for one, type in zip(made.variants, types, strict=True))
    return replace(made, variants=tuple(variants))


def test_a_month_is_priced_where_a_price_is_known_and_says_what_it_leaves_out() -> None:
    tariff, both = Tariff(CATALOGUE, "us-east-1"), version("v1", {"A": 2, "B": 1})
    found = estimate_month(typed(both, "ml.c5.large", "ml.nonsense"), tariff)
    assert found["month"] == f"${2 * tariff.hosting('ml.c5.large').amount * 730:,.2f}"
    assert "left out" in found["about"]
    local = estimate_month(version("v1", 2), tariff)
    assert local["month"] == "–" and "would cost" in local["about"] and "no instance type" in local["about"]
