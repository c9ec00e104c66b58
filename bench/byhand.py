"""Gateway and worker against FastAPI + uvicorn by hand: one model, one load generator, one run.

    python -m bench.byhand [--seconds 10] [--rounds 3] [--keep]

Both sides run two processes that hold the model; rounds alternate between the sides. sides.py says what is measured.
"""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import psutil

from bench import sides, tables
from bench.sides import Round, Side
from tidegate.host.platform import free_port, wait_until


def main() -> None:
    given = sides.parse_arguments("byhand", __doc__)
    rows: list[list[object]] = []
    with sides.ours() as tidegate, byhand(tidegate.model) as fastapi:
        for rate, connections, label in sides.LOADS:
            rounds = [
                [sides.measure(side, rate, connections, given.seconds) for side in (tidegate.side, fastapi)]
                for _ in range(given.rounds)
            ]
            rows += compare(label, [pair[0] for pair in rounds], [pair[1] for pair in rounds])
    header = ["load", "side", "requests/s", "CPU µs a request", "p50 ms", "p99 ms", "failed"]
    tables.show("byhand", "Against FastAPI by hand", header, rows, keep=given.keep)


@contextlib.contextmanager
def byhand(model: Path) -> Iterator[Side]:
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "bench.fastapi_server:app", "--workers", "2", "--port", str(port)]
    environment = {**os.environ, "MODEL": str(model), "OMP_NUM_THREADS": "1"}
    server = subprocess.Popen([*command, "--no-access-log", "--log-level", "error"], env=environment)
    tree = psutil.Process(server.pid)
    try:
        url = f"http://127.0.0.1:{port}"

        def answers() -> bool:
            with contextlib.suppress(httpx.HTTPError):
                return httpx.get(f"{url}/ping").status_code == 200
            return False

        wait_until(answers, "FastAPI answers")
        time.sleep(1)
        yield Side("FastAPI by hand", url, "/invocations", lambda: [tree, *tree.children(recursive=True)])
    finally:
        for process in tree.children(recursive=True):
            process.terminate()
        server.terminate()
        server.wait()


def compare(label: str, ours: Sequence[Round], theirs: Sequence[Round]) -> list[list[object]]:
    """Medians of each side, and the median of the ratios taken round by round."""
    rows: list[list[object]] = []
    for name, rounds in (("tidegate", ours), ("FastAPI by hand", theirs)):
        rate, cpu, p50, p99, failed = sides.medians(rounds)
        rows.append([label, name, f"{rate:.0f}", f"{cpu:.0f}", f"{p50:.2f}", f"{p99:.2f}", int(failed)])
    rows.append([label, "ratio", *(f"{ratio:.2f}" for ratio in sides.ratios(ours, theirs)), ""])
    return rows


if __name__ == "__main__":
    main()
