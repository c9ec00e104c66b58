"""Compare the versions of every rollout, second by second, from the counts that were collected of their fleets.

The verdicts join the evidence that a step of the rollout rests on (``guards``), are published as metrics, and are
kept with everything that they follow from. A store that is slow or away delays neither a verdict nor a
rollback."""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from random import Random, SystemRandom

from tidegate.domain.errors import TidegateError
from tidegate.domain.evidence import (
    RULES,
    Comparison,
    EvidenceRecord,
    Finding,
    Preference,
    Uncounted,
    Verdict,
)
from tidegate.domain.fleet import FleetId
from tidegate.domain.metric import EVIDENCE, CollectionRound, FleetPeriod, FleetSecond, MetricId, Sample
from tidegate.domain.replay import ReplayResult
from tidegate.features.evidence import service as records
from tidegate.features.evidence.comparisons import SideCounts
from tidegate.features.evidence.judge_questions import AskJudge, JudgeQuestions
from tidegate.features.evidence.judging import QUESTIONS
from tidegate.features.evidence.kept_pairs import KeptPairs
from tidegate.features.evidence.labelling import find_labels
from tidegate.features.evidence.ledger import EvidenceLedger, Side
from tidegate.features.evidence.pair_judge import pair_key
from tidegate.features.evidence.side_counts import count_side, round_texts
from tidegate.features.evidence.units import Unit, error_unit
from tidegate.monitoring import sketch
from tidegate.ports.store import Store, Tx
from tidegate.reconcile.rollout_observers import ComparedVersions, RolloutObserver

log = logging.getLogger(__name__)

SAVE_EVERY = 10
"""Seconds between two writes of a rollout's evidence whose finding does not change, while it is short."""
LABELS_EVERY = 5
"""Seconds between two looks for labels of people."""
LOAD_PATIENCE = 5
"""Seconds that a comparison waits for what an earlier controller kept."""
CLOCK_SET_BACK = 60
"""Seconds by which the wall clock is behind what was counted when the comparison begins anew: the seconds that follow
would be taken for counted."""
UNREAD = "what an earlier controller counted could not be read"
KEPT_NOTHING = "an earlier controller wrote nothing of what it had counted"
SET_BACK = "the clock was set back"
BLOCKS_PER_SECOND = 20
"""A longer record is written less often: after a second more for each of so many blocks."""
NAMES = {
    Comparison.ERRORS: "ErrorEvidence",
    Comparison.LATENCY: "LatencyEvidence",
    Comparison.PREDICTIONS: "PredictionEvidence",
    Comparison.PAIRED: "PairedEvidence",
    Comparison.FEATURES: "FeatureEvidence",
    Comparison.TEXT: "TextEvidence",
    Comparison.JUDGE: "JudgeEvidence",
}
ALL = "Evidence"
"""The largest of them."""


@dataclass
class _BakeSpans:
    """Spans of epoch seconds in which a rollout's shares stood still.

    Requests that are counted by periods, such as CloudWatch's minutes, are compared only where a whole period lies
    within one bake: in another one the two versions did not answer side by side all the time, and what disturbs both
    would look like a difference."""

    _spans: list[tuple[int, int | None]] = field(default_factory=list)
    """First second, and the first one after it; the last span may go on."""
    _shares: list[int] = field(default_factory=list)
    """Of each span: the new version's share, in basis points."""

    def follow(self, baking: bool, since: int, share: int = 0) -> None:
        """The rollout's present phase began in the second before ``since``."""
        last = self._spans[-1] if self._spans else None
        goes_on = last is not None and last[1] is None
        if baking and goes_on and last is not None and last[0] == since:
            return
        if goes_on and last is not None:
            self._spans[-1] = (last[0], max(last[0], since - 1))
        if baking:
            self._spans.append((since, None))
            self._shares.append(share)

    def covers(self, at: int, seconds: int) -> bool:
        """Whether a period lies within one bake."""
        return self.share_at(at, seconds) is not None

    def share_at(self, at: int, seconds: int) -> int | None:
        """Return the new version's share in the whole of a period; None: it does not lie within one bake."""
        for (first, end), share in zip(self._spans, self._shares, strict=True):
            if first <= at and (end is None or at + seconds <= end):
                return share
        return None


