"""Compares the two versions of a rehearsed rollout, by the ledger and the judge of a live one.

Drawn requests come as counts of a span, like the reports of workers. Spans end where blocks do, so that what a block
has is drawn at once instead of second by second.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from statistics import NormalDist

from tidegate.domain.assurance import ASSUMED
from tidegate.domain.evidence import OF_PAIRS, Comparison, EvidenceConfig, Finding, Judging, Sums, Verdict
from tidegate.domain.replay import ReplayResult
from tidegate.features.evidence.block_widths import block_width
from tidegate.features.evidence.comparisons import SideCounts
from tidegate.features.evidence.judge import STAKES
from tidegate.features.evidence.judging import LETTERS, add_all, count_verdict
from tidegate.features.evidence.ledger import EvidenceLedger, Side
from tidegate.features.rehearse.promise import Baseline, LatencyDistribution, Predictions, VersionFault
from tidegate.features.rehearse.promise.pair_power import TEXTS_PER_SECOND
from tidegate.features.rehearse.rehearsal.paired_sampling import PairSampler, ReplaySampler
from tidegate.features.rehearse.rehearsal.sampling import DrawnRequests, LatencyKind
from tidegate.features.rehearse.rehearsal.stage_findings import FindingRecorder
from tidegate.monitoring import sketch
from tidegate.statistics.distribution import Distribution

PREDICTIONS_PER_SECOND = 25
"""Answers of an instance that are read in a second."""
LEVELS = 1_000
"""Predictions of a version that are told apart, all equally likely."""
FARTHEST = 1e-4
"""Part of the requests, on either side, whose latencies are not told apart."""
LONGEST = 60
"""Seconds of pairs that are counted at once: the ledger compares a limited number of values at a time."""
NEVER = float("inf")
SIMULATED = frozenset(
    {
        *(Comparison.ERRORS, Comparison.LATENCY, Comparison.PREDICTIONS),
        *(Comparison.PAIRED, Comparison.FEATURES, Comparison.JUDGE),
    }
)
"""What requests are drawn for."""
UNKNOWN = Predictions(0.0, 1.0)
"""Predictions where the usual ones are not given: a shift is in their standard deviations."""

Kinds = tuple[Sequence[LatencyKind], Sequence[LatencyKind]]
"""Latency kinds of the old and of the new version's requests."""


def without_unknown(config: EvidenceConfig, known: frozenset[Comparison] = SIMULATED) -> EvidenceConfig:
    """Return the settings without the comparisons that no requests are drawn for. Those that are left keep their own
    part of the rate of false rollbacks."""
    kept = tuple(one for one in config.compare if one in known)
    if kept == config.compare or not kept:
        return replace(config, compare=kept)
    part = sum(STAKES[one] for one in kept) / sum(STAKES[one] for one in config.compare)
    return replace(config, compare=kept, false_rollback_rate=config.false_rollback_rate * part)


def latency_edges(spread: LatencyDistribution | None) -> list[float]:
    """Return the latencies at which the bins of a worker's sketch end."""
    if spread is None:
        return []
    first, last = (sketch.index(spread.quantile(part)) for part in (FARTHEST, 1 - FARTHEST))
    return [sketch.highest(place) for place in range(first, last + 1)]


def _sketched(value: float) -> float:
    size = sketch.value(sketch.index(abs(value)))
    return size if value >= 0 else -size


def _prediction_table(baseline: Baseline) -> tuple[float, ...]:
    """Return equally likely predictions, as a worker's sketch has them."""
    usual = baseline.predictions
    assert usual is not None
    scores = (NormalDist().inv_cdf((place + 0.5) / LEVELS) for place in range(LEVELS))
    return tuple(_sketched(usual.mean + usual.deviation * score) for score in scores)


