"""Worse, not worse, and not known yet: what each finding rests on, and what equal versions that fail now and then
get."""

import math
import random
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from bench.evidence_arrays import NetTests
from bench.evidence_failures import (
    BLIPS,
    INDEPENDENT,
    OUTAGES,
    REQUESTS,
    FailingRollouts,
    Versions,
)
from bench.evidence_holds import are_above
from tidegate.domain.evidence import (
    Comparison,
    ComparisonResult,
    EvidenceBlock,
    EvidenceConfig,
    EvidenceRecord,
    Finding,
    Measurement,
    Verdict,
)
from tidegate.domain.pairs import Pair
from tidegate.features.evidence.bounds import difference_bounds, mean_bounds
from tidegate.features.evidence.comparisons import SideCounts
from tidegate.features.evidence.judge import begin, fold, judge
from tidegate.features.evidence.ledger import EvidenceLedger, PairCounters, Side
from tidegate.features.evidence.measures import StageData, is_above
from tidegate.statistics.distribution import Distribution
from tidegate.statistics.means import NetTest, split_net

PAIRED = EvidenceConfig(compare=(Comparison.PAIRED,))
FEW_ROLLOUTS = 60
"""Of equal versions, of which no more than 2 may be rolled back: more have a chance of 2 % if 1 in 100 is."""


def block(second: int, counters: PairCounters, pairs: list[Pair]) -> EvidenceBlock:
    sums = counters.count("main", pairs)
    return EvidenceBlock(second, 1, 0, {}, sums, counters.take_units("main"))


def paired(
    seed: int, *, seconds: int = 300, config: EvidenceConfig = PAIRED, both: float = 0.0, failing: float = 0.0,
    unusable: float = 0.0, only: str = "", spread: float = 0.2, bias: float = 0.0, per_second: int = 20,
) -> Verdict:  # fmt: skip
    """The verdict on copies. ``both``: part of the requests that each version fails by itself; ``failing`` and
    ``unusable``: further part of the new version's, of one country or of all."""
    chance, counters, state = random.Random(seed), PairCounters.begin(config), begin(config, ("main",))
    for second in range(seconds):
        pairs = list[Pair]()
        for _ in range(per_second):
            country, old = chance.choice("ABCDEFGHIJ"), chance.gauss(0, 1)
            hit = not only or country == only
            pair = Pair(old, old + chance.gauss(bias, spread), slices=(("country", country),))
            if hit and chance.random() < unusable:
                pair = replace(pair, new=math.nan)
            if chance.random() < both:
                pair = replace(pair, old=None, old_failed=True)
            if chance.random() < both or (hit and chance.random() < failing):
                pair = replace(pair, new=None, failed=True)
            pairs.append(pair)
        state = fold(state, block(second, counters, pairs))
        if second % 20 == 19 and judge(state).finding is Finding.FAIL:
            break
    return judge(state)


@pytest.mark.parametrize("kind", [INDEPENDENT, OUTAGES, BLIPS, REQUESTS])
@pytest.mark.parametrize("rate", [0.01, 0.03, 0.1])
def test_equal_versions_that_fail_now_and_then_are_not_rolled_back(kind: str, rate: float) -> None:
    made = FailingRollouts(Versions(kind, rate), FEW_ROLLOUTS, 5)
    made.run(240)
    assert int(np.isfinite(made.found).any(axis=0).sum()) <= 2


@pytest.mark.parametrize("both", [0.0, 0.03])
@pytest.mark.parametrize("harm", ["failing", "unusable"])
def test_a_version_that_alone_fails_more_or_answers_nan_is_found(harm: str, both: float) -> None:
    verdict = paired(1, both=both, failing=0.06 * (harm == "failing"), unusable=0.06 * (harm == "unusable"))
    assert verdict.finding is Finding.FAIL
    said = {"failing": "failed", "unusable": "were answered without a finite number"}[harm]
    assert f"{said} on the new version only" in verdict.reason
    assert "on the old one only (tolerance 1.0%)" in verdict.reason


