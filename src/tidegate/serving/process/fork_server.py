"""``python -m tidegate.serving.process.fork_server STATE``: imports every library, and forks workers on demand.

It has one thread and no event loop, and calls nothing of the libraries: locks, pools of threads and OpenMP come into
being in the workers only, which makes forking safe. Should a library start a thread when it is imported, this process
refuses to work (onnxruntime does, to report on its use, where it is not told to leave that).

Its standard input is a socket to the controller. A message is a job, with the end of a pipe: the worker waits at that
pipe until the controller has noted who it is. The answer is the worker's pid. When the controller goes, so does this.
"""

import gc
import os
import signal
import socket
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import NoReturn

import msgspec

from tidegate.serving.__main__ import main as work
from tidegate.serving.contract.memory_release import use_system_allocator

LIBRARIES = (
    *("numpy", "pyarrow", "pandas", "scipy.sparse", "sklearn", "xgboost", "lightgbm", "botocore.session"),
    *("onnxruntime", "tidegate.serving.runtimes.onnx", "tidegate.serving.runtimes.sklearn"),
    *(
        "tidegate.serving.engines.mapped_forest",
        "tidegate.serving.scoring.thread_engine",
        "tidegate.serving.multimodel.memory",
    ),
    "tidegate.serving.runtimes.forest_builder",
)
THREADS = 4
"""Exit code: there is more than one thread."""
_LONGEST = 1 << 16


class Job(msgspec.Struct):
    """``start``: the replica file; ``log``: where the worker's output goes."""

    start: str
    log: str


def main() -> int:
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # read when libraries are imported
        os.environ[variable] = "1"
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    use_system_allocator()
    for name in LIBRARIES:
        try:
            import_module(name)
        except Exception as error:  # what is not installed, or does not work, is a worker's own matter
            print(f"nursery: without {name}: {error}", flush=True)
    threads = len(list(Path("/proc/self/task").iterdir())) if Path("/proc/self/task").exists() else 1
    if threads > 1:
        print(f"nursery: a library has started {threads - 1} threads; nothing is forked", flush=True)
        return THREADS
    gc.collect()
    gc.freeze()  # else the first round of a worker's collector would copy every page
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system buries what has ended
    with socket.socket(fileno=os.dup(0)) as channel:
        channel.send(b"ready")
        serve(channel, os.fork, _become)
    return 0


def serve(channel: socket.socket, fork: Callable[[], int], become: Callable[[Job, int], NoReturn]) -> None:
    """Until the controller hangs up."""
    while True:
        try:
            data, gates, _, _ = socket.recv_fds(channel, _LONGEST, 1)
        except ConnectionError:
            return
        if not data:
            return
        pid = fork()
        if pid == 0:
            channel.close()
            become(msgspec.json.decode(data, type=Job), gates[0])
        os.close(gates[0])
        channel.send(str(pid).encode())


def _become(job: Job, gate: int) -> NoReturn:
    """In the child: a session, a log and standard streams of its own, then a worker like any other."""
    code = 1
    try:
        os.setsid()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        nothing = os.open(os.devnull, os.O_RDONLY)
        log = os.open(job.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for source, target in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        os.close(nothing)
        os.close(log)
        os.chdir(Path(job.start).parent)
        if os.read(gate, 1):
            os.close(gate)
            code = work([job.start])
    finally:
        os._exit(code)


if __name__ == "__main__":
    sys.exit(main())
