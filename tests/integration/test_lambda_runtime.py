"""The zip package of a function under AWS's own runtime client, and under AWS's runtime interface emulator."""

import base64
import json
import platform
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost

from tests.lambda_runtime import FunctionProcess, RuntimeServer
from tests.unit.serving.aws_lambda.lambda_events import event_bridge, http_api, rest_api, sqs
from tests.worker_process import models
from tidegate.domain.fleet import FleetId
from tidegate.host.platform import free_port
from tidegate.serving.contract.catalogue import RuntimeChoice, RuntimeKind
from tidegate.serving.contract.replica_spec import ContainerSpec, ReplicaSpec, encode
from tidegate.targets.aws_lambda import distributions
from tidegate.targets.aws_lambda.zip_package import (
    ZipPackage,
    check_direct,
    check_unpacked,
    plan_entries,
    write_zip,
)

__all__ = ["models"]

CLIENTS = Path(__file__).parents[2] / ".clients" / "lambda"
PYTHON = CLIENTS / "bin" / "python"
EMULATOR = CLIENTS / "rie" / f"aws-lambda-rie-{'arm64' if platform.machine() == 'aarch64' else 'x86_64'}"
ROW = (0.5, 1.0, 2.0, 3.0, 4.0)
CSV = ",".join(map(str, ROW))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not PYTHON.exists(), reason="AWS's runtime client is not installed: make .clients/lambda/.done"
    ),
]
needs_emulator = pytest.mark.skipif(
    not EMULATOR.exists(), reason="AWS's runtime interface emulator could not be downloaded (aws-sam-cli's wheel)"
)


@pytest.fixture(scope="module")
def package(models: Path, tmp_path_factory: pytest.TempPathFactory) -> ZipPackage:
    folder = tmp_path_factory.mktemp("package")
    (folder / "model").mkdir()
    (folder / "model" / "model.ubj").write_bytes((models / "binary.ubj").read_bytes())
    container = ContainerSpec(runtime=RuntimeChoice(RuntimeKind.XGBOOST), model_dir="model")
    spec = ReplicaSpec(
        replica="function",
        fleet=FleetId("fraud", 3, "Blue"),
        config_name="fraud-v3",
        containers=(container,),
        socket="",
        max_body=6 * 1024 * 1024,
    )
    needed = distributions.collect("xgboost")
    entries = plan_entries(encode(spec), folder / "model", needed)
    return write_zip(entries, folder / "zips", check_unpacked(entries, needed))


