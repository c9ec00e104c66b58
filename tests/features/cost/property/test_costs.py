"""What holds for every price: more traffic never costs less, lines add up, the best commitment is the best."""

import math
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.features.cost import breakeven, savings
from tidegate.features.cost.bill import Tariff
from tidegate.features.cost.extras import Extras
from tidegate.features.cost.fleet import ScalingBounds, fleet
from tidegate.features.cost.hosted import BatchJob, RequestWork, real_time
from tidegate.features.cost.many_models import ModelPool
from tidegate.features.cost.on_demand import OnDemandUsage, serverless
from tidegate.features.cost.pricing_options import EXAMPLES, Figures, PricingOption
from tidegate.features.cost.shapes import SHAPES
from tidegate.features.cost.traffic import PeakDays, Shape, Traffic
from tidegate.prices import Catalogue, Rate

TARIFF = Tariff(Catalogue.load())
shapes = st.sampled_from(list(SHAPES.values()))
rates = st.floats(0, 2000)
ways = st.sampled_from(list(EXAMPLES.values()))


@st.composite
def scalings(draw: st.DrawFn) -> ScalingBounds:
    least = draw(st.integers(0, 5))
    return ScalingBounds(
        draw(st.floats(0.5, 500)),
        least,
        draw(st.integers(max(1, least), 30)),
        draw(st.floats(0.1, 1)),
        draw(st.floats(0, 1)),
        draw(st.floats(0, 1)),
    )


@st.composite
def figures(draw: st.DrawFn) -> Figures:
    return Figures(
        draw(scalings()),
        RequestWork(draw(st.floats(0.001, 60)), draw(st.integers(1, 8))),
        draw(st.integers(0, 5)),
        Extras(draw(st.floats(0, 1e6)), draw(st.floats(0, 1e6)), draw(st.floats(0, 100)), draw(st.integers(0, 9))),
        BatchJob(draw(st.floats(0, 1e6)), draw(st.integers(0, 400)), draw(st.integers(1, 10))),
        ModelPool(draw(st.integers(1, 2000)), draw(st.floats(1e3, 1e8)), draw(st.floats(0, 1))),
    )


@given(ways, figures(), shapes, rates, rates)
def test_more_traffic_never_costs_less(way: str, said: Figures, shape: Shape, one: float, two: float) -> None:
    less, more = sorted((one, two))
    bills = [PricingOption.named(way).bill(TARIFF, said, Traffic(rps, shape).hours(2026)) for rps in (less, more)]
    assert bills[0].total <= bills[1].total * (1 + 1e-9)


@given(ways, figures(), shapes, rates)
def test_lines_add_up_and_lie_in_their_range(way: str, said: Figures, shape: Shape, rps: float) -> None:
    bill = PricingOption.named(way).bill(TARIFF, said, Traffic(rps, shape).hours(2027))
    assert bill.total == pytest.approx(math.fsum(line.quantity * line.rate.amount for line in bill.lines))
    for line in bill.lines:
        assert line.low <= line.amount <= line.high
    assert 0 <= bill.low <= bill.total <= bill.high
    assert bill.month * 12 == pytest.approx(bill.total)


@given(scalings(), shapes, rates)
def test_an_hour_is_paid_for_what_it_needs_and_for_no_more_than_the_hour_before(
    scaling: ScalingBounds, shape: Shape, rps: float
) -> None:
    load = Traffic(rps, shape).hours(2026)
    made = fleet(load, scaling)
    for hour, (count, paid) in enumerate(zip(made.counts, made.paid, strict=True)):
        assert count == scaling.needed(load.peak[hour] * (1 + scaling.waves))
        assert scaling.needed(load.peak[hour]) <= paid + 1e-9
        assert scaling.least <= paid <= max(count, made.counts[hour - 1] if hour else scaling.least) + 1e-9


usages = st.lists(st.floats(0, 1000) | st.sampled_from([0.0, 0.204, 0.408, 2.04]), min_size=1, max_size=60)
discounts = st.floats(0, 0.95)


