"""What the slowest hundredth of the requests to many models waits for: one worker, looked into.

    python -m bench.tail [--models 3000] [--seconds 20] [--rounds 3] [--folder FOLDER] [--keep]

Two real worker processes with a probe in them (``bench.tail_probe``), asked on their own sockets 250 times a second,
as one of two workers is at 500: in turns the worker of a dedicated endpoint, that of many models for one of them, and
the same for all by Zipf's law. The requests look as the proxy passes them on. Statistics are read each second, as the
controller does. With ``--folder`` the models are made once and kept.
"""

import argparse
import asyncio
import itertools
import math
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import msgspec
import numpy as np
import psutil
import uvloop

from bench import clients, tables
from bench.tail_probe import Noted, Notes, Span
from bench.worker_http import start_worker
from tidegate.domain.fleet import FleetId
from tidegate.serving.contract.catalogue import RuntimeChoice, RuntimeKind
from tidegate.serving.contract.replica_spec import ContainerSpec, ReplicaSpec, Serving
from tidegate.targets.collection.worker_http import get

RATE = 250.0
CONNECTIONS = 16
ROW = ",".join(["0.25"] * (clients.FEATURES - 1))
NEAR = 0.0005
"""Seconds: how long before a request is sent other work may have ended that it still waited for."""


@dataclass
class Sent:
    body: str
    sent: float
    received: float = 0.0

    @property
    def took(self) -> float:
        return self.received - self.sent


class Client(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, free: list["Client"]) -> None:
        self.free = free
        self.current: Sent | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def ask(self, request: bytes, sent: Sent) -> None:
        self.current = sent
        sent.sent = time.monotonic()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        assert self.current is not None and data.startswith(b"HTTP/1.1 200"), data
        self.current.received = time.monotonic()
        self.free.append(self)


async def drive(socket: str, targets: Iterator[str], rate: float, seconds: float, mark: str) -> list[Sent]:
    """An open loop at random times; ``mark`` begins each body, so that it can be found in the notes. An empty target
    names no model."""
    loop, random = asyncio.get_running_loop(), np.random.default_rng(5)
    free: list[Client] = []
    for _ in range(CONNECTIONS):
        free.append((await loop.create_unix_connection(lambda: Client(free), socket))[1])
    asking = asyncio.create_task(ask_statistics(Path(socket)))
    done: list[Sent] = []
    due, until = loop.time(), loop.time() + seconds
    for target in targets:
        await asyncio.sleep(max(0.0, due - loop.time()))
        if loop.time() >= until:
            break
        due += random.exponential(1 / rate)
        while not free:
            await asyncio.sleep(0.0005)
        done.append(Sent(f"{mark}{len(done):07},{ROW}", 0.0))
        free.pop().ask(write_request(target, done[-1].body), done[-1])
    asking.cancel()
    while len(free) < CONNECTIONS:
        await asyncio.sleep(0.01)
    for client in free:
        client.transport.close()
    return done


def write_request(target: str, body: str) -> bytes:
    """As the proxy passes it on."""
    model = f"x-amzn-sagemaker-target-model: {target}\r\n" if target else ""
    head = (
        f"POST /endpoints/tail/invocations HTTP/1.1\r\nhost: tail\r\ncontent-type: text/csv\r\n{model}"
        f"content-length: {len(body)}\r\nx-tidegate-start: {time.time_ns() // 1000}\r\n\r\n"
    )
    return (head + body).encode()


async def ask_statistics(socket: Path) -> None:
    while True:
        await asyncio.sleep(1)
        await get(socket, f"/_tidegate/stats?since={int(time.time()) - 2}", 5)


