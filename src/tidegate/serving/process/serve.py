"""``serve [START.json]``, a worker in a container: it listens on TCP, and fetches its model data itself.

With a start file (``contract/container_start``), such as a mounted Secret, it is a replica of an endpoint. Without
one it honours SageMaker's container contract: the model is in /opt/ml/model, and the environment says the rest.

``serve --fetch NUMBER FOLDER START.json`` only fetches the model data of that container of the start file (from 1 on)
into ``model`` below the folder, readable for every user, and ends: for a container beside a worker.

``TIDEGATE_WORK`` names the folder that it writes to, the only one. ``TIDEGATE_UNTIL`` may name a file: once another
container of the pod has made it, there is nothing left to serve, and the worker ends. Exit codes as of
``python -m tidegate.serving``; why it failed is also in the file /dev/termination-log, which Kubernetes shows.
"""

import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from tidegate.domain.errors import StartupError, TidegateError
from tidegate.serving.contract.container_start import from_environment, from_file, model_folder, replica_name
from tidegate.serving.contract.replica_spec import ReplicaSpec
from tidegate.serving.process.worker_process import UNUSABLE, run

WORK, UNTIL = "TIDEGATE_WORK", "TIDEGATE_UNTIL"
FETCH = "--fetch"
DEFAULT_WORK = "/var/lib/tidegate"
TERMINATION_LOG = Path("/dev/termination-log")
_LOOK = 0.5
"""Seconds between looks for the file that ends the worker."""
_LONGEST = 4096
"""Bytes that Kubernetes keeps of a termination message."""


def main(arguments: list[str]) -> int:
    fetches = arguments[:1] == [FETCH]
    if len(arguments) not in ((4,) if fetches else (0, 1)):
        print(f"usage: serve [START.json], or serve {FETCH} NUMBER FOLDER START.json", file=sys.stderr)
        return UNUSABLE
    work = Path(os.environ.get(WORK) or DEFAULT_WORK).absolute()
    until = os.environ.pop(UNTIL, "")
    if until and Path(until).exists():
        return 0
    try:
        _prepare(work)
        spec = _spec(work, arguments[3:] if fetches else arguments)
        if fetches:
            return _fetch(spec, int(arguments[1]), Path(arguments[2]))
    except TidegateError as error:
        print(f"tidegate worker: {error}", file=sys.stderr)
        _tell(error.message.encode())
        return UNUSABLE
    start = work / "replica.json"
    if until:
        threading.Thread(target=_end_with, args=(Path(until),), daemon=True).start()
    run(start, spec, lambda: _tell_failure(start.with_name("failure.json")))


def _fetch(spec: ReplicaSpec, number: int, folder: Path) -> int:
    """Fetch the model data of a container, which may run as any user. Raises ArtifactError or Transient."""
    from tidegate.serving.artifacts.fetch import Policy, materialise  # noqa: PLC0415  # other workers fetch later

    data = folder / "model"
    policy = Policy(spec.file_roots, spec.s3_endpoint, spec.region)
    materialise(spec.containers[number - 1].data_url, data, policy)
    for path in (data, *data.rglob("*")):
        path.chmod(path.stat().st_mode | (0o755 if path.is_dir() else 0o444))
    return 0


def _prepare(work: Path) -> None:
    """Make the folder usable: a container that is started again finds what the one before it left."""
    temporary = work / "tmp"
    try:
        work.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        (work / "failure.json").unlink(missing_ok=True)
    except OSError as error:
        raise StartupError(f"cannot write to {work}: {error.strerror}; {WORK} names another folder") from None
    tempfile.tempdir = os.environ["TMPDIR"] = str(temporary)  # the rest of the file system may be read-only


def _spec(work: Path, arguments: list[str]) -> ReplicaSpec:
    replica = replica_name(os.environ, socket.gethostname())
    if not arguments:
        spec = from_environment(os.environ, replica, work)
        _use_in_place(Path(model_folder(os.environ)), Path(spec.containers[0].model_dir))
        return spec
    path = Path(arguments[0])
    try:
        return _with_spool(from_file(path.read_bytes(), str(path), replica, work), work)
    except OSError as error:
        raise StartupError(f"cannot read the start file {path}: {error.strerror}") from None


def _with_spool(spec: ReplicaSpec, work: Path) -> ReplicaSpec:
    """With a folder for captures, if it names none: a new one, so that a container which is started again delivers
    what the one before it left."""
    if spec.capture is None or spec.capture.spool:
        return spec
    return replace(spec, capture=replace(spec.capture, spool=str(work / "capture" / uuid4().hex)))


def _use_in_place(data: Path, folder: Path) -> None:
    """Make ``folder`` model data that are there already, so that they are neither fetched nor copied."""
    if not data.is_dir():
        raise StartupError(f"there is no model in {data}; SageMaker puts it there, or mount it")
    folder.unlink(missing_ok=True)
    folder.symlink_to(data.absolute())
    folder.with_name(folder.name + ".complete").touch()


def _end_with(file: Path) -> None:
    while not file.exists():
        time.sleep(_LOOK)
    os.kill(os.getpid(), signal.SIGTERM)


def _tell_failure(failure: Path) -> None:
    with suppress(OSError):
        _tell(failure.read_bytes())


def _tell(message: bytes) -> None:
    if TERMINATION_LOG.is_file():
        with suppress(OSError):
            TERMINATION_LOG.write_bytes(message[:_LONGEST])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
