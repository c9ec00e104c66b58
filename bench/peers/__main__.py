"""tidegate against other model servers, one at a time: the same model, load generator and machine.

    python -m bench.peers [NAME ...] [--seconds 4] [--rounds 3] [--keep]

Every peer runs from an environment of its own, which the first run makes in bench/.cache/peers (TIDEGATE_PEERS names
another folder; all of them take some GB). Peers run two workers where they can, tidegate two instances; rounds
alternate between the two sides. A peer that does not start or answers wrongly is named and left out. It needs wrk,
and nginx for the Flask container.
"""

import argparse
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy
import xgboost

from bench import sides, tables
from bench.peers import chart
from bench.peers.peers import PEERS, Peer
from bench.peers.running import Unfit, running
from bench.sides import Round

HEADER = ("load", "peer", "requests/s", "ratio", "CPU µs a request", "ratio", "p50 ms", "ratio", "p99 ms", "ratio")
CHART = tables.PAGE.parent / "peers.svg"


@dataclass(frozen=True)
class Result:
    """Of one peer under one load."""

    peer: Peer
    label: str
    ours: list[Round]
    theirs: list[Round]


def main() -> int:
    given = arguments()
    for program in ("wrk", *(["nginx"] if "flask" in given.names else [])):
        if shutil.which(program) is None:
            sys.exit(f"bench.peers needs {program}: apt-get install {program}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that everything is ended then, too
    results: list[Result] = []
    unfit: list[str] = []
    with sides.ours() as tidegate:
        probability = expected(tidegate.model)
        for peer in (peer for peer in PEERS if peer.name in given.names):
            say(f"{peer.name}: starting")
            try:
                with running(peer, tidegate.model, probability) as side:
                    for rate, connections, label in sides.LOADS:
                        result = Result(peer, label, [], [])
                        for number in range(1, given.rounds + 1):
                            result.ours.append(sides.measure(tidegate.side, rate, connections, given.seconds))
                            result.theirs.append(sides.measure(side, rate, connections, given.seconds))
                            say(f"{peer.name}: {label}, round {number}: {brief(result)}")
                        results.append(result)
            except (Unfit, subprocess.CalledProcessError) as error:
                results = [result for result in results if result.peer != peer]
                unfit.append(peer.name)
                say(f"{peer.name}: left out: {error}")
    show(results, keep=given.keep)
    if unfit:
        say(f"left out: {', '.join(unfit)}")
    return 1 if unfit else 0


def arguments() -> argparse.Namespace:
    names = [peer.name for peer in PEERS]
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names)}; all when none is given")
    parser.add_argument("--seconds", type=float, default=4, help="of a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", action="store_true", help="write bench/results.md and docs/peers.svg")
    given = parser.parse_args()
    if strangers := set(given.names) - set(names):
        parser.error(f"no peer {', '.join(sorted(strangers))}; there are {', '.join(names)}")
    given.names = given.names or names
    return given


def expected(model: Path) -> float:
    """What the model itself says of the row."""
    booster = xgboost.Booster({"nthread": 1})
    booster.load_model(model)
    return float(booster.inplace_predict(numpy.array([sides.ROW], dtype=numpy.float32))[0])


def brief(result: Result) -> str:
    each = (("tidegate", result.ours[-1]), (result.peer.name, result.theirs[-1]))
    return ", ".join(f"{name} {r[0]:.0f}/s {r[1]:.0f} µs p99 {r[3]:.1f} ms {r[4]:.0f} failed" for name, r in each)


def show(results: Sequence[Result], *, keep: bool) -> None:
    if not results:
        return
    rows: list[list[object]] = []
    for _, _, label in sides.LOADS:
        for result in (result for result in results if result.label == label):
            ours, theirs = sides.medians(result.ours), sides.medians(result.theirs)
            cells: list[object] = []
            ratios = sides.ratios(result.ours, result.theirs)
            for mine, other, ratio, places in zip(ours[:4], theirs[:4], ratios, (0, 0, 2, 2), strict=True):
                cells += [f"{mine:.{places}f} / {other:.{places}f}", f"{ratio:.2f}"]
            rows.append([label, result.peer.title, *cells, f"{ours[4]:.0f} / {theirs[4]:.0f}"])
    title = "Against other model servers (tidegate / peer)"
    picture = f"![requests/s and CPU of each](../docs/{CHART.name})" if keep else ""
    if keep:
        CHART.write_text(chart.draw(bars(results), f"One XGBoost model, one row a request, {tables.machine()}"))
    tables.show("peers", title, (*HEADER, "failed"), rows, keep=keep, picture=picture)


def bars(results: Sequence[Result]) -> list[chart.Bar]:
    """Of saturation. tidegate's is the median of its rounds beside all peers."""
    saturated = [result for result in results if result.label == sides.LOADS[-1][2]]
    rate, cpu, *_ = sides.medians([each for result in saturated for each in result.ours])
    peers = [(result.peer.title, sides.medians(result.theirs)) for result in saturated]
    return [chart.Bar("tidegate", rate, cpu, ours=True), *(chart.Bar(title, r[0], r[1]) for title, r in peers)]


def say(what: str) -> None:
    print(what, flush=True)


if __name__ == "__main__":
    sys.exit(main())
