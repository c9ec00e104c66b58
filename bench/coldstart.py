"""Cold starts of a serverless endpoint: the fraud model, asked at zero, and a burst of requests at zero.

    python -m bench.coldstart [--starts 200] [--bursts 5] [--keep]

For comparison, in the same run and by turns: a worker process started for the same model, until its first answer.
"""

import argparse
import asyncio
import os
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import httpx
import numpy as np
import xgboost

from bench import tables
from tests.scene import Scene
from tidegate.domain.fleet import FleetId
from tidegate.host.platform import Platform, wait_until
from tidegate.serving.contract.catalogue import RuntimeChoice, RuntimeKind
from tidegate.serving.contract.replica_spec import ContainerSpec, ReplicaSpec, encode
from tidegate.targets.local.process import Process

BODY = ",".join(["0.1"] * 30).encode()
HEADERS = {"Content-Type": "text/csv"}
NAME, BURST = "fraud", 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--starts", type=int, default=200)
    parser.add_argument("--bursts", type=int, default=5)
    parser.add_argument("--keep", action="store_true", help="write the table to bench/results.md")
    given = parser.parse_args()
    with Platform() as platform:
        model = fraud_model(platform.state / "models")
        deploy(platform, model)
        cold, fresh, errors = list[float](), list[float](), 0
        for number in range(given.starts):
            asleep(platform)
            seconds, failed = ask(platform)
            cold.append(seconds)
            errors += failed
            if number % 20 == 0:
                fresh.append(fresh_process(platform.state / "fresh" / str(number), model))
            print(f"{number + 1}/{given.starts}: {seconds * 1000:.0f} ms", flush=True)
        burst = []
        for _ in range(given.bursts):
            asleep(platform)
            found, several = asyncio.run(ask_at_once(platform))
            burst += found
            errors += several
        for line in last_lines(platform):
            print(line)
    ratio = statistics.median(cold) / statistics.median(fresh)
    rows = [row("first reply from zero", cold), row("burst of 50 from zero", burst), row("fresh process", fresh)]
    print(f"errors: {errors}; cold start over fresh process, medians: {ratio:.2f}")
    header = ["what", "times", "p50 ms", "p90 ms", "p99 ms", "longest ms"]
    note = f"{errors} errors; a cold start takes {ratio:.2f} of a fresh process (medians)"
    tables.show("coldstart", f"Cold starts ({note})", header, rows, keep=given.keep)


def fraud_model(folder: Path) -> Path:
    """XGBoost, 200 trees of depth 6 over 30 features, grown in full."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(7)
    rows = random.normal(size=(20_000, 30)).astype(np.float32)
    odds = rows[:, 0] * rows[:, 1] + np.sin(3 * rows[:, 2]) + rows[:, 3] ** 2 + random.normal(size=len(rows)) - 1
    settings = {"objective": "binary:logistic", "max_depth": 6, "eta": 0.05, "nthread": 2}
    booster = xgboost.train(settings, xgboost.DMatrix(rows, odds > 0), 200)
    path = folder / "model.ubj"
    booster.save_model(path)
    return path


def deploy(platform: Platform, model: Path) -> None:
    spec = {
        "endpoint": NAME,
        "model": {"image": "tidegate/xgboost", "data": f"file://{model}"},
        "serverless": {"memory": "1GiB", "max_concurrency": BURST, "idle_after": "200ms"},
    }
    httpx.put(f"{platform.url}/tidegate/v1/deploy", json={"spec": spec}, timeout=30).raise_for_status()
    scene = Scene(platform)
    scene.settled(NAME)
    wait_until(lambda: list(platform.state.rglob("model.forest")), "the first replica has left the trees")


def asleep(platform: Platform, endpoint: str = NAME) -> None:
    fleets = platform.state / "fleets" / endpoint
    wait_until(
        lambda: not list(fleets.glob("*/AllTraffic/replicas/*")), "nothing of the endpoint runs", every=0.01
    )


def ask(platform: Platform) -> tuple[float, bool]:
    began = time.perf_counter()
    url = f"{platform.url}/endpoints/{NAME}/invocations"
    with httpx.Client(timeout=90) as client:
        status = client.post(url, content=BODY, headers=HEADERS).status_code
    return time.perf_counter() - began, status != 200


async def ask_at_once(platform: Platform) -> tuple[list[float], int]:
    """Connections first, so that it is the requests that come at once; by plain sockets, which cost little."""
    opened = [await asyncio.open_connection("127.0.0.1", platform.port) for _ in range(BURST)]
    head = f"POST /endpoints/{NAME}/invocations HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/csv\r\n"
    request = head.encode() + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[float, bool]:
        began = time.perf_counter()
        writer.write(request)
        line = await reader.readline()
        seconds = time.perf_counter() - began
        writer.close()
        return seconds, not line.startswith(b"HTTP/1.1 200 ")

    found = await asyncio.gather(*(one(*connection) for connection in opened))
    return [seconds for seconds, _ in found], sum(failed for _, failed in found)


def fresh_process(
    folder: Path,
    model: Path,
    kind: RuntimeKind = RuntimeKind.XGBOOST,
    body: bytes = BODY,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> float:
    """A worker of its own, from the start of the process to the first answer; its model data is there already."""
    folder.mkdir(parents=True)
    socket = folder / "s"
    container = ContainerSpec(
        runtime=RuntimeChoice(kind),
        model_dir=str(folder / "m"),
        data_url=f"file://{model}/" if model.is_dir() else f"file://{model}",
        environment=dict(environment),
    )
    spec = ReplicaSpec(
        replica="r",
        fleet=FleetId(NAME, 1, "fresh"),
        config_name="fresh",
        containers=(container,),
        socket=str(socket),
    )
    start = folder / "replica.json"
    start.write_bytes(encode(spec))
    began = time.perf_counter()
    process = Process.start(start, folder / "log", {**os.environ, **environment})
    try:
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(socket)), timeout=60) as client:
            wait_until(lambda: answers(client, body), "the fresh process answers", every=0.002)
        return time.perf_counter() - began
    finally:
        process.kill()


def answers(client: httpx.Client, body: bytes = BODY) -> bool:
    try:
        return client.post("http://worker/invocations", content=body, headers=HEADERS).status_code == 200
    except httpx.TransportError:
        return False


def row(what: str, seconds: list[float]) -> list[object]:
    marks = [f"{np.percentile(seconds, percent) * 1000:.0f}" for percent in (50, 90, 99, 100)]
    return [what, len(seconds), *marks]


def last_lines(platform: Platform, endpoint: str = NAME) -> list[str]:
    """Where the last few cold starts went."""
    logs = sorted((platform.state / "logs" / endpoint).rglob("*.log"), key=lambda path: path.stat().st_mtime)[-8:]
    return [line for log in logs for line in log.read_text().splitlines() if "cold start" in line]


if __name__ == "__main__":
    main()