@pytest.mark.parametrize("harm", ["failing", "unusable"])
def test_a_slice_that_the_new_version_alone_fails_is_named(harm: str) -> None:
    config = replace(PAIRED, slices=("country",))
    hidden = replace(config, paired=replace(config.paired, failed=0.3))
    verdict = paired(
        2, config=hidden, both=0.05, only="C", failing=float(harm == "failing"), unusable=float(harm == "unusable")
    )
    assert verdict.finding is Finding.FAIL
    assert f"{harm} slice country=C" in str([one.measurements for one in verdict.results])
    assert "requests with country=C" in verdict.reason


def test_what_the_old_version_alone_fails_is_no_evidence_against_the_new_one() -> None:
    test = NetTest(0.01).update((100, 50 - 10, 25 - 5))
    assert split_net((100, 40, 20)) == (80, 0, 20)
    assert test.log_evidence < 0


def test_a_second_of_an_outage_does_not_decide_alone() -> None:
    """Whatever happened in it: 200 of 200 pairs are no 200 observations."""
    once = NetTest(0.01).update((200, 200.0, 200.0))
    assert once.log_evidence < 0.65
    often = once
    for _ in range(40):
        often = often.update((200, 200.0, 200.0))
    assert often.log_evidence > 9


def test_many_rollouts_at_a_time_have_the_evidence_of_each() -> None:
    chance, rollouts = np.random.default_rng(4), 12
    many, each = NetTests(rollouts, 0.01), [NetTest(0.01) for _ in range(rollouts)]
    for number in range(40):
        alike, worse, better = (chance.poisson(mean, rollouts).astype(float) for mean in (18, 2, 1))
        seconds = 1 if number < 30 else 5
        many.update(alike, worse, better, seconds)
        rows = list(zip(alike, worse, better, strict=True))
        each = [
            one.update((int(a + w + b), w + a / 2, w + a / 4), seconds)
            for one, (a, w, b) in zip(each, rows, strict=True)
        ]
    assert list(many.log_evidence) == pytest.approx([one.log_evidence for one in each], abs=1e-9)


def test_many_stages_at_a_time_are_held_as_each_is() -> None:
    chance, level = np.random.default_rng(2), (1 + 0.0005) / 2
    sums = np.array(
        [(n, n * m, n * (m * m + s)) for n in (3, 6, 60, 700) for m in (0.5, 0.51) for s in (1e-3, 1e-5)]
    )
    seconds = chance.integers(10, 4_000, len(sums))
    found = are_above(sums[:, 0], sums[:, 1], sums[:, 2], seconds)
    each = [
        is_above(StageData(blocks=(int(n), total, squares), seconds=int(age)), level, 1)
        for (n, total, squares), age in zip(sums, seconds, strict=True)
    ]
    assert list(found) == each and len(set(each)) == 2


def traffic(
    seconds: int, *, above: float = 0.5, unusable: float = 0.0, new: int = 3, errors: float = 0.0
) -> EvidenceLedger:
    """Nine requests a second of the old version and a few of the new one, of whose predictions ``above`` lie above
    the old version's median."""
    chance = random.Random(3)
    config = EvidenceConfig(compare=(Comparison.ERRORS, Comparison.PREDICTIONS))
    ledger = EvidenceLedger(config, ("main",), 0)
    for second in range(seconds):
        for side, number, high in ((Side.OLD, 9, 0.5), (Side.NEW, new if second >= 20 else 0, above)):
            scores, bad = list[float](), 0
            for _ in range(number):
                if side is Side.NEW and chance.random() < unusable:
                    bad += 1
                    continue
                scores.append(
                    round(chance.uniform(0.5, 1.0) if chance.random() < high else chance.uniform(0, 0.5), 2)
                )
            values = Distribution.of({one: scores.count(one) for one in set(scores)})
            failed = sum(chance.random() < errors for _ in range(number)) if side is Side.NEW else 0
            ledger.add(second, side, "main", SideCounts(number, failed, predictions=values, unusable=bad))
        ledger.advance(second + 1)
    return ledger


