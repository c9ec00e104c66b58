"""10,000 clients' XGBoost models behind one endpoint of two instances, against a dedicated endpoint in the same run.

    python -m bench.multimodel [--quick] [--keep] [--models 10000]

Everything is real: proxy, controller, workers, files. Cold: a client's first request ever (its artifact is fetched,
checked against the library and turned into a forest). Warm: 500 requests/s over all clients, in turns with the same
rate to an endpoint that has one of the models for itself. Capped: the memory for models is half of what they need.
"""

import argparse
import asyncio
import itertools
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import psutil
import uvloop

from bench import clients, tables
from tests.scene import Scene
from tidegate.host.platform import Platform
from tidegate.load.generator import format_request
from tidegate.load.open_loop import LoadPlan, OpenLoop
from tidegate.load.report import LoadReport, merge

RATE = 500.0
ROW = ",".join(f"{value:.4f}" for value in np.random.default_rng(1).normal(size=clients.FEATURES)).encode()
EXPONENT = 1.0
"""Of Zipf's law for the clients. Their users and payrolls go with the number of their people, and sizes of companies
follow Zipf's law with an exponent near 1 (Axtell, Science 293, 2001: 1/1.06)."""
VISIT = 10
"""Requests of one client's visit: a payroll run or somebody at work on a screen asks more than once."""
PRICE, PRICE_OF, PRICE_SOURCE = 0.115, "ml.m5.large (8 GiB)", "AWS pricing cache of 2026-03-07, us-east-1"
INSTANCE = 8 * 2**30


@dataclass(frozen=True)
class Scale:
    models: int
    cold: int
    seconds: float
    rounds: int
    stay: float
    """Seconds: the worker's default, but where few models make ten seconds a long time."""
    capped: int
    """Clients of the endpoint whose memory is capped."""


QUICK, FULL = Scale(300, 60, 3, 2, 0.5, 300), Scale(10_000, 300, 10, 3, 10, 3000)


class Endpoint:
    """One endpoint of a platform, and its workers' own pages."""

    def __init__(self, platform: Platform, name: str) -> None:
        self.platform = platform
        self.name = name

    def request(self, target: str | None) -> bytes:
        headers = {"Content-Type": "text/csv"} | ({"X-Amzn-SageMaker-Target-Model": target} if target else {})
        host = f"127.0.0.1:{self.platform.port}"
        return format_request(host, f"/endpoints/{self.name}/invocations", headers, ROW)

    def send(
        self, targets: Iterable[str | None], rate: float | None, seconds: float, connections: int = 16
    ) -> LoadReport:
        """``targets`` are sent in turn for so many seconds. Without a rate: as fast as it goes, once each."""
        requests = tuple(self.request(target) for target in targets)
        load = LoadPlan("127.0.0.1", self.platform.port, requests, rate, connections, 90.0)

        async def run() -> LoadReport:
            loop = OpenLoop(load)
            loop.start()
            if rate is not None:
                await asyncio.sleep(seconds)
            until = time.monotonic() + seconds
            while rate is None and time.monotonic() < until and loop.report().total.count < len(requests):
                await asyncio.sleep(0.2)
            return await loop.stop(60.0)

        return uvloop.run(run())

    def workers(self) -> list[tuple[psutil.Process, str]]:
        """Each worker and its socket."""
        found = []
        for path in (self.platform.state / "fleets").rglob("*.json"):
            try:
                spec = json.loads(path.read_bytes())
            except ValueError:
                continue
            if isinstance(spec, dict) and "socket" in spec and spec.get("fleet", {}).get("endpoint") == self.name:
                for process in psutil.process_iter(["cmdline"]):
                    if str(path) in (process.info["cmdline"] or ()):
                        found.append((process, spec["socket"]))
        return found

    def pages(self, path: str) -> list[dict[str, object]]:
        pages = []
        for _, socket in self.workers():
            with httpx.Client(transport=httpx.HTTPTransport(uds=socket), timeout=60) as client:
                pages.append(client.get(f"http://worker{path}").json())
        return pages

    def resident(self) -> int:
        """Bytes of the workers and all their children; what processes share counts in parts (PSS)."""
        trees = [[worker, *worker.children(recursive=True)] for worker, _ in self.workers()]
        return sum(process.memory_full_info().pss for tree in trees for process in tree)

    def sums(self, name: str, since: float) -> tuple[float, int]:
        """Total and count of what the workers noted."""
        time.sleep(1.1)  # a second is shown once it is over
        total, count = 0.0, 0
        for page in self.pages(f"/_tidegate/stats?since={int(since)}"):
            for second in page["seconds"]:  # type: ignore[attr-defined]
                for series in second["series"]:
                    if series["name"] == name and not series["dimensions"]:
                        total, count = total + series["spread"]["total"], count + series["spread"]["count"]
        return total, count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few models, short runs: whether it works at all")
    parser.add_argument("--models", type=int, help="another number of models")
    parser.add_argument("--keep", action="store_true", help="write the table to bench/results.md")
    given = parser.parse_args()
    scale = QUICK if given.quick else FULL
    models = given.models or scale.models
    with Platform() as platform:
        folder = platform.state / "clients"
        names = clients.make(folder, models)
        size = sum(path.stat().st_size for path in folder.rglob("*.ubj"))
        print(f"{models} models, {size >> 20} MB of files", flush=True)
        rows = measure(platform, folder, names, scale)
    header = ["what", "measured", "goal"]
    tables.show("multimodel", f"{models:,} models on one endpoint", header, rows, keep=given.keep)