@pytest.fixture(scope="module")
def task(package: ZipPackage, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as Lambda unpacks it."""
    folder = tmp_path_factory.mktemp("task")
    with zipfile.ZipFile(package.path) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture
def expected(models: Path) -> float:
    booster = xgboost.Booster(model_file=str(models / "binary.ubj"))
    return float(booster.predict(xgboost.DMatrix(np.array([ROW], np.float32)))[0])


@pytest.fixture
def function(task: Path, tmp_path: Path) -> Iterator[tuple[RuntimeServer, FunctionProcess]]:
    with RuntimeServer() as runtime:
        process = FunctionProcess(
            PYTHON,
            task,
            tmp_path / "log",
            runtime.address,
            {"TIDEGATE_FLEET": "fraud/9/Green", "TIDEGATE_CONFIG": "v9"},
        )
        process.start()
        yield runtime, process
        process.stop()


def test_the_package_of_an_xgboost_model_fits_into_lambda_without_s3(package: ZipPackage) -> None:
    check_direct(package)
    assert package.unpacked < 200 * 1024 * 1024


def test_the_packaged_function_scores_as_the_library_does(
    function: tuple[RuntimeServer, FunctionProcess], expected: float
) -> None:
    runtime, _ = function
    for event in (
        {"body": CSV, "contentType": "text/csv"},
        rest_api(CSV, {"Content-Type": "text/csv"}),
        http_api(CSV.encode(), {"Content-Type": "text/csv"}),
        event_bridge({"body": CSV, "contentType": "text/csv"}),
    ):
        ended = runtime.invoke(event)
        assert isinstance(ended.value, dict), ended
        assert ended.value["statusCode"] == 200
        assert np.float32(ended.value["body"]) == np.float32(expected)
        assert ended.value["headers"]["x-tidegate-config"] == "v9"
        assert ended.value["headers"]["x-Amzn-Invoked-Production-Variant"] == "Green"


def test_bad_input_never_ends_the_process(
    function: tuple[RuntimeServer, FunctionProcess], expected: float
) -> None:
    runtime, process = function
    poison: list[object] = [
        None,
        7,
        "text",
        [],
        {},
        b"\xff\xfe{",
        b"",
        b'{"body": "\\ud800"}',
        b'{"body": ' + b"[" * 5000 + b"]" * 5000 + b"}",
        {"body": "1,2", "contentType": "text/csv"},
        {"body": "x" * 1_000_000, "contentType": "text/csv"},
        {
            "body": base64.b64encode(bytes(1000)).decode(),
            "isBase64Encoded": True,
            "contentType": "application/x-npy",
        },
        {"Records": [None]},
        {"httpMethod": "POST", "headers": {"a": None}, "body": "1"},
    ]
    for event in poison:
        ended = runtime.invoke(event)
        status = ended.value["statusCode"] if isinstance(ended.value, dict) else 0
        assert ended.error or status >= 400, event
    assert process.alive
    good = runtime.invoke({"body": CSV, "contentType": "text/csv"})
    assert isinstance(good.value, dict) and np.float32(good.value["body"]) == np.float32(expected)


def test_messages_without_a_place_for_answers_are_delivered_again(
    function: tuple[RuntimeServer, FunctionProcess],
) -> None:
    runtime, process = function
    ended = runtime.invoke(sqs({"a": CSV, "b": "1"}))
    assert ended.value == {"batchItemFailures": [{"itemIdentifier": "a"}, {"itemIdentifier": "b"}]}
    assert "set TIDEGATE_RESULTS" in process.log.read_text()


def test_a_function_whose_model_is_broken_tells_why_at_its_start(task: Path, tmp_path: Path) -> None:
    broken = tmp_path / "replica.json"
    container = ContainerSpec(runtime=RuntimeChoice(RuntimeKind.XGBOOST), model_dir="nowhere")
    spec = ReplicaSpec(
        replica="function", fleet=FleetId("fraud", 3, "Blue"), config_name="v3", containers=(container,), socket=""
    )
    broken.write_bytes(encode(spec))
    with RuntimeServer() as runtime:
        process = FunctionProcess(
            PYTHON, task, tmp_path / "log", runtime.address, {"TIDEGATE_REPLICA_FILE": str(broken)}
        )
        process.start()
        ended = runtime.invoke({"body": CSV})
        process.stop()
    assert "ArtifactError" in ended.error


@needs_emulator
def test_the_packaged_function_runs_under_awss_emulator(task: Path, tmp_path: Path, expected: float) -> None:
    port, api = free_port(), free_port()
    addresses = (
        "--runtime-interface-emulator-address",
        f"127.0.0.1:{port}",
        "--runtime-api-address",
        f"127.0.0.1:{api}",
    )
    process = FunctionProcess(
        PYTHON,
        task,
        tmp_path / "log",
        f"127.0.0.1:{api}",
        {"AWS_LAMBDA_FUNCTION_TIMEOUT": "60"},
        prefix=(str(EMULATOR), *addresses),
    )
    process.start()
    try:
        good = ask_emulator(port, {"body": CSV, "contentType": "text/csv"})
        bad = ask_emulator(port, {"body": "1", "contentType": "text/csv"})
        unknown = ask_emulator(port, {"rows": 1})
        again = ask_emulator(port, http_api(CSV, {"Content-Type": "text/csv"}))
    finally:
        process.stop()
    assert np.float32(good["body"]) == np.float32(expected)
    assert bad["statusCode"] == 424
    assert unknown["errorType"] == "FunctionError"
    assert np.float32(again["body"]) == np.float32(expected)


def ask_emulator(port: int, event: object) -> dict[str, Any]:
    """Waits until it listens."""
    url = f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations"
    until = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(url, json.dumps(event).encode(), timeout=60) as answer:
                return dict(json.load(answer))
        except urllib.error.URLError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


# --- the package itself ---


def test_the_same_content_is_the_same_zip_byte_for_byte(package: ZipPackage, task: Path, tmp_path: Path) -> None:
    files = {path.relative_to(task).as_posix(): path for path in task.rglob("*.py") if path.is_file()}
    small = dict(sorted(files.items())[:50])
    for path in small.values():
        path.touch()  # another time of writing
    one = write_zip(small, tmp_path / "one", 0)
    other = write_zip(dict(reversed(small.items())), tmp_path / "other", 0)
    assert one.path.read_bytes() == other.path.read_bytes()
    assert one == replace(other, path=one.path)
    changed = write_zip({**small, "replica.json": b"{}"}, tmp_path / "one", 0)
    assert changed.sha256 != one.sha256
