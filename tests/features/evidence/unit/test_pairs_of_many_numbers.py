"""Pairs of answers with several rows and outputs, units of amounts, few requests, and answers without numbers."""

import math
import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from tidegate.domain.evidence import (
    OF_AMOUNTS,
    Comparison,
    ComparisonResult,
    EvidenceBlock,
    EvidenceConfig,
    Finding,
    PairedTolerance,
)
from tidegate.domain.pairs import Pair, PairedRow
from tidegate.features.evidence.comparisons import SideCounts
from tidegate.features.evidence.judge import begin, fold, judge, recompute
from tidegate.features.evidence.ledger import EvidenceLedger, Side
from tidegate.features.evidence.pair_judge import PairState
from tidegate.features.evidence.pairs import (
    ALL_REPEATED,
    CLIP,
    FEWEST,
    FIRST,
    PATIENCE,
    PairCounter,
    estimate,
    sums_of,
)
from tidegate.features.evidence.units import Unit, error_unit, narrow_unit
from tidegate.statistics.means import MeanTest

CONFIG = EvidenceConfig(compare=(Comparison.PAIRED,))
PER_SECOND = 10
NO_DATA = Finding.NO_DATA

Numbers = list[list[float]]
Change = Callable[[Numbers, random.Random], Numbers]


def watch(
    pairs: list[Pair], config: EvidenceConfig = CONFIG, units: dict[int, Unit] | None = None
) -> EvidenceLedger:
    """``units``: those that are known beforehand, by output."""
    found = EvidenceLedger(config, ("main",), 0, units={"main": units or {}})
    for second in range(math.ceil(len(pairs) / PER_SECOND)):
        found.add(second, Side.OLD, "main", SideCounts(requests=1))
        found.add_pairs(second, "main", pairs[second * PER_SECOND : (second + 1) * PER_SECOND])
        found.advance(second + 1)
    assert recompute(config, ("main",), found.blocks.values(), 0) == found.verdict
    return found


def result(found: EvidenceLedger) -> ComparisonResult:
    (one,) = found.verdict.results
    return one


def draw(rows: int, outputs: int, change: Change, count: int = 1_500, noise: float = 0.05) -> list[Pair]:
    """Amounts of outputs with different scales; honest versions differ by a little of each."""
    chance, pairs = random.Random(7), list[Pair]()
    for number in range(count):
        old = [[(100.0**output) * chance.gauss(5, 2) for output in range(outputs)] for _ in range(rows)]
        near = [[one + chance.gauss(0, noise * 2 * 100.0**at) for at, one in enumerate(row)] for row in old]
        new = change(near, chance)
        made = tuple(
            tuple((at, before, after) for at, (before, after) in enumerate(zip(a, b, strict=True)))
            for a, b in zip(old, new, strict=True)
        )
        pairs.append(Pair(old[0][0], new[0][0], number + 1, rows=made))
    return pairs


def in_row(place: int, change: Callable[[float], float]) -> Change:
    return lambda rows, _: [[change(one) for one in row] if at == place else row for at, row in enumerate(rows)]


def in_output(place: int, change: Callable[[float], float]) -> Change:
    return lambda rows, _: [[change(one) if at == place else one for at, one in enumerate(row)] for row in rows]


def same(rows: Numbers, _: random.Random) -> Numbers:
    return rows


def shuffle_later(rows: Numbers, chance: random.Random) -> Numbers:
    return [rows[0], *chance.sample(rows[1:], len(rows) - 1)]


