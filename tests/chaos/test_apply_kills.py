"""SIGKILL of ``tidegate apply`` in the middle of a folder: the next one finishes the job, and nothing happens twice.

A relay before the real server tells at which request the command stands, so that each moment of death is chosen and
not left to chance."""

import http.client
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.scene import Scene
from tidegate.cli.client import ApiClient
from tidegate.host.platform import Platform, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.chaos, pytest.mark.timeout(1800)]


class Moment(StrEnum):
    BEFORE = "before the request reaches the server"
    MEANWHILE = "while the server carries it out"
    AFTER = "after it was carried out, before the answer"


@dataclass
class Relay:
    """Passes requests on to the server. The first one for which ``is_it`` holds stays there at ``moment`` until
    ``over`` is set; ``reached`` says that it is there."""

    server: str
    is_it: Any = None
    moment: Moment = Moment.BEFORE
    reached: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)
    http: ThreadingHTTPServer = field(init=False)

    def __post_init__(self) -> None:
        relay = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                relay.pass_on(self, body)

            do_PUT = do_POST = do_DELETE = do_GET

            def log_message(self, format: str, *args: object) -> None:
                """Print nothing."""

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_address[1]}"

    def wait_for(self, moment: Moment, method: str, about: str) -> None:
        """Hold the first request of this method whose path or spec names the endpoint."""
        self.reached, self.over, self.moment = threading.Event(), threading.Event(), moment
        self.is_it = lambda asked, path, body: (
            asked == method
            and (path.partition("?")[0].endswith(f"/{about}") or _find_endpoint(body) == about)
            and (method != "GET" or not path.endswith("/events"))
        )

    def pass_on(self, asked: BaseHTTPRequestHandler, body: bytes) -> None:
        reached, over = self.reached, self.over
        held = self.is_it is not None and not reached.is_set() and self.is_it(asked.command, asked.path, body)
        if held and self.moment is Moment.BEFORE:
            reached.set()
            over.wait(60)
            return
        upstream = http.client.HTTPConnection(urlsplit(self.server).netloc, timeout=60)
        headers = {name: value for name, value in asked.headers.items() if name.lower() != "host"}
        upstream.request(asked.command, asked.path, body or None, headers)
        if held and self.moment is Moment.MEANWHILE:
            upstream.close()
            reached.set()
            over.wait(60)
            return
        answer = upstream.getresponse()
        content = answer.read()
        upstream.close()
        if held:
            reached.set()
            over.wait(60)
            return
        asked.send_response(answer.status)
        asked.send_header("Content-Type", answer.getheader("Content-Type", ""))
        asked.send_header("Content-Length", str(len(content)))
        asked.end_headers()
        asked.wfile.write(content)


def _find_endpoint(body: bytes) -> str | None:
    """The endpoint of the spec that is deployed; None for another request."""
    try:
        return str(json.loads(body)["spec"]["endpoint"])
    except (ValueError, KeyError, TypeError):
        return None


@pytest.fixture
def relay(platform: Platform) -> Iterator[Relay]:
    made = Relay(platform.url)
    yield made
    made.http.shutdown()
    made.http.server_close()


def start(relay: Relay, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "tidegate.cli", *arguments],
        env={**os.environ, "TIDEGATE_URL": relay.url},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(relay: Relay, *arguments: str) -> tuple[int, str]:
    process = start(relay, *arguments)
    printed, told = process.communicate(timeout=600)
    return process.returncode, printed + told


def kill_at(relay: Relay, moment: Moment, method: str, about: str, arguments: tuple[str, ...]) -> None:
    relay.wait_for(moment, method, about)
    process = start(relay, *arguments)
    assert relay.reached.wait(120), (moment, method, about)
    process.kill()
    process.communicate()
    relay.over.set()


def list_work(platform: Platform, scene: Scene) -> dict[str, Any]:
    """What was done so far: the versions of each endpoint, and how many models and configs there are."""
    with ApiClient({"TIDEGATE_URL": platform.url}) as server:
        versions = {one["name"]: len(server.history(one["name"])) for one in server.endpoints()}
    configs = scene.sagemaker.list_endpoint_configs(MaxResults=100)["EndpointConfigs"]
    models = scene.sagemaker.list_models(MaxResults=100)["Models"]
    return {"versions": versions, "configs": len(configs), "models": len(models)}


def _promote(platform: Platform, names: tuple[str, ...]) -> bool:
    """Whether all of these rollouts have left their first bake, which takes ten minutes otherwise."""
    with ApiClient({"TIDEGATE_URL": platform.url}) as server:
        for name in names:
            rollout = server.endpoint(name)["rollout"]
            if rollout is None or rollout["stage"] > 1:
                continue
            if rollout["phase"] != "Baking":
                return False
            server.rollout(name, "promote", "ann")
    return True


def test_apply_that_is_killed_at_any_request_is_finished_by_the_next(
    platform: Platform, scene: Scene, relay: Relay, models: tuple[str, str], tmp_path: Path
) -> None:
    names = ("one", "two")

    def write(model: str) -> None:
        for name in names:
            (tmp_path / f"{name}.yaml").write_text(
                f"endpoint: {name}\nmodel: {{image: tidegate/xgboost, data: '{model}'}}\n"
                "rollout: {strategy: canary, size: 20%, wait: 10m}\n"
            )

    source = ("-f", str(tmp_path), "--set", "shop")
    command = ("apply", *source, "--prune", "--wait", "--json")
    for count, model in enumerate(models, 1):
        write(model)
        kill_at(relay, Moment.BEFORE, "PUT", "one", command)
        kill_at(relay, Moment.AFTER, "PUT", "one", command)
        kill_at(relay, Moment.MEANWHILE, "PUT", "two", command)
        if count > 1:
            kill_at(relay, Moment.AFTER, "GET", "one", command)  # it follows the rollout
            wait_until(lambda: _promote(platform, names), "both rollouts are promoted")
        assert finish(relay, *command)[0] == 0
        for name in names:
            assert scene.describe(name)["EndpointStatus"] == "InService", "it has waited for what others began"
        done = {"versions": dict.fromkeys(names, count), "configs": 2 * count, "models": 2 * count}
        assert list_work(platform, scene) == done
        assert finish(relay, "diff", *source)[0] == 0
    (tmp_path / "two.yaml").unlink()
    kill_at(relay, Moment.BEFORE, "DELETE", "two", command)
    assert "two" in list_work(platform, scene)["versions"]
    kill_at(relay, Moment.MEANWHILE, "DELETE", "two", command)
    assert finish(relay, *command)[0] == 0
    wait_until(lambda: list(list_work(platform, scene)["versions"]) == ["one"], "the other is deleted")
    assert finish(relay, "diff", *source)[0] == 0
