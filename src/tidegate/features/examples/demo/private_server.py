"""Starts a server of the demo's own: a free port, a state folder that is thrown away, and nothing left running."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import yaml

from tidegate.domain.errors import Unavailable
from tidegate.features.examples.demo.cloud import FLAWED
from tidegate.host.platform import free_port

PROGRAM = Path(__file__).with_name("flawed_server.py")
PATIENCE = 120.0
"""Seconds that the server may take to start, or to drain."""


@dataclass
class PrivateServer:
    """``left``: what still ran after ``tidegate down`` and had to be killed."""

    url: str
    left: list[str] = field(default_factory=list)


@contextmanager
def run_server(state: Path) -> Iterator[PrivateServer]:
    """``tidegate up --detach`` ... ``tidegate down``, whatever happens in between. Raises Unavailable if it does not
    start."""
    state.mkdir(parents=True)
    port = free_port()
    server = PrivateServer(f"http://127.0.0.1:{port}")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("TIDEGATE_", "AWS_"))}
    environment |= {"TIDEGATE_IMAGES": str(_write_images(state)), "TIDEGATE_URL": server.url}
    try:
        _run_command(environment, "up", "--detach", "--port", str(port), "--state", str(state))
        try:
            yield server
        finally:
            _run_command(environment, "down")
    finally:
        server.left = _kill_rest(state)


def _run_command(environment: dict[str, str], *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tidegate.cli", *arguments],
        env=environment,
        check=False,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        timeout=PATIENCE,
    )
    if done.returncode:
        reason = (done.stderr.strip() or f"exit status {done.returncode}").splitlines()[-1]
        raise Unavailable(f"the demo's server: {reason.removeprefix('tidegate: ')}")


def _write_images(state: Path) -> Path:
    """The server's table of images: what the name of the flawed image runs."""
    path = state / "images.yaml"
    path.write_text(yaml.safe_dump({"images": {FLAWED: {"command": [sys.executable, str(PROGRAM)]}}}))
    return path


def _kill_rest(state: Path) -> list[str]:
    """End whatever names the state folder in its command or its environment."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            named = [*process.cmdline(), *process.environ().values()]
            if process.pid != os.getpid() and any(str(state) in text for text in named):
                found.append(f"{process.pid} {process.name()}")
                process.kill()
    return found
