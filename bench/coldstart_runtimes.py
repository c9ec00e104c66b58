"""Cold starts of a serverless endpoint by runtime: a small model of each library, asked at zero.

    python -m bench.coldstart_runtimes [--starts 20] [--only sklearn,pytorch] [--keep]

For comparison, in the same run: a worker process started for the same model, until its first answer; and, by turns,
starts without what the probes of the model had found (``serving/runtimes/kept_verdict.py``), where that is kept.
"""

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import httpx
import lightgbm
import mlflow.sklearn
import numpy as np
import psutil
import skops.io
import torch
import xgboost
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from sklearn.ensemble import RandomForestClassifier

from bench import tables
from bench.coldstart import asleep, fresh_process, last_lines, row
from tests.scene import Scene
from tidegate.host.platform import Platform
from tidegate.serving.contract.catalogue import RuntimeKind

FEATURES = 10
BODY = ",".join(["0.1"] * FEATURES).encode()
NAMED = ",".join(f"c{number}" for number in range(FEATURES)).encode() + b"\n" + BODY
"""For MLflow, whose tables have a header."""
HEADERS = {"Content-Type": "text/csv"}
TRUST = {"TIDEGATE_TRUST": "pickle"}
READY = 8.0
"""Seconds for the libraries to be imported, before the first start that counts."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--starts", type=int, default=20)
    parser.add_argument("--only", default=",".join(MODELS))
    parser.add_argument("--keep", action="store_true", help="write the table to bench/results.md")
    given = parser.parse_args()
    rows: list[list[object]] = []
    with Platform(environment=TRUST) as platform:
        for name in given.only.split(","):
            rows += measure(platform, name, given.starts)
    header = ["what", "times", "p50 ms", "p90 ms", "p99 ms", "longest ms"]
    title = "Cold starts by runtime"
    tables.show("coldstart-runtimes", title, header, rows, keep=given.keep, command="coldstart_runtimes")


def measure(platform: Platform, name: str, starts: int) -> list[list[object]]:
    folder, body = platform.state / "models" / name, NAMED if name == "mlflow" else BODY
    folder.mkdir(parents=True)
    model = MODELS[name](folder)
    container = {"image": f"tidegate/{name}", "data": address(model), "environment": TRUST}
    serverless = {"memory": "4GiB", "max_concurrency": 5, "idle_after": "1s"}
    spec = {"endpoint": name, "model": container, "serverless": serverless}
    answer = httpx.put(f"{platform.url}/tidegate/v1/deploy", json={"spec": spec}, timeout=30)
    if answer.is_error:
        raise SystemExit(f"{name}: {answer.text}")
    Scene(platform).settled(name)
    time.sleep(READY)
    cold, cpu, probed, probed_cpu = list[float](), list[float](), list[float](), list[float]()
    for _ in range(starts):
        asleep(platform, name)
        if forget(platform, name):
            probed.append(ask(platform, name, body))
            probed_cpu.append(spent(platform, name))
            asleep(platform, name)
        cold.append(ask(platform, name, body))
        cpu.append(spent(platform, name))
    for line in last_lines(platform, name):
        print(f"{name}: {line}", flush=True)
    fresh = [
        fresh_process(platform.state / "fresh" / name / str(number), model, RuntimeKind(name), body, TRUST)
        for number in range(max(2, starts // 10))
    ]
    ratio = statistics.median(cold) / statistics.median(fresh)
    print(f"{name}: cold start over fresh process, medians: {ratio:.2f}", flush=True)
    Scene(platform).sagemaker.delete_endpoint(EndpointName=name)
    rows = [row(f"{name}, from zero", cold), row(f"{name}, processor time of the instance", cpu)]
    if probed:
        rows.append(row(f"{name}, from zero, probed again", probed))
        rows.append(row(f"{name}, processor time, probed again", probed_cpu))
    return [*rows, row(f"{name}, fresh process", fresh)]


def forget(platform: Platform, name: str) -> bool:
    """Remove what the probes of the model found, if it is kept. The next instance keeps it anew."""
    found = list((platform.state / "fleets" / name).glob("*/AllTraffic/model.rows"))
    for path in found:
        path.unlink()
    return bool(found)


def address(model: Path) -> str:
    """A folder's ends with a slash."""
    return f"file://{model}/" if model.is_dir() else f"file://{model}"


