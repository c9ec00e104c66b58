"""More than the instances can answer: ``python -m bench.overload [--seconds 15] [--keep]`` (some two minutes).

Four instances answer 200 requests a second at the most (20 ms each, asleep: ``bench.slowed``). They are asked half of
that, twice and five times as much, with bounds that keep what is admitted inside an objective of 150 ms: two requests
in the hands of an instance, and 60 ms in the queue. For contrast twice as much without bounds. Latencies count from
when requests were due. A client of its own looks whether a refusal says when to come again.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from bench import slowed, tables
from tidegate.host.platform import Platform
from tidegate.load import LoadGenerator, Tally
from tidegate.load.report import merge

SERVICE, INSTANCES = 0.020, 4
CAPACITY = INSTANCES / SERVICE
BOUNDS = {"max_in_flight": 2, "queue_time": "60ms"}
OBJECTIVE = 150.0
"""Milliseconds of p99, of what is admitted."""
SETTLE, LOOK_EVERY = 2.0, 0.05


@dataclass(frozen=True)
class Seen:
    """``told`` of ``probed`` refusals said when to come again."""

    admitted: Tally
    refused: Tally
    failed: int
    seconds: float
    probed: int
    told: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=15.0, help="of each load")
    parser.add_argument("--keep", action="store_true", help="write the table to bench/results.md")
    given = parser.parse_args()
    rows = []
    with Platform(environment=slowed.ENVIRONMENT) as platform:
        for name, bounds in (("bounded", BOUNDS), ("open", {})):
            spec: dict[str, Any] = {"endpoint": name, "model": slowed.model(platform, SERVICE), **bounds}
            slowed.deploy(platform, {**spec, "instances": INSTANCES})
        for times in (0.5, 2.0, 5.0):
            rows.append(row(f"{times:g}x", load(platform, "bounded", times * CAPACITY, given.seconds)))
            time.sleep(SETTLE)
        rows.append(row("2x, neither bound set", load(platform, "open", 2 * CAPACITY, given.seconds)))
    header = ["asked, of what can be answered", "answered/s", "p50 ms", f"p99 ms (objective {OBJECTIVE:g})"]
    header += ["refused/s", "refusal p50 ms", "refusal p99 ms", "with Retry-After", "otherwise failed"]
    title = f"Overload ({CAPACITY:g} requests/s can be answered)"
    tables.show("overload", title, header, rows, keep=given.keep)


def load(platform: Platform, endpoint: str, rate: float, seconds: float) -> Seen:
    """What came in the first seconds is not counted."""
    path = f"/endpoints/{endpoint}/invocations"
    generator = LoadGenerator(platform.url, path, b"1", {"Content-Type": "text/csv"}, rate, connections=4096)
    with generator, httpx.Client() as client:
        time.sleep(SETTLE)
        begun = time.time()
        refusals = list(probe(client, platform.url + path, begun + seconds))
        ended = time.time()
    counted = [one for one in generator.stop().seconds if begun <= one.at <= ended - 1]
    answers = merge(one.by_variant.get("AllTraffic", Tally()) for one in counted)
    others = merge(tally for one in counted for name, tally in one.by_variant.items() if name != "AllTraffic")
    failed = answers.failed + others.count - others.statuses.get("503", 0)
    return Seen(answers, others, failed, len(counted), len(refusals), sum(refusals))


def probe(client: httpx.Client, url: str, until: float) -> Iterator[bool]:
    """Of each refusal whether it says when to come again."""
    while time.time() < until:
        answer = client.post(url, content=b"1", headers={"Content-Type": "text/csv"}, timeout=60)
        if answer.status_code == 503:
            yield answer.headers.get("Retry-After", "").isdecimal()
        time.sleep(LOOK_EVERY)


def row(name: str, seen: Seen) -> list[object]:
    def ms(tally: Tally, percent: float) -> str:
        found = tally.percentile(percent)
        return "-" if found is None else f"{1000 * found:.0f}"

    admitted, refused = seen.admitted, seen.refused
    rates = [f"{tally.count / seen.seconds:.0f}" for tally in (admitted, refused)]
    said = f"{seen.told} of {seen.probed}" if seen.probed else "-"
    times = [ms(admitted, 50), ms(admitted, 99)], [ms(refused, 50), ms(refused, 99)]
    return [name, rates[0], *times[0], rates[1], *times[1], said, seen.failed]


if __name__ == "__main__":
    main()
