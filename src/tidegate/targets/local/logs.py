"""The replicas' log files: read their ends, keep each below a size, and remove those of fleets that are long gone.

Groups and streams have the names that CloudWatch Logs has for SageMaker's: ``/aws/sagemaker/Endpoints/NAME`` has
``VARIANT/REPLICA``; ``/aws/sagemaker/TransformJobs`` has ``JOB/REPLICA`` and ``JOB/runner``. No name that a client
gives becomes a path: it is looked for among those that are there.
"""

import asyncio
import contextlib
import shutil
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tidegate.host.log_files import cut, cut_off_part, read_end
from tidegate.ports.logs import NOT_READ, LogLines, LogStream, ReplicaLog
from tidegate.targets.local import logs

ENDPOINTS = "/aws/sagemaker/Endpoints/"
TRANSFORMS = "/aws/sagemaker/TransformJobs"
_JOB = "transform."
_LONGEST = 1024 * 1024
"""Bytes that are read at one time."""


@dataclass
class LogStreams:
    """The ``Logs`` port. ``folder`` holds a folder for each endpoint and each transform job."""

    folder: Path
    _created: dict[Path, float] = field(default_factory=dict)

    async def tail(self, endpoint: str, lines: int) -> Sequence[ReplicaLog]:
        return await asyncio.to_thread(logs.tail, self.folder, endpoint, lines)

    async def groups(self) -> Sequence[str]:
        return await asyncio.to_thread(self._groups)

    async def streams(self, group: str) -> Sequence[LogStream]:
        return await asyncio.to_thread(lambda: [stream for stream, _ in self._streams(group)])

    async def read(self, group: str, stream: str, offset: int | None, limit: int) -> LogLines | None:
        return await asyncio.to_thread(self._read, group, stream, offset, limit)

    def _groups(self) -> list[str]:
        names = [path.name for path in self.folder.iterdir()] if self.folder.is_dir() else []
        return sorted({TRANSFORMS if name.startswith(_JOB) else ENDPOINTS + name for name in names})

    def _streams(self, group: str) -> list[tuple[LogStream, Path]]:
        found = []
        for name, path in self._list_streams(group):
            with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                stat = path.stat()
                created = self._created.setdefault(path, stat.st_mtime)
                found.append((LogStream(name, created, stat.st_mtime, stat.st_size), path))
        return sorted(found, key=lambda one: one[0].name)

    def _list_streams(self, group: str) -> Iterator[tuple[str, Path]]:
        for folder in self.folder.iterdir() if self.folder.is_dir() else []:
            job = folder.name.removeprefix(_JOB) if folder.name.startswith(_JOB) else None
            if group != (TRANSFORMS if job is not None else ENDPOINTS + folder.name):
                continue
            for path in folder.glob("*/*/*.log"):
                yield f"{job if job is not None else path.parts[-2]}/{path.stem}", path
            if job is not None and (runner := folder / "runner.log").exists():
                yield f"{job}/runner", runner

    def _read(self, group: str, name: str, offset: int | None, limit: int) -> LogLines | None:
        found = next((pair for pair in self._streams(group) if pair[0].name == name), None)
        if found is None:
            return None
        stream, path = found
        if offset is None:
            return LogLines(stream, tuple(read_end(path, limit)), stream.size)
        with path.open("rb") as file:
            file.seek(offset if offset <= stream.size else 0)  # a file that was cut begins anew
            begin, lines = file.tell(), file.read(_LONGEST).splitlines(keepends=True)
        whole = [line for line in lines if line.endswith(b"\n")][:limit]
        text = tuple(line.decode(errors="replace").rstrip("\r\n") for line in whole)
        return LogLines(stream, text, begin + sum(map(len, whole)))


KEPT_GENERATIONS = 20
"""Logs of so many generations of each endpoint are kept, those written last."""
KEPT_REPLICAS = 50
"""Logs of so many replicas of one fleet are kept, those written last: one that never starts has a new one each
half minute."""
KEPT_JOBS = 200
"""Logs of so many transform jobs are kept, those written last."""
LARGEST_ANSWER = 32 * 1024 * 1024
"""Characters of the logs of one endpoint that are read at a time."""
JOBS = "transform.*"
"""Their folders, among those of endpoints."""


def tail(logs: Path, endpoint: str, lines: int) -> list[ReplicaLog]:
    """The last ``lines`` lines of each replica of the endpoint that ever logged, newest generation last. Of the
    oldest logs nothing is read once the newer ones are ``LARGEST_ANSWER``, and a line says so."""
    there = []
    for path in (logs / endpoint).glob("*/*/*.log"):
        with contextlib.suppress(FileNotFoundError):  # removed meanwhile
            facts = path.lstat()
            if stat.S_ISREG(facts.st_mode):  # a pipe would be waited for, and a link leads to files of others
                there.append((int(path.parts[-3]), facts.st_mtime, path))
    found, size = [], 0
    for generation, written, path in sorted(there, reverse=True):
        text: tuple[str, ...] = (NOT_READ,)
        if size < LARGEST_ANSWER:
            with contextlib.suppress(FileNotFoundError):
                text = tuple(read_end(path, lines))
        size += sum(map(len, text))
        found.append(ReplicaLog(generation, path.parts[-2], path.stem, text, written))
    return found[::-1]


def prune(logs: Path, files: str = "*.log") -> None:
    """Remove old logs. Age goes by time of writing: a new endpoint may reuse a name, and its generations then start
    again."""
    for job in sorted(logs.glob(JOBS), key=_time_of_last_write)[:-KEPT_JOBS]:
        shutil.rmtree(job, ignore_errors=True)
    for endpoint in logs.iterdir() if logs.is_dir() else []:
        generations = sorted(endpoint.iterdir(), key=_time_of_last_write)
        for old in generations[:-KEPT_GENERATIONS]:
            shutil.rmtree(old, ignore_errors=True)
        for variant in endpoint.glob("*/*"):
            for log in sorted(variant.glob(files), key=_time_of_last_write)[:-KEPT_REPLICAS]:
                log.unlink(missing_ok=True)
                cut_off_part(log).unlink(missing_ok=True)


def cut_all(logs: Path) -> None:
    for path in logs.glob("*/*/*/*.log"):
        cut(path)


def _time_of_last_write(path: Path) -> float:
    """When anything in the folder was last written."""
    newest = 0.0
    for one in (path, *path.rglob("*")):
        with contextlib.suppress(FileNotFoundError):
            newest = max(newest, one.stat().st_mtime)
    return newest
