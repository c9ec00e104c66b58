"""Judge sums of pairs: what a comparison of pairs found. Pure.

The tests of a comparison share one e-process, their weighted mean. How much each one weighs follows from what came
before it: columns weigh the same, slices less the later they come."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

from tidegate.domain.evidence import (
    NO_SUMS,
    Comparison,
    ComparisonResult,
    EvidenceBlock,
    EvidenceConfig,
    Finding,
    Measurement,
    Sums,
)
from tidegate.features.evidence.features import ROWS, SOMETIMES
from tidegate.features.evidence.judging import FIRST, QUESTIONS
from tidegate.features.evidence.measures import (
    RISING,
    StageData,
    TestState,
    choose_measured,
    conclude,
    measure_sums,
)
from tidegate.features.evidence.pairs import (
    DISTANCE,
    FAILING_OF,
    FEW,
    LAST_ROW,
    NUMBERLESS,
    PAIRS,
    PER_REPEAT,
    PREFERRED,
    REPEATED,
    SLICE,
    UNUSABLE_OF,
    UP,
    centre_of,
    is_part,
    make_pair_tests,
    make_part_tests,
    make_slice_tests,
    scale,
    split_part,
    split_test,
    sums_of,
)
from tidegate.features.evidence.people import PeopleState, add_people, fold_people, part_of_rate
from tidegate.features.evidence.waits import MOST_LOST
from tidegate.statistics.means import HitTest, NetTest, SumTest, add_sums
from tidegate.statistics.stakes import log_mixture

PART = 3
"""A test that looks at some of the pairs only (a slice, the highest 5 %) needs the minimum divided by this. Having
fewer makes it undecided, and holds no stage by itself: some slice is always rare."""
FIRST_COLUMNS = 0.9
"""Part of the stake that the columns of the first block with any share. The rest is for those that come later."""
OF_PARTS = 0.2
"""Part of the stake that tests of further outputs and of the last row have."""
NUMBERLESS_FROM, NUMBERLESS_SHARE = 50, 0.9
"""Pairs, and the part of them whose old answer has no number, from which on none is to be expected."""


@dataclass(frozen=True)
class PairState:
    """One comparison of pairs, of one variant. ``most``: logarithm of the largest e-value so far."""

    comparison: Comparison
    variant: str
    tests: dict[str, SumTest]
    weights: dict[str, float]
    totals: dict[str, Sums] = field(default_factory=dict)
    most: float = 0.0
    stage_counted: int = 0
    stage_offered: Sums = NO_SUMS
    sometimes: frozenset[str] = frozenset()
    """Columns that some requests do not have."""
    batches: int = 0
    """Blocks in which columns, parts of answers, or amounts after scores were first seen."""
    stages: dict[str, StageData] = field(default_factory=dict)
    """By test."""
    risen: dict[str, tuple[float, Sums]] = field(default_factory=dict)
    """By test: its lowest logarithm so far, and the sums since then, which are those that speak for a difference."""
    decided: tuple[dict[str, float], dict[str, Sums]] = field(default_factory=lambda: ({}, {}))
    """The logarithm of each test, and the sums since its lowest, as of the block in which ``most`` was reached."""
    units: dict[str, float] = field(default_factory=dict)
    """By part: what one unit of amounts is now."""
    stage_repeated: Sums = NO_SUMS
    numberless: Sums = NO_SUMS
    questions: int = 0
    """Those that a judge was asked."""
    first: Sums = NO_SUMS
    """Of its decisions: 1 for each for the answer that it was shown first."""
    people: PeopleState | None = None
    """Of a judge: the labels of people that correct it."""
    few: "PairState | None" = None
    """Of the requests so far, where those are few, by a unit that follows from them alone. It is no evidence."""


def begin_pairs(comparison: Comparison, variant: str, config: EvidenceConfig) -> PairState:
    if comparison is Comparison.FEATURES:
        return PairState(comparison, variant, {}, {})
    if comparison is Comparison.JUDGE:
        labelled = config.judging is not None and config.judging.labels > 0
        people = PeopleState.begin(config.judge) if labelled else None
        return PairState(comparison, variant, {PREFERRED: NetTest(config.judge)}, {PREFERRED: 1.0}, people=people)
    tests = make_pair_tests(config.paired.limits(amounts=False))
    whole = (1 - OF_PARTS) * (0.5 if config.slices else 1.0)
    return PairState(comparison, variant, tests, dict.fromkeys(tests, whole / len(tests)))


def enter_stage(state: PairState) -> PairState:
    tests = {name: one.enter_stage() for name, one in state.tests.items()}
    if state.comparison is Comparison.JUDGE:
        # How good answers are does not depend on the share of the traffic, so what was judged before still counts.
        return replace(state, tests=tests)
    return replace(state, tests=tests, stage_counted=0, stage_offered=NO_SUMS, stage_repeated=NO_SUMS)


def fold_pairs(state: PairState, block: EvidenceBlock, config: EvidenceConfig) -> PairState:
    """Return the state after one more block."""
    prefix = pair_key(state.variant, state.comparison, "")
    sums = {key.removeprefix(prefix): _usable(one) for key, one in block.sums.items() if key.startswith(prefix)}
    units = {key.removeprefix(prefix): size for key, size in block.units.items() if key.startswith(prefix)}
    if state.comparison is Comparison.PAIRED:
        few, sums = _split_few(sums)
        few_units, units = _split_few(units)
        state = _take_few(state, few, few_units, sums.keys(), config)
    state = replace(state, units=state.units | units)
    if state.people is not None:
        labels = [one for one in block.preferences if one.variant == state.variant]
        state = replace(state, people=fold_people(state.people, labels))
    if not sums:
        return state
    state = _meet(state, sums, config)
    features = state.comparison is Comparison.FEATURES
    offered = sums.get(ROWS if features else PAIRS, NO_SUMS)
    judged = state.comparison is Comparison.JUDGE
    counted = round(offered[1]) if features else sums.get(PREFERRED if judged else DISTANCE, NO_SUMS)[0]
    looked = {
        test: _look_at_column(state, test, sums, counted) if features else sums_of(test, sums)
        for test in state.tests
    }
    tests = {test: one.update(looked[test], max(1, block.seconds)) for test, one in state.tests.items()}
    totals = {test: add_sums(state.totals.get(test, NO_SUMS), one) for test, one in looked.items()}
    stages = {
        test: state.stages.get(test, StageData()).sum(0 if judged else block.stage, one, block.seconds)
        for test, one in looked.items()
    }
    after = replace(
        state,
        tests=tests,
        totals=totals,
        stages=stages,
        stage_counted=state.stage_counted + counted,
        stage_offered=add_sums(state.stage_offered, offered),
        risen={test: _rise(state.risen.get(test), one.log_evidence, looked[test]) for test, one in tests.items()},
        stage_repeated=add_sums(state.stage_repeated, sums.get(REPEATED, NO_SUMS)),
        numberless=add_sums(state.numberless, sums.get(NUMBERLESS, NO_SUMS)),
        questions=state.questions + sums.get(QUESTIONS, NO_SUMS)[0],
        first=add_sums(state.first, sums.get(FIRST, NO_SUMS)),
    )
    evidence = _log_evidence(after)
    if evidence <= state.most:
        return after
    sums = {test: since for test, (_, since) in after.risen.items()}
    return replace(after, most=evidence, decided=(_weigh_logarithms(after), sums))


T = TypeVar("T")


def _split_few(named: Mapping[str, T]) -> tuple[dict[str, T], dict[str, T]]:
    """Split named values into those of the few requests so far, by their names without that prefix, and all
    others."""
    few = {name.removeprefix(FEW): one for name, one in named.items() if name.startswith(FEW)}
    return few, {name: one for name, one in named.items() if not name.startswith(FEW)}


def _take_few(
    state: PairState, sums: dict[str, Sums], units: dict[str, float], others: Iterable[str], config: EvidenceConfig
) -> PairState:
    """Return the state after a block with these sums of the few requests so far. Where others came that these do not
    have, or all were measured by a unit that is known, they are not all that there is."""
    if not sums:
        return state if {PAIRS, NUMBERLESS, DISTANCE}.isdisjoint(others) else replace(state, few=None)
    prefix = pair_key(state.variant, state.comparison, "")
    named = {prefix + name: one for name, one in sums.items()}
    known = EvidenceBlock(0, 1, 0, {}, named, {prefix + part: size for part, size in units.items()})
    return replace(state, few=fold_pairs(begin_pairs(state.comparison, state.variant, config), known, config))


def _find_basis(state: PairState) -> PairState:
    """Return the state of the few requests so far, with the outcomes of all copies; where they are not few, the state
    itself."""
    if state.few is None:
        return state
    few, counted = state.few, {test: sums for test, sums in state.totals.items() if sums[0]}
    tests = few.tests | {test: state.tests[test] for test in counted}
    weights = few.weights | {test: state.weights[test] for test in counted}
    return replace(few, tests=tests, weights=weights, totals=few.totals | counted)


def _rise(before: tuple[float, Sums] | None, log: float, looked: Sums) -> tuple[float, Sums]:
    lowest, since = before or (0.0, NO_SUMS)
    return (log, NO_SUMS) if log <= lowest else (lowest, add_sums(since, looked))


def _weigh_logarithms(state: PairState) -> dict[str, float]:
    """Return the logarithm of each test with its weight."""
    return {test: one.log_evidence + math.log(state.weights[test]) for test, one in state.tests.items()}


def pair_key(variant: str, comparison: Comparison, name: str) -> str:
    """Return the key of sums in a block."""
    return f"{variant}/{comparison}/{name}"


def _meet(state: PairState, sums: dict[str, Sums], config: EvidenceConfig) -> PairState:
    """Begin with columns and slices as they come."""
    if state.comparison is Comparison.JUDGE:
        return state
    if state.comparison is Comparison.FEATURES:
        return _meet_columns(state, sums, config)
    state = _meet_parts(_measure_amounts(state, config), sums, config)
    limits = config.paired.limits("" in state.units)
    tests, weights = dict(state.tests), dict(state.weights)
    known = sum(1 for test in tests if test.startswith(SLICE) and split_test(test)[1] == UP)
    for name in (name.removeprefix(FAILING_OF).removeprefix(UNUSABLE_OF) for name in sums):
        if name.startswith(SLICE) and name + UP not in tests:
            known += 1
            made = make_slice_tests(name, limits)
            tests |= made
            weights |= dict.fromkeys(made, (1 - OF_PARTS) * 0.5 / (known * (known + 1)) / len(made))
    return replace(state, tests=tests, weights=weights)


def _measure_amounts(state: PairState, config: EvidenceConfig) -> PairState:
    """Take the tests of amounts in place of those that have counted nothing, once it is known that predictions are
    amounts: before there is a unit no difference is measured. They share the stake of those, which is untouched.
    Where all have counted, since predictions were scores at first, those that are new have a later part's stake."""
    if "" not in state.units:
        return state
    limits = config.paired.limits(amounts=True)
    idle = {name for name in state.tests if not state.totals.get(name, NO_SUMS)[0]}
    tests, weights = dict(state.tests), dict(state.weights)
    for name in idle:
        if name.startswith(SLICE) and name.endswith(UP):
            made = make_slice_tests(name.removesuffix(UP), limits)
            tests |= {one: test for one, test in made.items() if one in idle}
    whole = make_pair_tests(limits, amounts=True)
    fresh = {name: one for name, one in whole.items() if name in idle or name not in tests}
    stake, batches = sum(weights.get(name, 0.0) for name in fresh), state.batches
    if fresh and not stake:
        stake, batches = OF_PARTS * _share_of_batch(batches), batches + 1
    weights |= dict.fromkeys(fresh, stake / max(1, len(fresh)))
    return replace(state, tests=tests | fresh, weights=weights, batches=batches)


