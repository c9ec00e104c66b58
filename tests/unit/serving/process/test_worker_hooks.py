"""What features add to a worker is imported by the workers that need it only."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

BEGIN = """
import asyncio, json, pathlib, sys, tempfile
from tidegate.domain.capture import Capture
from tidegate.domain.errors import Invalid
from tidegate.domain.fleet import FleetId
from tidegate.serving.contract.images import ImageTable, resolve
from tidegate.serving.contract.replica_spec import CaptureSpec, ContainerSpec, ReplicaSpec, Serving, TracingSpec
from tidegate.serving.engines.assembly import open_engine
from tidegate.serving.process.lifecycle import _make_server

folder = pathlib.Path(tempfile.mkdtemp())
def spec(*containers, **more):
    return ReplicaSpec(
        replica="r",
        fleet=FleetId("e", 1, "v"),
        config_name="c",
        containers=containers,
        socket=str(folder / "s"),
        **more,
    )
def begin(**more):
    server = _make_server(spec(**more), folder)
    return [type(server).__name__, type(server._captures).__name__]
"""


def run(code: str, **environment: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_a_worker_that_uses_no_feature_imports_none() -> None:
    found = run("""
begin()
print(json.dumps([name for name in sys.modules if name.startswith("tidegate.features")]))
""")
    assert found == []


CAPTURE = """capture=CaptureSpec(
    plan=Capture("file:///out"), spool=str(folder / "spool"), spool_bytes=1 << 20, seconds=1.0, roots=()
)"""
TRACING = 'tracing=TracingSpec(socket=str(folder / "spans"), ratio=0.5, key="key")'


@pytest.mark.parametrize(
    ("asked", "kinds"),
    [
        ("", ["Server", "NoCaptures"]),
        (CAPTURE, ["Server", "FrontCaptures"]),
        (TRACING, ["TracedServer", "NoCaptures"]),
    ],
)
def test_a_worker_has_what_its_specification_asks_for(asked: str, kinds: list[str]) -> None:
    assert run(f"print(json.dumps(begin({asked})))") == kinds


@pytest.mark.parametrize("asked", [CAPTURE, TRACING])
def test_a_worker_serves_without_features_that_are_off(asked: str) -> None:
    off = {"TIDEGATE_FEATURES": "-capture,-tracing"}
    assert run(f"print(json.dumps(begin({asked})))", **off) == ["Server", "NoCaptures"]


def test_a_worker_of_many_models_says_which_feature_is_off() -> None:
    found = run(
        """
async def fail():
    container = ContainerSpec(runtime=resolve("tidegate/xgboost", ImageTable()), model_dir=str(folder))
    many = spec(container, serving=Serving.MULTI_MODEL)
    try:
        await open_engine(many, lambda container, code: None, asyncio.get_running_loop().time() + 60)
    except Invalid as error:
        return str(error)
print(json.dumps(asyncio.run(fail())))
""",
        TIDEGATE_FEATURES="-multi_model",
    )
    assert found == "many models: the feature multi_model is switched off (TIDEGATE_FEATURES)"
