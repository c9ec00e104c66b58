"""``apply`` and ``diff`` of a folder of spec files, on a whole platform."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import yaml

from tests.scene import Scene
from tidegate.host.platform import Platform, wait_until

ACTION = Path(__file__).parents[2] / "action.yml"
pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def run(platform: Platform, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "tidegate.cli", *arguments],
        env={**os.environ, "TIDEGATE_URL": platform.url, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def results(done: "subprocess.CompletedProcess[str]") -> dict[str, str]:
    found: list[dict[str, Any]] = json.loads(done.stdout)["endpoints"]
    return {one["endpoint"]: one["result"] for one in found}


def write(folder: Path, endpoint: str, model: str, more: str = "") -> Path:
    path = folder / f"{endpoint}.yaml"
    path.write_text(f"endpoint: {endpoint}\nmodel: {{image: tidegate/xgboost, data: '{model}'}}\n{more}")
    return path


def test_a_folder_is_applied_once_and_pruned_of_what_it_made_alone(
    platform: Platform, scene: Scene, models: tuple[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "endpoints"
    (folder / "more").mkdir(parents=True)
    write(folder, "one", models[0])
    two = write(folder / "more", "two", models[0], "tags: {team: shop}\n")
    foreign = write(tmp_path, "foreign", models[0])
    assert run(platform, "apply", "-f", str(foreign), "--set", "others", "--wait").returncode == 0
    source = ("-f", str(folder), "--set", "shop")

    first = run(platform, "diff", *source)
    assert first.returncode == 1 and 'endpoint "one" would be created' in first.stdout
    applied = run(platform, "apply", *source, "--wait", "--json")
    assert (applied.returncode, results(applied)) == (0, {"one": "created", "two": "created"}), applied.stderr
    assert run(platform, "diff", *source).returncode == 0
    again = run(platform, "apply", *source, "--prune", "--wait", "--json")
    assert (again.returncode, results(again)) == (0, {"one": "unchanged", "two": "unchanged"})

    write(folder, "one", models[1])
    two.unlink()
    shown = run(platform, "diff", *source, "--markdown")
    assert shown.returncode == 1
    assert (
        "| `model.data` |" in shown.stdout
        and "`two` is not in the folder: it would be **deleted**" in shown.stdout
    )
    kept = run(platform, "apply", "-f", str(folder), "--set", "shop", "--wait", "--json")
    assert results(kept) == {"one": "updated"}, "without --prune nothing is deleted"
    pruned = run(platform, "apply", *source, "--prune", "--json")
    assert results(pruned) == {"one": "unchanged", "two": "deleted"}
    wait_until(lambda: _names(scene) == {"one", "foreign"}, "the endpoint is gone, and no other")


def test_with_a_mistake_in_one_file_nothing_is_done_and_another_sets_endpoint_is_left_alone(
    platform: Platform, scene: Scene, models: tuple[str, str], tmp_path: Path
) -> None:
    write(tmp_path, "owned", models[0])
    assert run(platform, "apply", "-f", str(tmp_path), "--set", "a", "--wait").returncode == 0
    taken = run(platform, "apply", "-f", str(tmp_path), "--set", "b", "--json")
    assert (taken.returncode, results(taken)) == (1, {"owned": "failed"})
    assert "it belongs to the set a" in taken.stderr
    write(tmp_path, "new", models[0])
    broken = write(tmp_path, "broken", models[0], "instances: many\n")
    refused = run(platform, "apply", "-f", str(tmp_path), "--set", "a")
    assert refused.returncode == 1 and f"{broken}:3: instances" in refused.stderr
    assert run(platform, "diff", "-f", str(tmp_path)).returncode == 2
    assert "new" not in _names(scene)
    assert run(platform, "apply", "-f", str(tmp_path), "--prune").returncode == 1, "pruning needs a set"
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "no spec file" in run(platform, "apply", "-f", str(empty), "--set", "a", "--prune").stderr


def _names(scene: Scene) -> set[str]:
    return {one["EndpointName"] for one in scene.sagemaker.list_endpoints()["Endpoints"]} - {"owned"}


NOTHING: Mapping[str, str] = MappingProxyType({})


def act(
    platform: Platform, place: Path, more: Mapping[str, str] = NOTHING, skipped: str = "", **inputs: str
) -> tuple[int, str]:
    """Run the steps of the action in bash, as a runner does; the exit status and the summary of the job."""
    action = yaml.safe_load(ACTION.read_text())
    given = {name: str(one.get("default", "")) for name, one in action["inputs"].items()} | inputs
    program = place / "bin" / "tidegate"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m tidegate.cli "$@"\n')
    program.chmod(0o755)
    summary = place / "summary.md"
    runner = {"RUNNER_TEMP": str(place), "GITHUB_STEP_SUMMARY": str(summary), "TIDEGATE_URL": platform.url, **more}
    path = f"{program.parent}:{os.environ['PATH']}"
    for step in action["runs"]["steps"]:
        condition = re.fullmatch(r"inputs\.(\w+) == 'true'", step.get("if", ""))
        if step["name"] == skipped or (condition and given[condition[1]] != "true"):
            continue
        named = {
            key: re.sub(r"\$\{\{ inputs\.(\w+) \}\}", lambda found: given[found[1]], value)
            for key, value in step["env"].items()
        }
        environment = {**os.environ, **runner, **named, "PATH": path}
        done = subprocess.run(["bash", "-c", step["run"]], env=environment, capture_output=True, check=False)
        if done.returncode:
            return done.returncode, done.stderr.decode()
    return 0, summary.read_text()


def test_the_steps_of_the_action_check_show_and_apply_a_folder(
    platform: Platform, scene: Scene, models: tuple[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "endpoints"
    folder.mkdir()
    guards = "rollout: {strategy: canary, size: 20%, wait: 1s}\nalarms:\n  errors: {metric: Invocation5XXErrors,"
    written = write(folder, "acted", models[0], f"{guards} statistic: Average, above: 2%}}\n")
    status, summary = act(platform, tmp_path, folder=str(folder), set="acted")
    assert status == 0, summary
    assert "### What the guards of" in summary and "endpoint `acted` would be created" in summary
    assert "acted" not in _names(scene)
    status, summary = act(platform, tmp_path, folder=str(folder), set="acted", apply="true", prune="true")
    assert status == 0, summary
    assert scene.describe("acted")["EndpointStatus"] == "InService"
    status, summary = act(platform, tmp_path, folder=str(folder), set="acted")
    assert (status, summary.splitlines()[-1]) == (0, "No difference: all 1 endpoints are as their files say.")
    written.write_text(written.read_text() + "instances: many\n")
    status, told = act(platform, tmp_path, folder=str(folder), set="acted")
    assert status == 1 and "instances" in told


class ForgeStandIn(ThreadingHTTPServer):
    """Stands in for the forge's API: the comments of pull request 7 of the repository ``team/shop``. It refuses every
    token but ``good``."""

    def __init__(self) -> None:
        self.comments: list[dict[str, Any]] = []
        super().__init__(("127.0.0.1", 0), _ForgeHandler)


class _ForgeHandler(BaseHTTPRequestHandler):
    server: ForgeStandIn

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        assert path == "/repos/team/shop/issues/7/comments"
        start = 100 * (int(query.rpartition("=")[2]) - 1)
        self.answer(200, self.server.comments[start : start + 100])

    def do_POST(self) -> None:
        assert self.path == "/repos/team/shop/issues/7/comments"
        self.server.comments.append({"id": len(self.server.comments) + 1, "user": {"type": "Bot"}, **self.sent()})
        self.answer(201, self.server.comments[-1])

    def do_PATCH(self) -> None:
        comment = self.server.comments[int(self.path.removeprefix("/repos/team/shop/issues/comments/")) - 1]
        comment.update(self.sent())
        self.answer(200, comment)

    def sent(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        return document

    def answer(self, status: int, document: Any) -> None:
        allowed = self.headers["Authorization"] == "Bearer good"
        self.send_response(status if allowed else 403)
        self.end_headers()
        self.wfile.write(json.dumps(document if allowed else {}).encode())

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


@pytest.fixture
def forge() -> Iterator[ForgeStandIn]:
    made = ForgeStandIn()
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


def test_the_action_keeps_one_comment_about_what_would_change(
    platform: Platform, models: tuple[str, str], forge: ForgeStandIn, tmp_path: Path
) -> None:
    folder, event = tmp_path / "endpoints", tmp_path / "event.json"
    folder.mkdir()
    write(folder, "commented", models[0])
    mark = "<!-- tidegate diff of the set talk -->"
    person = {"id": 1, "user": {"type": "User"}, "body": f"{mark} not ours"}
    forge.comments = [person, *({**person, "id": number, "body": None} for number in range(2, 120))]
    url = f"http://127.0.0.1:{forge.server_address[1]}"
    runner = {"GITHUB_API_URL": url, "GITHUB_REPOSITORY": "team/shop", "GITHUB_EVENT_PATH": str(event)}

    def comment(token: str, about: dict[str, Any]) -> list[str]:
        event.write_text(json.dumps(about))
        given = {"folder": str(folder), "set": "talk", "comment": "true", "token": token}
        status, told = act(platform, tmp_path, runner, "Rehearse", **given)
        assert status == 0, told
        return [one["body"] for one in forge.comments[119:]]

    request = {"pull_request": {"number": 7}}
    assert comment("", request) == comment("refused", request) == comment("good", {}) == []
    [first] = comment("good", request)
    assert first.startswith(mark) and "endpoint `commented` would be created" in first
    write(folder, "another", models[0])
    [second] = comment("good", request)
    assert "`another` would be created" in second and person["body"] == f"{mark} not ours"
