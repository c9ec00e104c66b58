"""Prints the employees with the highest scores of a batch job: ``python client.py SCORES [COUNT]``.

SCORES is the folder that the job wrote, such as ``v1-scores``: each line is a row with its score behind it.
"""

import sys
from pathlib import Path


def main(folder: Path, count: int) -> None:
    scored = [
        (float(line.rpartition(",")[2]), place)
        for file in sorted(folder.iterdir())
        for place, line in enumerate(file.read_text().splitlines(), 1)
    ]
    for score, place in sorted(scored, reverse=True)[:count]:
        print(f"row {place}: {score:.3f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 10)
