"""Comparisons of pairs: how often versions within the tolerance fail, and what becomes of named faults."""

import math
import random
from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.domain.evidence import (
    Comparison,
    EvidenceBlock,
    EvidenceConfig,
    Finding,
    PairedTolerance,
    Verdict,
)
from tidegate.domain.pairs import FeatureRow, Pair, Value
from tidegate.features.evidence import judge
from tidegate.features.evidence.features import FeatureCounter
from tidegate.features.evidence.learned_tolerance import learn_tolerance
from tidegate.features.evidence.pair_judge import pair_key
from tidegate.features.evidence.pairs import PairCounter
from tidegate.statistics.means import EFFECTS, HitTest, MeanTest

VARIANT = "main"


def score(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


def verdict(config: EvidenceConfig, blocks: Iterable[list[Pair]]) -> tuple[Verdict, int]:
    """The verdict, and after how many pairs it failed."""
    pairs, features = PairCounter(config.slices), FeatureCounter(config.features)
    state, count = judge.begin(config, (VARIANT,)), 0
    for at, block in enumerate(blocks, 1):
        count += len(block)
        counted = {pair_key(VARIANT, Comparison.PAIRED, name): one for name, one in pairs.count(block).items()}
        counted |= {
            pair_key(VARIANT, Comparison.FEATURES, name): one for name, one in features.count(block).items()
        }
        state = judge.fold(state, EvidenceBlock(at, 1, 0, {}, counted))
        if (found := judge.judge(state)).finding is Finding.FAIL:
            return found, count
    return judge.judge(state), count


@given(st.integers(1, 40), st.floats(0.02, 0.9), st.randoms(use_true_random=False))
def test_the_expected_growth_of_a_mean_test_at_its_tolerance_is_at_most_one(
    count: int, tolerance: float, random: random.Random
) -> None:
    """For values of two points with that mean, after any past, in a block of any size."""
    low, high = random.uniform(0, tolerance), random.uniform(tolerance, 1)
    chance = (tolerance - low) / (high - low) if high > low else 0.0
    past = MeanTest(tolerance).update((count, count * random.random() * 0.9, 0.0))
    for number in (1, 2):
        expected = [0.0] * len(past.stakes.first)
        for tops in range(number + 1):
            likely = math.comb(number, tops) * chance**tops * (1 - chance) ** (number - tops)
            values = [high] * tops + [low] * (number - tops)
            after = past.update((number, sum(values), sum(value * value for value in values)))
            for bet, (one, before) in enumerate(zip(after.stakes.first, past.stakes.first, strict=True)):
                expected[bet] += likely * math.exp(one - before)
        assert max(expected) <= 1 + 1e-9


@given(st.floats(0.001, 0.9), st.floats(0, 1))
def test_the_expected_growth_of_a_hit_test_within_its_tolerance_is_at_most_one(
    tolerance: float, part: float
) -> None:
    rate = tolerance * part
    hit, miss = HitTest(tolerance).update((1, 1, 1)), HitTest(tolerance).update((1, 0, 0))
    for bet in range(len(EFFECTS)):
        assert rate * math.exp(hit.stakes.first[bet]) + (1 - rate) * math.exp(miss.stakes.first[bet]) <= 1 + 1e-9


@given(st.lists(st.tuples(st.integers(1, 8), st.floats(0, 1)), max_size=12), st.floats(0.02, 0.9))
def test_the_evidence_of_a_test_that_begins_anew_is_not_expected_to_grow(
    past: list[tuple[int, float]], tolerance: float
) -> None:
    """For values of 0 and 1 with the tolerance as their mean, after any blocks."""
    tests: list[MeanTest | HitTest] = [MeanTest(tolerance), HitTest(tolerance)]
    for test in tests:
        for count, part in past:
            hits = float(round(count * part))
            test = test.update((count, hits, hits))
        hit, miss = test.update((1, 1.0, 1.0)), test.update((1, 0.0, 0.0))
        expected = tolerance * math.exp(hit.log_evidence) + (1 - tolerance) * math.exp(miss.log_evidence)
        assert expected <= math.exp(test.log_evidence) * (1 + 1e-9)


def honest(seed: int, count: int, spread: float, slices: bool = False) -> list[list[Pair]]:
    """Two versions whose scores differ by chance."""
    drawn, blocks = random.Random(seed), list[list[Pair]]()
    for _ in range(count // 10):
        block = list[Pair]()
        for _ in range(10):
            logit = drawn.gauss(-3, 1.2)
            country = (("country", drawn.choice("ABCDE")),) if slices else ()
            block.append(Pair(score(logit), score(logit + drawn.gauss(0, spread)), drawn.getrandbits(60), country))
        blocks.append(block)
    return blocks


@pytest.mark.parametrize(
    ("spread", "tolerance"),
    [(0.744, PairedTolerance(moved=0.2, top=0.6)), (0.694, PairedTolerance(top=0.6))],
    ids=["mean absolute difference", "share moved"],
)
def test_versions_at_the_edge_of_a_tolerance_fail_as_seldom_as_chosen(
    spread: float, tolerance: PairedTolerance
) -> None:
    """Two in a hundred may. The difference is what is tolerated, to within a hundredth, and the others are below."""
    config = EvidenceConfig(
        compare=(Comparison.PAIRED,), false_rollback_rate=0.02, slices=("country",), paired=tolerance
    )
    runs = (verdict(config, honest(seed, 600, spread, slices=True))[0].finding for seed in range(80))
    assert sum(finding is Finding.FAIL for finding in runs) <= 6  # P(more | 2 %) < 0.001


def test_a_tolerance_learned_from_good_versions_lets_another_one_pass_and_finds_a_shuffled_one() -> None:
    good = [[one for block in honest(seed, 2_000, 0.1 + 0.01 * seed) for one in block] for seed in range(5)]
    learned = learn_tolerance(good)
    config = EvidenceConfig(compare=(Comparison.PAIRED,), paired=learned)
    passed, _ = verdict(config, honest(77, 3_000, 0.12))
    assert passed.finding is not Finding.FAIL
    drawn = random.Random(5)
    shuffled = [[Pair(one.old, score(drawn.gauss(-3, 1.2))) for one in block] for block in honest(78, 3_000, 0)]
    failed, count = verdict(config, shuffled)
    assert failed.finding is Finding.FAIL and count <= 200


@pytest.mark.parametrize(
    ("fault", "test", "within"),
    [
        (lambda logit, _: -3.0, ("order", "distance", "top", "moved"), 300),
        (lambda logit, _: 3 - logit, ("order", "bias up", "distance", "moved"), 150),
        (lambda logit, country: logit + (2.5 if country == "E" else 0.0), ("slice country=E up",), 1_000),
        (lambda logit, _: logit + 1, ("bias up", "moved", "distance"), 400),
    ],
    ids=["constant score", "flipped label", "another client's model for one country", "bias"],
)
def test_a_fault_of_predictions_is_found_and_named(
    fault: Callable[[float, str], float], test: tuple[str, ...], within: int
) -> None:
    config = EvidenceConfig(compare=(Comparison.ERRORS, Comparison.PAIRED), slices=("country",))

    def broken(one: Pair) -> Pair:
        assert one.old is not None
        logit, country = math.log(one.old / (1 - one.old)), one.slices[0][1]
        return replace(one, new=score(fault(logit, country)))

    blocks = [[broken(one) for one in block] for block in honest(3, 3_000, 0, slices=True)]
    found, count = verdict(config, blocks)
    assert found.finding is Finding.FAIL and count <= within
    result = next(one for one in found.results if one.finding is Finding.FAIL)
    assert result.test in test
    assert result.test in found.reason


def test_a_slice_that_fails_on_the_new_version_only_is_found_and_named() -> None:
    """A thirtieth of the requests, of which all fail: in the whole that is not far above the tolerance."""
    config = EvidenceConfig(compare=(Comparison.ERRORS, Comparison.PAIRED), slices=("country",))
    config = replace(config, paired=replace(config.paired, failed=0.03))
    drawn, blocks = random.Random(4), list[list[Pair]]()
    for block in honest(4, 1_500, 0.1):
        countries = [drawn.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ1234") for _ in block]
        blocks.append(
            [
                replace(one, slices=(("country", each),), failed=each == "Q", new=None if each == "Q" else one.new)
                for one, each in zip(block, countries, strict=True)
            ]
        )
    found, count = verdict(config, blocks)
    assert found.finding is Finding.FAIL and count <= 1_000
    assert "requests with country=Q failed on the new version only, 0 on the old one only" in found.reason


def rows(seed: int, count: int, change: Callable[[list[Value]], list[Value]]) -> list[list[Pair]]:
    """Requests whose five columns the new version changes: amount, hour, rare flag (scaled), country, and one with
    missing values."""
    drawn, blocks = random.Random(seed), list[list[Pair]]()
    names = tuple(str(number) for number in range(5))
    for _ in range(count // 5):
        block = list[Pair]()
        for _ in range(5):
            row: list[Value] = [
                drawn.lognormvariate(4, 1),
                float(drawn.randrange(24)),
                (float(drawn.random() < 0.03) - 0.03) / 0.17,
            ]
            row += [drawn.choice(["IN", "US", "DE"]), None if drawn.random() < 0.1 else drawn.gauss(50, 10)]
            made = FeatureRow("prepare", names, tuple(row), names, tuple(change(list(row))))
            block.append(Pair(0.5, 0.5, drawn.getrandbits(60), features=(made,)))
        blocks.append(block)
    return blocks


def replaced(row: list[Value], number: int, value: Value) -> list[Value]:
    row[number] = value
    return row


def number_at(row: list[Value], number: int) -> float:
    value = row[number]
    assert isinstance(value, float)
    return value


SAME: Callable[[list[Value]], list[Value]] = lambda row: row  # noqa: E731
FEATURES = EvidenceConfig(compare=(Comparison.FEATURES,))


@pytest.mark.parametrize(
    "change",
    [
        SAME,
        lambda row: replaced(row, 0, number_at(row, 0) * 1.1 + 2),
        lambda row: replaced(row, 2, 0.02 + number_at(row, 2) * 0.97),
    ],
    ids=["equal", "a scaler fitted again", "a scaler of a rare flag"],
)
def test_an_honest_version_has_the_same_features(change: Callable[[list[Value]], list[Value]]) -> None:
    for seed in range(20):
        assert verdict(FEATURES, rows(seed, 400, change))[0].finding is Finding.UNDECIDED


@pytest.mark.parametrize(
    ("change", "column", "within"),
    [
        (lambda row: [row[1], row[0], *row[2:]], "prepare[0]", 30),
        (lambda row: replaced(row, 0, number_at(row, 0) * 100), "prepare[0]", 30),
        (lambda row: replaced(row, 1, 0.0), "prepare[1]", 30),
        (lambda row: replaced(row, 1, (number_at(row, 1) + 6) % 24), "prepare[1]", 40),
        (lambda row: replaced(row, 3, {"IN": "US", "US": "DE", "DE": "IN"}[str(row[3])]), "prepare[3]", 30),
        (lambda row: replaced(row, 4, 0.0 if row[4] is None else row[4]), "prepare[4]", 250),
        (lambda row: replaced(row, 0, number_at(row, 0) * 1.5), "prepare[0]", 30),
        (lambda row: replaced(row, 0, math.nan), "prepare[0]", 30),
        (lambda row: replaced(row, 0, math.inf), "prepare[0]", 30),
    ],
    ids=[
        *("columns swapped", "cents for dollars", "stale", "time zone", "wrong category", "default for missing"),
        *("old scaler", "not a number", "overflow"),
    ],
)
def test_a_fault_of_features_is_found_in_tens_of_requests_and_its_column_named(
    change: Callable[[list[Value]], list[Value]], column: str, within: int
) -> None:
    found, count = verdict(FEATURES, rows(1, 1_000, change))
    assert found.finding is Finding.FAIL and count <= within
    assert column in found.reason


def test_a_column_that_differs_in_fewer_requests_than_tolerated_fails_seldom() -> None:
    drawn = random.Random(9)
    config = EvidenceConfig(compare=(Comparison.FEATURES,), false_rollback_rate=0.02)

    def change(row: list[Value]) -> list[Value]:
        return replaced(row, 0, -1.0) if drawn.random() < 0.01 else row

    assert sum(verdict(config, rows(seed, 600, change))[0].finding is Finding.FAIL for seed in range(60)) <= 5
