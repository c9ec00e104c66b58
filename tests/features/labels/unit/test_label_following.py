"""Labels followed: captures are read once, versions are measured, metrics are published, the gone is removed."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.memory_metrics import MemoryMetrics
from tests.memory_store import MemoryStore
from tests.samples import canary, percent, version
from tidegate.domain.capture import Capture
from tidegate.domain.endpoint import Endpoint, Rollout
from tidegate.domain.history import History, HistoryEntry, VersionOutcome
from tidegate.domain.metric import LABELS, MetricId
from tidegate.domain.observation import Capabilities
from tidegate.domain.rollout import Version
from tidegate.features.labels import follow, lanes
from tidegate.features.labels.follow import LabelFollower, find_followed, label_samples
from tidegate.features.labels.label_terms import LabelTerms
from tidegate.features.labels.store import LabelStore
from tidegate.ports.store import Tx
from tidegate.rollout.plan import compile_plan
from tidegate.rows.label_lines import Label
from tidegate.rows.sources import LineFile
from tidegate.rows.sources import list_files as listed
from tidegate.service.record_kinds import ENDPOINT, HISTORY

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ANSWERS = 1_000


@dataclass
class StillClock:
    """Shows what it is set to."""

    moment: datetime

    def now(self) -> datetime:
        return self.moment


def captured(name: str, folder: Path) -> Version:
    found = version(name)
    to = Capture(folder.as_uri())
    return replace(found, variants=tuple(replace(variant, capture=to) for variant in found.variants))


def write(folder: Path, config: str, first: int, good: bool, hour: datetime = NOON) -> None:
    """A file of captures whose scores are right, or the wrong way round."""
    below = folder / "fraud" / "AllTraffic" / f"{hour:%Y/%m/%d/%H}"
    below.mkdir(parents=True, exist_ok=True)
    lines = []
    for number in range(first, first + ANSWERS):
        score = (number * 7919 % 1_000) / 1_000
        side = {"data": f"{score if good else 1 - score}", "encoding": "CSV"}
        about = {"configName": config, "eventId": f"e{number}", "inferenceId": f"i{number}"}
        about["inferenceTime"] = (hour + timedelta(seconds=number % 1_000)).isoformat()
        lines.append(json.dumps({"captureData": {"endpointOutput": side}, "eventMetadata": about}))
    name = f"00-00-000-{first:08x}-0000-0000-0000-000000000000.jsonl"
    (below / name).write_text("\n".join([*lines, "half a li"]))


def truth(number: int) -> float:
    return float(number * 7919 % 1_000 >= 500)


class Scene:
    def __init__(self, folder: Path) -> None:
        self.captures, self.folder = folder / "captures", folder / "labels"
        self.store, self.metrics, self.clock = (
            MemoryStore(),
            MemoryMetrics(),
            StillClock(NOON + timedelta(days=30)),
        )
        self.labels = LabelStore(self.folder, "fraud")
        self.renew()

    def renew(self) -> None:
        self.follower = LabelFollower(
            self.folder, self.store, self.metrics, self.clock, ("", "us-east-1"), time.monotonic
        )

    async def serve(self, endpoint: Endpoint) -> None:
        await self.store.run(lambda tx: tx.put(ENDPOINT, "fraud", endpoint, expect=None, now=NOON))

    def post(self, numbers: range) -> None:
        now = self.clock.now().timestamp()
        self.labels.accept([Label(f"i{n}", truth(n), now, None, now) for n in numbers], LabelTerms())

    async def value(self, name: str, config: str) -> float | None:
        named = {"EndpointName": "fraud", "VariantName": "AllTraffic", "EndpointConfigName": config}
        second = int(self.clock.now().timestamp()) - 1
        found = await self.metrics.read(MetricId.of(LABELS, name, named), second, second + 1, 1)
        return next((one.total for one in found.values()), None)


@pytest.fixture(autouse=True)
def _unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """One turn reads and measures everything, also on a loaded machine."""
    monkeypatch.setattr(follow, "SLICE", 60.0)
    monkeypatch.setattr(lanes, "PATIENCE", 60.0)


@pytest.fixture
async def scene(tmp_path: Path) -> Scene:
    made = Scene(tmp_path)
    old, new = (replace(captured(name, made.captures), generation=n) for n, name in enumerate(("v1", "v2"), 1))
    plan = compile_plan(old, new, canary(percent(10), 60), Capabilities())
    rollout = Rollout("r1", old, new, canary(percent(10), 60), plan, NOON)
    await made.serve(Endpoint("fraud", NOON, NOON, rollout=rollout, serving=old))
    return made


async def test_labels_that_come_a_month_later_measure_each_version_and_tell_the_worse_one(scene: Scene) -> None:
    write(scene.captures, "v1", 0, good=True)
    write(scene.captures, "v2", 5_000, good=False)
    scene.post(range(0, ANSWERS, 2))
    scene.post(range(5_000, 5_000 + ANSWERS, 2))
    await scene.follower.turn()
    assert await scene.value("AUC", "v1") == 1.0 and await scene.value("AUC", "v2") == 0.0
    assert await scene.value("LabelCoverage", "v2") == 50.0
    delay = await scene.value("LabelDelay", "v1")
    assert delay is not None and 29 * 86_400 < delay < 31 * 86_400
    evidence = await scene.value("LabelEvidence", "v2")
    assert evidence is not None and evidence > 1
    found = scene.labels.document()
    assert found is not None and found["captures_skipped"] == {"broken line": 2}


async def test_captures_are_read_once_also_by_another_controller_and_new_ones_are_found(scene: Scene) -> None:
    write(scene.captures, "v1", 0, good=True)
    scene.post(range(ANSWERS))
    await scene.follower.turn()
    write(scene.captures, "v1", 2_000, good=True, hour=scene.clock.now())
    scene.renew()
    await scene.follower.turn()
    found = scene.labels.document()
    assert found is not None
    assert (found["versions"][0]["coverage"]["predictions"], found["labels"]["joined"]) == (2 * ANSWERS, ANSWERS)
    assert found["labels"]["id of several predictions"] == 0


async def test_values_are_published_again_so_that_alarms_have_data(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(scene.captures, "v1", 0, good=True)
    scene.post(range(ANSWERS))
    await scene.follower.turn()
    scene.clock.moment += timedelta(seconds=60)
    await scene.follower.turn()
    assert await scene.value("AUC", "v1") is None, "not each time"
    monkeypatch.setattr(follow, "PUBLISH_EVERY", -1.0)
    await scene.follower.turn()
    assert await scene.value("AUC", "v1") == 1.0


async def test_a_file_that_is_gone_is_counted_and_holds_up_no_other(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(scene.captures, "v1", 0, good=True)
    write(scene.captures, "v1", 1_000, good=True, hour=NOON + timedelta(hours=1))
    scene.post(range(2_000))
    monkeypatch.setattr(follow, "SLICE", 0.0)
    await scene.follower.turn()  # lists the files, and has no time to read one
    first = next(iter(sorted((scene.captures / "fraud").rglob("*.jsonl"))))
    first.unlink()
    monkeypatch.setattr(follow, "SLICE", 5.0)
    await scene.follower.turn()
    found = scene.labels.document()
    assert found is not None and found["captures_skipped"]["file that cannot be read"] == 1
    assert found["labels"]["joined"] == ANSWERS and found["labels"]["unknown id"] == ANSWERS


async def test_labels_of_an_endpoint_that_was_removed_go_with_it(scene: Scene) -> None:
    scene.post(range(10))
    await scene.store.run(lambda tx: tx.delete(ENDPOINT, "fraud", expect=None, now=NOON))
    await scene.follower.turn()
    assert not scene.labels.exists


async def test_trouble_with_one_endpoint_leaves_the_others_alone(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    (scene.folder).mkdir(exist_ok=True)
    (scene.folder / "broken.db").write_bytes(b"this is no database" * 100)
    await scene.store.run(
        lambda tx: tx.put(ENDPOINT, "broken", Endpoint("broken", NOON, NOON), expect=None, now=NOON)
    )
    write(scene.captures, "v1", 0, good=True)
    scene.post(range(ANSWERS))
    await scene.follower.turn()
    await scene.follower.turn()
    assert caplog.text.count("labels of endpoint broken: ") == 1
    assert scene.labels.document() is not None


async def test_versions_are_followed_where_they_capture(scene: Scene) -> None:
    found = await scene.store.run(lambda tx: find_followed(tx, "fraud"))
    assert found is not None and await scene.store.run(lambda tx: find_followed(tx, "nobody")) is None
    assert found.captured == (f"{scene.captures.as_uri()}/fraud/AllTraffic/",)
    assert [(one.old.config, one.new.config) for one in found.compared] == [("v1", "v2")]


@pytest.mark.parametrize(("outcomes", "compared"), [
    ([VersionOutcome.SERVING], []),
    ([VersionOutcome.REPLACED, VersionOutcome.SERVING], [("v1", "v2")]),
    ([VersionOutcome.SERVING, VersionOutcome.ROLLED_BACK], [("v1", "v2")]),
    ([VersionOutcome.REPLACED, VersionOutcome.ROLLED_BACK, VersionOutcome.SERVING], [("v1", "v3")]),
    ([VersionOutcome.FAILED], []),
])  # fmt: skip
async def test_the_versions_of_the_last_rollout_are_compared_however_it_ended(
    scene: Scene, outcomes: list[VersionOutcome], compared: list[tuple[str, str]]
) -> None:
    entries = tuple(
        HistoryEntry(
            *(
                number,
                f"r{number}",
                captured(f"v{number}", scene.captures),
                canary(percent(10), 60),
                "ann",
                NOON,
                "",
            ),
            served_at=NOON if outcome in (VersionOutcome.SERVING, VersionOutcome.REPLACED) else None,
            outcome=outcome,
        )
        for number, outcome in enumerate(outcomes, 1)
    )
    endpoint = Endpoint("fraud", NOON, NOON, serving=entries[0].version)

    def work(tx: Tx) -> None:
        tx.put(ENDPOINT, "fraud", endpoint, expect=None, now=NOON)
        tx.put(HISTORY, "fraud", History(entries), expect=None, now=NOON)

    await scene.store.run(work)
    found = await scene.store.run(lambda tx: find_followed(tx, "fraud"))
    assert found is not None
    assert [(one.old.config, one.new.config) for one in found.compared] == compared


async def compared(scene: Scene) -> tuple[str, str, int, int]:
    """Configs of the versions that are compared, and the pairs of each."""
    await scene.follower.turn()
    document = scene.labels.document()
    assert document is not None
    (found,) = document["comparisons"]
    order = found["tests"][0]
    return found["old"], found["new"], order["old_compared"], order["new_compared"]


async def test_after_an_undo_only_the_time_of_the_undo_is_compared(scene: Scene) -> None:
    days = [NOON + timedelta(days=day) for day in (0, 1, 2)]
    write(scene.captures, "v1", 0, good=True, hour=days[0])
    write(scene.captures, "v2", 1_000, good=True, hour=days[1])
    write(scene.captures, "v2", 2_000, good=True, hour=days[2])
    write(scene.captures, "v1", 3_000, good=True, hour=days[2])
    scene.post(range(4_000))
    ends = [VersionOutcome.REPLACED, VersionOutcome.REPLACED, VersionOutcome.SERVING]
    entries = tuple(
        HistoryEntry(
            *(number, f"r{number}", captured(name, scene.captures), canary(percent(10), 60), "ann", day, ""),
            served_at=day + timedelta(hours=1),
            outcome=outcome,
        )
        for number, (name, day, outcome) in enumerate(zip(("v1", "v2", "v1"), days, ends, strict=True), 1)
    )
    await scene.serve(Endpoint("fraud", NOON, NOON, serving=entries[2].version))
    await scene.store.run(lambda tx: tx.put(HISTORY, "fraud", History(entries), expect=None, now=NOON))
    assert await compared(scene) == ("v2", "v1", 500, 500)


async def test_an_earlier_try_of_the_same_config_is_not_compared(scene: Scene) -> None:
    for first, hour in ((0, NOON - timedelta(days=5)), (4_000, NOON)):
        write(scene.captures, "v1", first, good=True, hour=hour)
        write(scene.captures, "v2", first + 1_000, good=True, hour=hour)
    scene.post(range(6_000))
    assert await compared(scene) == ("v1", "v2", 500, 500)


def hold_up(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Buckets whose address has ``hangs`` in it do not answer until the event is set."""
    answers = threading.Event()

    def list_files(address: str, s3: tuple[str, str]) -> Iterator[LineFile]:
        if "hangs" in address:
            answers.wait(60)
        return listed(address, s3)

    monkeypatch.setattr(follow, "list_files", list_files)
    return answers


