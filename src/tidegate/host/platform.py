"""A complete tidegate for tests, benchmarks and rehearsals: with its own state folder, port and processes.

The controller runs as a separate process, so that it can be killed like a real one. ``stop`` ends everything that was
started, including proxy and workers, whatever state they are in.
"""

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import httpx
import psutil

T = TypeVar("T")
START_TIMEOUT = 60.0


def _mark() -> tuple[str, ...]:
    """If a process of an installation starts this (a recommendation job), the mark lets the installation find and end
    it."""
    given = sys._xoptions.get("tidegate")
    return ("-X", f"tidegate={given}") if isinstance(given, str) else ()


OUTGOING = Path("/proc/sys/net/ipv4/ip_local_port_range")
"""Ports that the kernel gives to connections and to listeners that ask for any."""
FIRST_PORT = 10_000


def free_port() -> int:
    """Find a port of the loopback address on which nobody listens now.

    Where Linux leaves some, it is none that another program's connection may get: until somebody listens on it, and
    while whoever listens starts again."""
    low = int(OUTGOING.read_text().split()[0]) if OUTGOING.exists() else 0
    while True:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(
                ("127.0.0.1", FIRST_PORT + secrets.randbelow(low - FIRST_PORT) if low > 2 * FIRST_PORT else 0)
            )
            return int(probe.getsockname()[1])


def wait_until(ready: Callable[[], T | None], what: str, seconds: float = 60.0, every: float = 0.05) -> T:
    """Poll ``ready`` until it returns something true; raises TimeoutError with ``what`` if it does not."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := ready():
            return answer
        time.sleep(every)
    raise TimeoutError(f"not within {seconds:g} seconds: {what}")


@dataclass
class Platform:
    """``environment`` is added to the controller's own; settings.py has the variables."""

    state: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="tg-")))
    port: int = field(default_factory=free_port)
    environment: Mapping[str, str] = field(default_factory=dict)
    program: str = "tidegate.cli.controller"
    """Module of the controller, whose command line it has."""
    _controller: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.state / "tidegate.log"

    @property
    def controller_pid(self) -> int:
        assert self._controller is not None
        return self._controller.pid

    def start(self) -> "Platform":
        """Start (or restart) the controller and wait until it is healthy."""
        self.state.mkdir(parents=True, exist_ok=True)
        # What ``tidegate up`` execs, without the time to import the commands.
        command = [sys.executable, *_mark(), "-m", self.program, "--host", "127.0.0.1"]
        with self.log.open("ab") as log:
            self._controller = subprocess.Popen(
                [*command, "--port", str(self.port), "--state", str(self.state)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environment},
                start_new_session=True,
            )
        wait_until(self._healthy_or_dead, f"tidegate on port {self.port} healthy", START_TIMEOUT)
        return self

    def kill_controller(self) -> None:
        """Send SIGKILL to the controller only; proxy and workers stay."""
        assert self._controller is not None
        self._controller.send_signal(signal.SIGKILL)
        self._controller.wait()

    def leave(self) -> None:
        """Stop the controller gracefully, as before an upgrade; proxy and workers stay."""
        assert self._controller is not None
        self._controller.send_signal(signal.SIGHUP)
        self._controller.wait(timeout=30)

    def processes(self) -> list[psutil.Process]:
        """All running processes of this platform: those with the state folder in their command line."""
        mine = []
        for process in psutil.process_iter(["cmdline"]):
            if str(self.state) in " ".join(process.info["cmdline"] or ()) and process.pid != os.getpid():
                mine.append(process)
        return mine

    def workers(self, endpoint: str = "*", variant: str = "*") -> dict[Path, psutil.Process]:
        """Running workers by their folders. A forked one has the fork server's command line, so that the folders tell
        what it works for."""
        found = {}
        for note in sorted(self.state.glob(f"fleets/{endpoint}/*/{variant}/replicas/*/process.json")):
            with contextlib.suppress(OSError, ValueError, psutil.NoSuchProcess):
                found[note.parent] = psutil.Process(json.loads(note.read_bytes())["pid"])
        return found

    def stop(self, *, keep: bool = False) -> list[str]:
        """Stop it gracefully, then kill what is left. Returns what had to be killed."""
        if self._controller is not None and self._controller.poll() is None:
            self._controller.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._controller.wait(timeout=30)
        forced = []
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                forced.append(" ".join(process.cmdline()))
                process.kill()
        if self._controller is not None:
            self._controller.wait(timeout=30)
        if not keep:
            shutil.rmtree(self.state, ignore_errors=True)
        return forced

    def _healthy_or_dead(self) -> bool:
        assert self._controller is not None
        if (code := self._controller.poll()) is not None:
            raise RuntimeError(f"tidegate ended with exit code {code}: {self.log.read_text()[-3000:]}")
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{self.url}/healthz", timeout=2).status_code == 200
        return False

    def __enter__(self) -> "Platform":
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *_: object) -> None:
        self.stop()
