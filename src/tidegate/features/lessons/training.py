"""Trains the lab's models in a process of its own, with what is there of them so far."""

import asyncio
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tidegate.console.computed_pages import ask_process
from tidegate.domain.errors import TidegateError
from tidegate.features.lessons.lab import EXAMPLE, VERSIONS
from tidegate.features.lessons.run_records import TAG, LiveRun

SUMMARY = "example.json"
TIME_LIMIT = 300.0
"""Seconds."""


@dataclass
class Trainer:
    """``program``: the command line of the process."""

    program: Sequence[str]
    environment: Mapping[str, str]
    failure: str = ""
    _task: asyncio.Task[None] | None = field(default=None, repr=False)

    @property
    def running(self) -> bool:
        return self._task is not None and not self._task.done()

    def start(self, run: LiveRun, folder: Path, bake: float, prices: Path | None) -> None:
        """Train into ``folder``, in place of what an earlier training left there. ``prices``: those of the specs."""
        asked = {
            "parent": os.getpid(),
            "example": EXAMPLE,
            "folder": str(folder),
            "endpoint": run.endpoint,
            "tags": {TAG: run.id, "tidegate:environment": "lab"},
            "bake": bake,
            "prices": None if prices is None else str(prices),
        }
        self.failure = ""
        self._task = asyncio.create_task(self._run(folder, asked))

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self, folder: Path, asked: object) -> None:
        try:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
            for left in folder.parent.glob(f".{folder.name}-*"):
                await asyncio.to_thread(shutil.rmtree, left, ignore_errors=True)
            answer = await ask_process(self.program, asked, self.environment, TIME_LIMIT)
            self.failure = str(answer["error"])
        except TimeoutError:
            self.failure = f"not finished within {TIME_LIMIT:g} s"
        except (OSError, ValueError, TidegateError) as error:
            self.failure = str(error)


def is_trained(folder: Path) -> bool:
    """Whether all is written; specs come last."""
    return all((folder / name).is_file() for name in (SUMMARY, *(f"{version}.yaml" for version in VERSIONS)))


def count_models(folder: Path) -> int:
    """Models of the training under way that are there; its folder gets its name with the last of them."""
    return max(len(list(folder.parent.glob(f"{name}/*.ubj"))) for name in (folder.name, f".{folder.name}-*"))


def read_quality(folder: Path) -> list[dict[str, object]]:
    """Each version with what it is and how good it is on held-out data; empty if that is not known."""
    try:
        told = json.loads((folder / SUMMARY).read_text())
        measure = told["measure"]
        return [
            {"name": name, "about": one["about"], "quality": float(one["quality"][measure]), "measure": measure}
            for name, one in told["versions"].items()
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []
