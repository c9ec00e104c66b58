"""Pairs that clients choose: names that look like others, outliers, columns that come and go, and faults that begin
late."""

import math
import random
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tidegate.domain.evidence import Comparison, EvidenceBlock, EvidenceConfig, Finding, Verdict
from tidegate.domain.pairs import FeatureRow, Pair, Value
from tidegate.features.evidence.comparisons import SideCounts
from tidegate.features.evidence.judge import begin, fold, judge, recompute
from tidegate.features.evidence.ledger import EvidenceLedger, PairCounters, Side
from tidegate.features.evidence.pair_judge import PairState
from tidegate.features.evidence.pairs import PairCounter, estimate, sums_of
from tidegate.statistics.means import HitTest, MeanTest

PAIRED = EvidenceConfig(compare=(Comparison.PAIRED,))
FEATURES = EvidenceConfig(compare=(Comparison.FEATURES,))


def verdict(config: EvidenceConfig, seconds: list[list[Pair]]) -> Verdict:
    """By blocks of a second; what is kept gives the same verdict."""
    counters, state = PairCounters.begin(config), begin(config, ("main",))
    blocks = [EvidenceBlock(at, 1, 0, {}, counters.count("main", one)) for at, one in enumerate(seconds, 1)]
    for block in blocks:
        state = fold(state, block)
    assert recompute(config, ("main",), blocks, 0) == judge(state)
    return judge(state)


def batches(pairs: list[Pair], size: int = 20) -> list[list[Pair]]:
    return [pairs[begin : begin + size] for begin in range(0, len(pairs), size)]


def scores(seed: int, count: int) -> Iterator[tuple[random.Random, float]]:
    drawn = random.Random(seed)
    for _ in range(count):
        yield drawn, 1 / (1 + math.exp(-drawn.gauss(-2, 1)))


@pytest.mark.parametrize("ending", ["down", "up", "shut down", "=", "failing slice door=shut down"])
def test_no_value_of_a_slice_is_taken_for_another_test(ending: str) -> None:
    config = replace(PAIRED, slices=("door",))
    pairs = [
        Pair(score, score, drawn.getrandbits(60), (("door", drawn.choice(["shut", f"shut {ending}", ending])),))
        for drawn, score in scores(1, 600)
    ]
    found = verdict(config, batches(pairs))
    assert found.finding is not Finding.FAIL, found.reason
    name = f"failing slice door=shut {ending}"
    assert estimate(name, sums_of(name, {name: (10, 5.5, 3.25)})) == pytest.approx(0.1)


def test_two_columns_never_share_a_slice() -> None:
    config = replace(PAIRED, slices=("a", "a=b"))
    counter = PairCounter(config.slices)
    pairs = [Pair(0.1, 0.1, 1, (("a=b", "c"),)), Pair(0.1, 0.1, 2, (("a", "b=c"),))]
    assert sum(name.startswith("failing slice") for name in counter.count(pairs)) == 2


@pytest.mark.parametrize("outliers", [[1000.0], [1e9, -1e9], [1e200], [1e308, -1e308]])
@pytest.mark.parametrize("period", [100_000, 45])
def test_outliers_do_not_hide_a_difference(outliers: list[float], period: int) -> None:
    """Among the first pairs, and among all."""
    drawn, pairs = random.Random(2), list[Pair]()
    for number in range(1_500):
        old = drawn.gauss(5, 2)
        pair = Pair(old, old + 10, drawn.getrandbits(60))
        if number % period < len(outliers):
            pair = replace(pair, old=outliers[number % period], new=outliers[number % period])
        pairs.append(pair)
    assert verdict(PAIRED, batches(pairs)).finding is Finding.FAIL


def test_an_outlier_of_one_version_fails_nothing() -> None:
    drawn = random.Random(3)
    pairs = [
        Pair(old := drawn.gauss(5, 2), old + drawn.gauss(0, 0.2), drawn.getrandbits(60)) for _ in range(1_500)
    ]
    pairs[30] = replace(pairs[30], new=1e308)
    pairs[700] = replace(pairs[700], old=-1e308, new=1e308)
    assert verdict(PAIRED, batches(pairs)).finding is Finding.PASS


def test_predictions_that_are_mostly_one_value_have_a_unit() -> None:
    drawn = random.Random(4)
    olds = [drawn.expovariate(0.01) if drawn.random() < 0.03 else 0.0 for _ in range(3_000)]
    same = [Pair(old, old, drawn.getrandbits(60)) for old in olds]
    assert verdict(PAIRED, batches(same)).finding is Finding.PASS
    worse = [replace(one, new=(one.old or 0.0) + 100) for one in same]
    assert verdict(PAIRED, batches(worse)).finding is Finding.FAIL