def ask(platform: Platform, name: str, body: bytes) -> float:
    began = time.perf_counter()
    with httpx.Client(timeout=90) as client:
        answer = client.post(f"{platform.url}/endpoints/{name}/invocations", content=body, headers=HEADERS)
    seconds = time.perf_counter() - began
    if answer.is_error:
        raise SystemExit(f"{name}: {answer.text}")
    return seconds


def spent(platform: Platform, name: str) -> float:
    """Processor time in seconds of the instance, from its fork on."""
    [note] = (platform.state / "fleets" / name).glob("*/AllTraffic/replicas/*/process.json")
    times = psutil.Process(json.loads(note.read_text())["pid"]).cpu_times()
    return times.user + times.system


def table() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    random = np.random.default_rng(7)
    rows = random.normal(size=(2000, FEATURES))
    return rows, (rows[:, 0] * rows[:, 1] + rows[:, 2] > 0).astype(np.int64)


def xgboost_model(folder: Path) -> Path:
    rows, labels = table()
    path = folder / "model.ubj"
    xgboost.train({"objective": "binary:logistic", "nthread": 2}, xgboost.DMatrix(rows, labels), 100).save_model(
        path
    )
    return path


def forest() -> object:
    return RandomForestClassifier(100, random_state=7, n_jobs=1).fit(*table())


def sklearn_model(folder: Path) -> Path:
    path = folder / "model.skops"
    skops.io.dump(forest(), path)
    return path


def lightgbm_model(folder: Path) -> Path:
    rows, labels = table()
    path = folder / "model.txt"
    settings = {"objective": "binary", "num_threads": 1, "verbose": -1}
    lightgbm.train(settings, lightgbm.Dataset(rows, labels), 100).save_model(path)
    return path


def network() -> torch.nn.Module:
    torch.manual_seed(7)
    layers = [torch.nn.Linear(FEATURES, 64), torch.nn.ReLU(), torch.nn.Linear(64, 1)]
    return torch.nn.Sequential(*layers).eval()


def pytorch_model(folder: Path) -> Path:
    path = folder / "model.pt"
    torch.jit.save(torch.jit.trace(network(), torch.zeros(2, FEATURES)), path)
    return path


def onnx_model(folder: Path) -> Path:
    """A small network."""
    random = np.random.default_rng(7)
    shapes = {"w": (FEATURES, 64), "v": (64, 1)}
    weights = [numpy_helper.from_array(random.normal(size=s).astype(np.float32), n) for n, s in shapes.items()]
    steps = (("MatMul", ["x", "w"], "h"), ("Relu", ["h"], "r"), ("MatMul", ["r", "v"], "y"))
    nodes = [helper.make_node(kind, given, [made]) for kind, given, made in steps]
    value = helper.make_tensor_value_info
    ends = [value("x", TensorProto.FLOAT, [None, FEATURES])], [value("y", TensorProto.FLOAT, [None, 1])]
    graph = helper.make_graph(nodes, "network", *ends, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def mlflow_model(folder: Path) -> Path:
    """The forest of scikit-learn in MLflow's folder."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.sklearn.save_model(forest(), folder / "model", serialization_format="cloudpickle")
    return folder / "model"


MODELS: dict[str, Callable[[Path], Path]] = {
    "xgboost": xgboost_model,
    "sklearn": sklearn_model,
    "lightgbm": lightgbm_model,
    "onnx": onnx_model,
    "pytorch": pytorch_model,
    "mlflow": mlflow_model,
}


if __name__ == "__main__":
    main()