@dataclass(frozen=True)
class ComparedVariant:
    """One variant. ``instances``: of the old and of the new version; ``latencies``: of each version's latency kinds;
    ``predictions``: of each version."""

    instances: tuple[int, int]
    latencies: tuple[tuple[float, ...], tuple[float, ...]]
    predictions: tuple[tuple[float, ...], tuple[float, ...]]
    pairs: PairSampler

    @classmethod
    def of(
        cls, usual: Baseline, fault: VersionFault, kinds: Kinds, instances: tuple[int, int], pairs: PairSampler
    ) -> "ComparedVariant":
        if usual.predictions is None:
            usual = replace(usual, predictions=UNKNOWN)  # before the fault, which moves them
        bad = usual.with_fault(fault)
        old, new = (tuple(_sketched(one.latency) for one in side) for side in kinds)
        return cls(instances, (old, new), (_prediction_table(usual), _prediction_table(bad)), pairs)


@dataclass
class RehearsedComparison:
    """The comparison of one rehearsed rollout. Seconds are those of its virtual clock."""

    config: EvidenceConfig
    variants: Mapping[str, ComparedVariant]
    fault: VersionFault
    chance: Random
    replay: dict[str, ReplayResult] | None = None
    verdict: Verdict | None = None
    recorder: FindingRecorder = field(default_factory=FindingRecorder)
    _stage: int = 0
    _since: int = 0
    """First second of the stage."""
    _began: float = 0.0
    """When traffic, or copies, first came to the new version in the stage."""
    _end: int = 0
    """End of the open block."""
    _active: bool = True
    _copied: bool = False
    _asked: int = 0
    """Questions to a judge."""

    def __post_init__(self) -> None:
        self._ledger = EvidenceLedger(self.config, tuple(self.variants), 0)
        self._of_traffic = any(one not in OF_PAIRS for one in self.config.compare)
        self._of_pairs = any(one in OF_PAIRS for one in self.config.compare)
        if not self.config.compare:
            self._judge(0.0)
        if self.replay is not None:
            self._ledger.replayed = self.replay
            self.recorder.take_replay(self.replay)

    def follow(self, stage: int, at: float, *, copied: bool, active: bool) -> None:
        """Note that the rollout is in this stage at this time. ``copied``: requests are copied; ``active``: not all
        traffic is on the new version."""
        if copied and not self._copied:
            self._began = at
        self._copied, self._active = copied, active and bool(self.config.compare)
        if stage == self._stage:
            return
        self._stage, self._began, self._since = stage, at, int(at) + 1
        self._end = self._since
        self._ledger.enter(stage, self._since)
        if self._active or not self.config.compare:
            self._judge(at)

    def due(self, now: float) -> float:
        """Return when the span to be drawn must end, at the latest."""
        if not self._active:
            return NEVER
        second = int(now)
        if second < self._since:
            return self._since
        if second >= self._end:
            self._end = second + block_width(second - self._since)
        return min(self._end, second + LONGEST) if self._of_pairs else self._end

    def take(self, variant: str, span: tuple[float, float], share: float, drawn: Sequence[DrawnRequests]) -> None:
        """Count drawn requests. ``drawn``: requests of the old and of the new version from ``span``."""
        if not self._active:
            return
        one, (at, until) = self.variants[variant], span
        for side in (Side.OLD, Side.NEW):
            hidden = side is Side.NEW and self.fault.no_data
            counts = SideCounts() if hidden else self._count(one, side, drawn[side], until - at)
            self._ledger.add(int(at), side, variant, counts)
        if self._of_pairs and self._copied:
            self._ledger.add_pairs(int(at), variant, one.pairs.draw(until - at, share, self.chance))
            if self.config.judging is not None:
                self._ledger.add_judged(int(at), variant, self._draw_verdicts(self.config.judging, until - at))

    def _draw_verdicts(self, judging: Judging, seconds: float) -> dict[str, Sums]:
        """Draw what a judge that prefers either version equally often says in so many seconds."""
        found: dict[str, Sums] = {}
        for _ in range(min(round(TEXTS_PER_SECOND * seconds), judging.asks - self._asked)):
            self._asked += 1
            found = add_all(found, count_verdict(self.chance.choice(LETTERS[:2]), new_first=True))
        return found

    def _count(self, one: ComparedVariant, side: Side, drawn: DrawnRequests, seconds: float) -> SideCounts:
        if not self._of_traffic or not drawn.requests:
            return SideCounts()
        latencies = predictions = Distribution()
        if Comparison.LATENCY in self.config.compare:
            latencies = _distribution(zip(one.latencies[side], drawn.kinds, strict=True))
        if Comparison.PREDICTIONS in self.config.compare:
            read = min(drawn.requests, round(PREDICTIONS_PER_SECOND * one.instances[side] * seconds))
            values = self.chance.choices(one.predictions[side], k=read)
            predictions = _distribution((value, 1) for value in values)
        failed = min(drawn.requests, drawn.errors + drawn.refused)
        return SideCounts(drawn.requests, failed, latencies, predictions)

    def close(self, until: float) -> bool:
        """Count the requests before ``until``. Returns whether there is a new verdict."""
        if not self._active or until != int(until):
            return False
        self._ledger.advance(int(until))
        return self._judge(until) if until >= self._end else False

    def _judge(self, at: float) -> bool:
        if not self.config.compare:
            reason = "nothing that is compared was drawn"
            self.verdict = Verdict(Finding.PASS, self._stage, reason, harms=(ASSUMED,))
            return False
        before, found = self.verdict, self._ledger.verdict
        self.verdict = found
        # What an assurance waits for does not show in the finding.
        decides = found.assured != (before is not None and before.assured) or found.room is not None
        return self.recorder.take(found, self._stage, at - self._began) or decides


