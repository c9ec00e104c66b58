"""Read the ends of the replicas' log files, keep each below a size, and remove those of fleets that are long gone."""

import contextlib
import shutil
from pathlib import Path

from tidegate.host.log_files import cut, cut_off_part, read_end
from tidegate.ports.logs import ReplicaLog

KEPT_GENERATIONS = 20
"""Logs of so many generations of each endpoint are kept, those written last."""
KEPT_REPLICAS = 50
"""Logs of so many replicas of one fleet are kept, those written last: one that never starts has a new one each
half minute."""
KEPT_JOBS = 200
"""Logs of so many transform jobs are kept, those written last."""
LARGEST_ANSWER = 32 * 1024 * 1024
"""Characters of the logs of one endpoint that are read at a time."""
NOT_READ = "(not read: the newer logs of this endpoint are too long together; ask for fewer lines of each)"
JOBS = "transform.*"
"""Their folders, among those of endpoints."""


def tail(logs: Path, endpoint: str, lines: int) -> list[ReplicaLog]:
    """The last ``lines`` lines of each replica of the endpoint that ever logged, newest generation last. Of the
    oldest logs nothing is read once the newer ones are ``LARGEST_ANSWER``, and a line says so."""
    there = []
    for path in (logs / endpoint).glob("*/*/*.log"):
        with contextlib.suppress(FileNotFoundError):  # removed meanwhile
            there.append((int(path.parts[-3]), path.stat().st_mtime, path))
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
    for job in sorted(logs.glob(JOBS), key=_written)[:-KEPT_JOBS]:
        shutil.rmtree(job, ignore_errors=True)
    for endpoint in logs.iterdir() if logs.is_dir() else []:
        generations = sorted(endpoint.iterdir(), key=_written)
        for old in generations[:-KEPT_GENERATIONS]:
            shutil.rmtree(old, ignore_errors=True)
        for variant in endpoint.glob("*/*"):
            for log in sorted(variant.glob(files), key=_written)[:-KEPT_REPLICAS]:
                log.unlink(missing_ok=True)
                cut_off_part(log).unlink(missing_ok=True)


def cut_all(logs: Path) -> None:
    for path in logs.glob("*/*/*/*.log"):
        cut(path)


def _written(path: Path) -> float:
    """When anything in the folder was last written."""
    newest = 0.0
    for one in (path, *path.rglob("*")):
        with contextlib.suppress(FileNotFoundError):
            newest = max(newest, one.stat().st_mtime)
    return newest
