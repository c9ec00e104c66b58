"""A version that fails every request, while something keeps its guard from looking: it never finishes its rollout.

The gap begins in the middle of a bake, lasts beyond the bake's end, and all that time the version fails. What the
simulator finds in random worlds is shown here with live processes.
"""

import contextlib
import os
import shutil
import signal
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from bench.soak_faults import FAKETIME, faked_clock
from tests.fixtures import STAND_IN, images
from tests.scene import Scene, canary
from tests.small_disk import small_disk
from tests.system_packages import lacks
from tidegate.host.platform import Platform, wait_until
from tidegate.load import LoadGenerator

pytestmark = [pytest.mark.slow, pytest.mark.chaos, pytest.mark.timeout(600)]
BAKE = 8
FORWARD = {"rollout.ActivatingTraffic", "rollout.Succeeded"}
"""Events of a rollout in its bake that goes forward."""


@dataclass
class Story:
    """An endpoint in the bake of a canary of 50 %, under load; its new version fails from ``break_it`` on."""

    platform: Platform
    scene: Scene
    endpoint: str
    good: str
    bad: str
    failing: Path
    hanging: Path
    load: LoadGenerator

    def break_it(self) -> None:
        self.failing.touch()

    def hang_it(self) -> None:
        self.hanging.touch()

    def unhang_it(self) -> None:
        self.hanging.unlink()

    def wait_beyond_the_bake(self) -> None:
        """Until the version has failed for as long as its bake lasts and more: requests are the clock."""
        began = time.monotonic()
        wait_until(lambda: time.monotonic() - began > BAKE + 3, "the bake's end has passed", 60)

    def wait_until_nothing_fails(self) -> None:
        """Until requests have failed, and then for some time none has."""
        failed = 0

        def quiet() -> bool:
            nonlocal failed
            before, failed = failed, self.load.snapshot().failed
            return 0 < failed == before

        wait_until(quiet, "traffic is back while nothing can be saved", 60, every=2.0)

    def events(self) -> list[dict[str, str]]:
        found: list[dict[str, str]] = []
        while True:
            after = found[-1]["seq"] if found else 0
            url = f"{self.platform.url}/tidegate/v1/endpoints/{self.endpoint}/events?after={after}&limit=1000"
            page = httpx.get(url).json()
            if not page["events"]:
                return found
            found += page["events"]

    def is_healthy(self) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{self.platform.url}/healthz", timeout=2).status_code == 200
        return False

    def ends_well(self, because: str = "errors") -> None:
        self.scene = Scene(self.platform)  # connections of before the gap may be closed
        settled = self.scene.settled(self.endpoint)
        assert settled["EndpointConfigName"] == self.good, settled
        reasons = (because, "recorded", "failed each of its")  # the first guard that sees it turns it back
        assert any(reason in settled["FailureReason"] for reason in reasons), settled
        wait_until(lambda: self._answers_well(), "the old version answers everything")

    def _answers_well(self) -> bool:
        answers = [self.scene.invoke(self.endpoint, [[1.0]]) for _ in range(20)]
        return {a["ResponseMetadata"]["HTTPHeaders"]["x-tidegate-config"] for a in answers} == {self.good}


@contextlib.contextmanager
def baking(
    platform: Platform, folder: Path, alarms: Sequence[str] = ("errors", "slow"), bake: int = BAKE
) -> Iterator[Story]:
    scene, endpoint, failing, hanging = Scene(platform), "fraud", folder / "failing", folder / "hanging"
    good = scene.config(None, image=STAND_IN)
    scene.create(endpoint, good)
    bad = scene.config(None, image=STAND_IN, environment={"FAIL_WHEN": str(failing), "HANG_WHEN": str(hanging)})
    dimensions = {"EndpointName": endpoint, "VariantName": "AllTraffic", "EndpointConfigName": bad}
    named = [{"Name": name, "Value": value} for name, value in dimensions.items()]
    scene.alarm("errors", "Invocation5XXErrors", 0.1, Dimensions=named)
    scene.alarm("slow", "ModelLatency", 2_000_000, ExtendedStatistic="p90", Dimensions=named)
    headers, path = {"Content-Type": "text/csv"}, f"/endpoints/{endpoint}/invocations"
    with LoadGenerator(platform.url, path, b"1.0", headers, 60, connections=8) as load:
        scene.update(endpoint, bad, canary(50, bake, alarms=alarms))
        wait_until(lambda: bad in load.snapshot().by_config, "the new version takes traffic")
        yield Story(platform, scene, endpoint, good, bad, failing, hanging, load)
        load.stop()


