"""A platform for benchmarks that is ended and removed however the benchmark ends: hundreds of workers must not be
left behind. A signal ends it as an exception would; a second process waits for the end of this one, for the case that
it is killed."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from tidegate.host.platform import Platform

SIGNALS = (signal.SIGTERM, signal.SIGHUP)
PATIENCE = 120.0
"""Seconds that the second process has to end what it finds."""


@contextmanager
def guarded_platform() -> Iterator[Platform]:
    platform = Platform()
    before = {number: signal.signal(number, _end) for number in SIGNALS}
    # The folder is not on its command line, by which a platform finds its processes.
    command = [sys.executable, "-m", "bench.guarded"]
    guardian = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    assert guardian.stdin is not None
    guardian.stdin.write(f"{platform.state}\n".encode())
    guardian.stdin.flush()
    try:
        with platform:
            yield platform
    finally:
        guardian.stdin.close()
        guardian.wait(PATIENCE)
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def main() -> None:
    """Read the state folder, wait until whoever wrote it has ended, and end what is left of its platform."""
    state = Path(sys.stdin.readline().strip())
    sys.stdin.read()
    if state.is_dir():
        Platform(state).stop()


if __name__ == "__main__":
    main()
