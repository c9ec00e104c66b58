"""The versions of rollouts compared second by second: verdicts, metrics and records, also when others fail."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import msgspec
import pytest

from tests.memory_metrics import MemoryMetrics
from tests.memory_store import MemoryStore
from tests.samples import canary, percent, version
from tidegate.domain.assurance import Assurance, Harm
from tidegate.domain.endpoint import Endpoint, Rollout
from tidegate.domain.errors import Unavailable
from tidegate.domain.evidence import Comparison, EvidenceConfig, EvidenceRecord, Finding, Judging
from tidegate.domain.fleet import FleetId
from tidegate.domain.metric import CollectionRound, Coverage, FleetSecond, Sample
from tidegate.domain.observation import Capabilities, GuardCheck
from tidegate.domain.pairs import Pair
from tidegate.domain.replay import ReplayConfig, ReplayResult, ReplayStatistic
from tidegate.domain.rollout import DeploymentConfig
from tidegate.features.evidence.judge import recompute, recompute_record
from tidegate.features.evidence.ledger import EvidenceLedger
from tidegate.features.evidence.loop import LOAD_PATIENCE, SAVE_EVERY, Comparisons
from tidegate.features.evidence.service import find_evidence
from tidegate.features.evidence.units import Unit
from tidegate.ports.store import Tx
from tidegate.reconcile.guards import GuardedRollout, Guards
from tidegate.reconcile.metrics_loop import MetricsLoop
from tidegate.reconcile.rollout_observers import REPORTED, ComparedVersions, RolloutObservers, compared_versions
from tidegate.rollout.plan import compile_plan
from tidegate.service.record_kinds import ENDPOINT

R = TypeVar("R")
NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
START = int(NOON.timestamp())
CONFIG = EvidenceConfig(compare=(Comparison.ERRORS,))
VERSIONS = ComparedVersions("fraud", "r1", (1, "v1"), (2, "v2"), ("main",), CONFIG, 0, NOON)


class Patient(MemoryStore):
    """A store that counts what it runs and can be away."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.runs = 0

    async def run(self, work: Callable[[Tx], R]) -> R:
        self.runs += 1
        if self.away:
            raise Unavailable("the database is away")
        return await super().run(work)


def one(second: int, generation: int, requests: int, failed: int, variant: str = "main") -> FleetSecond:
    fleet = FleetId("fraud", generation, variant)
    return FleetSecond(fleet, f"v{generation}", second, 1, requests, errors_5xx=failed)


@dataclass
class Day:
    """Seconds of traffic: 90 requests on the old version, 10 on the new one, of which ``failed`` fail."""

    store: Patient = field(default_factory=Patient)
    versions: ComparedVersions = VERSIONS
    second: int = START
    samples: list[Sample] = field(default_factory=list)
    comparisons: Comparisons = field(init=False)

    def __post_init__(self) -> None:
        self.comparisons = Comparisons(self.store)

    async def pass_by(self, seconds: int, failed: int = 0, coverage: bool = True, ended: bool = False) -> None:
        for _ in range(seconds):
            self.second += 1
            done = self.second - 1
            reports = [one(done, 1, 90, 1), one(done, 2, 10, failed), one(done, 2, 10, 10, "other")]
            covered = {"fraud": Coverage(START - 100, self.second)} if coverage else {}
            present = [] if ended else [self.versions]
            now = datetime.fromtimestamp(self.second, UTC)
            self.samples += await self.comparisons.turn(present, CollectionRound(reports, covered), now)
            for _ in range(5):
                await asyncio.sleep(0)

    def is_found(self, finding: Finding | None) -> bool:
        found = self.comparisons.verdict("r1")
        return (None if found is None else found.finding) is finding

    async def kept(self) -> EvidenceRecord | None:
        return await self.store.run(lambda tx: find_evidence(tx, "fraud"))


async def day(**options: object) -> Day:
    found = Day(**options)  # type: ignore[arg-type]
    await found.store.run(
        lambda tx: tx.put(ENDPOINT, "fraud", Endpoint("fraud", NOON, NOON), expect=None, now=NOON)
    )
    return found


