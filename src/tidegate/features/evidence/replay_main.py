"""Answers labelled rows with both versions and compares them. Runs in a process of its own (``python -m
tidegate.features.evidence.replay_main PARENT_PID``): reads a ``ReplayJob`` as JSON from stdin, and writes to stdout
what was found of each variant.

Its children answer the rows; it ends when the server does, and another server begins anew.
"""

import os
import sys

import msgspec

from tidegate.domain.decoding import prepare_type
from tidegate.domain.replay import ReplayJob
from tidegate.features.evidence.replay.run import run_replay
from tidegate.host.parent_process import end_with
from tidegate.settings import Settings

NICENESS = 10
"""Serving processes have precedence."""


def main(parent: int) -> None:
    end_with(parent)
    os.nice(NICENESS)
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=prepare_type(ReplayJob))
    found = run_replay(job, Settings.from_environment(os.environ), os.environ)
    sys.stdout.buffer.write(msgspec.json.encode(found))


if __name__ == "__main__":
    main(int(sys.argv[1]))