def test_a_unit_that_began_too_large_is_mended() -> None:
    """The first fifty pairs are one in two outliers, no later one is."""
    drawn, pairs = random.Random(5), list[Pair]()
    for number in range(6_000):
        old = drawn.gauss(5, 2) * (1e6 if number < 60 and number % 2 else 1)
        pairs.append(Pair(old, old + 10 * (number > 60), drawn.getrandbits(60)))
    assert verdict(PAIRED, batches(pairs)).finding is Finding.FAIL


def rows(
    count: int, wrong: dict[int, float], columns: int = 3, since: int = 0, present: float = 1.0, first: int = -1
) -> list[Pair]:
    """Requests with named columns. ``wrong``: part of the requests in which a column differs, from ``since`` on; the
    last column is in a ``present`` part of them. ``first``: a request with a harmless hit of column 0."""
    drawn, found = random.Random(6), list[Pair]()
    for number in range(count):
        old: dict[str, Value] = {f"c{one}": drawn.gauss(0, 1) for one in range(columns)}
        new = dict(old)
        for column, part in wrong.items():
            if number >= since and drawn.random() < part:
                new[f"c{column}"] = 7.0
        if number == first:
            new["c0"] = 7.0
        if drawn.random() >= present:
            old.pop(f"c{columns - 1}"), new.pop(f"c{columns - 1}")
        row = FeatureRow("prepare", tuple(old), tuple(old.values()), tuple(new), tuple(new.values()))
        found.append(Pair(0.5, 0.5, drawn.getrandbits(60), traced=True, features=(row,)))
    return found


@pytest.mark.parametrize("size", [4, 24, 200])
def test_a_column_that_was_clean_at_first_is_tested(size: int) -> None:
    """Blocks of more requests than a column is learned from: several workers, or a later stage."""
    found = verdict(FEATURES, batches(rows(1_200, {1: 1.0}, since=200, first=size + 30), size))
    assert found.finding is Finding.FAIL
    assert "prepare[c1]" in found.reason


def test_a_hit_in_one_column_leaves_the_others_their_tests() -> None:
    state, counters = begin(FEATURES, ("main",)), PairCounters.begin(FEATURES)
    for at, block in enumerate(batches(rows(400, {}, first=40), 24), 1):
        state = fold(state, EvidenceBlock(at, 1, 0, {}, counters.count("main", block)))
    (one,) = state.comparisons
    assert set(one.tests) == {"prepare[c0]", "prepare[c1]", "prepare[c2]"}


@pytest.mark.parametrize("present", [0.05, 0.3, 0.97])
def test_a_column_that_is_not_in_every_request_is_tested_on_those_that_have_it(present: float) -> None:
    honest = verdict(FEATURES, batches(rows(2_000, {}, present=present), 24))
    assert honest.finding is not Finding.FAIL
    found = verdict(FEATURES, batches(rows(2_000, {2: 1.0}, since=1_000, present=present), 24))
    assert found.finding is Finding.FAIL
    assert "prepare[c2]" in found.reason


@pytest.mark.parametrize("present", [0.3, 1.0])
def test_what_is_kept_of_a_column_counts_the_requests_that_had_it(present: float) -> None:
    pairs = rows(960, {2: 0.02}, present=present)
    had = [pair.features[0] for pair in pairs if "c2" in pair.features[0].names]
    differ = [row.names.index("c2") for row in had[20:] if row.old != row.new]
    state, counters = begin(FEATURES, ("main",)), PairCounters.begin(FEATURES)
    for at, block in enumerate(batches(pairs, 24), 1):
        state = fold(state, EvidenceBlock(at, 1, 0, {}, counters.count("main", block)))
    (one,) = state.comparisons
    assert one.totals["prepare[c2]"][:2] == (len(had) - 20, len(differ))


def test_columns_without_number_take_no_memory_without_bound() -> None:
    counters, known = PairCounters.begin(FEATURES), set[str]()
    for number in range(200):
        names = tuple(f"c{number}-{one}" for one in range(20))
        row = FeatureRow("prepare", names, (1.0,) * 20, names, (1.0,) * 20)
        sums = counters.count("main", [Pair(0.5, 0.5, number + 1, traced=True, features=(row,))])
        known |= {name.partition("prepare[")[2] for name in sums if "prepare[" in name}
    assert 500 <= len(known) <= 1_100


