"""Shared code of the processes of jobs: the files that they report in, and how they are terminated."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec

from tidegate.targets.local.process import Process

T = TypeVar("T")

START = "job.json"
"""The file that a job's process is started with, in the job's folder."""


def read_file(path: Path, kind: type[T]) -> T | None:
    """Read the report of a process; None until the file is complete."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError):
        return None


@dataclass
class Termination:
    """A process is asked to end once, and killed if it still runs ``patience`` seconds later."""

    patience: float
    _asked_at: dict[str, float] = field(default_factory=dict)

    def ask(self, name: str, process: Process | None) -> None:
        """Call this again until the process is gone. ``process``: that of the job; None if none runs."""
        if process is None:
            return
        now = asyncio.get_running_loop().time()
        if name not in self._asked_at:
            self._asked_at[name] = now
            process.terminate()
        elif now - self._asked_at[name] > self.patience:
            process.kill()

    def forget(self, name: str) -> None:
        self._asked_at.pop(name, None)