def _error_units(found: Mapping[str, ReplayResult], labels: Sequence[str]) -> dict[str, dict[int, Unit]]:
    """Return by variant and number of the output the units of paired predictions from the old version's mean absolute
    error in a replay, where its labels are amounts. ``labels``: their columns, in the order of the outputs."""
    return {
        variant: {
            labels.index(one.output) if one.output else 0: unit
            for one in result.statistics
            if (one.name, one.slice) == ("error", "") and (unit := error_unit(one.old or 0.0)) is not None
        }
        for variant, result in found.items()
    }


@dataclass
class _Tracked:
    """A rollout that is being compared. ``loading``: what was kept of it by an earlier controller."""

    versions: ComparedVersions
    ledger: EvidenceLedger
    loading: asyncio.Task[EvidenceRecord | None]
    began: int
    """Second in which this controller began to compare it."""
    inherited: bool
    """Whether an earlier controller may have counted requests to the new version."""
    saving: asyncio.Task[None] | None = None
    saved: tuple[Finding, int] | None = None
    """Finding and second of the last write."""
    ready: bool = False
    bakes: _BakeSpans = field(default_factory=_BakeSpans)
    kept_through: int = 0
    """Seconds before it were counted by an earlier controller."""
    periods: list[FleetPeriod] = field(default_factory=list)
    """Those that wait until it is known what an earlier controller counted."""
    counted_before: set[tuple[FleetId, int]] = field(default_factory=set)
    """Periods of an earlier controller that were reported again."""
    loaded: bool = False
    """Whether it is known what an earlier controller kept; if not, that is never written over."""
    earlier: EvidenceRecord | None = None
    """What an earlier controller kept and this one cannot go on with. It is not written over."""
    judge: JudgeQuestions | None = None
    reading: asyncio.Task[tuple[Preference, ...]] | None = None
    """The labels of people, while they are being read."""
    read_at: int = 0
    """Second in which that began."""
    labelled: set[str] = field(default_factory=set)
    """Ids of the labels that were counted."""

    def begin_anew(self, why: str) -> None:
        """Go on without what an earlier controller kept. The judge is asked nothing more, as nobody knows how often
        it was asked. ``why``: as in ``Uncounted``."""
        if self.inherited:
            self.ledger.note_loss(why)
        if self.judge is not None:
            self.judge.stop()