async def test_requests_are_compared_and_the_verdict_changes_with_them() -> None:
    today = await day()
    assert today.is_found(None)
    await today.pass_by(5)
    assert today.is_found(Finding.NO_DATA)
    await today.pass_by(10)
    assert today.is_found(Finding.UNDECIDED)
    await today.pass_by(30, failed=3)
    assert today.is_found(Finding.FAIL)


REPLAY = ReplayConfig("s3://rows.csv", "minutes", other_labels=("cost",))


def replayed(name: str, slice: str, *errors: float | None) -> dict[str, ReplayResult]:
    """Of one output, or of ``minutes`` and ``cost``."""
    outputs = ("minutes", "cost") if len(errors) > 1 else ("",)
    statistics = tuple(
        ReplayStatistic(name, slice, error, 3.0, None, None, 0.05, Finding.PASS, output=output)
        for output, error in zip(outputs, errors, strict=True)
    )
    return {"main": ReplayResult(Finding.PASS, "", statistics=statistics)}


@pytest.mark.parametrize(
    ("found", "units"),
    [
        (replayed("error", "", 2.0), {"main": {0: Unit(False, 3.0)}}),
        (replayed("error", "", 2.0, 40.0), {"main": {0: Unit(False, 3.0), 1: Unit(False, 60.0)}}),
        (replayed("error", "", None, 40.0), {"main": {1: Unit(False, 60.0)}}),
        (replayed("error", "IN", 2.0), {"main": {}}),
        (replayed("error", "", None), {"main": {}}),
        (replayed("error", "", 0.0), {"main": {}}),
        (replayed("auc", "", 0.8), {"main": {}}),
        (None, {}),
    ],
)
async def test_the_unit_of_amounts_is_the_old_versions_error_on_replayed_rows(
    found: dict[str, ReplayResult] | None, units: dict[str, dict[int, Unit]]
) -> None:
    today = await day(
        versions=replace(VERSIONS, config=EvidenceConfig(compare=(Comparison.PAIRED,), replay=REPLAY))
    )
    today.comparisons.replayed = {"r1": found}.get
    await today.pass_by(3)
    assert today.comparisons._tracked["r1"].ledger.units == units
    today.second += 1
    other = str(FleetId("fraud", 2, "main"))
    pair = Pair(10.0, 16.0, rows=(((0, 10.0, 16.0), (1, 10.0, 16.0)),))
    report = replace(one(today.second - 1, 1, 90, 0), pairs=((other, pair),))
    covered = {"fraud": Coverage(START - 100, today.second)}
    await today.comparisons.turn(
        [today.versions], CollectionRound([report], covered), datetime.fromtimestamp(today.second, UTC)
    )
    await today.pass_by(3)
    blocks = today.comparisons._tracked["r1"].ledger.blocks.values()
    known = [unit.size for one in units.values() for unit in one.values()]
    assert [size for block in blocks for size in block.units.values()] == known


async def test_what_is_not_known_to_be_counted_completely_is_no_evidence() -> None:
    today = await day()
    await today.pass_by(60, failed=10, coverage=False)
    assert today.is_found(Finding.NO_DATA)
    await today.pass_by(1, failed=10)
    assert today.is_found(Finding.FAIL), "it counts once the counts are complete"


async def test_metrics_are_published_once_the_new_version_has_requests() -> None:
    today = await day()
    await today.pass_by(30, failed=5)
    last = {sample.metric.name: sample.high for sample in today.samples[-2:]}
    assert last.keys() == {"ErrorEvidence", "Evidence"}
    assert min(last.values()) >= 1


