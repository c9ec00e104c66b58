"""What is let go when memory is short: never what must stay, never more than is needed, and better than by age."""

import math
from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.features.multi_model.worker.eviction import HALF_LIFE, CacheRank, Ranking, RequestRate, capacity

NAMES = [f"m{number}" for number in range(12)]
standings = st.builds(
    lambda touches, size, load, loaded, pinned: (touches, size, load, loaded, pinned),
    st.lists(st.floats(0, 5000), min_size=1, max_size=4).map(sorted),
    st.integers(1, 1000),
    st.floats(0.001, 10),
    st.floats(0, 5000),
    st.booleans(),
)


def heat_of(touches: list[float]) -> RequestRate:
    heat = RequestRate()
    for at in touches:
        heat.touch(at)
    return heat


def ranking_of(
    models: dict[str, tuple[list[float], int, float, float, bool]],
) -> tuple[Ranking, dict[str, CacheRank]]:
    ranking, known = Ranking(), {}
    for name, (touches, size, load, loaded, pinned) in models.items():
        known[name] = CacheRank(heat_of(touches), size, load, loaded, pinned)
        ranking.put(name, known[name])
    return ranking, known


def value(standing: CacheRank, now: float) -> float:
    """The rule as it is written down, without logarithms."""
    return standing.heat.now(now) * standing.load_time / standing.size


models_of_all_kinds = st.dictionaries(st.sampled_from(NAMES), standings, max_size=len(NAMES))


@given(models_of_all_kinds, st.integers(1, 4000), st.floats(0, 100), st.sets(st.sampled_from(NAMES)))
def test_room_is_made_by_the_least_worth_and_by_no_more(
    models: dict[str, tuple[list[float], int, float, float, bool]], need: int, stay: float, spared: set[str]
) -> None:
    now = 5000.0
    ranking, known = ranking_of(models)
    room = ranking.room(need, now, stay, spared.__contains__)
    until = {name: standing.loaded_at + min(stay, 100 * standing.load_time) for name, standing in known.items()}
    may_go = {
        name
        for name, standing in known.items()
        if not standing.pinned and name not in spared and now >= until[name]
    }
    freed = sum(known[name].size for name in room.victims)
    assert set(room.victims) <= may_go
    assert len(set(room.victims)) == len(room.victims)
    assert room.enough == (sum(known[name].size for name in may_go) >= need)
    if room.enough:
        assert freed >= need
        assert all(freed - known[name].size < need for name in room.victims)
    else:
        assert set(room.victims) == may_go
        young = [until[n] for n, s in known.items() if n not in may_go | spared and not s.pinned]
        assert room.wait_until == min(young, default=None)
    stays = [name for name in may_go if name not in room.victims]
    for victim in room.victims:  # whoever stays though worth less is too small to take the victim's place
        for name in stays:
            if value(known[name], now) < value(known[victim], now) * (1 - 1e-9):
                assert freed - known[victim].size < need
    again = ranking.room(need, now, stay, spared.__contains__)
    assert again == room


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.floats(0, 60)), max_size=60), st.data())
def test_the_coldest_is_found_however_heats_have_grown_since(
    touches: list[tuple[str, float]], data: st.DataObject
) -> None:
    ranking, known, now = Ranking(), {}, 0.0
    for name, pause in touches:
        now += pause
        if name not in known:
            known[name] = CacheRank(RequestRate(), data.draw(st.integers(1, 50)), 0.01, now)
            known[name].heat.touch(now)
            ranking.put(name, known[name])
        else:
            known[name].heat.touch(now)  # the ranking is not told
        if data.draw(st.booleans()):
            gone = data.draw(st.sampled_from(sorted(known)))
            ranking.remove(gone)
            del known[gone]
        if known:
            [victim] = ranking.room(1, now, 0, lambda _: False).victims
            least = min(value(standing, now) for standing in known.values())
            assert value(known[victim], now) == pytest.approx(least)
    assert len(ranking) == len(known)


@given(st.lists(st.floats(0, 20_000), min_size=1, max_size=20).map(sorted), st.floats(0, 10_000))
def test_heat_is_the_sum_of_decayed_requests(touches: list[float], later: float) -> None:
    now = touches[-1] + later
    expected = sum(2 ** ((at - now) / HALF_LIFE) for at in touches)
    assert heat_of(touches).now(now) == pytest.approx(expected)
    assert heat_of(touches).logarithm(HALF_LIFE) - now / HALF_LIFE == pytest.approx(math.log2(expected), abs=1e-6)


@given(st.integers(1, 10**12), st.integers(0, 10**12), st.integers(0, 10**12))
def test_capacity_never_falls_below_four_fifths(budget: int, held: int, grown: int) -> None:
    found = capacity(budget, held, grown)
    assert budget * 0.8 - 1 <= found <= budget
    models = grown - 16 * 2**20
    if 0 < held < models <= held * 1.25:  # what is admitted fits, with its fragments
        assert found * (models / held) <= budget * (1 + 1e-9)


# --- against letting go what was not asked for the longest time ---


class ByAge:
    """LRU, the rule of the platforms that tell theirs."""

    def __init__(self, budget: int) -> None:
        self.room = budget
        self.kept: OrderedDict[int, int] = OrderedDict()

    def ask(self, model: int, size: int, now: float) -> bool:
        if model in self.kept:
            self.kept.move_to_end(model)
            return True
        while self.room < size:
            self.room += self.kept.popitem(last=False)[1]
        self.kept[model] = size
        self.room -= size
        return False


class ByWorth:
    def __init__(self, budget: int, load_times: list[float]) -> None:
        self.room = budget
        self.ranking = Ranking()
        self.heats: dict[int, RequestRate] = {}
        self.sizes: dict[str, int] = {}
        self.load_times = load_times

    def ask(self, model: int, size: int, now: float) -> bool:
        heat = self.heats.setdefault(model, RequestRate())
        heat.touch(now)
        name = str(model)
        if name in self.ranking:
            return True
        if self.room < size:
            for victim in self.ranking.room(size - self.room, now, 0, lambda _: False).victims:
                self.room += self.sizes[victim]
                self.ranking.remove(victim)
        self.ranking.put(name, CacheRank(heat, size, self.load_times[model], now))
        self.sizes[name] = size
        self.room -= size
        return False


@pytest.mark.parametrize("exponent", [0.8, 1.0, 1.2])
@pytest.mark.parametrize("alike", [True, False])
def test_evicting_by_heat_costs_less_than_by_age(exponent: float, alike: bool) -> None:
    """Expected cost: seconds of loading, over Zipf traffic to 1,000 models with room for half of their bytes."""
    random = np.random.default_rng(11)
    number = 1000
    sizes = [30] * number if alike else random.integers(5, 300, number).tolist()
    load_times = [0.01] * number if alike else (random.random(number) * 0.2 + 0.001).tolist()
    shares = 1 / np.arange(1, number + 1) ** exponent
    asked = random.choice(random.permutation(number), 40_000, p=shares / shares.sum()).tolist()
    budget = sum(sizes) // 2
    costs = []
    for cache in (ByAge(budget), ByWorth(budget, load_times)):
        cost = 0.0
        for step, model in enumerate(asked):
            hit = cache.ask(model, sizes[model], step * 0.01)
            if step > len(asked) // 2 and not hit:
                cost += load_times[model]
        costs.append(cost)
    by_age, by_worth = costs
    assert by_worth < by_age * 0.95
