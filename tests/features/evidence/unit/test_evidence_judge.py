"""From counts to a verdict: what passes, what fails, what is no data, and that only the counts matter."""

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from tidegate.domain.evidence import Comparison, EvidenceBlock, EvidenceConfig, Finding, Verdict
from tidegate.features.evidence.block_widths import block_width
from tidegate.features.evidence.comparisons import SideCounts
from tidegate.features.evidence.judge import STAKES, begin, false_alarm_rates, fold, judge, recompute
from tidegate.features.evidence.ledger import MOST_PENDING, EvidenceLedger, Side
from tidegate.features.evidence.waits import LEAST_BLOCKS
from tidegate.statistics.distribution import Distribution

NUMBERS = (Comparison.ERRORS, Comparison.LATENCY, Comparison.PREDICTIONS)
ALL = EvidenceConfig(compare=NUMBERS)
BEFORE = 10
"""Seconds before the new version gets requests."""

Draw = Callable[[random.Random], float]


def usual_latency(chance: random.Random) -> float:
    return round(chance.lognormvariate(0, 0.3), 1) * 10_000


def usual_score(chance: random.Random) -> float:
    return round(chance.betavariate(2, 5), 2)


def counted(values: list[float]) -> Distribution:
    return Distribution.of({value: values.count(value) for value in set(values)})


def side(chance: random.Random, n: int, errors: float, latency: Draw, score: Draw) -> SideCounts:
    failed = sum(chance.random() < errors for _ in range(n))
    latencies, scores = [latency(chance) for _ in range(n)], [score(chance) for _ in range(n)]
    return SideCounts(n, failed, counted(latencies), counted(scores))


def rollout(
    seconds: int,
    *,
    errors: float = 0.01,
    latency: Draw = usual_latency,
    score: Draw = usual_score,
    config: EvidenceConfig = ALL,
) -> EvidenceLedger:
    """90 requests a second on the old version and 10 on the new one, until it fails or the time is over."""
    chance, ledger = random.Random(7), EvidenceLedger(config, ("main",), 0)
    for second in range(seconds):
        ledger.add(second, Side.OLD, "main", side(chance, 90, 0.01, usual_latency, usual_score))
        if second >= BEFORE:
            ledger.add(second, Side.NEW, "main", side(chance, 10, errors, latency, score))
        ledger.advance(second + 1)
        if ledger.verdict.finding is Finding.FAIL:
            break
    return ledger


def failed(verdict: Verdict) -> list[Comparison]:
    return [one.comparison for one in verdict.results if one.finding is Finding.FAIL]


def test_an_equal_version_is_neither_worse_nor_on_its_way_to_it() -> None:
    verdict = rollout(120).verdict
    assert (verdict.finding, verdict.rising) == (Finding.UNDECIDED, False)
    assert verdict.reason.startswith("not known yet whether it is worse: errors of variant main: errors ")


@pytest.mark.parametrize(
    ("different", "comparison", "says"),
    [
        ({"errors": 0.06}, Comparison.ERRORS, "requests failed ("),
        ({"latency": lambda chance: usual_latency(chance) * 1.8}, Comparison.LATENCY, "by more than 30%"),
        ({"score": lambda chance: 0.3}, Comparison.PREDICTIONS, "lie above the old version's "),
        ({"score": lambda chance: 1 - usual_score(chance)}, Comparison.PREDICTIONS, "tolerance 10%"),
        ({"score": lambda chance: -1.0}, Comparison.PREDICTIONS, "lie below the old version's p5"),
    ],
    ids=["errors", "slow", "constant score", "flipped score", "below zero"],
)
def test_a_difference_above_its_tolerance_fails_and_is_named(
    different: dict[str, Draw], comparison: Comparison, says: str
) -> None:
    verdict = rollout(200, **different).verdict  # type: ignore[arg-type]
    assert failed(verdict) == [comparison]
    assert says in verdict.reason


@pytest.mark.parametrize(
    "harmless",
    [
        {"latency": lambda chance: usual_latency(chance) * 1.1},
        {"score": lambda chance: usual_score(chance) + 0.01},
        {"errors": 0.0102},
    ],
    ids=["a tenth slower", "a little higher", "two in ten thousand more"],
)
def test_a_difference_below_its_tolerance_does_not_hold_a_stage(harmless: dict[str, Draw]) -> None:
    verdict = rollout(300, **harmless).verdict  # type: ignore[arg-type]
    assert (verdict.finding, verdict.rising) == (Finding.UNDECIDED, False)


def test_a_failure_is_final() -> None:
    ledger = rollout(200, errors=0.2)
    good = random.Random(1)
    for second in range(ledger.through, ledger.through + 500):
        ledger.add(second, Side.OLD, "main", side(good, 90, 0.2, usual_latency, usual_score))
        ledger.add(second, Side.NEW, "main", side(good, 10, 0.0, usual_latency, usual_score))
        ledger.advance(second + 1)
    assert ledger.verdict.finding is Finding.FAIL