@given(usages, discounts, st.lists(st.floats(0, 1200), max_size=20))
def test_the_best_commitment_is_that_of_trying_them_all(
    usage: list[float], part: float, others: list[float]
) -> None:
    best = savings.best(usage, part)
    tried = [savings.commit(usage, part, covers).after for covers in [0.0, *usage, *others]]
    assert best.after <= min(tried) * (1 + 1e-9) + 1e-9
    assert best.after <= best.before * (1 + 1e-9)
    assert 0 <= best.utilisation <= 1 + 1e-9
    assert best.after == pytest.approx(
        sum((1 - part) * best.covers + max(0.0, one - best.covers) for one in usage), abs=1e-6
    )


@given(usages, st.floats(0.01, 0.95))
def test_the_load_may_fall_until_the_commitment_saves_nothing(usage: list[float], part: float) -> None:
    best = savings.best(usage, part)
    falls = savings.bearable(usage, best)
    assert savings.loss(usage, best, falls) <= 1e-6
    if best.covers > 0 and falls < 0.999:
        assert savings.loss(usage, best, min(1.0, falls + 1e-3)) >= -1e-6


@given(usages, discounts)
def test_the_curve_of_commitments_has_the_bill_of_each(usage: list[float], part: float) -> None:
    for covers, after in savings.curve(usage, part, points=7):
        assert after == pytest.approx(savings.commit(usage, part, covers).after, abs=1e-6)


@given(st.lists(st.floats(0.1, 100), min_size=2, max_size=50), discounts, discounts)
def test_a_better_discount_never_saves_less(usage: list[float], one: float, two: float) -> None:
    less, more = sorted((one, two))
    assert savings.best(usage, less).after >= savings.best(usage, more).after - 1e-6


@given(shapes, st.floats(0.5, 6), st.floats(0.01, 2), st.floats(5, 300), st.integers(1, 3))
def test_at_the_break_even_both_cost_the_same(
    shape: Shape, memory: float, seconds: float, capacity: float, least: int
) -> None:
    on_demand, scaling = OnDemandUsage(memory, seconds), ScalingBounds(capacity, least, 50)
    both = breakeven.serverless_against_real_time(TARIFF, on_demand, "ml.m5.large", scaling)
    found = breakeven.crossing(both["serverless"], both["real-time"], Traffic(1, shape), 2026)
    if found is None:
        top = Traffic(breakeven.LAST, shape).hours(2026)
        assert serverless(TARIFF, on_demand, top).total < real_time(TARIFF, "ml.m5.large", scaling, top).total, (
            "serverless is cheaper up to the last rate, so there is none"
        )
        return
    at = Traffic(found.rps, shape).hours(2026)
    assert serverless(TARIFF, on_demand, at).total == pytest.approx(
        real_time(TARIFF, "ml.m5.large", scaling, at).total, rel=1e-6
    )
    for part in (0.999, 0.97, 0.8, 0.5, 0.1):
        below = Traffic(found.rps * part, shape).hours(2026)
        assert serverless(TARIFF, on_demand, below).total < real_time(TARIFF, "ml.m5.large", scaling, below).total


@given(
    st.integers(1970, 2100), st.lists(st.integers(-31, 31).filter(bool), min_size=1, max_size=4), st.integers(0, 5)
)
def test_working_days_of_a_peak_are_working_days_of_the_year(year: int, days: list[int], ahead: int) -> None:
    found = PeakDays("x", 2, tuple(days), working=True, ahead=ahead).dates(year)
    assert all(day.year == year and day.weekday() < 5 for day in found)


@given(st.floats(0, 100), st.floats(0, 1), st.floats(0, 1))
def test_a_discount_keeps_the_order_of_the_range(amount: float, below: float, part: float) -> None:
    rate = Rate("a", "b", "hour", amount, amount * below, amount * 2, "s", date(2026, 1, 1)).less(part)
    assert 0 <= rate.low <= rate.amount <= rate.high
