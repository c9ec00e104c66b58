"""From sums of pairs to what a comparison of pairs found. Pure.

The tests of a comparison share one e-process, their weighted mean. How much each one weighs follows from what came
before it: columns weigh the same, slices less the later they come."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

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
from tidegate.evidence.features import ROWS, SOMETIMES
from tidegate.evidence.means import HitTest, NetTest, SumTest, add_sums, split_net
from tidegate.evidence.measures import (
    RISING,
    StageData,
    Standing,
    choose_measured,
    conclude,
    measure_sums,
)
from tidegate.evidence.pairs import (
    DISTANCE,
    FAILING,
    FAILING_OF,
    PAIRS,
    SLICE,
    UNUSABLE_OF,
    UP,
    centre_of,
    estimate,
    is_net,
    is_part,
    make_pair_tests,
    make_slice_tests,
    scale,
    split_test,
    sums_of,
)
from tidegate.evidence.stakes import log_mixture

MOST_LOST = 0.1
"""Part of the copies that may be lost in a stage that passes: those could be the ones that differ."""
PART = 3
"""A test that looks at some of the pairs only (a slice, the highest 5 %) needs the minimum divided by this. Having
fewer makes it undecided, and holds no stage by itself: some slice is always rare."""
FIRST_COLUMNS = 0.9
"""Part of the stake that the columns of the first block with any share. The rest is for those that come later."""
MOST_NAMED = 4
"""Further columns or slices that a reason names."""


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
    """Blocks in which columns were first seen."""
    stages: dict[str, StageData] = field(default_factory=dict)
    """By test."""
    risen: dict[str, tuple[float, Sums]] = field(default_factory=dict)
    """By test: its lowest logarithm so far, and the sums since then, which are those that speak for a difference."""
    decided: tuple[dict[str, float], dict[str, Sums]] = field(default_factory=lambda: ({}, {}))
    """The logarithm of each test, and the sums since its lowest, as of the block in which ``most`` was reached."""


def begin_pairs(comparison: Comparison, variant: str, config: EvidenceConfig) -> PairState:
    if comparison is Comparison.FEATURES:
        return PairState(comparison, variant, {}, {})
    tests = make_pair_tests(config.paired)
    whole = 0.5 if config.slices else 1.0
    return PairState(comparison, variant, tests, dict.fromkeys(tests, whole / len(tests)))


def enter_stage(state: PairState) -> PairState:
    tests = {name: one.enter_stage() for name, one in state.tests.items()}
    return replace(state, tests=tests, stage_counted=0, stage_offered=NO_SUMS)


def fold_pairs(state: PairState, block: EvidenceBlock, config: EvidenceConfig) -> PairState:
    """The state after one more block."""
    prefix = pair_key(state.variant, state.comparison, "")
    sums = {key.removeprefix(prefix): _usable(one) for key, one in block.sums.items() if key.startswith(prefix)}
    if not sums:
        return state
    state = _meet(state, sums, config)
    features = state.comparison is Comparison.FEATURES
    offered = sums.get(ROWS if features else PAIRS, NO_SUMS)
    counted = round(offered[1]) if features else sums.get(DISTANCE, NO_SUMS)[0]
    looked = {
        test: _look_at_column(state, test, sums, counted) if features else sums_of(test, sums)
        for test in state.tests
    }
    tests = {test: one.update(looked[test], max(1, block.seconds)) for test, one in state.tests.items()}
    totals = {test: add_sums(state.totals.get(test, NO_SUMS), one) for test, one in looked.items()}
    stages = {
        test: state.stages.get(test, StageData()).sum(block.stage, one, block.seconds)
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
    )
    evidence = _log_evidence(after)
    if evidence <= state.most:
        return after
    sums = {test: since for test, (_, since) in after.risen.items()}
    return replace(after, most=evidence, decided=(_alone(after), sums))


def _rise(before: tuple[float, Sums] | None, log: float, looked: Sums) -> tuple[float, Sums]:
    lowest, since = before or (0.0, NO_SUMS)
    return (log, NO_SUMS) if log <= lowest else (lowest, add_sums(since, looked))


def _alone(state: PairState) -> dict[str, float]:
    """The logarithm of each test with its weight."""
    return {test: one.log_evidence + math.log(state.weights[test]) for test, one in state.tests.items()}


def pair_key(variant: str, comparison: Comparison, name: str) -> str:
    """Key of sums in a block."""
    return f"{variant}/{comparison}/{name}"


def _meet(state: PairState, sums: dict[str, Sums], config: EvidenceConfig) -> PairState:
    """Begin with columns and slices as they come."""
    if state.comparison is Comparison.FEATURES:
        return _meet_columns(state, sums, config)
    tests, weights = dict(state.tests), dict(state.weights)
    known = sum(1 for test in tests if test.startswith(SLICE) and split_test(test)[1] == UP)
    for name in (name.removeprefix(FAILING_OF).removeprefix(UNUSABLE_OF) for name in sums):
        if name.startswith(SLICE) and name + UP not in tests:
            known += 1
            made = make_slice_tests(name, config.paired)
            tests |= made
            weights |= dict.fromkeys(made, 0.5 / (known * (known + 1)) / len(made))
    return replace(state, tests=tests, weights=weights)


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
    stake = (1 - FIRST_COLUMNS) / (number * (number + 1)) if number else FIRST_COLUMNS
    tests = dict.fromkeys(columns, HitTest(config.features.rows))
    weights = dict.fromkeys(columns, stake / len(columns))
    return replace(state, tests=state.tests | tests, weights=state.weights | weights, batches=number + 1)


def _look_at_column(state: PairState, name: str, sums: dict[str, Sums], counted: int) -> Sums:
    """Of a column that every request has, a block without sums had no hit."""
    if name in state.sometimes:
        return sums.get(SOMETIMES + name, NO_SUMS)
    return sums.get(name, (counted, 0.0, 0.0))


def _usable(sums: Sums) -> Sums:
    """Sums that make no sense are no evidence."""
    count, total, squares = sums
    return sums if 0 <= squares <= total + 1e-6 and total <= count + 1e-6 else NO_SUMS


def _log_evidence(state: PairState) -> float:
    """The tests that are still to come count as 1."""
    if not state.tests:
        return 0.0
    rest = 1 - sum(state.weights.values())
    logs = [one.log_evidence for one in state.tests.values()]
    weights = [state.weights[test] for test in state.tests]
    if rest > 1e-9:
        logs, weights = [*logs, 0.0], [*weights, rest]
    return log_mixture(tuple(logs), tuple(weights))


def _name_failed(state: PairState, limit: float) -> list[str]:
    """The tests that a failure names, the one with most evidence first. Each exceeds its tolerance by the figures of
    the block that decided; if none does, the one with most evidence alone."""
    alone, sums = state.decided
    apart = {test for test in alone if _exceeds(sums.get(test, NO_SUMS), state.tests[test])}
    ranked = sorted(alone, key=lambda test: (test not in apart, -alone[test]))
    return [ranked[0], *(test for test in ranked[1:] if alone[test] >= limit and test in apart)]


def pair_result(state: PairState, rate: float, config: EvidenceConfig, stage: int) -> ComparisonResult:
    limit = -math.log(rate)
    evidence = state.most / limit
    offered, usable = state.stage_offered[0], round(state.stage_offered[1])
    alone = _alone(state)
    ranked = sorted(alone, key=lambda test: -alone[test])
    test, sums = (ranked[0], state.totals.get(ranked[0], NO_SUMS)) if ranked else ("", NO_SUMS)
    failed = list[str]()
    if evidence >= 1:
        failed = _name_failed(state, limit)
        test, sums = failed[0], state.decided[1].get(failed[0], NO_SUMS)
    measured = _measure(state, {test: alone[test] / limit for test in ranked}, failed, config, stage)
    if failed:
        finding = Finding.FAIL
    elif state.stage_counted < config.minimum or offered - usable > MOST_LOST * offered:
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
        lost=(offered, offered - usable),
        measurements=choose_measured(measured),
        rising=_log_evidence(state) >= RISING * limit or any(one.rising for one in measured),
    )


def _measure(
    state: PairState, evidence: dict[str, float], failed: Sequence[str], config: EvidenceConfig, stage: int
) -> list[Measurement]:
    """Of each test that has data, in the order of the tests."""
    counted = {test: one for test, one in state.stages.items() if one.sums[0]}
    paired, found = state.comparison is Comparison.PAIRED, list[Measurement]()
    parts = {test for test in counted if not paired or is_part(test)}
    looking = sum(1 for test in parts if counted[test].stage == stage)
    for test, data in counted.items():
        now = data.stage == stage
        needed = math.ceil(config.minimum / PART) if paired and test in parts else config.minimum
        enough, among = now and data.sums[0] >= needed, looking if test in parts else 1
        known = Standing(evidence[test], enough, test in failed, among if now else None)
        unit = partial(scale, test) if paired else float
        centre = centre_of(test) if paired else 0.0
        found.append(measure_sums(test, data, _level(state.tests[test]), centre, unit, known))
    return found


def _exceeds(sums: Sums, test: SumTest) -> bool:
    return sums[1] / max(1, sums[0]) > _level(test)


def _level(test: SumTest) -> float:
    """The tolerance of a test as a mean from 0 to 1."""
    return (1 + test.tolerance) / 2 if isinstance(test, NetTest) else test.tolerance


def describe_pairs(result: ComparisonResult, config: EvidenceConfig) -> str:
    """What was found, as the end of a sentence that begins with the comparison."""
    if result.comparison is Comparison.FEATURES:
        what = f"column {result.test} has another value in {result.pairs[1] / max(1, result.pairs[0]):.1%}"
        what += f" of {result.pairs[0]} requests (tolerance {config.features.rows:.1%})"
    elif is_net(result.test):
        alike, worse, better = (round(one) for one in split_net(result.pairs))
        bad = "failed" if result.test.startswith(FAILING) else "answered without a finite number"
        of = result.test.partition(" ")[2]
        what = f"{worse} of {alike + worse + better} requests{' of ' + of if of else ''} {bad} on the new version"
        what += f" only, {better} on the old one only (tolerance {config.paired.failed:.1%})"
    else:
        value, tolerance = estimate(result.test, result.pairs), _tolerance(result.test, config)
        what = f"{result.test} is {value:+.3g} over {result.pairs[0]} requests (tolerance {tolerance:g})"
    if result.also:
        more = len(result.also) - MOST_NAMED
        what += f"; also {', '.join(result.also[:MOST_NAMED])}" + (f" and {more} more" if more > 0 else "")
    return what


def _tolerance(test: str, config: EvidenceConfig) -> float:
    if test.startswith(SLICE):
        return config.paired.slice
    name = split_test(test)[0].replace(" ", "_")
    found: float = getattr(config.paired, name)
    return found
