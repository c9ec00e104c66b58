"""The command line of a running process."""

import time

import psutil

_LOADING_TRIES, _LOADING_PAUSE = 5, 0.002


def command_line(pid: int) -> list[str]:
    """Return the command line of a process. It is empty for a process that has ended or may not be inspected, and for
    a moment while the kernel loads a program that was just started."""
    for _ in range(_LOADING_TRIES):
        try:
            if line := psutil.Process(pid).cmdline():
                return line
        except (psutil.Error, OSError):
            return []
        time.sleep(_LOADING_PAUSE)
    return []
