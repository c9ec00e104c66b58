"""Asynchronous requests under SIGKILL: how many are lost, how many have two outputs, how many a second.

    python -m bench.asynchronous --count 100000 --kills 60 [--database postgresql://...] [--out FILE]

Many clients queue requests, a twentieth of which the model refuses, while the controller, the dispatcher and the
instances (and, on PostgreSQL, connections of the database) are killed at random. What counts as accepted is what was
answered with 202. At the end each accepted request must have exactly one output or exactly one failure, with the
right content.
"""

import argparse
import asyncio
import contextlib
import os
import random
import signal
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from tidegate.testing.platform import Platform
from tidegate.testing.scene import Scene, train

CLIENTS = 16
BAD_EVERY = 20
ENDPOINT = "bench-async"
PATIENCE = 600.0
GOOD, BAD = b"0.1,0.2,0.3,0.4", b"not,a,number,row"


@dataclass
class Asked:
    """What was accepted: address of the output or failure that is due -> whether the request was a good one."""

    good: list[str] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)
    refused: int = 0
    kills: dict[str, int] = field(default_factory=dict)

    @property
    def accepted(self) -> int:
        return len(self.good) + len(self.bad)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--database", default="", help="SQLAlchemy URL; SQLite when absent")
    given = parser.parse_args()
    for name, value in run(given.count, given.kills, random.Random(given.seed), given.database).items():
        print(f"{name:>22}: {value}")


def run(count: int, kills: int, chance: random.Random, database: str = "") -> dict[str, Any]:
    """Figures of one run; ``lost`` and ``doubled`` should be 0."""
    with tempfile.TemporaryDirectory(prefix="tg-async-") as name:
        out = Path(name)
        environment = {"TIDEGATE_OUTPUT_ROOTS": name, "TIDEGATE_DRAIN_TIMEOUT": "5"}
        if database:
            environment["TIDEGATE_DATABASE_URL"] = database
        with Platform(environment=environment) as platform:
            prepare(platform, out)
            return measured(platform, out, count, kills, chance, database)


def prepare(platform: Platform, out: Path) -> None:
    scene = Scene(platform)
    model = scene.model(train(out / "models", 1, features=4, trees=5))
    variant = {"VariantName": "AllTraffic", "ModelName": model, "InstanceType": "ml.c5.large"}
    paths = {"S3OutputPath": (out / "good").as_uri(), "S3FailurePath": (out / "bad").as_uri()}
    scene.sagemaker.create_endpoint_config(
        EndpointConfigName=ENDPOINT,
        ProductionVariants=[{**variant, "InitialInstanceCount": 2}],
        AsyncInferenceConfig={
            "ClientConfig": {"MaxConcurrentInvocationsPerInstance": 8},
            "OutputConfig": paths,
        },
    )
    scene.create(ENDPOINT, ENDPOINT)


def measured(
    platform: Platform, out: Path, count: int, kills: int, chance: random.Random, database: str
) -> dict[str, Any]:
    asked, stop = Asked(), threading.Event()
    began = time.monotonic()
    killer = threading.Thread(target=killing, args=(platform, kills, chance, asked.kills, stop, database))
    killer.start()
    try:
        asyncio.run(asking(platform, count, asked))
        accepted_after = time.monotonic() - began
        killer.join()
        waited = finished(out, asked)
    finally:
        stop.set()
        killer.join()
    took = time.monotonic() - began
    return {
        "accepted": asked.accepted,
        "not accepted, told so": asked.refused,
        "killed": dict(sorted(asked.kills.items())),
        "accepted per second": round(asked.accepted / accepted_after),
        "done per second": round(asked.accepted / took),
        **judged(out, asked, waited),
    }


