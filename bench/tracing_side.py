"""One side of ``bench.tracing``: prints the microseconds of a prediction inside a worker's server.

``python bench/tracing_side.py off|RATIO``. It also runs with a tidegate from before tracing.
"""

import asyncio
import importlib
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tidegate.domain.fleet import FleetId
from tidegate.serving.contract import replica_spec
from tidegate.serving.contract.invocation import Answer, Call
from tidegate.serving.contract.replica_spec import ReplicaSpec
from tidegate.serving.front.connection import Connection
from tidegate.serving.front.server import Server
from tidegate.serving.scoring.batching import Batcher

REQUESTS, RUNS = 400, 100
HEAD = b"POST /endpoints/bench/invocations HTTP/1.1\r\nhost: bench\r\ncontent-type: text/csv\r\ncontent-length: 1"


class Nothing:
    """A scorer that does nothing."""

    batches = False

    def parse(self, call: Call) -> bytes:
        return call.body

    def size(self, rows: bytes) -> int:
        return 1

    def score(self, requests: Sequence[bytes]) -> Sequence[bytes]:
        return requests

    def count(self, scores: bytes) -> int:
        return 1

    def render(self, scores: bytes, call: Call) -> Answer:
        return Answer(scores, "text/csv")


class Transport:
    """Counts answers, and asks for the next request as soon as one is there."""

    def __init__(self) -> None:
        self.connection: Any = None
        self.left = 0
        self.done: asyncio.Future[None] | None = None

    def write(self, data: bytes) -> None:
        self.left -= 1
        if self.left:
            asyncio.get_running_loop().call_soon(self.ask)
        elif self.done is not None:
            self.done.set_result(None)

    def ask(self) -> None:
        stamp = b"\r\nx-tidegate-start: %d\r\n\r\n1" % (time.time_ns() // 1000)
        self.connection.data_received(HEAD + stamp)

    def is_closing(self) -> bool:
        return False

    def get_extra_info(self, name: str) -> None:
        return None


async def run(server: Server, loop: asyncio.AbstractEventLoop) -> float:
    server.engine = Batcher(Nothing(), loop)
    transport = Transport()
    connection: Any = Connection(server)
    transport.connection = connection
    connection.connection_made(transport)
    fastest = float("inf")
    for _ in range(RUNS):
        transport.left, transport.done = REQUESTS, loop.create_future()
        began = time.perf_counter()
        transport.ask()
        await transport.done
        fastest = min(fastest, time.perf_counter() - began)
        server.statistics(0, 2**40)
    return fastest / REQUESTS * 1e6


def drain(taken: socket.socket) -> None:
    while taken.recv(1 << 18):
        pass


async def main(ratio: str) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="tg-") as name,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as taken,
    ):
        spans = f"{name}/spans.sock"
        taken.bind(spans)
        threading.Thread(target=drain, args=(taken,), daemon=True).start()
        more: dict[str, Any] = {}
        if ratio != "off":
            more["tracing"] = replica_spec.TracingSpec(socket=spans, ratio=float(ratio), key="k")
        spec = ReplicaSpec(
            replica="bench",
            fleet=FleetId("bench", 1, "only"),
            config_name="bench",
            containers=(),
            socket=f"{name}/w.sock",
            **more,
        )
        server = Server(spec, Path(name))
        if more:
            traced: Any = importlib.import_module("tidegate.features.tracing.worker.traced_server")
            traced.MOST_A_SECOND = 10**9  # otherwise all requests would cost what a few do
            server = traced.TracedServer(spec, Path(name))
        print(await run(server, asyncio.get_running_loop()))


asyncio.run(main(sys.argv[1]))
