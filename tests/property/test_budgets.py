"""Budgets of an assurance are kept: each bound by itself on every outcome, and whole rollouts by simulation."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.assure import RAMPED, run_ramps
from tidegate.statistics.budgets import bound_mean, bound_rate, find_room, log_evidence

RATES = st.floats(1e-6, 0.999)
MISSED = st.sampled_from([0.1, 0.01, 1e-4])


@given(RATES, st.floats(0, 1), st.integers(0, 200), st.integers(0, 200))
def test_a_request_that_fails_at_the_rate_or_above_is_not_expected_to_speak_against_it(
    rate: float, above: float, requests: int, hits: int
) -> None:
    """The factor of the next request, over both of its outcomes."""
    hits, chance = min(hits, requests), rate + (1 - rate) * above
    before = log_evidence(requests, hits, rate)
    after = (log_evidence(requests + 1, hits + 1, rate), log_evidence(requests + 1, hits, rate))
    expected = chance * math.exp(after[0] - before) + (1 - chance) * math.exp(after[1] - before)
    assert expected <= 1 + 1e-9


@given(MISSED, st.integers(0, 5000), st.integers(0, 100), RATES, RATES)
def test_evidence_against_a_rate_is_evidence_against_all_higher_ones(
    missed: float, requests: int, hits: int, one: float, other: float
) -> None:
    hits, low, high = min(hits, requests), min(one, other), max(one, other)
    assert log_evidence(requests, hits, low) <= log_evidence(requests, hits, high) + 1e-9
    bound = bound_rate(requests, hits, missed)
    assert bound >= hits / max(1, requests) - 1e-9
    assert requests == 0 or bound == 1 or log_evidence(requests, hits, bound) >= -math.log(missed) - 1e-6


@given(st.integers(1, 400), MISSED)
def test_so_many_events_are_rare_at_the_mean(number: int, missed: float) -> None:
    """The tail of the Poisson distribution, which is the largest of all sums of independent events with that mean as
    far as this bound goes."""
    mean = bound_mean(number, missed)
    below = math.fsum(math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(number))
    assert 0 < mean < number and 1 - below <= missed


@given(st.integers(0, 50), st.integers(0, 500), st.integers(0, 20))
def test_room_shrinks_as_a_budget_is_spent_and_there_is_none_at_its_end(
    left: int, requests: int, choice: int
) -> None:
    seen = (requests, 0)
    assert find_room((left, None), seen, 0.01, choice) <= find_room((left + 1, None), seen, 0.01, choice)
    assert find_room((None, left), seen, 0.01, choice + 1) <= find_room((None, left), seen, 0.01, choice)
    assert find_room((0, left), seen, 0.01, choice) == find_room((left, 0), seen, 0.01, choice) == 0


@pytest.mark.parametrize("chance", RAMPED)
def test_chosen_stages_seldom_spend_a_budget(chance: float) -> None:
    """200 rollouts at 1 %: more than 8 would be too many in all but 3 of 10,000 tries."""
    assert run_ramps(chance, 200, seed=3).spent <= 8
