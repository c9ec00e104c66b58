"""The least that a request costs behind a proxy, beside tidegate and FastAPI by hand: one load generator, one run.

    python -m bench.floor [--seconds 10] [--rounds 3] [--keep]

A side is added for each thing that a design cannot do without: a server that answers a constant (HAProxy's
``http-request return``, and a Python process on uvloop), and HAProxy in front of it on a unix socket, without any
rule, and with the configuration that tidegate generates. None of them has a model. Rounds alternate between the
sides, as in byhand.py; ``--seconds 2 --rounds 2`` takes a minute and a half.
"""

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from bench import sides, tables
from bench.byhand import byhand
from bench.constant_server import BODY
from bench.sides import Round, Side
from tidegate.domain.fleet import FleetId, RoutingStrategy
from tidegate.domain.traffic import WHOLE, Route, RouteTable
from tidegate.host.platform import free_port, wait_until
from tidegate.proxy import config
from tidegate.proxy.haproxy import find_haproxy
from tidegate.proxy.options import ProxySockets, make_options
from tidegate.proxy.state import SLOTS, ProxyState
from tidegate.settings import Settings

PLAIN = "/endpoints/bench/invocations"
BASIS = "FastAPI by hand"
GOAL_CPU, GOAL_RATE = 0.35, 8.0
"""Of FastAPI by hand: CPU of a request at 300 a second at most, requests a second at saturation at least."""

COMMON = """\
global
  maxconn 2000
  nbthread 1
defaults
  mode http
  timeout connect 1s
  timeout client 60s
  timeout server 60s
"""
CONSTANT = """\
frontend constant
  bind 127.0.0.1:{port}
  bind unix@{socket}
  http-request return status 200 content-type application/json string '{body}'
"""
WITHOUT_RULES = """\
frontend public
  bind 127.0.0.1:{port}
  default_backend workers
backend workers
  http-reuse always
  server one unix@{socket}
"""


@dataclass(frozen=True)
class Constants:
    """Servers that answer a constant on unix sockets, and the first one's TCP port."""

    haproxy: psutil.Process
    port: int
    socket: Path
    python: psutil.Process
    python_socket: Path


def main() -> None:
    given = sides.parse_arguments("floor", __doc__)
    rows: list[list[object]] = []
    verdicts = []
    with contextlib.ExitStack() as stack:
        compared = start(stack)
        for rate, connections, label in sides.LOADS:
            rounds: dict[str, list[Round]] = {side.name: [] for side in compared}
            for _ in range(given.rounds):
                for side in compared:
                    rounds[side.name].append(sides.measure(side, rate, connections, given.seconds))
            rows += [row(label, name, taken, rounds[BASIS]) for name, taken in rounds.items()]
            verdicts.append(judge(rate, rounds))
    header = ["load", "side", "requests/s", "CPU µs a request", "p50 ms", "p99 ms", "failed", "CPU / FastAPI"]
    tables.show(
        "floor", "The least behind a proxy", [*header, "requests/s / FastAPI"], rows,
        keep=given.keep, picture=" ".join(verdicts),
    )  # fmt: skip


