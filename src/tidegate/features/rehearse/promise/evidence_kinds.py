"""Which kinds of evidence a rollout has, and the smallest harm that each one sees: after how many requests or labels,
and when. Where a kind sees nothing, why, and what would. Pure."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from tidegate.domain.evidence import OF_PAIRS, Comparison, EvidenceConfig
from tidegate.domain.replay import ReplayConfig
from tidegate.features.evidence.judge import replay_rate
from tidegate.features.evidence.waits import LEAST_BLOCKS
from tidegate.features.rehearse.promise.baseline import Baseline
from tidegate.features.rehearse.promise.detection import PromiseTerms
from tidegate.features.rehearse.promise.evidence_power import (
    PREDICTIONS_PER_SECOND,
    TEXTS_PER_SECOND,
    smallest_difference,
)
from tidegate.features.rehearse.promise.label_power import POSITIVES, smallest_late_loss, smallest_replayed_loss
from tidegate.features.rehearse.promise.pair_power import count_pairs
from tidegate.features.rehearse.promise.passage import ComparedStage

REPLAY, LATE_LABELS = "replay", "late labels"
LATE_POSITIVES = 1_000
"""Labelled positives of each version that late labels are promised for."""
COMPARE = "tidegate compare, before the rollout"
RARE = 30 * 86_400.0
"""Seconds beyond which late labels come too late to turn a version back."""


@dataclass(frozen=True)
class EvidenceKind:
    """``asked``: the spec has it. ``smallest``: the harm that is found with the wanted power by the end of ``stage``
    (from 0; None: not in a stage): see ``EvidencePromise`` for comparisons, a loss of AUC for labels. ``count``: of
    requests of the new version, of pairs, of rows, or of labelled positives, as ``counted`` says. ``seconds``: from
    the first shift, or the first copy. ``blind``: why nothing is seen; ``proposal``: what would."""

    kind: str
    variant: str
    asked: bool
    smallest: float | None = None
    stage: int | None = None
    count: float = 0.0
    counted: str = "requests"
    seconds: float | None = None
    blind: str = ""
    proposal: str = ""


@dataclass(frozen=True)
class KindTerms:
    """``stages``: of each variant. ``smallest``: by comparison and variant, what each stage finds by its end."""

    stages: Mapping[str, Sequence[ComparedStage]]
    smallest: Mapping[tuple[Comparison, str], Sequence[float | None]]
    baseline: Baseline
    asked: PromiseTerms

    @property
    def usual(self) -> float:
        """Part of the requests that fail on the old version."""
        return self.baseline.error_rate + self.baseline.refusal_rate


COUNTED: Mapping[Comparison, str] = {
    Comparison.PAIRED: "pairs",
    Comparison.FEATURES: "rows",
    Comparison.PREDICTIONS: "predictions",
    Comparison.TEXT: "answers",
    Comparison.JUDGE: "judged pairs",
}
"""What each comparison counts; the others count requests."""


def list_kinds(config: EvidenceConfig, terms: KindTerms) -> Iterator[EvidenceKind]:
    for comparison in Comparison:
        if comparison not in config.compare:
            yield _not_asked(comparison, terms)
            continue
        for variant in terms.stages:
            yield _compare(comparison, config, variant, terms)
    if not terms.asked.replays:
        why = "the target keeps neither model data nor labels"
        for kind in (REPLAY, LATE_LABELS):
            yield EvidenceKind(kind, "", False, blind=why, proposal=COMPARE + ", with --label")
        return
    yield _replay(config, terms)
    for variant in terms.stages:
        yield _late(variant, terms)


def _not_asked(comparison: Comparison, terms: KindTerms) -> EvidenceKind:
    blind, proposal = "the spec does not ask for it", f"evidence: {{compare: [{comparison}]}}"
    if comparison not in terms.asked.possible:
        blind, proposal = "the target does not count what it needs", COMPARE
    elif comparison is Comparison.FEATURES and not terms.asked.pipeline:
        blind, proposal = "the model has no stages whose outputs could be compared", "compare: [paired]"
    elif comparison is Comparison.PAIRED:
        proposal += ", and replay or learned tolerances where predictions are amounts"
    elif comparison is Comparison.TEXT:
        blind = "the spec does not ask for it, and only models that write texts have it"
    elif comparison is Comparison.JUDGE:
        blind = "the spec does not ask for it, and it needs a model that writes and another one that judges"
        proposal += " with judge: {url: ..., model: ...}"
    return EvidenceKind(str(comparison), "", False, blind=blind, proposal=proposal)


def _compare(comparison: Comparison, config: EvidenceConfig, variant: str, terms: KindTerms) -> EvidenceKind:
    stages = terms.stages[variant]
    pairs = comparison in OF_PAIRS
    places = [place for place, one in enumerate(stages) if (one.paired if pairs else one.compared)]
    found = EvidenceKind(str(comparison), variant, True, counted=COUNTED.get(comparison, "requests"))
    if not places:
        return replace(found, blind="no stage has both versions side by side", proposal="a canary that bakes")
    for place in places:
        if (smallest := terms.smallest[comparison, variant][place]) is not None:
            seen = stages[places[0] : place + 1]
            count, seconds = sum(_count(comparison, one) for one in seen), sum(one.seconds for one in seen)
            return replace(found, smallest=smallest, stage=place, count=count, seconds=seconds)
    count = sum(_count(comparison, stages[place]) for place in places)
    blind = f"{count:,.0f} {found.counted} are too few for any difference"
    return replace(found, count=count, blind=blind, proposal=_longer(comparison, config, stages[places[0]], terms))


def _count(comparison: Comparison, stage: ComparedStage) -> float:
    if comparison in OF_PAIRS:
        return count_pairs(comparison, stage)
    read = {Comparison.PREDICTIONS: PREDICTIONS_PER_SECOND, Comparison.TEXT: TEXTS_PER_SECOND}
    return min(stage.rate * stage.share, read.get(comparison, math.inf)) * stage.seconds


def _longer(comparison: Comparison, config: EvidenceConfig, stage: ComparedStage, terms: KindTerms) -> str:
    """The shortest of some longer bakes of the first stage that finds anything."""
    for times in (2, 4, 8, 16, 32, 64, 128, 256):
        longer = replace(stage, seconds=stage.seconds * times)
        if longer.seconds > RARE:
            break
        found = smallest_difference(
            comparison, config, [longer], terms.usual, terms.asked.power, len(terms.stages)
        )
        if found is not None:
            return f"{times} times as long a bake of that stage finds {found:.3g}"
    return (
        f"a replay of captured requests ({LEAST_BLOCKS[Comparison.LATENCY]} blocks are needed at least), or labels"
    )


def _replay(config: EvidenceConfig, terms: KindTerms) -> EvidenceKind:
    found = EvidenceKind(REPLAY, "", config.replay is not None, counted="positives", seconds=0.0)
    if config.replay is None:
        loss = smallest_replayed_loss(
            ReplayConfig(""), POSITIVES[0], terms.asked.power, config.false_rollback_rate / 2
        )
        told = (
            ""
            if loss is None
            else f": {POSITIVES[0]} labels of 1 find a loss of {loss:.2f} AUC before any traffic"
        )
        blind = "the spec names no labelled rows"
        return replace(found, seconds=None, blind=blind, proposal=f"evidence: {{replay: ...}}{told}")
    positives = terms.baseline.positives or config.replay.least_labels
    rate = replay_rate(config, len(terms.stages))
    loss = smallest_replayed_loss(config.replay, positives, terms.asked.power, rate)
    found = replace(found, count=positives)
    if loss is not None:
        return replace(found, smallest=loss)
    blind = f"{positives:,} labels of 1 are too few (least_labels: {config.replay.least_labels:,})"
    return replace(found, blind=blind, proposal="more labelled rows, of older months")


def _late(variant: str, terms: KindTerms) -> EvidenceKind:
    """Labels that come during and after the rollout, which act by alarms."""
    loss = smallest_late_loss(LATE_POSITIVES, terms.asked.power)
    found = EvidenceKind(LATE_LABELS, variant, True, loss, None, LATE_POSITIVES, "positives each")
    flow = terms.baseline.labels
    if flow is None:
        blind = "how many labels come, and when, is not given"
        usual = "--usual positive=0.5% --usual labelled=20% --usual label-delay=30d"
        return replace(found, smallest=None, blind=blind, proposal=usual)
    stages = terms.stages[variant]
    rate = max((one.rate * min(one.share, 1 - one.share) for one in stages if one.compared), default=0.0)
    baked = sum(one.seconds for one in stages if one.compared)
    each = rate * flow.labelled * flow.positive
    if each <= 0:
        return replace(found, smallest=None, blind="no stage has both versions side by side", proposal="a canary")
    seconds = LATE_POSITIVES / each + flow.delay
    if seconds <= max(baked, RARE):
        found = replace(found, seconds=seconds)
        if seconds <= baked:
            return found
        return replace(found, proposal="it comes after the rollout: an alarm on the metrics of labels")
    blind = (
        f"labels are rare: {LATE_POSITIVES:,} of 1 take {seconds / 86_400:,.0f} days at the largest common share"
    )
    return replace(found, smallest=None, seconds=seconds, blind=blind, proposal="a replay of old labelled rows")
