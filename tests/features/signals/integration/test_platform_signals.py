"""A real Prometheus, and rollouts of a whole platform that its answers guard."""

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.scene import Scene
from tests.system_packages import lacks
from tidegate.cli.client import ApiClient, ServerError
from tidegate.host.platform import Platform, free_port, wait_until

PROMETHEUS = shutil.which("prometheus")
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(PROMETHEUS is None, reason=lacks("prometheus")),
]
SECRET = "Bearer nobody-shows-this"
GOOD, BAD = "lost_ratio 0.001", "lost_ratio 0.4"


@dataclass
class Shop:
    """An application that Prometheus scrapes, with a document that wants a secret. ``page`` is what it says."""

    page: str = GOOD
    rate: str = "0.001"
    server: ThreadingHTTPServer = field(init=False)

    def __post_init__(self) -> None:
        shop = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = shop.page + "\n" if self.path == "/metrics" else f'{{"rate": {shop.rate}}}'
                allowed = self.path == "/metrics" or self.headers["Authorization"] == SECRET
                self.send_response(200 if allowed else 401)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Content-Type", "text/plain")
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, format: str, *args: object) -> None:
                """Print nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def port(self) -> int:
        return self.server.server_address[1]


@dataclass
class Prometheus:
    """A Prometheus on a port of its own, which scrapes the shop each second."""

    folder: Path
    shop: Shop
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        config = self.folder / "prometheus.yml"
        config.write_text(
            "global: {scrape_interval: 1s, scrape_timeout: 1s}\n"
            "scrape_configs: [{job_name: shop, static_configs: [{targets: "
            f"['127.0.0.1:{self.shop.port}']}}]}}]\n"
        )
        words = [f"--config.file={config}", f"--storage.tsdb.path={self.folder / 'data'}"]
        words += [f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=error"]
        self.process = subprocess.Popen([str(PROMETHEUS), *words])

    def see(self, query: str) -> list[Any]:
        """The series that a query gives; none while it does not answer."""
        try:
            answer = httpx.get(f"{self.url}/api/v1/query", params={"query": query}).json()
        except (httpx.HTTPError, ValueError):
            return []
        found: list[Any] = answer.get("data", {}).get("result", [])
        return found

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait(30)
            self.process = None


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform with a secret."""
    secrets = tmp_path_factory.mktemp("secrets")
    (secrets / "shop").write_text(SECRET + "\n")
    with Platform(environment={"TIDEGATE_SECRETS": str(secrets), "TIDEGATE_DRAIN_TIMEOUT": "5"}) as running:
        yield running


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    made = Shop()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def prometheus(shop: Shop, tmp_path: Path) -> Iterator[Prometheus]:
    shop.page, shop.rate = GOOD, "0.001"
    made = Prometheus(tmp_path, shop)
    made.start()
    wait_until(lambda: made.see("lost_ratio"), "the first scrape")
    yield made
    made.stop()


def spec(endpoint: str, model: str, alarm: dict[str, Any], wait: str = "2s") -> dict[str, Any]:
    return {
        "endpoint": endpoint,
        "model": {"image": "tidegate/xgboost", "data": model},
        "rollout": {"strategy": "canary", "size": "20%", "wait": wait},
        "alarms": {"checkout": {"above": "2%", "period": "1s", "for": "3s", **alarm}},
    }


def deploy(platform: Platform, wish: dict[str, Any]) -> None:
    with ApiClient({"TIDEGATE_URL": platform.url}) as server:
        server.deploy(wish, "ann", override=False, supersede=False)


def status(platform: Platform, endpoint: str) -> dict[str, Any]:
    with ApiClient({"TIDEGATE_URL": platform.url}) as server:
        return server.endpoint(endpoint)


def unread(platform: Platform, endpoint: str) -> str:
    return " ".join(one["reason"] or "" for one in status(platform, endpoint)["signals"]).strip()


def messages(platform: Platform, endpoint: str) -> list[str]:
    with ApiClient({"TIDEGATE_URL": platform.url}) as server:
        return [one["message"] for one in server.events(endpoint, 0)["events"] if one["kind"] == "signal"]


def alarm_state(platform: Platform, endpoint: str) -> str:
    found: str = status(platform, endpoint)["alarms"][0]["state"]
    return found


