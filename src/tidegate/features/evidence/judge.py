"""Fold blocks of counts to a verdict: the same blocks always give the same verdict. Pure.

The rate of false rollbacks is divided among all comparisons of all variants (Bonferroni), and within a comparison
its tests share one e-process, their mean. So the whole rollout fails with at most that probability if no version
differs from the other by more than the tolerances, however long it takes and however often it is looked at."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from tidegate.domain.evidence import (
    OF_PAIRS,
    Comparison,
    ComparisonResult,
    Counts,
    EvidenceAction,
    EvidenceBlock,
    EvidenceConfig,
    Finding,
    Measurement,
    Verdict,
    gets_copies_first,
)
from tidegate.domain.replay import ReplayResult
from tidegate.features.evidence.assurance import (
    AssuranceState,
    begin_assurance,
    describe_harms,
    find_harms,
    find_mismatch,
    fold_assurance,
)
from tidegate.features.evidence.bounds import LEVEL
from tidegate.features.evidence.comparisons import (
    ALIKE,
    NOTHING,
    UNUSABLE,
    UNUSABLE_MORE,
    Test,
    make_tests,
    test_key,
)
from tidegate.features.evidence.measures import (
    RISING,
    StageData,
    TestState,
    add_counts,
    choose_measured,
    conclude,
    describe_measured,
    measure_counts,
    take_usable,
)
from tidegate.features.evidence.pair_judge import (
    PairState,
    begin_pairs,
    describe_complete,
    describe_few,
    describe_pairs,
    describe_units,
    enter_stage,
    fold_pairs,
    pair_result,
)
from tidegate.features.evidence.texts import describe_texts
from tidegate.statistics.assignments import AssignmentTest
from tidegate.statistics.stakes import log_mixture

STAKES = {
    Comparison.ERRORS: 6.0,
    Comparison.LATENCY: 1.0,
    Comparison.PREDICTIONS: 1.0,
    Comparison.PAIRED: 2.0,
    Comparison.FEATURES: 1.0,
    Comparison.TEXT: 1.0,
}
"""Parts of the false rollback rate, relative to each other: errors are the most common fault and want speed."""
LEAST_BLOCKS = {Comparison.ERRORS: 1, Comparison.LATENCY: 30, Comparison.PREDICTIONS: 10, Comparison.TEXT: 30}
"""Blocks that a comparison needs in each stage to pass. A test of shares at most doubles its evidence in a block,
so it could not see anything in fewer, however many requests they have. Predictions are compared request by request,
but how many of those are moved together shows over several blocks only."""


@dataclass(frozen=True)
class ComparisonState:
    """One comparison of one variant. ``most``: logarithm of the largest e-value so far."""

    comparison: Comparison
    variant: str
    tests: Mapping[str, Test]
    totals: dict[str, Counts]
    stages: dict[str, StageData]
    """By test."""
    most: float = 0.0
    decided: tuple[str, Counts] = ("", NOTHING)
    """The test with most evidence, and its counts, when the e-value was largest: what a failure rests on."""
    stage_requests: tuple[int, int] = (0, 0)
    stage_blocks: int = 0


@dataclass(frozen=True)
class EvidenceState:
    """All comparisons of a rollout after some blocks."""

    config: EvidenceConfig
    comparisons: tuple[ComparisonState | PairState, ...]
    stage: int = 0
    assurance: AssuranceState | None = None


def begin(config: EvidenceConfig, variants: Iterable[str]) -> EvidenceState:
    found: list[ComparisonState | PairState] = []
    variants = tuple(variants)
    for variant in variants:
        for comparison in config.compare:
            if comparison in OF_PAIRS:
                found.append(begin_pairs(comparison, variant, config))
                continue
            tests = make_tests(comparison, config)
            totals, stages = dict.fromkeys(tests, NOTHING), dict.fromkeys(tests, StageData())
            found.append(ComparisonState(comparison, variant, tests, totals, stages))
    assurance = None if config.assure is None else begin_assurance(config.assure, variants)
    return EvidenceState(config, tuple(found), assurance=assurance)


def fold(state: EvidenceState, block: EvidenceBlock) -> EvidenceState:
    """Return the state after one more block."""
    if block.stage != state.stage:
        fresh = tuple(_enter(one) for one in state.comparisons)
        state = replace(state, comparisons=fresh, stage=block.stage)
    return replace(
        state,
        comparisons=tuple(_fold_one(one, block, state.config) for one in state.comparisons),
        assurance=None if state.assurance is None else fold_assurance(state.assurance, block),
    )


def tested(state: EvidenceState, block: EvidenceBlock) -> Iterator[tuple[Counts, float]]:
    """Yield the counts of a block by test, with the tolerance of each. Those of pairs are not among them."""
    for one in state.comparisons:
        if isinstance(one, ComparisonState):
            for name, test in one.tests.items():
                key = test_key(one.variant, one.comparison, name)
                yield take_usable(block.counts.get(key, NOTHING)), test.tolerance


def _enter(state: ComparisonState | PairState) -> ComparisonState | PairState:
    """Return the state at the beginning of a stage."""
    if isinstance(state, PairState):
        return enter_stage(state)
    tests = {name: one.enter_stage() for name, one in state.tests.items()}
    return replace(state, tests=tests, stage_requests=(0, 0), stage_blocks=0)


def _fold_one(
    state: ComparisonState | PairState, block: EvidenceBlock, config: EvidenceConfig
) -> ComparisonState | PairState:
    if isinstance(state, PairState):
        return fold_pairs(state, block, config)
    keys = {test: test_key(state.variant, state.comparison, test) for test in state.tests}
    counts = {test: take_usable(block.counts.get(key, NOTHING)) for test, key in keys.items()}
    alike = block.counts.get(test_key(state.variant, state.comparison, ALIKE))
    most = None if alike is None else max(1, alike[1])
    tests = {
        test: one.update(counts[test], most) if isinstance(one, AssignmentTest) else one.update(counts[test])
        for test, one in state.tests.items()
    }
    totals = {test: add_counts(total, counts[test]) for test, total in state.totals.items()}
    first, now = next(iter(counts.values())), _log_evidence(tests)
    if now > state.most:
        leading = max(tests, key=lambda test: tests[test].log_evidence)
        state = replace(state, most=now, decided=(leading, totals[leading]))
    return replace(
        state,
        tests=tests,
        totals=totals,
        stages={test: one.count(block.stage, counts[test], block.seconds) for test, one in state.stages.items()},
        stage_requests=(state.stage_requests[0] + first[0], state.stage_requests[1] + first[2]),
        stage_blocks=state.stage_blocks + (first[0] > 0 and first[2] > 0),
    )


def _log_evidence(tests: Mapping[str, Test]) -> float:
    logs = tuple(test.log_evidence for test in tests.values())
    return log_mixture(logs, (1 / len(logs),) * len(logs))


def false_alarm_rates(config: EvidenceConfig, variants: int) -> dict[Comparison, float]:
    """Return the part of the false rollback rate that each comparison of each variant may use."""
    whole = sum(STAKES[comparison] for comparison in config.compare) * max(1, variants)
    left = config.false_rollback_rate - replay_rate(config, variants) * max(1, variants)
    return {one: left * STAKES[one] / whole for one in config.compare}


def replay_rate(config: EvidenceConfig, variants: int) -> float:
    """Return the part of the false rollback rate that the replay of each variant may use: half of it all together."""
    return 0.0 if config.replay is None else config.false_rollback_rate / 2 / max(1, variants)


def judge(state: EvidenceState, replayed: Mapping[str, ReplayResult] | None = None) -> Verdict:
    """Return the verdict on the present stage. A failure is final; all else needs the minimum of requests in every
    comparison, and a pass needs that each of them proves its differences to be within their tolerances. ``replayed``:
    the labelled rows that an assurance rests on, by variant."""
    found = _compare(state)
    if state.assurance is None:
        return found
    harms, mismatch = find_harms(state.assurance, replayed or {}), find_mismatch(state.assurance)
    reasons = [one for one in (found.reason, mismatch, describe_harms(harms)) if one]
    said = found.reason if found.finding is Finding.FAIL else "; ".join(reasons)
    return replace(found, reason=said, harms=harms, exposed=state.assurance.exposed, mismatch=mismatch)


def _compare(state: EvidenceState) -> Verdict:
    """Return the verdict of the comparisons."""
    variants = len({one.variant for one in state.comparisons})
    rates = false_alarm_rates(state.config, variants)
    found_by = (_result(one, rates[one.comparison], state) for one in state.comparisons)
    results = tuple(replace(one, needed=_is_needed(one, state)) for one in found_by)
    needed = tuple(one for one in results if one.needed)
    found = {one.finding for one in needed}
    rising = any(one.rising for one in needed)
    failed = [_describe(one, state.config) for one in results if one.finding is Finding.FAIL]
    if failed:
        return Verdict(Finding.FAIL, state.stage, "; ".join(failed) + describe_units(results), results)
    if not needed or Finding.NO_DATA in found:
        lack = _describe_lack(needed, state.config) + describe_units(results)
        return Verdict(Finding.NO_DATA, state.stage, lack, results, rising)
    few = [one for one in needed if one.complete]
    basis = "".join(map(describe_few, few)) + describe_units(results)
    if Finding.UNDECIDED in found:
        return Verdict(Finding.UNDECIDED, state.stage, _describe_open(needed, rising) + basis, results, rising)
    proved = f"the {LEVEL:.0%} bound of each difference is within its tolerance"
    if few:
        proved = f"each difference, and its {LEVEL:.0%} bound where more requests come, is within its tolerance"
    return Verdict(Finding.PASS, state.stage, f"not worse: {proved}{basis}", results)


def _describe_open(results: Sequence[ComparisonResult], rising: bool) -> str:
    """Describe the comparisons that are undecided, or, if ``rising``, those that may be about to fail."""
    chosen = [one for one in results if (one.rising if rising else one.finding is Finding.UNDECIDED)]
    said = "; ".join(
        f"{one.comparison} of variant {one.variant}: {describe_measured(one, rising)}" for one in chosen
    )
    return f"{'may be worse' if rising else 'not known yet whether it is worse'}: {said}"


def _is_needed(result: ComparisonResult, state: EvidenceState) -> bool:
    """Whether the present stage needs this comparison to pass. Where the new version gets copies only, it has no
    requests of its own. A comparison that is only reported, as of rollouts that ask for nothing, needs no texts of a
    model that writes none."""
    reported = state.config.action is EvidenceAction.REPORT and len(state.config.compare) > 1
    if reported and result.comparison is Comparison.TEXT and not any(result.counts):
        return False
    return result.comparison in OF_PAIRS or state.stage > 0 or not gets_copies_first(state.config)


def recompute(
    config: EvidenceConfig,
    variants: Iterable[str],
    blocks: Iterable[EvidenceBlock],
    stage: int,
    replayed: Mapping[str, ReplayResult] | None = None,
) -> Verdict:
    """Recompute the verdict in this stage from blocks in the order of time, and from labelled rows, by variant."""
    state = begin(config, variants)
    for block in sorted(blocks, key=lambda one: one.at):
        state = fold(state, block)
    if state.stage != stage:
        state = fold(state, EvidenceBlock(0, 0, stage, {}))
    return judge(state, replayed)


def _result(state: ComparisonState | PairState, rate: float, whole: EvidenceState) -> ComparisonResult:
    config = whole.config
    if isinstance(state, PairState):
        return pair_result(state, rate, config, whole.stage)
    limit = -math.log(rate)
    evidence = state.most / limit
    failed = state.decided[0] if evidence >= 1 else None
    measured = _measure(state, limit, failed, whole)
    if failed is not None:
        finding = Finding.FAIL
    else:
        enough = _is_enough(state.comparison, state.stage_requests, state.stage_blocks, config)
        finding = conclude(measured) if enough else Finding.NO_DATA
    # A test without data has no evidence against a difference either, and says less than any other.
    test = max(state.tests, key=lambda name: (state.totals[name][2] > 0, state.tests[name].log_evidence))
    return ComparisonResult(
        state.comparison,
        state.variant,
        finding,
        evidence,
        test if failed is None else failed,
        state.totals[test] if failed is None else state.decided[1],
        state.stage_requests,
        state.stage_blocks,
        measurements=choose_measured(measured),
        rising=_log_evidence(state.tests) >= RISING * limit or any(one.rising for one in measured),
    )


def _is_enough(comparison: Comparison, requests: tuple[int, int], blocks: int, config: EvidenceConfig) -> bool:
    return min(requests) >= config.minimum and blocks >= LEAST_BLOCKS[comparison]


def _measure(state: ComparisonState, limit: float, failed: str | None, whole: EvidenceState) -> list[Measurement]:
    """Measure the differences that each test with data found."""
    counted = {test: one for test, one in state.stages.items() if one.blocks[0]}
    found = list[Measurement]()
    for test, data in counted.items():
        now, requests = data.stage == whole.stage, (data.counts[0], data.counts[2])
        enough = now and _is_enough(state.comparison, requests, data.blocks[0], whole.config)
        evidence = (state.tests[test].log_evidence - math.log(len(state.tests))) / limit
        known = TestState(evidence, enough, test == failed, 1 if now else None)
        found.append(measure_counts(test, state.tests[test], data, known))
    return found


def _describe(result: ComparisonResult, config: EvidenceConfig) -> str:
    old_n, old_k, new_n, new_k = result.counts
    old, new = f"{old_k / max(1, old_n):.2%} of {old_n}", f"{new_k / max(1, new_n):.2%} of {new_n}"
    match result.comparison:
        case Comparison.ERRORS:
            what = f"{new} requests failed, {old} on the old version (tolerance {config.errors:.2%})"
        case Comparison.LATENCY:
            limit = f"the old version's {result.test} by more than {config.latency:.0%}"
            what = f"{new} requests exceeded {limit}, {old} its {result.test} on the old version"
        case Comparison.PREDICTIONS if result.test == UNUSABLE:
            what = f"{new} answers have no finite number, {old} on the old version (tolerance {UNUSABLE_MORE:.0%})"
        case Comparison.PREDICTIONS:
            side, level = result.test.split()
            what = f"{new} predictions lie {side} the old version's {level}, {old} on the old version"
            what += f" (tolerance {config.predictions:.1%})"
        case Comparison.TEXT:
            what = describe_texts(result, config.text, old, new)
        case Comparison.PAIRED | Comparison.FEATURES:
            what = describe_pairs(result, config)
    return f"{result.comparison} of variant {result.variant}: {what}"


def _describe_lack(results: Iterable[ComparisonResult], config: EvidenceConfig) -> str:
    lacking = [_describe_one_lack(one, config) for one in results if one.finding is Finding.NO_DATA]
    fewest = max((LEAST_BLOCKS[one] for one in config.compare if one in LEAST_BLOCKS), default=1)
    needs = f"{config.minimum} requests of each version" + (f", and up to {fewest} blocks" if fewest > 1 else "")
    return f"a stage needs {needs}; {'; '.join(lacking)}" if lacking else "nothing to compare"


def _describe_one_lack(one: ComparisonResult, config: EvidenceConfig) -> str:
    what = f"{one.comparison} of variant {one.variant}:"
    if one.never:
        return f"{what} {one.never}"
    if one.complete:
        return f"{what} {describe_complete(one, config)}"
    if one.comparison in OF_PAIRS:
        offered, lost = one.lost
        return f"{what} {one.stage_requests[0]} of {offered} copied requests can be compared, {lost} were lost"
    old, new = one.stage_requests
    if one.comparison is Comparison.TEXT:
        return (
            f"{what} {old} answers of the old and {new} of the new version are text that was searched for the same"
            f" refusals, in {one.stage_blocks} blocks"
        )
    return f"{what} {old} requests of the old and {new} of the new version in {one.stage_blocks} blocks"
