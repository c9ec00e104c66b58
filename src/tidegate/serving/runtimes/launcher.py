"""Starts a program that is killed with the worker. Runs as a file that imports nothing of the package, to start fast.

``python -I -S launcher.py WORKER_PID COMMAND...``: creates a process group, asks Linux to kill it when the worker
ends for any reason, then executes the command. On other systems the command only gets the worker's SIGTERM.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
NOT_STARTED = 127
"""Exit code for a command that does not exist or may not be executed, as in a shell."""


def main(worker: int, command: list[str]) -> None:
    os.setpgid(0, 0)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != worker:  # it ended before prctl was called
            os._exit(1)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        print(f"cannot start {command[0]}: {error.strerror}", file=sys.stderr, flush=True)
        os._exit(NOT_STARTED)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
