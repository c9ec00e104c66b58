"""Models that cannot be used or go wrong while they serve: the reason is told, others are unharmed, and what can
recover does."""

import json
import os
import pickle
import re
import sys
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import lightgbm
import numpy as np
import pytest
import skops.io
import xgboost
from botocore.exceptions import ClientError
from sklearn.linear_model import LinearRegression

from tests.integration.test_worker_runtimes import onnx_model
from tests.scene import Scene, train
from tidegate.host.platform import Platform, wait_until
from tidegate.serving.process.memory_limits import measure_memory

pytestmark = [pytest.mark.slow, pytest.mark.e2e]

FLAWED = "test/flawed"
TIMEOUT = 2
"""Seconds that a model may take to answer here."""
ROWS = np.random.default_rng(1).normal(size=(200, 4)).astype(np.float32)
VALUES = ROWS.sum(axis=1)
ROW = [[0.1, 0.2, 0.3, 0.4]]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """With a program that has flaws, and without llama.cpp, whose place is taken by a module that is missing."""
    folder = tmp_path_factory.mktemp("settings")
    program = Path(__file__).with_name("flawed_model.py")
    table = folder / "images.yaml"
    table.write_text(f"images:\n  {FLAWED}:\n    command: [{sys.executable}, {program}]\n")
    (folder / "shadow").mkdir()
    missing = "raise ModuleNotFoundError('no xllamacpp', name='xllamacpp')\n"
    (folder / "shadow" / "xllamacpp.py").write_text(missing)
    path = os.pathsep.join(part for part in (str(folder / "shadow"), os.environ.get("PYTHONPATH", "")) if part)
    environment = {
        "TIDEGATE_IMAGES": str(table),
        "TIDEGATE_DRAIN_TIMEOUT": "5",
        "TIDEGATE_INVOCATION_TIMEOUT": str(TIMEOUT),
        "PYTHONPATH": path,
    }
    with Platform(environment=environment) as running:
        yield running


@pytest.fixture(scope="module")
def healthy(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """With the endpoint ``healthy``, the neighbour of all that goes wrong."""
    scene = Scene(platform)
    scene.create("healthy", scene.config(train(tmp_path_factory.mktemp("healthy"), 1, features=4, trees=5)))
    return scene


def unharmed(scene: Scene) -> None:
    assert scene.describe("healthy")["EndpointStatus"] == "InService"
    assert scene.invoke("healthy", ROW)["Body"].read()


# --- models that do not start ---


def trained(path: Path) -> bytes:
    booster = xgboost.train({"nthread": 1, "max_depth": 3}, xgboost.DMatrix(ROWS, VALUES), 3)
    return bytes(booster.save_raw("json" if path.suffix == ".json" else "ubj"))


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def xgboost_half(path: Path) -> None:
    path.write_bytes(half(trained(path)))


def xgboost_forged(path: Path) -> None:
    """A node whose child is far outside its tree."""
    model = json.loads(trained(path))
    model["learner"]["gradient_booster"]["model"]["trees"][1]["left_children"][0] = 1_000_000
    path.write_text(json.dumps(model))


def xgboost_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps({"a": "model"}))


def onnx_half(path: Path) -> None:
    onnx_model(path)
    path.write_bytes(half(path.read_bytes()))


def noise(path: Path) -> None:
    path.write_bytes(np.random.default_rng(2).bytes(1000))


def lightgbm_whole(path: Path) -> None:
    settings = {"verbose": -1, "num_threads": 1, "min_data_in_leaf": 3}
    lightgbm.train(settings, lightgbm.Dataset(ROWS, VALUES), 5).save_model(path)


def lightgbm_half(path: Path) -> None:
    lightgbm_whole(path)
    path.write_bytes(half(path.read_bytes()))


def lightgbm_damaged(path: Path) -> None:
    """In its middle: LightGBM's reader ends the process at it."""
    lightgbm_whole(path)
    lines = path.read_text().splitlines(keepends=True)
    lines[next(n for n, line in enumerate(lines) if line.startswith("left_child="))] = "left_child=1 2\n"
    path.write_text("".join(lines))


def skops_half(path: Path) -> None:
    skops.io.dump(LinearRegression().fit(ROWS, VALUES), path)
    path.write_bytes(half(path.read_bytes()))


def sklearn_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps(LinearRegression().fit(ROWS, VALUES)))


def archive(path: Path) -> None:
    inside = path.with_name("model.ubj")
    inside.write_bytes(trained(inside))
    with tarfile.open(path, "w:gz") as packed:
        packed.add(inside, "model.ubj")


def archive_half(path: Path) -> None:
    archive(path)
    path.write_bytes(half(path.read_bytes()))