FAULTS: dict[str, tuple[int, int, Change, str]] = {
    "the second output is too large": (1, 2, in_output(1, lambda one: one * 1.4), "output 2"),
    "the last of eight outputs is constant": (1, 8, in_output(7, lambda one: 0.0), "output 8"),
    "the second output of several rows": (4, 2, in_output(1, lambda one: one * 1.4), "output 2"),
    "the last row is padding": (8, 1, in_row(7, lambda _: 0.0), "last row"),
    "every row but the first": (3, 1, lambda rows, _: [rows[0], *([9.0] for _ in rows[1:])], ""),
    "rows in another order": (5, 1, shuffle_later, ""),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_later_rows_or_one_output_is_found_by_default(fault: str) -> None:
    rows, outputs, change, part = FAULTS[fault]
    found = result(watch(draw(rows, outputs, change)))
    assert found.finding is Finding.FAIL
    assert found.test.startswith(part)


@pytest.mark.parametrize(("rows", "outputs"), [(1, 1), (8, 1), (1, 8), (4, 3)])
def test_versions_that_differ_by_little_pass(rows: int, outputs: int) -> None:
    assert result(watch(draw(rows, outputs, same))).finding is not Finding.FAIL


def draw_sliced(shift: float, failing: float = 0.0) -> list[Pair]:
    """Requests of eight rows, of which the first is never of the country in which the new version is worse."""
    chance, pairs = random.Random(3), list[Pair]()
    for number in range(1_500):
        names = ["US", *(chance.choice(("IN", "US", "US", "US")) for _ in range(7))]
        old = [chance.gauss(5, 2) for _ in names]
        new = [one + chance.gauss(0, 0.1) + shift * (name == "IN") for one, name in zip(old, names, strict=True)]
        failed = "IN" in names and chance.random() < failing
        pairs.append(
            Pair(
                *(old[0], None if failed else new[0], number + 1),
                slices=(("country", names[0]),),
                row_slices=tuple((("country", name),) for name in names),
                failed=failed,
                rows=() if failed else tuple(((0, a, b),) for a, b in zip(old, new, strict=True)),
            )
        )
    return pairs


def test_a_fault_of_a_slice_that_first_rows_never_have_is_found_by_its_test() -> None:
    config = replace(CONFIG, slices=("country",))
    assert result(watch(draw_sliced(0), config)).finding is not Finding.FAIL
    counter = PairCounter(("country",))
    found = counter.count(draw_sliced(0.8))
    inner, outer = (f"slice country={name} up" for name in ("IN", "US"))
    assert estimate(inner, sums_of(inner, found)) > 0.3 > abs(estimate(outer, sums_of(outer, found)))
    failing = result(watch(draw_sliced(0, 0.1), config))
    assert failing.finding is Finding.FAIL
    assert counter.count(draw_sliced(0, 0.1))["failing slice country=IN"][0] > 0


def test_requests_that_wait_for_a_unit_share_the_names_of_their_slices() -> None:
    counter = PairCounter(("country",))
    counter.count(draw_sliced(0)[: FIRST - 1])
    held = [name for request in counter._waiting for name in request.slices]
    assert len(held) > FIRST and len(set(map(id, held))) == len(set(held)) == 2


def test_each_further_output_and_the_last_row_have_a_finding_and_bounds_of_their_own() -> None:
    """A third of the minimum is enough for a part, and what is not proved of one is not proved of the whole."""
    config = replace(CONFIG, minimum=120)
    several, one = draw(3, 2, same, count=500), draw(1, 2, same, count=500)
    mixed = [*one[:20], *several[:30], *one[20:]]
    found = result(
        watch([replace(pair, key=at + 1) for at, pair in enumerate(mixed)], config, {0: Unit(False, 1.0)})
    )
    measured = {one.test: one for one in found.measurements}
    parts = {f"{part} {kind}" for part in ("output 2", "last row") for kind in ("distance", "moved", "bias up")}
    assert parts <= measured.keys()
    assert all(one.low <= one.estimate <= one.high for one in measured.values())
    assert measured["last row distance"].count == 30 and measured["last row distance"].finding is Finding.NO_DATA
    assert measured["distance"].finding is not Finding.NO_DATA and found.finding is Finding.UNDECIDED
    longer = [*one[:20], *several[:40], *one[20:]]
    found = result(
        watch([replace(pair, key=at + 1) for at, pair in enumerate(longer)], config, {0: Unit(False, 1.0)})
    )
    last = next(one for one in found.measurements if one.test == "last row distance")
    assert last.count == 40 and last.finding is not Finding.NO_DATA


def test_an_output_that_is_on_its_way_to_a_failure_holds_the_stage() -> None:
    chance, pairs = random.Random(3), list[Pair]()
    for number in range(150):
        first, second = chance.gauss(-2, 1), chance.gauss(-2, 1)
        old, before, after = (
            1 / (1 + math.exp(-one)) for one in (first, second, second + chance.gauss(0.65, 0.6))
        )
        pairs.append(Pair(old, old, number + 1, rows=(((0, old, old), (1, before, after)),)))
    verdict = watch(pairs).verdict
    assert (verdict.finding, verdict.rising) == (Finding.UNDECIDED, True)
    assert "output 2 bias up" in verdict.reason and verdict.reason.startswith("may be worse")


def test_a_request_counts_once_however_many_rows_it_has() -> None:
    """A client with one bad request of eight rows is one observation."""
    counter = PairCounter(known={0: Unit(False, 1.0)})
    row: PairedRow = ((0, 1.0, 3.0),)
    sums = counter.count([Pair(1.0, 3.0, 1, rows=(row,) * 8), Pair(1.0, 1.0, 2, rows=(((0, 1.0, 1.0),),) * 8)])
    assert sums["distance"] == pytest.approx((2, 2 / 3, 4 / 9))
    assert sums["moved"][:2] == (2, 1.0)


def test_numbers_that_both_versions_lack_leave_the_others_to_compare() -> None:
    counter = PairCounter(known={0: Unit(False, 1.0)})
    rows: tuple[PairedRow, ...] = (((0, None, None), (1, 2.0, 2.5)), ((0, 1.0, 2.0), (1, math.nan, math.nan)))
    sums = counter.count([Pair(1.0, 2.0, 1, rows=rows)])
    assert sums["distance"][:2] == pytest.approx((1, 1 / 3)) and sums["pairs"] == (1, 1.0, 1.0)


def test_the_first_pairs_wait_for_the_unit_and_count_once_it_is_known() -> None:
    pairs = draw(1, 1, same, count=FIRST + 20)
    counter = PairCounter()
    assert "distance" not in counter.count(pairs[: FIRST - 10])
    assert counter.count(pairs[FIRST - 10 : FIRST + 10])["distance"][0] == FIRST + 10
    assert counter.count(pairs[FIRST + 10 :])["distance"][0] == 10


def test_where_there_is_little_traffic_fewer_pairs_do() -> None:
    pairs, counter = draw(1, 1, same, count=FEWEST), PairCounter()
    for number in range(PATIENCE):
        counter.count(pairs[number : number + 1])
    assert counter.unit is None
    counter.count(pairs[PATIENCE:])
    assert counter.unit is not None


def test_the_unit_of_the_first_pairs_is_within_a_tenth_of_the_final_one() -> None:
    """Of amounts that are not even normal, in nineteen of twenty tries."""
    off = 0
    for seed in range(60):
        chance, counter = random.Random(seed), PairCounter()
        pairs = [Pair(one := chance.lognormvariate(3, 0.5), one, key + 1) for key in range(FIRST)]
        counter.count(pairs)
        assert counter.unit is not None
        off += abs(counter.unit.size / FINAL - 1) > 0.13
    assert off <= 3


FINAL = 6.0
"""The unit of very many such predictions."""


def test_units_are_kept_with_the_block_and_named_in_the_reason() -> None:
    found = watch(draw(1, 2, in_output(1, lambda one: one * 1.4)))
    sizes = [block.units for block in found.blocks.values() if block.units]
    assert sizes[0].keys() == {"main/paired/", "main/paired/output 2"}
    assert 0.8 < sizes[-1]["main/paired/"] < 1.2 and 80 < sizes[-1]["main/paired/output 2"] < 120
    assert result(found).unit == pytest.approx(sizes[-1]["main/paired/output 2"], rel=0.3)
    assert f"; one unit is {result(found).unit:.3g} of the prediction of output 2" in found.verdict.reason
    passed = watch(draw(1, 1, same))
    assert passed.verdict.reason.endswith(f"; one unit is {result(passed).unit:.3g} of the prediction")


def test_the_unit_of_the_models_own_error_is_used_at_once() -> None:
    unit = error_unit(2.0)
    assert unit == Unit(False, 3.0)
    found = watch(draw(1, 1, same, count=100), units={0: unit})
    assert result(found).unit == 3.0 and result(found).stage_requests[0] == 100
    assert [error_unit(one) for one in (0.0, -1.0, math.inf, math.nan)] == [None] * 4


def test_a_fault_of_the_second_output_is_found_in_the_unit_of_that_outputs_own_error() -> None:
    """What is little beside the spread of the predictions is much for a model that errs by less."""
    shifted = draw(1, 2, in_output(1, lambda one: one + 10.0), noise=0.02)

    def judge(units: dict[int, Unit]) -> Finding:
        return result(watch(shifted, units=units)).finding

    assert judge({}) is not Finding.FAIL
    assert judge({1: Unit(False, 20.0)}) is Finding.FAIL


def test_amounts_have_tolerances_of_their_own_and_those_that_are_set_hold_for_both() -> None:
    """A shift of a quarter of a unit is far more than honest trainings of amounts differ by on average."""
    shifted = draw(1, 1, in_output(0, lambda one: one + 0.3), count=3_000)
    assert result(watch(shifted)).finding is Finding.FAIL
    wide = replace(CONFIG, paired=PairedTolerance(bias=0.5, distance=0.6))
    assert result(watch(shifted, wide)).finding is not Finding.FAIL
    assert wide.paired.limits(amounts=True).moved == OF_AMOUNTS.moved


def ask_again(requests: list[Pair], repeats: int) -> list[Pair]:
    return [*requests, *(requests[number % len(requests)] for number in range(repeats))]


def test_predictions_that_shrink_are_found_by_their_spread() -> None:
    """Some trees are missing: the mean is right, and each request is off by less than a unit."""
    shrunken = result(watch(draw(1, 1, in_output(0, lambda one: 5 + (one - 5) * 0.75), count=3_000)))
    assert shrunken.finding is Finding.FAIL
    assert "spread down" in (shrunken.test, *shrunken.also)
    assert "moved" not in (shrunken.test, *shrunken.also)


def test_amounts_that_become_known_for_such_take_no_stake_from_tests_that_have_counted() -> None:
    """Whoever bets on what has lost so far, and moves the rest of the stake to a new bet, makes it from nothing."""
    state = begin(replace(CONFIG, slices=("c",)), ("main",))
    failed = {f"main/paired/{name}": (400, 200.0, 100.0) for name in ("failing", "failing slice c=1")}
    state = fold(state, EvidenceBlock(1, 1, 0, {}, failed))
    (before,) = state.comparisons
    known = EvidenceBlock(2, 1, 0, {}, {"main/paired/distance": (1, 0.1, 0.01)}, {"main/paired/": 2.0})
    (after,) = fold(state, known).comparisons
    assert isinstance(before, PairState) and isinstance(after, PairState)
    assert {"spread up", "spread down"} <= after.tests.keys() - before.tests.keys()
    for name in ("failing", "failing slice c=1"):
        assert after.weights[name] == before.weights[name] and after.tests[name] == before.tests[name]
    assert sum(after.weights.values()) == pytest.approx(sum(before.weights.values()))
    limit = (OF_AMOUNTS.slice + CLIP) / (2 * CLIP)
    assert all(after.tests[name] == MeanTest(limit) for name in ("slice c=1 up", "slice c=1 down"))


@pytest.mark.parametrize("sliced", [False, True])
def test_amounts_after_scores_are_judged_and_take_no_stake_from_anyone(sliced: bool) -> None:
    """Predictions of which the first ones lie between 0 and 1 are taken for scores until one does not."""
    chance, pairs = random.Random(1), list[Pair]()
    for number in range(2_400):
        old = 1.02 if number >= 1_200 and not number % 50 else 0.9 * chance.random()
        part = (("c", "x" if number % 2 else "y"),)
        pairs.append(Pair(old, old + chance.gauss(0, 0.001), number + 1, slices=part if sliced else ()))
    config = replace(CONFIG, slices=("c",)) if sliced else CONFIG
    for last in (1_200, 2_400):
        found = watch(pairs[:last], config)
        assert result(found).finding is not Finding.FAIL
    (state,) = found._state.comparisons
    assert isinstance(state, PairState) and {"spread up", "spread down"} <= state.tests.keys()
    assert min(state.weights.values()) > 0 and sum(state.weights.values()) <= 1
    shrunken = [replace(one, new=0.5 + ((one.new or 0) - 0.5) * 0.4) for one in pairs[1_200:]]
    worse = result(watch(pairs[:1_200] + shrunken + again(shrunken, 1_200), config))
    assert worse.finding is Finding.FAIL and "spread down" in (worse.test, *worse.also)


def again(pairs: list[Pair], more: int) -> list[Pair]:
    """The same predictions of other requests."""
    return [replace(one, key=one.key + 10_000) for one in pairs[:more]]


def test_blocks_of_a_rollout_that_began_before_spread_was_compared_go_on() -> None:
    """All tests of the released version have counted when the first unit is known."""
    one_sided = dict.fromkeys(("distance", "moved", "top", "order"), (500, 5.0, 0.1))
    signed = dict.fromkeys(("bias", "top bias", "failing", "unusable"), (500, 250.0, 125.0))
    counted = {f"main/paired/{name}": one for name, one in (one_sided | signed).items()}
    state = fold(begin(CONFIG, ("main",)), EvidenceBlock(0, 1, 0, {}, counted))
    known = EvidenceBlock(1, 1, 0, {}, counted, {"main/paired/": 2.0})
    for after in (fold(state, known), fold(fold(state, known), replace(known, at=2, units={}))):
        assert judge(after).finding is not Finding.FAIL


@pytest.mark.parametrize("seed", range(12))
def test_whatever_is_answered_is_judged(seed: int) -> None:
    """Answers that change their kind at any time, in stages, after a new controller took over."""
    chance, config = random.Random(seed), replace(CONFIG, slices=("c",))
    found, kind, stage = EvidenceLedger(config, ("main",), 0), "score", 0
    draw_one: dict[str, Callable[[], float | None]] = {
        "score": chance.random,
        "amount": lambda: chance.gauss(100, 30),
        "constant": lambda: 5.0,
        "odd": lambda: chance.choice([0.0, 1e308, -1e308, math.nan, None]),
    }
    for second in range(90):
        if chance.random() < 0.05:
            kind = chance.choice(list(draw_one))
        if chance.random() < 0.03:
            stage += 1
            found.enter(stage, second)
        if chance.random() < 0.03:
            taken, found = found.blocks.values(), EvidenceLedger(config, ("main",), second - 1)
            found.resume(taken)
            found.enter(stage, second)
        one, pairs = draw_one[kind], list[Pair]()
        for _ in range(chance.choice([0, 3, 20, 60])):
            rows = tuple(tuple((at, one(), one()) for at in range(chance.choice([1, 2, 3]))) for _ in range(2))
            key = chance.choice([0, chance.randrange(1, 10), chance.randrange(1, 10**6)])
            flags = [chance.random() < 0.1 for _ in range(3)]
            part = (("c", chance.choice(["x", "y up"])),)
            made = Pair(one(), one(), key, part, flags[0], old_failed=flags[1], lost=flags[2])
            pairs.append(replace(made, rows=rows) if chance.random() < 0.4 else made)
        found.add_pairs(second, "main", pairs)
        found.advance(second + 1)
        assert found.verdict.stage == stage
    (state,) = found._state.comparisons
    assert isinstance(state, PairState)
    assert min(state.weights.values()) > 0 and sum(state.weights.values()) <= 1 + 1e-9


def test_a_class_with_a_constant_score_is_found_by_its_order() -> None:
    """The scores of a class hardly vary, so a constant is near to each of them."""
    chance, pairs = random.Random(5), list[Pair]()
    for number in range(1_500):
        first, second = (1 / (1 + math.exp(-chance.gauss(-2, 0.5))) for _ in range(2))
        pairs.append(Pair(first, first, number + 1, rows=(((0, first, first), (1, second, 0.12)),)))
    found = result(watch(pairs))
    assert (found.finding, found.test) == (Finding.FAIL, "output 2 order")


FEW = [Pair(10.0, 10.1, 1), Pair(14.0, 13.9, 2), Pair(18.0, 18.0, 3), Pair(11.0, 11.0, 4), Pair(30.0, 30.2, 5)]


@pytest.mark.parametrize("scores", [False, True])
def test_of_few_requests_that_all_were_compared_the_comparison_is_complete(scores: bool) -> None:
    few = [replace(one, old=(one.old or 0) / 100, new=(one.new or 0) / 100) for one in FEW] if scores else FEW
    verdict = watch(ask_again(few, 200)).verdict
    assert "; paired rests on 5 different requests, as no others come" in verdict.reason
    (found,) = verdict.results
    assert (found.finding, found.complete, found.repeated) == (Finding.PASS, True, 200)
    one_differs = [*few[:-1], replace(few[-1], new=(few[-1].new or 0) / 5)]
    found = result(watch(ask_again(one_differs, 200)))
    assert found.finding is not Finding.PASS and found.complete
    failed = [*few[:-1], replace(few[-1], new=None, failed=True)]
    assert result(watch(ask_again(failed, 200))).finding is not Finding.PASS


@pytest.mark.parametrize("seed", range(6))
def test_of_few_requests_that_both_versions_fail_now_and_then_none_decides(seed: int) -> None:
    """What went wrong once is no difference by itself: how often it does is counted whenever the request comes."""
    blocks = watch(asked_with_errors(seed, 0.05, 0.05)).blocks.values()
    state, findings = begin(CONFIG, ("main",)), set[Finding]()
    for block in blocks:
        state = fold(state, block)
        findings.add(judge(state).finding)
    assert Finding.PASS in findings and Finding.FAIL not in findings
    assert result(watch(asked_with_errors(seed, 0.05, 0.4))).finding is Finding.FAIL


def asked_with_errors(seed: int, old: float, new: float) -> list[Pair]:
    chance, pairs = random.Random(seed), list[Pair]()
    for pair in ask_again(FEW, 2_000):
        failed = chance.random() < old, chance.random() < new
        before, after = None if failed[0] else pair.old, None if failed[1] else pair.new
        pairs.append(replace(pair, old=before, new=after, old_failed=failed[0], failed=failed[1]))
    return pairs


def test_an_old_version_that_fails_is_none_whose_answers_have_no_numbers() -> None:
    """It may recover."""
    pairs = [Pair(None, 3.0, number + 1, old_failed=True) for number in range(100)]
    assert not watch(pairs).verdict.never


def test_requests_that_are_few_but_not_all_are_no_pass() -> None:
    """While others come it is not known what they do."""
    more = [Pair(10.0 + number % 7, 10.0 + number % 7, number + 1) for number in range(60)]
    found = result(watch(ask_again(more[:30], 150) + ask_again(more[30:], 0)))
    assert found.finding is Finding.NO_DATA and not found.complete
    assert result(watch(ask_again(FEW, ALL_REPEATED + 20))).finding is Finding.NO_DATA


@pytest.mark.parametrize(
    ("lost_of_ten", "finding"), [(0, Finding.PASS), (1, Finding.PASS), (2, NO_DATA), (10, NO_DATA)]
)
@pytest.mark.parametrize("scores", [False, True])
def test_of_few_requests_whose_copies_are_lost_in_a_stage_there_is_no_pass(
    lost_of_ten: int, finding: Finding, scores: bool
) -> None:
    """That the version answered them well in the stage before says nothing of this one."""
    few = [replace(one, old=(one.old or 0) / 100, new=(one.new or 0) / 100) for one in FEW] if scores else FEW
    before = ask_again(few, 200)
    found = watch(before)
    assert found.verdict.finding is Finding.PASS
    found.enter(1, len(before))
    for number, one in enumerate(few * 60):
        lost = number % 10 < lost_of_ten
        found.add_pairs(len(before) + number, "main", [replace(one, new=None, lost=True) if lost else one])
        found.advance(len(before) + number + 1)
    paired = result(found)
    assert (found.verdict.stage, paired.finding) == (1, finding)
    assert paired.lost[1] == 30 * lost_of_ten and paired.repeated == 300 - 30 * lost_of_ten
    if finding is NO_DATA:
        assert f": {30 * lost_of_ten} of " in found.verdict.reason


WARM_UPS: dict[str, list[Pair]] = {
    "one small amount": [Pair(10.0, 10.1, 1)],
    "one score": [Pair(0.37, 0.371, 1)],
    "zero": [Pair(0.0, 0.0, 1)],
    "amounts that are near to one another": [Pair(10 + at / 50, 10.2 + at / 50, at + 1) for at in range(5)],
    "scores that are near to one another": [Pair(0.001 * at, 0.001, at + 1) for at in range(1, 6)],
    "amounts like the others": [replace(one, old=100 * (one.old or 0), new=100 * (one.new or 0)) for one in FEW],
}


def after_warm_up(warm_up: list[Pair], repeats: int, scores: bool, change: float) -> list[Pair]:
    """Real requests follow; honest versions differ by an eighth of a unit, or a fifth of one in log-odds."""
    chance, real = random.Random(4), list[Pair]()
    for number in range(1_000):
        if scores:
            logit = chance.gauss(-1, 1.5)
            old, new = (1 / (1 + math.exp(-one)) for one in (logit, logit + change + chance.gauss(0, 0.2)))
        else:
            old = chance.gauss(1000, 200)
            new = old + 100 * change + chance.gauss(0, 20)
        real.append(Pair(old, new, 1_000 + number))
    return ask_again(warm_up, repeats) + real


@pytest.mark.parametrize("repeats", [80, 1_200])
@pytest.mark.parametrize(
    ("warm_up", "scores"),
    [*((one, False) for one in WARM_UPS), *((one, True) for one in WARM_UPS if "score" in one)],
)
def test_the_few_requests_of_a_warm_up_decide_nothing_about_those_that_follow(
    warm_up: str, scores: bool, repeats: int
) -> None:
    """A monitor repeats its requests before anyone else comes: a unit that follows from them is none for others."""
    few = WARM_UPS[warm_up]
    pairs = after_warm_up(few, repeats, scores, 0.0)
    state = begin(CONFIG, ("main",))
    for block in watch(pairs).blocks.values():
        state = fold(state, block)
        assert judge(state).finding is not Finding.FAIL
    waiting = result(watch(pairs[: len(few) + repeats + 30]))
    assert waiting.evidence == 0 and waiting.complete is (repeats == 1_200)
    if not waiting.complete:
        assert (waiting.unit, waiting.finding, waiting.compared) == (None, NO_DATA, 0)
    honest = result(watch(pairs))
    assert honest.finding is not NO_DATA and honest.compared == len(few) + 1_000
    assert honest.unit is None if scores else honest.unit == pytest.approx(100, rel=0.15)
    worse = result(watch(after_warm_up(few, repeats, scores, 1.2)))
    assert worse.finding is Finding.FAIL


def test_few_requests_are_no_evidence_and_pass_by_a_unit_for_the_time_being() -> None:
    far = [replace(one, new=2 * (one.new or 0)) for one in FEW]
    found = result(watch(ask_again(far, 200)))
    assert (found.finding, found.evidence, found.compared) == (NO_DATA, 0.0, 5) and found.complete and found.unit
    assert (
        "no others come; the versions' predictions differ by more than one unit in 100.0% of 5 requests"
        in watch(ask_again(far, 200)).verdict.reason
    )
    others = [Pair(10.0 + one, 10.0 + one, 50 + one) for one in range(6)]
    for more, finding, compared in ((0, Finding.PASS, 5), (3, Finding.PASS, 8), (6, NO_DATA, 0)):
        found = result(watch(ask_again(FEW, 200) + others[:more]))
        assert (found.finding, found.compared, found.evidence) == (finding, compared, 0.0)
        assert (found.unit is None) is (compared == 0)


def test_a_comparison_of_few_requests_outlives_the_controller_that_made_it() -> None:
    first = watch(ask_again(FEW, 200))
    later = EvidenceLedger(CONFIG, ("main",), 0)
    later.resume(first.blocks.values())
    assert later.verdict == first.verdict and later.verdict.finding is Finding.PASS
    start = later.through
    for number, one in enumerate(ask_again(FEW, 400)):
        later.add_pairs(start + number, "main", [one])
        later.advance(start + number + 1)
    assert result(later).finding is Finding.PASS


def test_a_few_equal_scores_are_measured_as_scores() -> None:
    assert [narrow_unit(one) for one in ([0.37], [0.0, 0.0], [1.0])] == [Unit(True)] * 3
    assert narrow_unit([-20.0]) == Unit(False, 2.0)


def test_a_single_request_with_one_prediction_is_compared() -> None:
    assert result(watch(ask_again([Pair(500.0, 502.0, 1)], 200))).finding is Finding.PASS
    assert result(watch(ask_again([Pair(500.0, 700.0, 1)], 200))).finding is not Finding.PASS


def test_answers_without_numbers_are_reported_at_once() -> None:
    found = watch([Pair(None, None, number + 1) for number in range(60)])
    assert found.verdict.finding is Finding.NO_DATA and found.verdict.never
    assert "no number in 60 of 60 copied requests" in found.verdict.reason
    some = watch([Pair(None if number % 5 else 3.0, 3.0, number + 1) for number in range(60)])
    assert not some.verdict.never
