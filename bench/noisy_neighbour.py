"""What one loud client costs the others: ``python -m bench.noisy_neighbour [--rounds 4] [--keep]``.

Ten clients ask 15 times a second each, of a quota of 20/s; an eleventh asks 2,000 times a second, a hundred times
its quota. The others' latency is measured in turns, with and without it, in one run. For contrast the same without
quotas. The model takes 5 ms asleep on each of 4 instances (``bench.slowed``). The loud client's own process yields
to all others (nice 19), since it would be another machine; what HAProxy does for it does not.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from bench import slowed, tables
from tidegate.host.platform import Platform
from tidegate.load import LoadGenerator, LoadReport, Tally
from tidegate.load.report import merge

CLIENTS, EACH, QUOTA, TIMES = 10, 15, 20, 100
WINDOW = 10.0
"""Seconds of one turn."""
SETTLE = 1.0
QUOTAS = {"by": "header X-Client", "rate": f"{QUOTA}/s", "burst": 2 * QUOTA}


@dataclass
class Turns:
    """What the ten saw over all turns of a kind, and what became of the loud one's requests."""

    calm: list[Tally] = field(default_factory=list)
    loud: list[dict[str, int]] = field(default_factory=list)

    def usual(self, percent: float) -> float:
        """Milliseconds: the median over the turns, so that one in which the machine was disturbed does not count."""
        return statistics.median(1000 * (one.percentile(percent) or 0.0) for one in self.calm)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--keep", action="store_true", help="write the table to bench/results.md")
    given = parser.parse_args()
    with Platform(environment=slowed.ENVIRONMENT) as platform:
        for name, quotas in (("held", QUOTAS), ("open", None)):
            spec: dict[str, Any] = {"endpoint": name, "model": slowed.model(platform, 0.005), "instances": 4}
            spec |= {"max_in_flight": 2, "queue_time": "1s"} | ({"quotas": quotas} if quotas else {})
            slowed.deploy(platform, spec)
        alone, beside, unheld = Turns(), Turns(), Turns()
        for number in range(given.rounds):
            order = [(alone, False), (beside, True)]
            for turns, loud in order if number % 2 == 0 else reversed(order):
                turn(platform, "held", turns, loud)
        turn(platform, "open", unheld, True)
    rows = [
        row("alone", alone),
        row(f"one more at {TIMES}x its quota", beside),
        row("the same without quotas", unheld),
    ]
    moved = beside.usual(99) / alone.usual(99) - 1
    print(f"the others' p99 moved by {100 * moved:+.1f} %")
    header = ["ten clients", "requests", "failed", "p50 ms", "p99 ms", "the loud one: answered/s", "throttled/s"]
    tables.show("noisy_neighbour", "One client at a hundred times its quota", header, rows, keep=given.keep)


def turn(platform: Platform, endpoint: str, turns: Turns, loud: bool) -> None:
    process = shout(platform, endpoint) if loud else None
    time.sleep(SETTLE)
    names = [f"client-{number}".encode() for number in range(CLIENTS)]
    generator = LoadGenerator(
        platform.url,
        f"/endpoints/{endpoint}/invocations",
        names,
        {},
        CLIENTS * EACH,
        sign=lambda body: {"X-Client": body.decode(), "Content-Type": "text/csv"},
    )
    with generator:
        time.sleep(WINDOW)
    report: LoadReport = generator.stop()
    turns.calm.append(report.total)
    if process is not None:
        out, _ = process.communicate(timeout=60)
        turns.loud.append(json.loads(out)["statuses"])


def shout(platform: Platform, endpoint: str) -> "subprocess.Popen[bytes]":
    url = f"{platform.url}/endpoints/{endpoint}/invocations"
    options = [
        "--rate",
        str(TIMES * QUOTA),
        "--seconds",
        str(WINDOW + 2 * SETTLE),
        "--connections",
        "32",
        "--json",
    ]
    command = [
        sys.executable,
        "-m",
        "tidegate.load",
        url,
        *options,
        "--header",
        "X-Client:loud",
        "--body",
        "1",
    ]
    return subprocess.Popen(["nice", "-n", "19", *command], stdout=subprocess.PIPE)


def row(name: str, turns: Turns) -> list[object]:
    seconds = len(turns.loud) * (WINDOW + 2 * SETTLE)
    rates = [
        sum(one.get(status, 0) for one in turns.loud) / seconds if seconds else 0 for status in ("200", "429")
    ]
    times = [f"{turns.usual(percent):.1f}" for percent in (50, 99)]
    said = [f"{rate:.0f}" for rate in rates] if seconds else ["-", "-"]
    total = merge(turns.calm)
    return [name, total.count, total.failed, *times, *said]


if __name__ == "__main__":
    main()
