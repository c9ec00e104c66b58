"""What one controller and one database carry, as curves: endpoints, alarms, rollouts at a time, requests in the
queue, lines of the journal, fleets and replicas. A list that is empty leaves its curve out; ``--only`` leaves out all
but the curves that it names.

python -m bench.scale [--endpoints 100,300,1000,3000] [--alarms 100,1000,3000] [--rollouts 10,30,100]
    [--queue 1000,10000,100000] [--journal 2000,8000,32000] [--fleets 30,90,180] [--replicas 5,15,45]
    [--only fleets,replicas] [--keep]

The controller's loops are the real ones, with a real SQLite database and clock; the target is in memory, so that
nothing but the controller costs processor time. Fleets and replicas are real, with their processes and the proxy.
Processor time is what is shown: it does not depend on what else runs here.
"""

import argparse
import asyncio
import time
from collections.abc import Sequence

import numpy as np
import psutil

from bench import tables
from bench.scale_fleets import Shares, measure_fleets, measure_replicas
from bench.scale_journal import measure_journal
from bench.scale_platform import platform_with
from bench.scale_queue import measure_queue

CURVES = ("endpoints", "alarms", "rollouts", "queue", "journal", "fleets", "replicas")
SECONDS = 20
"""Of real time for each point."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--endpoints", type=_numbers, default=[100, 300, 1000, 3000])
    parser.add_argument("--alarms", type=_numbers, default=[100, 1000, 3000])
    parser.add_argument("--rollouts", type=_numbers, default=[10, 30, 100])
    parser.add_argument("--queue", type=_numbers, default=[1_000, 10_000, 100_000])
    parser.add_argument("--journal", type=_numbers, default=[2_000, 8_000, 32_000])
    parser.add_argument("--fleets", type=_numbers, default=[30, 90, 180])
    parser.add_argument("--replicas", type=_numbers, default=[5, 15, 45])
    parser.add_argument("--only", type=_names, help="of these curves, separated by commas")
    parser.add_argument("--keep", action="store_true", help="write the tables to bench/results.md")
    given = parser.parse_args()
    for curve in CURVES if given.only else ():
        if curve not in given.only:
            setattr(given, curve, [])
    rows: list[list[object]]
    if given.endpoints:
        rows = [asyncio.run(_endpoints(count)) for count in given.endpoints]
        header = ["endpoints", "processor at rest", "memory", "slowest round"]
        tables.show(
            "scale-endpoints", "Endpoints of one controller", header, rows, keep=given.keep, command="scale"
        )
    if given.alarms:
        show_alarms(given.alarms, keep=given.keep)
    if given.rollouts:
        rows = [asyncio.run(_rollouts(count)) for count in given.rollouts]
        header = ["rollouts at a time", "processor a rollout", "rollouts a second of processor", "all ended right"]
        tables.show("scale-rollouts", "Rollouts of one controller", header, rows, keep=given.keep, command="scale")
    if given.queue:
        rows = [asyncio.run(measure_queue(depth)) for depth in given.queue]
        header = ["requests waiting", "accept, a second", "lease, a second", "look at the backlog"]
        tables.show("scale-queue", "Queue of one database", header, rows, keep=given.keep, command="scale")
    if given.journal:
        show_journal(given.journal, keep=given.keep)
    if given.fleets:
        show_fleets(given.fleets, measure_fleets(given.fleets), "serverless fleets at zero", keep=given.keep)
    if given.replicas:
        show_fleets(given.replicas, measure_replicas(given.replicas), "replicas of one fleet", keep=given.keep)


def show_fleets(counts: Sequence[int], spent: Sequence[Shares], what: str, *, keep: bool) -> None:
    """Most of the controller's time does not grow: so each more is shown, too."""
    rows: list[list[object]] = [
        [count, *(f"{share:.2%}" for share in shares)] for count, shares in zip(counts, spent, strict=True)
    ]
    sides = list(zip(*spent, strict=True))
    rows.append(["exponent", *(f"{exponent(counts, side):.2f}" for side in sides)])
    if len(counts) > 1:
        more = [(side[-1] - side[0]) / (counts[-1] - counts[0]) for side in sides]
        rows.append(["each more", *(f"{share:.4%}" for share in more)])
    id = f"scale-{what.split()[0]}"
    tables.show(id, what.capitalize(), [what, "controller", "proxy"], rows, keep=keep, command="scale")


def show_alarms(counts: Sequence[int], *, keep: bool) -> None:
    spent = [asyncio.run(_alarms(count)) for count in counts]
    rows: list[list[object]] = [[f"{n:,}", f"{s:.2%}"] for n, s in zip(counts, spent, strict=True)]
    rows.append(["exponent", f"{exponent(counts, spent):.2f}"])
    header = ["alarms of 10 endpoints", "processor"]
    tables.show("scale-alarms", "Alarms of one controller", header, rows, keep=keep, command="scale")


def show_journal(lengths: Sequence[int], *, keep: bool) -> None:
    spent = [asyncio.run(measure_journal(length)) for length in lengths]
    rows: list[list[object]] = [
        [f"{length:,}", *(f"{part:.2f} ms" for part in parts)]
        for length, parts in zip(lengths, spent, strict=True)
    ]
    rows.append(["exponent", *(f"{exponent(lengths, column):.2f}" for column in zip(*spent, strict=True))])
    header = ["lines of the journal", "write", "look at the last 100", "removal that finds nothing"]
    tables.show("scale-journal", "Journal of one database", header, rows, keep=keep, command="scale")


def exponent(work: Sequence[float], cost: Sequence[float]) -> float:
    """``p`` where cost grows as work to the power of ``p``: the slope of the line through the logarithms."""
    return float(np.polyfit(np.log(work), np.log(cost), 1)[0]) if len(work) > 1 else float("nan")


def _names(text: str) -> list[str]:
    found = [part for part in text.split(",") if part]
    if unknown := set(found) - set(CURVES):
        raise argparse.ArgumentTypeError(f"no curve {', '.join(sorted(unknown))}: choose of {', '.join(CURVES)}")
    return found


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",") if part]


async def _endpoints(count: int) -> list[object]:
    """Endpoints at rest, each with two alarms and 100 requests a second that are counted and judged."""
    async with platform_with(count) as platform:
        begun, clock = time.process_time(), time.monotonic()
        rounds = await platform.watch(SECONDS)
        spent = (time.process_time() - begun) / (time.monotonic() - clock)
        held = psutil.Process().memory_info().rss / 2**20
        return [count, f"{spent:.1%}", f"{held:.0f} MB", f"{max(rounds) * 1000:.0f} ms"]


async def _alarms(count: int) -> float:
    """Share of a processor with so many more alarms than the twenty of ten endpoints."""
    async with platform_with(10) as platform:
        await platform.add_alarms(count)
        begun, clock = time.process_time(), time.monotonic()
        await platform.watch(SECONDS)
        return (time.process_time() - begun) / (time.monotonic() - clock)


async def _rollouts(count: int) -> list[object]:
    """Linear updates of all endpoints at once."""
    async with platform_with(count) as platform:
        begun = time.process_time()
        await platform.update_all()
        await platform.settle()
        spent = (time.process_time() - begun) / count
        right = await platform.count_serving("v2")
        return [count, f"{spent * 1000:.0f} ms", f"{1 / spent:.0f}", f"{right} of {count}"]


if __name__ == "__main__":
    main()
