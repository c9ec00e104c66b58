"""The clients that people have, unmodified: NVIDIA's, KServe's and MLServer's, each in an environment of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.scene import Scene, canary
from tidegate.host.platform import Platform, free_port

ROOT = Path(__file__).parents[4]
SCRIPTS = Path(__file__).with_name("clients")
KEY, SECRET = "AKIDEXAMPLE", "a-long-enough-secret"
ROWS = np.array([[0.1, 0.2, 0.3, 0.4], [1, 2, 3, 4], [-1e-3, 0, 7, 1e6]], np.float32)
pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def program(environment: str) -> Path:
    """The Python of an environment."""
    found = ROOT / ".clients" / environment / "bin" / "python"
    if not found.exists():
        pytest.skip(f"the clients are not installed: make .clients/{environment}/.done")
    return found


@pytest.fixture(scope="module")
def grpc_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def scene(models: tuple[str, str], grpc_port: int) -> Iterator[Scene]:
    folder = str(Path(models[0].removeprefix("file://")).parent)
    environment = {
        "TIDEGATE_ACCESS_KEYS": f"{KEY}:{SECRET}",
        "TIDEGATE_FILE_ROOTS": folder,
        "TIDEGATE_GRPC_PORT": str(grpc_port),
        "TIDEGATE_DRAIN_TIMEOUT": "5",
    }
    with Platform(environment=environment) as platform:
        made = Scene(platform, keys=(KEY, SECRET))
        made.create("fraud", made.config(models[0], instances=2))
        yield made


@pytest.fixture
def asked(scene: Scene, grpc_port: int, tmp_path: Path) -> dict[str, Any]:
    found = scene.runtime.invoke_endpoint(
        EndpointName="fraud", ContentType="application/json", Body=json.dumps(ROWS.tolist())
    )
    return {
        "http": scene.platform.url.removeprefix("http://"),
        "grpc": f"127.0.0.1:{grpc_port}",
        "model": "fraud",
        "version": "AllTraffic",
        "headers": {"authorization": f"Bearer {KEY}:{SECRET}"},
        "rows": ROWS.tolist(),
        "predictions": json.loads(found["Body"].read())["predictions"],
        "stop": str(tmp_path / "stop"),
        "rate": 100,
    }


@pytest.mark.parametrize(
    ("environment", "script"),
    [
        ("inference", "triton.py"),
        ("inference", "kserve_client.py"),
        ("mlserver", "mlserver_types.py"),
    ],
)
def test_a_client_gets_the_answers_of_the_native_api(
    environment: str, script: str, asked: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "asked.json"
    file.write_text(json.dumps(asked))
    done = subprocess.run(
        [program(environment), SCRIPTS / script, file], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.stdout.strip().endswith("good"), done.stdout + done.stderr


def reload_proxy(scene: Scene, model: str, folder: Path) -> None:
    """Deploy what the proxy learns by a reload only: another time that requests may wait."""
    spec = folder / "another.yaml"
    spec.write_text(
        f"endpoint: another\nmodel: {{image: tidegate/xgboost, data: {model.removeprefix('file://')}}}\n"
        "max_in_flight: 4\nqueue_time: 777ms\n"
    )
    keys = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_DEFAULT_REGION": "us-east-1"}
    environment = {"TIDEGATE_URL": scene.platform.url, **keys}
    command = [sys.executable, "-m", "tidegate.cli", "deploy", str(spec), "--wait"]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "reloading the proxy" in scene.platform.log.read_text()


def test_a_canary_fails_no_call(
    scene: Scene, models: tuple[str, str], asked: dict[str, Any], tmp_path: Path
) -> None:
    """Clients keep their connections: the new version gets its share on them, and the old one ends beneath them. Nor
    does a reload of the proxy fail a call."""
    file, stop = tmp_path / "asked.json", Path(asked["stop"])
    file.write_text(json.dumps(asked))
    calls = subprocess.Popen(
        [program("inference"), SCRIPTS / "steady_calls.py", file], stdout=subprocess.PIPE, text=True
    )
    try:
        for number in (1, 0):
            config = scene.config(models[number], instances=2)
            scene.update("fraud", config, canary(25, 5))
            assert scene.settled("fraud")["EndpointConfigName"] == config
        reload_proxy(scene, models[1], tmp_path)
    finally:
        stop.touch()
        printed = calls.communicate(timeout=60)[0]
    report = json.loads(printed)
    assert report["failed"] == []
    assert report["answered"]["AllTraffic"] > 200
