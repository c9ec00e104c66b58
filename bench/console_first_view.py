"""How soon each page of the console is there, on a server that just started and once its pages are computed.

    python -m bench.console_first_view [--rounds 5] [--keep]

The first view is what a browser gets: a page whose figures are still being computed says so, and the time until they
are there stands beside it. Every first view is on a server of its own. The time of a warm page is the median of
``rounds``; the last line of the table is the time that the operating system and Python take to start a process, as a
measure of how busy the machine was.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence

import httpx

from bench import tables
from tidegate.host.platform import Platform, wait_until

PAGES = (
    *(
        "",
        "jobs",
        "overview",
        "targets",
        "lessons/drift",
        "rehearse",
        "rolling",
        "flowchart",
        "architectures",
        "compute",
    ),
    *("recommender", "planner", "planner?example=payroll-fraud", "summary", "audit", "account", "users"),
)
BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
WAITING = "data-waiting"
WARM_SECONDS = 600.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=PAGES, help="pages below /console")
    parser.add_argument("--keep", action="store_true", help="write the table to bench/results.md")
    given = parser.parse_args()
    load, started = os.getloadavg()[0], measure_process()
    first = {page: measure_first(page) for page in given.only}
    warm = measure_warm(given.only, given.rounds)
    rows = [
        [f"/console/{page}".rstrip("/"), *(f"{seconds * 1000:.0f} ms" for seconds in (*first[page], warm[page]))]
        for page in given.only
    ]
    rows.append([f"a process that does nothing (load {load:.0f})", f"{started * 1000:.0f} ms", "", ""])
    header = ("page", "first view", "with its figures", "later")
    tables.show(
        "console-first-view", "The console's pages", header, rows, keep=given.keep, command="console_first_view"
    )


def measure_process() -> float:
    found = []
    for _ in range(5):
        begun = time.monotonic()
        subprocess.run([sys.executable, "-c", ""], check=True)
        found.append(time.monotonic() - begun)
    return tables.percentile(found, 50)


def measure_first(page: str) -> tuple[float, float]:
    """Seconds until a server that just started shows a page, and until it has its figures."""
    with Platform() as platform, httpx.Client(base_url=platform.url, headers=BROWSER, timeout=60) as client:
        begun = time.monotonic()
        shown = get(client, page)
        first = time.monotonic() - begun
        if WAITING in shown:
            get(client, page, accept="*/*")
        return first, time.monotonic() - begun


def measure_warm(pages: Sequence[str], rounds: int) -> dict[str, float]:
    with Platform() as platform, httpx.Client(base_url=platform.url, headers=BROWSER, timeout=60) as client:
        get(client, "")

        def all_there() -> bool:
            return all(WAITING not in get(client, page) for page in pages)

        wait_until(all_there, "all pages are computed", WARM_SECONDS, every=1.0)
        return {page: tables.percentile([timed(client, page) for _ in range(rounds)], 50) for page in pages}


def timed(client: httpx.Client, page: str) -> float:
    begun = time.monotonic()
    get(client, page)
    return time.monotonic() - begun


def get(client: httpx.Client, page: str, **headers: str) -> str:
    answer = client.get(f"/console/{page}" if page else "/console", headers=headers)
    answer.raise_for_status()
    return answer.text


if __name__ == "__main__":
    main()