def _distribution(counted: Iterable[tuple[float, int]]) -> Distribution:
    found: dict[float, int] = {}
    for value, count in counted:
        if count:
            found[value] = found.get(value, 0) + count
    return Distribution.of(found)


@dataclass(frozen=True)
class ComparisonSampler:
    """Factory that begins the comparison of each rehearsed rollout."""

    config: EvidenceConfig
    variants: Mapping[str, ComparedVariant]
    fault: VersionFault
    replay: ReplaySampler

    def begin(self, chance: Random) -> RehearsedComparison:
        return RehearsedComparison(self.config, self.variants, self.fault, chance, self.replay.draw(chance))


_ASSUMED = {
    Comparison.FEATURES: "features: one stage with 20 columns of numbers is assumed",
    Comparison.JUDGE: "judge: it is taken to answer every question and to prefer either version equally often",
}


def describe_assumptions(
    config: EvidenceConfig | None,
    positives: int,
    known: frozenset[Comparison] = SIMULATED,
    *,
    predictions_known: bool = True,
) -> Iterator[str]:
    """Describe in sentences what a rehearsal assumes or leaves out of the evidence."""
    if config is None:
        return
    if set(config.compare) & known - OF_PAIRS:
        yield "requests are counted by the second, as on local and kubernetes: elsewhere verdicts come minutes later"
    if config.assure is not None and config.assure.ramp:
        yield "ramp: auto: the requests and the time that a harm takes are computed as if no stage were skipped"
    for one in config.compare:
        if one not in known:
            yield f"{one} is left out: no requests are drawn for it, and it neither holds nor rolls back"
    if Comparison.PAIRED in config.compare:
        usual = 0.8 * config.paired.limits(amounts=True).distance
        yield f"paired: predictions of good versions are taken to differ by {usual:.2g} units on average"
        if config.slices:
            yield f"paired: no values of {', '.join(config.slices)} are drawn, so slices are left out"
    yield from (said for one, said in _ASSUMED.items() if one in config.compare)
    if not OF_PAIRS.isdisjoint(config.compare):
        yield "copies: no two requests are taken to be equal"
    if Comparison.PREDICTIONS in config.compare and not predictions_known:
        yield "predictions: usual ones not given (--usual mean=, deviation=): taken to be normal"
    if config.replay is not None:
        yield f"replay: {positives:,} labels of 1, ten times as many of 0 and an AUC of 0.8 are assumed, and no wait"
    yield "late labels are left out: they act by alarms on their metrics"
