"""How the evidence of a rollout grew: what each comparison had at each moment, recomputed from the kept blocks. Pure.

The comparisons are taken as ``judge`` gives them, so every kind of them has a line."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from tidegate.domain.evidence import Comparison, ComparisonResult, Counts, EvidenceBlock, EvidenceRecord, Finding
from tidegate.evidence.judge import begin, fold, judge

MOST_POINTS = 240
"""Moments at which the evidence is judged; between them it is only added up."""
LEVEL = 0.95
"""With this probability the bounds hold at every moment together."""
MOST_EVIDENCE = 1e6
"""Whatever is beyond is drawn as this."""
PRIOR = 0.5
"""Both parameters of the beta distribution over which the bounds mix (Jeffreys' prior)."""
BISECTIONS = 40
OF_REQUESTS = frozenset({Comparison.ERRORS})
"""Comparisons whose counts are single requests, so that a rate and its bounds make sense."""

Bounds = tuple[float, float]


@dataclass(frozen=True)
class RateLine:
    """The rate of one version so far, from 0 to 1, at each moment of a trace, with its bounds; None before its first
    request."""

    rates: tuple[float | None, ...]
    bounds: tuple[Bounds | None, ...]


@dataclass(frozen=True)
class ComparisonTrace:
    """``evidence``: at each moment of the trace, as in ``ComparisonResult``: 1 or more is a failure. ``old`` and
    ``new``: failure rates, of a comparison of requests."""

    comparison: str
    variant: str
    finding: Finding
    test: str
    evidence: tuple[float, ...]
    old: RateLine | None = None
    new: RateLine | None = None


@dataclass(frozen=True)
class StageBegin:
    """``stage``: from 0; ``at``: epoch second of its first block."""

    stage: int
    at: int


@dataclass(frozen=True)
class EvidenceTrace:
    """``at``: epoch seconds of the moments, each the end of a block."""

    since: int
    at: tuple[int, ...] = ()
    stages: tuple[StageBegin, ...] = ()
    comparisons: tuple[ComparisonTrace, ...] = field(default=())


def trace_evidence(record: EvidenceRecord) -> EvidenceTrace:
    """An empty trace where no block is closed yet."""
    blocks = sorted(record.blocks.values(), key=lambda one: one.at)
    if not blocks:
        return EvidenceTrace(record.through)
    shown, moments, results = _choose(blocks), list[int](), list[tuple[ComparisonResult, ...]]()
    state = begin(record.config, record.variants)
    for place, block in enumerate(blocks):
        state = fold(state, block)
        if place in shown:
            moments.append(block.at + block.seconds)
            results.append(judge(state).results)
    lines = tuple(_line([each[place] for each in results]) for place in range(len(results[-1])))
    return EvidenceTrace(blocks[0].at, tuple(moments), tuple(_stages(blocks)), lines)


def _choose(blocks: Sequence[EvidenceBlock]) -> set[int]:
    """Places of the blocks that are judged: evenly spread, with the last one and the last of each stage."""
    step = max(1.0, len(blocks) / MOST_POINTS)
    evenly = {int(step * number) for number in range(math.ceil(len(blocks) / step))}
    ends = {place for place, (one, after) in enumerate(pairwise(blocks)) if one.stage != after.stage}
    return {place for place in evenly | ends | {len(blocks) - 1} if place < len(blocks)}


def _stages(blocks: Iterable[EvidenceBlock]) -> Iterable[StageBegin]:
    before: int | None = None
    for block in blocks:
        if block.stage != before:
            yield StageBegin(block.stage, block.at)
        before = block.stage


def _line(results: Sequence[ComparisonResult]) -> ComparisonTrace:
    last = results[-1]
    rated = last.comparison in OF_REQUESTS
    return ComparisonTrace(
        str(last.comparison),
        last.variant,
        last.finding,
        last.test,
        tuple(min(max(0.0, one.evidence), MOST_EVIDENCE) for one in results),
        _rates([one.counts for one in results], 0) if rated else None,
        _rates([one.counts for one in results], 2) if rated else None,
    )


def _rates(counts: Sequence[Counts], side: int) -> RateLine:
    """``side``: place of the requests among the counts; the hits are next to them."""
    pairs = [(one[side], one[side + 1]) for one in counts]
    return RateLine(
        tuple(hits / requests if requests else None for requests, hits in pairs),
        tuple(rate_bounds(hits, requests) if requests else None for requests, hits in pairs),
    )


def rate_bounds(hits: int, requests: int, level: float = LEVEL) -> Bounds:
    """Bounds of a rate that hold at every number of requests together, for independent requests whose rate does not
    change: those rates against which the beta mixture's e-value is below ``1 / (1 - level)`` (Robbins 1970)."""
    if requests <= 0:
        return 0.0, 1.0
    limit = -math.log(1 - level)
    rate = hits / requests
    inside = min(max(rate, 1e-12), 1 - 1e-12)
    low = 0.0 if not hits else _cross(hits, requests, limit, 1e-12, inside)
    high = 1.0 if hits == requests else _cross(hits, requests, limit, 1 - 1e-12, inside)
    return min(low, rate), max(high, rate)


def _cross(hits: int, requests: int, limit: float, outside: float, inside: float) -> float:
    """Where between the two the e-value reaches the limit."""
    for _ in range(BISECTIONS):
        middle = (outside + inside) / 2
        if _log_value(hits, requests, middle) > limit:
            outside = middle
        else:
            inside = middle
    return inside


def _log_value(hits: int, requests: int, rate: float) -> float:
    """Logarithm of the e-value against this rate."""
    mixed = _log_beta(hits + PRIOR, requests - hits + PRIOR) - _log_beta(PRIOR, PRIOR)
    return mixed - hits * math.log(rate) - (requests - hits) * math.log1p(-rate)


def _log_beta(one: float, other: float) -> float:
    return math.lgamma(one) + math.lgamma(other) - math.lgamma(one + other)
