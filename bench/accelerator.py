"""What a device brings: rows per second of a worker on it, of the same on processors, of the library alone.

``python -m bench.accelerator [--runtime pytorch] [--rows 64] [--seconds 3] [--pretend]``. The three sides take turns
with the same model: a network of two layers (PyTorch, ONNX Runtime) or 500 trees (XGBoost). The worker is asked over
its unix socket, by 16 connections that send arrays of ``--rows`` rows again as soon as they have the answer. The
library alone is a loop in this process, a call for each such array, without HTTP; the worker should reach 0.9 of
that.

Without a device it says so and measures nothing. ``--pretend`` takes the processor for the device, to try this
program itself: its figures say nothing of any GPU.
"""

import argparse
import io
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import uvloop

from bench.worker_http import load, start_worker
from tidegate.domain.fleet import FleetId
from tidegate.host import nvidia
from tidegate.serving.contract.catalogue import RuntimeChoice, RuntimeKind
from tidegate.serving.contract.replica_spec import ContainerSpec, ReplicaSpec
from tidegate.serving.runtimes import device_library

FEATURES = 64
WIDE = 2048
TREES = 500
CONNECTIONS = 16
WANTED = 0.9
WARM = 0.5
"""Seconds of each run before it counts."""
PRETEND = (
    "from bench.accelerator import pretend; pretend(%r); import sys; from tidegate.serving.__main__ import main"
)
"""What a worker runs first to take the processor for its device."""

Alone = Callable[[Any], Any]


def make_pytorch(folder: Path) -> Callable[[str], Alone]:
    """Save a model, and return what loads it by the library alone, for a device."""
    import torch  # noqa: PLC0415  # of the runtime that is measured only

    torch.manual_seed(0)
    layers = torch.nn.Linear(FEATURES, WIDE), torch.nn.ReLU(), torch.nn.Linear(WIDE, WIDE), torch.nn.ReLU()
    model = torch.nn.Sequential(*layers, torch.nn.Linear(WIDE, 1)).eval()
    torch.jit.script(model).save(folder / "model.pt")

    def alone(device: str) -> Alone:
        torch.set_num_threads(1)
        moved = torch.jit.load(str(folder / "model.pt"), map_location=device)

        def run(rows: Any) -> Any:
            with torch.inference_mode():
                return moved(torch.from_numpy(rows).to(device)).cpu().numpy()

        return run

    return alone


def make_onnx(folder: Path) -> Callable[[str], Alone]:
    import onnx  # noqa: PLC0415  # of the runtime that is measured only
    import onnxruntime  # noqa: PLC0415
    from onnx import TensorProto, helper  # noqa: PLC0415

    random = np.random.default_rng(0)
    shapes = {"a": (FEATURES, WIDE), "b": (WIDE, WIDE), "c": (WIDE, 1)}
    weights = [
        onnx.numpy_helper.from_array((random.normal(size=shape) / shape[0] ** 0.5).astype(np.float32), name)
        for name, shape in shapes.items()
    ]
    steps = [
        ("MatMul", ["x", "a"]),
        ("Relu", ["0"]),
        ("MatMul", ["1", "b"]),
        ("Relu", ["2"]),
        ("MatMul", ["3", "c"]),
    ]
    nodes = [helper.make_node(kind, given, [str(number)]) for number, (kind, given) in enumerate(steps)]
    taken = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, FEATURES])
    given = helper.make_tensor_value_info("4", TensorProto.FLOAT, [None, 1])
    graph = helper.make_graph(nodes, "network", [taken], [given], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "model.onnx")

    def alone(provider: str) -> Alone:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=[provider])
        return lambda rows: session.run(None, {"x": rows})[0]

    return alone


def make_xgboost(folder: Path) -> Callable[[str], Alone]:
    import xgboost  # noqa: PLC0415  # of the runtime that is measured only

    random = np.random.default_rng(0)
    rows = random.normal(size=(4000, FEATURES)).astype(np.float32)
    labels = rows[:, 0] * rows[:, 1] + random.normal(size=4000) > 0
    settings = {"objective": "binary:logistic", "max_depth": 6, "nthread": 1}
    xgboost.train(settings, xgboost.DMatrix(rows, labels), TREES).save_model(folder / "model.ubj")

    def alone(device: str) -> Alone:
        booster = xgboost.Booster({"device": device, "nthread": 1}, model_file=folder / "model.ubj")
        return lambda given: booster.predict(xgboost.DMatrix(given, nthread=1))

    return alone


MAKERS = {
    RuntimeKind.PYTORCH: make_pytorch,
    RuntimeKind.ONNX: make_onnx,
    RuntimeKind.XGBOOST: make_xgboost,
}