def test_a_gross_difference_is_not_called_equal_before_it_has_failed() -> None:
    """Of 50 % and 80 % above the median there is little evidence in some hundred requests."""
    verdict = traffic(56, above=0.8).verdict
    (result,) = [one for one in verdict.results if one.comparison is Comparison.PREDICTIONS]
    assert (verdict.finding, verdict.rising, result.rising) == (Finding.UNDECIDED, True, True)
    assert 0 < result.evidence < 1
    assert verdict.reason.startswith("may be worse: predictions of variant main: ")
    assert "no difference" not in verdict.reason
    risen = [one.test for one in result.measurements if one.rising]
    assert "above p50" in risen


def test_a_version_that_answers_nan_fails_by_what_clients_are_answered() -> None:
    verdict = traffic(400, unusable=0.08, new=6).verdict
    assert verdict.finding is Finding.FAIL
    assert "answers have no finite number" in verdict.reason


def test_a_difference_that_is_proved_to_be_within_its_tolerance_is_not_worse() -> None:
    """Every test needs its own proof: with fewer pairs the same version is not known yet."""
    config = replace(PAIRED, paired=replace(PAIRED.paired, top=0.9, failed=0.05))
    proved = paired(3, config=config, seconds=200, spread=0.05)
    assert proved.finding is Finding.PASS, proved.reason
    said = "not worse: the 95% bound of each difference is within its tolerance; one unit is 0.495"
    assert proved.reason.startswith(said)
    (result,) = proved.results
    assert all(one.low <= one.estimate <= one.high <= one.tolerance for one in result.measurements)
    fewer = paired(3, config=config, seconds=25, spread=0.05)
    assert (fewer.finding, fewer.rising) == (Finding.UNDECIDED, False)


def test_a_test_of_few_rows_is_no_pass_and_what_stands_out_in_it_holds_the_stage() -> None:
    """The top 5 % of 360 pairs are 18 rows: too few to judge by, and enough to see that they moved."""
    chance, counters, state = random.Random(8), PairCounters.begin(PAIRED), begin(PAIRED, ("main",))
    for second in range(72):
        pairs = list[Pair]()
        for _ in range(5):
            old = chance.gauss(0, 1)
            new = old - (1.57 if old > 1.5 else 0.0)
            pairs.append(Pair(1 / (1 + math.exp(-old)), 1 / (1 + math.exp(-new))))
        state = fold(state, block(second, counters, pairs))
    (result,) = judge(state).results
    found = {one.test: one for one in result.measurements}
    assert found["top bias down"].count < 34
    assert found["top bias down"].finding is Finding.NO_DATA
    assert found["top bias down"].estimate == pytest.approx(1.57, abs=0.1)
    assert result.finding is Finding.UNDECIDED
    assert found["top bias down"].rising and result.rising


def test_a_rare_slice_holds_no_stage_by_itself() -> None:
    config, chance = replace(PAIRED, slices=("country",)), random.Random(4)
    counters, state = PairCounters.begin(config), begin(config, ("main",))
    for second in range(60):
        pairs = list[Pair]()
        for number in range(20):
            old = chance.gauss(0, 1)
            rare = second % 20 == 0 and number == 0
            pairs.append(Pair(old, old + chance.gauss(0, 0.2), slices=(("country", "MT" if rare else "DE"),)))
        state = fold(state, block(second, counters, pairs))
    verdict = judge(state)
    rare_ones = [one for one in verdict.results[0].measurements if one.test.endswith("country=MT") and one.count]
    assert rare_ones and all(one.finding is Finding.NO_DATA for one in rare_ones)
    assert (verdict.finding, verdict.rising) == (Finding.UNDECIDED, False)