def workers(platform: Platform) -> set[int]:
    return {process.pid for process in platform.workers().values()}


def newest_workers(platform: Platform, endpoint: str) -> list[psutil.Process]:
    """Of the endpoint's latest version."""
    found: dict[int, list[psutil.Process]] = {}
    for folder, process in platform.workers(endpoint).items():
        found.setdefault(int(folder.parents[2].name), []).append(process)
    return found[max(found)]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {"TIDEGATE_IMAGES": str(images(tmp_path)), "TIDEGATE_DRAIN_TIMEOUT": "5"}


@pytest.mark.parametrize("how", ["stopped", "killed", "upgraded"])
def test_a_controller_that_was_away_turns_back_what_failed_meanwhile(
    environment: dict[str, str], tmp_path: Path, how: str
) -> None:
    with Platform(environment=environment) as platform, baking(platform, tmp_path) as story:
        if how == "killed":
            platform.kill_controller()
        elif how == "upgraded":
            platform.leave()
        else:
            os.kill(platform.controller_pid, signal.SIGSTOP)
        story.break_it()
        story.wait_beyond_the_bake()
        if how == "stopped":
            os.kill(platform.controller_pid, signal.SIGCONT)
        else:
            platform.start()
        story.ends_well()


def test_an_upgrade_that_puts_the_sockets_elsewhere_costs_no_request_and_no_guard(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """The version before had them outside of the state folder, as this one has where that cannot hold any."""
    state, runtime = (Path(tempfile.mkdtemp(prefix="tg-")) for _ in range(2))
    (state / "run").touch()
    environment = {**environment, "XDG_RUNTIME_DIR": str(runtime)}
    with Platform(state, environment=environment) as platform, baking(platform, tmp_path, bake=60) as story:
        assert len(list(runtime.rglob("*.sock"))) > 2, "it has its sockets elsewhere"
        before = workers(platform)
        platform.leave()
        (state / "run").unlink()
        platform.start()
        assert (state / "run" / "haproxy.sock").is_socket()
        assert workers(platform) == before
        known = story.load.snapshot().total.count
        wait_until(lambda: story.load.snapshot().total.count > known + 100, "requests afterwards")
        assert story.load.snapshot().failed == 0
        story.break_it()
        story.ends_well()
    shutil.rmtree(runtime)


def test_a_database_that_another_process_holds_keeps_no_traffic_on_a_failing_version(
    environment: dict[str, str], tmp_path: Path
) -> None:
    with Platform(environment=environment) as platform, baking(platform, tmp_path) as story:
        holder = sqlite3.connect(platform.state / "tidegate.db", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        story.break_it()
        story.wait_until_nothing_fails()
        holder.execute("ROLLBACK")
        holder.close()
        story.ends_well()


def test_a_full_disk_keeps_no_traffic_on_a_failing_version(environment: dict[str, str], tmp_path: Path) -> None:
    with (
        small_disk(tmp_path / "small", "256m") as disk,
        Platform(disk.folder / "s", environment=environment) as platform,
        baking(platform, tmp_path) as story,
    ):
        disk.fill()
        story.break_it()
        story.wait_until_nothing_fails()
        health = httpx.get(f"{platform.url}/healthz", timeout=30)
        assert (health.status_code, bool(health.json()["reason"])) == (503, True), health.text
        disk.free()
        story.ends_well()


def test_neither_an_edit_nor_a_crowd_of_alarms_disarms_a_guard(
    environment: dict[str, str], tmp_path: Path
) -> None:
    # The bake is long, since the version has to break before its end: a slow machine takes long for 40 alarms.
    with Platform(environment=environment) as platform, baking(platform, tmp_path, bake=120) as story:
        elsewhere = [
            {"Name": "EndpointName", "Value": "elsewhere"},
            {"Name": "VariantName", "Value": "AllTraffic"},
        ]
        for number in range(40):
            name, metric = f"costly-{number}", "Invocation5XXErrors"
            story.scene.alarm(name, metric, 0.1, EvaluationPeriods=10_000, Dimensions=elsewhere)
        story.scene.alarm("slow", "ModelLatency", 1e12, Dimensions=elsewhere)
        story.scene.cloudwatch.delete_alarms(AlarmNames=["errors"])
        story.break_it()
        story.ends_well()
        kinds = {event["kind"] for event in story.events()}
        assert {"rollout.AlarmMissing", "rollout.AlarmRedefined"} <= kinds


def test_a_version_that_never_answers_is_turned_back_by_its_latency_alarm(
    environment: dict[str, str], tmp_path: Path
) -> None:
    with Platform(environment=environment) as platform, baking(platform, tmp_path) as story:
        story.hang_it()
        story.ends_well(because="slow")
        story.unhang_it()


def test_no_rollout_without_alarms_finishes_on_a_version_that_never_answers(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """Its workers are well, requests reach them, and none comes back."""
    environment = {**environment, "TIDEGATE_INVOCATION_TIMEOUT": str(BAKE + 4)}
    with Platform(environment=environment) as platform, baking(platform, tmp_path, alarms=()) as story:
        story.hang_it()
        before = len(story.events())
        story.ends_well(because="failed each of its")
        story.unhang_it()
        assert not {event["kind"] for event in story.events()[before:]} & FORWARD


def test_no_rollout_without_alarms_goes_on_while_its_workers_are_stopped(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """They are stopped, and so are those that take their places, until the end of the bake is past."""
    with Platform(environment=environment) as platform, baking(platform, tmp_path, alarms=()) as story:
        before, began = len(story.events()), time.monotonic()

        def keep_them_stopped() -> bool:
            for process in newest_workers(platform, story.endpoint):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.suspend()
            return time.monotonic() - began > BAKE + 3

        wait_until(keep_them_stopped, "the bake's end has passed", 60)
        assert not {event["kind"] for event in story.events()[before:]} & FORWARD


@pytest.mark.skipif(FAKETIME is None, reason=lacks("libfaketime"))
def test_a_clock_that_is_set_ends_no_bake(environment: dict[str, str], tmp_path: Path) -> None:
    clock = tmp_path / "clock"
    faked = faked_clock(clock)
    with Platform(environment={**environment, **faked}) as platform, baking(platform, tmp_path) as story:
        new = tmp_path / "clock.new"
        new.write_text("+3600s")
        new.replace(clock)
        story.break_it()
        story.ends_well()
        assert "was set by +3600 s" in platform.log.read_text()


def test_a_proxy_that_is_silent_lets_no_rollout_go_forward(environment: dict[str, str], tmp_path: Path) -> None:
    """It is stopped, and so is each that takes its place, until the end of the bake is past. The API is behind it,
    too, so what happened meanwhile is read afterwards."""
    with Platform(environment=environment) as platform, baking(platform, tmp_path) as story:
        before = len(story.events())
        story.break_it()
        stopped, began = set[int](), time.monotonic()

        def keep_it_stopped() -> bool:
            for process in platform.processes():
                with contextlib.suppress(psutil.NoSuchProcess):
                    if "haproxy" in process.name():
                        stopped.add(process.pid)
                        process.suspend()
            return time.monotonic() - began > BAKE + 3

        wait_until(keep_it_stopped, "the bake's end has passed", 60, every=0.01)
        for process in platform.processes():
            if process.pid in stopped:
                process.resume()
        wait_until(story.is_healthy, "the proxy serves again")
        story.ends_well()
        assert "killing and restarting it" in platform.log.read_text()
        since = {event["kind"] for event in story.events()[before:]}
        assert "rollout.RolledBack" in since and not since & FORWARD, since
