"""Serverless endpoints at zero on one controller: what they take while nobody asks, and what one call takes then.

    python -m bench.many_serverless [--endpoints 100,1000] [--seconds 30] [--keep]

Processor time is what is shown of rest: it hardly depends on what else runs here. An update is the call alone, which
returns once the change is recorded.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from functools import partial

import httpx
import psutil

from bench import tables
from bench.guarded import guarded_platform
from tests.scene import Scene, train
from tidegate.host.platform import Platform, wait_until

LISTS, UPDATES = 100, 20
AT_ONCE = 20
"""Endpoints that are created at a time."""
PATIENCE = 1200.0
"""Seconds until all endpoints are in service and asleep."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--endpoints", type=_numbers, default=[100, 1000])
    parser.add_argument("--seconds", type=float, default=30, help="of rest that are measured")
    parser.add_argument("--keep", action="store_true", help="write the table to bench/results.md")
    given = parser.parse_args()
    rows = [measure(count, given.seconds) for count in given.endpoints]
    header = [
        *("endpoints", "created, each", "controller at rest", "proxy at rest", "controller", "list p50, p99"),
        *("update p50, max", "adopted after a restart"),
    ]
    title = "Many serverless endpoints"
    tables.show("many-serverless", title, header, rows, keep=given.keep, command="many_serverless")


def measure(count: int, seconds: float) -> list[object]:
    with guarded_platform() as platform:
        scene = Scene(platform)
        names = [f"s{number}" for number in range(count)]
        urls = [train(platform.state / "models", seed) for seed in range(2)]
        begun = time.monotonic()
        with httpx.Client(timeout=60) as client:
            for begun_before, name in enumerate(names):
                deploy(platform, client, name, urls[0])
                if begun_before % AT_ONCE == 0:
                    wait_until(partial(most_are_there, scene, begun_before - AT_ONCE), "the ones before", PATIENCE)
        wait_until(lambda: in_service(scene, count) == count, "all are in service", PATIENCE)
        created = (time.monotonic() - begun) / count
        wait_until(lambda: not platform.workers(), "all are asleep", PATIENCE, every=1.0)
        time.sleep(15)
        controller = psutil.Process(platform.controller_pid)
        proxies = [one for one in platform.processes() if one.name().startswith("haproxy")]
        before, clock = [spent([controller]), spent(proxies)], time.monotonic()
        time.sleep(seconds)
        passed = time.monotonic() - clock
        after = [spent([controller]), spent(proxies)]
        rest = [(now - was) / passed for now, was in zip(after, before, strict=True)]
        lists = [_timed(lambda: scene.sagemaker.list_endpoints(MaxResults=100)) for _ in range(LISTS)]
        held = controller.memory_info().rss
        with httpx.Client(timeout=60) as client:
            updates = [_timed(partial(deploy, platform, client, name, urls[1])) for name in names[:UPDATES]]
        wait_until(lambda: in_service(scene, count) == count, "updates are through", PATIENCE)
        adopted = adopt(platform, scene, count)
    p50, p99 = (tables.percentile(lists, part) * 1000 for part in (50, 99))
    return [
        *(count, f"{created:.2f} s", *(f"{one:.1%}" for one in rest), f"{held / 2**20:.0f} MB"),
        *(
            f"{p50:.0f}, {p99:.0f} ms",
            f"{tables.percentile(updates, 50) * 1000:.0f}, {max(updates) * 1000:.0f} ms",
        ),
        f"{adopted:.1f} s",
    ]


def deploy(platform: Platform, client: httpx.Client, name: str, model: str) -> None:
    serverless = {"memory": "1GiB", "max_concurrency": 5, "idle_after": "1s"}
    container = {"image": "tidegate/xgboost", "data": model}
    spec = {"endpoint": name, "model": container, "serverless": serverless}
    answer = client.put(f"{platform.url}/tidegate/v1/deploy", json={"spec": spec})
    if answer.is_error:
        raise SystemExit(f"{name}: {answer.text}")


def most_are_there(scene: Scene, least: int) -> bool:
    return least <= 0 or in_service(scene, least) >= least


def in_service(scene: Scene, count: int) -> int:
    pages = scene.sagemaker.get_paginator("list_endpoints").paginate(
        StatusEquals="InService", PaginationConfig={"PageSize": 100, "MaxItems": count}
    )
    return sum(len(page["Endpoints"]) for page in pages)


def spent(processes: Sequence[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes if process.is_running())


def adopt(platform: Platform, scene: Scene, count: int) -> float:
    """Seconds from the start of a new controller until it says of each endpoint that it is in service."""
    platform.kill_controller()
    begun = time.monotonic()
    platform.start()
    wait_until(lambda: in_service(scene, count) == count, "all endpoints are adopted", 120)
    return time.monotonic() - begun


def _timed(call: Callable[[], object]) -> float:
    begun = time.monotonic()
    call()
    return time.monotonic() - begun


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",") if part]


if __name__ == "__main__":
    main()
