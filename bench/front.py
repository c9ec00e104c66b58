"""Measure what tidegate adds to a running service: the service alone and behind tidegate, in alternation.

    python -m bench.front [--seconds 10] [--rounds 5] [--keep]

The service is the FastAPI application of ``bench.byhand``, with a model on two processes. Behind tidegate, the
processes of the service, of the front and of the proxy are counted together. ``sides.py`` says what is measured.
"""

import argparse
import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median

import psutil

from bench import sides, tables
from bench.byhand import byhand
from bench.sides import Side
from tests.scene import Scene
from tidegate.cli.client import ApiClient
from tidegate.host.platform import Platform

RATE, CONNECTIONS = 300.0, 16
HEADER = ["side", "requests/s", "CPU µs a request", "p50 ms", "p99 ms", "failed"]


@contextlib.contextmanager
def fronted(alone: Side) -> Iterator[Side]:
    """The service behind tidegate, as an endpoint of one instance."""
    with Platform() as platform:
        spec = {"endpoint": "front", "model": {"url": alone.url}}
        with ApiClient({"TIDEGATE_URL": platform.url}) as server:
            server.deploy(spec, "bench", override=False, supersede=False)
        Scene(platform).settled("front", 120)

        def processes() -> list[psutil.Process]:
            return [*alone.processes(), *platform.processes()]

        path = "/endpoints/front/invocations"
        yield replace(alone, name="behind tidegate", url=platform.url, path=path, processes=processes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keep", action="store_true", help="write the table to bench/results.md")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, byhand(sides.make_model(Path(folder))[1]) as service:
        alone = replace(service, name="alone")
        with fronted(alone) as behind:
            rounds = [
                [sides.measure(side, RATE, CONNECTIONS, given.seconds) for side in (alone, behind)]
                for _ in range(given.rounds)
            ]
    rows: list[list[object]] = []
    for name, place in (("alone", 0), ("behind tidegate", 1)):
        rate, cpu, p50, p99, failed = sides.medians([pair[place] for pair in rounds])
        rows.append([name, f"{rate:.0f}", f"{cpu:.0f}", f"{p50:.2f}", f"{p99:.2f}", int(failed)])
    cpu_ratio = median(behind[1] / alone[1] for alone, behind in rounds)
    added = [f"{median(behind[at] - alone[at] for alone, behind in rounds):+.2f}" for at in (2, 3)]
    rows.append(["difference", "", f"{cpu_ratio:.2f}x", *added, ""])
    tables.show("front", "A service alone and behind tidegate, 300 requests/s", HEADER, rows, keep=given.keep)


if __name__ == "__main__":
    main()
