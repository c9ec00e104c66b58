"""Makes this process a worker: what has to be set before libraries are imported, then its life."""

import faulthandler
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import uvloop

from tidegate.serving.contract.memory_release import use_system_allocator
from tidegate.serving.contract.replica_spec import ReplicaSpec, most_threads
from tidegate.serving.process.lifecycle import WorkerProcess

UNUSABLE = 2
"""Exit code of a worker that has nothing to start with."""


def run(path: Path, spec: ReplicaSpec, ended: Callable[[], None] = lambda: None) -> NoReturn:
    """Serve until a signal or a failure, and exit. Reports are written beside ``path``; ``ended`` is called last."""
    faulthandler.enable()
    use_system_allocator()
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # onnxruntime would report on its use
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # read when numpy and the runtime are imported
        os.environ[variable] = str(most_threads(spec))
    uvloop.run(_live(path, spec, ended))
    raise AssertionError("a worker ends with its process")


async def _live(path: Path, spec: ReplicaSpec, ended: Callable[[], None]) -> None:
    code = await WorkerProcess(path, spec).run()
    ended()
    sys.stdout.flush()
    os._exit(code)  # a download or a prediction that was given up may still sit in a thread
