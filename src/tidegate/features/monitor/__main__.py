"""A job of Model Monitor: ``python -m tidegate.features.monitor baseline`` (or ``quality``, ``bias``) reads a task as
JSON from stdin and writes the outcome to stdout. It takes seconds of processor time, and may be killed at any moment:
a report appears whole, file by file, and is written again when the job is run again."""

import os
import sys
from collections.abc import Callable
from random import Random
from typing import Any

import msgspec

from tidegate.domain.decoding import prepare_type
from tidegate.features.monitor.baselining import make_baseline
from tidegate.features.monitor.bias import measure_bias_of
from tidegate.features.monitor.processing_records import BaselineTask
from tidegate.features.monitor.quality import measure_quality
from tidegate.features.monitor.schedule_records import LabelledTask

SEED = 17
"""The same data give the same result."""
NICENESS = 10
"""Niceness, so that serving processes have precedence."""
JOBS: dict[str, tuple[type[Any], Callable[[Any, Random], object]]] = {
    "baseline": (BaselineTask, make_baseline),
    "quality": (LabelledTask, measure_quality),
    "bias": (LabelledTask, measure_bias_of),
}


def main() -> None:
    os.nice(NICENESS)
    kind, work = JOBS[sys.argv[1]]
    task = msgspec.json.decode(sys.stdin.buffer.read(), type=prepare_type(kind))
    sys.stdout.buffer.write(msgspec.json.encode(work(task, Random(SEED))))


if __name__ == "__main__":
    main()