@dataclass(eq=False)
class Comparisons(RolloutObserver):
    store: Store
    replayed: Callable[[str], Mapping[str, ReplayResult] | None] = lambda rollout: None
    """By rollout: what its replay found, by variant; None: it has none that has ended."""
    ask: AskJudge | None = None
    """Asks the judge of texts."""
    chance: Random = field(default_factory=SystemRandom)
    """In which order a judge is shown answers."""
    state: Path | None = None
    """Folder below which judged pairs are kept for a person's label; None: none are."""
    _tracked: dict[str, _Tracked] = field(default_factory=dict)
    """By rollout."""
    _broken: set[str] = field(default_factory=set)
    """Rollouts that cannot be compared now; logged once."""
    _writes: set[asyncio.Task[None]] = field(default_factory=set)
    _trouble: str | None = None

    def verdict(self, rollout: str) -> Verdict | None:
        """Return the verdict on a rollout's newest stage; None: it is not compared yet."""
        tracked = self._tracked.get(rollout)
        if tracked is None or not tracked.ready:
            return None
        if tracked.earlier is not None and tracked.earlier.verdict.finding is Finding.FAIL:
            return tracked.earlier.verdict
        try:
            found = tracked.ledger.verdict
        except Exception as error:  # whoever asks judges alarms, too, and those must go on
            if rollout not in self._broken:
                self._note_broken(tracked.versions, error)
            return None
        return None if rollout in self._broken and found.finding is not Finding.FAIL else found

    def replay(self, rollout: str) -> Mapping[str, ReplayResult] | None:
        return self.replayed(rollout)

    async def turn(
        self, versions: Collection[ComparedVersions], collected: CollectionRound, now: datetime
    ) -> list[Sample]:
        """Count in one round what was collected. Returns the metrics of the round. Each rollout is compared apart:
        what goes wrong for one is logged, and changes nothing for the others."""
        second = int(now.timestamp())
        present = {one.rollout: one for one in versions}
        for rollout in self._tracked.keys() - present.keys():
            self._leave(self._tracked.pop(rollout), second)
        self._broken &= present.keys()
        samples = list[Sample]()
        for rollout, one in present.items():
            try:
                samples += self._count(self._follow(one, second), collected, second)
                self._broken.discard(rollout)
            except Exception as error:
                self._note_broken(one, error)
        return samples

    def _note_broken(self, one: ComparedVersions, error: Exception) -> None:
        if one.rollout not in self._broken:
            log.error("endpoint %s: versions cannot be compared: %s", one.endpoint, error, exc_info=error)
        self._broken.add(one.rollout)

    def _count(self, tracked: _Tracked, collected: CollectionRound, second: int) -> list[Sample]:
        periods = collected.periods.get(tracked.versions.endpoint)
        if periods is None:
            for report in collected.seconds:
                _take(tracked, report)
        if tracked.judge is not None:
            for variant, sums in tracked.judge.take().items():
                tracked.ledger.add_judged(second, variant, sums)
        tracked.periods += periods or ()
        if not self._is_ready(tracked, second):
            return []
        self._take_labels(tracked, second)
        waiting, tracked.periods = tracked.periods, []
        for period in waiting:
            _take_period(tracked, period)
        coverage = collected.coverage.get(tracked.versions.endpoint)
        if coverage is not None and tracked.versions.routed and coverage.since > tracked.ledger.through:
            tracked.ledger.note_loss("some of its requests could not be counted")
        if coverage is not None:
            tracked.ledger.advance(min(coverage.through, second))
        verdict = tracked.ledger.verdict
        self._save(tracked, verdict, second)
        return evidence_samples(_record(tracked, verdict), second - 1)

    def _leave(self, gone: _Tracked, second: int) -> None:
        """Write the evidence of a rollout that has ended for the last time."""
        if gone.reading is not None:
            gone.reading.cancel()
        if gone.judge is not None:
            gone.judge.stop()
            if gone.judge.kept is not None:
                gone.judge.kept.clear()
        if not gone.ready:
            return
        try:
            self._save(gone, gone.ledger.verdict, second, last=True)
        except Exception as error:
            self._note_broken(gone.versions, error)

    def _follow(self, one: ComparedVersions, second: int) -> _Tracked:
        """Note the rollout's present stage. One that is new begins."""
        tracked = self._tracked.get(one.rollout)
        if tracked is None or second < tracked.ledger.through - CLOCK_SET_BACK:
            loading = asyncio.create_task(self._load(one, second), name=f"evidence of {one.endpoint}")
            first, inherited = second - 1, one.routed
            if tracked is None and one.followed_from is not None:
                # Its new version may have had traffic before this first look, which this controller has counted.
                first, inherited = min(first, int(one.followed_from.timestamp())), False
            ledger = EvidenceLedger(one.config, one.variants, first)
            tracked = _Tracked(one, ledger, loading, second, inherited)
            if (before := self._tracked.get(one.rollout)) is not None and before.judge is not None:
                before.judge.stop()
            tracked.ledger.share_at = tracked.bakes.share_at
            if one.config.judging is not None and self.ask is not None:
                tracked.judge = JudgeQuestions(one.endpoint, one.config.judging, self.ask, self.chance)
                tracked.judge.kept = self._find_kept(one)
            self._tracked[one.rollout] = tracked
        tracked.versions = one
        replayed = self.replayed(one.rollout) or {}
        replay = one.config.replay
        labels = () if replay is None else (replay.label, *replay.other_labels)
        tracked.ledger.units = _error_units(replayed, labels)
        if one.config.assure is not None and one.config.assure.harm.of_labels:
            tracked.ledger.replayed = replayed
        since = second if one.since is None else int(one.since.timestamp()) + 1
        tracked.ledger.enter(one.stage, since)
        if one.baking and one.since is not None:
            tracked.ledger.settle(one.stage, since)
        tracked.bakes.follow(one.baking and one.since is not None, since, one.share)
        return tracked

    def _find_kept(self, one: ComparedVersions) -> KeptPairs | None:
        """Return where pairs are kept for labels; None: the settings ask for none."""
        if one.config.judging is None or not one.config.judging.labels or self.state is None:
            return None
        return KeptPairs(self.state, one.endpoint, one.rollout)

    def _take_labels(self, tracked: _Tracked, second: int) -> None:
        """Count the labels that people have given since the last time, and begin to read them again if that is due.
        Nothing waits for them."""
        if tracked.judge is None or tracked.judge.kept is None:
            return
        if (reading := tracked.reading) is not None and reading.done():
            tracked.reading = None
            if reading.exception() is None:  # a store that is away is reported by whoever writes
                fresh = [label for label in reading.result() if label.id not in tracked.labelled]
                tracked.labelled |= {label.id for label in fresh}
                tracked.ledger.add_preferences(second, fresh)
        if tracked.reading is None and second >= tracked.read_at + LABELS_EVERY:
            names = tracked.versions.endpoint, tracked.versions.rollout
            tracked.read_at = second
            tracked.reading = asyncio.create_task(
                self.store.run(lambda tx: find_labels(tx, *names)), name=f"labels of {names[0]}"
            )

    async def _load(self, one: ComparedVersions, second: int) -> EvidenceRecord | None:
        def work(tx: Tx) -> EvidenceRecord | None:
            return records.find_evidence(tx, one.endpoint)

        found = await self.store.run(work)
        if found is None:
            return None
        same = (found.rollout, found.config, found.variants) == (one.rollout, one.config, one.variants)
        return found if same else None

    def _is_ready(self, tracked: _Tracked, second: int) -> bool:
        """Whether what an earlier controller kept was taken over, or is not waited for any longer: without it the
        comparison begins anew."""
        if tracked.ready:
            return True
        if tracked.loading.done():
            tracked.ready = True
            if (error := tracked.loading.exception()) is None:
                _take_over(tracked, tracked.loading.result())
            else:
                self._note(f"{type(error).__name__}: {error}")
                tracked.begin_anew(UNREAD)
        elif second - tracked.began >= LOAD_PATIENCE:
            tracked.loading.cancel()
            tracked.ready = True
            tracked.begin_anew(UNREAD)
        return tracked.ready

    def _save(self, tracked: _Tracked, verdict: Verdict, second: int, last: bool = False) -> None:
        """Write the evidence in the background, if that is due and none is being written. The last write of a rollout
        waits for the one before."""
        before = tracked.saving if tracked.saving is not None and not tracked.saving.done() else None
        if not last and (before is not None or not _is_due(tracked, verdict, second)):
            return
        tracked.saved = (verdict.finding, second)
        writing = self._write(tracked, _record(tracked, verdict), second, before)
        tracked.saving = asyncio.create_task(writing, name="evidence")
        self._writes.add(tracked.saving)
        tracked.saving.add_done_callback(self._writes.discard)

    async def _write(
        self, tracked: _Tracked, record: EvidenceRecord, second: int, before: asyncio.Task[None] | None
    ) -> None:
        def work(tx: Tx) -> EvidenceRecord | None:
            found = tracked.earlier if tracked.loaded else records.find_evidence(tx, record.endpoint)
            if found is not None and found.rollout == record.rollout:
                return found
            records.keep_evidence(tx, record, second)
            return None

        if before is not None:
            await asyncio.wait({before})
        try:
            tracked.earlier = await self.store.run(work)
            tracked.loaded = tracked.loaded or tracked.earlier is None
        except TidegateError as error:
            self._note(str(error))
        else:
            self._note(None)

    def _note(self, trouble: str | None) -> None:
        """Log trouble when it begins."""
        if trouble is not None and self._trouble is None:
            log.warning("evidence cannot be kept now: %s; rollouts are judged from memory meanwhile", trouble)
        self._trouble = trouble