def measure(platform: Platform, folder: Path, names: list[str], scale: Scale) -> list[list[object]]:
    scene = Scene(platform)
    dedicated = deploy(scene, "dedicated", (folder / names[0]).as_uri(), {})
    shared = deploy(scene, "shared", folder.as_uri(), {"Mode": "MultiModel"})
    empty = shared.resident()
    rows = cold(shared, names, scale)
    print(rows, flush=True)
    began = time.monotonic()
    load_all(shared, names)
    took = time.monotonic() - began
    pages = shared.pages("/_tidegate/models")
    held = sum(int(str(page["held"])) for page in pages)
    grown = sum(int(str(page["resident"])) for page in pages)
    copies = sum(int(str(page["loaded"])) for page in pages)
    rows += [
        ["first loads of the rest", f"{len(names) - scale.cold:,} in {took:.0f} s", ""],
        ["measured memory", f"{held / copies / 1024:.1f} kB a model, {held >> 20} MB in all", "a few GB"],
        ["resident growth of the workers", f"{grown >> 20} MB, {grown / held:.2f}x the measured", ""],
    ]
    print(rows, flush=True)
    rows += warm(shared, dedicated, names, scale)
    print(rows[-3:], flush=True)
    rows += costs(shared.resident() / len(names), dedicated.resident(), empty)
    need = held / copies * scale.capped / len(pages)
    return rows + capped(scene, folder, names[: scale.capped], scale, max(1, round(need / 2**21)))


def deploy(
    scene: Scene, name: str, url: str, mode: dict[str, str], environment: dict[str, str] | None = None
) -> Endpoint:
    container = {"Image": "tidegate/xgboost", "ModelDataUrl": url, "Environment": environment or {}, **mode}
    scene.sagemaker.create_model(ModelName=name, PrimaryContainer=container)
    variant = {"VariantName": "all", "ModelName": name, "InitialInstanceCount": 2, "InstanceType": "ml.m5.large"}
    scene.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    scene.create(name, name)
    return Endpoint(scene.platform, name)


def cold(shared: Endpoint, names: Sequence[str], scale: Scale) -> list[list[object]]:
    report = shared.send(names[: scale.cold], 10.0, scale.cold / 10)
    return [["cold first reply", spread(report), "p99 < 100 ms"]]


def load_all(shared: Endpoint, names: Sequence[str]) -> None:
    shared.send(names, None, 1200, connections=8)


