"""How the evidence of a rollout grew: what each comparison had at each moment, recomputed from the kept blocks. Pure.

The comparisons are taken as ``judge`` gives them, so every kind of them has a line."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from tidegate.domain.evidence import (
    Comparison,
    ComparisonResult,
    EvidenceBlock,
    EvidenceConfig,
    EvidenceRecord,
    Finding,
    Measurement,
)
from tidegate.features.evidence.bounds import Bounds, rate_bounds
from tidegate.features.evidence.judge import EvidenceState, begin, fold, judge

MOST_POINTS = 240
"""Moments at which the evidence is judged; between them it is only added up."""
MOST_EVIDENCE = 1e6
"""Whatever is beyond is drawn as this."""
OF_REQUESTS = frozenset({Comparison.ERRORS})
"""Comparisons whose counts are single requests, so that a rate and its bounds make sense."""

_Rate = tuple[float, Bounds] | tuple[None, None]
"""A rate with its bounds; neither before the first request."""


@dataclass(frozen=True)
class RateLine:
    """The rate of one version so far, from 0 to 1, at each moment of a trace, with its bounds; None before its first
    request."""

    rates: tuple[float | None, ...]
    bounds: tuple[Bounds | None, ...]


@dataclass(frozen=True)
class ComparisonTrace:
    """``evidence``: at each moment of the trace, as in ``ComparisonResult``: 1 or more is a failure. ``old`` and
    ``new``: failure rates, of a comparison of requests. ``measurements``: at the last moment."""

    comparison: str
    variant: str
    finding: Finding
    test: str
    evidence: tuple[float, ...]
    old: RateLine | None = None
    new: RateLine | None = None
    measurements: tuple[Measurement, ...] = ()


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


@dataclass(frozen=True)
class _Moment:
    """``rates``: of the old and of the new version, for each comparison of requests by its place."""

    at: int
    stage: int
    results: tuple[ComparisonResult, ...]
    rates: dict[int, tuple[_Rate, _Rate]]


class EvidenceTracer:
    """The trace of one rollout, to which blocks are added as they are closed: a page that is looked at during a
    rollout must not judge thousands of them anew each second."""

    def __init__(self, config: EvidenceConfig, variants: Iterable[str]) -> None:
        self._state = begin(config, variants)
        self._folded = 0
        self._first: int | None = None
        self._last = 0
        self._stages: list[StageBegin] = []
        self._moments: list[_Moment] = []

    def follow(self, blocks: Sequence[EvidenceBlock]) -> bool:
        """Add what is new in all blocks of the rollout, which are in the order of time. False if they do not go on
        where the last ones ended: then nothing was added, and the trace is of others."""
        before = blocks[self._folded - 1] if 0 < self._folded <= len(blocks) else None
        if self._folded and (before is None or before.at != self._last):
            return False
        fresh = blocks[self._folded :]
        shown = _choose(fresh)
        for place, block in enumerate(fresh):
            if not self._stages or self._stages[-1].stage != block.stage:
                self._stages.append(StageBegin(block.stage, block.at))
            self._state = fold(self._state, block)
            if place in shown:
                self._moments.append(_judge(self._state, block))
        if fresh:
            self._first = fresh[0].at if self._first is None else self._first
            self._folded, self._last = len(blocks), fresh[-1].at
        if len(self._moments) > 2 * MOST_POINTS:
            self._moments = _thin(self._moments)
        return True

    def trace(self, through: int) -> EvidenceTrace:
        """``through``: since when it is, where there is no block yet."""
        if not self._moments:
            return EvidenceTrace(through)
        moments = self._moments
        lines = tuple(_line(moments, place) for place in range(len(moments[-1].results)))
        since = moments[0].at if self._first is None else self._first
        return EvidenceTrace(since, tuple(one.at for one in moments), tuple(self._stages), lines)


def trace_evidence(record: EvidenceRecord) -> EvidenceTrace:
    """An empty trace where no block is closed yet."""
    tracer = EvidenceTracer(record.config, record.variants)
    tracer.follow(sort_blocks(record))
    return tracer.trace(record.through)


def sort_blocks(record: EvidenceRecord) -> list[EvidenceBlock]:
    return sorted(record.blocks.values(), key=lambda one: one.at)


def _choose(blocks: Sequence[EvidenceBlock]) -> set[int]:
    """Places of the blocks that are judged: evenly spread, with the last one and the last of each stage."""
    step = max(1.0, len(blocks) / MOST_POINTS)
    evenly = {int(step * number) for number in range(math.ceil(len(blocks) / step))}
    ends = {place for place, (one, after) in enumerate(pairwise(blocks)) if one.stage != after.stage}
    return {place for place in evenly | ends | {len(blocks) - 1} if 0 <= place < len(blocks)}


def _thin(moments: Sequence[_Moment]) -> list[_Moment]:
    """Every second one, with the last one and the last of each stage."""
    ends = {place for place, (one, after) in enumerate(pairwise(moments)) if one.stage != after.stage}
    return [one for place, one in enumerate(moments) if place % 2 or place in ends or place == len(moments) - 1]


def _judge(state: EvidenceState, block: EvidenceBlock) -> _Moment:
    results = judge(state).results
    rates = {
        place: (_rate(one.counts[:2]), _rate(one.counts[2:]))
        for place, one in enumerate(results)
        if one.comparison in OF_REQUESTS
    }
    return _Moment(block.at + block.seconds, block.stage, results, rates)


def _rate(counts: tuple[int, int]) -> _Rate:
    requests, hits = counts
    return (hits / requests, rate_bounds(hits, requests)) if requests else (None, None)


def _line(moments: Sequence[_Moment], place: int) -> ComparisonTrace:
    last = moments[-1].results[place]
    evidence = tuple(min(max(0.0, one.results[place].evidence), MOST_EVIDENCE) for one in moments)
    old = new = None
    if place in moments[-1].rates:
        old, new = (_rate_line([one.rates[place][side] for one in moments]) for side in (0, 1))
    found = (last.finding, last.test, evidence, old, new, last.measurements)
    return ComparisonTrace(str(last.comparison), last.variant, *found)


def _rate_line(rates: Sequence[_Rate]) -> RateLine:
    return RateLine(tuple(rate for rate, _ in rates), tuple(bounds for _, bounds in rates))
