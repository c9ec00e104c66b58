"""Services behind a whole platform: versions of a FastAPI application at addresses of their own."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.documentation import DOCS
from tests.integration.documented_commands import FENCE
from tests.scene import Scene
from tidegate.cli.client import ApiClient, ServerError
from tidegate.host.platform import Platform, free_port, wait_until
from tidegate.load import LoadGenerator

pytestmark = pytest.mark.e2e
SECRET = "Bearer a-secret-that-nobody-shows"
PAGE = DOCS / "fastapi.md"
JSON = {"Content-Type": "application/json"}
PAYMENTS = [json.dumps({"amount": 7 * n % 1000, "hour": n % 24}).encode() for n in range(4000)]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the application of the guide."""
    folder = tmp_path_factory.mktemp("app")
    files = {name: text for _, name, text in FENCE.findall(PAGE.read_text())}
    (folder / "app.py").write_text(files["app.py"])
    return folder


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform with a secret, and a folder for captures."""
    secrets, outputs = tmp_path_factory.mktemp("secrets"), tmp_path_factory.mktemp("outputs")
    (secrets / "fraud-token").write_text(SECRET + "\n")
    environment = {
        "TIDEGATE_SECRETS": str(secrets),
        "TIDEGATE_OUTPUT_ROOTS": str(outputs),
        "TIDEGATE_CAPTURE_SECONDS": "1",
        "TIDEGATE_DRAIN_TIMEOUT": "5",
    }
    with Platform(environment=environment) as running:
        yield running


@contextlib.contextmanager
def running(app: Path, version: str, port: int = 0) -> Iterator[str]:
    """The address of a version of the application that runs."""
    pytest.importorskip("fastapi", reason="FastAPI is not installed: pip install '.[test]'")
    port = port or free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "app:app", "--port", str(port), "--log-level", "warning"],
        cwd=app,
        env={**os.environ, "VERSION": version},
    )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: answers(url), f"version {version} of the application")
        yield url
    finally:
        process.terminate()
        process.wait(30)


def answers(url: str) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"{url}/healthz").status_code == httpx.codes.OK
    return False


def spec(endpoint: str, url: str | list[str], **more: Any) -> dict[str, Any]:
    model = {"url": url, "health": "/healthz", "predict": "/predict", "prediction": "$.scores[0]"}
    return {"endpoint": endpoint, "model": model, **more}


GUARDED = {
    "rollout": {"strategy": "canary", "size": "20%", "wait": "3s"},
    "evidence": {"compare": ["errors", "paired"], "copies": "4s", "minimum": 60},
}


def deploy(platform: Platform, wish: dict[str, Any]) -> None:
    with ApiClient({"TIDEGATE_URL": platform.url}) as server:
        server.deploy(wish, "ann", override=False, supersede=False)


def load(platform: Platform, endpoint: str, rate: float = 60) -> LoadGenerator:
    return LoadGenerator(platform.url, f"/endpoints/{endpoint}/invocations", PAYMENTS, JSON, rate, connections=8)


def version_of(scene: Scene, endpoint: str) -> str:
    answer = scene.runtime.invoke_endpoint(
        EndpointName=endpoint, ContentType="application/json", Body=b'{"amount": 250, "hour": 3}'
    )
    found: str = json.loads(answer["Body"].read())["version"]
    return found


def test_a_version_with_wrong_numbers_is_rolled_back_by_copies_and_no_request_fails(
    platform: Platform, scene: Scene, app: Path
) -> None:
    with running(app, "1") as one, running(app, "2") as two, running(app, "wrong") as wrong:
        deploy(platform, spec("fraud", one, **GUARDED))
        scene.settled("fraud")
        assert version_of(scene, "fraud") == "1"
        with load(platform, "fraud") as asking:
            deploy(platform, spec("fraud", two, **GUARDED))
            settled = scene.settled("fraud")
            assert "FailureReason" not in settled
            good = settled["EndpointConfigName"]
            deploy(platform, spec("fraud", wrong, **GUARDED))
            settled = scene.settled("fraud")
            report = asking.stop()
        assert settled["EndpointConfigName"] == good
        assert "paired" in settled["FailureReason"]
        assert report.failed == 0, report.failures[:3]
        assert version_of(scene, "fraud") == "2"
        assert len(report.by_config) == 2, "no client got an answer of the wrong version"


def test_replicas_restart_one_after_the_other_without_a_failed_request(
    platform: Platform, scene: Scene, app: Path
) -> None:
    ports = [free_port(), free_port()]
    with contextlib.ExitStack() as first, contextlib.ExitStack() as second, contextlib.ExitStack() as again:
        urls = [
            stack.enter_context(running(app, "1", port))
            for stack, port in zip((first, second), ports, strict=True)
        ]
        deploy(platform, spec("replicas", urls))
        scene.settled("replicas")
        with load(platform, "replicas") as asking:
            before = asking.snapshot().total.count
            for stack, port in zip((first, second), ports, strict=True):
                stack.close()
                again.enter_context(running(app, "2", port))
                wait_until(lambda: version_of(scene, "replicas") == "2", "the replica that restarted is asked")
            wait_until(lambda: asking.snapshot().total.count > before + 100, "requests after both restarts")
            report = asking.stop()
        assert report.failed == 0, report.failures[:3]


def test_a_service_that_is_gone_is_said_to_be_gone_and_comes_back(
    platform: Platform, scene: Scene, app: Path
) -> None:
    port = free_port()
    with running(app, "1", port) as url:
        deploy(platform, spec("gone", url))
        scene.settled("gone")
    with pytest.raises(scene.runtime.exceptions.ClientError) as refused:
        version_of(scene, "gone")
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] in (424, 503)
    with running(app, "1", port):
        wait_until(lambda: answered(scene, "gone") == "1", "the service is asked again")


def answered(scene: Scene, endpoint: str) -> str:
    """The version that answered; empty while none does."""
    with contextlib.suppress(scene.runtime.exceptions.ClientError):
        return version_of(scene, endpoint)
    return ""


def tidegate(platform: Platform, folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "tidegate.cli", *arguments],
        env={**os.environ, "TIDEGATE_URL": platform.url, "COLUMNS": "200"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_status_history_undo_and_secrets_of_a_service(
    platform: Platform, scene: Scene, app: Path, tmp_path: Path
) -> None:
    outputs = Path(platform.environment["TIDEGATE_OUTPUT_ROOTS"])
    secret = {"headers": {"Authorization": {"secret": "fraud-token"}}}
    with running(app, "1") as one, running(app, "2") as two:
        for url in one, two:
            wish = spec("kept", url, capture={"to": f"{outputs.as_uri()}/"})
            wish["model"] |= secret
            deploy(platform, wish)
            scene.settled("kept")
        assert version_of(scene, "kept") == "2"
        shown = tidegate(platform, tmp_path, "status", "kept")
        assert f"the service {two}" in shown.stdout, shown.stdout + shown.stderr
        (tmp_path / "kept.yaml").write_text(json.dumps(wish | {"model": wish["model"] | {"url": one}}))
        differs = tidegate(platform, tmp_path, "spec", "diff", "kept.yaml")
        assert "model.url" in differs.stdout and one in differs.stdout, differs.stdout + differs.stderr
        undone = tidegate(platform, tmp_path, "rollout", "undo", "kept", "--wait")
        assert undone.returncode == 0, undone.stderr
        assert version_of(scene, "kept") == "1"
        history = tidegate(platform, tmp_path, "rollout", "history", "kept", "--json")
        assert one in history.stdout and two in history.stdout
        arguments = ["\0".join(process.cmdline()) for process in platform.processes()]
        shown_texts = [shown.stdout, history.stdout, undone.stdout, *arguments]
        assert not any("nobody-shows" in text for text in shown_texts)
        wait_until(
            lambda: any(b'"predictionPath":"$.scores[0]"' in one.read_bytes() for one in outputs.rglob("*.jsonl")),
            "a capture that says where the prediction is",
        )
        kept = (*platform.state.rglob("*"), *outputs.rglob("*"))
        assert [path for path in kept if b"nobody-shows" in content(path)] == []


def content(path: Path) -> bytes:
    """What a file has; nothing of what is none, or is gone."""
    with contextlib.suppress(OSError):
        return path.read_bytes() if path.is_file() else b""
    return b""


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"url": "http://169.254.169.254"}, "is a link-local or metadata address"),
        ({"url": "http://[::ffff:169.254.169.254]:80"}, "is a link-local or metadata address"),
        ({"url": "http://metadata.google.internal"}, "is a metadata service"),
        (
            {"url": "http://127.0.0.1:1", "headers": {"X-Key": {"secret": "forgotten"}}},
            "secret forgotten: its file in the folder TIDEGATE_SECRETS cannot be read",
        ),
    ],
)
def test_what_must_not_be_asked_is_refused_as_it_is_deployed(
    platform: Platform, model: dict[str, Any], message: str
) -> None:
    with pytest.raises(ServerError, match=message):
        deploy(platform, {"endpoint": "refused", "model": model})


def test_a_deployment_to_a_host_that_resolves_to_a_metadata_address_fails_and_says_so(
    platform: Platform, scene: Scene
) -> None:
    deploy(platform, {"endpoint": "rebound", "model": {"url": "http://2852039166"}})
    ended = wait_until(
        lambda: (found := scene.describe("rebound"))["EndpointStatus"] == "Failed" and found, "it failed"
    )
    assert "2852039166 is 169.254.169.254, which is a link-local or metadata address" in ended["FailureReason"]


NODE = """
const answers = { "/ping": "", "/invocations": '{"scores": [0.5], "by": "node"}' };
require("node:http").createServer((request, response) => {
  request.resume();
  request.on("end", () => {
    response.setHeader("content-type", "application/json");
    response.end(answers[request.url] ?? "");
  });
}).listen(Number(process.argv[2]), "127.0.0.1");
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed")
def test_a_node_server_with_the_usual_paths(platform: Platform, scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "server.cjs").write_text(NODE)
    port = free_port()
    process = subprocess.Popen(["node", str(tmp_path / "server.cjs"), str(port)])
    try:
        deploy(platform, {"endpoint": "node", "model": {"url": f"http://127.0.0.1:{port}"}})
        scene.settled("node")
        found = scene.runtime.invoke_endpoint(EndpointName="node", ContentType="application/json", Body=b"{}")
        assert json.loads(found["Body"].read())["by"] == "node"
    finally:
        process.kill()
        process.wait(30)
