"""How the shards of one transform job go faster with more runners, and what each costs the database.

python -m bench.shards --database postgresql://user@host/empty [--runners 1,2,4,8,16] [--seconds 0.5] [--keep]

Runners are processes with connections of their own, as pods have them; the model is a wait of ``--seconds`` a shard,
so that what is measured is the sharing of work and not the processors of this machine. Each runner has one lane. The
last rows have no wait: they show what the database and this machine can do at most.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass

from bench import tables
from tidegate.domain.shards import JobOver, LeasedShard, ShardProgress
from tidegate.domain.transform import InputObject
from tidegate.store.database import open_database
from tidegate.store.shards import SqlShardLeases, SqlShards

PER_RUNNER = 10
"""Shards for each runner."""
LEASE = 15.0
IDLE = 0.05
"""Seconds between two questions while others have the last shards."""


@dataclass(frozen=True)
class Found:
    wall: float
    leased: Counter[int]
    transactions: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--database", required=True)
    parser.add_argument("--runners", type=lambda given: [int(part) for part in given.split(",")], default=[])
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--keep", action="store_true", help="write the table to bench/results.md")
    parser.add_argument("--runner", nargs=3, metavar=("JOB", "NAME", "SECONDS"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.runner:
        job, name, seconds = given.runner
        asyncio.run(run(given.database, job, name, float(seconds)))
        return
    rows = [row(given.database, count, given.seconds) for count in given.runners or (1, 2, 4, 8, 16)]
    rows += [row(given.database, count, 0.0, 300) for count in (1, 2, 4)]
    load = os.getloadavg()[0]
    header = [
        "runners",
        "work a shard",
        "shards",
        "shards a second",
        "of linear",
        "leases a shard",
        "transactions",
    ]
    title = f"Runners that share a transform job (load {load:.0f})"
    tables.show("shards", title, header, rows, keep=given.keep)


def row(url: str, runners: int, seconds: float, per_runner: int = PER_RUNNER) -> list[object]:
    shards = runners * per_runner
    found = asyncio.run(measure(url, f"bench-{runners}-{seconds}", runners, shards, seconds))
    assert found.leased == Counter(range(1, shards + 1)), "each is leased once"
    rate = shards / found.wall
    linear = f"{rate * seconds / runners:.0%}" if seconds else ""
    each = found.leased.total() / shards
    spent = f"{found.transactions / shards:.2f} a shard"
    return [runners, f"{seconds * 1000:.0f} ms", shards, f"{rate:,.0f}", linear, f"{each:.2f}", spent]


async def measure(url: str, job: str, runners: int, shards: int, seconds: float) -> Found:
    """From the start signal to the last end: starting and ending processes is no part of it."""
    database = open_database(url, serial=False)
    try:
        board = SqlShards(database)
        await board.discard(job)
        await board.open(job, 0)
        command = [sys.executable, "-m", "bench.shards", "--database", url, "--runner", job]
        started = await asyncio.to_thread(_start, command, runners, seconds)
        lister = SqlShardLeases(database, job, 0, "lister", LEASE)
        listing = await lister.next()
        assert isinstance(listing, LeasedShard)
        items = [InputObject(f"s3://in/{number}", f"{number}", 1_000, "1") for number in range(shards)]
        await lister.write_listing(listing, items)
        begun = time.time()
        answers = await asyncio.to_thread(_collect, started)
        leased: Counter[int] = Counter()
        transactions, last = 0, begun
        for answer in answers:
            numbers, spent, ended_at = answer.split(";")
            leased.update(int(number) for number in numbers.split(",") if number)
            transactions, last = transactions + int(spent), max(last, float(ended_at))
        tally = await board.tally(job)
        assert tally is not None and tally.done == shards
        await board.discard(job)
        return Found(last - begun, leased, transactions)
    finally:
        await database.close()


def _start(command: list[str], runners: int, seconds: float) -> list["subprocess.Popen[bytes]"]:
    """Returns once all are connected."""
    started = [
        subprocess.Popen([*command, f"r{number}", str(seconds)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for number in range(runners)
    ]
    for process in started:
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    return started


def _collect(started: list["subprocess.Popen[bytes]"]) -> list[str]:
    for process in started:
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        process.stdin.flush()
    return [process.communicate()[0].decode().strip() for process in started]


async def run(url: str, job: str, name: str, seconds: float) -> None:
    """One runner; prints the numbers of what it leased, and its transactions while there was work."""
    database = open_database(url, serial=False, prepare=False)
    leases = SqlShardLeases(database, job, 0, name, LEASE)
    await leases.give_back(lost=False)  # connects
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    taken, transactions, ended = [], 0, 0.0
    while not isinstance(found := await leases.next(), JobOver):
        if isinstance(found, LeasedShard):
            taken.append(found.number)
            await asyncio.sleep(seconds)
            await leases.finish(found, ShardProgress(records=1), "")
            transactions, ended = transactions + 2, time.time()
        else:
            await asyncio.sleep(IDLE)
    print(",".join(map(str, taken)), transactions, ended, sep=";", flush=True)
    await database.close()


if __name__ == "__main__":
    main()
