"""Starts a program that dies with the worker. Run as a file, with nothing of the package: it must start fast.

``python -I -S launcher.py WORKER_PID COMMAND...``: takes a process group of its own, asks Linux to kill it when
the worker ends, however that comes about, then becomes the command. Elsewhere the command only gets the worker's
SIGTERM.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
NOT_STARTED = 127
"""Exit code where the command is not there or may not be run (a shell's)."""


def main(worker: int, command: list[str]) -> None:
    os.setpgid(0, 0)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != worker:  # it ended before it could be watched
            os._exit(1)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        print(f"cannot start {command[0]}: {error.strerror}", file=sys.stderr, flush=True)
        os._exit(NOT_STARTED)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