def _share_of_batch(number: int) -> float:
    """Return the part of their stake that tests have which come in the block with this number, of those that have
    any: all of them together have no more than the whole."""
    return (1 - FIRST_COLUMNS) / (number * (number + 1)) if number else FIRST_COLUMNS


def _meet_parts(state: PairState, sums: dict[str, Sums], config: EvidenceConfig) -> PairState:
    """Parts that the same block is the first to have share a stake evenly: which ones those are follows from the form
    of the answers, and not from what is in them."""
    parts = dict.fromkeys(part for part in (split_part(name)[0] for name in sums) if part)
    fresh = [part for part in parts if f"{part} {DISTANCE}" not in state.tests]
    if not fresh:
        return state
    number = state.batches
    stake = OF_PARTS * _share_of_batch(number)
    tests = dict(state.tests)
    for part in fresh:
        amounts = _unit_of(state, part) is not None
        tests |= make_part_tests(part, config.paired.limits(amounts), amounts)
    weights = {name: stake / (len(tests) - len(state.tests)) for name in tests if name not in state.tests}
    return replace(state, tests=tests, weights=state.weights | weights, batches=number + 1)


def _unit_of(state: PairState, part: str) -> float | None:
    """Return the size of a unit of this part in the predictions' own unit; None: log-odds."""
    return state.units.get("" if part == LAST_ROW else part)


