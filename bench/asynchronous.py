"""Asynchronous requests: how many a second are accepted and answered; or, with ``--chaos``, what survives SIGKILL.

    python -m bench.asynchronous [--count 20000] [--postgres | --database postgresql://...] [--keep]
    python -m bench.asynchronous --chaos 100000 [--kills 100] [--postgres | --database postgresql://...] [--keep]

Accepting is measured while the endpoint has no instance, answering while nothing comes in (from the first output to
the last), then both at once. ``--postgres`` starts a PostgreSQL of its own, which brings each transaction to the
disk, and counts its CPU, too. Bodies come with the requests, answers go to files, the model is a small XGBoost one.
What is under SIGKILL is told in ``async_chaos.py``.
"""

import argparse
import asyncio
import contextlib
import os
import random
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from bench import async_chaos, tables
from bench.async_client import CLIENTS, Answer, Ask, ask_all
from tests.postgres_server import DURABLE, database_url, postgres_server
from tests.scene import Scene, train
from tidegate.host.platform import Platform, wait_until

ENDPOINT = "bench-async"
GOOD = b"0.1,0.2,0.3,0.4"
CONCURRENT = 64
"""Requests in the hands of the one instance."""
PATIENCE = 600.0
PARTS = {
    "controller": "tidegate.cli.controller",
    "dispatcher": "tidegate.features.asynchronous.dispatcher_main",
    "instance": "tidegate.serving",
    "proxy": "haproxy",
}
DATABASE = "database"
"""The part that is a PostgreSQL of its own."""


@dataclass
class Phase:
    """``rate`` is requests a second; ``cpu`` part -> CPU µs of a request."""

    rate: float
    cpu: dict[str, float]


@dataclass
class Figures:
    phases: dict[str, Phase] = field(default_factory=dict)
    missing: int = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20_000, help="requests of each measurement")
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--database", default="", help="SQLAlchemy URL; SQLite when absent")
    parser.add_argument("--postgres", action="store_true", help="a PostgreSQL of its own; it must be installed")
    parser.add_argument("--chaos", type=int, default=0, metavar="COUNT", help="so many requests under SIGKILL")
    parser.add_argument(
        "--kills", type=int, default=0, help="with --chaos; unless given one per 1,000 requests, at most 200"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="write the table to bench/results.md")
    given = parser.parse_args()
    with postgres_server(DURABLE) if given.postgres else contextlib.nullcontext(None) as folder:
        if folder is not None:
            given.database = database_url(folder)
        measure(given, folder)


