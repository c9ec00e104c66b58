"""Labels followed: captures are read once, versions are measured, metrics are published, the gone is removed."""

import json
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tidegate.advisor.quality import follow
from tidegate.advisor.quality.follow import LabelFollower, find_followed
from tidegate.advisor.quality.label_lines import Label
from tidegate.advisor.quality.store import LabelStore, LabelTerms
from tidegate.domain.capture import Capture
from tidegate.domain.endpoint import Endpoint, Rollout
from tidegate.domain.metric import LABELS, MetricId
from tidegate.domain.observation import Capabilities
from tidegate.domain.rollout import Version
from tidegate.rollout.plan import compile_plan
from tidegate.service.record_kinds import ENDPOINT
from tidegate.testing.memory_metrics import MemoryMetrics
from tidegate.testing.memory_store import MemoryStore
from tidegate.testing.samples import canary, percent, version

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
    assert [(old.config, new.config) for old, new in found.compared] == [("v1", "v2")]
