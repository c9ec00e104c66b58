"""The search over a machine whose every configuration is known, and what instance types make of a load."""

from math import exp, inf, sin
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.features.recommender.configurations import CandidateConfiguration, LoadProbe, Objective, candidates
from tidegate.features.recommender.estimates import fits, offers
from tidegate.features.recommender.search import SearchEffort, highest, search
from tidegate.prices import Catalogue

CATALOGUE = Catalogue.load()
OBJECTIVE = Objective(99, 0.05)
ONE = CandidateConfiguration(1, 1, 64)
SPACE = candidates(2)


class Machine:
    """A request of each configuration takes so much CPU; a busy worker is late."""

    def __init__(self, costs: dict[CandidateConfiguration, float]) -> None:
        self.costs, self.loads = costs, 0

    def __call__(self, candidate: CandidateConfiguration, rate: float, seconds: float) -> LoadProbe:
        self.loads += 1
        cost = self.costs[candidate]
        busy = rate * cost / min(2, candidate.instances)
        late = 10.0 if busy >= 0.9 else 0.01 / (1 - busy)
        return LoadProbe(rate, min(rate, rate / busy), late, 0, cost, 2.0, 100 * 2**20)


@pytest.mark.parametrize("cores", [1, 2, 4, 16])
def test_the_space_has_one_instance_and_one_for_each_core(cores: int) -> None:
    space = candidates(cores)
    assert len(set(space)) == len(space)
    assert {1, cores} <= {one.instances for one in space}


@given(cost=st.floats(1e-4, 1e-2), start=st.floats(10, 2000))
def test_the_highest_rate_that_holds_is_found(cost: float, start: float) -> None:
    truth = 0.8 / cost  # 0.01 / (1 - busy) is 0.05 at 0.8
    found = highest(ONE, Machine({ONE: cost}), OBJECTIVE, start, SearchEffort(1.0))
    held = max((p.rate for p in found if OBJECTIVE.holds(p)), default=0.0)
    assert held <= truth * 1.0001
    if start / 2**5 < truth < start * 2**8:
        assert held >= truth / SearchEffort(1.0).narrow ** 2


@given(st.lists(st.floats(1e-4, 1e-2), min_size=len(SPACE), max_size=len(SPACE)))
def test_the_search_comes_near_to_trying_all(costs: list[float]) -> None:
    machine = Machine(dict(zip(SPACE, costs, strict=True)))
    found = search(SPACE, machine, OBJECTIVE, 20.0)
    assert found[0].score(OBJECTIVE) == max(trial.score(OBJECTIVE) for trial in found[:2])
    held = [trial for trial in found if trial.score(OBJECTIVE)]
    assert len(found) == len(SPACE)
    assert not held or held[0] is found[0]


class Noisy(Machine):
    """Every load meets a machine that is some percent faster or slower, and that drifts by a tenth within minutes."""

    def __init__(self, costs: dict[CandidateConfiguration, float], seed: int) -> None:
        super().__init__(costs)
        self.random, self.seconds = Random(seed), 0.0

    def __call__(self, candidate: CandidateConfiguration, rate: float, seconds: float) -> LoadProbe:
        self.seconds += seconds * 1.4
        speed = 1 + 0.05 * sin(self.seconds / 40) + self.random.gauss(0, 0.03 / seconds**0.5)
        exact, self.costs = self.costs, {candidate: self.costs[candidate] / max(0.5, speed)}
        try:
            return super().__call__(candidate, rate, seconds)
        finally:
            self.costs = exact


def test_noise_seldom_costs_more_than_a_twentieth() -> None:
    """And a search takes no more than its five minutes, ten seconds of starting each configuration anew aside."""
    missed, random = 0, Random(7)
    for seed in range(100):
        costs = {each: 2e-4 * exp(random.gauss(0, 0.35)) for each in SPACE}
        machine = Noisy(costs, seed)
        chosen = search(SPACE, machine, OBJECTIVE, 300.0)[0].candidate

        def dearness(each: CandidateConfiguration, costs: dict[CandidateConfiguration, float] = costs) -> float:
            return costs[each] / min(2, each.instances)

        missed += dearness(chosen) > 1.05 * min(map(dearness, SPACE))
        assert machine.seconds < 270
    assert missed <= 1


def test_when_time_is_over_it_says_what_it_has() -> None:
    machine = Machine(dict.fromkeys(SPACE, 1e-4))
    found = search(SPACE, machine, OBJECTIVE, 7000.0, late=lambda: machine.loads >= 1)
    assert (len(found), machine.loads) == (1, 2), "a look is not left half way"
    assert found[0].score(OBJECTIVE) > 0


@pytest.mark.parametrize(
    ("answered", "latency", "failed", "holds"),
    [
        (100, 0.05, 0, True),
        (100, 0.051, 0, False),
        (94, 0.01, 0, False),
        (100, 0.01, 1, False),
        (100, inf, 0, False),
    ],
)
def test_an_objective_holds_when_all_are_answered_in_time(
    answered: float, latency: float, failed: int, holds: bool
) -> None:
    assert OBJECTIVE.holds(LoadProbe(100, answered, latency, failed, 1e-4, 2, 1)) is holds


def probe(cpu: float, memory: int = 200 * 2**20) -> LoadProbe:
    """At half of what two cores can do."""
    return LoadProbe(1 / cpu, 1 / cpu, 0.01, 0, cpu, 2.0, memory)


def priced(cpu: float, rate: float) -> dict[str, float]:
    return {o.instance_type: o.per_thousand for o in offers(ONE, probe(cpu), 2, rate, CATALOGUE, "us-east-1")}


@given(cpu=st.floats(1e-5, 1e-3), more=st.floats(1.0, 10.0), rate=st.floats(1, 1e5))
def test_more_cpu_for_a_request_is_never_cheaper(cpu: float, more: float, rate: float) -> None:
    cheap, dear = priced(cpu, rate), priced(cpu * more, rate)
    assert cheap.keys() == dear.keys()
    assert all(dear[name] >= price * 0.999 for name, price in cheap.items())


@given(cpu=st.floats(1e-5, 1e-3), rate=st.floats(1, 1e5))
def test_offers_carry_the_rate_and_the_cheapest_month_is_first(cpu: float, rate: float) -> None:
    found = offers(ONE, probe(cpu), 2, rate, CATALOGUE, "us-east-1")
    assert [o.month for o in found] == sorted(o.month for o in found)
    for offer in found:
        assert offer.instances * offer.rate >= rate
        assert offer.per_thousand == pytest.approx(offer.hourly / 3.6 / offer.rate)


def test_types_that_a_model_does_not_fit_are_left_out() -> None:
    large = probe(1e-4, memory=6 * 2**30)
    names = {
        o.instance_type for o in offers(CandidateConfiguration(2, 1, 64), large, 2, 10, CATALOGUE, "us-east-1")
    }
    assert "ml.c5.large" not in names
    assert not fits(CATALOGUE.instance("ml.c5.large"), CandidateConfiguration(2, 1, 64), large, 2)
    assert fits(CATALOGUE.instance("ml.m5.4xlarge"), CandidateConfiguration(1, 1, 64), large, 2)
