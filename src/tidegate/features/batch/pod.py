"""``python -m tidegate.features.batch.pod RUNNER.json``: the runner of a transform job in a pod, beside a worker.

It leases shards of the job from PostgreSQL until none is left, then writes the file ``ended`` for the worker beside
it. Exit codes: 0 nothing is left to do; 1 SIGTERM or SIGINT, with leases given back; 2 it cannot be started.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import msgspec
import uvloop

from tidegate.domain.decoding import prepare_type
from tidegate.domain.errors import StartupError, TidegateError
from tidegate.features.batch.runner.job_file import JobFile
from tidegate.features.batch.runner.job_storage import JobStorage
from tidegate.features.batch.runner.object_runner import log_event
from tidegate.features.batch.runner.run import remaining
from tidegate.features.batch.runner.shard_runner import ShardRunner, first_error
from tidegate.features.batch.runner.worker_pool import PingedWorker, WorkerPool
from tidegate.store import DatabaseLimits
from tidegate.store.database import open_database
from tidegate.store.errors import first_line
from tidegate.store.shards import SqlShardLeases, check_rights

REPLICA, WORK = "TIDEGATE_REPLICA", "TIDEGATE_WORK"
CONNECTIONS = 2
"""To the database: one that hangs does not keep leases from being renewed. A server allows some 100 in all."""
GIVE_BACK_WITHIN = 5.0
"""Seconds that a runner which was asked to stop waits for the database."""


@dataclass(frozen=True, kw_only=True)
class RunnerStart:
    """Settings with which the runners of a job are started. ``lease``: seconds."""

    file: JobFile
    database_file: str
    """A file with the URL of the database."""
    database_timeout: int = 10
    worker: tuple[str, int] = ("127.0.0.1", 8080)
    ended: str
    """The file that is written when nothing is left to do."""
    lease: float = 15.0


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("usage: python -m tidegate.features.batch.pod RUNNER.json", file=sys.stderr)
        return 2
    try:
        start = read(Path(arguments[0]))
        work = Path(os.environ.get(WORK) or tempfile.gettempdir())
        return uvloop.run(run(start, work, os.environ.get(REPLICA) or socket.gethostname()))
    except TidegateError as error:
        print(f"tidegate transform: {error}", file=sys.stderr)
        return 2
    except BaseExceptionGroup as group:  # its text may be as long as the list of objects
        print(f"tidegate transform: {first_line(first_error(group))}", file=sys.stderr)
        return 2


def read(path: Path) -> RunnerStart:
    """Raises StartupError."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=prepare_type(RunnerStart))
    except (OSError, msgspec.DecodeError) as error:
        raise StartupError(f"{path} cannot be read as the start of a runner: {error}") from None


async def run(start: RunnerStart, work: Path, holder: str) -> int:
    """Raises StartupError."""
    try:
        url = Path(start.database_file).read_text().strip()
    except OSError as error:
        raise StartupError(
            f"no database URL in {start.database_file}: {error.strerror}; the Secret that the option"
            " jobs.database_secret names needs it"
        ) from None
    # The schema is the controller's to make: this role may not.
    limits = DatabaseLimits(start.database_timeout)
    database = open_database(url, serial=False, limits=limits, prepare=False, threads=CONNECTIONS)
    await asyncio.to_thread(database.read, check_rights)
    job = start.file.job
    leases = SqlShardLeases(database, job.name, job.resumed, holder, start.lease)
    worker, storage = PingedWorker(start.worker), _storage(start.file)
    runner = ShardRunner(
        *(job, start.file.built_in, work / "parts", storage, leases, WorkerPool(worker), time.monotonic)
    )
    watching = asyncio.create_task(worker.watch())
    with contextlib.suppress(TidegateError):
        await leases.give_back(lost=True)  # of this container, before it was started again
    running = asyncio.create_task(runner.run(remaining(job, time.time())))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await running
        Path(start.ended).touch()
        log_event("complete")
        _exit(0)
    watching.cancel()
    with contextlib.suppress(TidegateError, TimeoutError):
        async with asyncio.timeout(GIVE_BACK_WITHIN):
            await leases.give_back(lost=False)
            await asyncio.to_thread(storage.abort, work / "parts", job.sink.uri)
    _exit(1)


def _storage(file: JobFile) -> JobStorage:
    return JobStorage(file.file_roots, file.s3_endpoint, file.region)


def _exit(code: int) -> NoReturn:
    """Exit without waiting for threads, which may be blocked by a storage or the database."""
    sys.stdout.flush()
    os._exit(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
