"""SIGKILL of the server while it reads the signals of alarms: what it does not know afterwards is not good news, no
rollout moves because of it, and no reading counts twice.

The signal is a document of a server of this test, which can leave a request without an answer: then a reading is
under way for certain."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.scene import Scene
from tidegate.cli.client import ApiClient
from tidegate.host.platform import Platform, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.chaos, pytest.mark.timeout(1800)]
NAME, ALARM = "watched", "watched-checkout"


class Gauge(ThreadingHTTPServer):
    """``rate`` is what the document says. Requests wait while ``speaking`` is cleared. ``asked`` and ``answered``
    count requests."""

    daemon_threads = True

    def __init__(self) -> None:
        self.rate, self.asked, self.answered = 0.001, 0, 0
        self.speaking = threading.Event()
        self.speaking.set()
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing when a killed client does not take its answer."""


class _Handler(BaseHTTPRequestHandler):
    server: Gauge

    def do_GET(self) -> None:
        self.server.asked += 1
        self.server.speaking.wait(300)
        body = f'{{"rate": {self.server.rate}}}'.encode()
        self.server.answered += 1
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


@pytest.fixture
def gauge() -> Iterator[Gauge]:
    made = Gauge()
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.speaking.set()
    made.shutdown()
    made.server_close()


def deploy(platform: Platform, gauge: Gauge, model: str) -> None:
    url = f"http://127.0.0.1:{gauge.server_address[1]}/health"
    wish = {
        "endpoint": NAME,
        "model": {"image": "tidegate/xgboost", "data": model},
        "rollout": {"strategy": "canary", "size": "20%", "wait": "3s"},
        "alarms": {"checkout": {"http": url, "value": "$.rate", "above": "2%", "period": "1s", "for": "3s"}},
    }
    with ApiClient({"TIDEGATE_URL": platform.url}) as server:
        server.deploy(wish, "ann", override=False, supersede=False)


def status(platform: Platform) -> dict[str, Any]:
    with ApiClient({"TIDEGATE_URL": platform.url}) as server:
        return server.endpoint(NAME)


def alarm_state(platform: Platform) -> str:
    found: str = status(platform)["alarms"][0]["state"]
    return found


def kill_during_a_reading(platform: Platform, gauge: Gauge, ready: Callable[[], object]) -> None:
    """Silence the signal once ``ready`` holds, kill the server that waits for an answer, and start another, which
    waits too."""
    wait_until(ready, "the moment to kill", 120)
    gauge.speaking.clear()
    before = gauge.asked
    wait_until(lambda: gauge.asked > before, "a reading is under way")
    platform.kill_controller()
    before = gauge.asked
    platform.start()
    wait_until(lambda: gauge.asked > before, "the next server reads, too")


def new_states(scene: Scene, since: datetime) -> list[str]:
    """The states into which the alarm went since then, oldest first."""
    told = scene.cloudwatch.describe_alarm_history(
        AlarmName=ALARM, HistoryItemType="StateUpdate", StartDate=since, ScanBy="TimestampAscending"
    )["AlarmHistoryItems"]
    return [one["HistorySummary"].rpartition(" to ")[2] for one in told]


def count_samples(scene: Scene) -> list[float]:
    """The readings of each second that has some."""
    [metric] = scene.cloudwatch.list_metrics(Namespace="tidegate/Signals")["Metrics"]
    now = datetime.now(UTC)
    points = scene.cloudwatch.get_metric_statistics(
        **metric,
        StartTime=now - timedelta(minutes=20),
        EndTime=now + timedelta(minutes=1),
        Period=1,
        Statistics=["SampleCount"],
    )["Datapoints"]
    return [point["SampleCount"] for point in points]


def is_baking(platform: Platform) -> bool:
    return (status(platform)["rollout"] or {}).get("phase") == "Baking"


def is_held(platform: Platform) -> bool:
    conditions = (status(platform)["rollout"] or {}).get("conditions", ())
    return any(one["type"] == "WaitingForEvidence" for one in conditions)


def test_a_server_that_is_killed_while_it_reads_signals_takes_silence_for_nothing(
    platform: Platform, scene: Scene, models: tuple[str, str], gauge: Gauge
) -> None:
    gauge.rate = 0.4
    deploy(platform, gauge, models[0])
    first = scene.settled(NAME)["EndpointConfigName"]
    wait_until(lambda: alarm_state(platform) == "ALARM", "the alarm fires", 60)
    began = datetime.now(UTC)
    kill_during_a_reading(platform, gauge, lambda: True)
    wait_until(lambda: alarm_state(platform) == "INSUFFICIENT_DATA", "the alarm knows nothing", 60)
    states = new_states(scene, began)
    assert states[-1] == "INSUFFICIENT_DATA" and "OK" not in states
    gauge.rate = 0.001
    gauge.speaking.set()
    wait_until(lambda: alarm_state(platform) == "OK", "the alarm is judged again", 60)

    deploy(platform, gauge, models[1])
    kill_during_a_reading(platform, gauge, lambda: is_baking(platform))
    wait_until(lambda: is_held(platform), "the rollout waits for the signal", 60)
    held = status(platform)
    assert (held["rollout"]["stage"], held["rollout"]["reason"]) == (1, None), "it neither advanced nor rolls back"
    gauge.speaking.set()
    settled = scene.settled(NAME)
    second = settled["EndpointConfigName"]
    assert "FailureReason" not in settled and second != first

    deploy(platform, gauge, models[0])
    kill_during_a_reading(platform, gauge, lambda: is_baking(platform))
    gauge.rate = 0.4
    gauge.speaking.set()
    settled = scene.settled(NAME)
    assert settled["EndpointConfigName"] == second
    assert f"alarm(s) [{ALARM}] in ALARM" in settled["FailureReason"]

    gauge.speaking.clear()
    answered, samples = gauge.answered, count_samples(scene)
    assert set(samples) == {1.0}
    # A killed server loses the answer in its hands, and those that waited were answered to nobody.
    assert 0 < len(samples) <= answered