def _meet_columns(state: PairState, sums: dict[str, Sums], config: EvidenceConfig) -> PairState:
    """A block lists each column that it is the first to have, whether that has a hit or not. So which columns share
    the stake of a block, and how much each one gets, does not follow from what is found in them."""
    names = [name for name in sums if name != ROWS]
    listed = {name.removeprefix(SOMETIMES) for name in names}
    partly = {name.removeprefix(SOMETIMES) for name in names if name.startswith(SOMETIMES)}
    state = replace(state, sometimes=(state.sometimes - listed) | partly)
    columns = sorted(listed - state.tests.keys())
    if not columns:
        return state
    number = state.batches
    stake = _share_of_batch(number)
    tests = dict.fromkeys(columns, HitTest(config.features.rows))
    weights = dict.fromkeys(columns, stake / len(columns))
    return replace(state, tests=state.tests | tests, weights=state.weights | weights, batches=number + 1)


def _look_at_column(state: PairState, name: str, sums: dict[str, Sums], counted: int) -> Sums:
    """Return the sums of a column in a block. Of a column that every request has, a block without sums had no hit."""
    if name in state.sometimes:
        return sums.get(SOMETIMES + name, NO_SUMS)
    return sums.get(name, (counted, 0.0, 0.0))


def _usable(sums: Sums) -> Sums:
    """Return the sums, or none if they make no sense: such sums are no evidence."""
    count, total, squares = sums
    return sums if 0 <= squares <= total + 1e-6 and total <= count + 1e-6 else NO_SUMS


