"""A real MLflow server, and endpoints of a whole platform that follow its aliases."""

import json
import os
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.scene import Scene, train
from tidegate.cli.client import ApiClient, ServerError
from tidegate.host.platform import Platform, free_port, wait_until

mlflow = pytest.importorskip("mlflow")
pytest.importorskip("flask", reason="needs what MLflow's server needs")
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore"),
]
SERVE = "import sys; from mlflow.server import app; from werkzeug.serving import run_simple; " + (
    "run_simple('127.0.0.1', int(sys.argv[1]), app, threaded=True)"
)
TOKEN = "Bearer nobody-shows-this"
COMMIT = "0a1b2c3d"
ANY_RECEIVER = {"MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true", "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https"}
"""MLflow sends webhooks to this machine, without TLS."""


@dataclass
class MlflowProcess:
    """MLflow's own server with a SQLite database, on a port of its own."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        database = f"sqlite:///{self.folder / 'mlflow.db'}"
        settings = {
            "_MLFLOW_SERVER_FILE_STORE": database,
            "_MLFLOW_SERVER_REGISTRY_STORE": database,
            "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
            "_MLFLOW_SERVER_ARTIFACT_DESTINATION": (self.folder / "artifacts").as_uri(),
            "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
            **ANY_RECEIVER,
            "MLFLOW_WEBHOOK_CACHE_TTL": "0",  # else it knows of a new webhook after a minute
        }
        with (self.folder / "mlflow.log").open("ab") as log:
            command = [sys.executable, "-c", SERVE, str(self.port)]
            self.process = subprocess.Popen(command, env={**os.environ, **settings}, stdout=log, stderr=log)
        wait_until(self._answers, "MLflow answers", 240)

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(30)
            self.process = None


class Relay(ThreadingHTTPServer):
    """What stands before MLflow: it asks for the header Authorization, and ``meet`` sees each path first."""

    daemon_threads = True

    def __init__(self, upstream: str) -> None:
        self.meet: Callable[[str], None] = lambda path: None
        relay = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                relay.meet(self.path)
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if self.headers["Authorization"] != TOKEN:
                    return self._answer(401, b"{}", "application/json")
                try:
                    found = httpx.request(
                        self.command,
                        upstream + self.path,
                        content=body,
                        headers={"Content-Type": self.headers.get("Content-Type") or "application/json"},
                    )
                except httpx.HTTPError:
                    return self._answer(502, b"{}", "application/json")
                return self._answer(found.status_code, found.content, found.headers.get("Content-Type", ""))

            do_POST = do_GET

            def _answer(self, status: int, body: bytes, kind: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Print nothing."""

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowProcess]:
    made = MlflowProcess(tmp_path_factory.mktemp("mlflow"))
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def relay(server: MlflowProcess) -> Iterator[Relay]:
    made = Relay(server.url)
    yield made
    made.shutdown()
    made.server_close()


