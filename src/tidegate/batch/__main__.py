"""``python -m tidegate.batch JOB.json``: runs the job until it has ended, then leaves ``result.json``.

``--abort JOB.json``: instead, tells the storage to forget uploads that a runner left half done.

Exit codes: 0 there is a result, or another process runs the job; 1 it was told to stop; 2 the file cannot be read.
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

from tidegate.batch import job_file
from tidegate.batch.object_io import Places
from tidegate.batch.runner import Run, say
from tidegate.domain.errors import StartupError
from tidegate.host.preallocated import PreallocatedFiles

RESULT = "result.json"


def main(arguments: list[str]) -> int:
    aborting = arguments[:1] == ["--abort"]
    if len(arguments) != 1 + aborting:
        print("usage: python -m tidegate.batch [--abort] JOB.json", file=sys.stderr)
        return 2
    path = Path(arguments[-1]).absolute()
    try:
        file = job_file.read(path)
    except StartupError as error:
        print(f"tidegate transform: {error}", file=sys.stderr)
        return 2
    with job_file.alone(path.parent) as mine:
        if mine and aborting:
            _places(file).abort(path.parent / "parts", file.job.sink.uri)
        return uvloop.run(_run(file, path.parent)) if mine and not aborting else 0


def _places(file: job_file.JobFile) -> Places:
    return Places(file.file_roots, file.s3_endpoint, file.region)


async def _run(file: job_file.JobFile, folder: Path) -> int:
    before = job_file.load(folder / RESULT, job_file.Result)
    if before is not None and before.attempt >= file.job.resumed:
        return 0
    files = PreallocatedFiles(folder)
    files.reserve(RESULT)
    places = _places(file)
    run = Run(file, folder, places)
    running = asyncio.create_task(run.run())
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        result = await running
        files.write(RESULT, msgspec.json.encode(result))
        if result.reason:
            print(result.reason, flush=True)
        else:
            say("complete")
        _leave(0)
    places.abort(folder / "parts", file.job.sink.uri)
    _leave(1)


def _leave(code: int) -> NoReturn:
    """At once: a read from a storage may still sit in a thread."""
    sys.stdout.flush()
    os._exit(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
