"""How the evidence grew: the last moment is the verdict's, and bounds hold at every look."""

import math
import random
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tests.insight_scene import CONFIG, evidence_record
from tidegate.domain.evidence import Comparison, EvidenceBlock, Finding
from tidegate.features.evidence.bounds import rate_bounds
from tidegate.features.evidence.judge import recompute
from tidegate.features.evidence.timeline import (
    MOST_POINTS,
    EvidenceTracer,
    StageBegin,
    sort_blocks,
    trace_evidence,
)


def test_the_last_moment_is_what_the_verdict_says() -> None:
    record = evidence_record("r1")
    trace = trace_evidence(record)
    assert trace.at[-1] == record.through and len(trace.at) <= MOST_POINTS + 2
    assert trace.stages == (StageBegin(0, record.through - 400), StageBegin(1, record.through - 200))
    for line, result in zip(trace.comparisons, record.verdict.results, strict=True):
        assert (line.comparison, line.variant, line.finding) == (result.comparison, result.variant, result.finding)
        assert line.evidence[-1] == max(0.0, result.evidence)
        assert list(line.evidence) == sorted(line.evidence), "evidence never falls"


def test_only_single_requests_have_rates_with_bounds() -> None:
    errors, latency = trace_evidence(evidence_record("r1")).comparisons
    assert latency.old is None and latency.new is None
    assert errors.old is not None and errors.new is not None
    for line in (errors.old, errors.new):
        for rate, bounds in zip(line.rates, line.bounds, strict=True):
            assert rate is not None and bounds is not None and bounds[0] <= rate <= bounds[1]
    assert errors.old.bounds[-1] is not None and errors.new.bounds[-1] is not None
    assert errors.old.bounds[-1][1] < errors.new.bounds[-1][0], "what failed is apart in the picture, too"


def test_a_trace_that_is_gone_on_with_ends_like_a_whole_one() -> None:
    record = evidence_record("r1", 1_500)
    blocks, whole = sort_blocks(record), trace_evidence(record)
    tracer = EvidenceTracer(record.config, record.variants)
    for count in (0, 1, 1, 2, 700, *range(701, 1_400, 7), 1_500):
        assert tracer.follow(blocks[:count])
    grown = tracer.trace(record.through)
    assert (grown.since, grown.at[-1], grown.stages) == (whole.since, whole.at[-1], whole.stages)
    assert [one.evidence[-1] for one in grown.comparisons] == [one.evidence[-1] for one in whole.comparisons]
    assert len(grown.at) <= 2 * MOST_POINTS + 2 and list(grown.at) == sorted(set(grown.at))


def test_blocks_of_another_rollout_are_not_added() -> None:
    one, other = (sort_blocks(evidence_record("r1", count)) for count in (50, 30))
    tracer = EvidenceTracer(CONFIG, ("AllTraffic",))
    assert tracer.follow(one) and not tracer.follow(other)
    moved = [replace(block, at=block.at + 1) for block in one]
    assert not tracer.follow(moved)
    assert tracer.trace(0).at[-1] == one[-1].at + 1, "it is as it was"


def test_without_blocks_there_is_nothing_to_draw() -> None:
    trace = trace_evidence(replace(evidence_record("r1", 10), blocks={}))
    assert (trace.at, trace.stages, trace.comparisons) == ((), (), ())


def test_every_comparison_has_a_line_whatever_it_compares() -> None:
    config = replace(CONFIG, compare=tuple(Comparison))
    block = EvidenceBlock(100, 1, 0, {})
    verdict = recompute(config, ("a", "b"), [block], 0)
    record = replace(
        evidence_record("r1", 10), config=config, variants=("a", "b"), blocks={"100": block}, verdict=verdict
    )
    lines = trace_evidence(record).comparisons
    assert {(one.comparison, one.variant) for one in lines} == {
        (str(c), v) for c in Comparison for v in ("a", "b")
    }
    assert {one.finding for one in lines} == {Finding.NO_DATA}


@given(st.integers(0, 3_000), st.integers(0, 3_000))
def test_bounds_hold_the_rate_and_are_within_0_and_1(hits: int, more: int) -> None:
    requests = hits + more
    low, high = rate_bounds(hits, requests)
    assert 0 <= low <= (hits / requests if requests else 0.5) <= high <= 1
    wider = rate_bounds(hits, requests, 0.999)
    assert wider[0] <= low + 1e-9 and high <= wider[1] + 1e-9
    assert not requests or high - low < 1 or requests < 6


def test_bounds_hold_at_all_looks_together() -> None:
    draw, missed = random.Random(4), 0
    looks = sorted({math.ceil(1.3**power) for power in range(32)})
    for _ in range(200):
        hits, seen, outside = 0, 0, False
        for look in looks:
            hits += sum(draw.random() < 0.1 for _ in range(look - seen))
            seen = look
            low, high = rate_bounds(hits, seen)
            outside = outside or not low <= 0.1 <= high
        missed += outside
    assert missed <= 10  # 5 % at most are to be expected
