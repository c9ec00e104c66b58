"""What data capture costs: an endpoint alone, with all its requests captured, and with all captured and redacted.

    python -m bench.capture [--seconds 2] [--rounds 12] [--rate 300] [--keep]

One platform, one model, four endpoints of one instance each, whose rounds alternate. Each round sends a constant rate
(latency) and then as much as the endpoint takes from 16 connections (CPU of its worker and of the proxy, a request).
Ratios are those of rounds next to each other, so that what else the machine does falls on both; the median is shown.
The endpoint without capture is there twice: how far its second ratio is from 1 is what the others may be off.

Evidence: the endpoint is captured as a whole and in the middle of a rollout that compares errors, latencies,
predictions and both versions on copies of its requests. The old version answers all of them; CPU is that of both
versions' workers.
"""

import argparse
import os
import time
from dataclasses import dataclass
from statistics import median
from typing import Any

import httpx

from bench import tables
from bench.shadow import cpu
from tests.scene import Scene, train
from tidegate.host.platform import Platform, wait_until
from tidegate.load import LoadGenerator

BODY = ",".join(["0.125"] * 30).encode() + b"\n"
HEADERS = {"Content-Type": "text/csv"}
SIDES = {
    "alone": "no capture",
    "again": "no capture, again",
    "captured": "100 %, both sides",
    "redacted": "100 %, both sides, redacted",
    "evidence": "100 %, both sides, and evidence",
}
"""Endpoint -> what it is called in the table."""
CONNECTIONS = 16


@dataclass(frozen=True)
class Round:
    """Milliseconds at the constant rate; microseconds of CPU per request, and requests per second, at saturation."""

    p50: float
    p99: float
    cpu: float
    rate: float
    failed: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--rate", type=float, default=300)
    parser.add_argument("--keep", action="store_true", help="write the table to bench/results.md")
    given = parser.parse_args()
    rows = measure(given.seconds, given.rounds, given.rate)
    load = f"load average {os.getloadavg()[1]:.1f}"
    title = f"Data capture of everything, {given.rate:g} requests/s and saturation, {given.rounds} rounds, {load}"
    header = [
        "capture",
        "p50 ms",
        "p99 ms",
        "p99 ratio",
        "CPU µs",
        "CPU ratio",
        "requests/s",
        "captured",
        "dropped",
    ]
    tables.show("capture", title, [*header, "failed"], rows, keep=given.keep)


def measure(seconds: float, rounds: int, rate: float) -> list[list[object]]:
    with Platform(environment={"TIDEGATE_DRAIN_TIMEOUT": "5"}) as platform:
        scene = Scene(platform)
        url = train(platform.state / "models", 1)
        to = (platform.state / "outputs" / "captures").as_uri()
        captures: dict[str, dict[str, Any] | None] = {
            "alone": None,
            "again": None,
            "captured": {"to": to},
            "redacted": {"to": to, "redact": {}},
            "evidence": {"to": to},
        }
        for endpoint, capture in captures.items():
            spec = {"endpoint": endpoint, "model": {"image": "tidegate/xgboost", "data": url}}
            more = {"capture": capture} if capture is not None else {}
            deploy(platform, {**spec, **more})
            scene.settled(endpoint)
            if endpoint == "evidence":
                begin_rollout(platform, {**spec, **more})
            one_round(platform, endpoint, 1, rate)
        found = {endpoint: [] for endpoint in SIDES}  # type: dict[str, list[Round]]
        for number in range(rounds):
            order = list(SIDES) if number % 2 == 0 else list(reversed(SIDES))
            for endpoint in order:
                found[endpoint].append(one_round(platform, endpoint, seconds, rate))
        time.sleep(3)  # the last second is counted by then
        return [row(platform, endpoint, kept, found["alone"]) for endpoint, kept in found.items()]


def deploy(platform: Platform, spec: dict[str, Any]) -> None:
    httpx.put(f"{platform.url}/tidegate/v1/deploy", json={"spec": spec}).raise_for_status()


def begin_rollout(platform: Platform, spec: dict[str, Any]) -> None:
    """Begin a rollout that stays in its stage of copies, and wait for that."""
    compare = ["errors", "latency", "predictions", "paired"]
    model = {**spec["model"], "data": train(platform.state / "models", 2)}
    rollout = {"strategy": "canary", "size": "10%", "wait": "10m"}
    deploy(
        platform,
        {
            **spec,
            "model": model,
            "rollout": rollout,
            "evidence": {"compare": compare, "copies": "6h", "action": "report"},
        },
    )
    wait_until(lambda: _is_baking(platform, spec["endpoint"]), "the stage of copies", 90.0)


def _is_baking(platform: Platform, endpoint: str) -> bool:
    found = httpx.get(f"{platform.url}/tidegate/v1/endpoints/{endpoint}").json()
    return (found.get("rollout") or {}).get("phase") == "Baking"


def one_round(platform: Platform, endpoint: str, seconds: float, rate: float) -> Round:
    path, worker = f"/endpoints/{endpoint}/invocations", rf"fleets/{endpoint}/\d+/"
    with LoadGenerator(platform.url, path, BODY, HEADERS, rate, connections=CONNECTIONS) as load:
        time.sleep(seconds)
        steady = load.stop().total
    before = cpu(platform, worker) + cpu(platform, "haproxy")
    started = time.monotonic()
    with LoadGenerator(platform.url, path, BODY, HEADERS, None, connections=CONNECTIONS) as load:
        time.sleep(seconds)
        full = load.stop().total
    took = time.monotonic() - started
    used = cpu(platform, worker) + cpu(platform, "haproxy") - before
    return Round(
        (steady.percentile(50) or 0) * 1000,
        (steady.percentile(99) or 0) * 1000,
        used * 1e6 / max(1, full.count),
        full.count / took,
        steady.failed + full.failed,
    )


def row(platform: Platform, endpoint: str, rounds: list[Round], alone: list[Round]) -> list[object]:
    captured = dropped = "-"
    if endpoint not in ("alone", "again"):
        every = httpx.get(f"{platform.url}/tidegate/v1/endpoints/{endpoint}/capture").json()["captures"]
        captured, dropped = (f"{sum(one[name] for one in every):g}" for name in ("captured", "dropped"))
    return [
        SIDES[endpoint],
        f"{median(r.p50 for r in rounds):.2f}",
        f"{median(r.p99 for r in rounds):.2f}",
        f"{median(r.p99 / base.p99 for r, base in zip(rounds, alone, strict=True)):.2f}",
        f"{median(r.cpu for r in rounds):.0f}",
        f"{median(r.cpu / base.cpu for r, base in zip(rounds, alone, strict=True)):.2f}",
        f"{median(r.rate for r in rounds):.0f}",
        captured,
        dropped,
        sum(r.failed for r in rounds),
    ]


if __name__ == "__main__":
    main()