def _log_evidence(state: PairState) -> float:
    """Return the logarithm of the comparison's evidence. The tests that are still to come count as 1."""
    if not state.tests:
        return 0.0
    rest = 1 - sum(state.weights.values())
    logs = [one.log_evidence for one in state.tests.values()]
    weights = [state.weights[test] for test in state.tests]
    if rest > 1e-9:
        logs, weights = [*logs, 0.0], [*weights, rest]
    return log_mixture(tuple(logs), tuple(weights))


def _name_failed(state: PairState, limit: float) -> list[str]:
    """Name the tests of a failure, the one with most evidence first. Each exceeds its tolerance by the figures of the
    block that decided; if none does, the one with most evidence alone."""
    alone, sums = state.decided
    apart = {test for test in alone if _exceeds(sums.get(test, NO_SUMS), state.tests[test])}
    ranked = sorted(alone, key=lambda test: (test not in apart, -alone[test]))
    return [ranked[0], *(test for test in ranked[1:] if alone[test] >= limit and test in apart)]


def pair_result(state: PairState, rate: float, config: EvidenceConfig, stage: int) -> ComparisonResult:
    if state.people is None:
        return _pair_result(state, rate, config, stage)
    rate = part_of_rate(rate)
    return add_people(_pair_result(state, rate, config, stage), state.people, rate)


def _pair_result(state: PairState, rate: float, config: EvidenceConfig, stage: int) -> ComparisonResult:
    limit = -math.log(rate)
    evidence = state.most / limit
    judged = state.comparison is Comparison.JUDGE
    stage = 0 if judged else stage
    offered, usable = state.stage_offered[0], round(state.stage_offered[1])
    alone = _weigh_logarithms(state)
    ranked = sorted(alone, key=lambda test: -alone[test])
    basis = _find_basis(state)
    test, sums = _choose_shown(basis, _is_complete(state, config))
    failed = list[str]()
    if evidence >= 1:
        failed = _name_failed(state, limit)
        test, sums = failed[0], state.decided[1].get(failed[0], NO_SUMS)
    measured = _measure(state, {test: alone[test] / limit for test in ranked}, failed, config, stage)
    if failed:
        finding = Finding.FAIL
    elif _agrees(state, config):
        finding = Finding.PASS
    elif _lacks_pairs(state, config):
        finding = Finding.NO_DATA
    else:
        finding = conclude(measured)
    return ComparisonResult(
        state.comparison,
        state.variant,
        finding,
        evidence,
        test,
        stage_requests=(state.stage_counted, state.stage_counted),
        pairs=sums,
        also=tuple(failed[1:]),
        lost=(offered, offered - usable + _count_lost(state.stage_repeated)),
        measurements=choose_measured(measured),
        rising=_log_evidence(state) >= RISING * limit or any(one.rising for one in measured),
        unit=_unit_of(basis, split_part(test)[0]),
        repeated=round(state.stage_repeated[1]),
        complete=_is_complete(state, config),
        compared=basis.totals.get(DISTANCE, NO_SUMS)[0],
        never=_find_hindrance(state, config),
        questions=(state.questions, config.judging.asks if config.judging is not None and judged else 0),
        first=state.first[1] / state.first[0] if state.first[0] else None,
    )