def _is_due(tracked: _Tracked, verdict: Verdict, second: int) -> bool:
    if tracked.saved is None or verdict.finding is not tracked.saved[0]:
        return True
    return second - tracked.saved[1] >= SAVE_EVERY + len(tracked.ledger.blocks) // BLOCKS_PER_SECOND


def _take_over(tracked: _Tracked, found: EvidenceRecord | None) -> None:
    """Go on with what an earlier controller kept. What it counted after it wrote that is lost. If the clock was set
    back since, only a failure is taken over."""
    tracked.loaded = True
    if found is None or found.through > tracked.began:
        failed = found is not None and found.verdict.finding is Finding.FAIL
        tracked.earlier = found if failed else None
        if tracked.inherited or found is not None:
            tracked.begin_anew(KEPT_NOTHING if found is None else SET_BACK)
        return
    ledger = tracked.ledger
    ledger.resume(found.blocks.values())
    tracked.kept_through = found.through
    ledger.late, ledger.unusable = found.late, found.unusable
    if tracked.judge is not None:
        tracked.judge.asked.update(_count_questions(found))
        labels = [label for block in found.blocks.values() for label in block.preferences]
        tracked.labelled |= {label.id for label in labels}
        tracked.judge.chosen.update(label.variant for label in labels)
        waiting = [] if tracked.judge.kept is None else tracked.judge.kept.read()
        tracked.judge.chosen.update(pair.variant for pair in waiting if pair.id not in tracked.labelled)
    late, kept = ledger.beside, found.uncounted
    requests, failures = late.requests + kept.requests, late.failures + kept.failures
    ledger.beside = Uncounted(requests, failures, lost=late.lost or kept.lost, why=late.why or kept.why)
    if tracked.inherited and found.through < tracked.began - 1:
        ledger.note_loss("an earlier controller ended before it wrote all that it had counted")


