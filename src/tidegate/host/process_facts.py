"""Processes as the system knows them: their command lines, and how many files this one may have open."""

import resource
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


# --- how many files this process may have open ---


MOST = 65_536
"""More than a thousand replicas take; where a limit is of millions, programs that go through all numbers would take
long."""


def allow_many_files() -> None:
    """Raise the limit that counts to the one that it may be raised to. Each replica takes two files of its
    controller, and shells and service managers set 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