def pretend(runtime: str) -> None:
    """Take the processor for the device, in this process."""
    library: Any = device_library(RuntimeKind(runtime))
    if hasattr(library, "provider"):
        library.provider = "CPUExecutionProvider"
    else:
        library.name = "cpu"


@contextmanager
def worker(folder: Path, kind: RuntimeKind, devices: tuple[str, ...], pretended_device: bool) -> Iterator[str]:
    """The socket of a worker with the model of ``folder``. Its log is in a folder beside the model."""
    place = folder / ("device" if devices else "cpu")
    place.mkdir()
    [model] = (folder / "model").iterdir()
    runtime = RuntimeChoice(kind)
    container = ContainerSpec(runtime=runtime, model_dir=str(place / "model"), data_url=model.as_uri())
    spec = ReplicaSpec(
        replica="bench",
        fleet=FleetId("bench", 1, "only"),
        config_name="bench",
        containers=(container,),
        socket=str(place / "bench.sock"),
        devices=devices,
        needs_device=bool(devices),
    )
    pretended = ("-c", f"{PRETEND % str(kind)}; main(sys.argv[1:])")
    program = pretended if pretended_device and devices else ("-m", "tidegate.serving")
    process = start_worker(place, spec, program)
    try:
        yield spec.socket
    finally:
        process.terminate()
        process.wait(timeout=30)


def ask(socket: str, rows: Any, seconds: float) -> float:
    """Rows per second of a worker."""
    body = io.BytesIO()
    np.save(body, rows)
    kind = "application/x-npy"
    head = (
        f"POST /endpoints/bench/invocations HTTP/1.1\r\nhost: bench\r\ncontent-type: {kind}\r\naccept: {kind}\r\n"
    )
    request = f"{head}content-length: {len(body.getvalue())}\r\n\r\n".encode() + body.getvalue()
    uvloop.run(load(socket, request, CONNECTIONS, WARM))
    latencies, failed = uvloop.run(load(socket, request, CONNECTIONS, seconds))
    if failed:
        raise SystemExit(f"{failed} of {len(latencies)} requests failed")
    return len(latencies) * len(rows) / seconds


def repeat(run: Alone, rows: Any, seconds: float) -> float:
    """Rows per second of a function."""
    calls, until = 0, time.perf_counter() + WARM
    while time.perf_counter() < until:
        run(rows)
    began = time.perf_counter()
    while (now := time.perf_counter()) < began + seconds:
        run(rows)
        calls += 1
    return calls * len(rows) / (now - began)


def measure(kind: RuntimeKind, devices: tuple[str, ...], rows: int, seconds: float, pretended: bool) -> None:
    given = np.random.default_rng(1).normal(size=(rows, FEATURES)).astype(np.float32)
    with tempfile.TemporaryDirectory(prefix="tg-") as name:
        folder = Path(name)
        (folder / "model").mkdir()
        alone = MAKERS[kind](folder / "model")
        library: Any = device_library(kind)
        device = getattr(library, "provider", "") or library.name
        with worker(folder, kind, devices, pretended) as there, worker(folder, kind, (), pretended) as here:
            found = {
                "worker on the device": ask(there, given, seconds),
                "worker on the processor": ask(here, given, seconds),
            }
            report = next(line for line in (folder / "device" / "log").read_text().splitlines() if ": on " in line)
        found["library alone on the device"] = repeat(alone(device), given, seconds)
    print(report)
    ours, cpu, theirs = found.values()
    for side, rate in found.items():
        print(f"{side:30}{rate:14,.0f} rows/s")
    verdict = "reached" if ours >= WANTED * theirs else "missed"
    print(f"{ours / cpu:.2f}x of the processor")
    print(f"{ours / theirs:.2f}x of the library alone (wanted: {WANTED}, {verdict})")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runtime", choices=[str(kind) for kind in MAKERS], default="pytorch")
    parser.add_argument("--rows", type=int, default=64, help="rows of a request")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of each run")
    parser.add_argument("--pretend", action="store_true", help="take the processor for a device")
    given = parser.parse_args(arguments)
    kind = RuntimeKind(given.runtime)
    there = [one.name for one in nvidia.find_devices()]
    if given.pretend:
        pretend(given.runtime)
        print("the device is pretended: it is the processor, and the figures say nothing of any GPU")
        there = ["pretended"]
    missing = device_library(kind).missing()
    if not there or missing:
        print(f"no device here: {missing or 'NVML and the driver list none'}; nothing was measured")
        return
    if not given.pretend:
        os.environ["CUDA_VISIBLE_DEVICES"] = there[0]
    measure(kind, (there[0],), given.rows, given.seconds, given.pretend)


if __name__ == "__main__":
    main()