def test_what_a_stage_found_is_measured_by_its_own_requests() -> None:
    """Shares of traffic change from stage to stage, and so do both versions' rates: added up they would mislead."""
    config = EvidenceConfig(compare=(Comparison.ERRORS,))
    state = begin(config, ("main",))
    for at in range(60):
        state = fold(state, EvidenceBlock(at, 1, 0, {"main/errors/errors": (90, 0, 10, 0)}))
    for at in range(60, 120):
        state = fold(state, EvidenceBlock(at, 1, 1, {"main/errors/errors": (50, 10, 50, 10)}))
    (measured,) = judge(state).results[0].measurements
    assert (measured.count, measured.estimate) == (3000, 0.0)
    ended = judge(fold(state, EvidenceBlock(0, 0, 2, {}))).results[0]
    assert (ended.finding, ended.measurements[0].count) == (Finding.NO_DATA, 3000), (
        "shown, and no data of the stage"
    )
    assert ended.measurements[0].finding is Finding.NO_DATA and not ended.rising


@pytest.mark.parametrize(("mean", "spread", "centre"), [(0.5, 0.1, 0.5), (0.52, 0.02, 0.5), (0.02, 0.02, 0.0)])
def test_bounds_of_means_hold_at_all_looks(mean: float, spread: float, centre: float) -> None:
    missed, chance = 0, random.Random(6)
    for _ in range(60):
        count, total, squares, outside = 0, 0.0, 0.0, False
        for _ in range(400):
            value = min(1.0, max(0.0, mean + spread * chance.choice((-1, 1))))
            count, total, squares = count + 1, total + value, squares + value * value
            low, high = mean_bounds((count, total, squares), centre)
            outside |= not low <= mean <= high
        missed += outside
    assert missed <= 6
    assert mean_bounds((0, 0.0, 0.0), 0.5) == (0.0, 1.0)
    assert high - low < 0.3


def test_bounds_of_a_difference_need_many_requests_to_prove_a_small_one() -> None:
    low, high = difference_bounds((0, 1_000), (0, 1_000))
    assert low < 0 < 0.0005 < high
    assert difference_bounds((0, 10**6), (0, 10**6))[1] < 0.0005


def test_a_reason_has_the_figures_that_decided() -> None:
    """A fault that ends after it has failed the version must not be explained by what was counted later."""
    config = EvidenceConfig(compare=(Comparison.ERRORS,))
    state = begin(config, ("main",))
    for at in range(30):
        state = fold(state, EvidenceBlock(at, 1, 0, {"main/errors/errors": (90, 0, 10, 5)}))
    early = judge(state).reason
    for at in range(30, 500):
        state = fold(state, EvidenceBlock(at, 1, 0, {"main/errors/errors": (90, 9, 10, 0)}))
    assert judge(state).reason == early
    assert "50.00% of the new version's 300 requests failed" in early


def test_a_verdict_of_an_earlier_version_loads() -> None:
    kept = (
        b'{"finding":"pass","stage":1,"reason":"no difference above its tolerance","results":[{"comparison":"errors",\
"variant":"main","finding":"pass","evidence":0.1,"test":"errors"}]}'
    )
    found = msgspec.json.decode(kept, type=Verdict)
    assert (found.rising, found.results[0].measurements) == (False, ())
    assert EvidenceRecord("e", "r", "a", "b", PAIRED, ("main",), found, 1).rules == 1


def test_findings_survive_their_record() -> None:
    measured = Measurement("errors", Finding.UNDECIDED, 0.01, -0.01, 0.03, 0.0005, 100, 0.1, rising=True)
    result = ComparisonResult(
        Comparison.ERRORS, "main", Finding.UNDECIDED, 0.1, "errors", measurements=(measured,)
    )
    verdict = Verdict(Finding.UNDECIDED, 0, "may be worse", (result,), rising=True)
    assert msgspec.json.decode(msgspec.json.encode(verdict), type=Verdict) == verdict