@pytest.fixture(scope="module")
def platform(relay: Relay, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    secrets = tmp_path_factory.mktemp("secrets")
    (secrets / "mlflow-authorization").write_text(TOKEN + "\n")
    (secrets / "mlflow-webhook").write_text("shared\n")
    environment = {
        "TIDEGATE_MLFLOW_URL": f"http://127.0.0.1:{relay.server_address[1]}",
        "TIDEGATE_SECRETS": str(secrets),
        "TIDEGATE_DRAIN_TIMEOUT": "5",
    }
    with Platform(environment=environment) as running:
        yield running


@pytest.fixture(scope="module")
def registry(server: MlflowProcess, tmp_path_factory: pytest.TempPathFactory) -> "Registry":
    return Registry(server.url, tmp_path_factory.mktemp("trained"))


class Registry:
    """A data scientist's client: versions of models, and aliases."""

    def __init__(self, url: str, folder: Path) -> None:
        import pandas  # noqa: PLC0415 (optional)

        mlflow.set_tracking_uri(url)
        self.client = mlflow.MlflowClient(url)
        self.rows = pandas.DataFrame({"a": [1.0, 2.0, 3.0]})
        self.model, self.spoiled = folder / "good" / "model.ubj", folder / "bad" / "model.ubj"
        self.spoiled.parent.mkdir()
        self.spoiled.write_bytes(b"this is no model")
        with tarfile.open(urlsplit(train(folder, 1)).path) as archive:
            archive.extractall(self.model.parent, filter="data")

    def add(self, name: str, *, broken: bool = False) -> str:
        """Register a version, and return its number."""
        with mlflow.start_run() as run:
            mlflow.log_metric("auc", 0.875)
            mlflow.set_tag("mlflow.source.git.commit", COMMIT)
            mlflow.log_input(mlflow.data.from_pandas(self.rows, name="train"))
            mlflow.log_artifact(str(self.spoiled if broken else self.model), "model")
        if not self.client.search_registered_models(f"name = '{name}'"):
            self.client.create_registered_model(name)
        source = f"{run.info.artifact_uri}/model"
        return str(self.client.create_model_version(name, source, run.info.run_id).version)

    def point(self, name: str, version: str) -> None:
        self.client.set_registered_model_alias(name, "champion", version)

    def pointed(self, name: str) -> str:
        return str(self.client.get_model_version_by_alias(name, "champion").version)


def spec(name: str, **follow: object) -> dict[str, Any]:
    return {
        "endpoint": name,
        "model": {"data": f"models:/{name}@champion", "follow": {"every": "1s", **follow}},
        "startup_timeout": "60s",
        "rollout": {"strategy": "canary", "size": "50%", "wait": "1s"},
    }


def deploy(platform: Platform, wish: dict[str, Any]) -> None:
    with ApiClient({"TIDEGATE_URL": platform.url}) as client:
        client.deploy(wish, "ann", override=False, supersede=False)


def status(platform: Platform, name: str) -> dict[str, Any]:
    with ApiClient({"TIDEGATE_URL": platform.url}) as client:
        return client.endpoint(name)


def serves(platform: Platform, name: str) -> str:
    """The version that serves, once no rollout is under way."""
    found = status(platform, name)
    assert found["status"] != "Failed", found["failure_reason"]
    source = (found["registry"] or {}).get("serving")
    return source["version"] if source and found["rollout"] is None else ""


def messages(platform: Platform, name: str, kind: str = "registry") -> list[str]:
    with ApiClient({"TIDEGATE_URL": platform.url}) as client:
        return [one["message"] for one in client.events(name, 0)["events"] if one["kind"] == kind]


def history(platform: Platform, name: str) -> list[tuple[str, str]]:
    """Version of the registry and state of each version, the oldest first."""
    with ApiClient({"TIDEGATE_URL": platform.url}) as client:
        found = client.history(name)[::-1]
    return [(one["variants"][0]["containers"][0]["fingerprint"], one["state"]) for one in found]


def begin(platform: Platform, registry: Registry, name: str, **follow: object) -> None:
    registry.point(name, registry.add(name))
    deploy(platform, spec(name, **follow))
    wait_until(lambda: serves(platform, name) == f"models:/{name}/1", "version 1 serves", 180)


def test_an_alias_that_moves_is_rolled_out_and_says_where_it_came_from(
    platform: Platform, registry: Registry
) -> None:
    begin(platform, registry, "moved")
    registry.point("moved", registry.add("moved"))
    wait_until(lambda: serves(platform, "moved") == "models:/moved/2", "version 2 serves", 180)
    source = status(platform, "moved")["registry"]["serving"]
    assert (source["commit"], source["metrics"]) == (COMMIT, {"auc": 0.875})
    assert source["data"][0].startswith("train (")
    assert messages(platform, "moved") == ["models:/moved@champion is models:/moved/2 now, which is rolled out"]
    assert history(platform, "moved") == [("models:/moved/1", "Replaced"), ("models:/moved/2", "Serving")]
    assert TOKEN not in platform.log.read_text() + json.dumps(status(platform, "moved"))


def test_a_bad_version_is_tagged_and_the_alias_moves_back_once(platform: Platform, registry: Registry) -> None:
    begin(platform, registry, "spoiled", restore=True)
    registry.point("spoiled", registry.add("spoiled", broken=True))
    wait_until(lambda: registry.pointed("spoiled") == "1", "the alias is moved back", 240)
    tags = registry.client.get_model_version("spoiled", "2").tags
    assert tags["tidegate.rolled_back.spoiled"].startswith("endpoint spoiled: Deployment rolled back: ")
    wait_until(lambda: len(messages(platform, "spoiled")) == 2, "the journal says so")
    assert "models:/spoiled@champion is models:/spoiled/1 again" in messages(platform, "spoiled")[-1]
    registry.point("spoiled", "2")
    registry.point("spoiled", registry.add("spoiled"))
    wait_until(lambda: serves(platform, "spoiled") == "models:/spoiled/3", "version 3 serves", 180)
    assert history(platform, "spoiled") == [
        ("models:/spoiled/1", "Replaced"),
        ("models:/spoiled/2", "RolledBack"),
        ("models:/spoiled/3", "Serving"),
    ]


def test_a_server_that_is_down_is_told_once_and_changes_nothing(
    platform: Platform, registry: Registry, server: MlflowProcess
) -> None:
    begin(platform, registry, "down")
    server.stop()
    wait_until(lambda: status(platform, "down")["registry"]["note"], "the reason is shown")
    assert serves(platform, "down") == "models:/down/1"
    server.start()
    registry.point("down", registry.add("down"))
    wait_until(lambda: serves(platform, "down") == "models:/down/2", "version 2 serves", 240)
    told = messages(platform, "down")
    assert [one.partition(":")[0] for one in told].count("models") == len(told)
    assert sum("cannot be looked up" in one for one in told) == 1


def test_a_controller_that_is_killed_before_it_deploys_deploys_once(
    platform: Platform, registry: Registry, relay: Relay
) -> None:
    begin(platform, registry, "killed")
    killed = threading.Event()

    def kill(path: str) -> None:
        if "mlflow-artifacts" in path and not killed.is_set():
            killed.set()
            platform.kill_controller()

    relay.meet = kill
    registry.point("killed", registry.add("killed"))
    assert killed.wait(60)
    relay.meet = lambda path: None
    platform.start()
    wait_until(lambda: serves(platform, "killed") == "models:/killed/2", "version 2 serves", 240)
    assert history(platform, "killed") == [("models:/killed/1", "Replaced"), ("models:/killed/2", "Serving")]


def test_a_webhook_of_mlflow_wakes_the_poll_and_a_forged_one_does_not(
    platform: Platform, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ANY_RECEIVER.items():  # MLflow's client looks at the address, too
        monkeypatch.setenv(name, value)
    begin(platform, registry, "woken", every="1h")
    address = f"{platform.url}/tidegate/v1/registry/webhook"
    forged = httpx.post(address, json={"data": {"name": "woken", "version": "9"}})
    assert forged.status_code == 403
    registry.client.create_webhook(
        name="tidegate", url=address, events=["model_version_alias.created"], secret="shared"
    )
    registry.point("woken", registry.add("woken"))
    wait_until(lambda: serves(platform, "woken") == "models:/woken/2", "version 2 serves", 180)


def test_an_address_that_is_not_in_the_registry_is_refused(platform: Platform, scene: Scene) -> None:
    with pytest.raises(ServerError, match="the MLflow server answered 404"):
        deploy(platform, spec("nobody"))