def _count_questions(record: EvidenceRecord) -> dict[str, int]:
    """Return the questions to the judge by variant."""
    keys = {variant: pair_key(variant, Comparison.JUDGE, QUESTIONS) for variant in record.variants}
    blocks = record.blocks.values()
    return {name: sum(one.sums[key][0] for one in blocks if key in one.sums) for name, key in keys.items()}


def _take(tracked: _Tracked, report: FleetSecond) -> None:
    side = _side_of(tracked.versions, report.fleet)
    if side is Side.NEW and report.in_flight:
        tracked.ledger.running[report.fleet.variant] = report.second, round(sum(report.in_flight))
    if side is not None:
        tracked.ledger.add(report.second, side, report.fleet.variant, count_side(report))
        tracked.ledger.add_texts(report.second, side, report.fleet.variant, round_texts(report.texts))
    if side is Side.OLD and report.pairs:
        new = str(replace(report.fleet, generation=tracked.versions.new[0]))
        pairs = [pair for fleet, pair in report.pairs if fleet == new]
        tracked.ledger.add_pairs(report.second, report.fleet.variant, pairs)
        if tracked.judge is not None and tracked.ready and report.fleet.variant in tracked.versions.variants:
            tracked.judge.offer(report.fleet.variant, pairs)


def _take_period(tracked: _Tracked, period: FleetPeriod) -> None:
    """Count a report on a period. Requests by which a period grew after it was counted come into the block after it,
    as long as its stage lasts. A new controller's first report on a period has the whole of it: one that an earlier
    controller counted is left out, and what it grows by from then on counts."""
    key = (period.fleet, period.at)
    if period.at + period.seconds <= tracked.kept_through and key not in tracked.counted_before:
        tracked.counted_before.add(key)
        return
    side, ledger = _side_of(tracked.versions, period.fleet), tracked.ledger
    if side is None or not tracked.bakes.covers(period.at, period.seconds):
        return
    ledger.widest_report = period.seconds
    second = max(period.at, ledger.through)
    counts = SideCounts(period.requests, min(period.requests, period.failed))
    ledger.add(second if ledger.same_stage(period.at, second) else period.at, side, period.fleet.variant, counts)


def _side_of(versions: ComparedVersions, fleet: FleetId) -> Side | None:
    if fleet.endpoint != versions.endpoint:
        return None
    return {versions.old[0]: Side.OLD, versions.new[0]: Side.NEW}.get(fleet.generation)


def _record(tracked: _Tracked, verdict: Verdict) -> EvidenceRecord:
    versions, ledger = tracked.versions, tracked.ledger
    return EvidenceRecord(
        endpoint=versions.endpoint,
        rollout=versions.rollout,
        old_config=versions.old[1],
        new_config=versions.new[1],
        config=ledger.config,
        variants=ledger.variants,
        verdict=verdict,
        through=ledger.through,
        blocks=dict(ledger.blocks),
        thresholds=dict(ledger.thresholds),
        late=ledger.late,
        unusable=ledger.unusable,
        rules=RULES,
        replayed=dict(ledger.replayed),
        uncounted=ledger.uncounted,
    )


def evidence_samples(record: EvidenceRecord, second: int) -> list[Sample]:
    """One value per comparison of each variant whose new version got requests, or copies of them: 1 or more says that
    its difference exceeds the tolerance. Values never fall in the course of a rollout."""
    made: list[Sample] = []
    for variant in record.variants:
        results = [one for one in record.verdict.results if one.variant == variant]
        values = {NAMES[one.comparison]: one.evidence for one in results if one.counts[2] or one.pairs[0]}
        if values:
            values[ALL] = max(values.values())
        named = {"EndpointName": record.endpoint, "VariantName": variant, "EndpointConfigName": record.new_config}
        made += [_sample(MetricId.of(EVIDENCE, name, named), value, second) for name, value in values.items()]
    return made


def _sample(metric: MetricId, value: float, second: int) -> Sample:
    return Sample(metric, second, 1.0, value, value, value, {sketch.index(value): 1.0})
