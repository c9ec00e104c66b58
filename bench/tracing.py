"""What traces cost a worker: microseconds of a prediction without tracing, at 1 %, and with every request traced.

``python -m bench.tracing [--rounds 10] [--old FOLDER]``. ``--old`` names the ``src`` folder of another copy of
tidegate, such as one from before tracing, which runs by turns with the rest.

Each side is a process that runs a worker's server with requests whose head is known, from the bytes of a request to
those of the answer, around a model that does nothing: all that is shown is tidegate's own code. Spans go to a socket
that is read. Of many short runs the fastest counts, which other programs on the machine have disturbed least.
"""

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).with_name("tracing_side.py")
SIDES = {"off": "off", "off again": "off", "1 %": "0.01", "every request": "1"}
"""Name -> ratio of the requests that are traced. The second one shows how far two runs of the same differ."""


def main() -> None:
    parser = argparse.ArgumentParser(description="What traces cost a worker.")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--old", type=Path, help="src folder of another copy of tidegate")
    given = parser.parse_args()
    here = Path(__file__).parents[1] / "src"
    sides = {name: (here, ratio) for name, ratio in SIDES.items()}
    if given.old is not None:
        sides = {"old": (given.old.absolute(), "off"), **sides}
    costs: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(given.rounds):
        order = list(sides)[number % len(sides) :] + list(sides)[: number % len(sides)]
        for name in order:
            costs[name].append(measure(*sides[name]))
    basis = costs[next(iter(sides))]
    print(f"load of the machine {os.getloadavg()[0]:.1f}; ratios to {next(iter(sides))!r}")
    print(f"{'':16}{'fastest us':>12}{'median us':>12}{'ratio of the fastest':>22}")
    for name, found in costs.items():
        print(f"{name:16}{min(found):12.2f}{statistics.median(found):12.2f}{min(found) / min(basis):22.3f}")


def measure(source: Path, ratio: str) -> float:
    done = subprocess.run(
        [sys.executable, str(PROGRAM), ratio],
        env={**os.environ, "PYTHONPATH": str(source), "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


if __name__ == "__main__":
    main()
