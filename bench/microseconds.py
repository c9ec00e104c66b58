"""Where the microseconds of a prediction go: by process on the whole path, and by step inside a worker.

    python -m bench.microseconds [--seconds 5] [--keep]

By process: CPU time (user and kernel) per request of proxy, workers and controller, at saturation with 64 connections
and at 300 requests/s, read from the operating system. By step: the same code that a worker runs, called in this
process without sockets, the best of many repeats; one request alone, and 16 that came together.
"""

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil
import uvloop

from bench import tables
from bench.sides import BODY, Ours, measure, ours
from tidegate.domain.fleet import FleetId
from tidegate.serving.contract.catalogue import RuntimeChoice, RuntimeKind
from tidegate.serving.contract.invocation import Answer, Call
from tidegate.serving.contract.replica_spec import ContainerSpec, ReplicaSpec
from tidegate.serving.front.connection import Connection
from tidegate.serving.front.header_cache import HeaderCache
from tidegate.serving.front.request_stats import RequestStats
from tidegate.serving.front.responses import Responses
from tidegate.serving.front.server import Server
from tidegate.serving.runtimes import load
from tidegate.serving.runtimes.tabular_scorer import TabularScorer
from tidegate.serving.scoring.batching import Batcher

REPEATS = 60
CALLS = 200
TOGETHER = 16
HEAD = (
    b"POST /endpoints/bench/invocations HTTP/1.1\r\nhost: 127.0.0.1:8080\r\ncontent-type: application/json\r\n"
    b"content-length: %d\r\nx-tidegate-start: %d\r\n\r\n"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--keep", action="store_true", help="write the table to bench/results.md")
    given = parser.parse_args()
    with ours() as tidegate:
        rows = [*by_process(tidegate, given.seconds), *uvloop.run(by_step(tidegate.model))]
    tables.show("microseconds", "Where the microseconds go", ["", "part", "µs a request"], rows, keep=given.keep)


# --- by process ---


def by_process(tidegate: Ours, seconds: float) -> list[list[object]]:
    rows: list[list[object]] = []
    for label, rate, connections in (("saturation, 64 connections", None, 64), ("300 requests/s", 300.0, 16)):
        before = spent(tidegate)
        began = time.monotonic()
        result = measure(tidegate.side, rate, connections, seconds)
        took = time.monotonic() - began
        after = spent(tidegate)
        count = result[0] * (seconds + 1)  # with the warm-up
        for part, (user, kernel) in after.items():
            was = before.get(part, (0.0, 0.0))
            used = [(now - then) / count * 1e6 for now, then in zip((user, kernel), was, strict=True)]
            rows.append([label, f"{part}: own code / kernel", f"{used[0]:.1f} / {used[1]:.1f}"])
        rows.append([label, "requests/s", f"{result[0]:.0f} over {took:.0f} s"])
    return rows


def spent(tidegate: Ours) -> dict[str, tuple[float, float]]:
    """Seconds of CPU by part of the platform."""
    found: dict[str, tuple[float, float]] = {}
    for process in tidegate.side.processes():
        try:
            command, times = " ".join(process.cmdline()), process.cpu_times()
        except psutil.Error:
            continue
        part = "proxy" if "haproxy" in command else "workers" if "tidegate.serving" in command else "controller"
        user, kernel = found.get(part, (0.0, 0.0))
        found[part] = user + times.user, kernel + times.system
    return found


# --- by step ---


class Sink:
    """A transport (a stand-in for the socket's) that takes everything."""

    def write(self, data: bytes) -> None: ...

    def close(self) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0


async def by_step(model: Path) -> list[list[object]]:
    container = ContainerSpec(runtime=RuntimeChoice(RuntimeKind.XGBOOST), model_dir=str(model.parent))
    spec = ReplicaSpec(
        replica="bench",
        fleet=FleetId("bench", 1, "AllTraffic"),
        config_name="bench",
        containers=(container,),
        socket="unused",
    )
    request = HEAD % (len(BODY), time.time_ns() // 1000) + BODY
    scorer = load(RuntimeKind.XGBOOST, model.parent, {})
    assert isinstance(scorer, TabularScorer)
    call = Call(BODY, {b"content-type": b"application/json"})
    parsed = scorer.parse(call)
    [scores] = scorer.score([parsed])
    answer = scorer.render(scores, call)
    assert isinstance(answer, Answer)
    heads, responses, stats = HeaderCache((b"/endpoints/fraud/invocations",)), Responses(spec), RequestStats()
    steps: dict[str, tuple[Callable[[], object], int]] = {
        "head, looked up": (lambda: heads.find(request), 1),
        "JSON to float32": (lambda: scorer.parse(call), 1),
        "scoring, alone": (lambda: scorer.score([parsed]), 1),
        f"scoring, {TOGETHER} together": (lambda: scorer.score([parsed] * TOGETHER), TOGETHER),
        "answer to JSON": (lambda: scorer.render(scores, call), 1),
        "response bytes": (lambda: responses.success(answer, False), 1),
        "counting, with its share of folding": (lambda: stats.count(time.time_ns() // 1000, 200, 900, 40), 1),
    }
    rows: list[list[object]] = [["a worker's step", name, f"{best(*step):.1f}"] for name, step in steps.items()]
    for number in (1, TOGETHER):
        whole = await whole_path(spec, scorer, request, number)
        rows.append(["a worker's step", f"all of it without sockets, {number} together", f"{whole:.1f}"])
    return rows


def best(work: Callable[[], object], per_call: int) -> float:
    """Microseconds of the quickest repeat."""
    quickest = float("inf")
    for _ in range(REPEATS):
        began = time.process_time()
        for _ in range(CALLS):
            work()
        quickest = min(quickest, time.process_time() - began)
    return quickest / CALLS / per_call * 1e6


async def whole_path(spec: ReplicaSpec, scorer: object, request: bytes, number: int) -> float:
    """From the bytes of a request to those of its response, the event loop included."""
    server = Server(spec, Path(spec.socket).parent)
    server.engine = Batcher(scorer, asyncio.get_running_loop())  # type: ignore[arg-type]
    connections = [Connection(server) for _ in range(number)]
    for connection in connections:
        connection.connection_made(Sink())  # type: ignore[arg-type]

    async def turn() -> None:
        for connection in connections:
            connection.data_received(request)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    return await quickest_turn(turn) / number


async def quickest_turn(turn: Callable[[], Awaitable[None]]) -> float:
    quickest = float("inf")
    for _ in range(REPEATS):
        began = time.process_time()
        for _ in range(CALLS):
            await turn()
        quickest = min(quickest, time.process_time() - began)
    return quickest / CALLS * 1e6


if __name__ == "__main__":
    main()
