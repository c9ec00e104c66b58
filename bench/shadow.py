"""What a mirror costs the original: the same endpoint alone, with all its requests copied to a shadow that hangs, and
with all copied to one that answers.

    python -m bench.shadow [--seconds 10] [--rounds 3] [--rate 300] [--keep]

One platform, one model, three endpoints of one instance each; rounds alternate between them. CPU is that of the
process which answers the clients, and that of the proxy, a client's request.
"""

import argparse
import json
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import httpx
import psutil

from bench import tables
from tests.scene import Scene, train
from tidegate.host.platform import Platform
from tidegate.load import LoadGenerator

BODY = json.dumps({"instances": [[0.1] * 30]}).encode()
HEADERS = {"Content-Type": "application/json"}
HANGING = "bench/hanging"
SIDES = {"alone": "no shadow", "hanging": "100 % to one that hangs", "answering": "100 % to one that answers"}
"""Endpoint -> what it is called in the table."""


@dataclass(frozen=True)
class Round:
    p50: float
    p99: float
    worker: float
    proxy: float
    failed: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", type=float, default=300)
    parser.add_argument("--keep", action="store_true", help="write the table to bench/results.md")
    given = parser.parse_args()
    rows = measure(given.seconds, given.rounds, given.rate)
    title = f"A mirror of everything, {given.rate:g} requests/s, median of {given.rounds} rounds"
    header = ["shadow", "p50 ms", "p99 ms", "worker CPU µs", "proxy CPU µs", "copies", "dropped", "failed"]
    tables.show("shadow", title, header, rows, keep=given.keep)


def measure(seconds: float, rounds: int, rate: float) -> list[list[object]]:
    platform = Platform()
    images = platform.state / "images.yaml"
    program = Path(__file__).with_name("hanging_server.py")
    images.write_text(f"images:\n  {HANGING}:\n    command: [{sys.executable}, {program}]\n")
    platform.environment = {"TIDEGATE_IMAGES": str(images), "TIDEGATE_DRAIN_TIMEOUT": "5"}
    with platform:
        scene = Scene(platform)
        url = train(platform.state / "models", 1)
        shadows = {
            "alone": None,
            "hanging": {"ModelName": scene.model(None, image=HANGING)},
            "answering": {"ModelName": scene.model(url)},
        }
        for endpoint, shadow in shadows.items():
            scene.create(endpoint, scene.config(url, shadow=shadow))
            one_round(platform, endpoint, 2, rate)
        found = {endpoint: [] for endpoint in SIDES}  # type: dict[str, list[Round]]
        for _ in range(rounds):
            for endpoint, kept in found.items():
                kept.append(one_round(platform, endpoint, seconds, rate))
        time.sleep(3)  # the last second is counted by then
        return [row(platform, endpoint, kept) for endpoint, kept in found.items()]


def one_round(platform: Platform, endpoint: str, seconds: float, rate: float) -> Round:
    path = f"/endpoints/{endpoint}/invocations"
    worker, proxy = cpu(platform, rf"fleets/{endpoint}/\d+/AllTraffic"), cpu(platform, "haproxy")
    with LoadGenerator(platform.url, path, BODY, HEADERS, rate, connections=16) as load:
        time.sleep(seconds)
        total = load.stop().total
    each = 1e6 / max(1, total.count)
    return Round(
        (total.percentile(50) or 0) * 1000,
        (total.percentile(99) or 0) * 1000,
        (cpu(platform, rf"fleets/{endpoint}/\d+/AllTraffic") - worker) * each,
        (cpu(platform, "haproxy") - proxy) * each,
        total.failed,
    )


def cpu(platform: Platform, what: str) -> float:
    """Seconds of the processes whose command line has a match of this expression."""
    found: list[psutil.Process] = [p for p in platform.processes() if re.search(what, " ".join(p.cmdline()))]
    return sum(sum(process.cpu_times()[:2]) for process in found)


def row(platform: Platform, endpoint: str, rounds: list[Round]) -> list[object]:
    copies = dropped = "-"
    if endpoint != "alone":
        answer = httpx.get(f"{platform.url}/tidegate/v1/endpoints/{endpoint}/shadow").json()
        [one] = answer["comparisons"]
        copies, dropped = f"{one['copies']:g}", f"{one['dropped']:g}"
    return [
        SIDES[endpoint],
        f"{median(r.p50 for r in rounds):.2f}",
        f"{median(r.p99 for r in rounds):.2f}",
        f"{median(r.worker for r in rounds):.0f}",
        f"{median(r.proxy for r in rounds):.0f}",
        copies,
        dropped,
        sum(r.failed for r in rounds),
    ]


if __name__ == "__main__":
    main()
