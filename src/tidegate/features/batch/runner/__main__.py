"""Runs a transform job until it has ended (``python -m tidegate.features.batch.runner JOB.json``), then leaves
``result.json``.

``--abort JOB.json``: aborts uploads that a killed runner left unfinished.

Exit codes: 0 there is a result, or another process runs the job; 1 SIGTERM or SIGINT; 2 the file cannot be read.
"""

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

import msgspec
import uvloop

from tidegate.domain.errors import StartupError
from tidegate.features.batch.runner import job_file
from tidegate.features.batch.runner.job_storage import JobStorage
from tidegate.features.batch.runner.object_runner import log_event
from tidegate.features.batch.runner.run import JobRunner
from tidegate.host.preallocated import PreallocatedFiles
from tidegate.host.state_folder import hold_lock

RESULT = "result.json"


def main(arguments: list[str]) -> int:
    aborting = arguments[:1] == ["--abort"]
    if len(arguments) != 1 + aborting:
        print("usage: python -m tidegate.features.batch.runner [--abort] JOB.json", file=sys.stderr)
        return 2
    path = Path(arguments[-1]).absolute()
    try:
        file = job_file.read(path)
    except StartupError as error:
        print(f"tidegate transform: {error}", file=sys.stderr)
        return 2
    with hold_lock(path.parent) as mine:
        if mine and aborting:
            _storage(file).abort(path.parent / "parts", file.job.sink.uri)
        return uvloop.run(_run(file, path.parent)) if mine and not aborting else 0


def _storage(file: job_file.JobFile) -> JobStorage:
    return JobStorage(file.file_roots, file.s3_endpoint, file.region)


async def _run(file: job_file.JobFile, folder: Path) -> int:
    before = job_file.load(folder / RESULT, job_file.TransformResult)
    if before is not None and before.attempt >= file.job.resumed:
        return 0
    files = PreallocatedFiles(folder)
    files.reserve(RESULT)
    storage = _storage(file)
    run = JobRunner(file, folder, storage)
    running = asyncio.create_task(run.run())
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        result = await running
        files.write(RESULT, msgspec.json.encode(result))
        if result.reason:
            print(result.reason, flush=True)
        else:
            log_event("complete")
        _exit(0)
    storage.abort(folder / "parts", file.job.sink.uri)
    _exit(1)


def _exit(code: int) -> NoReturn:
    """Exit without waiting for threads, which may be blocked by reads from a storage."""
    sys.stdout.flush()
    os._exit(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
