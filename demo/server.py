"""A tidegate of the demo's own: a free port, a state folder that is thrown away, and nothing left running."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import yaml

from demo.cloud import FLAWED

CLI = (sys.executable, "-m", "tidegate.cli")
SERVER = Path(__file__).parent / "flawed_server.py"
PATIENCE = 120.0


@dataclass
class Platform:
    url: str
    state: Path
    left: list[str] = field(default_factory=list)
    """What still ran after ``tidegate down`` and had to be killed."""


@contextmanager
def running() -> Iterator[Platform]:
    """``tidegate up --detach`` ... ``tidegate down``, whatever happens in between."""
    state = Path(tempfile.mkdtemp(prefix="tidegate-demo-"))
    platform = Platform(f"http://127.0.0.1:{_free_port()}", state)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("TIDEGATE_", "AWS_"))}
    environment |= {"TIDEGATE_IMAGES": str(_images(state)), "TIDEGATE_URL": platform.url}
    port = platform.url.rpartition(":")[2]
    try:
        _tidegate(environment, "up", "--detach", "--port", port, "--state", str(state))
        try:
            yield platform
        finally:
            _tidegate(environment, "down")
    finally:
        platform.left = _kill_rest(state)
        shutil.rmtree(state, ignore_errors=True)


def _tidegate(environment: dict[str, str], *arguments: str) -> None:
    subprocess.run([*CLI, *arguments], env=environment, check=True, stdout=subprocess.DEVNULL, timeout=PATIENCE)


def _images(state: Path) -> Path:
    """The server's table of images: what the name of the flawed image runs."""
    path = state / "images.yaml"
    path.write_text(yaml.safe_dump({"images": {FLAWED: {"command": [sys.executable, str(SERVER)]}}}))
    return path


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _kill_rest(state: Path) -> list[str]:
    """Ends whatever names the state folder in its command or its environment."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            named = [*process.cmdline(), *process.environ().values()]
            if process.pid != os.getpid() and any(str(state) in text for text in named):
                found.append(f"{process.pid} {process.name()}")
                process.kill()
    return found
