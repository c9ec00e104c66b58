"""How fast a change of weights works, and how true the split is: ``python -m bench.weights [--keep]``.

A real HAProxy in front of two fleets of two small workers each, 32 keep-alive connections. Changes are made under
1,000 requests/s; one is in effect when the last request that still went to the old fleet has been sent, and the clock
starts at the call. The split is counted over 20,000 requests for each pair of weights, sent without a pause.
"""

import argparse
import asyncio
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

import psutil
import uvloop

from bench.tables import percentile, show
from tidegate.domain.fleet import FleetId, RoutingStrategy
from tidegate.domain.traffic import WHOLE, RouteTable, build_route_table
from tidegate.host.platform import free_port
from tidegate.proxy.haproxy import HAProxy, find_haproxy, read_version
from tidegate.settings import Settings

ENDPOINT = "fraud"
BODY = b'{"instances":[[' + b"0.5," * 29 + b"0.5]]}"
REQUEST = (
    f"POST /endpoints/{ENDPOINT}/invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    f"Content-Length: {len(BODY)}\r\n\r\n"
).encode() + BODY
CONNECTIONS = 32
REQUESTS = 20_000
CHANGES = 200
RATE = 1_000
"""Requests a second while changes are made."""
SHARES = (9_000, 7_500, 5_000, 0)
"""Basis points of the old fleet."""
WARMUP = 500
PATIENCE = 60.0


class Worker(asyncio.Protocol):
    """Answers every request (each comes in one piece) with the name of its fleet."""

    def __init__(self, name: bytes) -> None:
        self.answer = b"HTTP/1.1 200 OK\r\nx-amzn-RequestId: 1\r\nContent-Length: 1\r\n\r\n" + name

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.transport.write(self.answer)


@dataclass
class Tally:
    """What the clients saw. ``seen`` is called for each answer: the fleet, when its request was sent, seconds."""

    seen: Callable[[bytes, float], None] = lambda name, sent: None
    failed: int = 0
    pause: float = CONNECTIONS / RATE
    """Seconds between the begins of a connection's requests."""
    stopping: bool = False


class Client(asyncio.Protocol):
    """Asks again as soon as it has its answer."""

    def __init__(self, tally: Tally) -> None:
        self.tally = tally
        self.sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.ask()

    def ask(self) -> None:
        self.sent = time.perf_counter()
        self.transport.write(REQUEST)

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"HTTP/1.1 200"):
            self.tally.seen(data[-1:], self.sent)
        else:
            self.tally.failed += 1
        if self.tally.stopping:
            self.transport.close()
        else:
            loop = asyncio.get_running_loop()
            loop.call_later(max(0.0, self.sent + self.tally.pause - time.perf_counter()), self.ask)


async def count(tally: Tally, requests: int) -> dict[bytes, int]:
    """Who answered the next so many requests that are sent from now on."""
    found = {b"a": 0, b"b": 0}
    done, start = asyncio.get_running_loop().create_future(), time.perf_counter()

    def seen(name: bytes, sent: float) -> None:
        if sent >= start and not done.done():
            found[name] += 1
            if found[b"a"] + found[b"b"] == requests:
                done.set_result(None)

    tally.seen = seen
    async with asyncio.timeout(PATIENCE):
        await done
    return found


async def change(proxy: HAProxy, tally: Tally, fence: int) -> tuple[float, float]:
    """All requests from one fleet to the other: milliseconds of the call, and until the change was in effect."""
    old, share = (b"a", 0) if fence % 2 else (b"b", WHOLE)
    latest = start = time.perf_counter()
    new = 0

    def seen(name: bytes, sent: float) -> None:
        nonlocal latest, new
        new += name != old
        if name == old:
            latest = max(latest, sent)

    tally.seen = seen
    await proxy.set_routes(routes(fence, share))
    call = time.perf_counter() - start
    async with asyncio.timeout(PATIENCE):
        while new < 2 * CONNECTIONS:
            await asyncio.sleep(0.001)
    return call * 1000, (latest - start) * 1000


