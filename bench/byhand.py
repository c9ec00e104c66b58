"""Gateway and worker against FastAPI + uvicorn by hand: one model, one load generator, one run.

    python -m bench.byhand [--seconds 10] [--rounds 3] [--keep]

Both sides run two processes that hold the model. CPU is that of the whole process tree (proxy and controller
included), read from the operating system before and after each round; rounds alternate between the sides. Saturation
is driven by wrk (Debian's package), since a load generator in Python would be the bottleneck.
"""

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx
import psutil

from bench import tables
from tidegate.load import LoadGenerator
from tidegate.testing.platform import Platform, free_port, until
from tidegate.testing.scene import Scene, train

BODY = json.dumps({"instances": [[0.1] * 30]}).encode()
HEADERS = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Side:
    name: str
    url: str
    path: str
    processes: Callable[[], list[psutil.Process]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", action="store_true", help="write the table to docs/benchmarks.md")
    given = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("bench.byhand needs wrk: apt-get install wrk")
    rows: list[list[object]] = []
    with ours() as tidegate, byhand(tidegate.model) as fastapi:
        for rate, connections, label in ((300.0, 16, "300 requests/s"), (None, 64, "saturation, 64 connections")):
            rounds = [
                [measure(side, rate, connections, given.seconds) for side in (tidegate.side, fastapi)]
                for _ in range(given.rounds)
            ]
            rows += compare(label, rounds)
    header = ["load", "side", "requests/s", "CPU µs a request", "p50 ms", "p99 ms", "failed"]
    tables.show("byhand", "Against FastAPI by hand", header, rows, keep=given.keep)


@dataclass(frozen=True)
class Ours:
    side: Side
    model: Path


@contextlib.contextmanager
def ours() -> Iterator[Ours]:
    with Platform() as platform:
        scene = Scene(platform)
        archive = Path(unquote(urlsplit(train(platform.state / "models", 1, trees=200)).path))
        with tarfile.open(archive) as packed:
            packed.extract("model.ubj", archive.parent, filter="data")
        variant = {"RoutingConfig": {"RoutingStrategy": "LEAST_OUTSTANDING_REQUESTS"}}
        scene.create("bench", scene.config(archive.as_uri(), instances=2, variant=variant))
        side = Side("tidegate", platform.url, "/endpoints/bench/invocations", platform.processes)
        yield Ours(side, archive.parent / "model.ubj")


@contextlib.contextmanager
def byhand(model: Path) -> Iterator[Side]:
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "bench.fastapi_server:app", "--workers", "2", "--port", str(port)]
    environment = {**os.environ, "MODEL": str(model), "OMP_NUM_THREADS": "1"}
    server = subprocess.Popen([*command, "--no-access-log", "--log-level", "error"], env=environment)
    tree = psutil.Process(server.pid)
    try:
        url = f"http://127.0.0.1:{port}"

        def answers() -> bool:
            with contextlib.suppress(httpx.HTTPError):
                return httpx.get(f"{url}/ping").status_code == 200
            return False

        until(answers, "FastAPI answers")
        time.sleep(1)
        yield Side("FastAPI by hand", url, "/invocations", lambda: [tree, *tree.children(recursive=True)])
    finally:
        for process in tree.children(recursive=True):
            process.terminate()
        server.terminate()
        server.wait()


def measure(side: Side, rate: float | None, connections: int, seconds: float) -> list[float]:
    """requests/s, CPU µs a request, p50 ms, p99 ms, failed: of one round after a short warm-up."""
    if rate is None:
        return saturate(side, connections, seconds)
    with LoadGenerator(side.url, side.path, BODY, HEADERS, rate, connections=connections):
        time.sleep(1)
    before, began = cpu(side), time.monotonic()
    with LoadGenerator(side.url, side.path, BODY, HEADERS, rate, connections=connections) as load:
        time.sleep(seconds)
        report = load.stop()
    used, took = cpu(side) - before, time.monotonic() - began
    total = report.total
    p50, p99 = total.percentile(50) or 0.0, total.percentile(99) or 0.0
    return [total.count / took, used / max(1, total.count) * 1e6, p50 * 1000, p99 * 1000, float(total.failed)]


def saturate(side: Side, connections: int, seconds: float) -> list[float]:
    """The same from wrk."""
    script = ["wrk.method = 'POST'", f"wrk.body = '{BODY.decode()}'"]
    script += [f"wrk.headers['{name}'] = '{value}'" for name, value in HEADERS.items()]
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write("\n".join(script))
        file.flush()
        command = ["wrk", "-t1", f"-c{connections}", "--latency", "-s", file.name]
        subprocess.run([*command, "-d1s", side.url + side.path], capture_output=True, check=True)
        before = cpu(side)
        done = subprocess.run(
            [*command, f"-d{seconds:.0f}s", side.url + side.path], capture_output=True, text=True, check=True
        )
    used = cpu(side) - before
    count = int(found(r"(\d+) requests in", done.stdout))
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", done.stdout)
    p50, p99 = (milliseconds(found(rf"\n\s+{percent}%\s+(\S+)", done.stdout)) for percent in (50, 99))
    rate = float(found(r"Requests/sec:\s+(\S+)", done.stdout))
    return [rate, used / max(1, count) * 1e6, p50, p99, float(bad.group(1)) if bad else 0.0]


def found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    assert match, f"wrk said something else: {text}"
    return match.group(1)


def milliseconds(text: str) -> float:
    """wrk's 812.00us, 1.52ms, 1.10s."""
    for unit, factor in (("us", 0.001), ("ms", 1.0), ("s", 1000.0)):
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * factor
    raise ValueError(text)


def cpu(side: Side) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in side.processes())


def compare(label: str, rounds: list[list[list[float]]]) -> list[list[object]]:
    """Medians of each side, and the median of the ratios taken round by round."""
    sides = [[tables.percentile([pair[side][i] for pair in rounds], 50) for i in range(5)] for side in (0, 1)]
    ratios = [tables.percentile([a[i] / max(b[i], 1e-9) for a, b in rounds], 50) for i in range(4)]
    rows: list[list[object]] = []
    for name, values in zip(("tidegate", "FastAPI by hand"), sides, strict=True):
        rows.append(
            [
                label,
                name,
                f"{values[0]:.0f}",
                f"{values[1]:.0f}",
                *(f"{v:.2f}" for v in values[2:4]),
                int(values[4]),
            ]
        )
    rows.append([label, "ratio", *(f"{ratio:.2f}" for ratio in ratios), ""])
    return rows


if __name__ == "__main__":
    main()
