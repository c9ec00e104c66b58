"""``python -m tests.timed_run make test``: run a command and record in docs/dev/test-time.md how long it took.

The table there has one row for each command, the last run of it: when, at which commit, how long, and how it ended.
"""

import datetime
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "dev" / "test-time.md"
HEAD = "| Command | When | Commit | Processors, load before | Minutes | Result |\n|---|---|---|---|---|---|\n"


@dataclass(frozen=True, slots=True)
class TimedRun:
    """One run of a command. ``minutes`` is wall-clock time, ``load`` the average of the minute before it began."""

    command: str
    when: datetime.datetime
    commit: str
    processors: int
    load: float
    minutes: float
    result: str

    def render(self) -> str:
        when = self.when.strftime("%Y-%m-%d %H:%M")
        machine = f"{self.processors}, {self.load:.1f}"
        return f"| `{self.command}` | {when} | {self.commit} | {machine} | {self.minutes:.1f} | {self.result} |\n"


def record_run(page: str, run: TimedRun) -> str:
    """Return the page with this run in its table, in place of an earlier run of the same command.

    Raises ValueError if the page has no such table.
    """
    before, found, rest = page.partition(HEAD)
    if not found:
        raise ValueError("the page has no table of runs")
    lines = rest.splitlines(keepends=True)
    length = next((at for at, line in enumerate(lines) if not line.startswith("|")), len(lines))
    rows = {line.split("`")[1]: line for line in lines[:length]}
    rows[run.command] = run.render()
    return before + HEAD + "".join(rows[name] for name in sorted(rows)) + "".join(lines[length:])


def summarize(code: int, lines: Sequence[str]) -> str:
    """Return how the command ended: what pytest said last of each of its runs, or the status of its exit."""
    counts = [line.strip("= ").partition(" in ")[0] for line in lines if " passed" in line and " in " in line]
    return "; ".join([*counts, *([f"exit status {code}"] if code or not counts else [])])


def main(arguments: Sequence[str]) -> int:
    when = datetime.datetime.now(datetime.UTC)
    load = os.getloadavg()[0]
    asked = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    commit = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    begun = time.monotonic()
    lines = []
    with subprocess.Popen(
        arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as running:
        assert running.stdout is not None
        for line in running.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    minutes = (time.monotonic() - begun) / 60
    processors = len(os.sched_getaffinity(0))
    result = summarize(running.returncode, lines)
    run = TimedRun(shlex.join(arguments), when, commit, processors, load, minutes, result)
    PAGE.write_text(record_run(PAGE.read_text(), run))
    return running.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