async def asking(platform: Platform, count: int, asked: Asked) -> None:
    """Every request is asked until it is accepted: a client that is told no, or nothing, asks again."""
    numbers = iter(range(count))
    limits = httpx.Limits(max_connections=CLIENTS)
    async with httpx.AsyncClient(base_url=platform.url, timeout=30, limits=limits, trust_env=False) as http:

        async def client() -> None:
            for number in numbers:
                while not await accepted(http, number % BAD_EVERY != 0, asked):
                    asked.refused += 1
                    await asyncio.sleep(0.1)

        await asyncio.gather(*(client() for _ in range(CLIENTS)))


async def accepted(http: httpx.AsyncClient, good: bool, asked: Asked) -> bool:
    path = f"/endpoints/{ENDPOINT}/async-invocations"
    headers = {"X-Amzn-SageMaker-Content-Type": "text/csv"}
    try:
        answer = await http.post(path, content=GOOD if good else BAD, headers=headers)
    except httpx.HTTPError:
        return False
    if answer.status_code != 202:
        return False
    place = "outputlocation" if good else "failurelocation"
    (asked.good if good else asked.bad).append(answer.headers[f"x-amzn-sagemaker-{place}"])
    return True


def killing(
    platform: Platform,
    kills: int,
    chance: random.Random,
    done: dict[str, int],
    stop: threading.Event,
    database: str,
) -> None:
    kinds = (
        ["dispatcher", "backend", "worker", "controller"] if database else ["controller", "dispatcher", "worker"]
    )
    for number in range(kills):
        if stop.wait(chance.uniform(0.4, 1.6)):
            return
        # Each kind has its turn, in an order of chance.
        kind = kinds[number % len(kinds)] if number < len(kinds) else chance.choice(kinds)
        if kill(platform, kind, chance, database):
            done[kind] = done.get(kind, 0) + 1


def kill(platform: Platform, kind: str, chance: random.Random, database: str) -> bool:
    if kind == "controller":
        platform.kill_controller()
        platform.start()
        return True
    if kind == "backend":
        return cut(database)
    module = "tidegate.compose.dispatching" if kind == "dispatcher" else "tidegate.worker"
    pids = [process.pid for process in platform.processes() if module in _cmdline(process)]
    if not pids:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(chance.choice(pids), signal.SIGKILL)
    return True


def cut(database: str) -> bool:
    """Ends every connection of the platform to PostgreSQL."""
    import psycopg  # noqa: PLC0415 (optional: only for a run on PostgreSQL)

    ending = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    with psycopg.connect(database, autocommit=True) as connection:
        return bool(connection.execute(ending).fetchall())


def finished(out: Path, asked: Asked) -> float:
    """Seconds until every output that is due is there, or patience is over."""
    began = time.monotonic()
    due = {"good": {Path(one).name for one in asked.good}, "bad": {Path(one).name for one in asked.bad}}
    while time.monotonic() - began < PATIENCE:
        if all(not due[name] - set(names(out / name)) for name in due):
            break
        time.sleep(0.2)
    return time.monotonic() - began


def names(folder: Path) -> list[str]:
    return os.listdir(folder) if folder.is_dir() else []


def judged(out: Path, asked: Asked, waited: float) -> dict[str, Any]:
    """A request of which the client never heard that it was accepted has an output, too, and is no double."""
    good, bad = names(out / "good"), names(out / "bad")
    due_good = {Path(address).name for address in asked.good}
    due_bad = {Path(address).name for address in asked.bad}
    contents = {(out / "good" / name).read_bytes() for name in due_good & set(good)}
    return {
        "lost": len(due_good - set(good)) + len(due_bad - set(bad)),
        "doubled": len(_ids(good) & _ids(bad)) + sum(name.startswith(".") for name in good + bad),
        "unasked": len(set(good) - due_good) + len(set(bad) - due_bad),
        "different answers": len(contents),
        "seconds after the last": round(waited, 1),
    }


def _ids(found: list[str]) -> set[str]:
    return {name.removesuffix(".out").removesuffix("-error") for name in found}


def _cmdline(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


if __name__ == "__main__":
    main()
