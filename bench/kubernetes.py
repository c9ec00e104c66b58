"""The target ``kubernetes`` on a real cluster: updates under load, rollbacks, and what the gateways add.

    python -m bench.kubernetes [--updates 80] [--rollbacks 20] [--rate 100] [--rounds 5] [--parts] [--keep]

The cluster is the one of ``tests/kubernetes`` (CONTRIBUTING.md says what it needs): control plane, two nodes, two
gateways, pods and load all share the processors of one machine. Four endpoints are updated at a time, one for each
strategy, with a quarter of the rate each: a node of this old version of Kubernetes takes up to a minute until a pod
is gone. Rollbacks, too, are of four endpoints at a time; alarms are set by SetAlarmState, as in ``bench.rollbacks``.
The gateways and the local target's proxy are asked by turns, for the same model; with ``--parts`` also one gateway
past the Service, and one worker past the gateways, which shows what the network and the pods take.
"""

import argparse
import json
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from bench import rollbacks, tables, updates
from tests.kubernetes import image
from tests.kubernetes.cluster import harness
from tests.kubernetes.on_cluster import GATEWAY, ROW, WORKER, OnCluster, on_cluster
from tests.scene import KINDS, Scene
from tidegate.host.platform import wait_until
from tidegate.load import LoadGenerator, LoadReport
from tidegate.targets.kubernetes.names import PREDICTIONS

SECONDS = 15
"""Of one turn of the comparison."""
WARM = 200
"""Requests before a turn counts."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--updates", type=int, default=80)
    parser.add_argument("--rollbacks", type=int, default=20)
    parser.add_argument("--rate", type=float, default=100)
    parser.add_argument("--rounds", type=int, default=5, help="turns of each side of the comparison")
    parser.add_argument("--parts", action="store_true", help="ask a gateway and a worker past what is before them")
    parser.add_argument("--keep", action="store_true", help="write the tables to bench/results.md")
    given = parser.parse_args()
    if (reason := harness.why_not() or image.why_not()) is not None:
        sys.exit(f"bench.kubernetes: {reason}")
    with harness.Cluster(nodes=2) as cluster, on_cluster(cluster, {"TIDEGATE_DRAIN_TIMEOUT": "5"}) as running:
        if given.rounds:
            rows = compare(running, given.rounds, given.rate, given.parts)
            header = ["front", "requests", "failed", "p50 ms", "p99 ms", "p99 of each turn, ms"]
            _show("kubernetes-gateway", "Gateways of Kubernetes beside the local proxy", header, rows, given.keep)
        if given.rollbacks:
            row = _roll_back(running, given.rollbacks, given.rate)
            title = "Alarm to all traffic back, on Kubernetes"
            _show("kubernetes-rollbacks", title, rollbacks.HEADER, [row], given.keep)
        if given.updates:
            rows = _update(running, given.updates, given.rate)
            _show("kubernetes-updates", "Updates under load, on Kubernetes", updates.HEADER, rows, given.keep)


def _roll_back(running: OnCluster, count: int, rate: float) -> list[object]:
    def measure(kind: str) -> tuple[list[float], int, int]:
        asked = (running.models, front, ROW, -(-count // len(KINDS)), rate / len(KINDS))
        return rollbacks.measure(Scene(running.platform), *asked, endpoint=f"back-{_name(kind)}", pause=0.01)

    front = running.gateway
    with ThreadPoolExecutor(len(KINDS)) as pool:
        found = list(pool.map(measure, KINDS))
    for kind in KINDS:
        running.delete(f"back-{_name(kind)}")
    times = [one for part, _, _ in found for one in part]
    return rollbacks.row(times, sum(part[1] for part in found), sum(part[2] for part in found))


def _update(running: OnCluster, count: int, rate: float) -> list[list[object]]:
    def measure(kind: str) -> list[object]:
        asked = (running.models, front, ROW, -(-count // len(KINDS)), rate / len(KINDS))
        name = f"update-{_name(kind)}"
        rows = updates.measure(Scene(running.platform), *asked, endpoint=name, kinds=(kind,))
        return [*rows[0][:2], *rows[1][2:4], *rows[0][4:]]

    front = running.gateway
    with ThreadPoolExecutor(len(KINDS)) as pool:
        return list(pool.map(measure, KINDS))


def _name(kind: str) -> str:
    return kind.replace(" ", "-")


def _show(name: str, title: str, header: list[str], rows: list[list[object]], keep: bool) -> None:
    tables.show(name, title, header, rows, keep=keep, command="kubernetes")


def compare(running: OnCluster, rounds: int, rate: float, parts: bool = False) -> list[list[object]]:
    """One endpoint of two instances on each target, asked by turns."""
    running.create("far")
    config = running.scene.config(running.models[0], instances=2)
    tags = [{"Key": "tidegate:target", "Value": "local"}]
    running.scene.sagemaker.create_endpoint(EndpointName="near", EndpointConfigName=config, Tags=tags)
    running.scene.settled("near")
    sides = {
        "local proxy": (running.platform.url, "/endpoints/near/invocations"),
        "gateways": (running.gateway, "/endpoints/far/invocations"),
    }
    if parts:
        sides["one gateway, past the Service"] = (_pod(running, GATEWAY), "/endpoints/far/invocations")
        sides["one worker, past the gateways"] = (_pod(running, WORKER), "/invocations")
    reports: dict[str, list[LoadReport]] = {side: [] for side in sides}
    for number in range(rounds):
        for side, (front, path) in sides.items():
            reports[side].append(_ask(front, path, rate))
            print(f"round {number + 1}, {side}: p99 {_p99(reports[side][-1]):.1f} ms", flush=True)
    running.scene.sagemaker.delete_endpoint(EndpointName="near")
    running.delete("far")
    rows = [_row(side, found) for side, found in reports.items()]
    pairs = zip(reports["gateways"], reports["local proxy"], strict=True)
    ratio = statistics.median(_p99(far) / _p99(near) for far, near in pairs)
    return [*rows, ["ratio, median of the turns", "", "", "", f"{ratio:.2f}", ""]]


def _pod(running: OnCluster, labels: str) -> str:
    """The URL of one of these pods, as this machine reaches it."""
    found = json.loads(running.kubectl("get", "pods", "-l", labels, "-o", "json"))["items"]
    return f"http://{found[0]['status']['podIP']}:{PREDICTIONS}"


def _ask(front: str, path: str, rate: float) -> LoadReport:
    with LoadGenerator(front, path, ROW, {"Content-Type": "text/csv"}, rate, connections=16) as load:
        wait_until(lambda: load.snapshot().total.count >= WARM, "warm", 60)
        begun = int(time.time()) + 1
        wait_until(lambda: load.snapshot().since(begun).sent >= rate * SECONDS, "a turn", 10 * SECONDS, 0.2)
        return load.stop().since(begun)


def _row(side: str, reports: list[LoadReport]) -> list[object]:
    middle = [statistics.median(_ms(one, percent) for one in reports) for percent in (50, 99)]
    each = ", ".join(f"{_p99(one):.1f}" for one in reports)
    requests, failed = sum(one.total.count for one in reports), sum(one.failed for one in reports)
    return [side, requests, failed, *(f"{value:.1f}" for value in middle), each]


def _p99(report: LoadReport) -> float:
    return _ms(report, 99)


def _ms(report: LoadReport, percent: float) -> float:
    found = report.total.percentile(percent)
    assert found is not None, "no answers"
    return found * 1000


if __name__ == "__main__":
    main()
