"""``python -m tidegate.serving.process.fork_server STATE GROUP``: imports the libraries of a group of runtimes
(``contract.fork_groups``), and forks workers on demand.

It has one thread and no event loop, and calls no library function: locks, thread pools and OpenMP are created in the
workers only, which makes forking safe. If a library starts a thread when it is imported, this process exits
(onnxruntime does so for its telemetry, unless that is disabled).

Its standard input is a socket to the controller. A message is a job, with the end of a pipe: the worker waits on that
pipe until the controller has recorded its pid, which is the answer. This process ends when the controller does. A
worker that has ended stays a zombie for some seconds, so that the controller can read its exit code.
"""

import gc
import os
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NoReturn

import msgspec

from tidegate.domain.decoding import prepare_type
from tidegate.host.features import features
from tidegate.host.late_import import load_module
from tidegate.serving.__main__ import main as work
from tidegate.serving.contract.fork_groups import THREADS, kinds_of
from tidegate.serving.contract.memory_release import use_system_allocator
from tidegate.serving.contract.runtime import TABLES
from tidegate.serving.front.captures import HOOK as CAPTURES
from tidegate.serving.process.lifecycle import TRACED_SERVER
from tidegate.serving.runtimes.optional_imports import LOADER

EVERYWHERE = ("numpy", "pyarrow", "botocore.session")
OF_TABLES = ("pandas", "scipy.sparse")
ZOMBIE = 2.0
"""Seconds for which a worker that has ended stays a zombie, at least."""
_LONGEST = 1 << 16


class ForkRequest(msgspec.Struct):
    """``start``: the replica file; ``log``: where the worker's output goes."""

    start: str
    log: str


def main(group: str) -> int:
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # read when libraries are imported
        os.environ[variable] = "1"
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    use_system_allocator()
    import_libraries(group)
    threads = len(list(Path("/proc/self/task").iterdir())) if Path("/proc/self/task").exists() else 1
    if threads > 1:
        print(f"fork server: a library has started {threads - 1} threads; nothing is forked", flush=True)
        return THREADS
    gc.collect()
    gc.freeze()  # else the first round of a worker's collector would copy every page
    children = _Children()
    signal.signal(signal.SIGCHLD, lambda *_: children.arm())
    signal.signal(signal.SIGALRM, lambda *_: children.reap())
    with socket.socket(fileno=os.dup(0)) as channel:
        channel.send(b"ready")
        serve(channel, children.fork, _become)
    return 0


class _Children:
    """The workers that were forked and have not been reaped."""

    def __init__(self) -> None:
        self._running: set[int] = set()
        self._ended: set[int] = set()

    def fork(self) -> int:
        """Fork with the signals held back, so that even a worker that ends at once is known before it is reaped."""
        held = {signal.SIGCHLD, signal.SIGALRM}
        signal.pthread_sigmask(signal.SIG_BLOCK, held)
        if (pid := os.fork()) != 0:
            self._running.add(pid)
        else:
            for number in held:
                signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, held)
        return pid

    def arm(self) -> None:
        """A worker has ended: look after a while, unless that is planned already."""
        if signal.getitimer(signal.ITIMER_REAL)[0] == 0:
            signal.setitimer(signal.ITIMER_REAL, ZOMBIE)

    def reap(self) -> None:
        """Reap those that were zombies at the last look; look again if there are new ones."""
        for pid in self._ended:
            os.waitpid(pid, 0)
        self._ended = {pid for pid in self._running if _is_zombie(pid)}
        self._running -= self._ended
        if self._ended:
            signal.setitimer(signal.ITIMER_REAL, ZOMBIE)


def _is_zombie(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def libraries(group: str) -> tuple[str, ...]:
    """Names of packages, in the order in which they are imported."""
    packages = (package for kind in kinds_of(group) for package in kind.descriptor.preload)
    return (*EVERYWHERE, *(OF_TABLES if group == TABLES else ()), *packages)


def import_libraries(group: str = TABLES) -> None:
    """Import what workers would import. A library that is not installed, or does not work, is left to the worker."""
    for name in libraries(group):
        _attempt(name, partial(load_module, name))
    for kind in kinds_of(group):
        if kind.descriptor.preload_module:
            _attempt(f"the runtime {kind}", partial(LOADER.load_module, kind))
    _attempt("features", _import_features)
    _attempt("tables", _import_tables)
    if group == TABLES:
        _attempt("mapped forests", _import_forests)


def _import_features() -> None:
    """Most workers use none of them; those that do would import them after each fork."""
    for point in (CAPTURES, TRACED_SERVER):
        features().find_hook(point)


def _import_tables() -> None:
    from tidegate.host import memory  # noqa: F401, PLC0415
    from tidegate.serving.runtimes import tabular_scorer  # noqa: F401, PLC0415  # needs numpy


def _import_forests() -> None:
    from tidegate.serving.engines import mapped_forest  # noqa: F401, PLC0415  # needs numpy
    from tidegate.serving.runtimes import aws_xgboost, forest_builder  # noqa: F401, PLC0415


def _attempt(name: str, load: Callable[[], object]) -> None:
    try:
        load()
    except (Exception, SystemExit) as error:
        print(f"fork server: without {name}: {error}", flush=True)


def serve(channel: socket.socket, fork: Callable[[], int], become: Callable[[ForkRequest, int], NoReturn]) -> None:
    """Fork a worker for each job until the controller closes the socket."""
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
            become(msgspec.json.decode(data, type=prepare_type(ForkRequest)), gates[0])
        os.close(gates[0])
        channel.send(str(pid).encode())


def reseed() -> None:
    """Else every worker would draw the numbers that the generators of NumPy and PyTorch draw next: the interpreter's
    is seeded after a fork, theirs are not."""
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()
    if (torch := sys.modules.get("torch")) is not None and hasattr(torch, "default_generator"):
        torch.default_generator.seed()  # that of the processor; torch.seed() would reach for those of devices


def _become(job: ForkRequest, gate: int) -> NoReturn:
    """In the child: create a session, redirect the standard streams, then run as any other worker."""
    code = 1
    try:
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDONLY)
        log = os.open(job.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for source, target in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        os.close(nothing)
        os.close(log)
        os.chdir(Path(job.start).parent)
        reseed()
        if os.read(gate, 1):
            os.close(gate)
            code = work([job.start])
    finally:
        os._exit(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[2]))
