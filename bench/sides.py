"""What the comparisons share: tidegate with one model on two instances, a load, and the CPU of a process tree.

CPU is that of everything a side runs, read from the operating system before and after each round. Saturation is
driven by wrk (Debian's package), since a load generator in Python would be the bottleneck.
"""

import argparse
import contextlib
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import psutil

from bench import tables
from tests.scene import Scene, train
from tidegate.host.platform import Platform
from tidegate.load import FailedRequest, LoadGenerator

ROW = [0.1] * 30
BODY = json.dumps({"instances": [ROW]}).encode()
HEADERS = {"Content-Type": "application/json"}
LOADS: tuple[tuple[float | None, int, str], ...] = (
    (300.0, 16, "300 requests/s"),
    (None, 64, "saturation, 64 connections"),
)
"""(requests/s of the open loop or None for as many as go, connections, what the table calls it)."""

Round = list[float]
"""requests/s, CPU µs a request, p50 ms, p99 ms, failed."""
_NUMBERED = re.compile(r" \(request \d+ on its connection\)")


def parse_arguments(name: str, doc: str) -> argparse.Namespace:
    """Of a comparison that saturates its sides: ``seconds`` of a round, ``rounds``, ``keep``. Ends without wrk."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", action="store_true", help="write the table to bench/results.md")
    given = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit(f"bench.{name} needs wrk: apt-get install wrk")
    return given


@dataclass(frozen=True)
class Side:
    name: str
    url: str
    path: str
    processes: Callable[[], list[psutil.Process]]
    body: bytes = BODY


@dataclass(frozen=True)
class Ours:
    side: Side
    model: Path


@contextlib.contextmanager
def ours() -> Iterator[Ours]:
    """tidegate with an endpoint of two instances, and the model file that they hold."""
    with Platform() as platform:
        scene = Scene(platform)
        archive, model = make_model(platform.state / "models")
        variant = {"RoutingConfig": {"RoutingStrategy": "LEAST_OUTSTANDING_REQUESTS"}}
        scene.create("bench", scene.config(archive.as_uri(), instances=2, variant=variant))
        side = Side("tidegate", platform.url, "/endpoints/bench/invocations", platform.processes)
        yield Ours(side, model)


def make_model(folder: Path) -> tuple[Path, Path]:
    """Train the model of the comparisons; returns its archive and the model file in it, unpacked beside it."""
    archive = Path(unquote(urlsplit(train(folder, 1, trees=200)).path))
    with tarfile.open(archive) as packed:
        packed.extract("model.ubj", archive.parent, filter="data")
    return archive, archive.parent / "model.ubj"


def measure(side: Side, rate: float | None, connections: int, seconds: float) -> Round:
    """One round after a warm-up of a second."""
    if rate is None:
        return saturate(side, connections, seconds)
    with LoadGenerator(side.url, side.path, side.body, HEADERS, rate, connections=connections):
        time.sleep(1)
    before, began = cpu(side), time.monotonic()
    with LoadGenerator(side.url, side.path, side.body, HEADERS, rate, connections=connections) as load:
        time.sleep(seconds)
        report = load.stop()
    used, took = used_since(before, side), time.monotonic() - began
    tell(side, reasons(report.failures))
    total = report.total
    p50, p99 = total.percentile(50) or 0.0, total.percentile(99) or 0.0
    return [total.count / took, used / max(1, total.count) * 1e6, p50 * 1000, p99 * 1000, float(total.failed)]


def saturate(side: Side, connections: int, seconds: float) -> Round:
    """The same from wrk."""
    script = ["wrk.method = 'POST'", f"wrk.body = '{side.body.decode()}'"]
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
    used = used_since(before, side)
    tell(side, re.findall(r"Non-2xx.*|Socket errors.*", done.stdout))
    count = int(found(r"(\d+) requests in", done.stdout))
    p50, p99 = (milliseconds(found(rf"\n\s+{percent}%\s+(\S+)", done.stdout)) for percent in (50, 99))
    rate = float(found(r"Requests/sec:\s+(\S+)", done.stdout))
    return [rate, used / max(1, count) * 1e6, p50, p99, float(failures(done.stdout))]


def tell(side: Side, lines: Sequence[str]) -> None:
    """Print why requests of a round failed: the table has their number alone, and the logs are gone after the run."""
    for line in lines:
        print(f"{side.name}: {line}", file=sys.stderr, flush=True)


def reasons(failed: Sequence[FailedRequest]) -> list[str]:
    """How often what happened, the most frequent first. A request that was never sent is no server's failure: on a
    machine that is too busy, ``connections`` answers at a time are fewer a second than the rate."""
    seen = Counter(f"{one.status}: {_NUMBERED.sub('', one.message)[:200]}" for one in failed)
    return [f"{count} failed, {why}" for why, count in seen.most_common()]


def failures(said: str) -> int:
    """Answers that were no success, and connections that broke or timed out."""
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    broken = re.search(r"Socket errors: (.*)", said)
    return (int(bad.group(1)) if bad else 0) + sum(map(int, re.findall(r"\d+", broken.group(1) if broken else "")))


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


def cpu(side: Side) -> dict[psutil.Process, float]:
    """CPU seconds of each process of the side so far."""
    seconds = {}
    for process in side.processes():
        with contextlib.suppress(OSError):
            seconds[process] = time.clock_gettime(cpu_clock(process.pid))
    return seconds


def cpu_clock(pid: int) -> int:
    """The kernel's clock of a process's CPU time, as clock_getcpuclockid makes it: in nanoseconds, where /proc has
    hundredths of a second."""
    return (~pid << 3) | 2


def used_since(before: dict[psutil.Process, float], side: Side) -> float:
    """CPU seconds since ``before``; what ended meanwhile is not counted, what began is."""
    return sum(seconds - before.get(process, 0.0) for process, seconds in cpu(side).items())


def medians(rounds: Sequence[Round]) -> Round:
    """Of each figure the median; of what failed the sum."""
    middle = [tables.percentile([each[i] for each in rounds], 50) for i in range(4)]
    return [*middle, sum(each[4] for each in rounds)]


def ratios(ours: Sequence[Round], theirs: Sequence[Round]) -> list[float]:
    """The median of the ratios taken round by round, of the first four figures."""
    pairs = list(zip(ours, theirs, strict=True))
    return [tables.percentile([a[i] / max(b[i], 1e-9) for a, b in pairs], 50) for i in range(4)]