def measure(given: argparse.Namespace, server: Path | None) -> None:
    kind = "PostgreSQL" if given.database else "SQLite"
    if given.chaos:
        kills = given.kills or min(200, max(4, given.chaos // 1000))
        found = async_chaos.run(given.chaos, kills, random.Random(given.seed), given.database)
        title = f"Asynchronous requests under SIGKILL ({kind})"
        name, command = f"async-chaos-{kind.lower()}", f"asynchronous --chaos {given.chaos}"
        tables.show(name, title, ("", ""), [*found.shown().items()], keep=given.keep, command=command)
        return
    figures = throughput(given.count, given.clients, given.database, server)
    parts = [*PARTS, *([DATABASE] if server else [])]
    header = ("", "requests/s", *(f"CPU µs of {part}" for part in parts))
    rows = [
        (name, round(phase.rate), *(round(phase.cpu[part]) for part in parts))
        for name, phase in figures.phases.items()
    ]
    title = (
        f"Asynchronous requests ({kind}, {given.count:,} each, {given.clients} clients, {figures.missing} lost)"
    )
    tables.show(f"async-{kind.lower()}", title, header, rows, keep=given.keep, command="asynchronous")


def throughput(count: int, clients: int, database: str = "", server: Path | None = None) -> Figures:
    with tempfile.TemporaryDirectory(prefix="tg-async-") as name:
        out = Path(name)
        environment = {"TIDEGATE_OUTPUT_ROOTS": name, "TIDEGATE_DRAIN_TIMEOUT": "5"}
        if database:
            environment["TIDEGATE_DATABASE_URL"] = database
        with Platform(environment=environment) as platform:
            scene = Scene(platform)
            prepare(scene, out)
            return measured(scene, out, count, clients, server)


def prepare(scene: Scene, out: Path) -> None:
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": scene.model(train(out / "models", 1, features=4, trees=5)),
        "InstanceType": "ml.c5.large",
        "InitialInstanceCount": 1,
    }
    scene.sagemaker.create_endpoint_config(
        EndpointConfigName=ENDPOINT,
        ProductionVariants=[variant],
        AsyncInferenceConfig={
            "ClientConfig": {"MaxConcurrentInvocationsPerInstance": CONCURRENT},
            "OutputConfig": {"S3OutputPath": (out / "good").as_uri(), "S3FailurePath": (out / "bad").as_uri()},
        },
    )
    scene.create(ENDPOINT, ENDPOINT)


def measured(scene: Scene, out: Path, count: int, clients: int, server: Path | None = None) -> Figures:
    figures, platform = Figures(), scene.platform
    resize(scene, 0)
    before, began = cpu(platform, server), time.time()
    due = asyncio.run(queued(platform.port, count, clients))
    took = time.time() - began
    figures.phases["accepted, nothing answered"] = Phase(count / took, spent(before, cpu(platform, server), count))
    before = cpu(platform, server)
    resize(scene, 1)
    figures.missing += waited(out, due)
    first, last = span(out, due)
    figures.phases["answered, nothing accepted"] = Phase(
        count / (last - first), spent(before, cpu(platform, server), count)
    )
    before, began = cpu(platform, server), time.time()
    due = asyncio.run(queued(platform.port, count, clients))
    figures.missing += waited(out, due)
    took = span(out, due)[1] - began
    figures.phases["both at once"] = Phase(count / took, spent(before, cpu(platform, server), count))
    return figures


async def queued(port: int, count: int, clients: int) -> set[str]:
    """Names of the outputs that are due."""
    due: set[str] = set()

    def asks() -> Iterator[Ask]:
        return (Ask(number, ENDPOINT, GOOD) for number in range(count))

    def took(ask: Ask, answer: Answer) -> None:
        due.add(Path(answer.headers["x-amzn-sagemaker-outputlocation"]).name)

    await ask_all(port, asks(), took, clients)
    return due


def resize(scene: Scene, count: int) -> None:
    wish = {"VariantName": "AllTraffic", "DesiredInstanceCount": count}
    scene.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=ENDPOINT, DesiredWeightsAndCapacities=[wish]
    )
    scene.settled(ENDPOINT)


def waited(out: Path, due: set[str]) -> int:
    """Outputs that are missing when patience is over."""
    there = lambda: not due - set(os.listdir(out / "good")) if (out / "good").is_dir() else False  # noqa: E731
    try:
        wait_until(there, "outputs", PATIENCE, every=0.5)
    except TimeoutError:
        return len(due - set(os.listdir(out / "good")))
    return 0


def span(out: Path, due: set[str]) -> tuple[float, float]:
    """When the first and the last output were written."""
    times = [(out / "good" / name).stat().st_mtime for name in due]
    return min(times), max(times)


def cpu(platform: Platform, server: Path | None) -> dict[str, float]:
    """Part -> CPU seconds of its processes by now; ``server``: the folder of a PostgreSQL of its own."""
    found = dict.fromkeys(PARTS, 0.0)
    for process in platform.processes():
        with contextlib.suppress(psutil.NoSuchProcess):
            command = " ".join(process.cmdline())
            part = next((part for part, words in PARTS.items() if words in command), None)
            if part is not None:
                found[part] += _seconds(process)
    if server is not None:
        main = psutil.Process(int((server / "data" / "postmaster.pid").read_text().split()[0]))
        times = main.cpu_times()
        ended = times.children_user + times.children_system
        found[DATABASE] = ended + sum(map(_seconds, [main, *main.children(recursive=True)]))
    return found


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def spent(before: dict[str, float], after: dict[str, float], count: int) -> dict[str, float]:
    return {part: max(0.0, after[part] - before.get(part, 0.0)) / count * 1e6 for part in after}


if __name__ == "__main__":
    main()
