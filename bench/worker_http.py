"""What one worker costs: requests per second and CPU microseconds per request on its unix socket.

``python -m bench.worker_http [--seconds 3] [--runtime library]``. A real worker process with a model of 200 trees
over 30 features, a closed loop of keep-alive connections from this process, JSON and CSV, batching on. The CPU
figure is the worker's own (user and system), so it carries over to other machines better than the rate, which the
client shares.
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import msgspec
import numpy as np
import psutil
import uvloop
import xgboost

from tidegate.domain.fleet import FleetId
from tidegate.serving.contract.catalogue import RuntimeChoice, RuntimeKind
from tidegate.serving.contract.replica_spec import ContainerSpec, ReplicaSpec, encode

FEATURES = 30
CONNECTIONS = (1, 16, 64)
WITHOUT_ONNX = (
    "import sys; sys.modules['onnxruntime'] = None; from tidegate.serving.__main__ import main; main(sys.argv[1:])"
)
RUNTIMES = {"onnxruntime": ("-m", "tidegate.serving"), "library": ("-c", WITHOUT_ONNX)}
"""What evaluates the trees -> how the worker is started: with its fast path, or as where the extra is missing."""


class Client(asyncio.Protocol):
    """Sends the same request again as soon as its answer is whole."""

    def __init__(self, request: bytes, until: float, latencies: list[float]) -> None:
        self.request = request
        self.until = until
        self.latencies = latencies
        self.failed = 0
        self.done = asyncio.get_running_loop().create_future()
        self.sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.send()

    def send(self) -> None:
        self.sent = time.perf_counter()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        """Answers here are small enough to come in one piece."""
        now = time.perf_counter()
        self.latencies.append(now - self.sent)
        self.failed += not data.startswith(b"HTTP/1.1 200")
        if now < self.until:
            self.send()
        elif not self.done.done():
            self.done.set_result(None)
            self.transport.close()


def request(content_type: str, body: bytes) -> bytes:
    head = f"POST /endpoints/bench/invocations HTTP/1.1\r\nhost: bench\r\ncontent-type: {content_type}\r\n"
    return f"{head}accept: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


async def load(socket: str, content: bytes, connections: int, seconds: float) -> tuple[list[float], int]:
    loop = asyncio.get_running_loop()
    latencies: list[float] = []
    until = time.perf_counter() + seconds
    made = [
        await loop.create_unix_connection(lambda: Client(content, until, latencies), socket)
        for _ in range(connections)
    ]
    await asyncio.gather(*(client.done for _, client in made))
    return latencies, sum(client.failed for _, client in made)


def start(folder: Path, runtime: str) -> tuple[subprocess.Popen[bytes], str]:
    random = np.random.default_rng(7)
    rows = random.normal(size=(4000, FEATURES)).astype(np.float32)
    labels = (rows[:, 0] * rows[:, 1] + random.normal(size=4000) > 0).astype(int)
    settings = {"objective": "binary:logistic", "max_depth": 6, "nthread": 1}
    xgboost.train(settings, xgboost.DMatrix(rows, labels), 200).save_model(folder / "model.ubj")
    container = ContainerSpec(
        runtime=RuntimeChoice(RuntimeKind.XGBOOST),
        model_dir=str(folder / "model"),
        data_url=(folder / "model.ubj").as_uri(),
    )
    spec = ReplicaSpec(
        replica="bench",
        fleet=FleetId("bench", 1, "only"),
        config_name="bench",
        containers=(container,),
        socket=str(folder / "bench.sock"),
    )
    return start_worker(folder, spec, RUNTIMES[runtime]), spec.socket


def start_worker(folder: Path, spec: ReplicaSpec, program: Sequence[str], *more: str) -> subprocess.Popen[bytes]:
    """The worker of ``spec``, once it is ready. ``program``: what Python runs, before the file of the replica and
    ``more``."""
    (folder / "REPLICA.json").write_bytes(encode(spec))
    command = [sys.executable, *program, str(folder / "REPLICA.json"), *more]
    with (folder / "log").open("wb") as log:
        worker = subprocess.Popen(command, stdout=log, stderr=log)
    deadline = time.monotonic() + 60
    while b"ready" not in (folder / "log").read_bytes():
        if worker.poll() is not None or time.monotonic() > deadline:
            raise SystemExit((folder / "log").read_text())
        time.sleep(0.05)
    return worker


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of each of the runs")
    parser.add_argument("--runtime", choices=RUNTIMES, default="onnxruntime", help="what evaluates the trees")
    arguments = parser.parse_args()
    seconds = arguments.seconds
    row = [round(value, 4) for value in np.random.default_rng(1).normal(size=FEATURES).tolist()]
    bodies = {
        "application/json": msgspec.json.encode({"instances": [row]}),
        "text/csv": ",".join(map(str, row)).encode(),
    }
    with tempfile.TemporaryDirectory(prefix="tidegate-") as name:
        worker, socket = start(Path(name), arguments.runtime)
        try:
            print(f"{'body':18}{'connections':>12}{'requests/s':>12}{'CPU us/req':>12}{'p50 us':>9}{'p99 us':>9}")
            for content_type, body in bodies.items():
                for connections in CONNECTIONS:
                    measure(worker.pid, socket, request(content_type, body), (content_type, connections, seconds))
        finally:
            worker.terminate()
            worker.wait(timeout=30)


def measure(pid: int, socket: str, content: bytes, run: tuple[str, int, float]) -> None:
    content_type, connections, seconds = run
    uvloop.run(load(socket, content, connections, 0.3))
    before = psutil.Process(pid).cpu_times()
    latencies, failed = uvloop.run(load(socket, content, connections, seconds))
    after = psutil.Process(pid).cpu_times()
    used = (after.user + after.system - before.user - before.system) / len(latencies) * 1e6
    p50, p99 = (np.percentile(latencies, point) * 1e6 for point in (50, 99))
    rate = len(latencies) / seconds
    print(f"{content_type:18}{connections:12}{rate:12.0f}{used:12.1f}{p50:9.0f}{p99:9.0f}")
    if failed:
        raise SystemExit(f"{failed} requests failed")


if __name__ == "__main__":
    main()
