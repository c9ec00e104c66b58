"""What the processes of jobs have in common: the files that they leave word in, and how they are told to end."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec

from tidegate.targets.local.process import Process

T = TypeVar("T")

START = "job.json"
"""The file that a job's process is started with, in the job's folder."""


def word(path: Path, kind: type[T]) -> T | None:
    """What a process wrote; None while there is nothing whole."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError):
        return None


@dataclass
class Ending:
    """A process is told to end once; one that still runs ``patience`` seconds later is killed."""

    patience: float
    _told: dict[str, float] = field(default_factory=dict)

    def ask(self, name: str, process: Process | None) -> None:
        """Asked again until it is gone. ``process``: of the job; None where none runs."""
        if process is None:
            return
        now = asyncio.get_running_loop().time()
        if name not in self._told:
            self._told[name] = now
            process.terminate()
        elif now - self._told[name] > self.patience:
            process.kill()

    def forget(self, name: str) -> None:
        self._told.pop(name, None)