async def test_a_bucket_that_does_not_answer_holds_up_its_own_endpoint_alone(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = hold_up(monkeypatch)
    hangs = captured("v1", scene.captures / "hangs")
    await scene.store.run(
        lambda tx: tx.put(ENDPOINT, "a", Endpoint("a", NOON, NOON, serving=hangs), expect=None, now=NOON)
    )
    LabelStore(scene.folder, "a").accept([Label("x", 1.0, None)], LabelTerms())
    write(scene.captures, "v1", 0, good=True)
    scene.post(range(ANSWERS))
    monkeypatch.setattr(lanes, "PATIENCE", 0.01)
    try:
        async with asyncio.timeout(300):
            while scene.labels.document() is None:
                await scene.follower.turn()
        assert not answers.is_set()
    finally:
        answers.set()
    async with asyncio.timeout(300):
        while LabelStore(scene.folder, "a").document() is None:
            await asyncio.sleep(0.01)


async def test_however_many_buckets_do_not_answer_others_are_followed(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than any pool of threads would have, and all before it by their names."""
    answers = hold_up(monkeypatch)
    monkeypatch.setattr(lanes, "PATIENCE", 0.01)
    for number in range(80):
        name = f"a{number}"
        hangs = captured("v1", scene.captures / f"hangs{number}")
        made = Endpoint(name, NOON, NOON, serving=hangs)
        await scene.store.run(lambda tx, one=made: tx.put(ENDPOINT, one.name, one, expect=None, now=NOON))  # type: ignore[misc]
        LabelStore(scene.folder, name).accept([Label("x", 1.0, None)], LabelTerms())
    write(scene.captures, "v1", 0, good=True)
    scene.post(range(ANSWERS))
    try:
        async with asyncio.timeout(40):
            while scene.labels.document() is None:
                await scene.follower.turn()
        assert not answers.is_set()
    finally:
        answers.set()


@pytest.mark.parametrize("good", [True, False])
async def test_what_is_out_of_date_is_not_published_again_unless_it_is_bad(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, good: bool
) -> None:
    write(scene.captures, "v1", 0, good=True)
    write(scene.captures, "v2", 5_000, good=good)
    scene.post(range(ANSWERS))
    scene.post(range(5_000, 5_000 + ANSWERS))
    await scene.follower.turn()
    evidence = await scene.value("LabelEvidence", "v2")
    assert evidence is not None and (evidence < 1) is good
    scene.clock.moment += timedelta(seconds=60)
    write(scene.captures, "v2", 9_000, good=False, hour=scene.clock.now())
    monkeypatch.setattr(follow, "SLICE", 0.0)
    monkeypatch.setattr(follow, "PUBLISH_EVERY", -1.0)
    monkeypatch.setattr(follow, "BEHIND", -1.0, raising=False)
    await scene.follower.turn()
    assert await scene.value("AUC", "v2") is None
    assert await scene.value("LabelEvidence", "v2") == (None if good else evidence)


async def test_evidence_of_an_earlier_try_says_nothing_of_the_next_one(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(scene.captures, "v1", 0, good=True)
    write(scene.captures, "v2", 5_000, good=False)
    scene.post(range(ANSWERS))
    scene.post(range(5_000, 5_000 + ANSWERS))
    await scene.follower.turn()
    assert (await scene.value("LabelEvidence", "v2") or 0) > 1
    tried = (await scene.store.run(lambda tx: tx.get(ENDPOINT, "fraud"))).body  # type: ignore[union-attr]
    assert tried.rollout is not None
    again = replace(tried.rollout, id="r2", started_at=scene.clock.now())
    await scene.serve(replace(tried, rollout=again))
    monkeypatch.setattr(follow, "PUBLISH_EVERY", -1.0)
    for rests_until in (1e12, 0.0):  # before and after it is measured anew
        scene.clock.moment += timedelta(seconds=60)
        scene.follower._progress["fraud"].rests_until = rests_until
        await scene.follower.turn()
        assert await scene.value("AUC", "v2") is None, "it says nothing of this try"
        assert await scene.value("LabelEvidence", "v2") is None
    document = scene.labels.document()
    assert document is not None and document["comparisons"][0]["new_compared"] == 0


async def test_a_config_that_serves_again_is_measured_by_what_it_answers_now(scene: Scene) -> None:
    """Good in January, bad in February, and before either by an endpoint of the same name that was removed."""
    days = [NOON + timedelta(days=day) for day in (0, 5)]
    write(scene.captures, "v1", 0, good=True, hour=NOON - timedelta(days=9))
    write(scene.captures, "v1", 1_000, good=True, hour=days[0])
    write(scene.captures, "v1", 2_000, good=False, hour=days[1])
    scene.post(range(3_000))
    entries = tuple(
        HistoryEntry(
            *(number, f"r{number}", captured("v1", scene.captures), canary(percent(10), 60), "ann", day, ""),
            served_at=day,
            outcome=outcome,
        )
        for number, (day, outcome) in enumerate(
            zip(days, (VersionOutcome.REPLACED, VersionOutcome.SERVING), strict=True), 1
        )
    )
    await scene.serve(Endpoint("fraud", NOON, NOON, serving=entries[1].version))
    await scene.store.run(lambda tx: tx.put(HISTORY, "fraud", History(entries), expect=None, now=NOON))
    await scene.follower.turn()
    assert await scene.value("AUC", "v1") == 0.0
    assert await scene.value("Labelled", "v1") == ANSWERS
    document = scene.labels.document()
    assert document is not None
    lives = [(one["current"], one["quality"]["auc"], one["coverage"]["labelled"]) for one in document["versions"]]
    assert lives == [(True, 0.0, ANSWERS), (False, 1.0, ANSWERS), (False, 1.0, ANSWERS)]


def version_quality(pairs: int, positives: int | None, **more: Any) -> dict[str, Any]:
    quality = {"pairs": pairs, "auc": 0.8} if positives is not None else {"pairs": pairs, "bias": -2.0}
    if positives is not None:
        quality["positives"] = positives
    coverage = {"labelled": pairs, "share": 0.2}
    return {
        **{"config": "v1", "variant": "blue", "quality": quality, "coverage": coverage},
        **{"delay_seconds": {"p50": 30.0}, **more},
    }


def names(*versions: dict[str, Any], comparisons: tuple[dict[str, Any], ...] = ()) -> dict[str, float]:
    document = {"versions": versions, "comparisons": comparisons}
    found = label_samples("fraud", document, 7)
    assert all(one.metric.namespace == LABELS and one.at == 7 for one in found)
    assert all(dict(one.metric.dimensions)["EndpointName"] == "fraud" for one in found)
    return {one.metric.name: one.total for one in found}


@pytest.mark.parametrize(("one", "measured"), [
    (version_quality(300, 100), {"AUC": 0.8}),
    (version_quality(300, 99), {}),
    (version_quality(300, 201), {}),
    (version_quality(100, None), {"Bias": -2.0}),
    (version_quality(99, None), {}),
])  # fmt: skip
def test_measures_are_published_with_enough_labels_only(one: dict[str, Any], measured: dict[str, float]) -> None:
    basis = {"Labelled": float(one["coverage"]["labelled"]), "LabelCoverage": 20.0, "LabelDelay": 30.0}
    assert names(one) == basis | measured


def test_without_labels_or_a_version_there_is_nothing_to_publish() -> None:
    assert names(version_quality(0, 0, quality=None)) == {}
    assert names(version_quality(300, 100, config="")) == {}
    assert "AUC" not in names(version_quality(300, 100, quality={"pairs": 300, "positives": 150, "auc": None}))


def test_a_comparison_is_published_for_the_new_version() -> None:
    one = {"new": "v2", "variant": "blue", "evidence": 1.2, "old_compared": 9, "new_compared": 9}
    assert names(comparisons=(one,)) == {"LabelEvidence": 1.2}
    assert names(comparisons=({**one, "new_compared": 0},)) == {}