def warm(shared: Endpoint, dedicated: Endpoint, names: list[str], scale: Scale) -> list[list[object]]:
    """Rounds in turn, so that what else the machine does meets both; the middle round counts."""
    traffic = clients.visits(names, EXPONENT, 1, 1, seed=2)
    rounds = []
    for _ in range(scale.rounds):
        alone = dedicated.send([None], RATE, scale.seconds)
        many = shared.send(itertools.islice(traffic, int(RATE * scale.seconds)), RATE, scale.seconds)
        rounds.append((many, alone))
    rounds.sort(key=lambda pair: (pair[0].total.percentile(99) or 0) / (pair[1].total.percentile(99) or 1))
    many, alone = rounds[len(rounds) // 2]
    ratio = (many.total.percentile(99) or 0) / (alone.total.percentile(99) or 1)
    return [
        [f"warm, {RATE:.0f} requests/s", spread(many), "p99 < 5 ms"],
        ["a dedicated endpoint, same rate", spread(alone), ""],
        ["p99 against the dedicated one", f"{ratio:.2f}x", "<= 1.5x"],
    ]


def capped(scene: Scene, folder: Path, names: list[str], scale: Scale, limit: int) -> list[list[object]]:
    """``limit``: MB of each of the two workers. Every client has been there once before the measured part."""
    environment = {"MULTI_MODEL_MEMORY_MB": str(limit), "MULTI_MODEL_MINIMUM_STAY": str(scale.stay)}
    endpoint = deploy(scene, "capped", folder.as_uri(), {"Mode": "MultiModel"}, environment)
    load_all(endpoint, names[::-1])
    best = clients.bound(len(names), EXPONENT, 0.5)
    rows: list[list[object]] = []
    for length, goal in ((VISIT, ">= 95 % warm, < 1 % cold"), (1, f"no cache can be above {best:.1%}")):
        traffic = clients.visits(names, EXPONENT, length, 200 if length > 1 else 1, seed=3)
        warmed = int(RATE * scale.seconds * 8)
        endpoint.send(itertools.islice(traffic, warmed), RATE * 2, warmed / RATE / 2)
        began = time.time() + 1
        seconds = scale.seconds * 2
        report = endpoint.send(itertools.islice(traffic, int(RATE * seconds)), RATE, seconds)
        hits, asked = endpoint.sums("ModelCacheHit", began)
        fetched = endpoint.sums("ModelDownloadingTime", began)[1]
        held = sum(int(str(page["held"])) for page in endpoint.pages("/_tidegate/models"))
        label = f"visits of {VISIT}" if length > 1 else "independent requests"
        rows += [
            [
                f"{len(names):,} clients, half their memory, Zipf {EXPONENT}, {label}",
                f"{hits / asked:.2%} warm",
                goal,
            ],
            ["... the rest", f"from this disk; from the source {fetched / asked:.2%}; {held >> 20} MB held", ""],
            ["... all requests", spread(report), ""],
        ]
    return rows


def costs(shared: float, dedicated: int, empty: int) -> list[list[object]]:
    """Per 1,000 clients and hour, two instances either way: whole instances as SageMaker sells them, and the memory
    alone at the same price, as if instances could be shared."""
    gigabyte = PRICE / INSTANCE
    whole = lower(2 * PRICE, 1000 * 2 * PRICE)
    memory = lower(1000 * shared * gigabyte, 1000 * dedicated * gigabyte)
    return [
        ["price", f"{PRICE} $/h {PRICE_OF}", PRICE_SOURCE],
        ["workers without models, all processes", f"{empty >> 20} MB", ""],
        ["a dedicated endpoint's workers", f"{dedicated >> 20} MB", ""],
        ["1,000 clients on whole instances", whole, ">= 95 % lower"],
        ["1,000 clients by memory alone", memory, ">= 95 % lower"],
    ]


def lower(ours: float, theirs: float) -> str:
    return f"{ours:.4f} $/h against {theirs:.2f} $/h: {1 - ours / theirs:.2%} lower"


def spread(report: LoadReport) -> str:
    total = merge(tally for second in report.seconds for tally in second.by_config.values())
    p50, p99 = ((total.percentile(point) or 0) * 1000 for point in (50, 99))
    failed = f", {report.failed} of {total.count} failed" if report.failed else ""
    for failure in report.failures[:3]:
        print(failure, flush=True)
    return f"p50 {p50:.2f} ms, p99 {p99:.2f} ms{failed}"


if __name__ == "__main__":
    main()
