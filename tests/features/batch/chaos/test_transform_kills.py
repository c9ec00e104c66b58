"""SIGKILL at random moments while transform jobs run: no row is lost, none is doubled, all stand in order.

Two jobs at a time: one whose workers read a local file themselves, one whose rows go through its runner one by one.
TIDEGATE_CHAOS sets the number of kills of each kind of process (``make soak``: 50).
"""

import json
import os
import random
import signal
from pathlib import Path

import pytest

from tests.features.batch.integration.test_platform_transform import ended, runner, start, table, worker
from tests.scene import Scene, train
from tidegate.host.platform import Platform, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.chaos, pytest.mark.timeout(1800)]
KILLS = int(os.environ.get("TIDEGATE_CHAOS", "2"))
BLOCK, TIMES, SINGLE = 20_000, 300, 12_000
WHO = {"runner": runner, "worker": worker}


def records(platform: Platform, job: str) -> int:
    """Up to the last checkpoints."""
    marks = (platform.state / "transforms" / job / "parts").glob("*.json")
    return sum(int(json.loads(path.read_text())["record"]) for path in marks)


def going_on(scene: Scene) -> list[str]:
    listed = scene.sagemaker.list_transform_jobs(StatusEquals="InProgress")["TransformJobSummaries"]
    return [job["TransformJobName"] for job in listed]


def kill(platform: Platform, who: str, job: str) -> bool:
    """Whether there was one to kill."""
    if who == "controller":
        platform.kill_controller()
        platform.start()
        return True
    victim = WHO[who](platform, job)
    if victim is not None:
        os.kill(victim.pid, signal.SIGKILL)
    return victim is not None


def test_jobs_whose_processes_are_killed(tmp_path: Path) -> None:
    block = "".join(f"{number % 97},{number % 89}\n" for number in range(BLOCK))
    for name, text in (("block", block), ("lines", block * TIMES), ("single", table(SINGLE))):
        (tmp_path / f"{name}.csv").write_text(text)
    chance = random.Random(KILLS)
    victims = chance.sample(["runner", "worker", "controller"] * KILLS, 3 * KILLS)
    killed = 0
    with Platform(environment={"TIDEGATE_DRAIN_TIMEOUT": "5"}) as platform:
        scene = Scene(platform)
        url = train(tmp_path / "trained", 1, features=2, trees=5)
        scene.sagemaker.create_model(
            ModelName="m",
            PrimaryContainer={"Image": "tidegate/xgboost", "ModelDataUrl": url},
            ExecutionRoleArn="arn:aws:iam::000000000000:role/any",
        )
        sink = (tmp_path / "out").as_uri()
        start(scene, "block", (tmp_path / "block.csv").as_uri(), sink)
        assert ended(scene, "block")["TransformJobStatus"] == "Completed"
        joined = {"BatchStrategy": "SingleRecord", "DataProcessing": {"JoinSource": "Input"}}
        start(scene, "lines", (tmp_path / "lines.csv").as_uri(), sink)
        start(scene, "single", (tmp_path / "single.csv").as_uri(), sink, **joined)
        for who in victims:
            left = going_on(scene)
            if not left:
                break
            job = chance.choice(left)
            before = records(platform, job)
            wait_until(
                lambda job=job, before=before: records(platform, job) > before or job not in going_on(scene),  # type: ignore[misc]
                f"{job} goes on",
                120,
            )
            killed += kill(platform, who, job)
        for job in ("lines", "single"):
            assert ended(scene, job)["TransformJobStatus"] == "Completed"
    assert killed >= min(3, len(victims)), "there was work left to kill"
    assert (tmp_path / "out/lines.csv.out").read_bytes() == (tmp_path / "out/block.csv.out").read_bytes() * TIMES
    found = (tmp_path / "out/single.csv.out").read_text().splitlines()
    assert [int(line.partition(",")[0]) for line in found] == list(range(SINGLE))
