"""ministack, an emulator of AWS's control planes, as a process of a test."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tidegate.host.platform import free_port

CLIENT = Path(__file__).parents[2] / ".clients" / "ministack"
PROGRAM = CLIENT / "bin" / "ministack"
PATIENCE = 60.0
"""Seconds until it must listen."""


@contextmanager
def ministack(folder: Path, **environment: str) -> Iterator[str]:
    """Its address. It listens on this machine alone: its default is every interface."""
    port = free_port()
    own = {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "PATH": f"{CLIENT / 'bin'}:{os.environ['PATH']}"}
    with (folder / "ministack.log").open("wb") as log:
        process = subprocess.Popen(
            [str(PROGRAM)], cwd=folder, env={**os.environ, **own, **environment}, stdout=log, stderr=log
        )
    try:
        until = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if time.monotonic() > until or process.poll() is not None:
                    raise AssertionError((folder / "ministack.log").read_text()) from None
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)