def start(folder: Path, data: Path, serving: Serving) -> tuple[subprocess.Popen[bytes], str]:
    """A worker for ``data``, and its socket."""
    folder.mkdir(exist_ok=True)
    container = ContainerSpec(
        runtime=RuntimeChoice(RuntimeKind.XGBOOST), model_dir=str(folder / "model"), data_url=data.as_uri()
    )
    spec = ReplicaSpec(
        replica="tail",
        fleet=FleetId("tail", 1, "only"),
        config_name="tail",
        containers=(container,),
        socket=str(folder / "tail.sock"),
        serving=serving,
    )
    worker = start_worker(folder, spec, ["-m", "bench.tail_probe"], str(folder / "notes.json"))
    return worker, spec.socket


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=int, default=3000)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="keep the models here")
    parser.add_argument("--keep", action="store_true", help="write the table to bench/results.md")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tg-") as name:
        folder = given.folder or Path(name)
        models = folder / "clients"
        names = (
            sorted(str(path.relative_to(models)) for path in models.rglob("*.ubj"))[: given.models]
            if models.exists()
            else clients.make(models, given.models)
        )
        alone, its = start(folder / "alone", models / names[0], Serving.SINGLE)
        shared, socket = start(folder, models, Serving.MULTI_MODEL)
        try:
            uvloop.run(drive(socket, iter(names), 60.0, math.inf, "7."))
            taken: dict[str, Taken] = {name: Taken() for name in ROWS}
            traffic = clients.visits(names, 1.0, 1, 1, seed=2)
            turns = ((alone, its, itertools.repeat("")), (shared, socket, itertools.repeat(names[0])))
            for turn in range(given.rounds):
                for number, (row, (worker, at, targets)) in enumerate(
                    zip(ROWS, (*turns, (shared, socket, traffic)), strict=True)
                ):
                    before = spent(worker)
                    mark = f"{number + 1}.{turn}"
                    taken[row].sent += uvloop.run(drive(at, targets, RATE, given.seconds, mark))
                    taken[row].used += spent(worker) - before
        finally:
            for worker in (alone, shared):
                worker.terminate()
                worker.wait(timeout=30)
        noted = [
            msgspec.json.decode((at / "notes.json").read_bytes(), type=Notes) for at in (folder / "alone", folder)
        ]
    header = ["requests", "processor", "p50", "p99", *STAGES, "waited for, of the slowest hundredth"]
    rows = [
        report(row, taken[row], notes) for row, notes in zip(ROWS, (noted[0], noted[1], noted[1]), strict=True)
    ]
    title = f"{len(names):,} models: the slowest hundredth"
    tables.show("tail", title, header, rows, keep=given.keep)


ROWS = ("of a dedicated endpoint", "of one model of many", "of all models")


@dataclass
class Taken:
    """The requests of one row; ``used``: seconds of a processor of the worker."""

    sent: list[Sent] = field(default_factory=list)
    used: float = 0.0


def spent(worker: subprocess.Popen[bytes]) -> float:
    times = psutil.Process(worker.pid).cpu_times()
    return times.user + times.system


STAGES = ("until read", "until given", "until answered", "until received")


def report(label: str, taken: Taken, notes: Notes) -> list[object]:
    """Of the slowest hundredth: the mean milliseconds in each stage, and how many waited for what."""
    sent = taken.sent
    noted = {request.body: request for request in notes.requests}
    took = sorted(each.took for each in sent)
    slow = [each for each in sent if each.took >= took[int(len(took) * 0.99)] and each.body in noted]
    stages = np.mean([stages_of(each, noted[each.body]) for each in slow], axis=0) * 1000
    causes = Counter(cause for each in slow for cause in causes_of(each, noted[each.body], notes.spans))
    said = ", ".join(f"{cause} {count / len(slow):.0%}" for cause, count in causes.most_common())
    p50, p99 = took[len(took) // 2] * 1000, took[int(len(took) * 0.99)] * 1000
    used = f"{taken.used / len(sent) * 1e6:.0f} µs"
    return [label, used, f"{p50:.2f} ms", f"{p99:.2f} ms", *(f"{stage:.2f} ms" for stage in stages), said]


def stages_of(sent: Sent, noted: Noted) -> list[float]:
    return [
        noted.read - sent.sent,
        noted.given - noted.read,
        noted.answered - noted.given,
        sent.received - noted.answered,
    ]


def causes_of(sent: Sent, noted: Noted, spans: Sequence[Span]) -> set[str]:
    """What went on while the request was under way; a processor that was waited for counts from a quarter on."""
    found = {s.kind for s in spans if s.begin < sent.received and s.end > sent.sent - NEAR}
    if noted.delay > 0.25 * sent.took:
        found.add("processor")
    if noted.major:
        found.add("disk")
    if noted.minor > 20:
        found.add("page faults")
    return found or {"nothing noted"}


if __name__ == "__main__":
    main()