def start(stack: contextlib.ExitStack) -> list[Side]:
    """All sides, the cheapest last."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tg-")))
    tidegate = stack.enter_context(sides.ours())
    by_hand = stack.enter_context(byhand(tidegate.model))
    constants = stack.enter_context(serve_constants(folder))
    made = [by_hand, tidegate.side]
    for name, socket, server, rules in (
        ("tidegate's configuration, constant", constants.socket, constants.haproxy, True),
        ("HAProxy without rules, constant in Python", constants.python_socket, constants.python, False),
        ("HAProxy without rules, constant", constants.socket, constants.haproxy, False),
    ):
        port = free_port()
        place = folder / f"proxy{len(made)}"
        files = generated(place, port, socket) if rules else {config.CONFIG: plain(port, socket)}
        proxy = stack.enter_context(run_haproxy(place, files))
        made.append(Side(name, f"http://127.0.0.1:{port}", PLAIN, lambda ours=(proxy, server): list(ours)))  # type: ignore[misc]
    alone = f"http://127.0.0.1:{constants.port}"
    made.append(Side("that constant alone", alone, PLAIN, lambda: [constants.haproxy]))
    for side in made:
        wait_until(lambda side=side: answers(side), f"{side.name} answers")  # type: ignore[misc]
    return made


@contextlib.contextmanager
def serve_constants(folder: Path) -> Iterator[Constants]:
    port, socket, python_socket = free_port(), folder / "c.sock", folder / "p.sock"
    text = COMMON + CONSTANT.format(port=port, socket=socket, body=BODY.decode())
    program = Path(__file__).with_name("constant_server.py")
    with (
        run_haproxy(folder / "constant", {config.CONFIG: text.encode()}) as haproxy,
        running([sys.executable, str(program), str(python_socket)]) as python,
    ):
        wait_until(python_socket.exists, "the constant in Python")
        yield Constants(haproxy, port, socket, python, python_socket)


def plain(port: int, socket: Path) -> bytes:
    return (COMMON + WITHOUT_RULES.format(port=port, socket=socket)).encode()


def generated(folder: Path, port: int, socket: Path) -> dict[str, bytes]:
    """The files that tidegate gives HAProxy for one endpoint of two instances, both of which are this socket."""
    fleet = FleetId("bench", 1, "AllTraffic")
    servers = {"first": str(socket), "second": str(socket)}
    state = ProxyState(SLOTS).with_servers(fleet, RoutingStrategy.LEAST_OUTSTANDING_REQUESTS, servers)
    state = state.with_table(
        RouteTable("bench", 1, (Route(fleet, WHOLE),), {"AllTraffic": (Route(fleet, WHOLE),)})
    )
    sockets = ProxySockets.beside(folder / "c")
    options = make_options(Settings(host="127.0.0.1", port=port), sockets, state, "tidegate")
    return config.render_files(state, options)


@contextlib.contextmanager
def run_haproxy(folder: Path, files: dict[str, bytes]) -> Iterator[psutil.Process]:
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    program = find_haproxy(Settings().haproxy)
    with running([str(program), "-db", "-L", "tidegate", "-C", str(folder), "-f", config.CONFIG]) as process:
        yield process


@contextlib.contextmanager
def running(command: Sequence[str]) -> Iterator[psutil.Process]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


def answers(side: Side) -> bool:
    """Twice on one connection, so that a constant which closes it is found out."""
    with contextlib.suppress(httpx.HTTPError), httpx.Client(base_url=side.url, headers=sides.HEADERS) as client:
        both = [client.post(side.path, content=side.body) for _ in range(2)]
        return all(one.status_code == 200 and "predictions" in one.json() for one in both)
    return False


def row(label: str, name: str, taken: Sequence[Round], basis: Sequence[Round]) -> list[object]:
    rate, cpu, p50, p99, failed = sides.medians(taken)
    ratio = sides.ratios(taken, basis)
    figures = [f"{rate:.0f}", f"{cpu:.0f}", f"{p50:.2f}", f"{p99:.2f}", int(failed)]
    return [label, name, *figures, f"{ratio[1]:.2f}", f"{ratio[0]:.2f}"]


def judge(rate: float | None, rounds: dict[str, list[Round]]) -> str:
    """Whether the goal is above what the cheapest proxied side costs, which has no model."""
    taken = rounds["HAProxy without rules, constant"]
    ratio = sides.ratios(taken, rounds[BASIS])
    if rate is not None:
        can = "possible" if ratio[1] < GOAL_CPU else "not possible"
        return (
            f"CPU at {rate:g} requests/s of {GOAL_CPU:g} of FastAPI's: {can} with a proxy (least {ratio[1]:.2f})."
        )
    can = "possible" if ratio[0] > GOAL_RATE else "not possible"
    return f"{GOAL_RATE:g} times FastAPI's requests/s: {can} with a proxy (most {ratio[0]:.1f})."


if __name__ == "__main__":
    main()
