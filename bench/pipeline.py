"""Three stages in one process against the same three behind HTTP: ``python -m bench.pipeline [--keep]``.

Scaler (scikit-learn), 200 trees (XGBoost), calibration (scikit-learn), over 30 features. Once as a pipeline of
built-in runtimes, once as a pipeline of three programs in the container contract, each of which is a worker with one
of the same models, so that only the hops differ; and the trees alone, for scale. One row of JSON at a time, closed
loop on one worker's unix socket, no proxy. The rounds take turns; each figure is the median of them. CPU is that of
the worker and all its programs.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import psutil
import skops.io
import uvloop
import xgboost
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import StandardScaler

from bench.tables import show
from bench.worker_http import load, request
from tidegate.domain.fleet import FleetId
from tidegate.serving.contract.catalogue import RuntimeChoice, RuntimeKind
from tidegate.serving.contract.replica_spec import ContainerSpec, ReplicaSpec, Serving, encode

FEATURES = 30
CONNECTIONS = (1, 64)
STAGES = {
    "scaler": (RuntimeKind.SKLEARN, "scaler.skops"),
    "trees": (RuntimeKind.XGBOOST, "model.ubj"),
    "calibration": (RuntimeKind.SKLEARN, "calibration.skops"),
}
START_TIMEOUT = 300.0


def train(folder: Path) -> None:
    random = np.random.default_rng(7)
    rows = random.normal(3, 5, size=(4000, FEATURES))
    labels = (rows[:, 0] * rows[:, 1] + random.normal(size=4000) > 9).astype(int)
    scaler = StandardScaler().fit(rows)
    matrix = xgboost.DMatrix(scaler.transform(rows), labels)
    trees = xgboost.train({"objective": "binary:logistic", "max_depth": 6, "nthread": 1}, matrix, 200)
    calibration = LinearRegression().fit(trees.predict(matrix).reshape(-1, 1), labels)
    skops.io.dump(scaler, folder / "scaler.skops")
    trees.save_model(folder / "model.ubj")
    skops.io.dump(calibration, folder / "calibration.skops")


def replica(folder: Path, socket: str, containers: Sequence[ContainerSpec]) -> Path:
    """The file that a worker is started with."""
    folder.mkdir(parents=True, exist_ok=True)
    spec = ReplicaSpec(
        replica="bench",
        fleet=FleetId("bench", 1, "only"),
        config_name="bench",
        containers=tuple(containers),
        serving=Serving.SERIAL if len(containers) > 1 else Serving.SINGLE,
        socket=socket,
    )
    (folder / "REPLICA.json").write_bytes(encode(spec))
    return folder / "REPLICA.json"


def built_in(folder: Path, data: Path, name: str) -> ContainerSpec:
    kind, file = STAGES[name]
    return ContainerSpec(
        name=name,
        runtime=RuntimeChoice(kind),
        model_dir=str(folder / name),
        data_url=(data / file).as_uri(),
    )


def program(folder: Path, data: Path, name: str) -> ContainerSpec:
    """The same model behind a worker of its own, which listens where the contract says."""
    path = os.environ.get("PYTHONPATH")
    command = (sys.executable, "-m", "bench.pipeline", "--program", name, "--data", str(data))
    root = str(Path(__file__).parents[1])
    environment = {"PYTHONPATH": f"{root}:{path}" if path else root}
    return ContainerSpec(
        name=name,
        runtime=RuntimeChoice(RuntimeKind.PROGRAM, command, environment),
        model_dir=str(folder / name),
    )


def become(name: str, data: Path) -> None:
    """This process is a program of a pipeline: it becomes a worker with one stage."""
    folder = Path(tempfile.mkdtemp(dir=data))
    path = replica(folder, os.environ["TIDEGATE_SOCKET"], [built_in(folder, data, name)])
    os.execv(sys.executable, [sys.executable, "-m", "tidegate.serving", str(path)])


@dataclass
class Side:
    name: str
    socket: str
    worker: subprocess.Popen[bytes]

    @classmethod
    def start(cls, name: str, folder: Path, containers: Sequence[ContainerSpec]) -> "Side":
        socket = str(folder / "bench.sock")
        path = replica(folder, socket, containers)
        with (folder / "log").open("wb") as log:
            worker = subprocess.Popen(
                [sys.executable, "-m", "tidegate.serving", str(path)], stdout=log, stderr=log
            )
        deadline = time.monotonic() + START_TIMEOUT
        while b"on " + socket.encode() not in (folder / "log").read_bytes():
            if worker.poll() is not None or time.monotonic() > deadline:
                raise SystemExit((folder / "log").read_text())
            time.sleep(0.05)
        return cls(name, socket, worker)

    def used(self) -> float:
        """CPU seconds of the worker and its programs."""
        top = psutil.Process(self.worker.pid)
        times = [process.cpu_times() for process in (top, *top.children(recursive=True))]
        return sum(each.user + each.system for each in times)

    def measure(self, content: bytes, connections: int, seconds: float) -> tuple[float, float, float, float]:
        """Requests per second, CPU microseconds per request, p50 and p99 in microseconds."""
        uvloop.run(load(self.socket, content, connections, 0.3))
        before = self.used()
        latencies, failed = uvloop.run(load(self.socket, content, connections, seconds))
        cpu = (self.used() - before) / len(latencies) * 1e6
        if failed:
            raise SystemExit(f"{self.name}: {failed} requests failed")
        p50, p99 = (float(np.percentile(latencies, point)) * 1e6 for point in (50, 99))
        return len(latencies) / seconds, cpu, p50, p99


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="put the table into bench/results.md")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of each of the runs")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--program", choices=STAGES, help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.program:
        become(given.program, given.data)
    with tempfile.TemporaryDirectory(prefix="tg-") as name:
        folder = Path(name)
        train(folder)
        sides: list[Side] = []
        try:
            for title, make, stages in (
                ("three stages, one process", built_in, list(STAGES)),
                ("three stages, three programs over HTTP", program, list(STAGES)),
                ("the trees alone", built_in, ["trees"]),
            ):
                own = folder / str(len(sides))
                own.mkdir()
                sides.append(Side.start(title, own, [make(own, folder, stage) for stage in stages]))
            rows = compare(sides, given.rounds, given.seconds)
        finally:
            for side in sides:
                side.worker.terminate()
            for side in sides:
                side.worker.wait(timeout=30)
    header = ("connections", "side", "requests/s", "CPU µs a request", "p50 µs", "p99 µs")
    show("pipeline", "A pipeline in one process against HTTP between its stages", header, rows, keep=given.keep)


def compare(sides: Sequence[Side], rounds: int, seconds: float) -> list[list[object]]:
    row = [round(value, 4) for value in np.random.default_rng(1).normal(3, 5, size=FEATURES).tolist()]
    content = request("application/json", msgspec.json.encode({"instances": [row]}))
    table: list[list[object]] = []
    for connections in CONNECTIONS:
        found: dict[str, list[tuple[float, float, float, float]]] = {side.name: [] for side in sides}
        for _ in range(rounds):
            for side in sides:
                found[side.name].append(side.measure(content, connections, seconds))
        medians = {
            name: [statistics.median(values) for values in zip(*runs, strict=True)] for name, runs in found.items()
        }
        for name, (rate, cpu, p50, p99) in medians.items():
            table.append([connections, name, f"{rate:.0f}", f"{cpu:.0f}", f"{p50:.0f}", f"{p99:.0f}"])
        inside, outside = (medians[side.name] for side in sides[:2])
        ratios = [f"{a / b:.2f}" for a, b in zip(inside, outside, strict=True)]
        table.append([connections, "one process / programs", *ratios])
    return table


if __name__ == "__main__":
    main()
