"""One look of a drift schedule: ``python -m tidegate.features.drift`` reads a task as JSON from stdin and writes the
outcome to stdout. It takes seconds of processor time, may be killed at any moment, and leaves nothing behind."""

import os
import random
import sys

import msgspec

from tidegate.domain.decoding import prepare_type
from tidegate.domain.drift import DriftTask
from tidegate.features.drift.analysis import analyse

SEED = 17
"""The same captures give the same result."""
NICENESS = 10
"""Niceness, so that serving processes have precedence."""


def main() -> None:
    os.nice(NICENESS)
    task = msgspec.json.decode(sys.stdin.buffer.read(), type=prepare_type(DriftTask))
    sys.stdout.buffer.write(msgspec.json.encode(analyse(task, random.Random(SEED).randrange)))


if __name__ == "__main__":
    main()