def test_fewer_requests_than_the_minimum_are_no_data() -> None:
    errors = replace(ALL, compare=(Comparison.ERRORS,))
    ledger = rollout(BEFORE + 9, config=errors)
    assert ledger.verdict.finding is Finding.NO_DATA
    assert (
        "errors of variant main: needs 10 more requests of the new version (90 of 100 so far)"
        in ledger.verdict.reason
    )
    assert ledger.verdict.reason.endswith(", about 1 s at the present rate")
    assert rollout(BEFORE + 10, config=errors).verdict.finding is Finding.UNDECIDED


def test_latencies_and_predictions_also_need_blocks_in_which_a_difference_could_show() -> None:
    """Latencies twice as long show after some 20 blocks: a stage that passed after five would let them through."""
    fewer = rollout(BEFORE + LEAST_BLOCKS[Comparison.LATENCY] - 1).verdict
    findings = {one.comparison: one.finding for one in fewer.results}
    assert findings == dict.fromkeys(NUMBERS, Finding.UNDECIDED) | {Comparison.LATENCY: Finding.NO_DATA}
    assert rollout(BEFORE + LEAST_BLOCKS[Comparison.LATENCY]).verdict.finding is Finding.UNDECIDED
    wrong = rollout(BEFORE + LEAST_BLOCKS[Comparison.PREDICTIONS], score=lambda chance: 2.0)
    assert failed(wrong.verdict) == [Comparison.PREDICTIONS]


def test_equal_predictions_count_for_less() -> None:
    """Three quarters of the new version's requests are above the old one's median: of 30 different requests a second,
    of one that comes again and again, and of blocks of an earlier version, which do not say."""
    config = replace(ALL, compare=(Comparison.PREDICTIONS,))

    def evidence(alike: int | None) -> float:
        known = {} if alike is None else {"main/predictions/alike": (30, alike, 20, 3)}
        state = begin(config, ("main",))
        for second in range(12):
            counts = {"main/predictions/above p50": (30, 15, 20 if second else 0, 18 if second else 0), **known}
            state = fold(state, EvidenceBlock(second, 1, 0, counts))
        (result,) = judge(state).results
        return result.evidence

    assert evidence(1) > 2 * evidence(20) > evidence(None) > 0
    ledger = rollout(BEFORE + 3)
    counts = [block.counts["main/predictions/alike"] for block in ledger.blocks.values()]
    assert all(1 <= most <= number for number, most, _, _ in counts)
    assert counts[-1][2:] == (10, counts[-1][3]), "those of the new version are kept, too"


def test_no_requests_at_all_and_nothing_to_compare_are_no_data() -> None:
    assert EvidenceLedger(ALL, ("main",), 0).verdict.finding is Finding.NO_DATA
    assert EvidenceLedger(ALL, (), 0).verdict.reason == "nothing to compare"


def test_a_comparison_without_usable_values_is_no_data_whatever_the_others_say() -> None:
    ledger = EvidenceLedger(ALL, ("main",), 0)
    chance = random.Random(3)
    for second in range(60):
        for which in Side:
            usual = side(chance, 50, 0.01, usual_latency, lambda _: float("nan"))
            ledger.add(second, which, "main", replace(usual, unusable=50))
        ledger.advance(second + 1)
    findings = {one.comparison: one.finding for one in ledger.verdict.results}
    assert findings == {
        Comparison.ERRORS: Finding.UNDECIDED,
        Comparison.LATENCY: Finding.UNDECIDED,
        Comparison.PREDICTIONS: Finding.NO_DATA,
    }
    assert ledger.verdict.finding is Finding.NO_DATA
    assert ledger.unusable == (3000, 3000)


def test_every_stage_needs_its_own_minimum_and_keeps_the_evidence_of_those_before() -> None:
    ledger = rollout(120, errors=0.025)
    before = ledger.verdict
    assert before.finding is Finding.UNDECIDED
    ledger.enter(1, ledger.through)
    after = ledger.verdict
    assert (after.finding, after.stage) == (Finding.NO_DATA, 1)
    assert [one.evidence for one in after.results] == [one.evidence for one in before.results]
    assert [one.stage_requests for one in after.results] == [(0, 0)] * 3


def test_requests_before_a_shift_count_for_the_stage_in_which_they_were_made() -> None:
    ledger = EvidenceLedger(replace(ALL, compare=(Comparison.ERRORS,)), ("main",), 0)
    for second in range(10):
        for which in Side:
            ledger.add(second, which, "main", SideCounts(100, 1))
    ledger.enter(1, 7)
    ledger.advance(10)
    assert [block.stage for block in ledger.blocks.values()] == [0] * 7 + [1] * 3
    assert ledger.verdict.results[0].stage_requests == (300, 300)


