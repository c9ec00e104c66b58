"""Runs a container with its engine's command, and removes the container when that ends or the worker does. Runs as a
file that imports nothing of the package, to start fast.

``python -I -S keeper.py STATE NAME REMOVAL -- COMMAND``: it is in a session of its own, which outlives the worker's,
and its standard input is a pipe from the worker: once that is closed, the worker is gone. ``STATE`` is the file that
gets the container's last state before the command ``REMOVAL`` removes it. It ends with the exit code of ``COMMAND``.
"""

import os
import selectors
import signal
import subprocess
import sys
import threading
import time

_TRIES, _PAUSE = 5, 0.2
_PATIENCE = 60.0


def main(state: str, name: str, removal: list[str], command: list[str]) -> int:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)  # the worker decides when the container ends
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    if _wait(child):
        _write_state(command[0], name, state)
    else:
        child.kill()
    code = child.wait()
    for _ in range(_TRIES):
        if _run(removal).returncode == 0:
            break
    return code if code >= 0 else 128 - code


def _wait(child: "subprocess.Popen[bytes]") -> bool:
    """Wait for the end of the command, or of the worker. Returns whether it was the command's."""
    ended, ends = os.pipe()
    threading.Thread(target=_tell_end, args=(child, ends), daemon=True).start()
    with selectors.DefaultSelector() as selector:
        selector.register(ended, selectors.EVENT_READ)
        selector.register(0, selectors.EVENT_READ)
        return all(key.fd != 0 for key, _ in selector.select())


def _tell_end(child: "subprocess.Popen[bytes]", ends: int) -> None:
    child.wait()
    os.close(ends)


def _write_state(engine: str, name: str, path: str) -> None:
    """The engine takes a moment until it has noted how a container ended."""
    for _ in range(_TRIES):
        found = _run([engine, "container", "inspect", "--format", "{{json .State}}", name])
        if found.returncode == 0 and b'"stopped"' not in found.stdout and b'"running"' not in found.stdout:
            break
        time.sleep(_PAUSE)
    if found.returncode == 0:
        with open(f"{path}.new", "wb") as file:
            file.write(found.stdout)
        os.replace(f"{path}.new", path)


def _run(command: list[str]) -> "subprocess.CompletedProcess[bytes]":
    try:
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PATIENCE, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return subprocess.CompletedProcess(command, 1, b"", b"")


if __name__ == "__main__":
    split = sys.argv.index("--")
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:split], sys.argv[split + 1 :]))
