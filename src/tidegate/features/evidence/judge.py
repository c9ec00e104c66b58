"""Fold blocks of counts to a verdict: the same blocks always give the same verdict. Pure.

The rate of false rollbacks is divided among all comparisons of all variants (Bonferroni), and within a comparison
its tests share one e-process, their mean. So the whole rollout fails with at most that probability if no version
differs from the other by more than the tolerances, however long it takes and however often it is looked at."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from tidegate.domain.evidence import (
    ALL_COUNTED,
    OF_PAIRS,
    RULES,
    Comparison,
    ComparisonResult,
    Counts,
    DifferingRow,
    EvidenceAction,
    EvidenceBlock,
    EvidenceConfig,
    EvidenceRecord,
    Finding,
    Measurement,
    Uncounted,
    Verdict,
    gets_copies_first,
)
from tidegate.domain.replay import ReplayResult
from tidegate.features.evidence.assurance import (
    AssuranceState,
    begin_assurance,
    find_harms,
    find_mismatch,
    fold_assurance,
)
from tidegate.features.evidence.comparisons import (
    ALIKE,
    NOTHING,
    Test,
    make_tests,
    test_key,
)
from tidegate.features.evidence.differing_rows import choose_rows, show_rows
from tidegate.features.evidence.measures import (
    RISING,
    StageData,
    TestState,
    add_counts,
    choose_measured,
    conclude,
    measure_counts,
    take_usable,
)
from tidegate.features.evidence.pair_judge import (
    PairState,
    begin_pairs,
    enter_stage,
    fold_pairs,
    pair_result,
)
from tidegate.features.evidence.sentences import (
    describe_basis,
    describe_failure,
    describe_harms,
    describe_lack,
    describe_open,
    describe_pass,
)
from tidegate.features.evidence.waits import LEAST_BLOCKS, find_waits
from tidegate.statistics.assignments import AssignmentTest
from tidegate.statistics.stakes import log_mixture

STAKES = {
    Comparison.ERRORS: 6.0,
    Comparison.LATENCY: 1.0,
    Comparison.PREDICTIONS: 1.0,
    Comparison.PAIRED: 2.0,
    Comparison.FEATURES: 1.0,
    Comparison.TEXT: 1.0,
    Comparison.JUDGE: 1.0,
}
"""Parts of the false rollback rate, relative to each other: errors are the most common fault and want speed."""


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
    since: int | None = None
    """First second of the present stage's blocks in which the new version had requests; None: it has none."""
    through: int = 0
    """The second after the last of them."""
    rows: tuple[DifferingRow, ...] = ()
    """Requests on which the versions differ most so far."""


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
        state = replace(state, comparisons=fresh, stage=block.stage, since=None, through=0)
    if block.sums or any(new for _, _, new, _ in block.counts.values()):
        since = block.at if state.since is None else state.since
        state = replace(state, since=since, through=max(state.through, block.at + block.seconds))
    return replace(
        state,
        rows=choose_rows((*state.rows, *block.rows)) if block.rows else state.rows,
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


def judge(
    state: EvidenceState,
    replayed: Mapping[str, ReplayResult] | None = None,
    through: int = 0,
    beside: Uncounted = ALL_COUNTED,
) -> Verdict:
    """Return the verdict on the present stage. A failure is final; all else needs the minimum of requests in every
    comparison, and a pass needs that each of them proves its differences to be within their tolerances. ``replayed``:
    the labelled rows that an assurance rests on, by variant. ``through``: the second before which requests were
    counted, where the last block ended earlier. ``beside``: requests in no block, which budgets count."""
    since = state.since
    found = _compare(state, 0 if since is None else max(state.through, through) - since)
    if state.assurance is None:
        return found
    harms, mismatch = find_harms(state.assurance, replayed or {}), find_mismatch(state.assurance)
    lost = state.assurance.config.ramp and beside.lost and beside.why
    stopped = f"the budgets choose no stages any more, because {beside.why}" if lost else ""
    reasons = [one for one in (found.reason, stopped, mismatch, describe_harms(harms)) if one]
    said = found.reason if found.finding is Finding.FAIL else "; ".join(reasons)
    known = state.assurance
    found = replace(found, reason=said, harms=harms, exposed=known.exposed + beside.requests, mismatch=mismatch)
    # Records of assurances without a budget of failures have none of these.
    if known.config.counts_failures:
        found = replace(found, failed=known.failed + beside.failures)
    return replace(found, room=known.find_room(beside), rate=known.rate) if known.config.ramp else found


def _compare(state: EvidenceState, seconds: int) -> Verdict:
    """Return the verdict of the comparisons. ``seconds``: how long the present stage has had requests."""
    variants = len({one.variant for one in state.comparisons})
    rates = false_alarm_rates(state.config, variants)
    found_by = (_result(one, rates[one.comparison], state) for one in state.comparisons)
    results = tuple(replace(one, needed=_is_needed(one, state)) for one in found_by)
    needed = tuple(one for one in results if one.needed)
    found = {one.finding for one in needed}
    rising = any(one.rising for one in needed)
    waits = find_waits(needed, state.config, seconds)
    verdict = Verdict(Finding.PASS, state.stage, "", results, rows=show_rows(state.rows, results))
    if any(one.finding is Finding.FAIL for one in results):
        return replace(
            verdict, finding=Finding.FAIL, reason=describe_failure(results, state.config) + describe_basis(results)
        )
    if not needed or Finding.NO_DATA in found:
        lack = describe_lack(needed, state.config, waits) + describe_basis(results)
        return replace(verdict, finding=Finding.NO_DATA, reason=lack, rising=rising, waits=waits)
    if Finding.UNDECIDED in found:
        reason = describe_open(needed, rising, waits) + describe_basis(results)
        return replace(verdict, finding=Finding.UNDECIDED, reason=reason, rising=rising, waits=waits)
    return replace(verdict, reason=describe_pass(any(one.complete for one in needed)) + describe_basis(results))


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
    through: int = 0,
    beside: Uncounted = ALL_COUNTED,
) -> Verdict:
    """Recompute the verdict in this stage from blocks in the order of time, and from labelled rows, by variant."""
    state = begin(config, variants)
    for block in sorted(blocks, key=lambda one: one.at):
        state = fold(state, block)
    if state.stage != stage:
        state = fold(state, EvidenceBlock(0, 0, stage, {}))
    return judge(state, replayed, through, beside)


def recompute_record(record: EvidenceRecord) -> tuple[Verdict, bool]:
    """Recompute the verdict of a record from all that it has. Returns whether it is the recorded one; by the rules
    before the present ones, apart from what it was said in."""
    known = record.blocks.values(), record.verdict.stage, record.replayed, record.through, record.uncounted
    found = recompute(record.config, record.variants, *known)
    if record.rules >= RULES:
        return found, found == record.verdict
    said = record.verdict
    return found, replace(found, reason=said.reason, waits=said.waits, rows=said.rows) == said


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
