"""What happens to a tidegate in a soak: each fault begins, lasts for some time, and ends."""

import contextlib
import os
import random
import signal
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.small_disk import SmallDisk
from tidegate.host.platform import Platform

FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
"""Sets the wall clock of processes; None: it is not installed."""
ROOM = "512m"
"""Size of the disk that is filled."""


@dataclass(frozen=True)
class Harm:
    """``loses``: requests may be lost to it, from its begin until some seconds after its end."""

    name: str
    began: float
    ended: float
    loses: bool


@dataclass
class Faults:
    """``disk``: that of the state folder where it is one of its own, which may be filled. ``clock``: the file that
    sets the platform's clock, where that can be set."""

    platform: Platform
    chance: random.Random
    disk: SmallDisk | None
    clock: Path | None

    def names(self) -> list[str]:
        known = [
            "nothing",
            "kill controller",
            "stop controller",
            "upgrade controller",
            "kill worker",
            "stop worker",
        ]
        known += ["kill proxy", "lock database"]
        return known + ["fill disk"] * (self.disk is not None) + ["set clock"] * (self.clock is not None)

    def inject(self, name: str) -> Harm:
        began = time.time()
        seconds = self.chance.uniform(2, 12)
        match name:
            case "kill controller":
                self.platform.kill_controller()
                time.sleep(seconds)
                self.platform.start()
            case "upgrade controller":
                self.platform.leave()
                self.platform.start()
            case "stop controller":
                with _stopped(self.platform.controller_pid):
                    time.sleep(seconds)
            case "kill worker":
                self._signal("tidegate.serving", signal.SIGKILL)
            case "stop worker":
                self._signal("tidegate.serving", signal.SIGSTOP)
            case "kill proxy":
                self._signal("haproxy", signal.SIGKILL)
            case "lock database":
                with contextlib.closing(sqlite3.connect(self.platform.state / "tidegate.db")) as holder:
                    holder.isolation_level = None
                    with contextlib.suppress(sqlite3.OperationalError):
                        holder.execute("BEGIN IMMEDIATE")
                    time.sleep(seconds)
            case "fill disk":
                assert self.disk is not None
                self.disk.fill()
                time.sleep(seconds)
                self.disk.free()
            case "set clock":
                assert self.clock is not None
                new = self.clock.with_name("clock.new")
                new.write_text(f"{self.chance.choice([3600, -90, 30, -5, 86_400]):+d}s")
                new.replace(self.clock)
        return Harm(name, began, time.time(), name in ("kill worker", "stop worker", "kill proxy"))

    def _signal(self, what: str, number: signal.Signals) -> None:
        found = [p for p in self.platform.processes() if what in " ".join(_command(p))]
        if found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.chance.choice(found).pid, number)


def faked_clock(file: Path) -> dict[str, str]:
    """The environment of processes whose wall clock ``file`` sets; empty where libfaketime is not installed."""
    if FAKETIME is None:
        return {}
    file.write_text("+0s")
    return {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }


@contextlib.contextmanager
def _stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