def test_a_late_report_counts_as_nothing() -> None:
    ledger = rollout(50)
    before = ledger.verdict
    ledger.add(20, Side.NEW, "main", SideCounts(1000, 1000))
    ledger.advance(51)
    assert ledger.verdict == before
    assert ledger.late == 1


def test_seconds_that_are_never_complete_do_not_pile_up() -> None:
    ledger = EvidenceLedger(replace(ALL, compare=(Comparison.ERRORS,)), ("main",), 0)
    for second in range(MOST_PENDING + 10):
        ledger.add(second, Side.OLD, "main", SideCounts(1, 0))
    assert ledger.late == 10
    ledger.advance(MOST_PENDING + 10)
    assert sum(block.counts["main/errors/errors"][0] for block in ledger.blocks.values()) == MOST_PENDING


def test_a_report_on_another_variant_counts_as_nothing() -> None:
    ledger = EvidenceLedger(ALL, ("main",), 0)
    ledger.add(1, Side.NEW, "other", SideCounts(1000, 1000))
    ledger.advance(5)
    assert (ledger.blocks, ledger.late) == ({}, 0)


@pytest.mark.parametrize("counts", [(10, 11, 10, 0), (-1, 0, 10, 10), (10, 0, 10, 11), (10, 0, -5, -5)])
def test_counts_that_make_no_sense_are_no_evidence(counts: tuple[int, int, int, int]) -> None:
    state = begin(replace(ALL, compare=(Comparison.ERRORS,)), ("main",))
    seen = fold(state, EvidenceBlock(0, 1, 0, {"main/errors/errors": (1000, 10, 0, 0)}))
    after = fold(seen, EvidenceBlock(1, 1, 0, {"main/errors/errors": counts}))
    assert judge(after) == judge(seen)


def test_the_verdict_follows_from_the_blocks_in_any_order() -> None:
    ledger = rollout(100, errors=0.03)
    blocks = list(ledger.blocks.values())
    assert recompute(ALL, ("main",), blocks, 0) == ledger.verdict
    assert recompute(ALL, ("main",), reversed(blocks), 0) == ledger.verdict
    ledger.enter(1, ledger.through)
    assert recompute(ALL, ("main",), blocks, 1) == ledger.verdict


def test_a_ledger_that_takes_over_goes_on_as_if_nothing_had_happened() -> None:
    whole = rollout(60)
    half = EvidenceLedger(ALL, ("main",), 0)
    half.resume(whole.blocks.values())
    assert (half.verdict, half.through) == (whole.verdict, whole.through)
    half.add(30, Side.NEW, "main", SideCounts(10, 10))
    assert half.late == 1, "what was counted before is not counted again"


def test_blocks_are_short_after_a_shift_and_longer_later() -> None:
    assert [block_width(age) for age in (0, 299, 300, 1799, 1800, 10_799, 10_800, 10**6)] == [
        *(1, 1, 5, 5),
        *(30, 30, 300, 300),
    ]
    ledger = EvidenceLedger(replace(ALL, compare=(Comparison.ERRORS,)), ("main",), 1000)
    for second in range(1000, 1320):
        for which in Side:
            ledger.add(second, which, "main", SideCounts(1, 0))
        ledger.advance(second + 1)
    assert {block.seconds for block in ledger.blocks.values()} == {1, 5}
    assert sum(block.counts["main/errors/errors"][0] for block in ledger.blocks.values()) == 320
    assert len(ledger.blocks) == 300 + 4


@pytest.mark.parametrize("compare", [(Comparison.ERRORS,), NUMBERS])
@pytest.mark.parametrize("variants", [1, 3])
def test_the_parts_of_the_false_rollback_rate_add_up_to_it(compare: tuple[Comparison, ...], variants: int) -> None:
    config = EvidenceConfig(compare=compare, false_rollback_rate=0.02)
    rates = false_alarm_rates(config, variants)
    assert sum(rates.values()) * variants == pytest.approx(0.02)
    assert set(STAKES) == set(Comparison)


def test_two_variants_are_judged_apart() -> None:
    ledger, chance = EvidenceLedger(replace(ALL, compare=(Comparison.ERRORS,)), ("a", "b"), 0), random.Random(5)
    for second in range(60):
        for variant, errors in (("a", 0.01), ("b", 0.3)):
            ledger.add(second, Side.OLD, variant, side(chance, 30, 0.01, usual_latency, usual_score))
            ledger.add(second, Side.NEW, variant, side(chance, 10, errors, usual_latency, usual_score))
        ledger.advance(second + 1)
    assert [one.variant for one in ledger.verdict.results if one.finding is Finding.FAIL] == ["b"]