def _lacks_pairs(state: PairState, config: EvidenceConfig) -> bool:
    lost = _count_lost(state.stage_offered)
    return state.stage_counted < config.minimum or lost > MOST_LOST * state.stage_offered[0]


def _count_lost(copies: Sums) -> int:
    return copies[0] - round(copies[1])


def _is_complete(state: PairState, config: EvidenceConfig) -> bool:
    """Whether nearly all that was asked in this stage had been compared before: the few requests that there are were
    all compared, and no more are to be expected. The new version must have answered them in this stage, too."""
    copies, answered, _ = state.stage_repeated
    enough = answered >= max(config.minimum, PER_REPEAT * state.stage_offered[0])
    return enough and copies - answered <= MOST_LOST * copies and not _find_hindrance(state, config)


def _agrees(state: PairState, config: EvidenceConfig) -> bool:
    """Whether the comparison of all that is asked is complete, and no test lies above its tolerance. There are no
    further requests that could differ, so no more of them are needed."""
    basis = _find_basis(state)
    found = {test: sums for test, sums in basis.totals.items() if sums[0]}
    if not _is_complete(state, config) or DISTANCE not in found:
        return False
    lost = basis.numberless[0] - found[DISTANCE][0]
    above = (test for test, sums in found.items() if _exceeds(sums, basis.tests[test]))
    return lost <= MOST_LOST * basis.numberless[0] and not any(above)


def _choose_shown(basis: PairState, complete: bool) -> tuple[str, Sums]:
    """Choose the test with most evidence, and its sums. Of a complete comparison one above its tolerance comes
    first."""
    alone = _weigh_logarithms(basis)
    if not alone:
        return "", NO_SUMS
    found = {test: basis.totals.get(test, NO_SUMS) for test in alone}
    test = max(alone, key=lambda test: (complete and _exceeds(found[test], basis.tests[test]), alone[test]))
    return test, found[test]


def _find_hindrance(state: PairState, config: EvidenceConfig) -> str:
    """Describe why no pair is to be expected that can be compared; empty if nothing hinders that."""
    judging = config.judging if state.comparison is Comparison.JUDGE else None
    if judging is not None and state.questions >= judging.asks and _lacks_pairs(state, config):
        verdicts, asked = round(state.stage_offered[1]), state.stage_offered[0]
        return (
            f"all {judging.asks:,} questions (evidence.judge.asks) are spent, and {verdicts:,} of {asked:,} pairs"
            f" have a verdict of the judge; {config.minimum:,} are needed, and at most {MOST_LOST:.0%} may have none"
        )
    count, without, _ = state.numberless
    if count < NUMBERLESS_FROM or without < NUMBERLESS_SHARE * count:
        return ""
    return (
        f"the old version's answers have no number in {without:g} of {count} copied requests, so predictions can"
        " never be compared: take paired out of compare, and compare text if the model writes"
    )


def _measure(
    state: PairState, evidence: dict[str, float], failed: Sequence[str], config: EvidenceConfig, stage: int
) -> list[Measurement]:
    """Measure the differences that each test with data found, in the order of the tests."""
    counted = {test: one for test, one in state.stages.items() if one.sums[0]}
    paired, found = state.comparison is not Comparison.FEATURES, list[Measurement]()
    parts = {test for test in counted if not paired or is_part(test)}
    looking = sum(1 for test in parts if counted[test].stage == stage)
    for test, data in counted.items():
        now = data.stage == stage
        needed = math.ceil(config.minimum / PART) if paired and test in parts else config.minimum
        enough, among = now and data.sums[0] >= needed, looking if test in parts else 1
        known = TestState(evidence[test], enough, test in failed, among if now else None)
        unit = partial(scale, test) if paired else float
        centre = centre_of(test) if paired else 0.0
        found.append(measure_sums(test, data, _level(state.tests[test]), centre, unit, known))
    return found


def _exceeds(sums: Sums, test: SumTest) -> bool:
    return sums[1] / max(1, sums[0]) > _level(test)


def _level(test: SumTest) -> float:
    """Return the tolerance of a test as a mean from 0 to 1."""
    return (1 + test.tolerance) / 2 if isinstance(test, NetTest) else test.tolerance