def routes(fence: int, share: int) -> RouteTable:
    sides = [(1, share, {"v": 1.0}), (2, WHOLE - share, {"v": 1.0})]
    return build_route_table(ENDPOINT, fence, [side for side in sides if side[1]])


@dataclass
class Measured:
    changes: list[tuple[float, float]]
    splits: dict[int, dict[bytes, int]]
    cost: dict[int, float]
    """HAProxy's CPU microseconds per request, by share."""
    failed: int


async def measure(program: Path, folder: Path) -> Measured:
    loop = asyncio.get_running_loop()
    settings = Settings(port=free_port(), state=folder, haproxy=str(program))
    proxy = HAProxy(settings, folder, folder / "controller.sock")
    await proxy.start_or_adopt()
    workers = []
    try:
        for generation, name in ((1, b"a"), (2, b"b")):
            sockets = {f"{name.decode()}{number}": folder / f"{name.decode()}{number}" for number in (1, 2)}
            for path in sockets.values():
                workers.append(await loop.create_unix_server(partial(Worker, name), str(path)))
            await proxy.set_fleet(FleetId(ENDPOINT, generation, "v"), RoutingStrategy.RANDOM, sockets)
        await proxy.set_routes(routes(0, WHOLE))
        tally = Tally()
        for _ in range(CONNECTIONS):
            await loop.create_connection(lambda: Client(tally), settings.host, settings.port)
        await count(tally, WARMUP)
        changes = [await change(proxy, tally, fence) for fence in range(1, CHANGES + 1)]
        splits, cost, tally.pause = {}, {}, 0.0
        (haproxy,) = psutil.Process(int((folder / "proxy" / "haproxy.pid").read_text())).children()
        for fence, share in enumerate(SHARES, CHANGES + 1):
            await proxy.set_routes(routes(fence, share))
            before = haproxy.cpu_times()
            splits[share] = await count(tally, REQUESTS)
            after = haproxy.cpu_times()
            cost[share] = (after.user + after.system - before.user - before.system) / REQUESTS * 1e6
        tally.stopping = True
        return Measured(changes, splits, cost, tally.failed)
    finally:
        await proxy.stop()


def deviations(old: int, share: int) -> float:
    """How many binomial standard deviations the old fleet's count is off; where nothing is left to chance, any
    request that is off is too many."""
    part = share / WHOLE
    off = old - REQUESTS * part
    spread = (REQUESTS * part * (1 - part)) ** 0.5
    return abs(off) / spread if spread else (float("inf") if off else 0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="put the tables into bench/results.md")
    parser.add_argument("--haproxy", default="", help="which HAProxy; without it the one that tidegate would run")
    given = parser.parse_args()
    program = find_haproxy(given.haproxy)
    folder = Path(tempfile.mkdtemp(prefix="tg-"))
    try:
        found = uvloop.run(measure(program, folder))
    finally:
        shutil.rmtree(folder)
    number = ".".join(str(part) for part in read_version(str(program)) or ())
    rows: list[tuple[object, ...]] = []
    for what, place in (("the call returns after", 0), ("last request to the old fleet sent after", 1)):
        values = [times[place] for times in found.changes]
        median, high, most = (f"{percentile(values, percent):.2f}" for percent in (50, 99, 100))
        rows.append((f"change: {what}", f"{median} ms (p99 {high}, max {most} of {CHANGES})", "-"))
    for share, who in found.splits.items():
        parts = "/".join(f"{100 * who[name] / REQUESTS:.2f}" for name in (b"a", b"b"))
        off = f"{parts}, {deviations(who[b'a'], share):.2f} sd off over {REQUESTS:,} requests"
        rows.append((f"split {share // 100}/{(WHOLE - share) // 100}", off, f"{found.cost[share]:.0f}"))
    title = f"Weight changes and splits (HAProxy {number}; {found.failed} requests failed)"
    show("weights", title, ("", "measured", "HAProxy's CPU µs per request"), rows, keep=given.keep)


if __name__ == "__main__":
    main()
