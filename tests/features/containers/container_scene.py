"""What tests of a whole platform do with models that are container images."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.scene import Scene
from tidegate.load import LoadGenerator

LOAD = 100
"""Requests per second."""


def call(scene: Scene, endpoint: str, body: bytes = b"[[1]]") -> Any:
    answer = scene.runtime.invoke_endpoint(EndpointName=endpoint, ContentType="application/json", Body=body)
    return json.loads(answer["Body"].read())


def tidegate(scene: Scene, *words: str, code: int = 0) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TIDEGATE_", "AWS_"))}
    done = subprocess.run(
        [sys.executable, "-m", "tidegate.cli", *words],
        env={**kept, "TIDEGATE_URL": scene.platform.url, "COLUMNS": "300"},
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def deploy(
    scene: Scene,
    folder: Path,
    name: str,
    image: str,
    *lines: str,
    port: int = 8000,
    code: int = 0,
    wait: bool = True,
) -> str:
    """Deploy an image, and wait until that has ended, or not. ``port``: with ``/healthz`` and ``/predict``; 0: the
    image honours SageMaker's contract."""
    head = [f"endpoint: {name}", "model:", f"  container: {image}"]
    paths = [f"  port: {port}", "  health: /healthz", "  predict: /predict"] if port else []
    file = folder / f"{name}.yaml"
    file.write_text("\n".join([*head, *paths, *lines, ""]))
    return tidegate(scene, "deploy", str(file), *(["--wait"] if wait else []), code=code)


def fail(scene: Scene, image: str, **members: Any) -> str:
    """Create an endpoint that fails, and return the reason."""
    config = scene.config(None, image=image, **members)
    scene.sagemaker.create_endpoint(EndpointName=config, EndpointConfigName=config)
    done = scene.settled(config)
    assert done["EndpointStatus"] == "Failed"
    scene.sagemaker.delete_endpoint(EndpointName=config)
    reason: str = done["FailureReason"]
    return reason


def load(scene: Scene, name: str) -> LoadGenerator:
    headers = {"Content-Type": "application/json"}
    return LoadGenerator(scene.platform.url, f"/endpoints/{name}/invocations", b"[[1]]", headers, LOAD)
