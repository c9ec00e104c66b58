"""Figures of the page of compute and cost are the cost model's, and bad input is named."""

import pytest

from tidegate.features.cost import compute_page
from tidegate.features.cost.bill import Tariff
from tidegate.features.cost.sliders import Slider, read_sliders
from tidegate.prices import HOSTING, Catalogue

CATALOGUE = Catalogue.load()


@pytest.mark.parametrize("text", ["0", "6000", "nan", "inf", "-1", "ten", "1e400", "<script>"])
def test_a_number_out_of_bounds_is_named_and_the_default_stands_in(text: str) -> None:
    values, problems = read_sliders((Slider("n", "Clients", 7, 1, 5000, 1),), {"n": text})
    assert values == {"n": 7}
    assert problems == [f"Clients: {text!r} is not a number from 1 to 5000"]


def test_the_cheapest_machine_holds_the_model_and_none_that_does_is_cheaper() -> None:
    tariff = Tariff(CATALOGUE, "us-east-1")
    for gib in (0.5, 10.0, 60.0):
        for kind, (name, month) in compute_page.cheapest(tariff, gib).items():
            chosen = CATALOGUE.instance(name)
            memory = chosen.accelerator_gib if chosen.accelerators else chosen.memory_gib
            assert memory * compute_page.USABLE >= gib and chosen.kind == kind
            others = [one for one in CATALOGUE.instances() if one.kind == kind and tariff.has(HOSTING + one.name)]
            fitting = [
                tariff.hosting(one.name).amount * 730
                for one in others
                if (one.accelerator_gib if one.accelerators else one.memory_gib) * compute_page.USABLE >= gib
            ]
            assert month == pytest.approx(min(fitting))
    assert compute_page.cheapest(tariff, 1e6) == {}


def test_autoscaling_costs_less_than_the_busiest_hour_at_all_hours() -> None:
    shown = compute_page.compute({}, CATALOGUE)
    scaled = shown["scaled"]
    assert 0 < scaled["month"] < scaled["fixed"]
    assert len(scaled["chart"]["x"]) == 31 * 24 and len(scaled["days"]) == 31
    assert max(day["most"] for day in scaled["days"]) == scaled["most"]
    (one, three) = shown["commitment"]["made"]
    assert 0 < one["saving"] < three["saving"]
    crossing = shown["serverless"]["crossing"]
    assert crossing is not None and crossing["rps"] > 0


def test_a_rate_that_no_fleet_of_the_page_can_answer_is_said() -> None:
    assert compute_page.compute({}, CATALOGUE)["scaled"]["short"] == 0
    assert compute_page.compute({"rate": "10000", "each": "0.1"}, CATALOGUE)["scaled"]["short"] > 1000


def test_steady_traffic_has_nothing_to_scale() -> None:
    shown = compute_page.compute({"shape": "steady", "least": "1"}, CATALOGUE)
    assert shown["scaled"]["month"] == pytest.approx(shown["scaled"]["fixed"], rel=0.2)
    assert "none of" in compute_page.compute({"shape": "odd"}, CATALOGUE)["problems"][0]