def test_the_weights_of_columns_never_exceed_one() -> None:
    state, counters = begin(FEATURES, ("main",)), PairCounters.begin(FEATURES)
    for number in range(60):
        names = ("every", f"c{number}")
        row = FeatureRow("prepare", names, (1.0, 2.0), names, (1.0, 2.0))
        sums = counters.count("main", [Pair(0.5, 0.5, number + 1, traced=True, features=(row,))])
        state = fold(state, EvidenceBlock(number + 1, 1, 0, {}, sums))
    (one,) = state.comparisons
    assert isinstance(one, PairState)
    assert len(one.weights) == 61
    assert sum(one.weights.values()) <= 1


@pytest.mark.parametrize("good", [500, 2_000, 10_000])
def test_a_difference_is_found_soon_after_a_long_good_time(good: int) -> None:
    """In pairs after it began: sixty would do at the beginning."""
    drawn, test, taken = random.Random(8), MeanTest(0.2), 0
    for _ in range(good // 20):
        test = test.update(sums_of_values([abs(drawn.gauss(0, 0.01)) for _ in range(20)]))
    while test.log_evidence < math.log(200) and taken < 2_000:
        taken += 20
        test = test.update(sums_of_values([min(1.0, max(0.0, drawn.gauss(0.3, 0.05))) for _ in range(20)]))
    assert taken <= 500


@pytest.mark.parametrize("tolerance", [1e-300, 1e-160, 1e-20])
def test_a_tolerance_of_almost_nothing_is_tested(tolerance: float) -> None:
    test = MeanTest(tolerance)
    for _ in range(20):
        test = test.update(sums_of_values([0.3] * 20))
    assert test.log_evidence > math.log(200)


@pytest.mark.parametrize("good", [500, 10_000])
def test_hits_are_found_soon_after_a_long_good_time(good: int) -> None:
    test, taken = HitTest(0.01), 0
    for _ in range(good // 4):
        test = test.update((4, 0.0, 0.0))
    while test.log_evidence < math.log(200) and taken < 1_000:
        taken += 4
        test = test.update((4, 2.0, 2.0))
    assert taken <= 40


def sums_of_values(values: list[float]) -> tuple[int, float, float]:
    return len(values), sum(values), sum(one * one for one in values)


def test_a_block_that_a_new_stage_cut_short_keeps_the_seconds_that_it_covers() -> None:
    """A ledger that takes over counts the seconds after it."""
    config = EvidenceConfig(compare=(Comparison.ERRORS, Comparison.PAIRED))
    ledger = EvidenceLedger(config, ("main",), 0)
    pairs = [Pair(score, score, drawn.getrandbits(60)) for drawn, score in scores(9, 20)]
    begins = 20_000
    ledger.add_pairs(begins, "main", pairs)
    ledger.advance(begins + 1)
    ledger.enter(1, begins + 10)
    ledger.add_pairs(begins + 10, "main", pairs)
    ledger.advance(begins + 11)
    ledger.advance(begins + 12)
    cut = ledger.blocks[str(begins)]
    assert (cut.at, cut.seconds) == (begins, 10)
    resumed = EvidenceLedger(config, ("main",), begins + 11)
    resumed.enter(1, begins + 10)
    resumed.resume([cut])
    assert resumed.through == begins + 11
    resumed.add(begins + 12, Side.OLD, "main", SideCounts(requests=5))
    assert resumed.late == 0


def test_many_wide_pairs_are_counted_in_a_bounded_number_of_values_at_once() -> None:
    """What arrives in one turn must not stop the others: rows beyond are as those that nobody asked for."""
    names = tuple(f"c{one}" for one in range(250))
    row = FeatureRow("prepare", names, (1.0,) * 250, names, (1.0,) * 250)
    ledger = EvidenceLedger(FEATURES, ("main",), 0)
    for second in range(30):
        pairs = [Pair(0.5, 0.5, second * 100 + one + 1, traced=True, features=(row,)) for one in range(100)]
        ledger.add_pairs(second, "main", pairs)
    ledger.advance(30)
    (result,) = ledger.verdict.results
    assert 50 <= result.lost[0] <= 100
    assert result.lost[1] == 0


def test_a_name_that_two_columns_have_counts_once_in_a_request() -> None:
    names, counters = ("twice", "twice"), PairCounters.begin(FEATURES)
    row = FeatureRow("prepare", names, (1.0, 2.0), names, (1.0, 3.0))
    pairs = [Pair(0.5, 0.5, number + 1, traced=True, features=(row,)) for number in range(30)]
    count, hits, _ = counters.count("main", pairs)["main/features/prepare[twice]"]
    assert count <= 10 and hits <= count
