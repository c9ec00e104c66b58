"""The log files of this machine as groups and streams, by the names that CloudWatch Logs has for SageMaker's.

``/aws/sagemaker/Endpoints/NAME`` has ``VARIANT/REPLICA``; ``/aws/sagemaker/TransformJobs`` has ``JOB/REPLICA`` and
``JOB/runner``. No name that a client gives becomes a path: it is looked for among those that are there.
"""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tidegate.host.log_files import read_end
from tidegate.ports.logs import LogLines, LogStream, ReplicaLog
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
        for name, path in self._named(group):
            with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                stat = path.stat()
                created = self._created.setdefault(path, stat.st_mtime)
                found.append((LogStream(name, created, stat.st_mtime, stat.st_size), path))
        return sorted(found, key=lambda one: one[0].name)

    def _named(self, group: str) -> Iterator[tuple[str, Path]]:
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
