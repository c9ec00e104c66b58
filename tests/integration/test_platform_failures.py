"""What dies is made up for, what cannot be made says why."""

import io
import os
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.scene import Scene, canary, linear, rolling
from tidegate.host.platform import Platform, free_port, wait_until
from tidegate.load import LoadGenerator

pytestmark = [pytest.mark.slow, pytest.mark.e2e]
ROW = [[0.1, 0.2, 0.3, 0.4]]


def load(scene: Scene, endpoint: str, rate: float = 100) -> LoadGenerator:
    headers = {"Content-Type": "text/csv"}
    path = f"/endpoints/{endpoint}/invocations"
    return LoadGenerator(scene.platform.url, path, b"0.1,0.2,0.3,0.4", headers, rate, connections=8)


def workers(platform: Platform, endpoint: str = "*") -> list[int]:
    return [process.pid for process in platform.workers(endpoint).values()]


def pids(platform: Platform, what: str) -> list[int]:
    return [p.pid for p in platform.processes() if what in " ".join(p.info["cmdline"] or ())]


def test_traffic_goes_on_without_a_controller_and_the_next_one_finishes_the_rollout(
    platform: Platform, scene: Scene, models: tuple[str, str]
) -> None:
    scene.create("killed", scene.config(models[0], instances=2))
    with load(scene, "killed") as running:
        new = scene.config(models[1], instances=2)
        scene.update("killed", new, linear(25, 1))
        wait_until(lambda: new in running.snapshot().by_config, "the new version takes traffic")
        serving = workers(platform)
        platform.kill_controller()
        before = running.snapshot().total.count
        wait_until(lambda: running.snapshot().total.count > before + 100, "requests without a controller")
        platform.start()
        settled = scene.settled("killed")
        report = running.stop()
    assert settled["EndpointConfigName"] == new
    assert report.failed == 0, report.failures[:3]
    assert set(workers(platform)) <= set(serving), "the workers were adopted, not started again"


def test_a_worker_that_is_killed_is_replaced(platform: Platform, scene: Scene, models: tuple[str, str]) -> None:
    scene.create("worker", scene.config(models[0], instances=2))
    with load(scene, "worker") as running:
        victim = workers(platform, "worker")[0]
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: len(set(workers(platform, "worker")) - {victim}) == 2, "a new process")
        wait_until(lambda: _count(scene, "worker") == 2, "two again")
        report = running.stop()
    assert report.failed <= 8, "at most what was in its hands: one request a connection"


@pytest.mark.parametrize("strategy", ["rolling", "canary"])
def test_a_good_version_whose_only_instance_is_killed_from_outside_serves_in_the_end(
    platform: Platform, scene: Scene, models: tuple[str, str], strategy: str
) -> None:
    name, count = f"lost-{strategy}", 2 if strategy == "rolling" else 1
    scene.create(name, scene.config(models[0], instances=count))
    with load(scene, name) as running:
        old = set(workers(platform, name))
        new = scene.config(models[1], instances=count)
        scene.update(name, new, rolling(50, 5) if strategy == "rolling" else canary(50, 5))
        wait_until(lambda: new in running.snapshot().by_config, "the new version takes traffic")
        (victim,) = set(workers(platform, name)) - old
        os.kill(victim, signal.SIGKILL)
        settled = scene.settled(name)
    assert settled["EndpointConfigName"] == new and "FailureReason" not in settled


def test_a_proxy_that_is_killed_is_started_again_with_its_routes(
    platform: Platform, scene: Scene, models: tuple[str, str]
) -> None:
    scene.create("proxied", scene.config(models[0]))
    for pid in pids(platform, "haproxy"):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: _answers(scene, "proxied"), "the endpoint answers again")


@pytest.mark.parametrize("kind", ["not an archive", "a link outwards", "a path outwards", "wrong format", "empty"])
def test_model_data_that_cannot_be_used_is_a_failed_creation_that_says_why(
    scene: Scene, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "model.tar.gz"
    says = _bad_archive(path, kind)
    endpoint = f"bad-{kind.replace(' ', '-')}"
    scene.sagemaker.create_endpoint(EndpointName=endpoint, EndpointConfigName=scene.config(path.as_uri()))
    settled = scene.settled(endpoint)
    assert settled["EndpointStatus"] == "Failed"
    assert says in settled["FailureReason"], settled["FailureReason"]
    assert not (tmp_path / "outside").exists()
    scene.sagemaker.delete_endpoint(EndpointName=endpoint)


def test_a_second_tidegate_on_the_same_folder_or_port_says_so(platform: Platform, tmp_path: Path) -> None:
    port = "1" if os.getuid() else "65535"
    same_folder = up("--state", str(platform.state), "--port", port)
    assert same_folder.returncode == 1
    assert "in use by another tidegate" in same_folder.stderr
    same_port = up("--state", str(tmp_path / "s"), "--port", str(platform.port))
    assert same_port.returncode == 1
    assert str(platform.port) in same_port.stderr
    assert "Traceback" not in same_folder.stderr + same_port.stderr


def test_a_state_folder_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    refused = up("--state", str(tmp_path / "file" / "state"), "--port", str(free_port()))
    assert refused.returncode == 1
    assert "state folder" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_down_leaves_nothing_running_and_up_brings_everything_back(models: tuple[str, str]) -> None:
    platform = Platform().start()
    try:
        scene = Scene(platform)
        scene.create("back", scene.config(models[0]))
        assert platform.stop(keep=True) == [], "nothing had to be ended by force"
        assert platform.processes() == []
        platform.start()
        wait_until(lambda: _answers(scene, "back"), "the endpoint answers again")
        assert scene.describe("back")["EndpointStatus"] == "InService"
    finally:
        platform.stop()


def up(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tidegate.cli", "up", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def _count(scene: Scene, endpoint: str) -> int:
    return int(scene.describe(endpoint)["ProductionVariants"][0]["CurrentInstanceCount"])


def _answers(scene: Scene, endpoint: str) -> bool:
    try:
        return bool(scene.invoke(endpoint, ROW)["Body"].read())
    except Exception:
        return False


def _bad_archive(path: Path, kind: str) -> str:
    """Writes it; returns what the reason must name."""
    if kind == "not an archive":
        path.write_bytes(b"this is no archive")
        return "model.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        if kind == "a link outwards":
            member = tarfile.TarInfo("model.ubj")
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(member)
            return "link"
        if kind != "empty":
            name = {"a path outwards": "../outside", "wrong format": "model.ubj"}[kind]
            data = b"not a model"
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
            return name
    return "model"
