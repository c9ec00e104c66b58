"""Measures of bias against their definitions, written out in fractions."""

import math
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.features.monitor.bias_metrics import DESCRIPTIONS, POST, PRE, LabelledPrediction, measure_bias

CASES = st.lists(
    st.builds(LabelledPrediction, st.booleans(), st.booleans(), st.booleans(), st.sampled_from("xy")), max_size=40
)


def cases(facet: bool, hits: int, missed: int, false: int, quiet: int) -> list[LabelledPrediction]:
    made = [LabelledPrediction(facet, True, True)] * hits + [LabelledPrediction(facet, True, False)] * missed
    return (
        made + [LabelledPrediction(facet, False, True)] * false + [LabelledPrediction(facet, False, False)] * quiet
    )


# 100 of a: 40 hits, 10 missed, 20 false, 30 quiet; 50 of d: 10 hits, 10 missed, 5 false, 25 quiet.
TABLE = cases(False, 40, 10, 20, 30) + cases(True, 10, 10, 5, 25)


def test_each_measure_is_its_definition() -> None:
    found = measure_bias(TABLE)
    before = {
        "CI": (100 - 50) / 150,
        "DPL": 50 / 100 - 20 / 50,
        "KL": 0.5 * math.log(0.5 / 0.4) + 0.5 * math.log(0.5 / 0.6),
        "JS": (
            0.5 * math.log(0.5 / 0.45)
            + 0.5 * math.log(0.5 / 0.55)
            + 0.4 * math.log(0.4 / 0.45)
            + 0.6 * math.log(0.6 / 0.55)
        )
        / 2,
        "LP": math.sqrt(2 * 0.1**2),
        "TVD": 0.1,
        "KS": 0.1,
    }
    after = {
        "DPPL": 60 / 100 - 15 / 50,
        "DI": (15 / 50) / (60 / 100),
        "DCA": 50 / 60 - 20 / 15,
        "DCR": 30 / 35 - 50 / 40,
        "RD": 40 / 50 - 10 / 20,
        "SD": 25 / 30 - 30 / 50,
        "DAR": 40 / 60 - 10 / 15,
        "DRR": 25 / 35 - 30 / 40,
        "AD": 70 / 100 - 35 / 50,
        "TE": 10 / 5 - 10 / 20,
    }
    assert {name: one.value for name, one in found[PRE].items()} == pytest.approx(before)
    assert {name: one.value for name, one in found[POST].items()} == pytest.approx(after)
    assert (found[POST]["RD"].size, found[POST]["TE"].size, found[PRE]["CI"].size) == (20, 5, 50)


def test_disparity_is_averaged_over_groups() -> None:
    one = [case._replace(group="one") for case in TABLE]
    two = [case._replace(group="two") for case in cases(False, 10, 0, 0, 10) + cases(True, 5, 0, 0, 15)]
    found = measure_bias(one + two)
    labels = (150 * (30 / 80 - 20 / 70) + 40 * (15 / 25 - 5 / 15)) / 190
    said = (150 * (35 / 75 - 15 / 75) + 40 * (15 / 25 - 5 / 15)) / 190
    assert found[PRE]["CDDL"].value == pytest.approx(labels)
    assert found[POST]["CDDPL"].value == pytest.approx(said)


@given(CASES)
def test_measures_stay_in_their_range_and_turn_with_the_groups(some: list[LabelledPrediction]) -> None:
    found, turned = measure_bias(some), measure_bias([case._replace(facet=not case.facet) for case in some])
    for stage, names in DESCRIPTIONS.items():
        assert found[stage].keys() <= names.keys()
    for name in ("CI", "DPL", "DPPL", "RD", "SD", "DAR", "DRR", "AD"):
        stage = PRE if name in found[PRE] else POST
        one, other = found[stage][name].value, turned[stage][name].value
        assert math.isnan(one) is math.isnan(other)
        assert math.isnan(one) or (-1 <= one <= 1 and one == pytest.approx(-other))


def test_what_divides_by_nothing_cannot_be_said() -> None:
    found = measure_bias(cases(False, 5, 0, 0, 5))
    assert all(math.isnan(one.value) for name, one in found[POST].items())
    quiet = measure_bias(cases(False, 5, 0, 0, 5) + cases(True, 0, 0, 0, 10))
    unsaid = {
        name for stage, name in product(quiet, ["DI", "DCA", "DAR", "TE", "RD", "KL"]) if name in quiet[stage]
    }
    values = {name: quiet[stage][name].value for stage, name in product(quiet, unsaid) if name in quiet[stage]}
    assert {name for name, value in values.items() if math.isnan(value)} == {"DCA", "DAR", "TE", "RD", "KL"}
    assert values["DI"] == 0
