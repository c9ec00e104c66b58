"""The benchmark's tests, for thousands of rollouts at a time, are those of the package."""

import numpy as np
import pytest

from bench.evidence_arrays import AssignmentTests, HarmRateTests, MeanTests, RateTests, ShareTests, log_mean
from tidegate.statistics.assignments import AssignmentTest
from tidegate.statistics.assurance import HarmRateTest
from tidegate.statistics.means import MeanTest
from tidegate.statistics.rates import RateTest
from tidegate.statistics.shares import ShareTest


@pytest.mark.parametrize("tolerance", [0.0, 0.0005, 0.1])
def test_many_rollouts_at_a_time_have_the_evidence_of_each(tolerance: float) -> None:
    chance = np.random.default_rng(3)
    rollouts = 20
    rates, shares = RateTests(rollouts, tolerance), ShareTests(rollouts, tolerance)
    one_by_one = [(RateTest(tolerance), ShareTest(tolerance)) for _ in range(rollouts)]
    for number in range(30):
        old_n, new_n = chance.poisson(40, rollouts), chance.poisson(2, rollouts)
        old_k, new_k = chance.binomial(old_n, 0.05), chance.binomial(new_n, 0.3)
        counts = [part.astype(float) for part in (old_n, old_k, new_n, new_k)]
        if number in (12, 20):
            rates.stakes.enter_stage()
            shares.stakes.enter_stage()
            one_by_one = [(rate.enter_stage(), share.enter_stage()) for rate, share in one_by_one]
        rates.update(*counts)
        shares.update(*counts)
        rows = [tuple(int(part[number]) for part in (old_n, old_k, new_n, new_k)) for number in range(rollouts)]
        one_by_one = [
            (rate.update((a, b, c, d)), share.update((a, b, c, d)))
            for (rate, share), (a, b, c, d) in zip(one_by_one, rows, strict=True)
        ]
    assert list(rates.log_evidence) == pytest.approx([rate.log_evidence for rate, _ in one_by_one], abs=1e-6)
    assert list(shares.log_evidence) == pytest.approx([share.log_evidence for _, share in one_by_one], abs=1e-9)
    assert max(rates.log_evidence) > 1, "there was something to find"


def test_predictions_of_many_rollouts_have_the_evidence_of_each() -> None:
    chance, rollouts = np.random.default_rng(4), 6
    tests, one_by_one = AssignmentTests(rollouts, 0.1), [AssignmentTest(0.1)] * rollouts
    for _ in range(6):
        old_n, new_n = chance.poisson(30, rollouts), chance.poisson(4, rollouts)
        old_k, new_k = chance.binomial(old_n, 0.5), chance.binomial(new_n, 0.9)
        alike = chance.integers(1, 12, rollouts)
        tests.update(*(part.astype(float) for part in (old_n, old_k, new_n, new_k, alike)))
        for number, one in enumerate(one_by_one):
            a, b, c, d, most = (int(part[number]) for part in (old_n, old_k, new_n, new_k, alike))
            one_by_one[number] = one.update((a, b, c, d), most)
    assert list(tests.log_evidence) == pytest.approx([one.log_evidence for one in one_by_one], abs=1e-9)
    assert max(tests.log_evidence) > 1, "there was something to find"


@pytest.mark.parametrize(("harm", "rate"), [(0.005, 0.0), (0.005, 0.02), (0.2, 0.3)])
def test_many_rollouts_at_a_time_rule_out_the_harm_that_each_rules_out(harm: float, rate: float) -> None:
    chance, rollouts = np.random.default_rng(4), 20
    many, means = HarmRateTests(rollouts, harm), MeanTests(rollouts, 0.4)
    apart, alone = [HarmRateTest(harm)] * rollouts, [MeanTest(0.4)] * rollouts
    for number in range(60):
        old_n, new_n = (
            chance.poisson(60, rollouts),
            chance.poisson(20, rollouts) if number else np.zeros(rollouts, int),
        )
        old_k, new_k = chance.binomial(old_n, rate), chance.binomial(new_n, rate)
        values = chance.normal(0.5, 0.1, (rollouts, 3))
        sums = [np.full(rollouts, 3.0), values.sum(axis=1), (values**2).sum(axis=1)]
        counts = [part.astype(float) for part in (old_n, old_k, new_n, new_k)]
        many.update(counts[0], counts[1], counts[2], counts[3], 2)
        means.update(*sums)
        for place in range(rollouts):
            apart[place] = apart[place].update(
                (int(old_n[place]), int(old_k[place]), int(new_n[place]), int(new_k[place])), 2
            )
            alone[place] = alone[place].update((3, float(sums[1][place]), float(sums[2][place])))
    assert list(many.log_evidence) == pytest.approx([one.log_evidence for one in apart], abs=1e-5)
    assert list(means.log_evidence) == pytest.approx([one.log_evidence for one in alone], abs=1e-9)
    assert max(many.log_evidence) > 1, "some of it was ruled out"


def test_the_mean_of_e_values_is_taken_of_the_values() -> None:
    found = log_mean([np.log(np.array([1.0, 2.0])), np.log(np.array([3.0, 0.0 + 2.0]))])
    assert list(np.exp(found)) == pytest.approx([2.0, 2.0])