async def test_the_record_is_written_when_the_finding_changes_and_now_and_then() -> None:
    today = await day()
    await today.pass_by(3)
    before = today.store.runs
    await today.pass_by(SAVE_EVERY // 2)
    assert today.store.runs == before
    await today.pass_by(30, failed=5)
    found = await today.kept()
    assert found is not None
    assert (found.verdict.finding, found.old_config, found.new_config) == (Finding.FAIL, "v1", "v2")
    await today.pass_by(1, ended=True)
    last = await today.kept()
    assert last is not None
    assert len(last.blocks) > len(found.blocks) or last.verdict == found.verdict
    assert today.comparisons.verdict("r1") is None, "it has ended"


async def test_a_controller_that_starts_again_goes_on_with_the_evidence_of_the_one_before() -> None:
    today = await day()
    await today.pass_by(20, failed=2)
    await today.pass_by(1, ended=True)
    before = await today.kept()
    assert before is not None
    again = Day(store=today.store, second=today.second)
    await again.pass_by(2)
    verdict = again.comparisons.verdict("r1")
    assert verdict is not None
    assert verdict.results[0].counts[2] >= before.verdict.results[0].counts[2] > 0
    other = Day(store=today.store, second=today.second, versions=replace(VERSIONS, rollout="r2"))
    await other.pass_by(2)
    fresh = other.comparisons.verdict("r2")
    assert fresh is not None
    assert fresh.results[0].counts[2] <= 20, "another rollout begins anew"


async def test_a_store_that_is_away_delays_no_verdict() -> None:
    today = await day()
    today.store.away = True
    await today.pass_by(30, failed=5)
    assert today.is_found(Finding.FAIL)


async def test_a_clock_that_was_set_back_begins_the_comparison_anew() -> None:
    today = await day()
    await today.pass_by(30)
    today.second -= 3600
    await today.pass_by(2)
    assert today.is_found(Finding.NO_DATA), "what was counted has times to come"
    await today.pass_by(20)
    assert today.is_found(Finding.UNDECIDED)
    record = await today.kept()
    assert record is not None
    later = await day(store=today.store, second=today.second - 7200)
    await later.pass_by(3)
    assert later.is_found(Finding.NO_DATA), "a record of times to come is not taken over"


async def test_a_rollout_that_cannot_be_compared_stops_no_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    advance = EvidenceLedger.advance

    def break_some(ledger: EvidenceLedger, through: int) -> None:
        if ledger.config.minimum == 7:
            raise ZeroDivisionError("a fault")
        advance(ledger, through)

    monkeypatch.setattr(EvidenceLedger, "advance", break_some)
    today = await day()
    bad = replace(VERSIONS, rollout="bad", config=replace(CONFIG, minimum=7))
    for second in range(START + 1, START + 20):
        reports = [one(second - 1, 1, 90, 1), one(second - 1, 2, 10, 10)]
        collected = CollectionRound(reports, {"fraud": Coverage(START, second)})
        await today.comparisons.turn([bad, VERSIONS], collected, datetime.fromtimestamp(second, UTC))
        await asyncio.sleep(0.0)
    assert today.is_found(Finding.FAIL)
    assert caplog.text.count("versions cannot be compared") == 1
    assert today.comparisons.verdict("bad") is None, "what is not counted is not judged"


@pytest.mark.parametrize("fault", ["verdict", "enter"])
async def test_evidence_that_cannot_be_judged_disarms_no_alarm_and_stops_no_other(
    fault: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What watches the alarms asks for the verdict in the same look."""
    sound_verdict, sound_enter = vars(EvidenceLedger)["verdict"].fget, EvidenceLedger.enter

    def judge_some(ledger: EvidenceLedger) -> object:
        if ledger.config.minimum == 7 and fault == "verdict":
            raise ValueError("math domain error")
        return sound_verdict(ledger)

    def enter_some(ledger: EvidenceLedger, stage: int, since: int) -> None:
        if ledger.config.minimum == 7 and fault == "enter":
            raise ValueError("math domain error")
        sound_enter(ledger, stage, since)

    monkeypatch.setattr(EvidenceLedger, "verdict", property(judge_some))
    monkeypatch.setattr(EvidenceLedger, "enter", enter_some)
    today = await day()
    bad = replace(VERSIONS, endpoint="rent", rollout="bad", config=replace(CONFIG, minimum=7))
    guards = Guards(MemoryMetrics(), observers=RolloutObservers((today.comparisons,)))
    guarded = GuardedRollout("rent", "bad", (), bad)
    for second in range(START + 1, START + 20):
        reports = [one(second - 1, 1, 90, 1), one(second - 1, 2, 10, 10)]
        covered = {name: Coverage(START, second) for name in ("fraud", "rent")}
        now = datetime.fromtimestamp(second, UTC)
        await today.comparisons.turn([bad, VERSIONS], CollectionRound(reports, covered), now)
        await guards.judge([guarded], covered, now)
        found = guards.evidence(guarded)
        assert found is not None and found.verdict is None
        await asyncio.sleep(0.0)
    assert today.is_found(Finding.FAIL)
    await today.comparisons.turn([VERSIONS], CollectionRound([], {}), datetime.fromtimestamp(START + 21, UTC))
    assert today.is_found(Finding.FAIL)
    assert caplog.text.count("endpoint rent: versions cannot be compared: math domain error") == 1


async def test_what_was_kept_is_not_waited_for_without_end() -> None:
    today = await day()
    never = asyncio.Event()
    run = today.store.run

    async def hang(work: Callable[[Tx], R]) -> R:
        await never.wait()
        return await run(work)

    today.store.run = hang  # type: ignore[method-assign]
    await today.pass_by(LOAD_PATIENCE)
    assert today.is_found(None)
    await today.pass_by(20)
    assert today.is_found(Finding.UNDECIDED)
    never.set()
    today.store.run = run  # type: ignore[method-assign]
    await today.pass_by(1, ended=True)
    found = await today.kept()
    assert found is not None
    assert found.verdict.finding is Finding.UNDECIDED, "the last write waits for the one that hung"


async def test_a_failed_comparison_keeps_no_guard_from_being_judged(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Comparisons):
        async def turn(self, *_: object) -> list[Sample]:
            raise RuntimeError("a fault")

    @dataclass
    class Standing:
        def now(self) -> datetime:
            return NOON

    async def collect(now: int) -> CollectionRound:
        return CollectionRound([], {"fraud": Coverage(now - 60, now)})

    metrics, store, kicked = MemoryMetrics(), MemoryStore(), list[str]()
    guards = Guards(metrics, observers=RolloutObservers((Broken(store),)))
    guarded = GuardedRollout("fraud", "r1", (), VERSIONS)
    loop = MetricsLoop(store, metrics, Standing(), collect, kicked.append, guards, lambda: [guarded])
    await loop.turn()
    assert kicked == ["fraud"]
    assert guards.evidence(guarded) is not None
    assert "versions could not be compared" in caplog.text


async def test_versions_are_compared_before_their_requests_count_as_judged() -> None:
    """Otherwise a stage could pass by counts that reach its end, and by a verdict from before they were compared."""
    seen = list[GuardCheck | None]()

    class Watching(Comparisons):
        async def turn(self, *_: object) -> list[Sample]:
            seen.append(guards.evidence(guarded))
            return []

    @dataclass
    class Standing:
        def now(self) -> datetime:
            return NOON

    async def collect(now: int) -> CollectionRound:
        return CollectionRound([], {"fraud": Coverage(now - 60, now)})

    metrics, store = MemoryMetrics(), MemoryStore()
    guards = Guards(metrics, observers=RolloutObservers((Watching(store),)))
    guarded = GuardedRollout("fraud", "r1", (), VERSIONS)
    loop = MetricsLoop(store, metrics, Standing(), collect, lambda name: None, guards, lambda: [guarded])
    await loop.turn()
    assert seen == [None]
    assert guards.evidence(guarded) is not None


async def test_the_verdict_joins_the_evidence_of_the_guards() -> None:
    today = await day()
    guards = Guards(MemoryMetrics(), observers=RolloutObservers((today.comparisons,)))
    guarded = GuardedRollout("fraud", "r1", (), VERSIONS)
    await today.pass_by(20)
    now = datetime.fromtimestamp(today.second, UTC)
    await guards.judge([guarded], {"fraud": Coverage(START - 100, today.second)}, now)
    found = guards.evidence(guarded)
    assert found is not None
    assert found.verdict == today.comparisons.verdict("r1")


def rollout(old: int | dict[str, int] | None, new: int | dict[str, int], deployment: DeploymentConfig) -> Rollout:
    before = None if old is None else replace(version("v1", old), generation=1)
    after = replace(version("v2", new), generation=2)
    plan = compile_plan(before, after, deployment, Capabilities())
    return Rollout("r1", before, after, deployment, plan, NOON, phase_since=NOON + timedelta(seconds=9))


def test_versions_are_compared_variant_by_variant_also_where_nothing_was_asked_for() -> None:
    endpoint, steps = Endpoint("fraud", NOON, NOON), canary(percent(10), 60)
    found = compared_versions(endpoint, rollout({"a": 1, "b": 2}, {"a": 1, "b": 1}, steps))
    assert found is not None
    assert (found.variants, found.config, found.stage) == (("a", "b"), REPORTED, 0)
    asked = compared_versions(endpoint, rollout(2, 2, replace(steps, evidence=CONFIG)))
    assert asked is not None
    assert (asked.config, asked.old, asked.new) == (CONFIG, (1, "v1"), (2, "v2"))
    assert compared_versions(endpoint, rollout(None, 2, steps)) is None
    assert compared_versions(endpoint, rollout({"a": 1}, {"c": 1}, DeploymentConfig())) is None


@pytest.mark.parametrize(
    ("answered_by", "reported_by", "finding"),
    [(2, 1, Finding.FAIL), (3, 1, Finding.NO_DATA), (2, 2, Finding.NO_DATA)],
    ids=["of this rollout", "of another version", "reported by the new version"],
)
async def test_pairs_count_if_the_old_versions_workers_report_them_of_the_new_version(
    answered_by: int, reported_by: int, finding: Finding
) -> None:
    """Scores that are opposite in every pair."""
    config = EvidenceConfig(compare=(Comparison.PAIRED,))
    today = await day(versions=replace(VERSIONS, config=config))
    other = str(FleetId("fraud", answered_by, "main"))
    for number in range(15):
        today.second += 1
        done = today.second - 1
        scores = [(number * 20 + at + 1) / 500 for at in range(20)]
        pairs = tuple((other, Pair(score, 1 - score)) for score in scores)
        report = replace(one(done, reported_by, 90, 0), pairs=pairs)
        covered = {"fraud": Coverage(START - 100, today.second)}
        now = datetime.fromtimestamp(today.second, UTC)
        today.samples += await today.comparisons.turn([today.versions], CollectionRound([report], covered), now)
        for _ in range(5):
            await asyncio.sleep(0)
    assert today.is_found(finding)
    names = {sample.metric.name for sample in today.samples}
    assert names == ({"PairedEvidence", "Evidence"} if finding is Finding.FAIL else set())
    kept = await today.kept()
    assert kept is not None
    again = recompute(config, ("main",), kept.blocks.values(), 0)
    assert again.finding is finding


@pytest.mark.parametrize(
    ("share", "baking", "found"), [(1_000, True, ""), (5_000, True, "not split as requested"), (5_000, False, "")]
)
async def test_an_assurance_checks_the_split_by_the_share_in_force(share: int, baking: bool, found: str) -> None:
    """The new version gets a tenth of the requests. While shares are shifted nothing is checked."""
    config = replace(CONFIG, assure=Assurance(Harm(errors=0.05), 2_500))
    today = await day(versions=replace(VERSIONS, config=config, share=share, baking=baking))
    await today.pass_by(60)
    verdict = today.comparisons.verdict("r1")
    assert verdict is not None
    assert found in verdict.mismatch and bool(verdict.mismatch) is bool(found)
    assert verdict.exposed == 600
    kept = await today.kept()
    assert kept is not None
    assert {one.share for one in kept.blocks.values()} - {None} == ({share} if baking else set())


CHOSEN = replace(CONFIG, assure=Assurance(Harm(errors=0.01), 2500, exposure=100_000, failed=500, ramp=True))
CHOOSING = replace(VERSIONS, config=CHOSEN, baking=True, share=1000, routed=True)


def budgets(today: Day) -> tuple[float | None, int, int]:
    """The room that is left, and the requests and failures that the budgets have."""
    found = today.comparisons.verdict("r1")
    assert found is not None
    return found.room, found.exposed, found.failed


async def test_budgets_count_the_block_that_is_still_open_and_late_reports() -> None:
    today = await day(versions=replace(CHOOSING, routed=False))
    await today.pass_by(1203)
    before = budgets(today)
    await today.pass_by(5, failed=2)
    assert budgets(today)[1:] == (before[1] + 50, before[2] + 10)
    assert today.comparisons._tracked["r1"].ledger.uncounted.requests > 0, "the last block is long by now"
    late = CollectionRound([one(START + 3, 2, 7, 3)], {"fraud": Coverage(START - 100, today.second)})
    await today.comparisons.turn([today.versions], late, datetime.fromtimestamp(today.second, UTC))
    assert budgets(today)[1:] == (before[1] + 57, before[2] + 13)
    await today.pass_by(1, ended=True)
    record = await today.kept()
    assert record is not None and recompute_record(record) == (record.verdict, True)


async def test_requests_in_progress_count_as_failed_where_stages_are_chosen() -> None:
    today = await day(versions=replace(CHOOSING, routed=False))
    await today.pass_by(60)
    room, exposed, failed = budgets(today)
    waiting = replace(one(today.second - 1, 2, 0, 0), in_flight=(150.0, 150.0))
    covered = {"fraud": Coverage(START - 100, today.second)}
    now = datetime.fromtimestamp(today.second, UTC)
    await today.comparisons.turn([today.versions], CollectionRound([waiting], covered), now)
    less, *same = budgets(today)
    assert same == [exposed, failed], "a request that may still be answered has not failed"
    assert room is not None and less is not None and less < room / 10


async def test_budgets_have_no_room_once_requests_in_progress_are_not_reported_any_more() -> None:
    today = await day(versions=replace(CHOOSING, routed=False))
    covered = {"fraud": Coverage(START - 100, today.second)}
    for count, known in ((3.0, False), (0.0, True)):
        waiting = replace(one(today.second - 1, 2, 0, 0), in_flight=(count,))
        now = datetime.fromtimestamp(today.second, UTC)
        await today.comparisons.turn([today.versions], CollectionRound([waiting], covered), now)
        await today.pass_by(30)
        assert (budgets(today)[0] is not None) is known


async def choosing() -> Day:
    """A rollout that was followed from before its first traffic on, and has some."""
    today = await day(versions=replace(CHOOSING, baking=False, routed=False))
    await today.pass_by(1)
    today.versions = CHOOSING
    await today.pass_by(60)
    assert budgets(today)[0] is not None
    return today


async def test_a_version_that_has_its_share_before_the_first_look_is_counted_from_its_first_request() -> None:
    """It is ready at once, and the loop is late: its first five seconds come with the first look."""
    began = datetime.fromtimestamp(START, UTC)
    today = await day(versions=replace(CHOOSING, followed_from=began), second=START + 5)
    first = [one(at, generation, 10, 0) for at in range(START, START + 5) for generation in (1, 2)]
    round_one = CollectionRound(first, {"fraud": Coverage(START - 100, today.second)})
    await today.comparisons.turn([today.versions], round_one, datetime.fromtimestamp(today.second, UTC))
    await today.pass_by(60)
    room, exposed, _ = budgets(today)
    assert room is not None
    assert exposed == 5 * 10 + 60 * 10
    assert today.comparisons._tracked["r1"].ledger.late == 0


async def test_a_loss_says_that_the_budgets_choose_no_more_and_why() -> None:
    today = await day(versions=CHOOSING)
    await today.pass_by(3)
    found = today.comparisons.verdict("r1")
    assert found is not None and found.room is None
    assert "the budgets choose no stages any more, because an earlier controller wrote nothing" in found.reason


async def test_budgets_have_no_room_after_a_hole_in_what_was_counted() -> None:
    today = await choosing()
    now = today.second + 30
    collected = CollectionRound([], {"fraud": Coverage(now - 5, now)})
    await today.comparisons.turn([today.versions], collected, datetime.fromtimestamp(now, UTC))
    assert budgets(today)[0] is None


async def test_budgets_have_no_room_after_a_controller_that_did_not_write_all_that_it_counted() -> None:
    today = await choosing()
    exposed = budgets(today)[1]
    again = Day(store=today.store, second=today.second + 20, versions=CHOOSING)
    await again.pass_by(3)
    assert budgets(again)[0] is None
    assert budgets(again)[1] > exposed - 10 * (SAVE_EVERY + 20), "what was written counts"


@pytest.mark.parametrize("slow", [False, True])
async def test_a_record_that_was_not_read_is_not_written_over_and_its_failure_counts(slow: bool) -> None:
    today = await choosing()
    await today.pass_by(30, failed=10)
    await today.pass_by(1, ended=True)
    before = await today.kept()
    assert before is not None and before.verdict.finding is Finding.FAIL
    again = Day(store=today.store, second=today.second + 5, versions=CHOOSING)
    run, never = today.store.run, asyncio.Event()

    async def hang(work: Callable[[Tx], R]) -> R:
        await never.wait()
        return await run(work)

    if slow:
        today.store.run = hang  # type: ignore[method-assign]
    today.store.away = not slow
    await again.pass_by(LOAD_PATIENCE)
    today.store.run, today.store.away = run, False  # type: ignore[method-assign]
    await again.pass_by(SAVE_EVERY + 1)
    assert await today.kept() == before
    assert again.is_found(Finding.FAIL)


async def test_a_failure_outlives_a_clock_that_was_set_back() -> None:
    today = await choosing()
    await today.pass_by(30, failed=10)
    today.second -= 3600
    await today.pass_by(SAVE_EVERY + 2)
    assert today.is_found(Finding.FAIL)


JUDGED = EvidenceConfig((Comparison.JUDGE,), judging=Judging("http://judge", "m", asks=200))


async def judged_rounds(today: Day, count: int, first: int) -> None:
    """Rounds with four pairs of texts each, whose keys begin with ``first``."""
    fleet = str(FleetId("fraud", 2, "main"))
    for number in range(count):
        today.second += 1
        keys = range(first + 4 * number, first + 4 * number + 4)
        pairs = tuple((fleet, Pair(None, None, key, texts=("hello", f"old {key}", f"new {key}"))) for key in keys)
        report = replace(one(today.second - 1, 1, 90, 0), pairs=pairs)
        covered = {"fraud": Coverage(START - 100, today.second)}
        now = datetime.fromtimestamp(today.second, UTC)
        today.samples += await today.comparisons.turn([today.versions], CollectionRound([report], covered), now)
        for _ in range(20):
            await asyncio.sleep(0)


async def test_a_judge_is_asked_about_texts_no_more_often_than_allowed_by_one_controller_after_another() -> None:
    asked = list[str]()

    async def prefer_old(judging: Judging, body: bytes) -> bytes:
        shown = json.loads(body)["messages"][1]["content"]
        asked.append(shown)
        letter = "A" if shown.index("old") < shown.index("new") else "B"
        return json.dumps({"choices": [{"message": {"content": letter}}]}).encode()

    today = await day(versions=replace(VERSIONS, config=JUDGED))
    today.comparisons.ask = prefer_old
    await judged_rounds(today, 40, 1)
    assert today.is_found(Finding.FAIL)
    assert {sample.metric.name for sample in today.samples} == {"JudgeEvidence", "Evidence"}
    kept = await today.kept()
    assert kept is not None
    again, same = recompute_record(kept)
    assert same
    assert again.results[0].questions[1] == 200
    assert "hello" not in msgspec.json.encode(kept).decode(), "only measures are kept"
    known = again.results[0].questions[0]
    asked.clear()
    today.comparisons = Comparisons(today.store, ask=prefer_old)
    await judged_rounds(today, 60, 1_001)
    assert len(asked) == 200 - known, "those of the controller before count"
    assert today.is_found(Finding.FAIL)