def archive_damaged(path: Path) -> None:
    archive(path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


def nothing(path: Path) -> None:
    path.write_bytes(b"")


@dataclass(frozen=True)
class Bad:
    image: str
    file: str
    make: Callable[[Path], object]
    reason: str
    """What FailureReason says after the names; ``...`` for what is another text each time."""
    more: dict[str, object] = field(default_factory=dict)
    """Keys of its spec."""


def flawed(flaw: str, reason: str, **more: object) -> Bad:
    model = {"image": FLAWED, "environment": {"FLAW": flaw}}
    return Bad(FLAWED, "", lambda path: None, reason, {"model": model, **more})


NOT_WHOLE = "m.{0} is not a whole {1} model: "
BAD = {
    "xgboost-half": Bad(
        "tidegate/xgboost",
        "m.ubj",
        xgboost_half,
        NOT_WHOLE.format("ubj", "XGBoost") + "it ends at byte ..., in the middle of what begins at byte ...",
    ),
    "xgboost-json-half": Bad(
        "tidegate/xgboost",
        "m.json",
        xgboost_half,
        NOT_WHOLE.format("json", "XGBoost") + "...: line 1 column ... (char ...)",
    ),
    "xgboost-forged": Bad(
        "tidegate/xgboost",
        "m.json",
        xgboost_forged,
        NOT_WHOLE.format("json", "XGBoost") + "tree 1: a node's child is none of its nodes",
    ),
    "xgboost-pickle": Bad(
        "tidegate/xgboost",
        "m.ubj",
        xgboost_pickle,
        "m.ubj is not an XGBoost model in UBJSON or JSON: it looks like a Python pickle; save the model with"
        " booster.save_model('model.ubj')",
    ),
    "xgboost-empty": Bad(
        "tidegate/xgboost",
        "m.ubj",
        nothing,
        "m.ubj is not an XGBoost model in UBJSON or JSON: it is empty; save the model with"
        " booster.save_model('model.ubj')",
    ),
    "onnx-half": Bad(
        "tidegate/onnx", "m.onnx", onnx_half, NOT_WHOLE.format("onnx", "ONNX") + "Protobuf parsing failed"
    ),
    "onnx-noise": Bad(
        "tidegate/onnx", "m.onnx", noise, NOT_WHOLE.format("onnx", "ONNX") + "Protobuf parsing failed"
    ),
    "onnx-empty": Bad("tidegate/onnx", "m.onnx", nothing, NOT_WHOLE.format("onnx", "ONNX") + "it is empty"),
    "lightgbm-half": Bad(
        "tidegate/lightgbm",
        "m.txt",
        lightgbm_half,
        NOT_WHOLE.format("txt", "LightGBM") + "it is cut off; save it again",
    ),
    "lightgbm-damaged": Bad(
        "tidegate/lightgbm",
        "m.txt",
        lightgbm_damaged,
        "the process that tried to load the lightgbm model (m.txt) was ended by SIGABRT: the file is damaged; save"
        " it again",
    ),
    "lightgbm-pickle": Bad(
        "tidegate/lightgbm",
        "m.txt",
        xgboost_pickle,
        "m.txt is not a LightGBM model: it looks like a Python pickle; save the model with booster.save_model(...)",
    ),
    "skops-half": Bad("tidegate/sklearn", "m.skops", skops_half, "m.skops is not a whole model: it is cut off"),
    "skops-noise": Bad(
        "tidegate/sklearn",
        "m.skops",
        noise,
        "m.skops is not a whole model: it begins with b'...', which is no zip archive",
    ),
    "pickle": Bad(
        "tidegate/sklearn",
        "m.pkl",
        sklearn_pickle,
        "m.pkl is a pickle, which runs code when it is read; save the model with skops.io.dump(model, 'model.skops'),"
        " or, if you trust who made it, set TIDEGATE_TRUST=pickle for the server and in the model's environment",
    ),
    "pytorch-noise": Bad(
        "tidegate/pytorch",
        "m.pt",
        noise,
        NOT_WHOLE.format("pt", "TorchScript") + "it begins with b'...', which is no zip archive",
    ),
    "archive-half": Bad(
        "tidegate/xgboost",
        "m.tar.gz",
        archive_half,
        "file:///.../m.tar.gz: the archive is cut off: its gzip stream has no end",
    ),
    "archive-damaged": Bad(
        "tidegate/xgboost", "m.tar.gz", archive_damaged, "file:///.../m.tar.gz: the archive ..."
    ),
    "archive-no-model": Bad(
        "tidegate/onnx", "m.tar.gz", archive, "the model data has no ONNX model (.onnx); found: model.ubj"
    ),
    "auto-unknown": Bad(
        "tidegate/auto",
        "m.bin",
        noise,
        "no file of the model data says which runtime it is for; found: m.bin; name the image",
    ),
    "no-file": Bad("tidegate/auto", "m.ubj", lambda path: None, "file:///.../m.ubj: there is no such file"),
    "library-missing": Bad(
        "tidegate/gguf",
        "m.gguf",
        noise,
        "GGUF models need packages that are not installed (xllamacpp): pip install 'tidegate[gguf]'",
    ),
    "loads-for-ever": flawed(
        "loads for ever",
        "The primary container for production variant AllTraffic did not pass the ping health check within 1 s"
        " (GET /ping on port ... or on ....app)",
        startup_timeout="1s",
    ),
    "crashes": flawed(
        "crashes at its start",
        "The program .../python ended with exit code 1; its log ends: the model needs a file that is not there",
    ),
    "too-large": flawed(
        "takes too much to load",
        "The replica outgrew the memory limit of 200 MiB by ... while its model was loaded",
        memory="200MiB",
    ),
}


@pytest.fixture(scope="module")
def deployed(healthy: Scene, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """All of them asked for at once."""
    for name, bad in BAD.items():
        path = tmp_path_factory.mktemp(name) / (bad.file or "none")
        bad.make(path)
        model: dict[str, object] = {"image": bad.image, "data": path.as_uri()}
        deploy(healthy, {"endpoint": name, "model": model, **bad.more})
    return healthy


def deploy(scene: Scene, spec: dict[str, object]) -> None:
    body = {"spec": spec, "override": False, "supersede": False}
    httpx.put(f"{scene.platform.url}/tidegate/v1/deploy", json=body, timeout=30).raise_for_status()


@pytest.mark.parametrize("name", BAD)
def test_a_model_that_cannot_be_used_says_why(deployed: Scene, name: str) -> None:
    settled = deployed.settled(name)
    assert settled["EndpointStatus"] == "Failed"
    config = settled["EndpointConfigName"]
    whole = f"The creation failed: {config} could not be run: variant AllTraffic: {BAD[name].reason}."
    said = settled["FailureReason"]
    assert re.fullmatch(re.escape(whole).replace(re.escape("..."), ".+"), said), said
    unharmed(deployed)


# --- models that go wrong while they serve ---


def serving(scene: Scene, name: str, flaw: str, **more: object) -> None:
    deploy(scene, {"endpoint": name, "model": {"image": FLAWED, "environment": {"FLAW": flaw}}, **more})
    assert scene.settled(name)["EndpointStatus"] == "InService"


def ask(scene: Scene, name: str, body: bytes = b"x") -> str:
    """The answer, or what the error says."""
    try:
        return str(scene.runtime.invoke_endpoint(EndpointName=name, Body=body)["Body"].read().decode())
    except ClientError as error:
        return str(error.response.get("OriginalMessage") or error.response["Error"]["Message"])


def recovered(scene: Scene, name: str) -> None:
    """It answers again, from a process that has begun to count anew."""
    wait_until(lambda: ask(scene, name) in ("1", "2", "3"), f"{name} answers again")
    assert scene.describe(name)["EndpointStatus"] == "InService"
    unharmed(scene)


def test_a_model_that_dies_on_its_third_request_is_started_again(healthy: Scene) -> None:
    serving(healthy, "dies", "dies on its third request")
    assert [ask(healthy, "dies"), ask(healthy, "dies")] == ["1", "2"]
    assert "gave no answer" in ask(healthy, "dies")
    recovered(healthy, "dies")


def test_a_model_that_leaks_is_replaced_before_it_harms_others(healthy: Scene, platform: Platform) -> None:
    serving(healthy, "leaks", "leaks", memory="300MiB")
    assert [ask(healthy, "leaks"), ask(healthy, "leaks")] == ["1", "2"]
    said = r"outgrew the memory limit of 300 MiB by [0-9.]+ MiB after [12] requests\."
    wait_until(lambda: re.search(said, platform.log.read_text()), "the reason in the log")
    recovered(healthy, "leaks")


def test_a_model_that_leaks_a_little_serves_until_another_has_taken_its_place(
    healthy: Scene, platform: Platform
) -> None:
    """The only instance of its endpoint: no request fails while it is replaced."""
    serving(healthy, "drips", "leaks a little", memory="256MiB")
    [worker] = [one.pid for one in platform.workers("drips").values()]
    limit = 256 * 2**20
    # Not a drop more than that: by a quarter beyond its limit it would go at once.
    while measure_memory(worker, limit) <= limit:
        assert ask(healthy, "drips", b"drip").isdecimal()
    said = r"replica \S+ is to be replaced: The replica outgrew the memory limit of 256 MiB by [0-9.]+ MiB after"
    wait_until(lambda: re.search(said, platform.log.read_text()), "the reason in the log")
    while (answer := ask(healthy, "drips")) not in ("1", "2"):
        assert answer.isdecimal(), platform.log.read_text()[-3000:]
    recovered(healthy, "drips")


def test_a_model_that_answers_garbage_fails_that_request_alone(healthy: Scene) -> None:
    serving(healthy, "garbage", "answers garbage")
    assert "the answer is not valid HTTP" in ask(healthy, "garbage", b"garbage")
    assert ask(healthy, "garbage") == "2"
    unharmed(healthy)


def test_a_model_that_hangs_on_a_request_is_given_up_on_that_request(healthy: Scene) -> None:
    serving(healthy, "hangs", "hangs")
    assert "invocation timed out" in ask(healthy, "hangs", b"hang")
    assert ask(healthy, "hangs") == "2"
    unharmed(healthy)
