"""``serve`` as a real process on ports of its own: the worker of containers, without a container."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

PATIENCE = 60.0
"""Seconds after which a test gives up on a process."""


@dataclass(frozen=True)
class RunningServe:
    """``work``: the folder that it writes to."""

    process: subprocess.Popen[bytes]
    work: Path
    port: int

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.work.parent / "log").read_text()

    def ready(self) -> None:
        """Wait for ``/ping``. Raises AssertionError when the process ends instead."""
        deadline = time.monotonic() + PATIENCE
        while not answers(f"{self.address}/ping"):
            if self.process.poll() is not None:
                raise AssertionError(f"serve ended with {self.process.returncode}: {self.log}")
            if time.monotonic() > deadline:
                raise AssertionError(f"serve did not become ready: {self.log}")
            time.sleep(0.02)

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        return self.process.wait(PATIENCE)


class Serves:
    """Starts workers, and ends those that a test leaves running."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: list[RunningServe] = []

    def start(self, *arguments: str, port: int, environment: Mapping[str, str]) -> RunningServe:
        work = self._folder / f"s{len(self._running)}" / "work"
        work.parent.mkdir()
        with (work.parent / "log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "tidegate.serving.process.serve", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "TIDEGATE_WORK": str(work), **environment},
                start_new_session=True,
            )
        self._running.append(RunningServe(process, work, port))
        return self._running[-1]

    def end(self) -> None:
        for each in self._running:
            if each.process.poll() is None:
                each.process.kill()
            each.process.wait()


@pytest.fixture
def serves(tmp_path: Path) -> Iterator[Serves]:
    started = Serves(tmp_path)
    try:
        yield started
    finally:
        started.end()


def answers(url: str) -> bool:
    """Whether a GET is answered with 200."""
    try:
        return httpx.get(url, timeout=5).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False