def test_a_query_above_its_limit_rolls_the_new_version_back(
    platform: Platform, scene: Scene, models: tuple[str, str], prometheus: Prometheus, shop: Shop
) -> None:
    alarm = {"prometheus": prometheus.url, "query": "max(lost_ratio)"}
    deploy(platform, spec("query", models[0], alarm, "10m"))
    first = scene.settled("query")["EndpointConfigName"]
    wait_until(lambda: alarm_state(platform, "query") == "OK", "the alarm is judged by Prometheus", 60)
    deploy(platform, spec("query", models[1], alarm, "10m"))
    wait_until(
        lambda: (status(platform, "query")["rollout"] or {}).get("phase") == "Baking", "the first bake", 120
    )
    shop.page = BAD
    settled = scene.settled("query")
    assert settled["EndpointConfigName"] == first
    assert "alarm(s) [query-checkout] in ALARM" in settled["FailureReason"]


def test_a_rollout_waits_while_prometheus_is_down_and_goes_on_when_it_is_back(
    platform: Platform, scene: Scene, models: tuple[str, str], prometheus: Prometheus
) -> None:
    alarm = {"prometheus": prometheus.url, "query": "max(lost_ratio)"}
    prometheus.stop()
    deploy(platform, spec("down", models[0], alarm))
    scene.settled("down")
    wait_until(lambda: "connection refused" in unread(platform, "down"), "the reason is shown")
    deploy(platform, spec("down", models[1], alarm))

    def waits() -> bool:
        rollout = status(platform, "down")["rollout"] or {}
        held = [one for one in rollout.get("conditions", ()) if one["type"] == "WaitingForEvidence"]
        return bool(held) and rollout["stage"] == 1

    wait_until(waits, "the rollout waits for the signal", 60)
    prometheus.start()
    settled = scene.settled("down")
    assert "FailureReason" not in settled
    wait_until(lambda: not unread(platform, "down"), "the reason is gone")
    told = messages(platform, "down")
    assert "cannot be read" in told[0] and told[-1].endswith("is read again")


def test_whatever_prometheus_does_it_gives_a_value_or_a_reason(
    platform: Platform, scene: Scene, models: tuple[str, str], prometheus: Prometheus, shop: Shop
) -> None:
    deploy(platform, spec("odd", models[0], {"prometheus": prometheus.url, "query": "lost_ratio"}))
    scene.settled("odd")
    wait_until(lambda: alarm_state(platform, "odd") == "OK", "it is read")
    shop.page = "lost_ratio NaN"
    wait_until(lambda: "not a number" in unread(platform, "odd"), "NaN is told", 60)
    shop.page = 'lost_ratio{shop="a"} 0\nlost_ratio{shop="b"} 9'
    wait_until(lambda: "several series" in unread(platform, "odd"), "two series are told", 60)
    assert (
        "cannot be read: the query gives several series" in httpx.get(f"{platform.url}/console/endpoints/odd").text
    )
    shop.page = "another 1"
    wait_until(lambda: "no series" in unread(platform, "odd"), "nothing is told", 60)
    wait_until(lambda: alarm_state(platform, "odd") == "INSUFFICIENT_DATA", "the alarm knows nothing", 60)
    shop.page = BAD
    wait_until(lambda: alarm_state(platform, "odd") == "ALARM", "the alarm fires", 60)
    shop.page = GOOD
    wait_until(lambda: alarm_state(platform, "odd") == "OK" and not unread(platform, "odd"), "it is well", 60)
    assert prometheus.process is not None
    os.kill(prometheus.process.pid, signal.SIGSTOP)
    wait_until(lambda: "no answer within 5 s" in unread(platform, "odd"), "the lag is told", 60)
    prometheus.stop()
    wait_until(lambda: "connection refused" in unread(platform, "odd"), "the end is told", 60)
    prometheus.start()
    wait_until(lambda: alarm_state(platform, "odd") == "OK" and not unread(platform, "odd"), "it is back", 60)


def test_a_document_is_read_with_a_secret(
    platform: Platform, scene: Scene, models: tuple[str, str], shop: Shop
) -> None:
    url = f"http://127.0.0.1:{shop.port}/health"
    alarm = {"http": url, "value": "$.rate"}
    headers = {"Authorization": {"secret": "shop"}}
    with pytest.raises(ServerError, match="secret none: its file in the folder TIDEGATE_SECRETS cannot be read"):
        deploy(platform, spec("document", models[0], {**alarm, "headers": {"Authorization": {"secret": "none"}}}))
    with pytest.raises(ServerError, match="it is never asked"):
        deploy(platform, spec("document", models[0], {**alarm, "http": "http://169.254.169.254/latest"}))
    shop.rate = "0.5"
    deploy(platform, spec("document", models[0], alarm))
    scene.settled("document")
    wait_until(lambda: "answered with 401" in unread(platform, "document"), "the refusal is told")
    deploy(platform, spec("document", models[0], {**alarm, "headers": headers}))
    wait_until(lambda: alarm_state(platform, "document") == "ALARM", "the number is read", 60)
    assert SECRET not in str(status(platform, "document"))
